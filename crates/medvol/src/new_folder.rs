//! Folders that are either complete or not there, and never written over.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes a folder that appears only when it is complete: `fill` writes into a folder beside it and
/// says whether that is complete.
///
/// # Errors
/// [`Error::Write`] where `folder` exists and is not an empty folder, or cannot be written; those
/// of `fill`.
pub(crate) fn write_folder(folder: &Path, fill: impl FnOnce(&Path) -> Result<bool>) -> Result<()> {
    let failed = |source| Error::Write { path: folder.to_path_buf(), source };
    refuse_occupied(folder).map_err(failed)?;
    let parent =
        folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed)?;
    let staging =
        tempfile::Builder::new().prefix(".partial-").tempdir_in(parent).map_err(failed)?;
    // The temporary folder is private to its user; the one inside it is as readable as the umask
    // allows.
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
