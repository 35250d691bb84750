//! Which part of a header is asked for, where its parts contradict each other.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The part of a NIfTI header that is believed where sform, qform and pixdim contradict each other.
/// Where they agree, or the part is not there or cannot be used, it changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// The matrix of the sform, with its own spacing: as nibabel reads.
    Sform,
    /// The rotation and origin of the qform, with the spacing of pixdim.
    Qform,
    /// The spacing of pixdim, in the directions of the sform, if there is one: as ITK reads.
    Pixdim,
}

impl Reading {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sform, Self::Qform, Self::Pixdim];

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sform => "sform",
            Self::Qform => "qform",
            Self::Pixdim => "pixdim",
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}
