//! What a MetaImage header says of its voxels:
//! <https://docs.itk.org/en/latest/learn/metaio.html>.
//!
//! Space is left-posterior-superior, in mm. Read as ITK does where the format leaves it open: of
//! several spellings of a key the last counts; `AnatomicalOrientation` only describes what the
//! matrix says, and is ignored; without a matrix the axes are those of space; a negative spacing
//! turns its axis round; `ElementToIntensityFunction…` is for display and is not applied.

use std::path::Path;
use std::str::FromStr;

use super::fields::Fields;
use crate::affine::Affine;
use crate::error::{Error, Result};
use crate::io::data_files::{Layout, Skip};
use crate::io::encoding::Encoding;
use crate::io::fault::{HeaderFault, Unsupported};
use crate::io::grid::Grid;
use crate::io::lines::values;
use crate::io::place::Place;
use crate::io::remark::Remark;
use crate::io::voxels::NumberType;

/// A validated header.
#[derive(Debug)]
pub(super) struct Header {
    /// In space.
    pub grid: Grid,
    /// Where it lies, and what is to be said of that.
    pub place: Place,
    /// How many axes are faster than that of the channels.
    pub channels_at: usize,
    /// Of the voxels.
    pub numbers: NumberType,
    /// Whether the high byte comes first.
    pub big_endian: bool,
    /// Where the voxels are.
    pub layout: Layout,
    /// Of all axes, the fastest first.
    pub sizes: Vec<usize>,
    /// Stored bytes of the voxels, if they follow the header and are compressed.
    pub stored: Option<u64>,
}

/// Types of elements; `LONG` has four bytes on every system.
const TYPES: [(&str, NumberType); 12] = [
    ("MET_CHAR", NumberType::I8),
    ("MET_UCHAR", NumberType::U8),
    ("MET_SHORT", NumberType::I16),
    ("MET_USHORT", NumberType::U16),
    ("MET_INT", NumberType::I32),
    ("MET_UINT", NumberType::U32),
    ("MET_LONG_LONG", NumberType::I64),
    ("MET_ULONG_LONG", NumberType::U64),
    ("MET_FLOAT", NumberType::F32),
    ("MET_DOUBLE", NumberType::F64),
    ("MET_LONG", NumberType::I32),
    ("MET_ULONG", NumberType::U32),
];

/// Spellings of what is said of space; the last counts.
pub(super) const MATRIX: [&str; 3] = ["TransformMatrix", "Rotation", "Orientation"];
pub(super) const OFFSET: [&str; 3] = ["Offset", "Position", "Origin"];
pub(super) const SPACING: [&str; 2] = ["ElementSize", "ElementSpacing"];

/// The key of how many channels each voxel has.
const CHANNELS: &str = "ElementNumberOfChannels";

/// `position` is where the header ends in its file.
pub(super) fn parse(path: &Path, fields: &Fields, position: u64) -> Result<Header> {
    let parser = Parser { path, fields };
    parser.check_kind()?;
    let sizes = parser.sizes()?;
    let channels: usize = parser.number(CHANNELS)?.unwrap_or(1);
    let series: Vec<usize> = sizes.iter().skip(3).copied().filter(|&n| n > 1).collect();
    let (channels, channels_at) = match (channels, series.as_slice()) {
        (1.., []) => (channels, 0),
        (1, [one]) => (*one, 3),
        (0, _) => return Err(parser.invalid(CHANNELS, "1 or more", 0)),
        _ => {
            let what = Unsupported::Axes {
                of_channels: series.len() + usize::from(channels > 1),
                sizes: [&[channels], sizes.as_slice()].concat(),
                in_space: 3,
            };
            return Err(what.of(path));
        }
    };
    let extent = |n: usize| sizes.get(n).copied().unwrap_or(1);
    let shape = [extent(2), extent(1), extent(0)];
    let text = !parser.flag("BinaryData").unwrap_or(true);
    let compressed = parser.flag("CompressedData").unwrap_or(false);
    let stored = parser.element_type()?;
    let (encoding, numbers) = match (text, compressed) {
        (true, _) => (Encoding::Text, NumberType::F64),
        (false, true) => (Encoding::Deflated, stored),
        (false, false) => (Encoding::Raw, stored),
    };
    let order = ["BinaryDataByteOrderMSB", "ElementByteOrderMSB"];
    let big_endian = !text && order.iter().rev().find_map(|key| parser.flag(key)).unwrap_or(false);
    let bytes = [&[channels], shape.as_slice()]
        .concat()
        .iter()
        .try_fold(numbers.bytes() as u64, |all, &n| all.checked_mul(n as u64))
        .ok_or_else(|| HeaderFault::TooLarge { sizes: sizes.clone() }.of(path))?;
    let layout = Layout { encoding, skip_lines: 0, skip: parser.skip(position)?, bytes };
    let stored = match fields.files {
        None if compressed => parser.number("CompressedDataSize")?.filter(|&bytes| bytes > 0),
        _ => None,
    };
    let grid = Grid { channels, shape, affine: parser.affine(sizes.len())? };
    let mut place = parser.place();
    place.remarks.extend(parser.long_directions(&grid.affine, sizes.len())?);
    Ok(Header { grid, place, channels_at, numbers, big_endian, layout, sizes, stored })
}

/// The name by which a type is written.
pub(super) fn type_name(numbers: NumberType) -> &'static str {
    TYPES.iter().find(|(_, known)| *known == numbers).map_or("", |(name, _)| *name)
}

struct Parser<'a> {
    path: &'a Path,
    fields: &'a Fields,
}

impl Parser<'_> {
    fn invalid(&self, key: &str, expected: &'static str, found: impl ToString) -> Error {
        HeaderFault::value(key, expected, found).of(self.path)
    }

    fn needed(&self, key: &'static str) -> Result<&str> {
        self.fields.get(key).ok_or_else(|| HeaderFault::Missing { field: key }.of(self.path))
    }

    fn check_kind(&self) -> Result<()> {
        match self.fields.get("ObjectType") {
            None | Some("Image") => Ok(()),
            Some(other) => Err(Unsupported::Object { found: other.into() }.of(self.path)),
        }
    }

    fn number<T: FromStr>(&self, key: &str) -> Result<Option<T>> {
        let parsed = |text: &str| text.parse().map_err(|_| self.invalid(key, "a number", text));
        self.fields.get(key).map(parsed).transpose()
    }

    fn flag(&self, key: &str) -> Option<bool> {
        Some(self.fields.get(key)?.starts_with(['T', 't', '1']))
    }

    fn sizes(&self) -> Result<Vec<usize>> {
        let text = self.needed("NDims")?;
        let dimensions = text.parse().ok().filter(|n| (2..=10).contains(n));
        let dimensions = dimensions.ok_or_else(|| self.invalid("NDims", "2 to 10", text))?;
        let text = self.needed("DimSize")?;
        values(text)
            .filter(|sizes: &Vec<usize>| sizes.len() == dimensions && !sizes.contains(&0))
            .ok_or_else(|| {
                HeaderFault::values("DimSize", dimensions, "whole numbers above 0", text)
                    .of(self.path)
            })
    }

    fn element_type(&self) -> Result<NumberType> {
        let text = self.needed("ElementType")?;
        let name = text.strip_suffix("_ARRAY").unwrap_or(text);
        let known = TYPES.iter().find(|(known, _)| *known == name).map(|(_, numbers)| *numbers);
        known.ok_or_else(|| Unsupported::DataType { found: text.into() }.of(self.path))
    }

    fn skip(&self, position: u64) -> Result<Skip> {
        let bytes: i64 = self.number("HeaderSize")?.unwrap_or(0);
        match u64::try_from(bytes) {
            // Counted from the beginning of the file that holds the voxels, as far as it says so.
            Ok(0) => Ok(Skip::Stored(0)),
            Ok(bytes) if self.fields.files.is_some() => Ok(Skip::Stored(bytes)),
            Ok(begin) => begin.checked_sub(position).map(Skip::Stored).ok_or_else(|| {
                HeaderFault::Begin { found: begin as f64, least: position }.of(self.path)
            }),
            Err(_) if bytes == -1 => Ok(Skip::AllBut(0)),
            Err(_) => Err(self.invalid("HeaderSize", "-1, 0 or more", bytes)),
        }
    }

    /// Numbers of a key that is spelled in several ways.
    fn list(&self, keys: &[&'static str], expected: usize) -> Result<Option<Vec<f64>>> {
        let Some((key, text)) = self.fields.last_of(keys) else { return Ok(None) };
        values(text)
            .filter(|numbers: &Vec<f64>| numbers.len() >= expected)
            .map(Some)
            .ok_or_else(|| HeaderFault::values(key, expected, "numbers", text).of(self.path))
    }

    /// What is to be said of the place.
    fn place(&self) -> Place {
        let matrix = self.fields.last_of(&MATRIX);
        let mut remarks = Vec::new();
        let named = self.fields.get("AnatomicalOrientation").unwrap_or("RAI");
        if matrix.is_none() && !named.eq_ignore_ascii_case("RAI") && !named.starts_with('?') {
            remarks.push(Remark::NoTransform { named: named.into() });
        }
        if self.fields.last_of(&SPACING).is_none() {
            remarks.push(Remark::NoSpacing { fields: "ElementSpacing" });
        }
        Place { others: Vec::new(), remarks }
    }

    /// Directions that are no unit vectors make other voxels than the spacing says.
    fn long_directions(&self, affine: &Affine, dimensions: usize) -> Result<Option<Remark>> {
        /// As many digits as headers have.
        const ROUNDED: f64 = 1e-3;
        let Some(spacing) = self.list(&SPACING, dimensions)? else { return Ok(None) };
        let matrix_mm = affine.spacing();
        let own = |axis: usize| spacing.get(axis).filter(|_| axis < dimensions).copied();
        let spacing_mm = [2, 1, 0].map(|axis| own(axis).unwrap_or(1.0).abs());
        let differ = matrix_mm.iter().zip(spacing_mm).any(|(a, b)| (a / b - 1.0).abs() > ROUNDED);
        Ok(differ.then_some(Remark::LongDirections { matrix_mm, spacing_mm }))
    }

    /// From voxels to mm in RAS+, of a file of so many dimensions.
    fn affine(&self, dimensions: usize) -> Result<Affine> {
        let matrix = self.list(&MATRIX, dimensions * dimensions)?;
        let offset = self.list(&OFFSET, dimensions)?;
        let spacing = self.list(&SPACING, dimensions)?;
        let mut affine = Affine::IDENTITY.0;
        for (row, sign) in [-1.0, -1.0, 1.0].into_iter().enumerate() {
            for (column, value) in affine[row][..3].iter_mut().enumerate() {
                let diagonal = if row == column { 1.0 } else { 0.0 };
                let inside = row.max(column) < dimensions;
                // The direction of an axis is a row of the file's matrix.
                let direction = match &matrix {
                    Some(matrix) if inside => matrix[dimensions * column + row],
                    _ => diagonal,
                };
                let step = spacing.as_ref().and_then(|s| s.get(column)).copied();
                let step = step.filter(|_| column < dimensions).unwrap_or(1.0);
                // Without a zero of negative sign.
                *value = direction * step * sign + 0.0;
            }
            let first = offset.as_ref().and_then(|o| o.get(row)).copied();
            affine[row][3] = first.filter(|_| row < dimensions).unwrap_or(0.0) * sign + 0.0;
        }
        let affine = Affine(affine);
        match affine.is_invertible() {
            true => Ok(affine),
            false => Err(HeaderFault::singular(&affine).of(self.path)),
        }
    }
}
