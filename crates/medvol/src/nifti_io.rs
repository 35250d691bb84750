//! Reading and writing NIfTI-1 files (`.nii`, `.nii.gz`).
//!
//! The format is decoded here and not by the `nifti` crate: that crate panics on several headers
//! found in the wild (bitpix against datatype, a quaternion with `pixdim[0] = 0`, negative pixdim),
//! makes every voxel NaN where the slope is NaN, trusts the announced size before it allocates, and
//! its writer is not atomic. Working around all of it takes more code than the 348 bytes of header
//! do.

mod header;
mod quaternion;
mod voxels;
mod write;

use std::path::Path;

use ndarray::{Array3, Array4};

use crate::affine::Affine;
use crate::error::{Error, Result};
use crate::raw::RawImage;
use crate::volume::{Image, LabelMap};
use header::{DataType, Header};

pub use write::{write_classes, write_image, write_labels};

/// How far a label may be from an integer: files with a scale factor store integers inexactly.
pub(crate) const INTEGER_TOLERANCE: f64 = 1e-4;

/// What a file's header says about its grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Number of channels (volumes) in the file.
    pub channels: usize,
    /// (depth, height, width)
    pub shape: [usize; 3],
    /// From voxel `(i, j, k)` to mm in RAS+.
    pub affine: Affine,
}

impl Grid {
    /// Voxels of all channels.
    pub fn voxels(&self) -> u64 {
        self.shape
            .iter()
            .fold(self.channels as u64, |product, &extent| product.saturating_mul(extent as u64))
    }
}

/// Reads a file's header only: what is needed to plan spacing and patch sizes for a whole data set.
///
/// # Errors
/// [`Error::Read`], [`Error::Truncated`], [`Error::Unsupported`], [`Error::Header`].
pub fn read_grid(path: impl AsRef<Path>) -> Result<Grid> {
    Ok(voxels::open(path.as_ref())?.0.grid)
}

/// Reads an image of any scalar type as f32, the file's scale factor applied. A fourth dimension
/// becomes the channels.
///
/// # Errors
/// [`Error::Read`], [`Error::Truncated`], [`Error::Unsupported`], [`Error::Header`],
/// [`Error::OutOfMemory`]. Voxels that are not finite are returned as they are (see
/// [`load_image`](crate::load_image)).
pub fn read_image(path: impl AsRef<Path>) -> Result<Image> {
    let path = path.as_ref();
    let (grid, values) = voxels::read(voxels::open(path)?, |_, value| Ok(value as f32))?;
    let [depth, height, width] = grid.shape;
    let voxels = Array4::from_shape_vec((grid.channels, depth, height, width), values)
        .map_err(|error| header::invalid(path, error.to_string()))?;
    Ok(Image { voxels, affine: grid.affine })
}

/// Reads an image as [`read_image`] does, but keeps integers of up to 16 bits as they are stored,
/// which takes half the memory.
///
/// # Errors
/// Those of [`read_image`].
pub fn read_raw(path: impl AsRef<Path>) -> Result<RawImage> {
    let path = path.as_ref();
    let (header, source) = voxels::open(path)?;
    if !short(header.data_type) {
        return read_image(path).map(RawImage::from);
    }
    let scale = header.scale;
    let unscaled = Header { scale: (1.0, 0.0), ..header };
    let (grid, stored) = voxels::read((unscaled, source), |_, value| Ok(value as i16))?;
    let [depth, height, width] = grid.shape;
    let stored = Array4::from_shape_vec((grid.channels, depth, height, width), stored)
        .map_err(|error| header::invalid(path, error.to_string()))?;
    Ok(RawImage::of_integers(stored, scale, grid.affine))
}

/// Reads a file's header only: its grid, and the bytes that [`read_raw`] needs for its voxels.
///
/// # Errors
/// Those of [`read_grid`].
pub fn read_raw_size(path: impl AsRef<Path>) -> Result<(Grid, u64)> {
    let header = voxels::open(path.as_ref())?.0;
    let voxels = header.data_bytes / header.data_type.bytes() as u64;
    Ok((header.grid, voxels * if short(header.data_type) { 2 } else { 4 }))
}

/// Whether every stored value is one of an i16.
fn short(data_type: DataType) -> bool {
    matches!(data_type, DataType::U8 | DataType::I8 | DataType::I16)
}

/// Reads a label map: one channel of integers from 0 to 65535, stored in any scalar type.
///
/// # Errors
/// Those of [`read_image`], [`Error::ChannelCount`], [`Error::LabelNotInteger`].
pub fn read_labels(path: impl AsRef<Path>) -> Result<LabelMap> {
    let path = path.as_ref();
    let (grid, values) = voxels::read(voxels::open(path)?, |(grid, index), value| {
        if grid.channels != 1 {
            return Err(Error::ChannelCount {
                path: path.to_path_buf(),
                expected: 1,
                found: grid.channels,
            });
        }
        let rounded = value.round();
        // The negated comparison also refuses NaN.
        if !((value - rounded).abs() <= INTEGER_TOLERANCE && (0.0..=65535.0).contains(&rounded)) {
            let [_, height, width] = grid.shape;
            return Err(Error::LabelNotInteger {
                path: path.to_path_buf(),
                voxel: [index / (height * width), index / width % height, index % width],
                value,
            });
        }
        Ok(rounded as u16)
    })?;
    let [depth, height, width] = grid.shape;
    let voxels = Array3::from_shape_vec((depth, height, width), values)
        .map_err(|error| header::invalid(path, error.to_string()))?;
    Ok(LabelMap { voxels, affine: grid.affine })
}
