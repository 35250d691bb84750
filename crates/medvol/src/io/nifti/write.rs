//! Writing: little-endian, sform and qform from the volume's affine (exact to the format's f32) or
//! from another file's header; compressed if the name ends in `.gz`.

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::header::{self, DATA_OFFSET, Fields};
use crate::atomic::atomic_write_with;
use crate::error::Result;
use crate::io::format::Content;

pub(super) fn write(path: &Path, content: &Content) -> Result<()> {
    let reference = content
        .reference
        .and_then(|header| Some((&header.grid, header.own.downcast_ref::<Fields>()?)));
    let mut start = header::build(path, &content.grid, content.numbers, reference)?.to_vec();
    // No extensions follow.
    start.resize(DATA_OFFSET as usize, 0);
    let compress = path.extension().is_some_and(|last| last.eq_ignore_ascii_case("gz"));
    atomic_write_with(path, |file| {
        if compress {
            let mut encoder = GzEncoder::new(file, Compression::default());
            encoder.write_all(&start)?;
            (content.voxels)(&mut encoder)?;
            encoder.finish().map(|_| ())
        } else {
            file.write_all(&start)?;
            (content.voxels)(file)
        }
    })
}
