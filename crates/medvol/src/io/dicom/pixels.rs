//! From the bytes of a frame to its stored values.

use std::io::Read;

use flate2::read::DeflateDecoder;

use super::attributes as tags;
use super::data_set::DataSet;
use super::jpeg::{self, Refusal};
use super::object::Object;
use super::problem::Problem;
use super::rle;
use super::transfer_syntax::Codec;

/// Samples of a frame, row by row, the bits that are not stored not yet taken away.
pub(super) type Samples = Vec<i64>;

/// Pixels of a frame; known detectors have a sixteenth of it.
const MOST_PIXELS: u64 = 1 << 26;

/// How pixels are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PixelFormat {
    /// Of a frame.
    pub rows: u32,
    /// Of a frame.
    pub columns: u32,
    /// Of the object.
    pub frames: u32,
    /// Bits that a sample takes.
    pub allocated: u32,
    /// Bits of them that are its value.
    stored: u32,
    /// The highest of these.
    high_bit: u32,
    signed: bool,
}

impl PixelFormat {
    /// Of an image with one sample a pixel.
    pub fn of(data: &DataSet) -> Result<Self, Problem> {
        let samples = data.given_count(tags::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        let photometric = data.text(tags::PHOTOMETRIC).unwrap_or_else(|| "MONOCHROME2".into());
        if samples != 1 || !photometric.starts_with("MONOCHROME") {
            return Err(Problem::Colour { photometric, samples });
        }
        if data.has(tags::MODALITY_LUT) {
            return Err(Problem::Value {
                attribute: tags::MODALITY_LUT,
                found: "(a table of values)".into(),
                expected: "Rescale Slope and Intercept",
            });
        }
        let count =
            |attribute, needed| data.count(attribute).ok_or(Problem::Missing { attribute, needed });
        let size = "the size of its frames must be known";
        let bits = "the type of its pixels must be known";
        let allocated = count(tags::BITS_ALLOCATED, bits)?;
        let stored = data.given_count(tags::BITS_STORED)?.unwrap_or(allocated);
        let signed = data.given_count(tags::PIXEL_REPRESENTATION)?.unwrap_or(0);
        if signed > 1 {
            return Err(Problem::Value {
                attribute: tags::PIXEL_REPRESENTATION,
                found: signed.to_string(),
                expected: "0 or 1",
            });
        }
        let format = Self {
            rows: count(tags::ROWS, size)?,
            columns: count(tags::COLUMNS, size)?,
            frames: data.given_count(tags::NUMBER_OF_FRAMES)?.unwrap_or(1),
            allocated,
            stored,
            high_bit: data.given_count(tags::HIGH_BIT)?.unwrap_or(stored.saturating_sub(1)),
            signed: signed == 1,
        };
        format.check()?;
        Ok(format)
    }

    fn check(&self) -> Result<(), Problem> {
        let value = |attribute, found: u32, expected| {
            Err(Problem::Value { attribute, found: found.to_string(), expected })
        };
        if self.rows == 0 || self.pixels() > MOST_PIXELS {
            return value(tags::ROWS, self.rows, "frames of 1 to 67 million pixels");
        }
        if self.columns == 0 {
            return value(tags::COLUMNS, self.columns, "1 or more");
        }
        if self.frames == 0 {
            return value(tags::NUMBER_OF_FRAMES, self.frames, "1 or more");
        }
        if ![1, 8, 16, 32].contains(&self.allocated) {
            return value(tags::BITS_ALLOCATED, self.allocated, "1, 8, 16 or 32");
        }
        if !(1..=self.allocated).contains(&self.stored) {
            return value(tags::BITS_STORED, self.stored, "1 to Bits Allocated");
        }
        if !(self.stored - 1..self.allocated).contains(&self.high_bit) {
            return value(tags::HIGH_BIT, self.high_bit, "Bits Stored − 1 to Bits Allocated − 1");
        }
        Ok(())
    }

    /// Pixels of a frame.
    pub fn pixels(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.columns)
    }

    /// The smallest and the largest value that can be stored.
    pub fn range(&self) -> (i64, i64) {
        let values = 1_i64 << self.stored;
        if self.signed { (-values / 2, values / 2 - 1) } else { (0, values - 1) }
    }

    /// The stored values of a frame (from 0), row by row.
    pub fn frame(&self, object: &mut Object, frame: u32) -> Result<Vec<i64>, Problem> {
        let bytes =
            object.frame(frame, self.frames, self.pixels() * u64::from(self.allocated / 8))?;
        let codec = object.syntax.codec;
        let decode = |codec, reason| Problem::Decode { frame: frame + 1, codec, reason };
        let size = [self.rows, self.columns];
        let refused = |codec| {
            move |refusal| match refusal {
                Refusal::Size(found) => {
                    Problem::FrameSize { frame: frame + 1, expected: size, found }
                }
                Refusal::Reason(reason) => decode(codec, reason),
            }
        };
        let big_endian = object.syntax.encoding.big_endian;
        let mut samples = match codec {
            Codec::Native | Codec::Fragments => self.samples(&bytes, big_endian),
            Codec::Deflate => {
                let most = self.pixels() * u64::from(self.allocated / 8);
                let mut inflated = Vec::new();
                DeflateDecoder::new(bytes.as_slice())
                    .take(most)
                    .read_to_end(&mut inflated)
                    .map_err(|error| decode("deflated", error.to_string()))?;
                self.samples(&inflated, false)
            }
            Codec::Rle => {
                let bytes =
                    rle::decode(&bytes, self.pixels() as usize, self.allocated as usize / 8)
                        .map_err(|reason| decode("RLE", reason))?;
                self.samples(&bytes, false)
            }
            Codec::Jpeg => jpeg::decode(&bytes, size).map_err(refused("JPEG"))?,
            Codec::Jpeg2000 => jpeg::decode_2000(&bytes, size).map_err(refused("JPEG 2000"))?,
            Codec::Unknown => {
                let (name, uid) = (object.syntax.name, object.syntax_uid.clone());
                return Err(Problem::Compression { name, uid });
            }
        };
        if samples.len() as u64 != self.pixels() {
            let (expected, found) = (self.pixels(), samples.len() as u64);
            return Err(decode("stored", format!("expected {expected} pixels, found {found}")));
        }
        self.take_stored_bits(&mut samples);
        Ok(samples)
    }

    /// Samples of whole bytes.
    fn samples(&self, bytes: &[u8], big_endian: bool) -> Samples {
        fn words<const N: usize>(
            bytes: &[u8],
            big_endian: bool,
            sample: impl Fn([u8; N]) -> i64,
        ) -> Samples {
            let ordered = |word: &[u8; N]| {
                let mut word = *word;
                if big_endian {
                    word.reverse();
                }
                sample(word)
            };
            bytes.as_chunks().0.iter().map(ordered).collect()
        }
        match self.allocated {
            8 => bytes.iter().copied().map(i64::from).collect(),
            16 => words(bytes, big_endian, |word| u16::from_le_bytes(word).into()),
            _ => words(bytes, big_endian, |word| u32::from_le_bytes(word).into()),
        }
    }

    /// Keeps the stored bits of each sample, with their sign.
    fn take_stored_bits(&self, samples: &mut Samples) {
        let below = self.high_bit + 1 - self.stored;
        let unused = i64::BITS - self.stored;
        for sample in samples {
            let bits = (*sample >> below) << unused;
            *sample = match self.signed {
                true => bits >> unused,
                false => (bits as u64 >> unused) as i64,
            };
        }
    }
}
