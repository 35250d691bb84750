//! The 348-byte NIfTI-1 header: <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>.
//!
//! Read as nibabel does where files bend the standard: a quaternion factor of 0 counts as 1,
//! negative spacings by their absolute value, spacings of 0 as 1, a data offset of 0 as 352,
//! `bitpix` is ignored (`datatype` says it all). Two departures from nibabel, towards the standard:
//! a file with neither sform nor qform has its first voxel at the origin and no flip (the standard'
//! s method 1), and spatial units of metres or micrometres are converted to mm.

use std::path::Path;

use super::{Grid, quaternion};
use crate::affine::Affine;
use crate::error::{Error, Result};

pub(super) const HEADER_BYTES: usize = 348;
/// Header, plus four bytes that say whether extensions follow.
pub(super) const DATA_OFFSET: u64 = 352;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl DataType {
    const CODES: [(i16, Self); 10] = [
        (2, Self::U8),
        (256, Self::I8),
        (512, Self::U16),
        (4, Self::I16),
        (768, Self::U32),
        (8, Self::I32),
        (1280, Self::U64),
        (1024, Self::I64),
        (16, Self::F32),
        (64, Self::F64),
    ];

    fn from_code(code: i16) -> Option<Self> {
        Self::CODES.iter().find(|(c, _)| *c == code).map(|(_, t)| *t)
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }
}

/// A validated header.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) grid: Grid,
    pub(super) data_type: DataType,
    pub(super) big_endian: bool,
    /// Byte at which the voxels begin.
    pub(super) offset: u64,
    /// Value = stored · slope + intercept; `(1, 0)` where the file has no scale factor.
    pub(super) scale: (f64, f64),
    /// Bytes of all voxels together.
    pub(super) data_bytes: u64,
}

pub(super) fn invalid(path: &Path, reason: impl Into<String>) -> Error {
    Error::Header { path: path.to_path_buf(), reason: reason.into() }
}

pub(super) fn unsupported(path: &Path, reason: impl Into<String>) -> Error {
    Error::Unsupported { path: path.to_path_buf(), reason: reason.into() }
}

/// The header's fields by their byte position.
struct Fields<'a> {
    bytes: &'a [u8; HEADER_BYTES],
    big_endian: bool,
}

impl Fields<'_> {
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

pub(super) fn parse(path: &Path, bytes: &[u8; HEADER_BYTES]) -> Result<Header> {
    let fields = byte_order(path, bytes)?;
    check_magic(path, bytes)?;
    let (channels, shape) = dimensions(path, &fields)?;

    let code = fields.i16(70);
    let data_type = DataType::from_code(code).ok_or_else(|| {
        unsupported(
            path,
            format!(
                "NIfTI data type {code} (complex, RGB or unknown); convert it to integers or \
                 floats, one channel per volume"
            ),
        )
    })?;

    // Four sizes below 2¹⁵ and 8 bytes each: below 2⁶³.
    let data_bytes = shape.iter().chain([&channels]).map(|&n| n as u64).product::<u64>()
        * data_type.bytes() as u64;

    Ok(Header {
        grid: Grid { channels, shape, affine: affine(path, &fields)? },
        data_type,
        big_endian: fields.big_endian,
        offset: offset(path, &fields)?,
        scale: scale(path, &fields)?,
        data_bytes,
    })
}

fn byte_order<'a>(path: &Path, bytes: &'a [u8; HEADER_BYTES]) -> Result<Fields<'a>> {
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

fn check_magic(path: &Path, bytes: &[u8; HEADER_BYTES]) -> Result<()> {
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

fn affine(path: &Path, fields: &Fields) -> Result<Affine> {
    let (qform_code, sform_code) = (fields.i16(252), fields.i16(254));
    let (kind, mut affine) = if sform_code > 0 {
        ("sform", sform(fields))
    } else if qform_code > 0 {
        ("qform", qform(fields))
    } else {
        ("spacing", Affine::from_spacing(pixdim(fields)))
    };
    let mm_per_unit = match fields.bytes[123] & 0b111 {
        1 => 1e3,
        3 => 1e-3,
        _ => 1.0,
    };
    for value in affine.0[..3].iter_mut().flatten() {
        *value *= mm_per_unit;
    }
    if !affine.is_invertible() {
        return Err(invalid(path, format!("its {kind} gives a singular matrix {:?}", affine.0)));
    }
    Ok(affine)
}

/// Spacing (depth, height, width).
fn pixdim(fields: &Fields) -> [f64; 3] {
    [3, 2, 1].map(|n| match fields.f32(76 + 4 * n).abs() {
        0.0 => 1.0,
        spacing => spacing,
    })
}

fn sform(fields: &Fields) -> Affine {
    let mut matrix = Affine::IDENTITY.0;
    for (row, out) in matrix.iter_mut().take(3).enumerate() {
        for (column, value) in out.iter_mut().enumerate() {
            *value = fields.f32(280 + 16 * row + 4 * column);
        }
    }
    Affine(matrix)
}

fn qform(fields: &Fields) -> Affine {
    let [dz, dy, dx] = pixdim(fields);
    let handedness = if fields.f32(76) < 0.0 { -1.0 } else { 1.0 };
    let origin = [268, 272, 276].map(|at| fields.f32(at));
    quaternion::to_affine(
        [256, 260, 264].map(|at| fields.f32(at)),
        [dx, dy, dz * handedness],
        origin,
    )
}

/// A little-endian header for voxels of `data_type` that begin at [`DATA_OFFSET`].
pub(super) fn build(path: &Path, grid: &Grid, data_type: DataType) -> Result<[u8; HEADER_BYTES]> {
    if !grid.affine.is_invertible() {
        return Err(invalid(path, format!("singular affine {:?}", grid.affine.0)));
    }
    let [depth, height, width] = grid.shape;
    let count = if grid.channels == 1 { 3 } else { 4 };
    let mut sizes = [1_i16; 8];
    sizes[0] = count;
    for (size, n) in sizes[1..].iter_mut().zip([width, height, depth, grid.channels]) {
        *size = i16::try_from(n).ok().filter(|&n| n > 0).ok_or_else(|| {
            unsupported(path, format!("NIfTI-1 holds 1 to 32767 voxels an axis, not {n}"))
        })?;
    }
    let spacing = grid.affine.spacing();
    let quaternion = quaternion::from_affine(&grid.affine);

    let mut bytes = [0; HEADER_BYTES];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &348_i32.to_le_bytes());
    put(38, b"r");
    for (n, size) in sizes.iter().enumerate() {
        put(40 + 2 * n, &size.to_le_bytes());
    }
    let code = DataType::CODES.iter().find(|(_, t)| *t == data_type).map_or(0, |(c, _)| *c);
    put(70, &code.to_le_bytes());
    put(72, &(8 * data_type.bytes() as i16).to_le_bytes());
    let handedness = quaternion.map_or(1.0, |(_, handedness)| handedness);
    let pixdim = [handedness, spacing[2], spacing[1], spacing[0], 1.0, 1.0, 1.0, 1.0];
    for (n, value) in pixdim.iter().enumerate() {
        put(76 + 4 * n, &(*value as f32).to_le_bytes());
    }
    put(108, &(DATA_OFFSET as f32).to_le_bytes());
    put(112, &1_f32.to_le_bytes());
    // Millimetres.
    put(123, &[2]);
    if let Some((bcd, _)) = quaternion {
        put(252, &1_i16.to_le_bytes());
        for (n, (component, origin)) in bcd.iter().zip(grid.affine.column(3)).enumerate() {
            put(256 + 4 * n, &(*component as f32).to_le_bytes());
            put(268 + 4 * n, &(origin as f32).to_le_bytes());
        }
    }
    put(254, &1_i16.to_le_bytes());
    for row in 0..3 {
        for column in 0..4 {
            let value = grid.affine.0[row][column] as f32;
            put(280 + 16 * row + 4 * column, &value.to_le_bytes());
        }
    }
    put(344, b"n+1\0");
    Ok(bytes)
}
