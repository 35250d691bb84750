//! What can go wrong, said so that the reader knows the file, what was expected, what was found and
//! what to do.

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
    /// The loss or its gradients are no numbers any more.
    #[error("{phase} diverged in epoch {}: the loss became {loss}, the norm of its gradients {norm}; expected finite numbers; the last checkpoint is kept, but going on from it would end the same way: start again in another folder (--out) with a lower learning rate, such as --set {phase}.weights.lr={}", epoch + 1, lr / 2.0)]
    Diverged { phase: &'static str, epoch: usize, loss: f64, norm: f64, lr: f64 },
    /// More memory is needed than there is.
    #[error("{name}: expected {needed} of memory or more ({parts}); found {allowed}; {remedy}")]
    Memory { name: String, needed: String, parts: String, allowed: String, remedy: String },
    /// Less space is left on the disk than the run will fill.
    #[error("{}: expected {needed} of free space or more, for the checkpoints and the model of this run; found {free}; make room, or give another folder with --out", path.display())]
    Disk { path: PathBuf, needed: String, free: String },
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
