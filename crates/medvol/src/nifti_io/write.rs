//! Writing: little-endian, sform and qform from the volume's affine (exact to the format's f32),
//! complete or not at all.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use ndarray::Array3;

use super::Grid;
use super::header::{self, DATA_OFFSET, DataType};
use crate::affine::Affine;
use crate::atomic::atomic_write_with;
use crate::class_map::{ClassMap, Label};
use crate::error::Result;
use crate::volume::{Image, LabelMap};

/// Bytes handed on at a time.
const PIECE: usize = 1 << 16;

/// Writes a label map as u8 if no value is above 255, else as u16; compressed if the name ends in
/// `.gz`.
///
/// # Errors
/// [`Error::Unsupported`] for a name that ends in neither `.nii` nor `.nii.gz` or a shape the
/// format cannot hold, [`Error::Header`] for a singular affine, [`Error::Write`].
pub fn write_labels(path: impl AsRef<Path>, labels: &LabelMap) -> Result<()> {
    let grid = Grid { channels: 1, shape: labels.shape(), affine: labels.affine };
    write_values(path.as_ref(), &grid, labels.voxels.iter().copied())
}

/// Writes class indices `[depth, height, width]` as the label map that `labels` make of them, as
/// [`write_labels`] does, without making it in memory. A class without a label becomes 0.
///
/// # Errors
/// As [`write_labels`].
pub fn write_classes(
    path: impl AsRef<Path>,
    classes: &Array3<u8>,
    labels: &[Label],
    affine: Affine,
) -> Result<()> {
    let grid = Grid { channels: 1, shape: classes.dim().into(), affine };
    let map = ClassMap::new(labels);
    write_values(
        path.as_ref(),
        &grid,
        classes.iter().map(|&class| map.value(class.into()).unwrap_or(0)),
    )
}

fn write_values(path: &Path, grid: &Grid, values: impl Iterator<Item = u16> + Clone) -> Result<()> {
    if values.clone().all(|value| value <= 255) {
        write(path, grid, DataType::U8, values.map(|value| value as u8))
    } else {
        write(path, grid, DataType::U16, values.flat_map(u16::to_le_bytes))
    }
}

/// Writes an image as f32: three-dimensional if it has one channel, else with the channels as the
/// fourth dimension.
///
/// # Errors
/// As [`write_labels`].
pub fn write_image(path: impl AsRef<Path>, image: &Image) -> Result<()> {
    let grid = Grid { channels: image.channels(), shape: image.shape(), affine: image.affine };
    let bytes = image.voxels.iter().flat_map(|value| value.to_le_bytes());
    write(path.as_ref(), &grid, DataType::F32, bytes)
}

fn write(
    path: &Path,
    grid: &Grid,
    data_type: DataType,
    voxels: impl Iterator<Item = u8>,
) -> Result<()> {
    let name = path.to_string_lossy().to_ascii_lowercase();
    let compress = name.ends_with(".nii.gz");
    if !compress && !name.ends_with(".nii") {
        return Err(header::unsupported(
            path,
            "the name of a NIfTI file must end in .nii or .nii.gz",
        ));
    }
    let mut start = header::build(path, grid, data_type)?.to_vec();
    // No extensions follow.
    start.resize(DATA_OFFSET as usize, 0);
    atomic_write_with(path, |file| {
        if compress {
            let mut encoder = GzEncoder::new(file, Compression::default());
            write_pieces(&mut encoder, &start, voxels)?;
            encoder.finish().map(|_| ())
        } else {
            write_pieces(file, &start, voxels)
        }
    })
}

fn write_pieces(
    to: &mut dyn Write,
    start: &[u8],
    mut voxels: impl Iterator<Item = u8>,
) -> std::io::Result<()> {
    to.write_all(start)?;
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        piece.clear();
        piece.extend(voxels.by_ref().take(PIECE));
        if piece.is_empty() {
            return Ok(());
        }
        to.write_all(&piece)?;
    }
}
