//! Reading the voxels: in pieces, so that what a damaged or hostile file announces is never
//! allocated unseen.

use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::Grid;
use super::header::{self, DataType, HEADER_BYTES, Header};
use crate::error::{Error, Result};
use crate::open::open_file;

/// Bytes read at a time; a multiple of every voxel's size.
const PIECE: usize = 1 << 16;

/// Deflate cannot shrink more than this (RFC 1951: 258 bytes from two bits).
const LARGEST_GZIP_RATIO: u64 = 1032;

/// Bytes behind the voxels that are read, besides as many as there are before: more is no padding,
/// but a header with wrong sizes, or a file made to be read for hours.
const MOST_BEHIND: u64 = 64 << 20;

/// A reader that counts, so that a truncated file can say where it ended.
pub(super) struct Source<'a> {
    path: &'a Path,
    reader: Box<dyn Read>,
    read: u64,
    /// Largest number of bytes the file can hold, uncompressed.
    at_most: u64,
}

impl Source<'_> {
    fn error(&self, source: std::io::Error) -> Error {
        Error::Read { path: self.path.to_path_buf(), source }
    }

    /// Fills the buffer; `expected` is the number of bytes that the whole file should hold.
    fn fill(&mut self, mut buffer: &mut [u8], expected: u64) -> Result<()> {
        while !buffer.is_empty() {
            match self.reader.read(buffer) {
                Ok(0) => return Err(self.truncated(expected)),
                Ok(n) => {
                    self.read += n as u64;
                    buffer = &mut buffer[n..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Err(self.truncated(expected));
                }
                Err(error) => return Err(self.error(error)),
            }
        }
        Ok(())
    }

    fn truncated(&self, expected: u64) -> Error {
        Error::Truncated { path: self.path.to_path_buf(), expected, found: self.read }
    }
}

/// Opens a file, plain or compressed (by its first bytes, not by its name), and reads its header.
pub(super) fn open(path: &Path) -> Result<(Header, Source<'_>)> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    if extension.eq_ignore_ascii_case("img") || extension.eq_ignore_ascii_case("hdr") {
        return Err(header::unsupported(
            path,
            "is half of a .hdr/.img pair; convert the pair to one NIfTI-1 file (.nii or .nii.gz)",
        ));
    }
    let unreadable = |source| Error::Read { path: path.to_path_buf(), source };
    let file = open_file(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut file = BufReader::with_capacity(PIECE, file);
    let start = std::io::BufRead::fill_buf(&mut file).map_err(unreadable)?;
    let (reader, at_most): (Box<dyn Read>, u64) = if start.starts_with(&[0x1f, 0x8b]) {
        (Box::new(MultiGzDecoder::new(file)), length.saturating_mul(LARGEST_GZIP_RATIO))
    } else {
        (Box::new(file), length)
    };
    let mut source = Source { path, reader, read: 0, at_most };
    let mut bytes = [0; HEADER_BYTES];
    source.fill(&mut bytes, HEADER_BYTES as u64)?;
    Ok((header::parse(path, &bytes)?, source))
}

/// Reads all voxels of an opened file in their order, each passed through `convert` together with
/// the grid and its position.
pub(super) fn read<T>(
    (header, mut source): (Header, Source),
    convert: impl Fn((&Grid, usize), f64) -> Result<T>,
) -> Result<(Grid, Vec<T>)> {
    let path = source.path;
    let expected = header.offset.saturating_add(header.data_bytes);
    if expected > source.at_most {
        return Err(Error::Truncated { path: path.to_path_buf(), expected, found: source.at_most });
    }
    let out_of_memory =
        || Error::OutOfMemory { path: path.to_path_buf(), bytes: header.data_bytes };
    let count = header.data_bytes / header.data_type.bytes() as u64;
    let mut values = Vec::new();
    usize::try_from(count)
        .ok()
        .and_then(|count| values.try_reserve_exact(count).ok())
        .ok_or_else(out_of_memory)?;

    let mut piece = vec![0; PIECE];
    while source.read < header.offset {
        let n = (header.offset - source.read).min(PIECE as u64) as usize;
        source.fill(&mut piece[..n], expected)?;
    }
    while source.read < expected {
        let n = (expected - source.read).min(PIECE as u64) as usize;
        source.fill(&mut piece[..n], expected)?;
        decode(&header, &piece[..n], &mut values, &convert)?;
    }
    check_the_rest(source, expected, piece)?;
    Ok((header.grid, values))
}

/// Reads a compressed file to its end, because only there stands its checksum. What follows the
/// voxels is ignored.
fn check_the_rest(mut source: Source<'_>, expected: u64, mut piece: Vec<u8>) -> Result<()> {
    let most = expected.saturating_add(MOST_BEHIND);
    let mut behind = 0;
    loop {
        match source.reader.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(_) if behind > most => {
                let reason = format!(
                    "goes on for more than {most} bytes behind the {expected} that its header \
                     announces; convert it again"
                );
                return Err(header::unsupported(source.path, reason));
            }
            Ok(n) => behind += n as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(source.truncated(expected));
            }
            Err(error) => return Err(source.error(error)),
        }
    }
}

fn decode<T>(
    header: &Header,
    bytes: &[u8],
    values: &mut Vec<T>,
    convert: &impl Fn((&Grid, usize), f64) -> Result<T>,
) -> Result<()> {
    let (slope, intercept) = header.scale;
    macro_rules! decode_as {
        ($number:ty) => {
            for stored in bytes.as_chunks::<{ size_of::<$number>() }>().0 {
                let stored = if header.big_endian {
                    <$number>::from_be_bytes(*stored)
                } else {
                    <$number>::from_le_bytes(*stored)
                };
                let value = stored as f64 * slope + intercept;
                values.push(convert((&header.grid, values.len()), value)?);
            }
        };
    }
    match header.data_type {
        DataType::U8 => decode_as!(u8),
        DataType::I8 => decode_as!(i8),
        DataType::U16 => decode_as!(u16),
        DataType::I16 => decode_as!(i16),
        DataType::U32 => decode_as!(u32),
        DataType::I32 => decode_as!(i32),
        DataType::U64 => decode_as!(u64),
        DataType::I64 => decode_as!(i64),
        DataType::F32 => decode_as!(f32),
        DataType::F64 => decode_as!(f64),
    }
    Ok(())
}
