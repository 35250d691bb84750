//! Files that are either complete or not there: a reader never sees half a file, whatever stops the
//! writer.

use std::io::{self, BufWriter, Error, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::error::{self, Result};

/// Writes a file atomically: into a temporary file of the same folder, synced to disk, then renamed
/// over `path`.
///
/// # Errors
/// [`Error::Write`](crate::Error::Write); an older file at `path` is then left as it was.
pub fn atomic_write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    atomic_write_with(path.as_ref(), |file| file.write_all(bytes))
}

/// [`atomic_write`] of what `write` writes piece by piece.
///
/// # Errors
/// As [`atomic_write`].
pub fn atomic_write_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    write_and_rename(path, write, None)
        .map_err(|source| error::Error::Write { path: path.to_path_buf(), source })
}

/// As [`atomic_write`], but what stood at `path` before is kept as `previous`, in the same folder.
/// Whatever stops the writer, at least one of the two files is there and whole.
///
/// # Errors
/// [`Error::Write`](crate::Error::Write); an older file at `path` is then left as it was, or has
/// become `previous`.
pub fn atomic_write_keeping(
    path: impl AsRef<Path>,
    previous: impl AsRef<Path>,
    bytes: &[u8],
) -> Result<()> {
    let path = path.as_ref();
    write_and_rename(path, |file| file.write_all(bytes), Some(previous.as_ref()))
        .map_err(|source| error::Error::Write { path: path.to_path_buf(), source })
}

/// Beginning and end of the names of temporary files.
const LEFTOVER: (&str, &str) = (".scnas-", ".part");

/// Removes the temporary files that writers who were killed left in a folder. Only where nobody
/// else writes: a file under way is lost too.
pub fn remove_leftovers(folder: impl AsRef<Path>) {
    remove_abandoned(folder, Duration::ZERO);
}

/// [`remove_leftovers`] that nobody has written to for as long as `since`: where others may write.
pub fn remove_abandoned(folder: impl AsRef<Path>, since: Duration) {
    let (prefix, suffix) = LEFTOVER;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let temporary =
            name.to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(suffix));
        let abandoned = || {
            let changed = entry.metadata().and_then(|file| file.modified());
            since.is_zero()
                || changed.is_ok_and(|time| time.elapsed().is_ok_and(|age| age >= since))
        };
        if temporary && abandoned() {
            // One that stays is in nobody's way.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether files can be made in a folder, to be known before there is something to write.
///
/// # Errors
/// [`Error::Write`](crate::Error::Write) of the folder.
pub fn can_write_in(folder: impl AsRef<Path>) -> Result<()> {
    let path = folder.as_ref();
    let made = temporary_in(path).map(drop);
    made.map_err(|source| error::Error::Write { path: path.to_path_buf(), source })
}

fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    let (prefix, suffix) = LEFTOVER;
    builder.prefix(prefix).suffix(suffix);
    // Temporary files are private by default; a result should be as readable as the umask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder).map_err(of_system)
}

/// What the system says, without the name of the temporary file.
fn of_system(error: Error) -> Error {
    let within = error.get_ref().and_then(std::error::Error::source);
    let number = within.and_then(|e| e.downcast_ref::<Error>()).and_then(Error::raw_os_error);
    number.map_or(error, Error::from_raw_os_error)
}

fn write_and_rename(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    previous: Option<&Path>,
) -> io::Result<()> {
    // A device or a pipe would be replaced by a file of its name.
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "expected the name of a file, found a folder, a pipe or a device",
        ));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = temporary_in(folder)?;
    let mut buffered = BufWriter::new(file.as_file_mut());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    as_far_as_can_be(file.as_file().sync_all())?;
    if let Some(previous) = previous.filter(|_| path.exists()) {
        std::fs::rename(path, previous)?;
    }
    let renamed = file.persist(path).or_else(|refused| match refused.error.kind() {
        // Some drives rename over nothing.
        ErrorKind::AlreadyExists => {
            std::fs::remove_file(path)?;
            Ok(refused.file.persist(path)?)
        }
        _ => Err(refused.error),
    });
    renamed?;
    // The rename itself is durable only once the folder is on disk. Other systems cannot open a
    // folder as a file.
    #[cfg(unix)]
    as_far_as_can_be(std::fs::File::open(folder).and_then(|folder| folder.sync_all()))?;
    Ok(())
}

/// Lets pass that a file system cannot bring a file or a folder to the disk at a time of our choice:
/// network drives, shared folders of virtual machines and the like say so in many ways, and the file
/// is written all the same. A disk that is full or broken is an error.
fn as_far_as_can_be(synced: io::Result<()>) -> io::Result<()> {
    /// The file is not open for this: some drives say it of every folder. The same on every Unix.
    const EBADF: i32 = 9;
    let unable = |error: &Error| {
        error.raw_os_error() == Some(EBADF)
            || matches!(
                error.kind(),
                ErrorKind::InvalidInput
                    | ErrorKind::Unsupported
                    | ErrorKind::PermissionDenied
                    | ErrorKind::IsADirectory
            )
    };
    match synced {
        Err(error) if unable(&error) => Ok(()),
        synced => synced,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_file_system_cannot_do_is_let_pass() {
        // EBADF, EACCES, EISDIR, EINVAL; EIO, ENOSPC.
        for (number, passes) in
            [(9, true), (13, true), (21, true), (22, true), (5, false), (28, false)]
        {
            let synced = as_far_as_can_be(Err(Error::from_raw_os_error(number)));
            assert_eq!(synced.is_ok(), passes, "{number}");
        }
        assert!(as_far_as_can_be(Err(ErrorKind::Unsupported.into())).is_ok());
    }
}
