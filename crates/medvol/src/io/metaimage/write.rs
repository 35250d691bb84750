//! Writing: in left-posterior-superior, little-endian, compressed; `.mhd` with its voxels in a file
//! beside it, which is written first. Channels become a fourth dimension.

use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::fields::Fields;
use super::header::{MATRIX, OFFSET, SPACING, type_name};
use crate::affine::{Affine, norm};
use crate::atomic::atomic_write_with;
use crate::error::{Error, Result};
use crate::io::data_files::written_beside;
use crate::io::format::Content;

pub(super) fn write(path: &Path, content: &Content) -> Result<()> {
    let extension = path.extension().unwrap_or_default();
    let apart = extension.eq_ignore_ascii_case("mhd").then(|| path.with_extension("zraw"));
    let (data_size, data_file) = match &apart {
        Some(data) => {
            let name = written_beside(path, data)?;
            atomic_write_with(data, |file| compressed(file, content))?;
            (String::new(), name)
        }
        None => {
            // Readers need to know it before the voxels come.
            let mut count = Count(0);
            compressed(&mut count, content)
                .map_err(|source| Error::Write { path: path.to_path_buf(), source })?;
            (format!("CompressedDataSize = {}\n", count.0), "LOCAL")
        }
    };
    let space = space(content);
    let [depth, height, width] = content.grid.shape;
    let sizes = [width, height, depth, content.grid.channels][..space.dimensions]
        .iter()
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join(" ");
    let header = format!(
        "ObjectType = Image\nNDims = {}\nBinaryData = True\nBinaryDataByteOrderMSB = \
         False\nCompressedData = True\n{data_size}{}DimSize = {sizes}\nElementType = \
         {}\nElementDataFile = {data_file}\n",
        space.dimensions,
        space.lines,
        type_name(content.numbers),
    );
    atomic_write_with(path, |file| {
        file.write_all(header.as_bytes())?;
        if apart.is_none() { compressed(file, content) } else { Ok(()) }
    })
}

fn compressed(to: &mut dyn Write, content: &Content) -> io::Result<()> {
    let mut encoder = ZlibEncoder::new(to, Compression::default());
    (content.voxels)(&mut encoder)?;
    encoder.finish().map(|_| ())
}

/// A place where bytes are counted, only.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a header says of space.
struct Space {
    dimensions: usize,
    lines: String,
}

/// That of the reference, word by word, if it has the dimensions for it; else from the affine.
fn space(content: &Content) -> Space {
    let fields = content.reference.and_then(|header| header.own.downcast_ref::<Fields>());
    let dimensions = fields.and_then(|fields| fields.get("NDims")?.parse().ok());
    match (fields, dimensions) {
        (Some(fields), Some(dimensions @ 2..=3)) if content.grid.channels == 1 => {
            let keys =
                [&MATRIX[..], &OFFSET, &["CenterOfRotation", "AnatomicalOrientation"], &SPACING];
            let lines = keys
                .concat()
                .iter()
                .filter_map(|key| Some(format!("{key} = {}\n", fields.get(key)?)))
                .collect();
            Space { dimensions, lines }
        }
        _ => of_affine(&content.grid.affine, if content.grid.channels == 1 { 3 } else { 4 }),
    }
}

fn of_affine(affine: &Affine, dimensions: usize) -> Space {
    let lps = |column: usize| {
        let [x, y, z] = affine.column(column);
        [-x, -y, z]
    };
    let mut matrix = Vec::new();
    let mut spacing = vec![1.0; dimensions];
    let mut offset = vec![0.0; dimensions];
    for axis in 0..dimensions {
        let mut direction = vec![0.0; dimensions];
        if axis < 3 {
            let step = lps(axis);
            spacing[axis] = norm(step);
            direction[..3].copy_from_slice(&step.map(|v| v / spacing[axis]));
            offset[axis] = lps(3)[axis];
        } else {
            direction[axis] = 1.0;
        }
        matrix.extend(direction);
    }
    let words = |values: &[f64]| {
        // Without zeros of negative sign.
        values.iter().map(|value| (value + 0.0).to_string()).collect::<Vec<_>>().join(" ")
    };
    let lines = format!(
        "TransformMatrix = {}\nOffset = {}\nCenterOfRotation = {}\nElementSpacing = {}\n",
        words(&matrix),
        words(&offset),
        words(&vec![0.0; dimensions]),
        words(&spacing),
    );
    Space { dimensions, lines }
}
