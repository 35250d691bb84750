//! A folder for one process at a time, as far as its file system can say so.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::message::Message;
use crate::observer::Observer;

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes a folder's lock. On a file system without locks it goes on with a warning.
    ///
    /// # Errors
    /// [`Error::InUse`] where another process holds it; when the folder cannot be written.
    pub fn take(folder: &Path, observer: &dyn Observer) -> Result<Self> {
        Self::take_named("lock", folder, observer)
    }

    /// As [`Lock::take`], another lock of the folder.
    ///
    /// # Errors
    /// Those of [`Lock::take`].
    pub fn take_named(name: &str, folder: &Path, observer: &dyn Observer) -> Result<Self> {
        let (path, file) = create(folder, name)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: folder.into() }),
            Err(TryLockError::Error(error)) => without(&path, error, observer)?,
        }
        Ok(Self { _file: file })
    }

    /// Waits until the lock is free.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn wait(folder: &Path, observer: &dyn Observer) -> Result<Self> {
        Self::wait_named("lock", folder, observer)
    }

    /// As [`Lock::wait`], for another lock of the folder.
    ///
    /// # Errors
    /// Those of [`Lock::wait`].
    pub fn wait_named(name: &str, folder: &Path, observer: &dyn Observer) -> Result<Self> {
        let (path, file) = create(folder, name)?;
        file.lock().or_else(|error| without(&path, error, observer))?;
        Ok(Self { _file: file })
    }
}

fn create(folder: &Path, name: &str) -> Result<(std::path::PathBuf, File)> {
    let path = folder.join(name);
    let file = File::create(&path).map_err(|e| Error::file("create", &path, e))?;
    Ok((path, file))
}

/// Goes on without a lock where the file system has none.
fn without(path: &Path, error: io::Error, observer: &dyn Observer) -> Result<()> {
    if !has_no_locks(&error) {
        return Err(Error::file("lock", path, error));
    }
    observer.message(&Message::NoLocks { path: path.into(), error });
    Ok(())
}

/// Whether the file system, and not the file, is at fault. A network drive without a lock server
/// says `ENOLCK`, other systems that they do not know the call.
fn has_no_locks(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(rustix::io::Errno::NOLCK.raw_os_error()) {
        return true;
    }
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::observer::Silent;
    use rustix::io::Errno;

    #[test]
    fn a_second_process_is_kept_away() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path(), &Silent).unwrap();
        assert!(matches!(Lock::take(folder.path(), &Silent), Err(Error::InUse { .. })));
        drop(lock);
        Lock::take(folder.path(), &Silent).unwrap();
    }

    #[test]
    fn only_a_file_system_without_locks_is_gone_on_with() {
        for (errno, goes_on) in [
            (Errno::NOLCK, true),
            (Errno::OPNOTSUPP, true),
            (Errno::NOTSUP, true),
            (Errno::NOSYS, true),
            (Errno::INVAL, true),
            (Errno::IO, false),
            (Errno::ACCESS, false),
            (Errno::NOSPC, false),
        ] {
            assert_eq!(has_no_locks(&errno.into()), goes_on, "{errno:?}");
        }
    }
}
