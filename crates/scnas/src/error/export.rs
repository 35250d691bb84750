//! Why a model cannot be written for other programs.

use std::path::PathBuf;

/// Why a model cannot be written for other programs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportFault {
    /// Several models where a file holds one.
    #[error(
        "{}: expected one model; found {found}, those of a cross-validation's folds; name one of \
         its folds", path.display()
    )]
    SeveralModels {
        /// The folder.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
    /// An operation that other programs do not know.
    #[error(
        "expected operations that ONNX knows; found {operation}; predict with this program instead"
    )]
    Operation {
        /// The operation.
        operation: String,
    },
    /// More than a file can hold.
    #[error(
        "expected an ONNX file of {most} bytes at most; found a network that takes {bytes}; export a \
         narrower one"
    )]
    TooLarge {
        /// What it takes.
        bytes: usize,
        /// What can be.
        most: usize,
    },
}
