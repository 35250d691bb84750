//! What keeps things from being compared or averaged.

use std::fmt;

use medvol::{Label, Normalisation, Target, significant};

/// Why two label maps cannot be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unlike {
    /// Their shapes differ.
    #[error(transparent)]
    Shapes(#[from] medvol::metrics::ShapeMismatch),
    /// They lie at different places.
    #[error(
        "the two maps lie up to {} mm apart; expected the same affine; if their voxels belong \
         together, copy the header's geometry (sform and qform of NIfTI) from the one to the other, \
         else resample the prediction to the grid of the reference", significant(*mm, 3)
    )]
    Apart {
        /// Largest distance of voxels with the same index.
        mm: f64,
    },
}

/// What is known of a model's images, which models that are averaged must share.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ModelFact {
    /// Number of channels.
    Channels(usize),
    /// Labels, the background included.
    Labels(Vec<Label>),
    /// What is predicted of these.
    Target(Target),
    /// Spacing in mm (depth, height, width).
    Spacing([f64; 3]),
    /// Patch in voxels (depth, height, width).
    Patch([usize; 3]),
    /// How each channel is normalised.
    Normalisations(Vec<Normalisation>),
}

impl fmt::Display for ModelFact {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Channels(count) => write!(f, "{count} channel(s)"),
            Self::Labels(labels) => write!(f, "labels {labels:?}"),
            Self::Target(target) => write!(f, "target {target:?}"),
            Self::Spacing(mm) => write!(f, "spacing {mm:?}"),
            Self::Patch(voxels) => write!(f, "patch {voxels:?}"),
            Self::Normalisations(channels) => write!(f, "normalisations {channels:?}"),
        }
    }
}
