//! What an NRRD header says of its voxels: <https://teem.sourceforge.net/nrrd/format.html>.

use std::path::Path;

use super::fields::Fields;
use super::per_axis::{Parsed, PerAxis};
use super::space::{self, Axes};
use super::words::SpaceWords;
use crate::error::{Error, Result};
use crate::io::data_files::{Layout, Skip};
use crate::io::encoding::Encoding;
use crate::io::grid::Grid;
use crate::io::lines::values;
use crate::io::place::Place;
use crate::io::voxels::NumberType;

/// A validated header.
#[derive(Debug)]
pub(super) struct Header {
    pub grid: Grid,
    pub place: Place,
    /// Axes in space that are faster than that of the channels.
    pub channels_at: usize,
    pub numbers: NumberType,
    pub big_endian: bool,
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
    let invalid = |reason: String| Error::Header { path: path.to_path_buf(), reason };
    let needed =
        |name: &str| fields.get(name).ok_or_else(|| invalid(format!("it has no field {name:?}")));
    let sizes = sizes(needed("dimension")?, needed("sizes")?).map_err(&invalid)?;
    let stored = numbers(path, needed("type")?)?;
    let encoding = encoding(path, needed("encoding")?)?;
    let each = PerAxis::of(fields, sizes.len()).map_err(&invalid)?;
    let axes = Axes::of(&each, &sizes).map_err(&invalid)?;
    if axes.complex {
        return Err(Error::Unsupported {
            path: path.to_path_buf(),
            reason: "its voxels are complex numbers; convert them to magnitudes, or to channels \
                     of kind \"list\""
                .into(),
        });
    }
    let affine = space::affine(fields, &each, &axes).map_err(&invalid)?;
    let big_endian = match fields.get("endian").map(str::to_ascii_lowercase).as_deref() {
        Some("big") => true,
        Some("little") => false,
        None if stored.bytes() == 1 || encoding == Encoding::Text => false,
        other => {
            return Err(invalid(format!(
                "endian: {}; expected little or big",
                other.unwrap_or("nothing")
            )));
        }
    };
    // What text says becomes little-endian f64.
    let (numbers, big_endian) =
        if encoding == Encoding::Text { (NumberType::F64, false) } else { (stored, big_endian) };
    let bytes = sizes
        .iter()
        .try_fold(numbers.bytes() as u64, |all, &n| all.checked_mul(n as u64))
        .ok_or_else(|| invalid(format!("sizes {sizes:?} are more than there can be")))?;
    let layout = Layout {
        encoding,
        skip_lines: number(fields, "lineskip").map_err(&invalid)?.unwrap_or(0),
        skip: skip(fields).map_err(&invalid)?,
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
    let sizes: Vec<usize> = values(text)
        .filter(|sizes: &Vec<usize>| sizes.iter().all(|&n| n > 0))
        .ok_or_else(|| format!("sizes: {text}; expected whole numbers above 0"))?;
    if dimension.parse() != Ok(sizes.len()) || sizes.is_empty() {
        return Err(format!("{} sizes for dimension {dimension}", sizes.len()));
    }
    Ok(sizes)
}

fn numbers(path: &Path, text: &str) -> Result<NumberType> {
    let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
    TYPES
        .iter()
        .find(|(_, names)| names.contains(&name.as_str()))
        .map(|(numbers, _)| *numbers)
        .ok_or_else(|| Error::Unsupported {
            path: path.to_path_buf(),
            reason: format!(
                "voxels of type {text:?} cannot be read; convert them to integers or floats"
            ),
        })
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
        _ => Err(Error::Unsupported {
            path: path.to_path_buf(),
            reason: format!(
                "its voxels are encoded as {text:?}, which cannot be read; write it again with \
                 gzip or raw encoding"
            ),
        }),
    }
}

fn number<T: std::str::FromStr>(fields: &Fields, name: &str) -> Parsed<Option<T>> {
    fields.get(name).map(|text| text.parse().map_err(|_| format!("{name}: {text}"))).transpose()
}

fn skip(fields: &Fields) -> Parsed<Skip> {
    let bytes: i64 = number(fields, "byteskip")?.unwrap_or(0);
    // -1 means: the voxels are the last bytes; -2, that one more follows.
    Ok(match u64::try_from(bytes) {
        Ok(bytes) => Skip::Bytes(bytes),
        Err(_) => Skip::AllBut(bytes.unsigned_abs().saturating_sub(1)),
    })
}
