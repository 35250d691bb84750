//! What an object says of its image without its pixels: to which series it belongs and where each
//! of its frames lies. Single frames have it in one data set, enhanced objects in functional groups.

use std::path::{Path, PathBuf};

use super::attributes::{self as tags, Attribute};
use super::data_set::{DataSet, Element, Value};
use super::object::Object;
use super::pixels::PixelFormat;
use super::place::Place;
use super::problem::{Difference, Problem};
use super::transfer_syntax::Codec;

/// What tells slices apart that lie at the same place.
const APART: [Attribute; 10] = [
    tags::TEMPORAL_INDEX,
    tags::TEMPORAL_POSITION,
    tags::ECHO_TIME,
    tags::EFFECTIVE_ECHO_TIME,
    tags::B_VALUE,
    tags::TRIGGER_TIME,
    tags::ACQUISITION_NUMBER,
    tags::FRAME_TYPE,
    tags::IMAGE_TYPE,
    tags::INSTANCE_NUMBER,
];

/// Segmentation and Label Map Segmentation.
const SEGMENTATIONS: [&str; 2] = ["1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"];

/// An object's file.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// The file itself.
    pub path: PathBuf,
    /// All but pixels and the frames' own groups.
    pub data: DataSet,
    /// What it holds.
    pub kind: Kind,
}

/// What an object is here.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Image {
        format: PixelFormat,
        slices: Vec<Slice>,
    },
    Segmentation,
    Localizer,
    /// A picture without a place.
    NotPlaced,
    /// A document, a plan.
    NoPixels,
}

/// A frame of an object.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    /// From 0.
    pub frame: u32,
    /// Where it lies.
    pub place: Place,
    /// Value = stored · slope + intercept.
    pub scale: (f64, f64),
    /// The values of [`APART`].
    apart: [Option<String>; APART.len()],
}

impl Slice {
    /// In what two slices differ besides their place.
    pub fn apart(&self, other: &Self) -> Option<Difference> {
        let pairs = self.apart.iter().zip(&other.apart);
        APART.iter().zip(pairs).find(|(_, (a, b))| a != b).map(|(attribute, (a, b))| {
            let told = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
            Difference { attribute: attribute.name, values: [told(a), told(b)] }
        })
    }
}

impl Head {
    /// Reads a file's head.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let mut object = Object::open(path)?;
        let kind = kind(&object)?;
        let data = &mut object.data;
        for attribute in tags::PIXELS.into_iter().chain([tags::PER_FRAME_GROUPS]) {
            data.elements.remove(&attribute.tag);
        }
        Ok(Self { path: path.to_path_buf(), data: std::mem::take(data), kind })
    }

    /// A text of the head, empty if it is missing.
    pub fn text(&self, attribute: Attribute) -> String {
        self.data.text(attribute).unwrap_or_default()
    }
}

fn kind(object: &Object) -> Result<Kind, Problem> {
    let data = &object.data;
    if is_segmentation(data) {
        return Ok(Kind::Segmentation);
    }
    let frames = data.items(tags::PER_FRAME_GROUPS);
    if !tags::PIXELS.iter().any(|attribute| data.has(*attribute)) {
        return Ok(Kind::NoPixels);
    }
    if frames.is_empty() && !data.has(tags::POSITION) {
        return Ok(Kind::NotPlaced);
    }
    let image_type = data.text(tags::IMAGE_TYPE).unwrap_or_default();
    if image_type.split('\\').skip(2).any(|word| word.trim() == "LOCALIZER") {
        return Ok(Kind::Localizer);
    }
    if !data.has(tags::PIXEL_DATA) {
        return Err(Problem::Value {
            attribute: tags::FLOAT_PIXEL_DATA,
            found: "(floating point)".into(),
            expected: "integers in Pixel Data",
        });
    }
    let format = PixelFormat::of(data)?;
    check_pixels(object, &format)?;
    Ok(Kind::Image { format, slices: slices(data, &format)? })
}

/// Whether an object holds labels.
pub(super) fn is_segmentation(data: &DataSet) -> bool {
    data.text(tags::SOP_CLASS).is_some_and(|class| SEGMENTATIONS.contains(&class.as_str()))
}

/// What can be known of the pixels before they are read.
fn check_pixels(object: &Object, format: &PixelFormat) -> Result<(), Problem> {
    if object.syntax.codec == Codec::Unknown {
        let (name, uid) = (object.syntax.name, object.syntax_uid.clone());
        return Err(Problem::Compression { name, uid });
    }
    if format.allocated == 1 {
        return Err(Problem::Value {
            attribute: tags::BITS_ALLOCATED,
            found: "1".into(),
            expected: "8, 16 or 32 in an image",
        });
    }
    if format.allocated == 8 && object.swaps_bytes() {
        return Err(Problem::Value {
            attribute: tags::BITS_ALLOCATED,
            found: "8 in big-endian words".into(),
            expected: "bytes (OB)",
        });
    }
    match object.data.elements.get(&tags::PIXEL_DATA.tag) {
        Some(Element { value: Value::Pixels(all), .. }) => {
            let frame = format.pixels() * u64::from(format.allocated / 8);
            let (expected, found) = (frame * u64::from(format.frames), all.end - all.start);
            if found < expected {
                return Err(Problem::FewPixels { expected, found });
            }
        }
        Some(Element { value: Value::Fragments(all), .. })
            if (all.len() as u64) <= format.frames.into() =>
        {
            let (frames, fragments) = (format.frames, all.len().saturating_sub(1));
            return Err(Problem::FrameBegins { frames, fragments });
        }
        _ => {}
    }
    Ok(())
}

/// The frames of an image, in the object's order.
pub(super) fn slices(data: &DataSet, format: &PixelFormat) -> Result<Vec<Slice>, Problem> {
    let frames = data.items(tags::PER_FRAME_GROUPS);
    if frames.is_empty() {
        return match format.frames {
            1 => Ok(vec![slice(0, None, None, data)?]),
            frames => Err(Problem::FramesWithoutPlace { frames }),
        };
    }
    if frames.len() != format.frames as usize {
        return Err(Problem::Value {
            attribute: tags::NUMBER_OF_FRAMES,
            found: format.frames.to_string(),
            expected: "as many as there are Per-Frame Functional Groups",
        });
    }
    let shared = data.items(tags::SHARED_GROUPS).first();
    (0..).zip(frames).map(|(frame, own)| slice(frame, Some(own), shared, data)).collect()
}

fn slice(
    frame: u32,
    own: Option<&DataSet>,
    shared: Option<&DataSet>,
    data: &DataSet,
) -> Result<Slice, Problem> {
    let group = |sequence| {
        let groups = [own, shared].into_iter().flatten();
        groups.filter_map(|groups| groups.items(sequence).first()).next().unwrap_or(data)
    };
    let values = group(tags::PIXEL_VALUE_TRANSFORMATION);
    let slope = values.given(tags::RESCALE_SLOPE)?.unwrap_or(1.0);
    if slope == 0.0 {
        return Err(Problem::Value {
            attribute: tags::RESCALE_SLOPE,
            found: "0".into(),
            expected: "a slope that tells values apart",
        });
    }
    Ok(Slice {
        frame,
        place: Place::of(
            group(tags::PLANE_POSITION),
            group(tags::PLANE_ORIENTATION),
            group(tags::PIXEL_MEASURES),
        )?,
        scale: (slope, values.given(tags::RESCALE_INTERCEPT)?.unwrap_or(0.0)),
        apart: APART.map(|attribute| own.unwrap_or(data).anywhere(attribute)),
    })
}
