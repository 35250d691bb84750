//! JSON documents of a run folder.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// What a document holds.
///
/// # Errors
/// When it cannot be read, or holds something else.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|e| Error::file("read", path, e))?;
    let remedy = "remove it and run the command that wrote it again";
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::invalid(path, "a file as scnas writes it", e, remedy))
}
