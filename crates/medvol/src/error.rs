//! The one error type of this crate. Every text names the file (or the case), what was expected,
//! what was found and what to do.

use std::path::PathBuf;

use crate::io::dicom::Problem;

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with volumes and data sets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is missing, may not be read, or its compressed data are damaged.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },

    /// The file or its folder may not be written, or the disk is full.
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },

    /// The file ends before its last announced byte.
    #[error("{} is truncated: its header announces {expected} bytes, the file holds {found}; copy or download it again", path.display())]
    Truncated { path: PathBuf, expected: u64, found: u64 },

    /// A file of another kind than the one this crate reads or writes.
    #[error("{}: {reason}", path.display())]
    Unsupported { path: PathBuf, reason: String },

    /// An image without any file.
    #[error("an image needs at least one file")]
    NoSource,

    /// A file in none of the formats of [`io`](crate::io).
    #[error("{} is in no format that can be read; convert it to NIfTI-1 (.nii or .nii.gz)", path.display())]
    UnknownFormat { path: PathBuf },

    /// A name to write to that does not say its format.
    #[error("{}: the name of an image must end in {}", path.display(), endings())]
    UnknownEnding { path: PathBuf },

    /// A NIfTI-1 header that contradicts itself or the format.
    #[error("{}: the NIfTI header is invalid: {reason}", path.display())]
    Header { path: PathBuf, reason: String },

    /// A DICOM file, or a folder of them, that is not read.
    #[error("{} {problem}", path.display())]
    Dicom { path: PathBuf, problem: Box<Problem> },

    /// More voxels than can be held.
    #[error("{}: {bytes} bytes of voxels do not fit into memory", path.display())]
    OutOfMemory { path: PathBuf, bytes: u64 },

    /// A voxel of a label map is not an integer from 0 to 65535.
    #[error("{}: voxel {voxel:?} (depth, height, width) is {value}; a label map may hold only integers from 0 to 65535", path.display())]
    LabelNotInteger { path: PathBuf, voxel: [usize; 3], value: f64 },

    /// The description of a data set cannot be understood.
    #[error("{}: {reason}", path.display())]
    Description { path: PathBuf, reason: String },

    /// An image has another number of channels than its data set.
    #[error("{}: expected {expected} channel(s), found {found}", path.display())]
    ChannelCount { path: PathBuf, expected: usize, found: usize },

    /// An image and its label map, or another channel of it, have different shapes.
    #[error("{} has shape {image_shape:?} but {} of the same case has {other_shape:?} (depth, height, width); they must lie on the same grid", image.display(), other.display())]
    ShapeMismatch {
        image: PathBuf,
        other: PathBuf,
        image_shape: [usize; 3],
        other_shape: [usize; 3],
    },

    /// An image and its label map, or another channel of it, have the same shape but lie at
    /// different places in space.
    #[error("{} and {} of the same case lie {distance_mm:.3} mm apart (allowed: {tolerance_mm:.3} mm); copy the sform and qform of the first to the second if their voxels do belong together", image.display(), other.display())]
    PlaceMismatch { image: PathBuf, other: PathBuf, distance_mm: f64, tolerance_mm: f64 },

    /// A label map holds a value that the data set does not list.
    #[error("{}: voxel {voxel:?} (depth, height, width) has label {value}, but the labels listed are {listed:?}", path.display())]
    UnlistedLabel { path: PathBuf, voxel: [usize; 3], value: u16, listed: Vec<u16> },

    /// A voxel of an image is NaN or infinite.
    #[error("{}: voxel {voxel:?} (channel, depth, height, width) is {value}; replace voxels that are not finite, for example by 0", path.display())]
    NotFinite { path: PathBuf, voxel: [usize; 4], value: f32 },

    /// A case cannot be preprocessed.
    #[error("case {case}: {reason}")]
    Preprocess { case: String, reason: String },

    /// Scores do not lie on the grid they are to be restored from.
    #[error(
        "expected scores of shape {expected:?} (classes, depth, height, width), found {found:?}"
    )]
    GridMismatch { expected: [usize; 4], found: [usize; 4] },
}

/// All endings, as in `.nii.gz or .nii`.
fn endings() -> String {
    crate::io::endings().collect::<Vec<_>>().join(" or ")
}
