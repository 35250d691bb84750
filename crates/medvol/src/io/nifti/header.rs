//! The headers of NIfTI-1, NIfTI-2 and Analyze 7.5, of one file or of a pair.
//!
//! Read as nibabel does where files bend the standard: a data offset of 0 counts as the first byte
//! behind the header, `bitpix` is ignored (`datatype` says it all), a size of 0 behind the third
//! counts as 1. What a header says of space is for `geometry.rs` to understand.

use std::path::Path;

use super::fields::{
    BITPIX, DATATYPE, DIM, Fields, INTERCEPT, MOST_BYTES, ORIGIN, PIXDIM, QFORM_CODE, QOFFSET,
    QUATERNION, SFORM_CODE, SIZE, SLOPE, SROWS, UNITS, VOX_OFFSET, Version,
};
use super::geometry::Space;
use crate::error::Result;
use crate::io::fault::{HeaderFault, Unsupported};
use crate::io::grid::Grid;
use crate::io::place::Place;
use crate::io::source::Source;
use crate::io::stream::Stream;
use crate::io::voxels::NumberType;

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

/// What the other types are, none of which is a real number that is computed with.
const OTHERS: [(i64, &str); 8] = [
    (0, "unknown"),
    (1, "single bits"),
    (32, "complex numbers"),
    (128, "colours, RGB"),
    (1536, "floats of 128 bits"),
    (1792, "complex numbers"),
    (2048, "complex numbers"),
    (2304, "colours, RGBA"),
];

/// What a header has to say of itself: where, and of which version, in one file or in a pair.
const MAGIC: [(usize, &[u8], Version, bool); 4] = [
    (344, b"n+1\0", Version::One, false),
    (344, b"ni1\0", Version::One, true),
    (4, b"n+2\0\r\n\x1a\n", Version::Two, false),
    (4, b"ni2\0\r\n\x1a\n", Version::Two, true),
];

/// A validated header.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) grid: Grid,
    pub(super) place: Place,
    pub(super) numbers: NumberType,
    /// Whether the voxels are in another file.
    pub(super) is_pair: bool,
    /// Byte at which the voxels begin, in their file.
    pub(super) offset: u64,
    /// Value = stored · slope + intercept; `(1, 0)` where the file has no scale factor.
    pub(super) scale: (f64, f64),
    /// The header as it is in the file.
    pub(super) fields: Fields,
}

/// The bytes of the header that a file begins with, by its first field, and whether they are
/// big-endian. None if it begins with none.
fn size(start: &[u8]) -> Option<(usize, bool)> {
    let first = *start.first_chunk()?;
    [(i32::from_le_bytes(first), false), (i32::from_be_bytes(first), true)]
        .into_iter()
        .filter_map(|(size, big_endian)| Some((usize::try_from(size).ok()?, big_endian)))
        .find(|(size, _)| [Version::One, Version::Two].iter().any(|v| v.bytes() == *size))
        .or_else(|| by_mark(start))
}

/// The same of a header of NIfTI-1 that does not tell its size: it has its mark, and of space as
/// many axes as there can be in one of the two orders of bytes.
fn by_mark(start: &[u8]) -> Option<(usize, bool)> {
    let marked = |(at, magic, version, _): &(usize, &[u8], Version, bool)| {
        *version == Version::One && has(start, *at, magic)
    };
    MAGIC.iter().find(|mark| marked(mark))?;
    let size = Version::One.bytes();
    let header = start.get(..size)?;
    let axes = |big_endian| Fields::new(header.to_vec(), Version::One, big_endian).int(DIM, 0);
    [false, true]
        .into_iter()
        .find(|&order| (1..=7).contains(&axes(order)))
        .map(|order| (size, order))
}

/// Whether a file that begins so is one of NIfTI-1, NIfTI-2 or Analyze.
pub(super) fn is_header(start: &[u8]) -> bool {
    size(start).is_some()
}

/// Whether a file that begins so holds a header and its voxels.
pub(super) fn is_single(start: &[u8]) -> bool {
    is_header(start) && MAGIC.iter().any(|(at, magic, _, pair)| !pair && has(start, *at, magic))
}

fn has(bytes: &[u8], at: usize, magic: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|bytes| bytes.starts_with(magic))
}

/// Reads the header at the beginning of a stream, which may be one of a pair if `may_be_pair`.
pub(super) fn read(stream: &mut Stream, may_be_pair: bool) -> Result<Parsed> {
    let source = stream.source().clone();
    let path = source.path();
    let short = Version::One.bytes();
    let mut bytes = [0; MOST_BYTES];
    stream.fill(&mut bytes[..short], short as u64)?;
    let (size, big_endian) = size(&bytes).ok_or_else(|| Unsupported::NotNifti.of(path))?;
    stream.fill(&mut bytes[short..size], size as u64)?;
    let bytes = &bytes[..size];
    let magic = MAGIC
        .iter()
        .find(|(at, magic, version, _)| size == version.bytes() && has(bytes, *at, magic));
    let (version, is_pair) = match magic {
        Some((_, _, version, is_pair)) => (*version, *is_pair),
        None if size == short && may_be_pair => (Version::Analyze, true),
        None => return Err(Unsupported::NoMark.of(path)),
    };
    if is_pair && !may_be_pair {
        return Err(Unsupported::PairName.of(path));
    }
    parse(&source, Fields::new(bytes.to_vec(), version, big_endian), is_pair)
}

fn parse(source: &Source, fields: Fields, is_pair: bool) -> Result<Parsed> {
    let path = source.path();
    let (channels, shape) = dimensions(path, &fields)?;
    let (affine, place) =
        space(&fields, shape).place(source.reading()).map_err(|fault| fault.of(path))?;
    let code = fields.int(DATATYPE, 0);
    let numbers = CODES.iter().find(|(c, _)| i64::from(*c) == code).map(|(_, numbers)| *numbers);
    let unread = || {
        let what = OTHERS.iter().find(|(other, _)| *other == code).map(|(_, what)| *what);
        let found = what.map_or(code.to_string(), |what| format!("{code} ({what})"));
        Unsupported::DataType { found }.of(path)
    };
    let numbers = numbers.ok_or_else(unread)?;
    let grid = Grid { channels, shape, affine };
    // So that bytes can be counted.
    if grid.voxels().checked_mul(numbers.bytes() as u64).is_none_or(|bytes| bytes > 1 << 62) {
        let sizes = [&[channels], shape.as_slice()].concat();
        return Err(HeaderFault::TooLarge { sizes }.of(path));
    }
    Ok(Parsed {
        grid,
        place,
        numbers,
        is_pair,
        offset: offset(path, &fields, is_pair)?,
        scale: scale(path, &fields)?,
        fields,
    })
}

/// Channels and (depth, height, width). The volumes may stand on any one of the dimensions 4 to 7:
/// ITK puts vectors on the fifth.
fn dimensions(path: &Path, fields: &Fields) -> Result<(usize, [usize; 3])> {
    let count = fields.int(DIM, 0);
    if !(2..=7).contains(&count) {
        return Err(HeaderFault::value("number of dimensions", "2 to 7", count).of(path));
    }
    let mut sizes = [1_usize; 7];
    for (axis, size) in sizes.iter_mut().enumerate().take(count as usize) {
        let stored = match fields.int(DIM, axis + 1) {
            0 if axis >= 3 => 1,
            stored => stored,
        };
        *size = usize::try_from(stored).ok().filter(|&n| n > 0).ok_or_else(|| {
            let field = format!("size of dimension {}", axis + 1);
            HeaderFault::value(field, "1 or more", stored).of(path)
        })?;
    }
    let [width, height, depth, series @ ..] = sizes;
    let of_channels = series.iter().filter(|&&n| n > 1).count();
    if of_channels > 1 {
        return Err(Unsupported::Axes { sizes: sizes.into(), in_space: 3, of_channels }.of(path));
    }
    Ok((series.iter().product(), [depth, height, width]))
}

/// Where the voxels of a file begin: behind the header, and four bytes that say whether extensions
/// follow.
fn first_offset(version: Version) -> u64 {
    version.bytes() as u64 + 4
}

fn offset(path: &Path, fields: &Fields, is_pair: bool) -> Result<u64> {
    let least = if is_pair { 0 } else { first_offset(fields.version) };
    let offset = fields.float(VOX_OFFSET, 0);
    if offset == 0.0 {
        return Ok(least);
    }
    if offset.fract() != 0.0 || offset < least as f64 {
        return Err(HeaderFault::Begin { found: offset, least }.of(path));
    }
    Ok(offset as u64)
}

fn scale(path: &Path, fields: &Fields) -> Result<(f64, f64)> {
    let (slope, intercept) = (fields.float(SLOPE, 0), fields.float(INTERCEPT, 0));
    if slope == 0.0 || !slope.is_finite() {
        return Ok((1.0, 0.0));
    }
    if !intercept.is_finite() {
        let field = "intercept of the scale factor";
        return Err(HeaderFault::value(field, "a finite number", intercept).of(path));
    }
    Ok((slope, intercept))
}

/// What it says of space.
fn space(fields: &Fields, [depth, height, width]: [usize; 3]) -> Space {
    let three = |field, first: usize| [0, 1, 2].map(|n| fields.float(field, first + n));
    let extents = [width, height, depth];
    let pixdim = three(PIXDIM, 1);
    if fields.version == Version::Analyze {
        return space_of_analyze(extents, pixdim, [0, 1, 2].map(|n| fields.int(ORIGIN, n)));
    }
    Space {
        extents,
        pixdim,
        qfac: fields.float(PIXDIM, 0),
        qform_code: fields.int(QFORM_CODE, 0) as i32,
        sform_code: fields.int(SFORM_CODE, 0) as i32,
        quaternion: three(QUATERNION, 0),
        offset: three(QOFFSET, 0),
        rows: [0, 4, 8].map(|row| [0, 1, 2, 3].map(|n| fields.float(SROWS, row + n))),
        unit: (fields.int(UNITS, 0) & 0b111) as u8,
    }
}

/// An Analyze header gives no direction. Where SPM has written which voxel is the origin (counted
/// from 1), the axes are those of SPM, too, as nibabel has it: to the left, the front and the head.
fn space_of_analyze(extents: [usize; 3], pixdim: [f64; 3], origin: [i64; 3]) -> Space {
    let near = |n: usize| {
        let extent = extents[n] as i64;
        (1 - extent..2 * extent).contains(&origin[n])
    };
    let by_spm = origin != [0; 3] && (0..3).all(near);
    let [dx, dy, dz] = pixdim.map(f64::abs);
    let [x, y, z] = origin.map(|n| (n - 1) as f64);
    Space {
        extents,
        pixdim,
        // A half turn about the second axis, and the third one mirrored.
        qfac: -1.0,
        qform_code: i32::from(by_spm),
        sform_code: 0,
        quaternion: [0.0, 1.0, 0.0],
        offset: [x * dx, -y * dy, -z * dz],
        rows: [[0.0; 4]; 3],
        unit: 0,
    }
}

/// A little-endian header for voxels of `numbers`. What it says about space is what `reference`
/// says, if there is one: the header of an image on the same grid, whose version it has.
pub(super) fn build(
    path: &Path,
    grid: &Grid,
    numbers: NumberType,
    is_pair: bool,
    reference: Option<&Fields>,
) -> Result<Fields> {
    if !grid.affine.is_invertible() {
        return Err(HeaderFault::singular(&grid.affine).of(path));
    }
    let version = version(grid, numbers, is_pair, reference.map(|fields| fields.version));
    let mut header = Fields::new(Vec::new(), version, false);
    header.set_int(SIZE, 0, version.bytes() as i64);
    let [depth, height, width] = grid.shape;
    let count = if grid.channels == 1 { 3 } else { 4 };
    let sizes = [count, width, height, depth, grid.channels, 1, 1, 1];
    for (n, &size) in sizes.iter().enumerate() {
        // No array in memory has more.
        header.set_int(DIM, n, size as i64);
    }
    let code = CODES.iter().find(|(_, of)| *of == numbers).map_or(0, |(code, _)| *code);
    header.set_int(DATATYPE, 0, code.into());
    header.set_int(BITPIX, 0, 8 * numbers.bytes() as i64);
    header.set_int(VOX_OFFSET, 0, if is_pair { 0 } else { first_offset(version) as i64 });
    header.set_float(SLOPE, 0, 1.0);
    for (at, magic, of, pair) in MAGIC {
        if (of, pair) == (version, is_pair) {
            header.put(at, magic);
        }
    }
    if version.bytes() == Version::One.bytes() {
        header.put(38, b"r");
    }
    super::place::write(&mut header, grid, reference.filter(|of| of.version == version));
    Ok(header)
}

/// That of the reference, as far as it can hold the grid and its numbers; else NIfTI-1 if it can.
fn version(grid: &Grid, numbers: NumberType, is_pair: bool, reference: Option<Version>) -> Version {
    let large = grid.shape.iter().chain([&grid.channels]).any(|&n| i16::try_from(n).is_err());
    match reference {
        _ if large => Version::Two,
        // Its readers know unsigned bytes, signed short integers and floats.
        Some(Version::Analyze) if is_pair && numbers != NumberType::U16 => Version::Analyze,
        Some(Version::Two) => Version::Two,
        _ => Version::One,
    }
}
