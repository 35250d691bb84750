//! Reading the voxels: in pieces, so that what a damaged or hostile file announces is never
//! allocated unseen.

use super::fault::Unsupported;
use super::stream::{PIECE, Stream};
use crate::error::{Error, Result};

/// Bytes behind the voxels that are read, besides as many as there are before: more is no padding,
/// but a header with wrong sizes, or a file made to be read for hours.
pub(super) const MOST_BEHIND: u64 = 64 << 20;

/// The types of numbers that files hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberType {
    /// Integers from 0 to 255.
    U8,
    /// Integers from -128 to 127.
    I8,
    /// Integers of two bytes, not negative.
    U16,
    /// Integers of two bytes.
    I16,
    /// Integers of four bytes, not negative.
    U32,
    /// Integers of four bytes.
    I32,
    /// Integers of eight bytes, not negative.
    U64,
    /// Integers of eight bytes.
    I64,
    /// Floating-point numbers of four bytes.
    F32,
    /// Floating-point numbers of eight bytes.
    F64,
}

impl NumberType {
    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether every number of this type is one of an i16.
    pub(super) fn is_short(self) -> bool {
        matches!(self, Self::U8 | Self::I8 | Self::I16)
    }
}

/// Voxels that are still in their file, in the order width (fastest), height, depth.
pub struct Stored {
    /// The bytes, read up to the end of the header or further, but not beyond `offset`.
    pub stream: Stream,
    /// Byte at which the voxels begin.
    pub offset: u64,
    /// Number of voxels, all channels together.
    pub count: u64,
    /// The type of the stored numbers.
    pub numbers: NumberType,
    /// Whether their bytes stand in this order.
    pub big_endian: bool,
    /// Value = stored · slope + intercept; `(1, 0)` where there is no scale factor.
    pub scale: (f64, f64),
    /// How many axes of space are faster than that of the channels: 3 where one channel follows
    /// the other, 0 where all channels of a voxel stand side by side.
    pub channels_at: usize,
}

impl Stored {
    /// Bytes of all voxels.
    pub(super) fn bytes(&self) -> u64 {
        self.count.saturating_mul(self.numbers.bytes() as u64)
    }

    /// Byte at which they end.
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes())
    }

    /// Refuses voxels of which there cannot be as many bytes as the header announces.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    pub(super) fn can_be_there(&self) -> Result<()> {
        self.stream.can_hold(self.end())
    }

    /// Whether no scaled integer of 16 bits is beyond what a float of 32 bits holds.
    pub(super) fn is_within_floats(&self) -> bool {
        let (slope, intercept) = self.scale;
        let scaled = |stored: i16| (f64::from(stored) * slope + intercept) as f32;
        scaled(i16::MIN).is_finite() && scaled(i16::MAX).is_finite()
    }

    /// Reads all voxels in their order, each scaled and passed through `convert` together with its
    /// position.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Read`], [`Error::OutOfMemory`], [`Error::Unsupported`] for
    /// a file that does not end; those of `convert`.
    pub(super) fn read<T>(mut self, convert: impl Fn(usize, f64) -> Result<T>) -> Result<Vec<T>> {
        self.can_be_there()?;
        let expected = self.end();
        let mut values = Vec::new();
        usize::try_from(self.count)
            .ok()
            .and_then(|count| values.try_reserve_exact(count).ok())
            .ok_or_else(|| Error::OutOfMemory {
                path: self.stream.source().path().to_path_buf(),
                bytes: self.bytes(),
            })?;

        let mut piece = vec![0; PIECE];
        while self.stream.position() < self.offset {
            let n = (self.offset - self.stream.position()).min(PIECE as u64) as usize;
            self.stream.fill(&mut piece[..n], expected)?;
        }
        while self.stream.position() < expected {
            let n = (expected - self.stream.position()).min(PIECE as u64) as usize;
            self.stream.fill(&mut piece[..n], expected)?;
            self.decode(&piece[..n], &mut values, &convert)?;
        }
        self.check_the_rest(expected, piece)?;
        Ok(values)
    }

    /// Reads a compressed file to its end, because only there stands its checksum. What follows the
    /// voxels is counted.
    fn check_the_rest(mut self, expected: u64, mut piece: Vec<u8>) -> Result<()> {
        let most = expected.saturating_add(MOST_BEHIND);
        let mut behind = 0;
        loop {
            match self.stream.read_some(&mut piece, expected)? {
                0 => {
                    // A reader that ends with the voxels has counted before.
                    if behind > 0 {
                        self.stream.set_surplus(behind);
                    }
                    return Ok(());
                }
                _ if behind > most => {
                    let what = Unsupported::LongFile { most, announced: expected };
                    return Err(what.of(self.stream.source().path()));
                }
                n => behind += n as u64,
            }
        }
    }

    fn decode<T>(
        &self,
        bytes: &[u8],
        values: &mut Vec<T>,
        convert: &impl Fn(usize, f64) -> Result<T>,
    ) -> Result<()> {
        let (slope, intercept) = self.scale;
        macro_rules! decode_as {
            ($number:ty) => {
                for stored in bytes.as_chunks::<{ size_of::<$number>() }>().0 {
                    let stored = if self.big_endian {
                        <$number>::from_be_bytes(*stored)
                    } else {
                        <$number>::from_le_bytes(*stored)
                    };
                    let value = stored as f64 * slope + intercept;
                    values.push(convert(values.len(), value)?);
                }
            };
        }
        match self.numbers {
            NumberType::U8 => decode_as!(u8),
            NumberType::I8 => decode_as!(i8),
            NumberType::U16 => decode_as!(u16),
            NumberType::I16 => decode_as!(i16),
            NumberType::U32 => decode_as!(u32),
            NumberType::I32 => decode_as!(i32),
            NumberType::U64 => decode_as!(u64),
            NumberType::I64 => decode_as!(i64),
            NumberType::F32 => decode_as!(f32),
            NumberType::F64 => decode_as!(f64),
        }
        Ok(())
    }
}
