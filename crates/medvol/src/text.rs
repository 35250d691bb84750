//! Text that others wrote: with or without a byte order mark, names in any Unicode form.

use std::fs;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

use crate::open::open_file;

/// Reads a text file in UTF-8, or in UTF-16 where a byte order mark says so; the mark is no part of
/// the text.
///
/// # Errors
/// Those of the system, and [`ErrorKind::InvalidData`] with the line for what is no such text.
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    let mut bytes = Vec::new();
    open_file(path)?.read_to_end(&mut bytes)?;
    let sixteen = |bytes: &[u8], number: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| number([pair[0], pair[1]]));
        let text: String = char::decode_utf16(units).collect::<std::result::Result<_, _>>().ok()?;
        bytes.len().is_multiple_of(2).then_some(text)
    };
    let broken = || Error::new(ErrorKind::InvalidData, "expected UTF-16, as its first bytes say");
    match bytes.as_slice() {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
            Err(Error::new(ErrorKind::InvalidData, "is UTF-32; save the file as UTF-8"))
        }
        [0xff, 0xfe, text @ ..] => sixteen(text, u16::from_le_bytes).ok_or_else(broken),
        [0xfe, 0xff, text @ ..] => sixteen(text, u16::from_be_bytes).ok_or_else(broken),
        [0xef, 0xbb, 0xbf, text @ ..] => utf8(text),
        // Without a mark: half of a letter that Latin has too is 0.
        [1..=255, 0, ..] => sixteen(&bytes, u16::from_le_bytes).ok_or_else(broken),
        [0, 1..=255, ..] => sixteen(&bytes, u16::from_be_bytes).ok_or_else(broken),
        text => utf8(text),
    }
}

fn utf8(bytes: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        let reason =
            format!("line {line} holds a letter that is not UTF-8; save the file as UTF-8");
        Error::new(ErrorKind::InvalidData, reason)
    })?;
    Ok(text.to_string())
}

/// A name in the one form in which names are compared (NFC): `ü` is one letter in it, where a Mac
/// stores `u` and two dots.
pub fn composed(name: &str) -> String {
    if is_nfc(name) { name.to_string() } else { name.nfc().collect() }
}

/// The visible names of a folder that are text, each with its [`composed`] form, sorted; none of a
/// folder that is not there.
pub(crate) fn names_in(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let visible = names.filter(|name| !name.starts_with('.'));
    let mut names: Vec<_> = visible.map(|name| (composed(&name), name)).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("text");
        fs::write(&path, bytes)?;
        read_text(path)
    }

    #[test]
    fn a_text_is_the_same_with_every_byte_order_mark_and_without() {
        let text = "{\"name\": \"Müller 🙂\"}\r\n";
        let units = || text.encode_utf16();
        let marked = [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            [0xff, 0xfe].into_iter().chain(units().flat_map(u16::to_le_bytes)).collect(),
            [0xfe, 0xff].into_iter().chain(units().flat_map(u16::to_be_bytes)).collect(),
            units().flat_map(u16::to_le_bytes).collect(),
            units().flat_map(u16::to_be_bytes).collect(),
        ];
        for bytes in marked {
            assert_eq!(read(&bytes).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_line() {
        let message = read(b"a\nb\nM\xfcller").unwrap_err().to_string();
        assert!(message.contains("line 3") && message.contains("UTF-8"), "{message}");
        assert!(read(b"\xff\xfea").unwrap_err().to_string().contains("UTF-16"));
        let utf_32 = b"\xff\xfe\0\0{\0\0\0}\0\0\0";
        assert!(read(utf_32).unwrap_err().to_string().contains("UTF-32"));
    }

    #[test]
    fn both_forms_of_a_name_are_one_name() {
        assert_eq!(composed("Mu\u{308}ller"), "M\u{fc}ller");
        assert_eq!(composed("M\u{fc}ller"), "M\u{fc}ller");
    }
}
