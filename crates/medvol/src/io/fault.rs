//! What can be wrong with the headers of NIfTI, NRRD and MetaImage files, and what they may hold
//! that is not read.

use std::path::Path;

use crate::affine::Affine;
use crate::error::Error;

/// What contradicts itself or the format in a header. [`Error::Header`] names the file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderFault {
    /// A line of text that is no field.
    #[error("the line {line:?} is no field with a value")]
    Line {
        /// How it begins.
        line: String,
    },

    /// A field is needed and not there.
    #[error("it has no field {field}")]
    Missing {
        /// Its name.
        field: &'static str,
    },

    /// A field is there twice.
    #[error("the field {field} stands there twice")]
    Twice {
        /// Its name.
        field: String,
    },

    /// A field has a value that makes no sense.
    #[error("{field}: expected {expected}; found {}", or_nothing(found))]
    Value {
        /// Its name.
        field: String,
        /// What there should be.
        expected: &'static str,
        /// What there is.
        found: String,
    },

    /// A field that should have several values has others, or another number of them.
    #[error("{field}: expected {count} {of}; found {}", or_nothing(found))]
    Values {
        /// Its name.
        field: String,
        /// How many values there should be.
        count: usize,
        /// What each should be, in the plural.
        of: &'static str,
        /// What there is.
        found: String,
    },

    /// So many voxels that their bytes cannot be counted.
    #[error("sizes of {sizes:?} are more than there can be")]
    TooLarge {
        /// Of all axes.
        sizes: Vec<usize>,
    },

    /// The voxels begin within the header, or between two bytes.
    #[error("the voxels begin at byte {found}; expected {least} or more")]
    Begin {
        /// Byte at which they begin.
        found: f64,
        /// The first byte at which they can.
        least: u64,
    },

    /// The map from voxels to millimetres cannot be turned round.
    #[error("its axes span no space, or some numbers are not finite: {rows:?}")]
    Singular {
        /// The first three rows of its matrix.
        rows: [[f64; 4]; 3],
    },

    /// Neither a matrix nor a spacing can be used.
    #[error("no part of it places the voxels")]
    NoPlace,

    /// The unit of length is not the same for all axes.
    #[error("its axes in space have different units; expected one for all")]
    MixedUnits,

    /// More or fewer files hold the voxels than the sizes need.
    #[error("names {found} data files; its sizes {sizes:?} ask for {expected}")]
    FileCount {
        /// Files that it names.
        found: u64,
        /// How many there should be.
        expected: u64,
        /// Of all axes, the fastest first.
        sizes: Vec<usize>,
    },

    /// Segments in layers that cannot be joined to one label map.
    #[error(
        "the segments {:?} and {:?} are in layers of their own and have the same value {value}; \
         give each segment its own, or export the segmentation as one label map",
        segments[0], segments[1]
    )]
    SameValue {
        /// The names of two of them.
        segments: [String; 2],
        /// The value that both have.
        value: u16,
    },

    /// A voxel of a segmentation with a value that no segment has.
    #[error("layer {layer} holds {value}, of no segment")]
    NoSegment {
        /// The layer, from 0.
        layer: usize,
        /// The value.
        value: u16,
    },
}

impl HeaderFault {
    pub(super) fn line(line: &str) -> Self {
        Self::Line { line: line.chars().take(60).collect() }
    }

    pub(super) fn value(
        field: impl Into<String>,
        expected: &'static str,
        found: impl ToString,
    ) -> Self {
        Self::Value { field: field.into(), expected, found: found.to_string() }
    }

    pub(super) fn values(field: &str, count: usize, of: &'static str, found: &str) -> Self {
        Self::Values { field: field.into(), count, of, found: found.into() }
    }

    pub(super) fn singular(affine: &Affine) -> Self {
        let [x, y, z, _] = affine.0;
        Self::Singular { rows: [x, y, z] }
    }

    /// The error of the file at `path`.
    pub(super) fn of(self, path: &Path) -> Error {
        Error::Header { path: path.to_path_buf(), fault: Box::new(self) }
    }
}

/// What a file holds, or should be written with, that is not supported. [`Error::Unsupported`]
/// names the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// A file with the name of one of NIfTI.
    #[error("is not a NIfTI file; convert it to NIfTI")]
    NotNifti,

    /// Something else that is known by its first bytes.
    #[error("{what}")]
    Foreign {
        /// What it is, and what to do.
        what: &'static str,
    },

    /// A header as long as one of NIfTI that does not say that it is one.
    #[error(
        "its header has no mark of NIfTI (it may be one of Analyze, or damaged by a transfer as \
         text); convert it to NIfTI, or transfer it again"
    )]
    NoMark,

    /// A pair of header and voxels by the name of a file that holds both.
    #[error("is the header of a pair, which would be named .hdr and .img; rename both")]
    PairName,

    /// Another version of NRRD.
    #[error("begins with {mark:?}; expected an NRRD file of version 1 to {newest}")]
    Version {
        /// How the file begins.
        mark: String,
        /// The newest version that is read.
        newest: u8,
    },

    /// A MetaImage file that holds no image.
    #[error("holds an object of type {found:?}; expected Image")]
    Object {
        /// Its type.
        found: String,
    },

    /// Voxels that are no real numbers.
    #[error(
        "its voxels have the data type {found}, which cannot be read; convert them to integers or \
         floats, one channel a volume"
    )]
    DataType {
        /// As the header has it.
        found: String,
    },

    /// Channels that are the parts of complex numbers.
    #[error(
        "its voxels are complex numbers; convert them to magnitudes, or to channels of kind \
         \"list\""
    )]
    Complex,

    /// Voxels in an encoding that is not read.
    #[error(
        "its voxels are encoded as {found:?}, which cannot be read; write it again with gzip or \
         raw encoding"
    )]
    Encoding {
        /// As the header has it.
        found: String,
    },

    /// More or fewer axes than an image with channels has.
    #[error(
        "of its axes of sizes {sizes:?}, {in_space} lie in space and {of_channels} hold channels; \
         expected 2 or 3 dimensions in space and at most 1 of channels"
    )]
    Axes {
        /// Of all axes.
        sizes: Vec<usize>,
        /// How many lie in space.
        in_space: usize,
        /// How many others have more than one voxel.
        of_channels: usize,
    },

    /// Compressed voxels of which the header only says where they end.
    #[error(
        "its voxels are to be found from the end of the file, which is only possible where nothing \
         is compressed; write it again"
    )]
    FromTheEnd,

    /// A header of text that does not end.
    #[error("its header goes on for more than {most} bytes; write it again")]
    LongHeader {
        /// Bytes that are read of it.
        most: u64,
    },

    /// A file that does not end.
    #[error(
        "goes on for more than {most} bytes behind the {announced} that its header announces; \
         convert it again"
    )]
    LongFile {
        /// Bytes that are read behind the voxels.
        most: u64,
        /// Bytes up to there.
        announced: u64,
    },

    /// A header is to be written that cannot name the file of its voxels.
    #[error(
        "its data file would have a name that a header cannot hold; choose a name in UTF-8 \
         without %, or a format of one file (.nrrd, .mha)"
    )]
    DataFileName,
}

impl Unsupported {
    /// The error of the file at `path`.
    pub(super) fn of(self, path: &Path) -> Error {
        Error::Unsupported { path: path.to_path_buf(), what: self }
    }
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "nothing" } else { text }
}
