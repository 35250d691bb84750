//! Files that are either complete or not there: a reader never sees half a file, whatever stops the writer.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Writes a file atomically: into a temporary file of the same folder, synced to disk, then renamed over `path`.
///
/// # Errors
/// [`Error::Write`]; an older file at `path` is then left as it was.
pub fn atomic_write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    write_and_rename(path, bytes).map_err(|source| Error::Write { path: path.to_path_buf(), source })
}

/// Writes a folder that appears only when it is complete: `fill` writes into a folder beside it and says whether that is complete.
///
/// # Errors
/// [`Error::Write`] where `folder` exists and is not an empty folder, or cannot be written; those of `fill`.
pub(crate) fn write_folder(folder: &Path, fill: impl FnOnce(&Path) -> Result<bool>) -> Result<()> {
    let failed = |source| Error::Write { path: folder.to_path_buf(), source };
    refuse_occupied(folder).map_err(failed)?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed)?;
    let staging = tempfile::Builder::new().prefix(".partial-").tempdir_in(parent).map_err(failed)?;
    // The temporary folder is private to its user; the one inside it is as readable as the umask allows.
    let partial = staging.path().join("folder");
    fs::create_dir(&partial).map_err(failed)?;
    if !fill(&partial)? {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir(folder).map_err(failed)?;
    }
    fs::rename(&partial, folder).map_err(failed)
}

fn refuse_occupied(folder: &Path) -> io::Result<()> {
    let occupied = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    if occupied {
        let reason = "the folder exists and is not empty; name a new one, or delete it first";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, reason));
    }
    Ok(())
}

fn write_and_rename(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".part");
    // Temporary files are private by default; a result should be as readable as the umask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The rename itself is durable only once the folder is on disk. Other systems cannot open a folder as a file.
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}
