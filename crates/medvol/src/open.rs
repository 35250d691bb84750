//! Opening files that others wrote.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Opens a file to read it. A named pipe or a device is refused: it might never give a byte, or
/// never end.
///
/// # Errors
/// Those of the system, and [`ErrorKind::InvalidInput`] for what is no file.
pub fn open_file(path: impl AsRef<Path>) -> Result<File> {
    let path = path.as_ref();
    // Before it is opened, as to open a pipe that nobody writes to waits for ever.
    let kind = path.metadata()?.file_type();
    match kind.is_file() {
        true => File::open(path),
        false if kind.is_dir() => {
            Err(Error::new(ErrorKind::InvalidInput, "expected a file, found a folder"))
        }
        false => Err(Error::new(
            ErrorKind::InvalidInput,
            "expected a file, found a pipe or a device; write its content to a file",
        )),
    }
}
