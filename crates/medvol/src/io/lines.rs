//! The lines of a text header.

use std::str::FromStr;

use super::fault::Unsupported;
use super::stream::Stream;
use crate::error::Result;

/// More than any header has: even one with the names of ten thousand slices.
const MOST_BYTES: u64 = 2 << 20;

/// Reads the lines at the beginning of a stream, and nothing behind them.
pub(super) struct Lines<'a> {
    stream: &'a mut Stream,
    read: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn new(stream: &'a mut Stream) -> Self {
        Self { stream, read: 0 }
    }

    /// The next line without its end and without white space around it; None at the end of the
    /// file.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a header without end; those of reading.
    pub(super) fn next(&mut self) -> Result<Option<String>> {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.stream.read_some(&mut byte, 0)? > 0 {
            self.read += 1;
            if self.read > MOST_BYTES {
                let what = Unsupported::LongHeader { most: MOST_BYTES };
                return Err(what.of(self.stream.source().path()));
            }
            if byte == *b"\n" {
                return Ok(Some(text(&line)));
            }
            line.push(byte[0]);
        }
        Ok(if line.is_empty() { None } else { Some(text(&line)) })
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim().to_string()
}

/// Words as values; None where one is none.
pub(super) fn values<T: FromStr>(text: &str) -> Option<Vec<T>> {
    text.split_whitespace().map(|word| word.parse().ok()).collect()
}
