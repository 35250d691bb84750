//! What settings should be, and where they come from.

use std::fmt;
use std::path::PathBuf;

/// What a setting may be.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Expected {
    /// A value of this kind, such as `512 or more`.
    Kind(&'static str),
    /// One of these.
    OneOf(Vec<String>),
    /// A multiple of a number, or several such.
    Multiple {
        /// The number, which is the least.
        of: usize,
        /// The greatest.
        most: usize,
    },
    /// An extent of voxels along each axis that can be halved as often as the axis is.
    Multiples {
        /// Of (depth, height, width).
        of: [usize; 3],
    },
    /// An epoch at which the architecture is still searched.
    FewerThanEpochs {
        /// The epochs of the search.
        epochs: usize,
        /// Of these, those at the end in which all is decided.
        settling: usize,
    },
    /// An epoch at which there is training at the full learning rate still.
    FewerThanTrained {
        /// The epochs of the training.
        epochs: usize,
    },
    /// Spacings not too far from those of the cases.
    Near {
        /// Their median in mm (depth, height, width).
        usual_mm: [f64; 3],
        /// How many times more or less, at most.
        factor: f64,
    },
    /// A name for each channel.
    NameEach {
        /// Number of channels.
        channels: usize,
    },
    /// The number of a fold.
    Fold {
        /// Number of folds.
        of: usize,
        /// The file that says so, if one does.
        splits: Option<PathBuf>,
    },
}

impl From<&'static str> for Expected {
    fn from(kind: &'static str) -> Self {
        Self::Kind(kind)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Kind(kind) => f.write_str(kind),
            Self::OneOf(known) => write!(f, "one of {}", known.join(", ")),
            Self::Multiple { of, most } => write!(f, "multiples of {of} from {of} to {most}"),
            Self::Multiples { of: [d, h, w] } => write!(
                f,
                "multiples of {d}, {h} and {w} voxels, as the axes of such a grid are halved"
            ),
            Self::FewerThanEpochs { epochs, settling: 0 } => write!(
                f,
                "fewer than search.epochs, which is {epochs}, as the architecture is searched only \
                 in the epochs behind the warm-up"
            ),
            Self::FewerThanEpochs { epochs, settling } => write!(
                f,
                "fewer than {}, as the architecture is searched only in the epochs behind the \
                 warm-up and before the last {settling} of {epochs} (search.decide.settle)",
                epochs - settling
            ),
            Self::FewerThanTrained { epochs } => write!(
                f,
                "fewer than train.epochs, which is {epochs}, as the learning rate never arrives \
                 otherwise"
            ),
            Self::Near { usual_mm, factor } => write!(
                f,
                "at most {factor} times more or less than the median of the cases, {usual_mm:?} mm \
                 (depth, height, width)"
            ),
            Self::NameEach { channels } => {
                write!(f, "one name for each of the {channels} channel(s)")
            }
            Self::Fold { of, splits } => {
                write!(f, "0 to {}", of.saturating_sub(1))?;
                match splits {
                    Some(path) => write!(f, ", as {} says", path.display()),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Where settings come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A preset, with lines that change it.
    Preset(String),
    /// A file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Preset(name) => write!(f, "preset {name} with overrides"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}
