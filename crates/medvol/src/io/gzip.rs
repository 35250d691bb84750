//! Compressed bytes as files hold them: gzip of one member or several, with padding or other data
//! behind; or zlib.

use std::io::{BufRead, Error, ErrorKind, Read, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
        Box::new(Members::new(from, Arc::default()))
    } else {
        Box::new(ZlibDecoder::new(from))
    })
}

/// The members of a gzip stream, one behind the other. Zeros behind a member are padding, as
/// devices that write whole blocks leave it. Anything else ends the stream, as other programs have
/// it: what was compressed before it has its checksum.
pub(super) struct Members<R> {
    /// None where the stream has ended.
    member: Option<GzDecoder<R>>,
    /// Whether there was one before it.
    later: bool,
    others_follow: Arc<AtomicBool>,
}

impl<R: BufRead> Members<R> {
    /// `others_follow` will say whether other data follow.
    pub(super) fn new(from: R, others_follow: Arc<AtomicBool>) -> Self {
        Self { member: Some(GzDecoder::new(from)), later: false, others_follow }
    }
}

/// What stands behind a member.
enum Behind {
    Nothing,
    Member,
    Others,
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while let Some(member) = &mut self.member {
            let behind = match member.read(buffer) {
                Ok(0) if !buffer.is_empty() => skip_zeros(member.get_mut())?,
                // It only began like one: with no header, or with none that is whole.
                Err(error) if self.later && member.header().is_none() && is_of_data(&error) => {
                    Behind::Others
                }
                read => return read.map_err(in_words),
            };
            if matches!(behind, Behind::Others) {
                self.others_follow.store(true, Ordering::Relaxed);
            }
            let ended = self.member.take().filter(|_| matches!(behind, Behind::Member));
            self.member = ended.map(|member| GzDecoder::new(member.into_inner()));
            self.later = true;
        }
        Ok(0)
    }
}

/// Whether bytes are wrong or missing, and not their reading.
fn is_of_data(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::UnexpectedEof)
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

/// What follows the zeros.
///
/// # Errors
/// Those of reading.
fn skip_zeros(from: &mut impl BufRead) -> Result<Behind> {
    loop {
        let bytes = from.fill_buf()?;
        if bytes.is_empty() {
            return Ok(Behind::Nothing);
        }
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        if zeros == bytes.len() {
            from.consume(zeros);
            continue;
        }
        // The second byte of the mark may not be in the buffer.
        let member = bytes[zeros] == GZIP_MARK[0];
        from.consume(zeros);
        return Ok(if member { Behind::Member } else { Behind::Others });
    }
}
