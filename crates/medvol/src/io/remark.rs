//! What is to be said of files that can be read all the same.

use super::dicom::LeftOut;
use super::reading::Reading;
use crate::digits::{lengths_mm, significant};
use crate::orient::Orientation;

/// How much a [`Remark`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Worth knowing; nothing need be done.
    Note,
    /// Suspicious: look at it.
    Warning,
    /// It cannot be known what the file means. Nobody should compute with it before it is put
    /// right.
    Question,
}

/// By what a reading is taken where a header gives two spacings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// By the qform, which has one of them.
    ByQform,
    /// By the user.
    Asked(Reading),
    /// By nothing.
    Open,
}

/// Something to be said of a file that can be read all the same. Its text is to be read after the
/// file's name: `its qform …`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Remark {
    /// A NIfTI header without a matrix.
    #[error(
        "its header does not say how it lies in the body (neither qform nor sform): it is read as \
         LAS, as nibabel does, while ITK reads it as LPS"
    )]
    NoMatrix,

    /// An NRRD header whose space has no anatomical name.
    #[error(
        "its header does not say how it lies in the body: it is read as left-posterior-superior, \
         as ITK does"
    )]
    UnnamedSpace,

    /// The two parts of a NIfTI header give other spacings, in mm (depth, height, width).
    #[error(
        "its sform gives voxels of {}, its pixdim of {} (depth, height, width){}",
        lengths_mm(*sform_mm), lengths_mm(*pixdim_mm), decided(*decision)
    )]
    OtherSpacing {
        /// That of the sform.
        sform_mm: [f64; 3],
        /// That of pixdim.
        pixdim_mm: [f64; 3],
        /// What decides.
        decision: Decision,
    },

    /// The two matrices of a NIfTI header, sform and qform, place the voxels differently.
    #[error(
        "its sform (code {}, {}) and qform (code {}, {}) lie up to {} mm apart: {}",
        codes[0], axes[0].code(), codes[1], axes[1].code(), significant(*distance_mm, 3),
        match asked {
            Some(reading) => format!("the {reading} is taken, as asked for"),
            None => "the sform is taken, as nibabel does, while other programs may take the \
                     qform".into(),
        }
    )]
    Apart {
        /// Which space each is of.
        codes: [i32; 2],
        /// The axes of each.
        axes: [Orientation; 2],
        /// How far apart they place a voxel, at most.
        distance_mm: f64,
        /// The one that somebody asked for.
        asked: Option<Reading>,
    },

    /// A matrix of a NIfTI header that cannot be used.
    #[error("its {matrix} {why} and is left out")]
    MatrixLeftOut {
        /// `sform` or `qform`.
        matrix: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },

    /// A spacing of 0, or none, beside an sform.
    #[error("its pixdim is {}: the spacing of the sform is taken", listed(pixdim))]
    NoPixdim {
        /// (i, j, k)
        pixdim: [f64; 3],
    },

    /// A spacing of 0.
    #[error("its pixdim is {}: a spacing of 0 is taken as 1", listed(pixdim))]
    ZeroPixdim {
        /// (i, j, k)
        pixdim: [f64; 3],
    },

    /// A negative spacing.
    #[error(
        "its pixdim is {}: a negative spacing is taken by its absolute value, while some programs \
         mirror such an axis",
        listed(pixdim)
    )]
    NegativePixdim {
        /// (i, j, k)
        pixdim: [f64; 3],
    },

    /// Only a part of a NIfTI header is in the unit that it states.
    #[error("its sform is in mm, its pixdim in the {unit} it states")]
    SformInMm {
        /// The unit.
        unit: &'static str,
    },

    /// A unit of length that is none.
    #[error("its unit of length is {code}, which is none: mm are taken")]
    NoUnit {
        /// As the header has it.
        code: u8,
    },

    /// Another unit than millimetres.
    #[error("{}", of_unit(unit, spacing_mm))]
    Unit {
        /// The unit.
        unit: &'static str,
        /// Spacing in mm (depth, height, width).
        spacing_mm: [f64; 3],
    },

    /// A unit that makes a spacing of no image.
    #[error("{}", of_unit(unit, spacing_mm))]
    ImplausibleUnit {
        /// The unit.
        unit: &'static str,
        /// Spacing in mm (depth, height, width) by this unit.
        spacing_mm: [f64; 3],
    },

    /// Such a unit where the numbers are plausible as millimetres.
    #[error("{}: its numbers are taken as mm", of_unit(unit, spacing_mm))]
    UnitIgnored {
        /// The unit.
        unit: &'static str,
        /// Spacing in mm (depth, height, width) by this unit.
        spacing_mm: [f64; 3],
    },

    /// A header without a spacing.
    #[error("its header gives no spacing ({fields}): 1 mm is taken")]
    NoSpacing {
        /// Where it would stand.
        fields: &'static str,
    },

    /// A MetaImage header that names its axes without giving them.
    #[error(
        "its AnatomicalOrientation is {named}, but it has no TransformMatrix: it is read as RAI, \
         as ITK does"
    )]
    NoTransform {
        /// The axes.
        named: String,
    },

    /// A folder of DICOM files of which not all are read.
    #[error("its folder holds more than the series; {left_out}")]
    LeftOut {
        /// What was left out.
        left_out: LeftOut,
    },

    /// DICOM files that share an identifier and are no copies.
    #[error(
        "{slices} of its slices have the identifier (SOPInstanceUID) of another one: they are told \
         apart by their places"
    )]
    SharedIdentifiers {
        /// How many.
        slices: usize,
    },

    /// Many bytes behind the voxels that a header announces.
    #[error(
        "{surplus} bytes follow the {voxels} of the voxels that its header announces: its sizes or \
         its data type may be wrong"
    )]
    Surplus {
        /// Bytes of the voxels.
        voxels: u64,
        /// Bytes behind them.
        surplus: u64,
    },

    /// A MetaImage header whose directions are no unit vectors.
    #[error(
        "its TransformMatrix makes voxels of {}, its ElementSpacing of {} (depth, height, width): \
         the first is taken, as ITK does",
        lengths_mm(*matrix_mm), lengths_mm(*spacing_mm)
    )]
    LongDirections {
        /// Spacing with the lengths of the directions, in mm.
        matrix_mm: [f64; 3],
        /// Spacing without, in mm.
        spacing_mm: [f64; 3],
    },

    /// Data of another kind behind a file's compressed ones, whose checksum is right.
    #[error("other data follow its compressed ones; they are left out")]
    OthersFollow,

    /// A DICOM slice without thickness.
    #[error("its one slice tells no thickness: 1 mm is taken")]
    NoThickness,
}

impl Remark {
    /// How much it matters.
    pub fn weight(&self) -> Weight {
        match self {
            Self::NoMatrix | Self::UnnamedSpace | Self::Unit { .. } | Self::LeftOut { .. } => {
                Weight::Note
            }
            Self::Apart { .. } if self.are_two_spaces() => Weight::Note,
            Self::Apart { asked: Some(_), .. }
            | Self::OtherSpacing { decision: Decision::Asked(_), .. } => Weight::Note,
            Self::OtherSpacing { decision: Decision::Open, .. } => Weight::Question,
            Self::OtherSpacing { .. }
            | Self::Apart { .. }
            | Self::MatrixLeftOut { .. }
            | Self::NoPixdim { .. }
            | Self::ZeroPixdim { .. }
            | Self::NegativePixdim { .. }
            | Self::SformInMm { .. }
            | Self::NoUnit { .. }
            | Self::ImplausibleUnit { .. }
            | Self::UnitIgnored { .. }
            | Self::NoSpacing { .. }
            | Self::NoTransform { .. }
            | Self::SharedIdentifiers { .. }
            | Self::Surplus { .. }
            | Self::LongDirections { .. }
            | Self::OthersFollow
            | Self::NoThickness => Weight::Warning,
        }
    }

    /// Two codes are two spaces, such as the scanner's and that of an atlas, which may well differ,
    /// but for what is left and right in them.
    fn are_two_spaces(&self) -> bool {
        matches!(self, Self::Apart { codes, axes, .. } if codes[0] != codes[1] && axes[0] == axes[1])
    }

    /// What to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoMatrix | Self::UnnamedSpace => {
                "none needed where all images of the data set are such; otherwise left and right \
                 may be mixed up"
            }
            Self::Apart { asked: Some(_), .. }
            | Self::OtherSpacing { decision: Decision::Asked(_), .. } => "none needed",
            Self::OtherSpacing { decision: Decision::Open, .. } => {
                "find out which is right, as other programs take one or the other, and correct the \
                 header, or say which is to be read: sform or pixdim"
            }
            Self::OtherSpacing { .. } => {
                "find out which is right, as other programs take one or the other, and correct the \
                 header"
            }
            Self::Apart { .. } if self.are_two_spaces() => "none needed: predictions have both",
            Self::Apart { .. } => "find out which is right and correct the other",
            Self::MatrixLeftOut { .. } => "set it right in its header, or its code to 0",
            Self::NoPixdim { .. }
            | Self::ZeroPixdim { .. }
            | Self::NegativePixdim { .. }
            | Self::NoSpacing { .. } => "set the spacing in its header",
            Self::SformInMm { .. } => "write both in mm",
            Self::NoUnit { .. } => "set the unit in its header to mm (2)",
            Self::Unit { .. } => "none needed; some programs ignore the unit",
            Self::ImplausibleUnit { .. } | Self::UnitIgnored { .. } => {
                "set the unit in its header to mm (2) if its numbers are mm"
            }
            Self::NoTransform { .. } => "write the header again with a TransformMatrix",
            Self::Surplus { .. } => "compare its header with what wrote it, and look at the image",
            Self::LongDirections { .. } => {
                "write the header again with a TransformMatrix of unit vectors"
            }
            Self::LeftOut { .. } => "none needed if no slices are among them",
            Self::SharedIdentifiers { .. } => {
                "none needed for the voxels; a segmentation in DICOM cannot refer to single slices"
            }
            Self::OthersFollow => {
                "none needed if the image looks right; compress it again to be rid of them"
            }
            Self::NoThickness => "give the whole series",
        }
    }
}

fn decided(decision: Decision) -> String {
    match decision {
        Decision::ByQform => ": the qform is taken, which has that of pixdim".into(),
        Decision::Asked(reading) => format!(": that of the {reading} is taken, as asked for"),
        Decision::Open => ", and no qform says which is meant".into(),
    }
}

fn listed(numbers: &[f64; 3]) -> String {
    numbers.map(|number| significant(number, 4)).join(", ")
}

fn of_unit(unit: &str, spacing_mm: &[f64; 3]) -> String {
    let voxels = lengths_mm(*spacing_mm);
    format!("its unit is {unit}, which makes voxels of {voxels} (depth, height, width)")
}
