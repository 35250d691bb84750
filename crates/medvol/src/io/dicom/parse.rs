//! The structure of a data set: elements, sequences, items, fragments.
//!
//! Parsed here and not by `dicom-object`: that crate descends into sequences by recursion without
//! bound and makes room for a value of any announced length before it looks whether the file holds
//! it, so that a file of some kilobytes ends the program. Here nothing is read that lies behind the
//! end of the file or of the sequence around it, depth and number of elements are limited, and of
//! all attributes only those of the table are kept.

use std::io::{Read, Seek, SeekFrom};

use super::attributes::{self, Vr};
use super::data_set::{DataSet, Element, Value};
use super::problem::Problem;

/// Sequences within sequences; known objects have 6.
const DEEPEST: usize = 24;

/// Elements, items and fragments of a file. An enhanced object of 10 000 frames has a million.
const MOST_ELEMENTS: u32 = 1 << 24;

/// Bytes of a value that is not pixels; longer ones are not kept.
const LONGEST_VALUE: u64 = 1 << 16;

/// The tag of an item.
pub(super) const ITEM: u32 = 0xfffe_e000;
const ITEM_END: u32 = 0xfffe_e00d;
const SEQUENCE_END: u32 = 0xfffe_e0dd;
const UNDEFINED: u32 = 0xffff_ffff;

/// How elements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    /// Whether each element names the type of its value.
    pub explicit: bool,
    /// Whether the high byte comes first.
    pub big_endian: bool,
}

/// What a set ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The end of its bytes.
    End(u64),
    /// A delimiter; the bytes around it end there.
    Delimiter(u64),
}

/// A reader that knows where it is.
pub(super) struct Parser<R> {
    reader: R,
    position: u64,
    /// Bytes of the whole file.
    length: u64,
    elements: u32,
}

impl<R: Read + Seek> Parser<R> {
    /// A parser of `length` bytes that stands at `position`.
    pub fn new(reader: R, position: u64, length: u64) -> Self {
        Self { reader, position, length, elements: 0 }
    }

    /// The elements of the file's own group 2, which is explicit and little-endian.
    pub fn file_meta(&mut self) -> Result<DataSet, Problem> {
        let encoding = Encoding { explicit: true, big_endian: false };
        let mut set = DataSet::default();
        while self.length - self.position >= 8 {
            let tag = self.peek_tag(encoding)?;
            if tag >> 16 != 2 {
                break;
            }
            self.element(&mut set, encoding, self.length, 0)?;
        }
        Ok(set)
    }

    /// The rest of the file, up to and with its pixels.
    pub fn data_set(&mut self, encoding: Encoding) -> Result<DataSet, Problem> {
        let encoding = self.true_encoding(encoding)?;
        self.set(encoding, Until::End(self.length), 0)
    }

    /// Some writers announce explicit types and leave them out.
    fn true_encoding(&mut self, encoding: Encoding) -> Result<Encoding, Problem> {
        if !encoding.explicit || encoding.big_endian || self.length - self.position < 8 {
            return Ok(encoding);
        }
        let start: [u8; 8] = self.array()?;
        self.seek(self.position - 8)?;
        let explicit = start[4..6].iter().all(u8::is_ascii_uppercase);
        Ok(Encoding { explicit, ..encoding })
    }

    fn set(&mut self, encoding: Encoding, until: Until, depth: usize) -> Result<DataSet, Problem> {
        let (Until::End(end) | Until::Delimiter(end)) = until;
        let mut set = DataSet::default();
        loop {
            if self.position == end {
                return match until {
                    Until::End(_) => Ok(set),
                    Until::Delimiter(_) => Err(self.damaged("an item has no end")),
                };
            }
            if end - self.position < 8 {
                return match depth {
                    // Bytes behind the last element are padding.
                    0 => Ok(set),
                    _ => Err(self.damaged("an item ends within an element")),
                };
            }
            let tag = self.peek_tag(encoding)?;
            match tag {
                ITEM_END => {
                    self.seek(self.position + 8)?;
                    return match until {
                        Until::Delimiter(_) => Ok(set),
                        Until::End(_) => Err(self.damaged("an item ends where none began")),
                    };
                }
                0 if depth == 0 => return Ok(set),
                _ => self.element(&mut set, encoding, end, depth)?,
            }
            if depth == 0 && attributes::PIXELS.iter().any(|attribute| attribute.tag == tag) {
                return Ok(set);
            }
        }
    }

    fn element(
        &mut self,
        set: &mut DataSet,
        encoding: Encoding,
        end: u64,
        depth: usize,
    ) -> Result<(), Problem> {
        self.count_element()?;
        let tag = self.tag(encoding)?;
        let attribute = attributes::find(tag);
        let (vr, length) = self.type_and_length(tag, encoding)?;
        let is_sequence = vr == Vr::SQ
            || (vr == Vr::UN && (length == UNDEFINED || attribute.is_some_and(|a| a.vr == Vr::SQ)));
        let value = if is_sequence {
            // Within a value of unknown type all is implicit.
            let inner = match vr {
                Vr::UN => Encoding { explicit: false, big_endian: false },
                _ => encoding,
            };
            Some(Value::Items(self.sequence(inner, length, end, depth + 1)?))
        } else if tag == attributes::PIXEL_DATA.tag && length == UNDEFINED {
            Some(Value::Fragments(self.fragments(encoding, end)?))
        } else {
            self.value(tag, vr, length, encoding, end)?
        };
        if let (Some(_), Some(value)) = (attribute, value) {
            set.elements.insert(tag, Element { vr, value });
        }
        Ok(())
    }

    /// The value of an attribute of the table; of another, or a long one, it is skipped.
    fn value(
        &mut self,
        tag: u32,
        vr: Vr,
        length: u32,
        encoding: Encoding,
        end: u64,
    ) -> Result<Option<Value>, Problem> {
        if length == UNDEFINED {
            return Err(self.damaged("a value that is no sequence has no length"));
        }
        let value_end = self.end_of(length, end)?;
        if attributes::PIXELS.iter().any(|attribute| attribute.tag == tag) {
            let pixels = self.position..value_end;
            self.seek(value_end)?;
            return Ok(Some(Value::Pixels(pixels)));
        }
        if attributes::find(tag).is_none() || u64::from(length) > LONGEST_VALUE {
            self.seek(value_end)?;
            return Ok(None);
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        if encoding.big_endian {
            bytes.chunks_exact_mut(vr.word()).for_each(<[u8]>::reverse);
        }
        Ok(Some(Value::Bytes(bytes)))
    }

    /// The items of a sequence.
    fn sequence(
        &mut self,
        encoding: Encoding,
        length: u32,
        end: u64,
        depth: usize,
    ) -> Result<Vec<DataSet>, Problem> {
        if depth > DEEPEST {
            return Err(self.damaged("sequences lie within each other without end"));
        }
        let delimited = length == UNDEFINED;
        let end = if delimited { end } else { self.end_of(length, end)? };
        let mut items = Vec::new();
        while delimited || self.position < end {
            self.count_element()?;
            let (tag, length) = self.item(encoding, end)?;
            match tag {
                SEQUENCE_END if delimited => break,
                ITEM if length == UNDEFINED => {
                    items.push(self.set(encoding, Until::Delimiter(end), depth)?);
                }
                ITEM => {
                    let item_end = self.end_of(length, end)?;
                    items.push(self.set(encoding, Until::End(item_end), depth)?);
                }
                _ => return Err(self.damaged("a sequence holds something else than items")),
            }
        }
        Ok(items)
    }

    /// Where the fragments of compressed pixels are.
    fn fragments(
        &mut self,
        encoding: Encoding,
        end: u64,
    ) -> Result<Vec<std::ops::Range<u64>>, Problem> {
        let mut fragments = Vec::new();
        loop {
            self.count_element()?;
            // Many files lack the last delimiter.
            if self.position == end {
                return Ok(fragments);
            }
            let (tag, length) = self.item(encoding, end)?;
            match tag {
                SEQUENCE_END => return Ok(fragments),
                ITEM if length != UNDEFINED => {
                    let fragment = self.position..self.end_of(length, end)?;
                    self.seek(fragment.end)?;
                    fragments.push(fragment);
                }
                _ => return Err(self.damaged("compressed pixels hold something else than items")),
            }
        }
    }

    /// Tag and length of an item or a delimiter.
    fn item(&mut self, encoding: Encoding, end: u64) -> Result<(u32, u32), Problem> {
        if end - self.position < 8 {
            return Err(self.damaged("a sequence has no end"));
        }
        let tag = self.tag(encoding)?;
        Ok((tag, self.u32(encoding)?))
    }

    fn type_and_length(&mut self, tag: u32, encoding: Encoding) -> Result<(Vr, u32), Problem> {
        if !encoding.explicit {
            let length = self.u32(encoding)?;
            let vr = attributes::find(tag).map_or(Vr::UN, |attribute| attribute.vr);
            return Ok((vr, length));
        }
        let vr = Vr(self.array()?);
        if !vr.0.iter().all(u8::is_ascii_uppercase) {
            return Err(self.damaged("an element has no type"));
        }
        if vr.is_long() {
            let _reserved: [u8; 2] = self.array()?;
            return Ok((vr, self.u32(encoding)?));
        }
        let length = self.array()?;
        let length = if encoding.big_endian {
            u16::from_be_bytes(length)
        } else {
            u16::from_le_bytes(length)
        };
        Ok((vr, length.into()))
    }

    /// Where a value of `length` ends that begins here, within what ends at `end`.
    fn end_of(&self, length: u32, end: u64) -> Result<u64, Problem> {
        let value_end = self.position.saturating_add(length.into());
        match value_end {
            _ if value_end <= end => Ok(value_end),
            _ if value_end > self.length => {
                Err(Problem::Truncated { expected: value_end, found: self.length })
            }
            _ => Err(self.damaged("a value goes on behind the item that holds it")),
        }
    }

    fn count_element(&mut self) -> Result<(), Problem> {
        self.elements += 1;
        match self.elements {
            0..=MOST_ELEMENTS => Ok(()),
            _ => Err(self.damaged("there are more elements than any image has")),
        }
    }

    fn peek_tag(&mut self, encoding: Encoding) -> Result<u32, Problem> {
        let tag = self.tag(encoding)?;
        self.seek(self.position - 4)?;
        Ok(tag)
    }

    fn tag(&mut self, encoding: Encoding) -> Result<u32, Problem> {
        let [a, b, c, d] = self.array()?;
        Ok(match encoding.big_endian {
            true => u32::from_be_bytes([a, b, c, d]),
            false => u32::from_be_bytes([b, a, d, c]),
        })
    }

    fn u32(&mut self, encoding: Encoding) -> Result<u32, Problem> {
        let bytes = self.array()?;
        Ok(if encoding.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Problem> {
        let end = self.position + bytes.len() as u64;
        if end > self.length {
            return Err(Problem::Truncated { expected: end, found: self.length });
        }
        self.reader.read_exact(bytes).map_err(Problem::Read)?;
        self.position = end;
        Ok(())
    }

    /// Relative, so that a buffered reader keeps its buffer.
    fn seek(&mut self, to: u64) -> Result<(), Problem> {
        let by = to as i64 - self.position as i64;
        self.reader.seek_relative(by).map_err(Problem::Read)?;
        self.position = to;
        Ok(())
    }

    /// The reader, where the parser stands.
    pub fn into_reader(self) -> R {
        self.reader
    }

    fn damaged(&self, what: &'static str) -> Problem {
        Problem::Damaged { at: self.position, what }
    }
}

/// The bytes of a range of a reader.
///
/// # Errors
/// Those of the reader. The range must lie within its bytes: as many are allocated.
pub(super) fn read_range(
    reader: &mut (impl Read + Seek),
    range: &std::ops::Range<u64>,
) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    reader.seek(SeekFrom::Start(range.start))?;
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}
