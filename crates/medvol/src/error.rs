//! The one error type of this crate. Every text names the file (or the case), what was expected,
//! what was found and what to do.

use std::fmt;
use std::path::PathBuf;

use crate::dataset::Flaw;
use crate::digits::significant;
use crate::io::dicom::Problem;
use crate::io::{HeaderFault, Remark, Unsupported};
use crate::preprocess::PreprocessFault;

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with volumes and data sets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is missing, may not be read, or its compressed data are damaged.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// The file or its folder may not be written, or the disk is full.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// The file ends before its last announced byte.
    #[error(
        "{} is truncated: {}; copy or download it again",
        path.display(), cut(*expected, *found)
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that its header announces, the header included; uncompressed.
        expected: u64,
        /// Bytes that there are, or can be at most.
        found: u64,
    },

    /// What was given for a data set is a folder without a description, or a file that is none.
    #[error(
        "{}: expected a data set, that is a folder with a dataset.json, or a JSON or CSV file that \
         lists cases; found {instead}",
        path.display()
    )]
    NoDataSet {
        /// What was given.
        path: PathBuf,
        /// What it is.
        instead: Instead,
    },

    /// An image without any file.
    #[error("an image needs at least one file")]
    NoSource,

    /// A header names a file for its voxels that cannot be read.
    #[error("cannot read {}, in which {} has its voxels: {source}; the two belong together, under these names", file.display(), path.display())]
    DataFile {
        /// The header.
        path: PathBuf,
        /// The file that it names.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// One file of a pair of header and voxels cannot be read.
    #[error("{} is half of a pair, but {} cannot be read: {source}; put both into one folder, or convert the pair to one file", path.display(), file.display())]
    OtherHalf {
        /// The half that is there.
        path: PathBuf,
        /// The other one.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// Two segments share a voxel, which one label map cannot say.
    #[error("{}: the segments {first:?} and {second:?} overlap at voxel {voxel:?} (depth, height, width), so they are no label map; export one without overlaps", path.display())]
    Overlap {
        /// The file.
        path: PathBuf,
        /// The name of the segment in the lower layer.
        first: String,
        /// The name of the other one.
        second: String,
        /// (depth, height, width)
        voxel: [usize; 3],
    },

    /// A file in none of the formats of [`io`](crate::io).
    #[error("{} is in no format that can be read; convert it to NIfTI-1 (.nii or .nii.gz)", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },

    /// A name to write to that does not say its format.
    #[error("{}: the name of an image must end in {}", path.display(), endings())]
    UnknownEnding {
        /// The name.
        path: PathBuf,
    },

    /// A file of another kind than those this crate reads, or an image that the format cannot hold.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: Unsupported,
    },

    /// A header that contradicts itself or the format.
    #[error("{}: its header is invalid: {fault}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: Box<HeaderFault>,
    },

    /// A DICOM file, or a folder of them, that is not read.
    #[error("{} {problem}", path.display())]
    Dicom {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        problem: Box<Problem>,
    },

    /// More voxels than can be held.
    #[error("{}: {bytes} bytes of voxels do not fit into memory", path.display())]
    OutOfMemory {
        /// The file.
        path: PathBuf,
        /// Bytes of its voxels.
        bytes: u64,
    },

    /// A voxel of a label map is not an integer from 0 to 65535.
    #[error(
        "{}: voxel {voxel:?} (depth, height, width) is {value}; a label map may hold only integers \
         from 0 to 65535",
        path.display()
    )]
    LabelNotInteger {
        /// The label map.
        path: PathBuf,
        /// The first such voxel (depth, height, width).
        voxel: [usize; 3],
        /// Its value.
        value: f64,
    },

    /// The description of a data set cannot be understood.
    #[error("{}", joined(problems))]
    Description {
        /// All that is wrong with its files.
        problems: Vec<Flaw>,
    },

    /// An image has another number of channels than its data set.
    #[error("{}: expected {expected} channel(s), found {found}", path.display())]
    ChannelCount {
        /// The image (its first file).
        path: PathBuf,
        /// Channels that it should have.
        expected: usize,
        /// Channels that it has.
        found: usize,
    },

    /// An image and its label map, or another channel of it, have different shapes.
    #[error(
        "{} has shape {image_shape:?} but {} of the same case has {other_shape:?} (depth, height, \
         width); they must lie on the same grid",
        image.display(), other.display()
    )]
    ShapeMismatch {
        /// The image.
        image: PathBuf,
        /// Its label map, or another of its channels.
        other: PathBuf,
        /// (depth, height, width) of the image.
        image_shape: [usize; 3],
        /// (depth, height, width) of the other.
        other_shape: [usize; 3],
    },

    /// An image and its label map, or another channel of it, have the same shape but lie at
    /// different places in space.
    #[error(
        "{} and {} of the same case lie {} mm apart (allowed: {} mm); copy the sform and qform of \
         the first to the second if their voxels do belong together",
        image.display(), other.display(), significant(*distance_mm, 3), significant(*tolerance_mm, 3)
    )]
    PlaceMismatch {
        /// The image.
        image: PathBuf,
        /// Its label map, or another of its channels.
        other: PathBuf,
        /// Largest distance of voxels with the same index.
        distance_mm: f64,
        /// Largest distance that counts as the same place.
        tolerance_mm: f64,
    },

    /// A header that can be read in two ways, and nothing in it says which is meant.
    #[error("{}: {question}; {}", path.display(), question.remedy())]
    UncertainPlace {
        /// The file.
        path: PathBuf,
        /// What cannot be known.
        question: Box<Remark>,
    },

    /// A label map holds a value that the data set does not list.
    #[error(
        "{}: voxel {voxel:?} (depth, height, width) has label {value}, but the labels listed are \
         {listed:?}",
        path.display()
    )]
    UnlistedLabel {
        /// The label map.
        path: PathBuf,
        /// The first such voxel (depth, height, width).
        voxel: [usize; 3],
        /// Its value.
        value: u16,
        /// The values that are listed.
        listed: Vec<u16>,
    },

    /// A voxel of an image is NaN or infinite.
    #[error(
        "{}: voxel {voxel:?} (channel, depth, height, width) is {value}; replace voxels that are \
         not finite, for example by 0",
        path.display()
    )]
    NotFinite {
        /// The image.
        path: PathBuf,
        /// The first such voxel (channel, depth, height, width).
        voxel: [usize; 4],
        /// Its value.
        value: f32,
    },

    /// A voxel of an image is finite, but beyond the numbers that images are computed with.
    #[error(
        "{}: voxel {voxel:?} (channel, depth, height, width) is {value:e}; expected numbers up to \
         {:.1e}, which a float of 32 bits holds; scale it down, or replace such voxels",
        path.display(), f32::MAX
    )]
    BeyondFloats {
        /// The image.
        path: PathBuf,
        /// The first such voxel (channel, depth, height, width).
        voxel: [usize; 4],
        /// Its value.
        value: f64,
    },

    /// A case cannot be preprocessed.
    #[error("case {case}: {fault}")]
    Preprocess {
        /// Its name.
        case: String,
        /// Why not.
        fault: Box<PreprocessFault>,
    },

    /// Scores do not lie on the grid they are to be restored from.
    #[error(
        "expected scores of shape {expected:?} (classes, depth, height, width), found {found:?}"
    )]
    GridMismatch {
        /// (classes, depth, height, width) of the grid.
        expected: [usize; 4],
        /// (classes, depth, height, width) of the scores.
        found: [usize; 4],
    },

    /// No corrected copy can be made of a data set whose description is wrong.
    #[error(
        "{}: what channels and labels mean cannot be guessed; put the description right first",
        path.display()
    )]
    DescriptionNotFixable {
        /// The description.
        path: PathBuf,
    },

    /// Nothing would be left to train on in a corrected copy of a data set.
    #[error(
        "{}: no corrected copy: no training case with a label map would be left in it; put right by \
         hand what the check says of them",
        path.display()
    )]
    NothingFixable {
        /// The data set.
        path: PathBuf,
    },
}

/// Where a file is cut off.
pub(crate) fn cut(expected: u64, found: u64) -> String {
    if found < expected {
        format!("its header announces {expected} bytes, the file holds {found}")
    } else {
        "its compressed data lack their end".into()
    }
}

/// All endings, as in `.nii.gz or .nii`.
fn endings() -> String {
    crate::io::endings().collect::<Vec<_>>().join(" or ")
}

/// What was given that is no data set.
#[derive(Debug)]
pub enum Instead {
    /// A file of another kind.
    File,
    /// A folder without a description.
    Folder,
    /// A folder in which this one alone is a data set.
    Around(PathBuf),
}

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::File => write!(f, "another file"),
            Self::Folder => write!(f, "a folder without one"),
            Self::Around(within) => write!(f, "a folder of folders; give {}", within.display()),
        }
    }
}

/// Problems, those of one file behind its name.
fn joined(problems: &[Flaw]) -> String {
    let of_file = |problems: &[Flaw]| {
        let texts: Vec<&str> = problems.iter().map(|problem| problem.text.as_str()).collect();
        format!("{}: {}", problems[0].path.display(), texts.join("; "))
    };
    let files: Vec<String> = problems.chunk_by(|a, b| a.path == b.path).map(of_file).collect();
    files.join("; ")
}
