//! What is said of a data set, and what can be done about it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::examine::Facts;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing need be done.
    Note,
    /// Suspicious: look at it.
    Warning,
    /// Training would fail or be wrong.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(["note", "warning", "error"][*self as usize])
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What a finding is about. Names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Its name in tables and JSON.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    /// `dataset.json` or the CSV file cannot be understood.
    Description = "description",
    /// Another number of cases than announced.
    CaseCount = "case-count",
    /// A case without a label map among the training cases, or nothing else.
    NoLabel = "no-label",
    /// A file of a case is not there.
    MissingFile = "missing-file",
    /// A file that belongs to no case.
    UnlistedFile = "unlisted-file",
    /// A key of the description, or a value, that is not used as it stands there.
    Unused = "unused",
    /// Damaged, or in no format that can be read.
    Unreadable = "unreadable",
    /// The file ends too early.
    Truncated = "truncated",
    /// More voxels than fit into memory.
    TooLarge = "too-large",
    /// Another number of channels than the data set has.
    ChannelCount = "channel-count",
    /// Channels of one case on different grids.
    ChannelGrid = "channel-grid",
    /// Image and label map of different shapes.
    ShapeMismatch = "shape-mismatch",
    /// Image and label map of different spacings.
    SpacingMismatch = "spacing-mismatch",
    /// Image and label map at different places or in different directions.
    AffineMismatch = "affine-mismatch",
    /// Voxels that are NaN or infinite.
    NotFinite = "not-finite",
    /// Label voxels that are no label values.
    LabelNotInteger = "label-not-integer",
    /// Label values that the description does not list.
    UnlistedLabel = "unlisted-label",
    /// Label values that the label map itself calls otherwise than the description.
    LabelNames = "label-names",
    /// A listed label that no case holds, or one of few that do not.
    MissingLabel = "missing-label",
    /// Nothing but background.
    EmptyForeground = "empty-foreground",
    /// Much less of a structure than in other cases.
    TinyForeground = "tiny-foreground",
    /// All voxels of a channel are the same.
    ConstantImage = "constant-image",
    /// A few voxels, or a whole image, far from what is usual.
    OutlierIntensity = "outlier-intensity",
    /// Intensities like those of CT in a channel that is not called so.
    SuspectedCt = "suspected-ct",
    /// The same voxels as another case, or as the label map.
    DuplicateImage = "duplicate-image",
    /// A header that contradicts itself about the place of its voxels.
    Geometry = "geometry",
    /// A spacing that is implausible, or far from that of other cases.
    ExtremeSpacing = "extreme-spacing",
    /// A slice among volumes, or a volume among slices.
    Slice = "slice",
    /// Not stored in canonical orientation.
    Orientation = "orientation",
    /// Axes that are not those of space.
    Oblique = "oblique",
    /// Axes that are not at right angles.
    Sheared = "sheared",
    /// Folds that do not fit the cases.
    Folds = "folds",
    /// The same patient or image on both sides of a split.
    SplitLeak = "split-leak",
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = Self::ALL.iter().copied().find(|kind| kind.name() == name);
        known.ok_or_else(|| serde::de::Error::custom(format!("unknown finding `{name}`")))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What [`fix`](super::fix()) does about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fix {
    /// Voxels that are not finite become 0.
    ZeroVoxels,
    /// The label map gets what the image's header says of its place.
    CopyAffine,
    /// Labels are rounded to integers.
    RoundLabels,
    /// The case is left out.
    LeaveOut,
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The case it is about; `None` where it is about the data set.
    pub case: Option<String>,
    /// Whether that is a test case: a training case may have the same name.
    pub test: bool,
    /// How grave it is.
    pub severity: Severity,
    /// What it is about.
    pub kind: Kind,
    /// What was found and what was expected.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// What [`fix`](super::fix()) does, if anything.
    pub fix: Option<Fix>,
}

impl Finding {
    pub(super) fn new(
        severity: Severity,
        kind: Kind,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            case: None,
            test: false,
            severity,
            kind,
            message: message.into(),
            remedy: remedy.into(),
            fix: None,
        }
    }

    /// An error about a case. Unless there is another remedy, the case must be left out of a
    /// corrected copy.
    pub(super) fn error(kind: Kind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { fix: Some(Fix::LeaveOut), ..Self::new(Severity::Error, kind, message, remedy) }
    }

    pub(super) fn warning(
        kind: Kind,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, kind, message, remedy)
    }

    pub(super) fn note(kind: Kind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Note, kind, message, remedy)
    }

    pub(super) fn fixed_by(self, fix: Fix) -> Self {
        Self { fix: Some(fix), ..self }
    }

    pub(super) fn of(self, case: &Facts) -> Self {
        Self { case: Some(case.name.clone()), test: case.test, ..self }
    }

    /// What it is about: `data set`, a training case by its name, or such as `liver_3 (test)`.
    pub fn subject(&self) -> String {
        self.case.as_deref().map_or_else(|| "data set".into(), |case| shown(case, self.test))
    }
}

/// How a case is told apart from all others: `liver_3`, or `liver_3 (test)`.
pub(super) fn shown(case: &str, test: bool) -> String {
    format!("{case}{}", if test { " (test)" } else { "" })
}
