//! Writing images: in the format of the name's ending, complete or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ndarray::Array3;

use super::format::{Content, Format, by_ending};
use super::grid::{Grid, Header};
use super::nifti;
use super::stream::PIECE;
use super::voxels::NumberType;
use crate::affine::Affine;
use crate::class_map::{ClassMap, Label};
use crate::error::{Error, Result};
use crate::volume::{Image, LabelMap};

/// Where an image is going to be written. Nothing is there before one of the methods of
/// [`Destination`] has written it.
///
/// # Errors
/// [`Error::UnknownEnding`] for a name that does not say its format.
pub fn create(path: impl AsRef<Path>) -> Result<Destination<'static>> {
    let path = path.as_ref().to_path_buf();
    match by_ending(&path) {
        Some(format) => Ok(Destination { path, format, reference: None }),
        None => Err(Error::UnknownEnding { path }),
    }
}

/// A file to be written, in the format of its ending.
#[derive(Clone, Debug)]
pub struct Destination<'a> {
    path: PathBuf,
    format: &'static dyn Format,
    reference: Option<&'a Header>,
}

impl Destination<'_> {
    /// The same, with what the header of an image on the same grid says about space, word by word:
    /// all of its matrices, codes, spacings and units, where both are of one format that has such.
    /// A header on another grid changes nothing.
    pub fn like<'a>(self, reference: &'a Header) -> Destination<'a> {
        Destination { path: self.path, format: self.format, reference: Some(reference) }
    }

    /// Refuses what cannot be written like the image that it is to be [like](Self::like), before
    /// there is anything to write.
    ///
    /// # Errors
    /// What the format cannot hold.
    pub fn check(&self) -> Result<()> {
        self.reference.map_or(Ok(()), |header| self.format.check_reference(&self.path, header))
    }

    /// Writes a label map `[depth, height, width]` as u8 if no value is above 255, else as u16.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a shape the format cannot hold, [`Error::Header`] for a singular
    /// affine, [`Error::Write`].
    pub fn labels(&self, labels: &LabelMap) -> Result<()> {
        let values = labels.voxels.iter().copied();
        with_values(labels.grid(), values, None, &|content| self.write(content))
    }

    /// Writes class indices `[depth, height, width]` as the label map that `labels` make of them,
    /// as [`Self::labels`] does, without making it in memory. A class without a label becomes
    /// 0.
    ///
    /// # Errors
    /// As [`Self::labels`].
    pub fn classes(&self, classes: &Array3<u8>, labels: &[Label], affine: Affine) -> Result<()> {
        let grid = Grid { channels: 1, shape: classes.dim().into(), affine };
        let map = ClassMap::new(labels);
        let values = classes.iter().map(|&class| map.value(class.into()).unwrap_or(0));
        with_values(grid, values, Some(labels), &|content| self.write(content))
    }

    /// Writes an image as f32: three-dimensional if it has one channel, else with the channels as
    /// a further dimension.
    ///
    /// # Errors
    /// As [`Self::labels`].
    pub fn image(&self, image: &Image) -> Result<()> {
        with_image(image, &|content| self.write(content))
    }

    fn write(&self, content: Content) -> Result<()> {
        let same_place = |header: &&Header| {
            header.grid.shape == content.grid.shape && header.grid.affine == content.grid.affine
        };
        let reference = self.reference.filter(same_place);
        self.format.write(&self.path, &Content { reference, ..content })
    }
}

/// The bytes of an uncompressed NIfTI file that holds a label map as [`Destination::labels`] writes
/// it: for programs that are handed an image of whatever format.
///
/// # Errors
/// As [`Destination::labels`].
pub fn labels_as_nifti(labels: &LabelMap) -> Result<Vec<u8>> {
    with_values(labels.grid(), labels.voxels.iter().copied(), None, &|content| {
        nifti::bytes(&content)
    })
}

/// The bytes of an uncompressed NIfTI file that holds an image as [`Destination::image`] writes it.
///
/// # Errors
/// As [`Destination::labels`].
pub fn image_as_nifti(image: &Image) -> Result<Vec<u8>> {
    with_image(image, &|content| nifti::bytes(&content))
}

/// Hands the values of a label map on, in bytes as small as they can be.
fn with_values<T>(
    grid: Grid,
    values: impl Iterator<Item = u16> + Clone,
    labels: Option<&[Label]>,
    hand: &dyn Fn(Content) -> Result<T>,
) -> Result<T> {
    if values.clone().all(|value| value <= 255) {
        with_bytes(grid, NumberType::U8, values.map(|value| value as u8), labels, hand)
    } else {
        with_bytes(grid, NumberType::U16, values.flat_map(u16::to_le_bytes), labels, hand)
    }
}

/// Hands the values of an image on.
fn with_image<T>(image: &Image, hand: &dyn Fn(Content) -> Result<T>) -> Result<T> {
    let bytes = image.voxels.iter().flat_map(|value| value.to_le_bytes());
    with_bytes(image.grid(), NumberType::F32, bytes, None, hand)
}

fn with_bytes<T>(
    grid: Grid,
    numbers: NumberType,
    bytes: impl Iterator<Item = u8> + Clone,
    labels: Option<&[Label]>,
    hand: &dyn Fn(Content) -> Result<T>,
) -> Result<T> {
    let voxels = |to: &mut dyn Write| write_pieces(to, bytes.clone());
    hand(Content { grid, numbers, voxels: &voxels, reference: None, labels })
}

fn write_pieces(to: &mut dyn Write, mut bytes: impl Iterator<Item = u8>) -> io::Result<()> {
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        piece.clear();
        piece.extend(bytes.by_ref().take(PIECE));
        if piece.is_empty() {
            return Ok(());
        }
        to.write_all(&piece)?;
    }
}
