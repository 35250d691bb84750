//! Reading and writing one file of any format.

#![allow(dead_code)]

use std::path::Path;

use medvol::io::{self, Grid, Source};
use medvol::{Image, LabelMap, Result};

/// The grid that a file's header tells.
pub fn read_grid(path: impl Into<Source>) -> Result<Grid> {
    Ok(path.into().open()?.grid())
}

/// A file's voxels, whatever they are.
pub fn read_image(path: impl Into<Source>) -> Result<Image> {
    path.into().open()?.image()
}

/// A file's labels.
pub fn read_labels(path: impl Into<Source>) -> Result<LabelMap> {
    path.into().open()?.labels()
}

/// Writes an image in the format of its name.
pub fn write_image(path: impl AsRef<Path>, image: &Image) -> Result<()> {
    io::create(path)?.image(image)
}

/// Writes a label map in the format of its name.
pub fn write_labels(path: impl AsRef<Path>, labels: &LabelMap) -> Result<()> {
    io::create(path)?.labels(labels)
}
