//! The lines of a MetaImage header: `Key = value`, the last of which says where the voxels are.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::io::fault::HeaderFault;
use crate::io::file_names::{FileNames, Numbered};
use crate::io::lines::{Lines, values};
use crate::io::stream::Stream;

/// A header's text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fields {
    values: BTreeMap<String, String>,
    /// The files of the voxels; None if they follow the header.
    pub files: Option<FileNames>,
}

/// The key of the last line.
const DATA: &str = "ElementDataFile";

impl Fields {
    /// Reads a header to its end.
    ///
    /// # Errors
    /// [`Error::Header`](crate::Error::Header); those of reading.
    pub(super) fn read(stream: &mut Stream) -> Result<Self> {
        let path = stream.source().path().to_path_buf();
        let mut lines = Lines::new(stream);
        let mut fields = Self { values: BTreeMap::new(), files: None };
        while let Some(line) = lines.next()? {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) =
                line.split_once(['=', ':']).ok_or_else(|| HeaderFault::line(&line).of(&path))?;
            let (key, value) = (key.trim(), value.trim());
            if key != DATA {
                fields.values.insert(key.to_string(), value.to_string());
                continue;
            }
            if value.eq_ignore_ascii_case("local") {
                return Ok(fields);
            }
            let slices = fields.get("DimSize").and_then(|sizes| sizes.split_whitespace().last());
            let mut files = file_names(value, slices).map_err(|fault| fault.of(&path))?;
            if let FileNames::List(names, _) = &mut files {
                while let Some(name) = lines.next()? {
                    if !name.is_empty() {
                        names.push(name);
                    }
                }
            }
            return Ok(Self { files: Some(files), ..fields });
        }
        Err(HeaderFault::Missing { field: DATA }.of(&path))
    }

    /// What a key says.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// What the last of several keys says that is there, and that key: spellings of one thing.
    pub(super) fn last_of(&self, keys: &[&'static str]) -> Option<(&'static str, &str)> {
        keys.iter().rev().find_map(|key| Some((*key, self.get(key)?)))
    }
}

/// The names of data files; those of a list are still to be read. `slices` is the number of the
/// last one of a pattern that gives none.
fn file_names(text: &str, slices: Option<&str>) -> std::result::Result<FileNames, HeaderFault> {
    let invalid = |expected| HeaderFault::value(DATA, expected, text);
    let words: Vec<&str> = text.split_whitespace().collect();
    if let ["LIST", dimensions @ ..] = words.as_slice() {
        let number = |word: &&str| word.trim_end_matches(['D', 'd']).parse().ok();
        let expected = "LIST, or LIST and a number of dimensions";
        let dimensions = match dimensions {
            [] => None,
            [one] => Some(number(one).ok_or_else(|| invalid(expected))?),
            _ => return Err(invalid(expected)),
        };
        return Ok(FileNames::List(Vec::new(), dimensions));
    }
    let (Some((pattern, numbers)), true) = (words.split_first(), text.contains('%')) else {
        return Ok(FileNames::One(text.to_string()));
    };
    let numbers: Vec<i64> =
        values(&numbers.join(" ")).ok_or_else(|| invalid("numbers behind the pattern"))?;
    let last = || slices.and_then(|n| n.parse().ok()).unwrap_or(1);
    let numbers = match *numbers {
        [] => [1, last(), 1],
        [first] => [first, last(), 1],
        [first, last] => [first, last, 1],
        [first, last, step, ..] => [first, last, step],
    };
    Ok(FileNames::Numbered(Numbered::new(pattern, numbers)?, None))
}
