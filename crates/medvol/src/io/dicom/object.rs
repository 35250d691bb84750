//! A DICOM file: its mark, its data set, and the bytes of its frames.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use flate2::read::DeflateDecoder;

use super::attributes::{self as tags, Vr};
use super::data_set::{DataSet, Element, Value};
use super::parse::{Parser, read_range};
use super::problem::Problem;
use super::transfer_syntax::{self, Codec, TransferSyntax};

/// Where the mark ends that every file has.
pub(super) const START: u64 = 132;

/// Bytes of a deflated data set, inflated.
const MOST_INFLATED: u64 = 1 << 30;

/// A file's bytes, inflated if need be.
trait Bytes: Read + Seek + Send {}
impl<T: Read + Seek + Send> Bytes for T {}

/// An opened file, of whose pixels it is only known where they are.
pub(super) struct Object {
    /// All but the pixels.
    pub data: DataSet,
    /// How it is written.
    pub syntax: TransferSyntax,
    /// As the file has it.
    pub syntax_uid: String,
    reader: Box<dyn Bytes>,
}

/// Whether a file begins as DICOM files do.
pub(super) fn has_mark(start: &[u8]) -> bool {
    start.get(128..132) == Some(b"DICM")
}

impl Object {
    /// Opens a file and reads all but its pixels.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let file = crate::open_file(path).map_err(Problem::Read)?;
        let length = file.metadata().map_err(Problem::Read)?.len();
        Self::read(file, length)
    }

    fn read(file: File, length: u64) -> Result<Self, Problem> {
        let mut reader = BufReader::new(file);
        let mut start = Vec::new();
        reader.by_ref().take(START).read_to_end(&mut start).map_err(Problem::Read)?;
        if !has_mark(&start) {
            return Err(Problem::NoMark);
        }
        let mut parser = Parser::new(reader, START, length);
        let meta = parser.file_meta()?;
        // Without it, the one that all had to understand.
        let uid = meta.text(tags::TRANSFER_SYNTAX);
        let syntax_uid = uid.unwrap_or_else(|| "1.2.840.10008.1.2".into());
        let syntax = transfer_syntax::find(&syntax_uid);
        if !syntax.deflated {
            let data = parser.data_set(syntax.encoding)?;
            return Ok(Self { data, syntax, syntax_uid, reader: Box::new(parser.into_reader()) });
        }
        let mut inflated = Vec::new();
        DeflateDecoder::new(parser.into_reader())
            .take(MOST_INFLATED + 1)
            .read_to_end(&mut inflated)
            .map_err(Problem::Read)?;
        let length = inflated.len() as u64;
        if length > MOST_INFLATED {
            return Err(Problem::Inflated { most: MOST_INFLATED });
        }
        let mut parser = Parser::new(Cursor::new(inflated), 0, length);
        let data = parser.data_set(syntax.encoding)?;
        Ok(Self { data, syntax, syntax_uid, reader: Box::new(parser.into_reader()) })
    }

    /// The bytes of one frame (from 0) of `frames`, of which each takes `size` bytes if they are
    /// not compressed.
    pub fn frame(&mut self, frame: u32, frames: u32, size: u64) -> Result<Vec<u8>, Problem> {
        let native = self.syntax.codec == Codec::Native;
        match self.data.elements.get(&tags::PIXEL_DATA.tag) {
            Some(Element { value: Value::Pixels(_), .. }) if native => {
                let begin = size.saturating_mul(frame.into());
                self.pixels(begin, begin.saturating_add(size))
            }
            Some(Element { value: Value::Fragments(all), .. }) if !native => {
                let all = all.clone();
                let mut bytes = Vec::new();
                for range in self.fragments_of(&all, frame, frames)? {
                    bytes.extend(read_range(&mut self.reader, &range).map_err(Problem::Read)?);
                }
                Ok(bytes)
            }
            _ => {
                let needed = "its pixels must be stored as its transfer syntax says";
                Err(Problem::Missing { attribute: tags::PIXEL_DATA, needed })
            }
        }
    }

    /// Whether bytes of pixels stand in words of two, the second one first.
    pub fn swaps_bytes(&self) -> bool {
        let pixels = self.data.elements.get(&tags::PIXEL_DATA.tag);
        self.syntax.encoding.big_endian && pixels.is_some_and(|pixels| pixels.vr == Vr::OW)
    }

    /// The fragments of a frame, by the table of offsets, or by what must be so.
    fn fragments_of(
        &mut self,
        all: &[std::ops::Range<u64>],
        frame: u32,
        frames: u32,
    ) -> Result<Vec<std::ops::Range<u64>>, Problem> {
        let unknown = || Problem::FrameBegins { frames, fragments: all.len().saturating_sub(1) };
        let (table, fragments) = all.split_first().ok_or_else(unknown)?;
        if fragments.is_empty() {
            return Err(unknown());
        }
        if frames == 1 {
            return Ok(fragments.to_vec());
        }
        let frame = frame as usize;
        if fragments.len() == frames as usize {
            return fragments.get(frame).map(|only| vec![only.clone()]).ok_or_else(unknown);
        }
        let bytes = match table.end - table.start == 4 * u64::from(frames) {
            true => read_range(&mut self.reader, table).map_err(Problem::Read)?,
            false => return Err(unknown()),
        };
        let offsets = bytes.as_chunks().0;
        // Offsets count from the first fragment's item, eight bytes before its first byte.
        let place = |at: &[u8; 4]| fragments[0].start + u64::from(u32::from_le_bytes(*at));
        let begin = offsets.get(frame).map(place).ok_or_else(unknown)?;
        let end = offsets.get(frame + 1).map_or(u64::MAX, place);
        let own: Vec<_> = fragments
            .iter()
            .filter(|fragment| (begin..end).contains(&fragment.start))
            .cloned()
            .collect();
        if own.is_empty() { Err(unknown()) } else { Ok(own) }
    }

    /// The bytes from `begin` to `end` of uncompressed pixels.
    pub fn pixels(&mut self, begin: u64, end: u64) -> Result<Vec<u8>, Problem> {
        match self.data.elements.get(&tags::PIXEL_DATA.tag) {
            Some(Element { value: Value::Pixels(all), .. }) => {
                let found = all.end - all.start;
                if end > found {
                    return Err(Problem::FewPixels { expected: end, found });
                }
                let range = all.start + begin..all.start + end;
                read_range(&mut self.reader, &range).map_err(Problem::Read)
            }
            _ => Err(Problem::Missing {
                attribute: tags::PIXEL_DATA,
                needed: "a segmentation's pixels must not be compressed",
            }),
        }
    }
}
