//! The bytes of a source, uncompressed and counted.

use std::io::{BufReader, Cursor, Error as IoError, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::gzip::{GZIP_MARK, LARGEST_RATIO, Members};
use super::source::Source;
use crate::error::{Error, Result};
use crate::open::open_file;

/// Bytes read at a time; a multiple of every voxel's size.
pub(super) const PIECE: usize = 1 << 16;

/// A file's bytes, of which the first are known before they are read. Compression (gzip) is seen by
/// the first bytes, not by the name.
pub struct Stream {
    source: Source,
    start: Cursor<Vec<u8>>,
    /// What stopped the reading of `start`; said where a reader comes to it.
    failed: Option<IoError>,
    rest: Box<dyn Read>,
    /// Bytes read.
    read: u64,
    /// Largest number of bytes the file can hold, uncompressed.
    at_most: u64,
    /// Whether it may hold less.
    compressed: bool,
    /// Whether data of another kind follow the compressed ones; known once these are read.
    others_follow: Arc<AtomicBool>,
    /// Bytes behind the voxels; known at the latest once these are read.
    surplus: Arc<AtomicU64>,
}

impl Stream {
    /// Bytes that can be looked at before they are read.
    pub const START: usize = 512;

    /// Opens a file. Of a folder there are no bytes: its format reads the files itself.
    ///
    /// # Errors
    /// [`Error::Read`]. What is wrong further on is said by the reader that comes to it.
    pub(super) fn open(source: &Source) -> Result<Self> {
        if source.path().is_dir() {
            return Ok(Self::decoded(source, Box::new(std::io::empty()), 0));
        }
        let unreadable = |error| Error::Read { path: source.path().to_path_buf(), source: error };
        let file = open_file(source).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut file = BufReader::with_capacity(PIECE, file);
        let start = std::io::BufRead::fill_buf(&mut file).map_err(unreadable)?;
        let compressed = start.starts_with(&GZIP_MARK);
        let others_follow = Arc::<AtomicBool>::default();
        let (mut rest, at_most): (Box<dyn Read>, u64) = if compressed {
            let members = Members::new(file, others_follow.clone());
            (Box::new(members), length.saturating_mul(LARGEST_RATIO))
        } else {
            (Box::new(file), length)
        };
        let mut start = Vec::with_capacity(Self::START);
        let failed = (&mut rest).take(Self::START as u64).read_to_end(&mut start).err();
        Ok(Self {
            source: source.clone(),
            start: Cursor::new(start),
            failed,
            rest,
            read: 0,
            at_most,
            compressed,
            others_follow,
            surplus: Arc::default(),
        })
    }

    /// Bytes that a format has taken out of a source itself: `at_most` of them. An error of this
    /// crate within one of `reader` is handed on as it is.
    pub(super) fn decoded(source: &Source, reader: Box<dyn Read>, at_most: u64) -> Self {
        Self {
            source: source.clone(),
            start: Cursor::default(),
            failed: None,
            rest: reader,
            read: 0,
            at_most,
            compressed: true,
            others_follow: Arc::default(),
            surplus: Arc::default(),
        }
    }

    /// Whether data of another kind follow the compressed ones, to be asked once all is read.
    pub(super) fn others_follow(&self) -> Arc<AtomicBool> {
        self.others_follow.clone()
    }

    /// How many bytes follow the voxels, to be asked once all is read.
    pub(super) fn surplus(&self) -> Arc<AtomicU64> {
        self.surplus.clone()
    }

    /// The same, with a count of the bytes behind the voxels that `reader` keeps.
    pub(super) fn with_surplus(self, surplus: Arc<AtomicU64>) -> Self {
        Self { surplus, ..self }
    }

    /// Remembers that so many bytes follow the voxels.
    pub(super) fn set_surplus(&self, bytes: u64) {
        self.surplus.store(bytes, Ordering::Relaxed);
    }

    /// The bytes that nobody has read, and the most there can be.
    pub(super) fn into_rest(self) -> (impl Read + 'static, u64) {
        let at_most = self.at_most.saturating_sub(self.read);
        (Rest(self), at_most)
    }

    /// How many bytes nobody has read; None if that is not known before they are read.
    pub(super) fn left(&self) -> Option<u64> {
        (!self.compressed).then(|| self.at_most.saturating_sub(self.read))
    }

    /// What is read.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The first bytes, up to [`Self::START`] of them.
    pub fn start(&self) -> &[u8] {
        self.start.get_ref()
    }

    /// Bytes read until now.
    pub fn position(&self) -> u64 {
        self.read
    }

    /// Fills the buffer; `expected` is the number of bytes that the whole file should hold.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Read`].
    pub fn fill(&mut self, mut buffer: &mut [u8], expected: u64) -> Result<()> {
        while !buffer.is_empty() {
            match self.read_some(buffer, expected)? {
                0 => return Err(self.truncated(expected, self.read)),
                n => buffer = &mut buffer[n..],
            }
        }
        Ok(())
    }

    /// Refuses a file that cannot hold `expected` bytes, however well they are compressed.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    pub(super) fn can_hold(&self, expected: u64) -> Result<()> {
        match expected <= self.at_most {
            true => Ok(()),
            false => Err(self.truncated(expected, self.at_most)),
        }
    }

    /// Reads something, or nothing at the end.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub(super) fn read_some(&mut self, buffer: &mut [u8], expected: u64) -> Result<usize> {
        loop {
            match self.next_bytes(buffer) {
                Ok(n) => {
                    self.read += n as u64;
                    return Ok(n);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Err(self.truncated(expected, self.read));
                }
                Err(source) => {
                    return Err(source.downcast::<Error>().unwrap_or_else(|source| Error::Read {
                        path: self.source.path().to_path_buf(),
                        source,
                    }));
                }
            }
        }
    }

    fn next_bytes(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.start.read(buffer)? {
            0 => self.failed.take().map_or_else(|| self.rest.read(buffer), Err),
            n => Ok(n),
        }
    }

    fn truncated(&self, expected: u64, found: u64) -> Error {
        Error::Truncated { path: self.source.path().to_path_buf(), expected, found }
    }
}

/// A stream to be read by others.
struct Rest(Stream);

impl Read for Rest {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.next_bytes(buffer)
    }
}
