//! NRRD files (`.nrrd`, and `.nhdr` with its voxels in other files), and the segmentations that 3D
//! Slicer keeps in them (`.seg.nrrd`).
//!
//! Read and written here, as there is no crate for them in the registry. What is hard about them,
//! voxels in other files and in several encodings, MetaImage files have as well.

mod fields;
mod header;
mod per_axis;
mod segments;
mod space;
mod words;
mod write;

use std::path::Path;
use std::sync::Arc;

use crate::class_map::Label;
use crate::error::Result;
use crate::io::data_files;
use crate::io::format::{Content, Format, Join};
use crate::io::grid::Header;
use crate::io::source::Source;
use crate::io::stream::Stream;
use crate::io::voxels::Stored;
use fields::Fields;
use segments::Segment;
use words::SpaceWords;

/// NRRD.
#[derive(Debug)]
pub(super) struct Nrrd;

/// What is kept of a header.
struct Own {
    /// None if it speaks of time.
    space: Option<SpaceWords>,
    segments: Vec<Segment>,
    /// Whether they are in layers.
    layered: bool,
}

impl Format for Nrrd {
    fn name(&self) -> &'static str {
        "NRRD"
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".seg.nrrd", ".nrrd", ".nhdr"]
    }

    fn probe(&self, _: &Source, start: &[u8]) -> bool {
        start.starts_with(b"NRRD0")
    }

    fn open(&'static self, mut stream: Stream) -> Result<(Header, Stored)> {
        let path = stream.source().path().to_path_buf();
        let fields = Fields::read(&mut stream)?;
        let header = header::parse(&path, &fields)?;
        let segments = segments::segments(&path, &fields.pairs)?;
        let count = header.grid.voxels();
        let mut grid = header.grid;
        let layered = grid.channels > 1 && !segments.is_empty();
        if layered {
            grid.channels = 1;
        }
        let own = Own { space: header.words, segments, layered };
        let stream = match &fields.files {
            Some(names) => data_files::beside(&stream, names, &header.sizes, header.layout)?,
            None => data_files::behind(stream, None, header.layout)?,
        };
        let stored = Stored {
            stream,
            offset: 0,
            count,
            numbers: header.numbers,
            big_endian: header.big_endian,
            scale: (1.0, 0.0),
            channels_at: header.channels_at,
        };
        Ok((Header { grid, place: header.place, format: self, own: Arc::new(own) }, stored))
    }

    fn join<'a>(&self, source: &'a Source, header: &'a Header) -> Option<Join<'a>> {
        let own = header.own.downcast_ref::<Own>().filter(|own| own.layered)?;
        Some(Box::new(|layers| segments::joined(source.path(), &own.segments, layers)))
    }

    fn labels(&self, header: &Header) -> Vec<Label> {
        let own = header.own.downcast_ref::<Own>();
        own.map_or_else(Vec::new, |own| own.segments.iter().map(Segment::label).collect())
    }

    fn may_be_cropped(&self, header: &Header) -> bool {
        header.own.downcast_ref::<Own>().is_some_and(|own| !own.segments.is_empty())
    }

    fn write(&self, path: &Path, content: &Content) -> Result<()> {
        write::write(path, content)
    }
}
