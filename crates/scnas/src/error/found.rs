//! What stands in a file that a run or a user gave, where something else should.

use burn::tensor::DataError;
use medvol::check::Misplaced;
use safetensors::{Dtype, SafeTensorError};

/// What a file holds instead of what is expected of it. [`Error::Invalid`](crate::Error::Invalid)
/// names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Found {
    /// No JSON, or another document.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A file that only Python reads.
    #[error("a pickle of Python")]
    Pickle,
    /// No safetensors file, or one with tensors that it cannot have.
    #[error("not a safetensors file ({0})")]
    NotSafetensors(#[from] SafeTensorError),
    /// A safetensors file without a document of this program.
    #[error("a safetensors file of another program")]
    AnotherProgram,
    /// A document of this program that is not understood.
    #[error("its description cannot be understood ({0})")]
    Description(serde_json::Error),
    /// Other bytes than were written.
    #[error("a damaged one: its checksum does not fit its content")]
    Damaged,
    /// No checksum.
    #[error("one without a checksum, as scnas wrote them at first; make it again")]
    NoChecksum,
    /// A version of the format that this program does not read.
    #[error("version {found}, but this program reads version {read}")]
    Version {
        /// That of the file.
        found: u32,
        /// The one that is read.
        read: u32,
    },
    /// A network that cannot be.
    #[error(
        "{channels} channels, {classes} classes, width {width}, patch {patch:?}, {labels} labels"
    )]
    Card {
        /// Its input channels.
        channels: usize,
        /// Its classes, background included.
        classes: usize,
        /// Channels of its stem.
        width: usize,
        /// The patch it was trained with, (depth, height, width) in voxels.
        patch: [usize; 3],
        /// Number of its labels, the background included.
        labels: usize,
    },
    /// Fewer values than the network has weights.
    #[error("an architecture of {needed} weights, but {values} values")]
    FewValues {
        /// Number of weights.
        needed: u64,
        /// Number of values in the file.
        values: u64,
    },
    /// A tensor is missing.
    #[error("no tensor {name}")]
    NoTensor {
        /// Its name.
        name: String,
    },
    /// A tensor that belongs to nothing.
    #[error("an unexpected tensor {name}")]
    SurplusTensor {
        /// Its name.
        name: String,
    },
    /// A tensor of another shape than the network's, or not of five axes.
    #[error("tensor {name} of shape {shape:?}{}", instead(expected))]
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The shape that it should have, where there is one.
        expected: Option<[usize; 5]>,
    },
    /// A tensor of other numbers than f32.
    #[error("tensor {name} of type {dtype:?}")]
    Type {
        /// Its name.
        name: String,
        /// Type of its numbers.
        dtype: Dtype,
    },
    /// A tensor that does not come from its device as numbers of type f32.
    #[error("{name}: {source}")]
    Values {
        /// Its name.
        name: String,
        /// What Burn says.
        source: DataError,
    },
    /// A weight of which the optimiser's moments are there in part.
    #[error("incomplete moments of {weight}")]
    Moments {
        /// Its name.
        weight: String,
    },
    /// A fold that does not place the cases as it should.
    #[error("in fold {fold} {misplaced}")]
    Fold {
        /// Its number.
        fold: usize,
        /// What is wrong with it.
        misplaced: Misplaced,
    },
    /// A list with nothing in it.
    #[error("an empty list")]
    EmptyList,
}

fn instead(expected: &Option<[usize; 5]>) -> String {
    expected.map_or_else(String::new, |shape| format!(" instead of {shape:?}"))
}
