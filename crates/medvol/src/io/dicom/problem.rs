//! What can be wrong with DICOM files.

use std::fmt;
use std::path::PathBuf;

use super::attributes::Attribute;

/// Why a DICOM file, or a folder of them, is not read. [`Error::Dicom`](crate::Error::Dicom) names
/// it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The system cannot read it.
    #[error("cannot be read: {0}")]
    Read(#[source] std::io::Error),

    /// Bytes 129 to 132 are not the mark of the format.
    #[error(
        "is no DICOM file: bytes 129 to 132 are not \"DICM\"; copy it again, write it as a file of \
         DICOM (for example with dcmconv), or take it out of the folder"
    )]
    NoMark,

    /// The file ends before its last announced byte.
    #[error(
        "is truncated: an element ends at byte {expected}, the file at byte {found}; copy or \
         download it again"
    )]
    Truncated {
        /// What there should be.
        expected: u64,
        /// What there is.
        found: u64,
    },

    /// The elements contradict each other.
    #[error("is damaged at byte {at}: {what}")]
    Damaged {
        /// Byte of the file.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },

    /// A data set that grows beyond all bounds when it is decompressed.
    #[error("holds more than {most} bytes once it is inflated; store it uncompressed")]
    Inflated {
        /// Bytes at most.
        most: u64,
    },

    /// A compression that cannot be read here.
    #[error(
        "has pixels compressed as {name} ({uid}), which is not read here; decompress it first, for \
         example with `gdcmconv --raw` or `dcmconv`"
    )]
    Compression {
        /// What the standard calls it.
        name: &'static str,
        /// Its unique identifier.
        uid: String,
    },

    /// The decoder refuses the compressed pixels.
    #[error("frame {frame}: its {codec} pixels cannot be decoded: {reason}")]
    Decode {
        /// Frame, from 1.
        frame: u32,
        /// How they are compressed.
        codec: &'static str,
        /// The decoder's words.
        reason: String,
    },

    /// The compressed picture has another size than the object says.
    #[error(
        "frame {frame}: expected {expected:?} rows and columns, found {found:?} in the compressed \
         pixels"
    )]
    FrameSize {
        /// Frame, from 1.
        frame: u32,
        /// What there should be.
        expected: [u32; 2],
        /// What there is.
        found: [u32; 2],
    },

    /// Compressed pixels from which no frame can be told.
    #[error("has {frames} frames in {fragments} fragments, and no table tells where each begins")]
    FrameBegins {
        /// Number of frames.
        frames: u32,
        /// Number of fragments.
        fragments: usize,
    },

    /// An attribute is not there, is empty, or is no number where one is needed.
    #[error("has no usable {attribute}; {needed}")]
    Missing {
        /// The attribute.
        attribute: Attribute,
        /// Why it is needed.
        needed: &'static str,
    },

    /// An attribute has a value that makes no sense, or is not read.
    #[error("has {attribute} {found}; expected {expected}")]
    Value {
        /// The attribute.
        attribute: Attribute,
        /// What there is.
        found: String,
        /// What there should be.
        expected: &'static str,
    },

    /// Fewer pixels than the object says.
    #[error("announces {expected} bytes of pixels and holds {found}; copy or download it again")]
    FewPixels {
        /// What there should be.
        expected: u64,
        /// What there is.
        found: u64,
    },

    /// Several samples a pixel, or indices into a palette.
    #[error(
        "is a colour image ({photometric}, {samples} samples a pixel); expected MONOCHROME1 or \
         MONOCHROME2"
    )]
    Colour {
        /// Photometric Interpretation.
        photometric: String,
        /// Samples per pixel.
        samples: u32,
    },

    /// Several frames whose places are not told.
    #[error(
        "holds {frames} frames without functional groups that place them in space; convert it to \
         an enhanced object or to NIfTI"
    )]
    FramesWithoutPlace {
        /// Number of frames.
        frames: u32,
    },

    /// A folder without a DICOM image that has a place in space.
    #[error(
        "holds no DICOM images with a place in space (ImagePositionPatient); {left_out}; export \
         the series again with its geometry, or convert it to NIfTI"
    )]
    NoImages {
        /// What there is instead.
        left_out: LeftOut,
    },

    /// Several series in one folder.
    #[error("holds {} series; put each into a folder of its own:{}", .0.len(), Lines(.0))]
    SeveralSeries(Vec<SeriesSummary>),

    /// Two slices of a series that cannot be in one volume.
    #[error(
        "{} and {} have different {difference}; slices of one volume must agree: put those that \
         do into a folder of their own", first.display(), other.display()
    )]
    Differ {
        /// One of them.
        first: PathBuf,
        /// The other.
        other: PathBuf,
        /// In what they differ.
        difference: Difference,
    },

    /// Two slices at one place.
    #[error(
        "{} and {} lie at the same place {position_mm:?} (mm, LPS){}; {}",
        first.display(), other.display(), Apart(apart),
        if *volumes { "put each volume into a folder of its own" } else { "take one of them away" }
    )]
    SamePlace {
        /// One of them.
        first: PathBuf,
        /// The other.
        other: PathBuf,
        /// Of the first pixel, in mm (x to the left, y to the back, z to the head).
        position_mm: [f64; 3],
        /// What tells them apart.
        apart: Option<Box<Difference>>,
        /// Whether at every place there are equally many slices, as of several volumes.
        volumes: bool,
    },

    /// Slices are missing.
    #[error(
        "has a gap of {gap_mm:.3} mm between {} and {}, where slices are {spacing_mm:.3} mm apart: \
         {missing} of them seem to be missing; complete the series", before.display(),
        after.display()
    )]
    Gap {
        /// The slice before the widest gap.
        before: PathBuf,
        /// The slice behind it.
        after: PathBuf,
        /// Its width in mm.
        gap_mm: f64,
        /// Distance of slices elsewhere, in mm.
        spacing_mm: f64,
        /// Slices missing in all.
        missing: u64,
    },

    /// Slices that are not equally far apart.
    #[error(
        "has slices {smallest_mm:.3} to {largest_mm:.3} mm apart; expected equal distances: \
         resample it to a regular grid (for example with dcm2niix)"
    )]
    Uneven {
        /// The smallest distance of neighbours, in mm.
        smallest_mm: f64,
        /// The largest, in mm.
        largest_mm: f64,
    },

    /// A slice beside the line on which the others lie.
    #[error(
        "{} lies {off_mm:.3} mm from its place on the grid of the other slices; expected a regular \
         grid: resample it (for example with dcm2niix)", slice.display()
    )]
    OffTheGrid {
        /// The file of the slice.
        slice: PathBuf,
        /// How far it is off, in mm.
        off_mm: f64,
    },

    /// The slices are not stacked along their normal.
    #[error(
        "has slices stacked {degrees:.2} degrees off their normal (a tilted gantry); resample it \
         to a straight grid (for example with dcm2niix)"
    )]
    Tilt {
        /// Between the stack and the normal.
        degrees: f64,
    },

    /// A label map is to be written and nobody says what its labels are.
    #[error("cannot be written as a segmentation without labels besides the background")]
    NoSegments,

    /// A voxel with a label that is not among those to be written.
    #[error("cannot be written: voxels have label {value}, which has no name")]
    UnnamedLabel {
        /// The label.
        value: u16,
    },

    /// A segmentation is to be written without the image that it belongs to.
    #[error(
        "cannot be written: a DICOM segmentation refers to the DICOM series on whose grid it is; \
         write another format, such as .nii.gz"
    )]
    NoSeries,

    /// Only label maps are written.
    #[error("cannot be written: only label maps can; write another format, such as .nii.gz")]
    OnlyLabels,

    /// A value with more bytes than the format can hold.
    #[error("cannot be written: the value of {tag:08X} is too long")]
    TooLong {
        /// Group and element of the attribute.
        tag: u32,
    },

    /// Segments of a segmentation overlap, which a label map cannot hold.
    #[error(
        "has segments with the labels {first} and {second} in one voxel, frame {frame}; a label map holds one \
         label a voxel: export the segments one by one"
    )]
    Overlap {
        /// Frame, from 1.
        frame: u32,
        /// One of them.
        first: u16,
        /// Another label.
        second: u16,
    },
}

/// How many files of a folder were left out, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Files that are not DICOM.
    pub other: usize,
    /// DICOM objects without pixels or a place in space: documents, secondary captures, plans.
    pub not_placed: usize,
    /// Segmentations and other label maps.
    pub segmentations: usize,
    /// Overview images that only show where the others lie.
    pub localizers: usize,
    /// Files that hold the same object as another one.
    pub copies: usize,
}

impl LeftOut {
    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let counted = [
            (self.other, "not DICOM"),
            (self.not_placed, "without pixels or place"),
            (self.segmentations, "segmentations"),
            (self.localizers, "localizers"),
            (self.copies, "copies of another file"),
        ];
        let mut parts = counted
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .peekable();
        if parts.peek().is_none() {
            return f.write_str("no files left out");
        }
        write!(f, "files left out: {}", parts.collect::<Vec<_>>().join(", "))
    }
}

/// A series, as a message names it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeriesSummary {
    /// Series Instance UID.
    pub uid: String,
    /// Series Description and number, as far as there are.
    pub description: String,
    /// Number of files.
    pub files: usize,
    /// One of them.
    pub example: PathBuf,
}

struct Lines<'a>(&'a [SeriesSummary]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.iter().try_for_each(|series| {
            let SeriesSummary { uid, description, files, example } = series;
            write!(f, "\n  {uid} ({description}): {files} files, such as {}", example.display())
        })
    }
}

/// An attribute of which two slices have different values.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Its keyword.
    pub attribute: &'static str,
    /// The first slice's value, and the other's.
    pub values: [String; 2],
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { attribute, values: [first, other] } = self;
        write!(f, "{attribute} ({first} and {other})")
    }
}

struct Apart<'a>(&'a Option<Box<Difference>>);

impl fmt::Display for Apart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.iter().try_for_each(|difference| write!(f, "; they differ in {difference}"))
    }
}
