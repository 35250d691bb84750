//! Reading an image, whose channels may be in several sources.

use std::fmt;
use std::io::{Error as IoError, ErrorKind};

use ndarray::{Array4, Axis, concatenate};

use super::afterwards::Afterwards;
use super::crop::Crop;
use super::fault::Unsupported;
use super::foreign::foreign;
use super::format::of_source;
use super::grid::{Grid, Header};
use super::order::Order;
use super::source::Source;
use super::stream::Stream;
use super::turn::Turn;
use super::voxels::Stored;
use crate::error::{Error, Result};
use crate::raw::{RawImage, View};
use crate::volume::{Image, LabelMap};

/// How far a label may be from an integer: files with a scale factor store integers inexactly.
pub(crate) const INTEGER_TOLERANCE: f64 = 1e-4;

/// Opens an image whose channels are in one source or in several: reads headers only.
///
/// # Errors
/// [`Error::NoSource`], [`Error::Read`], [`Error::Truncated`], [`Error::UnknownFormat`],
/// [`Error::Unsupported`], [`Error::Header`]; [`Error::ShapeMismatch`] or [`Error::PlaceMismatch`]
/// if the sources do not lie on the same grid.
pub fn open(sources: &[Source]) -> Result<Opened> {
    let (first, others) = sources.split_first().ok_or(Error::NoSource)?;
    let first = Part::open(first)?;
    let mut header = first.header.clone();
    let mut parts = vec![first];
    for source in others {
        let part = Part::open(source)?;
        parts[0].header.check_same_place(parts[0].source(), source, &part.header)?;
        header.grid.channels += part.header.grid.channels;
        parts.push(part);
    }
    Ok(Opened { header, parts, finite_only: false, crop: None, turn: None })
}

/// An image whose headers are read and whose voxels are not, yet.
pub struct Opened {
    header: Header,
    /// At least one.
    parts: Vec<Part>,
    finite_only: bool,
    /// The grid that label maps are brought to.
    crop: Option<Crop>,
    /// The axes that label maps are brought to.
    turn: Option<Turn>,
}

/// What is in one source.
struct Part {
    header: Header,
    stored: Stored,
}

impl Opened {
    /// What the headers say.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The grid of all channels.
    pub fn grid(&self) -> Grid {
        self.header.grid
    }

    /// What will be known of the files once the voxels are read.
    pub fn afterwards(&self) -> Afterwards {
        Afterwards::of(self.parts.iter().map(|part| &part.stored))
    }

    /// The most bytes that [`Self::raw`] takes.
    pub fn raw_bytes(&self) -> u64 {
        match self.parts.as_slice() {
            [part] => {
                let order = Order::of(&part.header.grid, part.stored.channels_at);
                let number = if part.stored.numbers.is_short() { 2 } else { 4 };
                // Twice as many while they are brought into order.
                let copies = if order.is_standard() { 1 } else { 2 };
                part.stored.count.saturating_mul(number * copies)
            }
            // Twice as many while they are joined.
            _ => 2 * 4 * self.header.grid.voxels(),
        }
    }

    /// The same, as training and prediction want it: with `channels` channels, a certain place and
    /// no fewer bytes than its header announces, which is seen at once, as far as these are not
    /// compressed; and only finite voxels, which [`Self::image`] and [`Self::raw`] will see.
    ///
    /// # Errors
    /// [`Error::ChannelCount`], [`Error::UncertainPlace`], [`Error::Truncated`].
    pub fn checked(self, channels: usize) -> Result<Self> {
        self.check_channels(channels)?;
        self.parts.iter().try_for_each(|part| part.stored.can_be_there())?;
        self.parts.iter().try_for_each(|part| part.header.check_certain(part.source()))?;
        Ok(Self { finite_only: true, ..self })
    }

    /// The same, of a label map on the grid of its image, where its voxels are voxels of the image:
    /// along the axes of the image, should it be stored along others; with the empty space around
    /// it, should its format leave that out. All others stay as they are.
    pub fn on_grid_of(mut self, image: &Header) -> Self {
        let part = &self.parts[0].header;
        let cropped = part.format.may_be_cropped(part) && part.grid.shape != image.grid.shape;
        if let Some(crop) = cropped.then(|| Crop::of(&part.grid, &image.grid)).flatten() {
            self.header.grid = crop.whole;
            self.crop = Some(crop);
        } else if let Some(turn) = Turn::of(part, image) {
            self.header.grid = turn.grid;
            self.turn = Some(turn);
        }
        self
    }

    /// Reads an image of any scalar type as f32, `[channels, depth, height, width]`, the file's
    /// scale factor applied.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Truncated`], [`Error::Unsupported`], [`Error::OutOfMemory`],
    /// [`Error::BeyondFloats`]; [`Error::NotFinite`] if it is [`checked`](Self::checked) (otherwise voxels that are not
    /// finite are returned as they are).
    pub fn image(self) -> Result<Image> {
        if self.crop.is_some() {
            return self.labels().map(as_image);
        }
        let mut images = Vec::new();
        for part in self.parts {
            let source = part.source().clone();
            let image = part.image()?;
            if self.finite_only {
                check_finite(&source, &image.raw_view())?;
            }
            images.push(image);
        }
        let image = joined(images)?;
        Ok(match self.turn {
            Some(turn) => turn.image(&image),
            None => image,
        })
    }

    /// Reads an image as [`Self::image`] does, but keeps integers of up to 16 bits as they are
    /// stored, which takes half the memory; channels of several sources become floats.
    ///
    /// # Errors
    /// Those of [`Self::image`].
    pub fn raw(mut self) -> Result<RawImage> {
        let [part] = self.parts.as_slice() else { return self.image().map(RawImage::from) };
        let moved = self.crop.is_some() || self.turn.is_some();
        let as_stored = part.stored.numbers.is_short() && part.stored.is_within_floats();
        if moved || part.is_layered() || !as_stored {
            return self.image().map(RawImage::from);
        }
        let Part { header, mut stored } = self.parts.remove(0);
        let source = stored.stream.source().clone();
        let scale = std::mem::replace(&mut stored.scale, (1.0, 0.0));
        let order = Order::of(&header.grid, stored.channels_at);
        let values = stored.read(|_, value| Ok(value as i16))?;
        let image =
            RawImage::of_integers(shaped(&source, order, values)?, scale, header.grid.affine);
        if self.finite_only {
            check_finite(&source, &image.view())?;
        }
        Ok(image)
    }

    /// Reads a label map: one channel of integers from 0 to 65535, stored in any scalar type.
    ///
    /// # Errors
    /// Those of [`Self::image`], [`Error::ChannelCount`], [`Error::LabelNotInteger`].
    pub fn labels(mut self) -> Result<LabelMap> {
        self.check_channels(1)?;
        let labels = self.parts.remove(0).labels()?;
        Ok(match (self.crop, self.turn) {
            (Some(crop), _) => crop.uncropped(&labels),
            (None, Some(turn)) => turn.labels(&labels),
            (None, None) => labels,
        })
    }

    fn check_channels(&self, expected: usize) -> Result<()> {
        match self.header.grid.channels {
            found if found == expected => Ok(()),
            found => Err(Error::ChannelCount {
                path: self.parts[0].source().path().to_path_buf(),
                expected,
                found,
            }),
        }
    }
}

/// Without its voxels, which are not there.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Opened").field("header", &self.header).finish_non_exhaustive()
    }
}

impl Part {
    fn open(source: &Source) -> Result<Self> {
        let stream = Stream::open(source)?;
        let unknown = || match source.path().is_dir() {
            true => no_file(source, "expected an image, found a folder without slices of DICOM"),
            false => Error::UnknownFormat { path: source.path().to_path_buf() },
        };
        let format = of_source(source, stream.start()).ok_or_else(unknown)?;
        let start = stream.start().to_vec();
        let by_name = !format.probe(source, &start);
        let opened = format.open(stream).map_err(|error| {
            if !by_name {
                return error;
            }
            // What it is says more than where the reader of its ending stumbled.
            if source.path().is_dir() {
                let what = "expected a file, found a folder; give the file that is in it";
                return no_file(source, what);
            }
            foreign(&start).map_or(error, |what| Unsupported::Foreign { what }.of(source.path()))
        });
        let (header, stored) = opened?;
        Ok(Self { header, stored })
    }

    fn source(&self) -> &Source {
        self.stored.stream.source()
    }

    fn is_layered(&self) -> bool {
        self.header.format.join(self.source(), &self.header).is_some()
    }

    fn image(self) -> Result<Image> {
        if self.is_layered() {
            return self.labels().map(as_image);
        }
        let source = self.source().clone();
        let order = Order::of(&self.header.grid, self.stored.channels_at);
        let values = self.stored.read(|index, value| {
            let float = value as f32;
            if float.is_infinite() && value.is_finite() {
                let (path, voxel) = (source.path().to_path_buf(), order.voxel(index));
                return Err(Error::BeyondFloats { path, voxel, value });
            }
            Ok(float)
        })?;
        let voxels = shaped(&source, order, values)?;
        Ok(Image { voxels, affine: self.header.grid.affine })
    }

    /// All layers of a label map in one; most have one only.
    fn labels(self) -> Result<LabelMap> {
        let Self { header, stored } = self;
        let source = stored.stream.source().clone();
        let layers = stored.count / header.grid.voxels().max(1);
        let layers = Grid { channels: layers as usize, ..header.grid };
        let order = Order::of(&layers, stored.channels_at);
        let values = stored.read(|index, value| {
            let rounded = value.round();
            // The negated comparison also refuses NaN.
            if !((value - rounded).abs() <= INTEGER_TOLERANCE && (0.0..=65535.0).contains(&rounded))
            {
                let [_, voxel @ ..] = order.voxel(index);
                let path = source.path().to_path_buf();
                return Err(Error::LabelNotInteger { path, voxel, value });
            }
            Ok(rounded as u16)
        })?;
        let layers = shaped(&source, order, values)?;
        let voxels = match header.format.join(&source, &header) {
            Some(join) => join(&layers)?,
            None => layers.index_axis_move(Axis(0), 0),
        };
        Ok(LabelMap { voxels, affine: header.grid.affine })
    }
}

/// The error of a folder where there should be a file.
fn no_file(source: &Source, what: &str) -> Error {
    let reason = IoError::new(ErrorKind::InvalidInput, what);
    Error::Read { path: source.path().to_path_buf(), source: reason }
}

fn as_image(labels: LabelMap) -> Image {
    let voxels = labels.voxels.mapv(f32::from).insert_axis(Axis(0));
    Image { voxels, affine: labels.affine }
}

/// Voxels in their order as an array.
fn shaped<T: Copy>(source: &Source, order: Order, values: Vec<T>) -> Result<Array4<T>> {
    let bytes = (values.len() * size_of::<T>()) as u64;
    order
        .array(values)
        .ok_or_else(|| Error::OutOfMemory { path: source.path().to_path_buf(), bytes })
}

/// The channels of images on one grid as one image.
pub(crate) fn joined(mut images: Vec<Image>) -> Result<Image> {
    if images.len() == 1 {
        return Ok(images.remove(0));
    }
    let views: Vec<_> = images.iter().map(|image| image.voxels.view()).collect();
    let voxels = concatenate(Axis(0), &views).map_err(|_| Error::NoSource)?;
    Ok(Image { voxels, affine: images[0].affine })
}

fn check_finite(source: &Source, voxels: &View) -> Result<()> {
    match voxels.first_non_finite() {
        Some((voxel, value)) => {
            Err(Error::NotFinite { path: source.path().to_path_buf(), voxel, value })
        }
        None => Ok(()),
    }
}
