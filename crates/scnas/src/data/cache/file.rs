//! A preprocessed case as a file: what is always in memory of it, samples of the channels that are
//! normalised by all training cases, the bricks of its image, the bricks of its class map.
//!
//! Everything carries a checksum that is made with its place and with that of the head: what is
//! damaged, of another file, or in another place is not taken for what it should be. Numbers are
//! little-endian.
//!
//! | part | bytes |
//! |---|---|
//! | mark | 8 |
//! | length of the head, its checksum | 4 + 4 |
//! | head: [`Head`] as JSON | |
//! | samples, f32; checksum | … + 4 |
//! | of every brick, all channels one behind the other, f32 or f16; checksum | … + 4 |
//! | of every brick, the classes, a byte each; checksum | … + 4 |

use std::io::{Error as IoError, ErrorKind, Read, Result as IoResult, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::f16;
use medvol::{Case, CtSample};
use ndarray::{Array3, Array4, Axis, s};
use serde::{Deserialize, Serialize};

use crate::data::cache::bricks::{Brick, Bricks};
use crate::data::facts::{Box3, Facts};
use crate::error::Result;
use crate::settings::Numbers;

/// What the files begin with.
const MARK: [u8; 8] = *b"scnas\x1a01";

/// Bytes before the head.
const BEFORE_HEAD: u64 = 16;

/// Bytes of a checksum.
const CHECKSUM: u64 = 4;

/// What is known of a file before its voxels are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    /// All that the case depends on.
    made_from: String,
    facts: Facts,
    numbers: Numbers,
    /// Of channels that were sampled.
    samples: Vec<Sampled>,
}

/// The sample of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Sampled {
    channel: usize,
    foreground: bool,
    values: usize,
}

/// A file that is there, whose head is good.
#[derive(Debug)]
pub struct CaseFile {
    path: PathBuf,
    /// The checksum of the head.
    seed: u32,
    shape: [usize; 3],
    samples: Vec<Sampled>,
    samples_at: u64,
    image: Section,
    classes: Section,
    numbers: Numbers,
}

/// The bricks of one kind.
#[derive(Clone, Copy, Debug)]
struct Section {
    kind: Kind,
    at: u64,
    /// Bytes of a voxel, all channels together.
    voxel: usize,
    channels: usize,
}

/// What a checksum is of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Samples = 0,
    Image = 1,
    Classes = 2,
}

impl Numbers {
    /// Bytes of a number.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

impl Section {
    /// Where a brick stands.
    fn place(&self, brick: &Brick) -> u64 {
        self.at + (brick.before * self.voxel) as u64 + CHECKSUM * brick.index as u64
    }

    /// Bytes of a brick's voxels.
    fn bytes(&self, brick: &Brick) -> usize {
        brick.voxels() * self.voxel
    }

    /// Where the next section begins; `None` beyond all numbers.
    fn end(&self, shape: [usize; 3]) -> Option<u64> {
        let voxels = shape.iter().try_fold(self.voxel, |bytes, &size| bytes.checked_mul(size))?;
        let checksums = CHECKSUM * Bricks::of(shape).count() as u64;
        self.at.checked_add(voxels as u64)?.checked_add(checksums)
    }
}

fn checksum(seed: u32, kind: Kind, index: usize, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&[kind as u8]);
    hasher.update(&(index as u64).to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn damaged(what: &str) -> IoError {
    IoError::new(ErrorKind::InvalidData, format!("{what} is damaged"))
}

/// Writes a case, whole or not at all. `sampled` are the channels that are to be measured.
///
/// # Errors
/// When the file cannot be written.
pub fn write(
    path: &Path,
    made_from: &str,
    (case, facts): (&Case, &Facts),
    numbers: Numbers,
    sampled: impl Iterator<Item = usize>,
) -> Result<()> {
    let classes = case.classes.as_ref();
    let sample = |channel| {
        let image = case.image.index_axis(Axis(0), channel);
        (channel, CtSample::of(image, classes.map(|classes| classes.view())))
    };
    let samples: Vec<(usize, CtSample)> = sampled.map(sample).collect();
    let known = |(channel, sample): &(usize, CtSample)| Sampled {
        channel: *channel,
        foreground: sample.foreground,
        values: sample.values.len(),
    };
    let head = Head {
        made_from: made_from.into(),
        facts: facts.clone(),
        numbers,
        samples: samples.iter().map(known).collect(),
    };
    let head = serde_json::to_vec(&head)?;
    let seed = crc32fast::hash(&head);
    let values: Vec<u8> = samples
        .iter()
        .flat_map(|(_, sample)| &sample.values)
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let bricks = || Bricks::of(facts.shape).rows().flatten();
    medvol::atomic_write_with(path, |out| {
        out.write_all(&MARK)?;
        out.write_all(&(head.len() as u32).to_le_bytes())?;
        out.write_all(&seed.to_le_bytes())?;
        out.write_all(&head)?;
        let mut record = |kind, index, bytes: &[u8]| -> IoResult<()> {
            out.write_all(bytes)?;
            out.write_all(&checksum(seed, kind, index, bytes).to_le_bytes())
        };
        record(Kind::Samples, 0, &values)?;
        let mut bytes = Vec::new();
        for brick in bricks() {
            let [k, j, i] = brick.place;
            bytes.clear();
            let voxels = case.image.slice(s![.., k, j, i]);
            match numbers {
                Numbers::F32 => voxels.iter().for_each(|v| bytes.extend(v.to_le_bytes())),
                Numbers::F16 => {
                    voxels.iter().for_each(|v| bytes.extend(f16::from_f32(*v).to_le_bytes()));
                }
            }
            record(Kind::Image, brick.index, &bytes)?;
        }
        for (brick, classes) in bricks().zip(classes.into_iter().cycle()) {
            let [k, j, i] = brick.place;
            bytes.clear();
            bytes.extend(classes.slice(s![k, j, i]).iter());
            record(Kind::Classes, brick.index, &bytes)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Bytes of the file of a case, its head apart, which is small.
pub fn bytes_of(channels: usize, voxels: f64, numbers: Numbers) -> f64 {
    voxels * (channels * numbers.bytes() + 1) as f64
}

impl CaseFile {
    /// Opens the file of a case that was made from this; `None` where it is not there, or is not
    /// whole, or was made from something else.
    pub fn open(path: &Path, made_from: &str) -> Option<(Self, Facts)> {
        let mut file = medvol::open_file(path).ok()?;
        let length = file.metadata().ok()?.len();
        let mut start = [0; BEFORE_HEAD as usize];
        file.read_exact(&mut start).ok()?;
        let number = |at: usize| start[at..at + 4].try_into().map(u32::from_le_bytes).ok();
        let (head_bytes, seed) = (u64::from(number(8)?), number(12)?);
        if start[..8] != MARK || head_bytes > length {
            return None;
        }
        let mut head = vec![0; head_bytes as usize];
        file.read_exact(&mut head).ok()?;
        if crc32fast::hash(&head) != seed {
            return None;
        }
        let Head { made_from: found, facts, numbers, samples } =
            serde_json::from_slice(&head).ok()?;
        let samples_at = BEFORE_HEAD + head_bytes;
        let sampled = samples.iter().try_fold(0, |sum: u64, sample| {
            sum.checked_add(4 * u64::try_from(sample.values).ok()?)
        })?;
        let image = Section {
            kind: Kind::Image,
            at: samples_at.checked_add(sampled)?.checked_add(CHECKSUM)?,
            voxel: facts.channels.checked_mul(numbers.bytes())?,
            channels: facts.channels,
        };
        let classes =
            Section { kind: Kind::Classes, at: image.end(facts.shape)?, voxel: 1, channels: 1 };
        let end = match facts.places {
            Some(_) => classes.end(facts.shape)?,
            None => classes.at,
        };
        let path = path.to_path_buf();
        let shape = facts.shape;
        let file = Self { path, seed, shape, samples, samples_at, image, classes, numbers };
        (found == made_from && end == length).then_some((file, facts))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Voxels of a box, `[channels, depth, height, width]`.
    ///
    /// # Errors
    /// A file that cannot be read; bricks that are damaged ([`ErrorKind::InvalidData`]).
    pub fn image(&self, wanted: &Box3) -> IoResult<Array4<f32>> {
        let values = match self.numbers {
            Numbers::F32 => self.voxels(self.image, wanted, f32::from_le_bytes),
            Numbers::F16 => {
                self.voxels(self.image, wanted, |bytes| f16::from_le_bytes(bytes).to_f32())
            }
        };
        let [d, h, w] = wanted.each_ref().map(|range| range.len());
        Array4::from_shape_vec((self.image.channels, d, h, w), values?)
            .map_err(|_| damaged("the image"))
    }

    /// Class indices of a box, `[depth, height, width]`.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn classes(&self, wanted: &Box3) -> IoResult<Array3<u8>> {
        let values = self.voxels(self.classes, wanted, |[class]: [u8; 1]| class)?;
        let shape = wanted.each_ref().map(|range| range.len());
        Array3::from_shape_vec(shape, values).map_err(|_| damaged("the class map"))
    }

    /// The sample of a channel; nothing where it was not sampled.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn sample(&self, channel: usize) -> IoResult<CtSample> {
        let all = self.samples.iter().map(|sample| sample.values).sum::<usize>();
        let mut bytes = vec![0; 4 * all + CHECKSUM as usize];
        let mut file = medvol::open_file(&self.path)?;
        file.seek(SeekFrom::Start(self.samples_at))?;
        file.read_exact(&mut bytes)?;
        let bytes = self.checked(Kind::Samples, 0, &bytes)?;
        let mut at = 0;
        for sample in &self.samples {
            let own = at..at + 4 * sample.values;
            if sample.channel == channel {
                let values = bytes[own].as_chunks().0.iter().copied().map(f32::from_le_bytes);
                return Ok(CtSample { foreground: sample.foreground, values: values.collect() });
            }
            at = own.end;
        }
        Ok(CtSample { foreground: false, values: Vec::new() })
    }

    /// Voxels of a box, channel by channel, of numbers of `N` bytes. Bricks that stand side by side
    /// are read at once.
    fn voxels<T: Copy + Default, const N: usize>(
        &self,
        section: Section,
        wanted: &Box3,
        number: impl Fn([u8; N]) -> T,
    ) -> IoResult<Vec<T>> {
        let size = wanted.each_ref().map(|range| range.len());
        let mut values = vec![T::default(); section.channels * size.iter().product::<usize>()];
        if values.is_empty() {
            return Ok(values);
        }
        let mut file = medvol::open_file(&self.path)?;
        let mut row = Vec::new();
        for bricks in Bricks::of(self.shape).rows_of(wanted) {
            let Some(first) = bricks.first() else { continue };
            let bytes = |brick: &Brick| section.bytes(brick) + CHECKSUM as usize;
            row.resize(bricks.iter().map(bytes).sum(), 0);
            file.seek(SeekFrom::Start(section.place(first)))?;
            file.read_exact(&mut row)?;
            let mut rest = &row[..];
            for brick in &bricks {
                let (record, behind) = rest.split_at(bytes(brick));
                rest = behind;
                let numbers = self.checked(section.kind, brick.index, record)?.as_chunks().0;
                copy(numbers, brick, section.channels, &mut values, wanted, &number);
            }
        }
        Ok(values)
    }

    /// What stands before the checksum, if it is what was written.
    fn checked<'a>(&self, kind: Kind, index: usize, record: &'a [u8]) -> IoResult<&'a [u8]> {
        match record.split_last_chunk() {
            Some((bytes, found))
                if checksum(self.seed, kind, index, bytes).to_le_bytes() == *found =>
            {
                Ok(bytes)
            }
            _ => Err(damaged("a part of it")),
        }
    }
}

/// Copies what a brick and a box have in common, channel by channel.
fn copy<T, const N: usize>(
    numbers: &[[u8; N]],
    brick: &Brick,
    channels: usize,
    values: &mut [T],
    wanted: &Box3,
    number: impl Fn([u8; N]) -> T,
) {
    let common: [Range<usize>; 3] = [0, 1, 2].map(|axis| {
        let (a, b) = (&brick.place[axis], &wanted[axis]);
        a.start.max(b.start)..a.end.min(b.end)
    });
    let [z, y, x] = common;
    let index = |whole: &Box3, channel: usize, at: [usize; 3]| {
        (0..3).fold(channel, |index, axis| index * whole[axis].len() + at[axis] - whole[axis].start)
    };
    for channel in 0..channels {
        for k in z.clone() {
            for j in y.clone() {
                let from = &numbers[index(&brick.place, channel, [k, j, x.start])..][..x.len()];
                let to = &mut values[index(wanted, channel, [k, j, x.start])..][..x.len()];
                to.iter_mut().zip(from).for_each(|(to, from)| *to = number(*from));
            }
        }
    }
}
