//! Where an image, or some of its channels, is read from.

use std::fmt;
use std::path::{Path, PathBuf};

use super::format::stem_and_ending;
use super::opened::{Opened, open};
use super::reading::Reading;
use crate::error::Result;

/// One place that voxels are read from: a file, or a folder of slices. An image is a list of these,
/// in the order of its channels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    path: PathBuf,
    reading: Option<Reading>,
}

impl Source {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same, whose header is read so where it contradicts itself; `None`: as far as its parts
    /// tell.
    pub fn read_by(self, reading: Option<Reading>) -> Self {
        Self { reading, ..self }
    }

    /// How its header is to be read where it contradicts itself.
    pub(super) fn reading(&self) -> Option<Reading> {
        self.reading
    }

    /// Its name without folder and ending, and the ending: see [`stem_and_ending`]. Empty where the
    /// name is not UTF-8.
    pub fn stem_and_ending(&self) -> (&str, &str) {
        stem_and_ending(self.path.file_name().and_then(|name| name.to_str()).unwrap_or(""))
    }

    /// Opens it by itself: see [`open`].
    ///
    /// # Errors
    /// Those of [`open`].
    pub fn open(&self) -> Result<Opened> {
        open(std::slice::from_ref(self))
    }
}

impl<P: Into<PathBuf>> From<P> for Source {
    fn from(path: P) -> Self {
        Self { path: path.into(), reading: None }
    }
}

impl AsRef<Path> for Source {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

/// As it is told in messages.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.path.display().fmt(f)
    }
}
