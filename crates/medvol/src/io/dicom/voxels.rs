//! The voxels of a series as a stream of numbers.

use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use super::object::Object;
use super::pixels::PixelFormat;
use super::problem::Problem;
use super::series::dicom;
use crate::error::Result;
use crate::io::NumberType;

/// Where the pixels of a plane of the volume are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plane {
    /// The file.
    pub path: PathBuf,
    /// From 0.
    pub frame: u32,
    /// How its pixels are stored.
    pub format: PixelFormat,
    /// Value = stored · slope + intercept.
    pub scale: (f64, f64),
    /// Of the first pixel, in mm (LPS).
    pub position: [f64; 3],
}

/// A reader of planes that are made when it comes to them: only one is held.
pub(super) fn reader(planes: impl Iterator<Item = Result<Vec<u8>>> + 'static) -> Box<dyn Read> {
    Box::new(Planes { planes, bytes: Cursor::default() })
}

struct Planes<I> {
    planes: I,
    bytes: Cursor<Vec<u8>>,
}

impl<I: Iterator<Item = Result<Vec<u8>>>> Read for Planes<I> {
    /// # Errors
    /// Those of this crate, wrapped.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match (self.bytes.read(buffer)?, buffer.len()) {
                (0, 1..) => match self.planes.next() {
                    Some(bytes) => self.bytes = Cursor::new(bytes.map_err(io::Error::other)?),
                    None => return Ok(0),
                },
                (n, _) => return Ok(n),
            }
        }
    }
}

/// The planes of a series as little-endian numbers.
pub(super) fn read(
    planes: Vec<Plane>,
    numbers: NumberType,
) -> impl Iterator<Item = Result<Vec<u8>>> {
    let mut decoder = Decoder { numbers, opened: None };
    planes
        .into_iter()
        .map(move |plane| decoder.plane(&plane).map_err(|problem| dicom(&plane.path, problem)))
}

struct Decoder {
    numbers: NumberType,
    /// The file that the last plane was from.
    opened: Option<(PathBuf, Object)>,
}

impl Decoder {
    fn plane(&mut self, plane: &Plane) -> std::result::Result<Vec<u8>, Problem> {
        let object = open(&mut self.opened, &plane.path)?;
        // The file may have become another one since its head was read.
        if PixelFormat::of(&object.data)? != plane.format {
            let what = "its head changed while it was read";
            return Err(Problem::Damaged { at: 0, what });
        }
        let values = plane.format.frame(object, plane.frame)?;
        let (slope, intercept) = plane.scale;
        Ok(match self.numbers {
            NumberType::I16 => bytes(&values, |value| (value as i16).to_le_bytes()),
            NumberType::U16 => bytes(&values, |value| (value as u16).to_le_bytes()),
            NumberType::I32 => bytes(&values, |value| (value as i32).to_le_bytes()),
            NumberType::F32 => {
                bytes(&values, |value| ((value as f64 * slope + intercept) as f32).to_le_bytes())
            }
            _ => bytes(&values, i64::to_le_bytes),
        })
    }
}

/// The object of a file, opened unless it still is.
fn open<'a>(
    opened: &'a mut Option<(PathBuf, Object)>,
    path: &Path,
) -> std::result::Result<&'a mut Object, Problem> {
    let object = match opened.take() {
        Some((last, object)) if last == path => object,
        _ => Object::open(path)?,
    };
    Ok(&mut opened.insert((path.to_path_buf(), object)).1)
}

fn bytes<const N: usize>(values: &[i64], number: impl Fn(i64) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| number(value)).collect()
}
