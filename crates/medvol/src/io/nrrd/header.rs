//! What an NRRD header says of its voxels: <https://teem.sourceforge.net/nrrd/format.html>.

use std::path::Path;

use super::fields::Fields;
use super::per_axis::{Parsed, PerAxis};
use super::space::{self, Axes};
use super::words::SpaceWords;
use crate::error::Result;
use crate::io::data_files::{Layout, Skip};
use crate::io::encoding::Encoding;
use crate::io::fault::{HeaderFault, Unsupported};
use crate::io::grid::Grid;
use crate::io::lines::values;
use crate::io::place::Place;
use crate::io::voxels::NumberType;

/// A validated header.
#[derive(Debug)]
pub(super) struct Header {
    /// In space.
    pub grid: Grid,
    /// Where it lies, and what is to be said of that.
    pub place: Place,
    /// Axes in space that are faster than that of the channels.
    pub channels_at: usize,
    /// Of the voxels.
    pub numbers: NumberType,
    /// Whether the high byte comes first.
    pub big_endian: bool,
    /// Where the voxels are.
    pub layout: Layout,
    /// Of all axes of the file, the fastest first.
    pub sizes: Vec<usize>,
    /// What it says of space, for files on the same grid.
    pub words: Option<SpaceWords>,
}

const TYPES: [(NumberType, &[&str]); 10] = [
    (NumberType::I8, &["signed char", "int8", "int8_t"]),
    (NumberType::U8, &["uchar", "unsigned char", "uint8", "uint8_t"]),
    (
        NumberType::I16,
        &["short", "short int", "signed short", "signed short int", "int16", "int16_t"],
    ),
    (NumberType::U16, &["ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"]),
    (NumberType::I32, &["int", "signed int", "int32", "int32_t"]),
    (NumberType::U32, &["uint", "unsigned int", "uint32", "uint32_t"]),
    (
        NumberType::I64,
        &[
            "longlong",
            "long long",
            "long long int",
            "signed long long",
            "signed long long int",
            "int64",
            "int64_t",
        ],
    ),
    (
        NumberType::U64,
        &["ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"],
    ),
    (NumberType::F32, &["float"]),
    (NumberType::F64, &["double"]),
];

pub(super) fn parse(path: &Path, fields: &Fields) -> Result<Header> {
    let invalid = |fault: HeaderFault| fault.of(path);
    let needed = |field| fields.get(field).ok_or_else(|| invalid(HeaderFault::Missing { field }));
    let sizes = sizes(needed("dimension")?, needed("sizes")?).map_err(invalid)?;
    let stored = numbers(path, needed("type")?)?;
    let encoding = encoding(path, needed("encoding")?)?;
    let each = PerAxis::of(fields, sizes.len()).map_err(invalid)?;
    let axes = Axes::of(&each, &sizes).map_err(|what| what.of(path))?;
    if axes.complex {
        return Err(Unsupported::Complex.of(path));
    }
    let affine = space::affine(fields, &each, &axes).map_err(invalid)?;
    let big_endian = match fields.get("endian").map(str::to_ascii_lowercase).as_deref() {
        Some("big") => true,
        Some("little") => false,
        None if stored.bytes() == 1 || encoding == Encoding::Text => false,
        other => {
            let found = other.unwrap_or_default();
            return Err(invalid(HeaderFault::value("endian", "little or big", found)));
        }
    };
    // What text says becomes little-endian f64.
    let (numbers, big_endian) =
        if encoding == Encoding::Text { (NumberType::F64, false) } else { (stored, big_endian) };
    let bytes = sizes
        .iter()
        .try_fold(numbers.bytes() as u64, |all, &n| all.checked_mul(n as u64))
        .ok_or_else(|| invalid(HeaderFault::TooLarge { sizes: sizes.clone() }))?;
    let layout = Layout {
        encoding,
        skip_lines: number(fields, "lineskip").map_err(invalid)?.unwrap_or(0),
        skip: skip(fields).map_err(invalid)?,
        bytes,
    };
    let grid = Grid { channels: axes.channels, shape: axes.shape, affine };
    let words = SpaceWords::of(fields, &each, &axes);
    let place = space::place(fields, &each, affine);
    Ok(Header {
        grid,
        place,
        channels_at: axes.channels_at,
        numbers,
        big_endian,
        layout,
        sizes,
        words,
    })
}

fn sizes(dimension: &str, text: &str) -> Parsed<Vec<usize>> {
    let count = dimension.parse().ok().filter(|&n| n > 0);
    let count = count.ok_or_else(|| HeaderFault::value("dimension", "1 or more", dimension))?;
    values(text)
        .filter(|sizes: &Vec<usize>| sizes.len() == count && !sizes.contains(&0))
        .ok_or_else(|| HeaderFault::values("sizes", count, "whole numbers above 0", text))
}

fn numbers(path: &Path, text: &str) -> Result<NumberType> {
    let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
    TYPES
        .iter()
        .find(|(_, names)| names.contains(&name.as_str()))
        .map(|(numbers, _)| *numbers)
        .ok_or_else(|| Unsupported::DataType { found: text.into() }.of(path))
}

/// The name by which a type is written.
pub(super) fn type_name(numbers: NumberType) -> &'static str {
    TYPES
        .iter()
        .find(|(known, _)| *known == numbers)
        .map_or("", |(_, names)| names.last().copied().unwrap_or(""))
}

fn encoding(path: &Path, text: &str) -> Result<Encoding> {
    match text.to_ascii_lowercase().as_str() {
        "raw" => Ok(Encoding::Raw),
        "gz" | "gzip" => Ok(Encoding::Deflated),
        "txt" | "text" | "ascii" => Ok(Encoding::Text),
        "hex" => Ok(Encoding::Hex),
        _ => Err(Unsupported::Encoding { found: text.into() }.of(path)),
    }
}

fn number<T: std::str::FromStr>(fields: &Fields, name: &str) -> Parsed<Option<T>> {
    let parsed =
        |text: &str| text.parse().map_err(|_| HeaderFault::value(name, "a whole number", text));
    fields.get(name).map(parsed).transpose()
}

fn skip(fields: &Fields) -> Parsed<Skip> {
    let bytes: i64 = number(fields, "byteskip")?.unwrap_or(0);
    // -1 means: the voxels are the last bytes; -2, that one more follows.
    Ok(match u64::try_from(bytes) {
        Ok(bytes) => Skip::Bytes(bytes),
        Err(_) => Skip::AllBut(bytes.unsigned_abs().saturating_sub(1)),
    })
}
