//! DICOM: series of slices and enhanced objects in, segmentations in and out.
//!
//! A folder of slices is one source, as is a file. A series must be a regular grid: what is
//! missing, doubled, tilted or mixed is refused with the files and numbers that show it, never
//! guessed around. Stored values become numbers by the slices' own slope and intercept. They are
//! the same for MONOCHROME1, which only says how to show them (ITK turns these around).
//!
//! Data sets are parsed here and frames are taken apart here (see `parse`); what is compressed goes
//! to `jpeg-decoder` and `hayro-jpeg2000`, which are safe Rust and told the size of a frame first.
//! The pixel adapters of the `dicom` crates panic where a compressed picture is larger than its
//! object says.

mod attributes;
mod data_set;
mod encode;
mod head;
mod jpeg;
mod object;
mod parse;
mod pixels;
mod place;
mod problem;
mod rle;
mod seg;
mod series;
mod transfer_syntax;
mod uid;
mod voxels;

use std::any::Any;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::format::{Content, Format};
use super::grid::{Grid, Header};
use super::place::Place;
use super::source::Source;
use super::stream::Stream;
use super::voxels::{NumberType, Stored};
use crate::atomic::atomic_write;
use crate::class_map::Label;
use crate::error::{Error, Result};
use seg::Segmentation;
use series::dicom;
use voxels::reader;

pub use attributes::Attribute;
pub use problem::{Difference, LeftOut, Problem, SeriesSummary};
pub use series::Series;

/// DICOM.
#[derive(Debug)]
pub(super) struct Dicom;

impl Format for Dicom {
    fn name(&self) -> &'static str {
        "DICOM"
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".dcm"]
    }

    fn probe(&self, source: &Source, start: &[u8]) -> bool {
        object::has_mark(start) || series::is_in(source.path())
    }

    fn is_image(&self, folder: &Path) -> bool {
        series::is_image(folder)
    }

    /// Only label maps, of a series.
    fn writes_images(&self) -> bool {
        false
    }

    fn open(&'static self, stream: Stream) -> Result<(Header, Stored)> {
        let source = stream.source().clone();
        let path = source.path();
        let segmentation = match path.is_dir() {
            true => None,
            false => Segmentation::open(path).map_err(|problem| dicom(path, problem))?,
        };
        let opened = match segmentation {
            Some(labels) => of_segmentation(labels),
            None => of_series(Series::open(path)?),
        };
        let count = opened.grid.voxels();
        let bytes = count.saturating_mul(opened.numbers.bytes() as u64);
        let stored = Stored {
            stream: Stream::decoded(&source, opened.planes, bytes),
            offset: 0,
            count,
            numbers: opened.numbers,
            big_endian: false,
            scale: opened.scale,
            channels_at: 3,
        };
        let Opened { grid, place, own, .. } = opened;
        Ok((Header { grid, place, format: self, own }, stored))
    }

    fn labels(&self, header: &Header) -> Vec<Label> {
        let own = header.own.downcast_ref::<OfSegmentation>();
        own.map_or_else(Vec::new, |OfSegmentation(labels)| labels.clone())
    }

    /// Writers of segmentations leave out planes without a label.
    fn may_be_cropped(&self, header: &Header) -> bool {
        header.own.is::<OfSegmentation>()
    }

    /// Only a series can be referred to.
    fn check_reference(&self, path: &Path, reference: &Header) -> Result<()> {
        let series = reference.own.downcast_ref::<Series>();
        series.map(|_| ()).ok_or_else(|| dicom(path, Problem::NoSeries))
    }

    /// A segmentation of the series that is the reference.
    fn write(&self, path: &Path, content: &Content) -> Result<()> {
        let failed = |problem| dicom(path, problem);
        let series = content
            .reference
            .and_then(|header| header.own.downcast_ref::<Series>())
            .ok_or_else(|| failed(Problem::NoSeries))?;
        let mut bytes = Vec::new();
        (content.voxels)(&mut bytes)
            .map_err(|source| Error::Write { path: path.to_path_buf(), source })?;
        let voxels: Vec<u16> = match content.numbers {
            NumberType::U8 => bytes.into_iter().map(u16::from).collect(),
            NumberType::U16 => {
                bytes.as_chunks().0.iter().map(|word| u16::from_le_bytes(*word)).collect()
            }
            _ => return Err(failed(Problem::OnlyLabels)),
        };
        let file = match content.labels {
            Some(labels) => seg::write(series, &voxels, labels),
            None => seg::write(series, &voxels, &numbered(&voxels)),
        };
        atomic_write(path, &file.map_err(failed)?)
    }
}

/// What is known before voxels are read.
struct Opened {
    grid: Grid,
    place: Place,
    numbers: NumberType,
    scale: (f64, f64),
    planes: Box<dyn Read>,
    own: Arc<dyn Any + Send + Sync>,
}

/// What a segmentation leaves in its header: that it is one, and its segments.
struct OfSegmentation(Vec<Label>);

fn of_segmentation(segmentation: Segmentation) -> Opened {
    let own = Arc::new(OfSegmentation(segmentation.labels.clone()));
    Opened {
        grid: segmentation.grid,
        place: Place::default(),
        numbers: NumberType::U16,
        scale: (1.0, 0.0),
        own,
        planes: reader(segmentation.planes()),
    }
}

fn of_series(series: Series) -> Opened {
    Opened {
        grid: series.grid,
        place: Place { others: Vec::new(), remarks: series.remarks() },
        numbers: series.numbers,
        scale: series.scale,
        planes: reader(voxels::read(series.planes.clone(), series.numbers)),
        own: Arc::new(series),
    }
}

/// The labels that occur, without names.
fn numbered(voxels: &[u16]) -> Vec<Label> {
    let values: BTreeSet<u16> = voxels.iter().copied().collect();
    values.into_iter().map(|value| Label { value, name: format!("label {value}") }).collect()
}
