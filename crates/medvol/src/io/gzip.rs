//! Compressed bytes as files hold them: gzip of one member or several, with padding behind; or zlib.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

use flate2::bufread::{GzDecoder, ZlibDecoder};

/// The first bytes of a gzip stream.
pub(super) const GZIP_MARK: [u8; 2] = [0x1f, 0x8b];

/// Deflate cannot shrink more than this (RFC 1951: 258 bytes from two bits).
pub(super) const LARGEST_RATIO: u64 = 1032;

/// What deflate has made of some bytes, in a frame of either kind: seen by the first bytes.
///
/// # Errors
/// Those of reading the first bytes.
pub(super) fn inflated<R: BufRead + 'static>(mut from: R) -> Result<Box<dyn Read>> {
    Ok(if from.fill_buf()?.starts_with(&GZIP_MARK) {
        Box::new(Members::new(from))
    } else {
        Box::new(ZlibDecoder::new(from))
    })
}

/// The members of a gzip stream, one behind the other. Zeros behind a member are padding, as
/// devices that write whole blocks leave it.
pub(super) struct Members<R> {
    /// None where the stream has ended.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(from: R) -> Self {
        Self { member: Some(GzDecoder::new(from)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while let Some(member) = &mut self.member {
            let n = member.read(buffer).map_err(in_words)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            if skip_zeros(member.get_mut())? {
                self.member = self.member.take().map(|member| GzDecoder::new(member.into_inner()));
            } else {
                self.member = None;
            }
        }
        Ok(0)
    }
}

/// What is wrong with compressed data, and what to do.
fn in_words(error: Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::InvalidData => Error::new(
            ErrorKind::InvalidData,
            format!("its compressed data are damaged ({error}); copy or download it again"),
        ),
        _ => error,
    }
}

/// Whether another member follows the zeros.
///
/// # Errors
/// Other data, and those of reading.
fn skip_zeros(from: &mut impl BufRead) -> Result<bool> {
    loop {
        let bytes = from.fill_buf()?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        let more = zeros < bytes.len();
        from.consume(zeros);
        if more && from.fill_buf()?.first() != Some(&GZIP_MARK[0]) {
            let reason =
                "other data follow its compressed data; copy or download it again, or cut them off";
            return Err(Error::new(ErrorKind::InvalidData, reason));
        }
        if more {
            return Ok(true);
        }
    }
}
