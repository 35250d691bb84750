//! NIfTI files, of version 1 and 2 (`.nii`, `.nii.gz`), pairs of header and voxels (`.hdr` and
//! `.img`, both of them `.gz` or not), and Analyze 7.5, which is such a pair.
//!
//! The format is decoded here and not by the `nifti` crate: that crate panics on several headers
//! found in the wild (bitpix against datatype, a quaternion with `pixdim[0] = 0`, negative pixdim),
//! makes every voxel NaN where the slope is NaN, trusts the announced size before it allocates, and
//! its writer is not atomic. Working around all of it takes more code than the few bytes of header
//! do.

mod fields;
mod geometry;
mod header;
mod pair;
mod place;
mod quaternion;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{Content, Format};
use super::grid::Header;
use super::source::Source;
use super::stream::Stream;
use super::voxels::Stored;
use crate::error::{Error, Result};
use pair::Half;

/// NIfTI-1.
#[derive(Debug)]
pub(super) struct Nifti;

impl Format for Nifti {
    fn name(&self) -> &'static str {
        "NIfTI"
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".nii.gz", ".nii", ".hdr.gz", ".hdr", ".img.gz", ".img"]
    }

    fn probe(&self, source: &Source, start: &[u8]) -> bool {
        header::is_header(start) || pair::half(source.path()).is_some()
    }

    fn is_part_of(&self, path: &Path) -> Option<PathBuf> {
        let header = pair::find(path, Half::Header);
        (pair::half(path) == Some(Half::Voxels) && header.exists()).then_some(header)
    }

    fn open(&'static self, stream: Stream) -> Result<(Header, Stored)> {
        let half = pair::half(stream.source().path());
        let mut stream = match half {
            Some(Half::Voxels) if !header::is_single(stream.start()) => {
                other_half(&stream, Half::Header)?
            }
            _ => stream,
        };
        let header = header::read(&mut stream, half.is_some())?;
        let stream = if header.is_pair { other_half(&stream, Half::Voxels)? } else { stream };
        let (grid, scale) = (header.grid, header.scale);
        let stored = Stored {
            stream,
            offset: header.offset,
            count: grid.voxels(),
            numbers: header.numbers,
            big_endian: header.fields.big_endian,
            scale,
            channels_at: 3,
        };
        let own = Arc::new(header.fields);
        Ok((Header { grid, place: header.place, format: self, own }, stored))
    }

    fn write(&self, path: &Path, content: &Content) -> Result<()> {
        write::write(path, content)
    }
}

/// The bytes of an uncompressed NIfTI file.
pub(super) fn bytes(content: &Content) -> Result<Vec<u8>> {
    write::bytes(content)
}

/// Opens the other file of a pair.
fn other_half(stream: &Stream, half: Half) -> Result<Stream> {
    let (path, reading) = (stream.source().path(), stream.source().reading());
    let file = pair::find(path, half);
    Stream::open(&Source::from(&*file).read_by(reading)).map_err(|error| match error {
        Error::Read { source, .. } => {
            let path = path.to_path_buf();
            Error::OtherHalf { path, file, source }
        }
        error => error,
    })
}
