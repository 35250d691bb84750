//! A label map as a binary segmentation that refers to the series it was made of.
//!
//! A plane without any label gets an empty frame of the first segment, so that a reader who has
//! only the segmentation knows the whole grid. Patient and study are the series' own. Date and time
//! of the content are the series', too, and all identifiers follow from the content: the same
//! prediction is the same file.

use super::super::attributes::{self as tags, Attribute};
use super::super::data_set::DataSet;
use super::super::encode;
use super::super::problem::Problem;
use super::super::series::{ObjectId, Series};
use super::super::uid::Uids;
use super::CREATOR;
use crate::class_map::Label;

const SEGMENTATION: &str = "1.2.840.10008.5.1.4.1.1.66.4";
const SOFTWARE: &str = "scnas";

/// What is said of patient and study.
const OF_THE_STUDY: [Attribute; 14] = [
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::PATIENT_AGE,
    tags::PATIENT_SIZE,
    tags::PATIENT_WEIGHT,
    tags::STUDY_INSTANCE,
    tags::STUDY_ID,
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::STUDY_DESCRIPTION,
    tags::ACCESSION_NUMBER,
    tags::REFERRING_PHYSICIAN,
];

/// Attributes that must be there, even empty.
const EVEN_EMPTY: [Attribute; 10] = [
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::STUDY_ID,
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::REFERRING_PHYSICIAN,
    tags::POSITION_REFERENCE,
];

/// A frame: where its bits begin, of which segment and plane it is (both from 0).
struct Frame {
    segment: usize,
    plane: usize,
}

/// The file of a label map on the grid of a series: `voxels` in their order (width fastest, then
/// height, depth), `labels` with the background, which gets no segment.
///
/// # Errors
/// [`Problem::NoSegments`], [`Problem::UnnamedLabel`], [`Problem::TooLong`].
pub(in super::super) fn write(
    series: &Series,
    voxels: &[u16],
    labels: &[Label],
) -> Result<Vec<u8>, Problem> {
    let labels: Vec<&Label> = labels.iter().filter(|label| label.value != 0).collect();
    if labels.is_empty() {
        return Err(Problem::NoSegments);
    }
    let [depth, height, width] = series.grid.shape;
    let frames = frames(voxels, &labels, [depth, height * width])?;
    let pixels = pack(voxels, &labels, &frames, height * width);

    let mut names = labels.iter().map(|label| label.name.as_bytes()).collect::<Vec<_>>();
    names.extend(series.objects.iter().map(|object| object.instance.as_bytes()));
    names.push(&pixels);
    let uids = Uids::of(names);

    let mut data = common(series, &uids);
    put_charset(&mut data, series, &labels);
    data.put_items(tags::REFERENCED_SERIES, vec![referenced(series)]);
    data.put_short(tags::ROWS, height as u16);
    data.put_short(tags::COLUMNS, width as u16);
    data.put_text(tags::NUMBER_OF_FRAMES, &frames.len().to_string());
    let charset = data.text(tags::CHARACTER_SET);
    let segments = (1..)
        .zip(&labels)
        .map(|(number, label)| segment(number, label.value, &written_in(&charset, &label.name)))
        .collect();
    data.put_items(tags::SEGMENTS, segments);
    put_dimensions(&mut data, &uids);
    data.put_items(tags::SHARED_GROUPS, vec![shared_groups(series)]);
    let groups = frames.iter().map(|frame| frame_groups(series, frame)).collect();
    data.put_items(tags::PER_FRAME_GROUPS, groups);
    data.put(tags::PIXEL_DATA, pixels);
    encode::file(&data, &Uids::of([SOFTWARE.as_bytes()]).uid("implementation"))
}

/// A frame for each segment and plane with voxels of it; segments one after the other.
fn frames(
    voxels: &[u16],
    labels: &[&Label],
    [depth, area]: [usize; 2],
) -> Result<Vec<Frame>, Problem> {
    let largest = labels.iter().map(|label| label.value).max().unwrap_or(0);
    let mut segments = vec![None; usize::from(largest) + 1];
    for (segment, label) in labels.iter().enumerate() {
        segments[usize::from(label.value)] = Some(segment);
    }
    let mut occupied = vec![vec![false; depth]; labels.len()];
    for (plane, values) in voxels.chunks_exact(area).enumerate() {
        for &value in values.iter().filter(|&&value| value != 0) {
            let segment = segments.get(usize::from(value)).copied().flatten();
            occupied[segment.ok_or(Problem::UnnamedLabel { value })?][plane] = true;
        }
    }
    for plane in 0..depth {
        if !occupied.iter().any(|planes| planes[plane]) {
            occupied[0][plane] = true;
        }
    }
    let all = (0..labels.len()).flat_map(|segment| (0..depth).map(move |plane| (segment, plane)));
    let frames = all.filter(|&(segment, plane)| occupied[segment][plane]);
    Ok(frames.map(|(segment, plane)| Frame { segment, plane }).collect())
}

/// The bits of all frames without a gap between them, the lowest bit of a byte first.
fn pack(voxels: &[u16], labels: &[&Label], frames: &[Frame], area: usize) -> Vec<u8> {
    let mut packed = vec![0; (frames.len() * area).div_ceil(8)];
    for (frame, Frame { segment, plane }) in frames.iter().enumerate() {
        let value = labels[*segment].value;
        for (pixel, &voxel) in voxels[plane * area..(plane + 1) * area].iter().enumerate() {
            let bit = frame * area + pixel;
            packed[bit / 8] |= u8::from(voxel == value) << (bit % 8);
        }
    }
    packed
}

/// What does not depend on segments and frames.
fn common(series: &Series, uids: &Uids) -> DataSet {
    let mut data = DataSet::default();
    for attribute in EVEN_EMPTY {
        data.put(attribute, Vec::new());
    }
    for attribute in OF_THE_STUDY {
        data.copy(attribute, &series.data);
    }
    data.copy(tags::FRAME_OF_REFERENCE, &series.data);
    data.copy(tags::POSITION_REFERENCE, &series.data);
    let date_or = |attributes: [Attribute; 3], otherwise: &str| {
        let told = attributes.iter().find_map(|attribute| series.data.text(*attribute));
        told.unwrap_or_else(|| otherwise.into())
    };
    let dates = [tags::CONTENT_DATE, tags::SERIES_DATE, tags::STUDY_DATE];
    let times = [tags::CONTENT_TIME, tags::SERIES_TIME, tags::STUDY_TIME];
    data.put_text(tags::CONTENT_DATE, &date_or(dates, "19000101"));
    data.put_text(tags::CONTENT_TIME, &date_or(times, "000000"));
    let texts = [
        (tags::SOP_CLASS, SEGMENTATION),
        (tags::SOP_INSTANCE, &uids.uid("instance")),
        (tags::SERIES_INSTANCE, &uids.uid("series")),
        (tags::MODALITY, "SEG"),
        (tags::SERIES_NUMBER, "1000"),
        (tags::SERIES_DESCRIPTION, "Segmentation"),
        (tags::INSTANCE_NUMBER, "1"),
        (tags::MANUFACTURER, SOFTWARE),
        (tags::MODEL_NAME, SOFTWARE),
        (tags::DEVICE_SERIAL_NUMBER, "0"),
        (tags::SOFTWARE_VERSIONS, env!("CARGO_PKG_VERSION")),
        (tags::CONTENT_LABEL, "SEGMENTATION"),
        (tags::CONTENT_DESCRIPTION, "Segmentation by a neural network"),
        (tags::CONTENT_CREATOR, "scnas^"),
        (tags::PHOTOMETRIC, "MONOCHROME2"),
        (tags::LOSSY, "00"),
        (tags::SEGMENTATION_TYPE, "BINARY"),
    ];
    for (attribute, text) in texts {
        data.put_text(attribute, text);
    }
    data.put(tags::IMAGE_TYPE, b"DERIVED\\PRIMARY".to_vec());
    for (attribute, number) in [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::BITS_ALLOCATED, 1),
        (tags::BITS_STORED, 1),
        (tags::HIGH_BIT, 0),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        data.put_short(attribute, number);
    }
    data
}

/// The series' character set, in which its texts stay as they are; UTF-8 where it has none and a
/// label needs it.
fn put_charset(data: &mut DataSet, series: &Series, labels: &[&Label]) {
    if series.data.text(tags::CHARACTER_SET).is_some() {
        data.copy(tags::CHARACTER_SET, &series.data);
    } else if !labels.iter().all(|label| label.name.is_ascii()) {
        data.put_text(tags::CHARACTER_SET, UTF_8);
    }
}

const UTF_8: &str = "ISO_IR 192";

/// A name as far as a character set can be trusted to hold it.
fn written_in(charset: &Option<String>, name: &str) -> String {
    match charset.as_deref() {
        Some(UTF_8) => name.to_owned(),
        _ => name.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect(),
    }
}

fn referenced(series: &Series) -> DataSet {
    let mut objects: Vec<&ObjectId> = series.objects.iter().collect();
    objects.dedup();
    let mut item = DataSet::default();
    item.copy(tags::SERIES_INSTANCE, &series.data);
    item.put_items(tags::REFERENCED_INSTANCES, objects.into_iter().map(reference).collect());
    item
}

fn reference(object: &ObjectId) -> DataSet {
    let mut item = DataSet::default();
    item.put_text(tags::REFERENCED_SOP_CLASS, &object.class);
    item.put_text(tags::REFERENCED_SOP_INSTANCE, &object.instance);
    item
}

fn code(value: &str, scheme: &str, meaning: &str) -> Vec<DataSet> {
    let mut item = DataSet::default();
    item.put_text(tags::CODE_VALUE, value);
    item.put_text(tags::CODING_SCHEME, scheme);
    item.put_text(tags::CODE_MEANING, meaning);
    vec![item]
}

/// Segments are numbered 1, 2, …; the label's own value is kept beside that.
fn segment(number: u16, value: u16, name: &str) -> DataSet {
    let mut item = DataSet::default();
    item.put_short(tags::SEGMENT_NUMBER, number);
    item.put_text(tags::SEGMENT_LABEL, name);
    item.put_text(tags::SEGMENT_ALGORITHM_TYPE, "AUTOMATIC");
    item.put_text(tags::SEGMENT_ALGORITHM_NAME, SOFTWARE);
    item.put_items(tags::SEGMENT_CATEGORY, code("85756007", "SCT", "Tissue"));
    item.put_items(tags::SEGMENT_TYPE, code("85756007", "SCT", "Tissue"));
    item.put_text(tags::LABEL_VALUE_CREATOR, CREATOR);
    item.put_short(tags::LABEL_VALUE, value);
    item
}

/// Frames are indexed by segment and position.
fn put_dimensions(data: &mut DataSet, uids: &Uids) {
    let organization = uids.uid("dimensions");
    let dimension = |pointer: Attribute, group: Attribute| {
        let mut item = DataSet::default();
        item.put_text(tags::DIMENSION_ORGANIZATION_UID, &organization);
        item.put_tag(tags::DIMENSION_INDEX_POINTER, pointer);
        item.put_tag(tags::FUNCTIONAL_GROUP_POINTER, group);
        item.put_text(tags::DIMENSION_LABEL, pointer.name);
        item
    };
    let mut item = DataSet::default();
    item.put_text(tags::DIMENSION_ORGANIZATION_UID, &organization);
    data.put_items(tags::DIMENSION_ORGANIZATION, vec![item]);
    let indices = vec![
        dimension(tags::REFERENCED_SEGMENT, tags::SEGMENT_IDENTIFICATION),
        dimension(tags::POSITION, tags::PLANE_POSITION),
    ];
    data.put_items(tags::DIMENSION_INDEX, indices);
}

fn shared_groups(series: &Series) -> DataSet {
    let [between_slices, ..] = series.grid.affine.spacing();
    let mut measures = DataSet::default();
    measures.put_decimals(tags::PIXEL_SPACING, &series.place.pixel_spacing);
    measures.put_decimals(tags::SLICE_THICKNESS, &[between_slices]);
    measures.put_decimals(tags::SPACING_BETWEEN_SLICES, &[between_slices]);
    let mut orientation = DataSet::default();
    orientation.put_decimals(tags::ORIENTATION, &series.place.orientation());
    let mut groups = DataSet::default();
    groups.put_items(tags::PIXEL_MEASURES, vec![measures]);
    groups.put_items(tags::PLANE_ORIENTATION, vec![orientation]);
    groups
}

fn frame_groups(series: &Series, frame: &Frame) -> DataSet {
    let (plane, object) = (&series.planes[frame.plane], &series.objects[frame.plane]);
    let number = frame.segment as u16 + 1;
    let mut content = DataSet::default();
    content.put_long(tags::DIMENSION_INDEX_VALUES, &[number.into(), frame.plane as u32 + 1]);
    let mut position = DataSet::default();
    position.put_decimals(tags::POSITION, &plane.position);
    let mut identification = DataSet::default();
    identification.put_short(tags::REFERENCED_SEGMENT, number);
    let mut source = reference(object);
    if plane.format.frames > 1 {
        source.put_text(tags::REFERENCED_FRAME, &(plane.frame + 1).to_string());
    }
    source.put_text(tags::SPATIAL_LOCATIONS_PRESERVED, "YES");
    let purpose = code("121322", "DCM", "Source image for image processing operation");
    source.put_items(tags::PURPOSE_OF_REFERENCE, purpose);
    let mut derivation = DataSet::default();
    derivation.put_items(tags::SOURCE_IMAGE, vec![source]);
    derivation.put_items(tags::DERIVATION_CODE, code("113076", "DCM", "Segmentation"));
    let mut groups = DataSet::default();
    groups.put_items(tags::FRAME_CONTENT, vec![content]);
    groups.put_items(tags::PLANE_POSITION, vec![position]);
    groups.put_items(tags::SEGMENT_IDENTIFICATION, vec![identification]);
    groups.put_items(tags::DERIVATION_IMAGE, vec![derivation]);
    groups
}
