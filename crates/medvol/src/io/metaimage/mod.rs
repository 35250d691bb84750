//! MetaImage files (`.mha`, and `.mhd` with its voxels in other files), the format of ITK.
//!
//! Read and written here, as there is no crate for them in the registry. What is hard about them,
//! voxels in other files and in several encodings, NRRD files have as well.

mod fields;
mod header;
mod write;

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::io::data_files;
use crate::io::format::{Content, Format};
use crate::io::grid::Header;
use crate::io::source::Source;
use crate::io::stream::Stream;
use crate::io::voxels::Stored;
use fields::Fields;

/// MetaImage.
#[derive(Debug)]
pub(super) struct MetaImage;

impl Format for MetaImage {
    fn name(&self) -> &'static str {
        "MetaImage"
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".mha", ".mhd"]
    }

    fn probe(&self, _: &Source, start: &[u8]) -> bool {
        [b"ObjectType".as_slice(), b"NDims"].iter().any(|key| start.starts_with(key))
    }

    fn open(&'static self, mut stream: Stream) -> Result<(Header, Stored)> {
        let path = stream.source().path().to_path_buf();
        let fields = Fields::read(&mut stream)?;
        let header = header::parse(&path, &fields, stream.position())?;
        let stream = match &fields.files {
            Some(names) => data_files::beside(&stream, names, &header.sizes, header.layout)?,
            None => data_files::behind(stream, header.stored, header.layout)?,
        };
        let stored = Stored {
            stream,
            offset: 0,
            count: header.grid.voxels(),
            numbers: header.numbers,
            big_endian: header.big_endian,
            scale: (1.0, 0.0),
            channels_at: header.channels_at,
        };
        Ok((
            Header { grid: header.grid, place: header.place, format: self, own: Arc::new(fields) },
            stored,
        ))
    }

    fn write(&self, path: &Path, content: &Content) -> Result<()> {
        write::write(path, content)
    }
}
