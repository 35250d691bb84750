//! A segmentation as a label map: binary segments, or labels as they are.
//!
//! The grid is that of the frames: planes between them that have none are empty. Writers leave out
//! frames without a label, so it may be smaller than that of the image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::attributes::{self as tags, Attribute};
use super::super::data_set::DataSet;
use super::super::head::{is_segmentation, slices};
use super::super::object::Object;
use super::super::pixels::PixelFormat;
use super::super::place::stack;
use super::super::problem::Problem;
use super::super::series::{dicom, irregular};
use super::CREATOR;
use crate::class_map::Label;
use crate::error::Result;
use crate::io::Grid;

/// A segmentation whose head is read.
pub(in super::super) struct Segmentation {
    /// In space.
    pub grid: Grid,
    /// What its values mean.
    pub labels: Vec<Label>,
    /// Frames of each plane, with the label of a binary frame.
    planes: Vec<Vec<Layer>>,
    format: PixelFormat,
    object: Object,
    path: PathBuf,
}

/// What a frame holds.
#[derive(Clone, Copy, Debug)]
struct Layer {
    /// From 0.
    frame: u32,
    /// The label of its bits; none where its values are labels.
    label: Option<u16>,
}

impl Segmentation {
    /// Opens a file, if it is one.
    pub fn open(path: &Path) -> std::result::Result<Option<Self>, Problem> {
        let object = Object::open(path)?;
        is_segmentation(&object.data).then(|| Self::of(path, object)).transpose()
    }

    fn of(path: &Path, object: Object) -> std::result::Result<Self, Problem> {
        let data = &object.data;
        let kind = data.text(tags::SEGMENTATION_TYPE).unwrap_or_else(|| "BINARY".into());
        let format = PixelFormat::of(data)?;
        let binary = match kind.as_str() {
            "BINARY" if format.allocated == 1 => true,
            "LABELMAP" if format.allocated > 1 => false,
            _ => {
                return Err(Problem::Value {
                    attribute: tags::SEGMENTATION_TYPE,
                    found: format!("{kind} of {} bits", format.allocated),
                    expected: "BINARY of 1 bit, or LABELMAP of 8 or 16",
                });
            }
        };
        let slices = slices(data, &format)?;
        let places: Vec<_> = slices.iter().map(|slice| slice.place).collect();
        if let Some(difference) = places.iter().find_map(|place| places[0].differs(place)) {
            let (first, other) = (path.to_path_buf(), path.to_path_buf());
            return Err(Problem::Differ { first, other, difference });
        }
        let paths = vec![path; places.len()];
        let stacked = stack(&places, true).map_err(|why| irregular(why, &paths))?;
        let labels: Vec<Option<u16>> = match binary {
            true => frame_labels(data)?.into_iter().map(Some).collect(),
            false => vec![None; slices.len()],
        };
        let layer = |slice: usize| Layer { frame: slices[slice].frame, label: labels[slice] };
        let planes: Vec<Vec<Layer>> = stacked
            .planes
            .iter()
            .map(|plane| plane.iter().map(|&slice| layer(slice)).collect())
            .collect();
        let shape = [planes.len(), format.rows as usize, format.columns as usize];
        let grid = Grid { channels: 1, shape, affine: stacked.affine };
        let labels = segments(&object.data)?;
        Ok(Self {
            grid,
            labels: labels.into_values().collect(),
            planes,
            format,
            object,
            path: path.to_path_buf(),
        })
    }

    /// Its labels as little-endian u16, plane by plane.
    pub fn planes(mut self) -> impl Iterator<Item = Result<Vec<u8>>> {
        std::mem::take(&mut self.planes).into_iter().map(move |layers| {
            let labels = self.plane(&layers).map_err(|problem| dicom(&self.path, problem))?;
            Ok(labels.into_iter().flat_map(u16::to_le_bytes).collect())
        })
    }

    fn plane(&mut self, layers: &[Layer]) -> std::result::Result<Vec<u16>, Problem> {
        let mut labels = vec![0_u16; self.format.pixels() as usize];
        for layer in layers {
            let values = match layer.label {
                Some(label) => self.bits(layer.frame, label)?,
                None => self.format.frame(&mut self.object, layer.frame)?,
            };
            for (label, &value) in labels.iter_mut().zip(&values) {
                let value = u16::try_from(value).map_err(|_| Problem::Value {
                    attribute: tags::PIXEL_DATA,
                    found: value.to_string(),
                    expected: "labels from 0 to 65535",
                })?;
                match (*label, value) {
                    (_, 0) => {}
                    (0, _) => *label = value,
                    (first, second) if first == second => {}
                    (first, second) => {
                        let frame = layer.frame + 1;
                        return Err(Problem::Overlap { frame, first, second });
                    }
                }
            }
        }
        Ok(labels)
    }

    /// The bits of a frame, which may begin within a byte.
    fn bits(&mut self, frame: u32, label: u16) -> std::result::Result<Vec<i64>, Problem> {
        let area = self.format.pixels();
        let begin = u64::from(frame) * area;
        let bytes = self.object.pixels(begin / 8, (begin + area).div_ceil(8))?;
        let first = begin % 8;
        let bit = |at: u64| bytes[(at / 8) as usize] >> (at % 8) & 1;
        Ok((first..first + area).map(|at| i64::from(bit(at)) * i64::from(label)).collect())
    }
}

/// Why segments are needed.
const NEEDED: &str = "each frame must be of a segment";

fn short(set: &DataSet, attribute: Attribute) -> std::result::Result<u16, Problem> {
    set.count(attribute)
        .and_then(|number| u16::try_from(number).ok())
        .ok_or(Problem::Missing { attribute, needed: NEEDED })
}

/// The segments by their numbers: what they are called, and the values that they were written for.
fn segments(data: &DataSet) -> std::result::Result<BTreeMap<u16, Label>, Problem> {
    let segment = |segment: &DataSet| {
        let number = short(segment, tags::SEGMENT_NUMBER)?;
        let own = segment.text(tags::LABEL_VALUE_CREATOR).is_some_and(|creator| creator == CREATOR);
        let value = if own { short(segment, tags::LABEL_VALUE)? } else { number };
        let name = segment.text(tags::SEGMENT_LABEL).unwrap_or_default();
        Ok((number, Label { value, name }))
    };
    data.items(tags::SEGMENTS).iter().map(segment).collect()
}

/// The label of each frame of a binary segmentation: the value that its segment was written for, or
/// the segment's number.
fn frame_labels(data: &DataSet) -> std::result::Result<Vec<u16>, Problem> {
    let segments = segments(data)?;
    let shared = data.items(tags::SHARED_GROUPS).first();
    let groups = data.items(tags::PER_FRAME_GROUPS).iter();
    groups
        .map(|own| {
            let identification = [Some(own), shared]
                .into_iter()
                .flatten()
                .find_map(|groups| groups.items(tags::SEGMENT_IDENTIFICATION).first());
            let missing =
                Problem::Missing { attribute: tags::SEGMENT_IDENTIFICATION, needed: NEEDED };
            let number = short(identification.ok_or(missing)?, tags::REFERENCED_SEGMENT)?;
            segments
                .get(&number)
                .map(|label| label.value)
                .ok_or(Problem::Missing { attribute: tags::SEGMENT_NUMBER, needed: NEEDED })
        })
        .collect()
}
