//! The data doctor: everything that is wrong with a data set, found in one pass over its files,
//! case by case and with a remedy.
//!
//! [`check`] reads the description (`dataset.rs`), examines each case by itself (`check/case.rs`),
//! then holds the cases against each other (`check/compare.rs`) and against folds
//! (`check/folds.rs`). [`fix`] writes a corrected copy.

mod case;
mod compare;
mod files;
mod fix;
mod folds;
mod intensity;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Serialize, Serializer};

use crate::dataset::{CaseFiles, Dataset, Survey, survey};
use crate::error::{Error, Result};

use case::{Facts, bytes, examine, too_large};

pub use fix::{Fixed, fix};
pub use folds::Misplaced;

/// Cases held in memory at a time, at most.
const AT_A_TIME: usize = 4;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    /// Damaged, or not a NIfTI file.
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
    /// The same voxels as another case.
    DuplicateImage = "duplicate-image",
    /// A spacing that is implausible, or far from that of other cases.
    ExtremeSpacing = "extreme-spacing",
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

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What [`fix`] does about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fix {
    /// Voxels that are not finite become 0.
    ZeroVoxels,
    /// The label map gets the image's affine.
    CopyAffine,
    /// Labels are rounded to integers.
    RoundLabels,
    /// The case is left out.
    LeaveOut,
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The case it is about; `None` where it is about the data set.
    pub case: Option<String>,
    pub severity: Severity,
    pub kind: Kind,
    /// What was found and what was expected.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// What [`fix`] does, if anything.
    pub fix: Option<Fix>,
}

impl Finding {
    fn new(
        severity: Severity,
        kind: Kind,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            case: None,
            severity,
            kind,
            message: message.into(),
            remedy: remedy.into(),
            fix: None,
        }
    }

    /// An error about a case. Unless there is another remedy, the case must be left out of a
    /// corrected copy.
    fn error(kind: Kind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { fix: Some(Fix::LeaveOut), ..Self::new(Severity::Error, kind, message, remedy) }
    }

    fn warning(kind: Kind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Warning, kind, message, remedy)
    }

    fn note(kind: Kind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Note, kind, message, remedy)
    }

    fn fixed_by(self, fix: Fix) -> Self {
        Self { fix: Some(fix), ..self }
    }

    fn of(self, case: &str) -> Self {
        Self { case: Some(case.to_string()), ..self }
    }
}

/// The training and held-out cases of one fold, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    pub training: Vec<String>,
    pub held_out: Vec<String>,
}

/// What to look at.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only cases with label maps, as training reads them: neither test cases nor files that
    /// belong to no case.
    pub labelled_only: bool,
    /// Folds to hold the cases against.
    pub folds: Vec<Fold>,
    /// Bytes for the cases held at a time; one that takes more is not read, and that is a finding.
    /// `None`: as many as they take.
    pub memory: Option<u64>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The data set, as far as its description could be understood.
    #[serde(skip)]
    pub dataset: Option<Dataset>,
    /// Cases examined.
    pub cases: usize,
    /// Those of the data set first, then case by case; the gravest first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Number of findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Whether training would fail or be wrong.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }
}

/// Checks the data set at `path`. `progress` hears (cases done, cases in all) and says whether to
/// go on; `None` if it said no.
///
/// Files are read once, a few cases at a time.
///
/// # Errors
/// [`Error::Read`] if there is nothing at `path`. All else is a finding.
pub fn check(
    path: &Path,
    options: &Options,
    progress: impl Fn(usize, usize) -> bool + Sync,
) -> Result<Option<Report>> {
    let Survey { dataset, problems, announced } = match survey(path) {
        Ok(survey) => survey,
        Err(error @ Error::Read { .. }) if !path.exists() => return Err(error),
        Err(error) => {
            let finding = Finding::new(
                Severity::Error,
                Kind::Description,
                error.to_string(),
                "write or repair this file first",
            );
            return Ok(Some(Report { dataset: None, cases: 0, findings: vec![finding] }));
        }
    };
    let mut findings: Vec<Finding> =
        problems.iter().map(|problem| description_finding(&dataset, problem)).collect();
    findings.extend(files::counts(&dataset, announced));
    let test = dataset.test.iter().filter(|_| !options.labelled_only);
    let cases: Vec<&CaseFiles> = dataset
        .cases
        .iter()
        .filter(|case| !options.labelled_only || case.label.is_some())
        .chain(test)
        .collect();
    let Some(examined) =
        examine_all(&dataset, &cases, options.memory.unwrap_or(u64::MAX), progress)
    else {
        return Ok(None);
    };
    let mut facts = Vec::new();
    for (found, fact) in examined {
        findings.extend(found);
        facts.push(fact);
    }
    findings.extend(compare::compare(&dataset, &facts));
    findings.extend(folds::hold_against(&dataset, &options.folds, &facts));
    if !options.labelled_only {
        findings.extend(files::unlisted(&dataset));
    }
    findings.sort_by(|a, b| (&a.case, b.severity, a.kind).cmp(&(&b.case, a.severity, b.kind)));
    Ok(Some(Report { cases: cases.len(), dataset: Some(dataset), findings }))
}

fn description_finding(dataset: &Dataset, problem: &str) -> Finding {
    let file = dataset.description.file_name().unwrap_or_default().to_string_lossy();
    Finding::new(
        Severity::Error,
        Kind::Description,
        format!("{file}: {problem}"),
        "put it right in this file",
    )
}

/// Some cases in parallel, then the next: as few in memory as that needs, and no more than fit.
fn examine_all(
    dataset: &Dataset,
    cases: &[&CaseFiles],
    memory: u64,
    progress: impl Fn(usize, usize) -> bool + Sync,
) -> Option<Vec<(Vec<Finding>, Facts)>> {
    let (done, go_on) = (AtomicUsize::new(0), AtomicBool::new(progress(0, cases.len())));
    let mut examined = Vec::with_capacity(cases.len());
    let sizes: Vec<u64> = cases.par_iter().map(|case| bytes(case)).collect();
    while examined.len() < cases.len() {
        if !go_on.load(Ordering::Relaxed) {
            return None;
        }
        let next = examined.len();
        let at_a_time = AT_A_TIME.min(cases.len() - next);
        let fitting = (1..=at_a_time).rev().find(|n| {
            sizes[next..next + n].iter().fold(0, |a: u64, &b| a.saturating_add(b)) <= memory
        });
        let some = next..next + fitting.unwrap_or(1);
        examined.par_extend(some.into_par_iter().map(|n| {
            let result = if sizes[n] > memory {
                too_large(cases[n], sizes[n], memory)
            } else {
                examine(dataset, cases[n])
            };
            if !progress(done.fetch_add(1, Ordering::Relaxed) + 1, cases.len()) {
                go_on.store(false, Ordering::Relaxed);
            }
            result
        }));
    }
    Some(examined)
}
