//! What memory is needed for.

use std::fmt;

use crate::memory::text;

/// What memory is needed for. [`Error::Memory`](crate::Error::Memory) says how much.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Purpose {
    /// All preprocessed cases of a data set.
    Cases {
        /// Name of the data set.
        dataset: String,
        /// Spacing in mm of a grid on which they would fit, where one is worth it.
        coarser: Option<[f64; 3]>,
    },
    /// Reading and preprocessing one case.
    Case {
        /// Its name.
        name: String,
    },
    /// Steps on patches.
    Steps {
        /// (depth, height, width) in voxels.
        patch: [usize; 3],
        /// A patch that would fit, if there is one.
        smaller: Option<[usize; 3]>,
        /// Whether running cells again in the backward pass would save memory.
        recompute: bool,
        /// Whether the network could be narrower.
        narrower: bool,
        /// Whether it is a GPU that cannot hold the largest of their volumes.
        one_volume: bool,
    },
    /// The prediction of an image; all in bytes.
    Image {
        /// Name of the image.
        name: String,
        /// In use before.
        program: u64,
        /// The image's voxels.
        image: u64,
        /// Classes, and probabilities where they are kept.
        result: u64,
        /// One window with what its network computes.
        window: u64,
        /// Sums of windows that overlap.
        sums: u64,
        /// Whether class probabilities are kept, which could be done without.
        probabilities: bool,
    },
    /// Scoring the prediction of an image.
    Scoring {
        /// Name of the image.
        name: String,
    },
    /// A picture of an image and its label maps.
    Picture {
        /// Name of the image.
        name: String,
    },
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Cases { dataset: name, .. }
            | Self::Case { name }
            | Self::Image { name, .. }
            | Self::Scoring { name }
            | Self::Picture { name } => f.write_str(name),
            Self::Steps { patch: [d, h, w], .. } => write!(f, "steps on patches of {d}×{h}×{w}"),
        }
    }
}

impl Purpose {
    pub(super) fn parts(&self) -> String {
        match self {
            Self::Cases { .. } => "for its cases, which are all held in memory".into(),
            Self::Case { .. } => "to read and preprocess it".into(),
            Self::Steps { one_volume: true, .. } => {
                "for one volume on the GPU, as steps on smaller patches say".into()
            }
            Self::Steps { .. } => "as steps on smaller patches say".into(),
            Self::Image { program, image, result, window, sums, .. } => format!(
                "program {}, image {}, result {}, one window {}, sums of windows {}",
                text(*program),
                text(*image),
                text(*result),
                text(*window),
                text(*sums)
            ),
            Self::Scoring { .. } => "to score its prediction at the end of the run".into(),
            Self::Picture { .. } => "to draw a picture of it".into(),
        }
    }

    /// What to do, where that does not depend on how settings are given.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Case { .. } | Self::Scoring { .. } => {
                "; cut the image into parts, or take a machine with more memory"
            }
            _ => "",
        }
    }
}
