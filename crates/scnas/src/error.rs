//! What can go wrong, said so that the reader knows the file, what was expected, what was found and what to do.

use std::path::{Path, PathBuf};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A volume or data set is at fault.
    #[error(transparent)]
    Volume(#[from] medvol::Error),
    /// A device is unknown or not compiled in.
    #[error(transparent)]
    Device(#[from] volops::DeviceError),
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    /// A file is not what it should be.
    #[error("{}: expected {expected}; found {found}; {remedy}", path.display())]
    Invalid { path: PathBuf, expected: String, found: String, remedy: String },
    /// Another process works in a run folder.
    #[error("{}: expected a run folder that no other process uses; it is in use; wait for the other process, stop it, or give another folder with --out", path.display())]
    InUse { path: PathBuf },
    /// A setting is impossible.
    #[error("{key}: expected {expected}; found {found}; {remedy}")]
    Config { key: String, expected: String, found: String, remedy: String },
    /// Training produced a loss that is not a number.
    #[error("the loss became {loss} in epoch {epoch}: the last good state is kept; lower the learning rate and run the same command again")]
    Diverged { epoch: usize, loss: f64 },
    /// A prediction needs more memory than there is.
    #[error("{name}: expected {needed} of memory or more ({parts}); found {allowed}; {remedy}")]
    Memory { name: String, needed: String, parts: String, allowed: String, remedy: String },
    /// The user asked to stop; everything is saved.
    #[error("stopped by request; everything is saved, the same command goes on from here")]
    Stopped,
}

impl Error {
    /// An operating-system error while trying to `action` (a verb) the file at `path`.
    pub fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { action, path: path.into(), source }
    }
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
