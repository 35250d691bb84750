//! NIfTI-1 files (`.nii`, `.nii.gz`).
//!
//! The format is decoded here and not by the `nifti` crate: that crate panics on several headers
//! found in the wild (bitpix against datatype, a quaternion with `pixdim[0] = 0`, negative pixdim),
//! makes every voxel NaN where the slope is NaN, trusts the announced size before it allocates, and
//! its writer is not atomic. Working around all of it takes more code than the 348 bytes of header
//! do.

mod geometry;
mod header;
mod quaternion;
mod write;

use std::path::Path;
use std::sync::Arc;

use super::format::{Content, Format};
use super::grid::Header;
use super::source::Source;
use super::stream::Stream;
use super::voxels::Stored;
use crate::error::Result;

/// NIfTI-1.
#[derive(Debug)]
pub(super) struct Nifti;

impl Format for Nifti {
    fn name(&self) -> &'static str {
        "NIfTI"
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".nii.gz", ".nii"]
    }

    fn probe(&self, source: &Source, start: &[u8]) -> bool {
        header::is_header(start) || is_half(source)
    }

    fn open(&'static self, mut stream: Stream) -> Result<(Header, Stored)> {
        let path = stream.source().path().to_path_buf();
        if is_half(stream.source()) {
            return Err(header::unsupported(
                &path,
                "is half of a .hdr/.img pair; convert the pair to one NIfTI-1 file (.nii or \
                 .nii.gz)",
            ));
        }
        let mut bytes = [0; header::BYTES];
        stream.fill(&mut bytes, header::BYTES as u64)?;
        let header = header::parse(&path, bytes)?;
        let (grid, scale) = (header.grid, header.scale);
        let stored = Stored {
            stream,
            offset: header.offset,
            count: grid.voxels(),
            numbers: header.numbers,
            big_endian: header.fields.big_endian,
            scale,
        };
        let own = Arc::new(header.fields);
        Ok((Header { grid, place: header.place, format: self, own }, stored))
    }

    fn write(&self, path: &Path, content: &Content) -> Result<()> {
        write::write(path, content)
    }
}

/// Whether a file is one of a pair of header and voxels.
fn is_half(source: &Source) -> bool {
    let extension = source.path().extension().unwrap_or_default();
    ["hdr", "img"].iter().any(|half| extension.eq_ignore_ascii_case(half))
}
