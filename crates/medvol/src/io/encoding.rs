//! How text headers say that their voxels are stored, and the way back to plain little bytes.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

use super::gzip::{self, LARGEST_RATIO};

/// The longest number in text that is read.
const LONGEST_NUMBER: usize = 64;

/// How voxels are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As their bytes.
    Raw,
    /// As their bytes, compressed: gzip or zlib.
    Deflated,
    /// As decimal numbers, which become little-endian f64.
    Text,
    /// As their bytes, each in two hexadecimal digits.
    Hex,
}

impl Encoding {
    /// The most bytes that `stored` bytes can hold.
    pub(super) fn at_most(self, stored: u64) -> u64 {
        match self {
            Self::Raw => stored,
            Self::Deflated => stored.saturating_mul(LARGEST_RATIO),
            // A digit and a separator become eight bytes.
            Self::Text => stored.saturating_add(1).saturating_mul(4),
            Self::Hex => stored / 2,
        }
    }

    /// The decoded bytes.
    ///
    /// # Errors
    /// Those of reading the first bytes.
    pub(super) fn decoded<R: BufRead + 'static>(self, from: R) -> Result<Box<dyn Read>> {
        Ok(match self {
            Self::Raw => Box::new(from),
            Self::Deflated => gzip::inflated(from)?,
            Self::Text => Box::new(TextNumbers { from, number: [0; 8], left: 0 }),
            Self::Hex => Box::new(HexDigits { from }),
        })
    }
}

/// Decimal numbers, apart by white space or commas, as little-endian f64.
struct TextNumbers<R> {
    from: R,
    number: [u8; 8],
    /// Bytes of `number` that nobody has read, at its end.
    left: usize,
}

impl<R: BufRead> Read for TextNumbers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.left == 0 {
                let Some(number) = next_number(&mut self.from)? else { break };
                self.number = number.to_le_bytes();
                self.left = self.number.len();
            }
            let n = self.left.min(buffer.len() - filled);
            let start = self.number.len() - self.left;
            buffer[filled..filled + n].copy_from_slice(&self.number[start..start + n]);
            self.left -= n;
            filled += n;
        }
        Ok(filled)
    }
}

fn next_number(from: &mut impl BufRead) -> Result<Option<f64>> {
    let mut word = String::new();
    while let Some(byte) = next_byte(from)? {
        if !(byte.is_ascii_whitespace() || byte == b',') {
            word.push(byte.into());
        } else if !word.is_empty() {
            break;
        }
        if word.len() > LONGEST_NUMBER {
            return Err(not_a(&word, "a number"));
        }
    }
    match word.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) if word.is_empty() => Ok(None),
        Err(_) => Err(not_a(&word, "a number")),
    }
}

/// Bytes in hexadecimal digits; white space does not count.
struct HexDigits<R> {
    from: R,
}

impl<R: BufRead> HexDigits<R> {
    fn digit(&mut self) -> Result<Option<u8>> {
        while let Some(byte) = next_byte(&mut self.from)? {
            let character = char::from(byte);
            match character.to_digit(16) {
                Some(digit) => return Ok(Some(digit as u8)),
                None if character.is_ascii_whitespace() => {}
                None => return Err(not_a(&character.to_string(), "a hexadecimal digit")),
            }
        }
        Ok(None)
    }
}

impl<R: BufRead> Read for HexDigits<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        for (filled, out) in buffer.iter_mut().enumerate() {
            let Some(high) = self.digit()? else { return Ok(filled) };
            let Some(low) = self.digit()? else { return Err(ErrorKind::UnexpectedEof.into()) };
            *out = 16 * high + low;
        }
        Ok(buffer.len())
    }
}

fn next_byte(from: &mut impl BufRead) -> Result<Option<u8>> {
    let byte = from.fill_buf()?.first().copied();
    from.consume(byte.map_or(0, |_| 1));
    Ok(byte)
}

fn not_a(found: &str, expected: &str) -> Error {
    let found: String = found.chars().take(20).collect();
    Error::new(ErrorKind::InvalidData, format!("among the voxels, {found:?} is not {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoding: Encoding, text: &'static [u8]) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        encoding.decoded(text)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn numbers_in_text_are_read_whatever_stands_between_them() {
        let bytes = decoded(Encoding::Text, b" 1,-2.5\n\t+3e2 , 7").unwrap();
        let numbers: Vec<f64> =
            bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
        assert_eq!(numbers, [1.0, -2.5, 300.0, 7.0]);
        assert!(decoded(Encoding::Text, b"1 x").unwrap_err().to_string().contains("\"x\""));
        assert!(decoded(Encoding::Text, &[b'1'; 1000]).is_err());
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(decoded(Encoding::Hex, b"00 fF\n1 0").unwrap(), [0, 255, 16]);
        assert!(decoded(Encoding::Hex, b"001").is_err());
        assert!(decoded(Encoding::Hex, b"0g").is_err());
    }
}
