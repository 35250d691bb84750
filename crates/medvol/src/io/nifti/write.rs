//! Writing: little-endian, sform and qform from the volume's affine (exact to the format's numbers)
//! or from another file's header; compressed if the name ends in `.gz`. Of a pair the voxels are
//! written first: without its header nobody reads them.

use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::fields::Fields;
use super::header;
use super::pair::{self, Half};
use crate::atomic::atomic_write_with;
use crate::error::{Error, Result};
use crate::io::format::Content;

/// The bytes of a whole file that nobody has written.
pub(super) fn bytes(content: &Content) -> Result<Vec<u8>> {
    let mut bytes = start(Path::new("image.nii"), content, false)?;
    let write = (content.voxels)(&mut bytes);
    write.map(|()| bytes).map_err(|source| Error::Write { path: "memory".into(), source })
}

pub(super) fn write(path: &Path, content: &Content) -> Result<()> {
    let is_pair = pair::half(path).is_some();
    let start = start(path, content, is_pair)?;
    if is_pair {
        write_file(&pair::file(path, Half::Voxels), content.voxels)?;
        return write_file(&pair::file(path, Half::Header), &|to| to.write_all(&start));
    }
    write_file(path, &|to| {
        to.write_all(&start)?;
        (content.voxels)(to)
    })
}

/// What stands before the voxels, or in the file beside them.
fn start(path: &Path, content: &Content, is_pair: bool) -> Result<Vec<u8>> {
    let reference = content.reference.and_then(|header| header.own.downcast_ref::<Fields>());
    let header = header::build(path, &content.grid, content.numbers, is_pair, reference)?;
    let mut start = header.bytes().to_vec();
    if !is_pair {
        // No extensions follow.
        start.extend([0; 4]);
    }
    Ok(start)
}

/// Writes what `write` hands on, compressed if the name says so.
fn write_file(path: &Path, write: &dyn Fn(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let compress = path.extension().is_some_and(|last| last.eq_ignore_ascii_case("gz"));
    atomic_write_with(path, |file| {
        if !compress {
            return write(file);
        }
        let mut encoder = GzEncoder::new(file, Compression::default());
        write(&mut encoder)?;
        encoder.finish().map(|_| ())
    })
}
