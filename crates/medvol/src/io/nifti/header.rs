//! The 348-byte NIfTI-1 header: <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>.
//!
//! Read as nibabel does where files bend the standard: a data offset of 0 counts as 352, `bitpix` is
//! ignored (`datatype` says it all). What it says of space is for `geometry.rs` to understand.

use std::path::Path;

use super::geometry::Space;
use super::quaternion;
use crate::affine::Affine;
use crate::error::{Error, Result};
use crate::io::grid::Grid;
use crate::io::place::Place;
use crate::io::voxels::NumberType;

/// Bytes of a header.
pub(super) const BYTES: usize = 348;
/// Header, plus four bytes that say whether extensions follow.
pub(super) const DATA_OFFSET: u64 = 352;

/// `datatype` of the types of numbers.
const CODES: [(i16, NumberType); 10] = [
    (2, NumberType::U8),
    (256, NumberType::I8),
    (512, NumberType::U16),
    (4, NumberType::I16),
    (768, NumberType::U32),
    (8, NumberType::I32),
    (1280, NumberType::U64),
    (1024, NumberType::I64),
    (16, NumberType::F32),
    (64, NumberType::F64),
];

/// A validated header.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) grid: Grid,
    pub(super) place: Place,
    pub(super) numbers: NumberType,
    /// Byte at which the voxels begin.
    pub(super) offset: u64,
    /// Value = stored · slope + intercept; `(1, 0)` where the file has no scale factor.
    pub(super) scale: (f64, f64),
    /// The header as it is in the file.
    pub(super) fields: Fields,
}

pub(super) fn invalid(path: &Path, reason: impl Into<String>) -> Error {
    Error::Header { path: path.to_path_buf(), reason: reason.into() }
}

pub(super) fn unsupported(path: &Path, reason: impl Into<String>) -> Error {
    Error::Unsupported { path: path.to_path_buf(), reason: reason.into() }
}

/// The header's fields by their byte position.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    bytes: [u8; BYTES],
    pub(super) big_endian: bool,
}

impl Fields {
    fn take<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[at..at + N]);
        if self.big_endian {
            field.reverse();
        }
        field
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.take(at))
    }

    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.take(at))
    }

    fn f32(&self, at: usize) -> f64 {
        f32::from_le_bytes(self.take(at)).into()
    }
}

/// The size of the header in its first field: of NIfTI-1 (and Analyze), and of NIfTI-2.
const SIZES: [i32; 2] = [BYTES as i32, 540];

/// Whether a file that begins so is one of NIfTI-1, NIfTI-2 or Analyze.
pub(super) fn is_header(start: &[u8]) -> bool {
    start.first_chunk().is_some_and(|&size| {
        SIZES.contains(&i32::from_le_bytes(size)) || SIZES.contains(&i32::from_be_bytes(size))
    })
}

pub(super) fn parse(path: &Path, bytes: [u8; BYTES]) -> Result<Parsed> {
    let fields = byte_order(path, bytes)?;
    check_magic(path, &fields.bytes)?;
    let (channels, shape) = dimensions(path, &fields)?;
    let (affine, place) = space(&fields, shape).place().map_err(|reason| invalid(path, reason))?;
    let code = fields.i16(70);
    let numbers = CODES.iter().find(|(c, _)| *c == code).map(|(_, numbers)| *numbers);
    let numbers = numbers.ok_or_else(|| {
        unsupported(
            path,
            format!(
                "NIfTI data type {code} (complex, RGB or unknown); convert it to integers or \
                 floats, one channel per volume"
            ),
        )
    })?;
    Ok(Parsed {
        grid: Grid { channels, shape, affine },
        place,
        numbers,
        offset: offset(path, &fields)?,
        scale: scale(path, &fields)?,
        fields,
    })
}

fn byte_order(path: &Path, bytes: [u8; BYTES]) -> Result<Fields> {
    for big_endian in [false, true] {
        let fields = Fields { bytes, big_endian };
        match fields.i32(0) {
            348 => return Ok(fields),
            540 => {
                return Err(unsupported(
                    path,
                    "is a NIfTI-2 file; convert it to NIfTI-1 (.nii or .nii.gz)",
                ));
            }
            _ => {}
        }
    }
    Err(unsupported(path, "is not a NIfTI file; convert it to NIfTI-1 (.nii or .nii.gz)"))
}

fn check_magic(path: &Path, bytes: &[u8; BYTES]) -> Result<()> {
    match &bytes[344..348] {
        b"n+1\0" => Ok(()),
        b"ni1\0" => Err(unsupported(
            path,
            "is the header of a NIfTI pair (.hdr and .img); convert the pair to one file (.nii or \
             .nii.gz)",
        )),
        _ => Err(unsupported(
            path,
            "is not a NIfTI-1 file (an Analyze header, perhaps); convert it to NIfTI-1 (.nii or \
             .nii.gz)",
        )),
    }
}

/// Channels and (depth, height, width). The volumes may stand on any one of the dimensions 4 to 7:
/// ITK puts vectors on the fifth.
fn dimensions(path: &Path, fields: &Fields) -> Result<(usize, [usize; 3])> {
    let count = fields.i16(40);
    if !(2..=7).contains(&count) {
        return Err(invalid(path, format!("{count} dimensions; expected 2 to 7")));
    }
    let mut sizes = [1_usize; 7];
    for (axis, size) in sizes.iter_mut().enumerate().take(count as usize) {
        let stored = fields.i16(42 + 2 * axis);
        *size = usize::try_from(stored)
            .ok()
            .filter(|&n| n > 0)
            .ok_or_else(|| invalid(path, format!("dimension {} has size {stored}", axis + 1)))?;
    }
    let [width, height, depth, series @ ..] = sizes;
    if series.iter().filter(|&&n| n > 1).count() > 1 {
        return Err(unsupported(
            path,
            format!(
                "has {count} dimensions of sizes {sizes:?}; expected one volume, or channels on \
                 one further dimension"
            ),
        ));
    }
    Ok((series.iter().product(), [depth, height, width]))
}

fn offset(path: &Path, fields: &Fields) -> Result<u64> {
    let offset = fields.f32(108);
    if offset == 0.0 {
        return Ok(DATA_OFFSET);
    }
    if offset.fract() != 0.0 || offset < DATA_OFFSET as f64 {
        return Err(invalid(
            path,
            format!("the voxels begin at byte {offset}; expected {DATA_OFFSET} or more"),
        ));
    }
    Ok(offset as u64)
}

fn scale(path: &Path, fields: &Fields) -> Result<(f64, f64)> {
    let (slope, intercept) = (fields.f32(112), fields.f32(116));
    if slope == 0.0 || !slope.is_finite() {
        return Ok((1.0, 0.0));
    }
    if !intercept.is_finite() {
        return Err(invalid(
            path,
            format!("the scale factor is {slope} but the intercept is {intercept}"),
        ));
    }
    Ok((slope, intercept))
}

/// What it says of space.
fn space(fields: &Fields, [depth, height, width]: [usize; 3]) -> Space {
    let three = |at: usize| [0, 1, 2].map(|n| fields.f32(at + 4 * n));
    let row = |at: usize| [0, 1, 2, 3].map(|n| fields.f32(at + 4 * n));
    Space {
        extents: [width, height, depth],
        pixdim: three(80),
        qfac: fields.f32(76),
        qform_code: fields.i16(252).into(),
        sform_code: fields.i16(254).into(),
        quaternion: three(256),
        offset: three(268),
        rows: [280, 296, 312].map(row),
        unit: fields.bytes[123] & 0b111,
    }
}

/// A little-endian header for voxels of `numbers` that begin at [`DATA_OFFSET`]. What it says about
/// space is what `reference` says, if there is one: the header of an image on the same grid.
pub(super) fn build(
    path: &Path,
    grid: &Grid,
    numbers: NumberType,
    reference: Option<(&Grid, &Fields)>,
) -> Result<[u8; BYTES]> {
    if !grid.affine.is_invertible() {
        return Err(invalid(path, format!("singular affine {:?}", grid.affine.0)));
    }
    let mut header = Writer([0; BYTES]);
    header.put(0, &(BYTES as i32).to_le_bytes());
    header.put(38, b"r");
    header.dimensions(path, grid)?;
    let code = CODES.iter().find(|(_, of)| *of == numbers).map_or(0, |(code, _)| *code);
    header.put(70, &code.to_le_bytes());
    header.put(72, &(8 * numbers.bytes() as i16).to_le_bytes());
    header.put(108, &(DATA_OFFSET as f32).to_le_bytes());
    header.put(112, &1_f32.to_le_bytes());
    header.place(&grid.affine);
    header.put(344, b"n+1\0");
    if let Some((of, fields)) = reference {
        header.copy_place(grid, of, fields);
    }
    Ok(header.0)
}

/// A header under way.
struct Writer([u8; BYTES]);

impl Writer {
    fn put(&mut self, at: usize, field: &[u8]) {
        self.0[at..at + field.len()].copy_from_slice(field);
    }

    fn dimensions(&mut self, path: &Path, grid: &Grid) -> Result<()> {
        let [depth, height, width] = grid.shape;
        let mut sizes = [1_i16; 8];
        sizes[0] = if grid.channels == 1 { 3 } else { 4 };
        for (size, n) in sizes[1..].iter_mut().zip([width, height, depth, grid.channels]) {
            *size = i16::try_from(n).ok().filter(|&n| n > 0).ok_or_else(|| {
                unsupported(path, format!("NIfTI-1 holds 1 to 32767 voxels an axis, not {n}"))
            })?;
        }
        for (n, size) in sizes.iter().enumerate() {
            self.put(40 + 2 * n, &size.to_le_bytes());
        }
        Ok(())
    }

    /// Both matrices, exact to the format's f32.
    fn place(&mut self, affine: &Affine) {
        let (spacing, quaternion) = (affine.spacing(), quaternion::from_affine(affine));
        let handedness = quaternion.map_or(1.0, |(_, handedness)| handedness);
        let pixdim = [handedness, spacing[2], spacing[1], spacing[0], 1.0, 1.0, 1.0, 1.0];
        for (n, value) in pixdim.iter().enumerate() {
            self.put(76 + 4 * n, &(*value as f32).to_le_bytes());
        }
        // Millimetres.
        self.put(123, &[2]);
        if let Some((bcd, _)) = quaternion {
            self.put(252, &1_i16.to_le_bytes());
            for (n, (component, origin)) in bcd.iter().zip(affine.column(3)).enumerate() {
                self.put(256 + 4 * n, &(*component as f32).to_le_bytes());
                self.put(268 + 4 * n, &(origin as f32).to_le_bytes());
            }
        }
        self.put(254, &1_i16.to_le_bytes());
        for (row, values) in affine.0.iter().take(3).enumerate() {
            for (column, value) in values.iter().enumerate() {
                self.put(280 + 16 * row + 4 * column, &(*value as f32).to_le_bytes());
            }
        }
    }

    /// All that another header says about space: spacings, units, codes, quaternion and matrix, and
    /// how many dimensions there are.
    fn copy_place(&mut self, grid: &Grid, of: &Grid, fields: &Fields) {
        let floats = (76..108).step_by(4).chain((256..328).step_by(4));
        floats.for_each(|at| self.put(at, &fields.take::<4>(at)));
        for at in [252, 254] {
            self.put(at, &fields.take::<2>(at));
        }
        self.put(123, &fields.bytes[123..124]);
        if grid.channels == 1 {
            // An image of two dimensions has a map of two; one of many volumes, a map of one.
            self.put(40, &fields.i16(40).min(3).to_le_bytes());
        } else if grid.channels == of.channels {
            (40..56).step_by(2).for_each(|at| self.put(at, &fields.take::<2>(at)));
        }
    }
}
