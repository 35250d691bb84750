//! Writing: little-endian, sform and qform from the volume's affine (exact to the format's f32), complete or not at all.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Grid;
use super::header::{self, DATA_OFFSET, DataType};
use crate::atomic::atomic_write;
use crate::error::{Error, Result};
use crate::volume::{Image, LabelMap};

/// Writes a label map as u8 if no value is above 255, else as u16; compressed if the name ends in `.gz`.
///
/// # Errors
/// [`Error::Unsupported`] for a name that ends in neither `.nii` nor `.nii.gz` or a shape the format cannot hold,
/// [`Error::Header`] for a singular affine, [`Error::Write`].
pub fn write_labels(path: impl AsRef<Path>, labels: &LabelMap) -> Result<()> {
    let grid = Grid { channels: 1, shape: labels.shape(), affine: labels.affine };
    if labels.voxels.iter().all(|&value| value <= 255) {
        let bytes = labels.voxels.iter().map(|&value| value as u8);
        write(path.as_ref(), &grid, DataType::U8, bytes)
    } else {
        let bytes = labels.voxels.iter().flat_map(|value| value.to_le_bytes());
        write(path.as_ref(), &grid, DataType::U16, bytes)
    }
}

/// Writes an image as f32: three-dimensional if it has one channel, else with the channels as the fourth dimension.
///
/// # Errors
/// As [`write_labels`].
pub fn write_image(path: impl AsRef<Path>, image: &Image) -> Result<()> {
    let grid = Grid { channels: image.channels(), shape: image.shape(), affine: image.affine };
    let bytes = image.voxels.iter().flat_map(|value| value.to_le_bytes());
    write(path.as_ref(), &grid, DataType::F32, bytes)
}

fn write(path: &Path, grid: &Grid, data_type: DataType, voxels: impl Iterator<Item = u8>) -> Result<()> {
    let name = path.to_string_lossy().to_ascii_lowercase();
    let compress = name.ends_with(".nii.gz");
    if !compress && !name.ends_with(".nii") {
        return Err(header::unsupported(path, "the name of a NIfTI file must end in .nii or .nii.gz"));
    }
    let mut bytes = header::build(path, grid, data_type)?.to_vec();
    // No extensions follow.
    bytes.resize(DATA_OFFSET as usize, 0);
    bytes.extend(voxels);
    if compress {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        bytes = encoder
            .write_all(&bytes)
            .and_then(|()| encoder.finish())
            .map_err(|source| Error::Write { path: path.to_path_buf(), source })?;
    }
    atomic_write(path, &bytes)
}
