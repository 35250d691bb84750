//! The lines of an NRRD header: `field: what it says`, `key:=value`, comments.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::io::fault::{HeaderFault, Unsupported};
use crate::io::file_names::{FileNames, Numbered};
use crate::io::lines::{Lines, values};
use crate::io::stream::Stream;

/// The newest version of the format that is known.
const NEWEST: u8 = 6;

/// A header's text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields {
    /// By names in lower case without blanks: all fields with several spellings then have one.
    fields: BTreeMap<String, String>,
    /// What programs add.
    pub pairs: BTreeMap<String, String>,
    /// The files of the voxels, where they are not behind the header.
    pub files: Option<FileNames>,
}

impl Fields {
    /// Reads a header to its end: an empty line, or the end of the file.
    ///
    /// # Errors
    /// [`Error::Header`](crate::Error::Header), [`Error::Unsupported`](crate::Error::Unsupported)
    /// for another version; those of reading.
    pub(super) fn read(stream: &mut Stream) -> Result<Self> {
        let path = stream.source().path().to_path_buf();
        let mut lines = Lines::new(stream);
        let mark = lines.next()?.unwrap_or_default();
        let version = mark.strip_prefix("NRRD").and_then(|version| version.parse().ok());
        if !version.is_some_and(|version: u8| (1..=NEWEST).contains(&version)) {
            let mark = mark.chars().take(20).collect();
            return Err(Unsupported::Version { mark, newest: NEWEST }.of(&path));
        }
        let mut read = Self::default();
        while let Some(line) = lines.next()?.filter(|line| !line.is_empty()) {
            if line.starts_with('#') {
                continue;
            }
            let (name, text) =
                line.split_once(':').ok_or_else(|| HeaderFault::line(&line).of(&path))?;
            if let Some(value) = text.strip_prefix('=') {
                read.pairs.insert(unescaped(name), unescaped(value));
                continue;
            }
            let name: String = name
                .split_whitespace()
                .flat_map(str::chars)
                .map(|c| c.to_ascii_lowercase())
                .collect();
            let text = text.trim();
            if name == "datafile" {
                let (files, is_list) = file_names(text).map_err(|fault| fault.of(&path))?;
                read.files = Some(files);
                if is_list {
                    read.list(&mut lines)?;
                    return Ok(read);
                }
            } else if read.fields.insert(name.clone(), text.to_string()).is_some() {
                return Err(HeaderFault::Twice { field: name }.of(&path));
            }
        }
        Ok(read)
    }

    /// The names of the data files, a line each, to the end of the header.
    fn list(&mut self, lines: &mut Lines) -> Result<()> {
        let Some(FileNames::List(names, _)) = &mut self.files else { return Ok(()) };
        while let Some(name) = lines.next()? {
            if !name.is_empty() {
                names.push(name);
            }
        }
        Ok(())
    }

    /// What a field says; its name in lower case, without blanks.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

/// The names that a `data file` field gives, and whether they are still to be read.
fn file_names(text: &str) -> std::result::Result<(FileNames, bool), HeaderFault> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if let ["LIST", dimensions @ ..] = words.as_slice() {
        let invalid = || HeaderFault::value("data file", "LIST, or LIST and a number", text);
        let dimensions = match dimensions {
            [] => None,
            [one] => Some(one.parse().map_err(|_| invalid())?),
            _ => return Err(invalid()),
        };
        return Ok((FileNames::List(Vec::new(), dimensions), true));
    }
    if let ([pattern, numbers @ ..], true) = (words.as_slice(), text.contains('%')) {
        let numbers: Option<Vec<i64>> = values(&numbers.join(" "));
        let (numbers, dimensions) = match numbers.as_deref() {
            Some(&[first, last, step]) => ([first, last, step], None),
            Some(&[first, last, step, dimensions]) => {
                ([first, last, step], Some(usize::try_from(dimensions).unwrap_or(0)))
            }
            // A name that happens to have this sign.
            _ => return Ok((FileNames::One(text.to_string()), false)),
        };
        return Ok((FileNames::Numbered(Numbered::new(pattern, numbers)?, dimensions), false));
    }
    Ok((FileNames::One(text.to_string()), false))
}

/// A key or value as it was before it was written as a part of a line.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match (character, rest.as_str().chars().next()) {
            ('\\', Some('n')) => plain.push('\n'),
            ('\\', Some('\\')) => plain.push('\\'),
            _ => {
                plain.push(character);
                continue;
            }
        }
        rest.next();
    }
    plain
}

/// The way there.
pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_with_line_breaks_and_backslashes_survive_being_a_line() {
        for text in ["a\nb", "a\\nb", "\\", "\\\\n\n", ""] {
            assert!(!escaped(text).contains('\n'));
            assert_eq!(unescaped(&escaped(text)), text);
        }
        assert_eq!(unescaped("C:\\data"), "C:\\data");
    }
}
