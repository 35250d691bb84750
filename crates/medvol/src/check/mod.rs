//! The data doctor: everything that is wrong with a data set, found in one pass over its files,
//! case by case and with a remedy.
//!
//! [`check`](check()) does it all. A run, which reads all cases anyway, looks at them as it goes,
//! so that every voxel is read once:
//!
//! ```no_run
//! use medvol::check::{Options, conclude, examine};
//! use medvol::{Dataset, preprocess};
//!
//! # fn main() -> medvol::Result<()> {
//! let dataset = Dataset::open("Task04_Hippocampus")?;
//! # let spacing_mm = [1.0; 3];
//! let (mut examinations, mut cases) = (Vec::new(), Vec::new());
//! for files in &dataset.cases {
//!     let (examination, loaded) = examine(&dataset, files);
//!     examinations.push(examination);
//!     // Nothing where it found an error: the report will say which.
//!     if let Some((image, labels)) = loaded.into_case()? {
//!         let (labels, classes) = (labels.as_ref(), dataset.class_map());
//!         cases.push(preprocess(&files.name, &image, labels, &classes, spacing_mm, &[])?);
//!     }
//! }
//! let report = conclude(&dataset, &Options::default(), examinations);
//! # Ok(())
//! # }
//! ```
//!
//! The description is `dataset/`'s; a case by itself `examine.rs`'s, with `geometry.rs`,
//! `intensity.rs` and `labels.rs`; cases are held against each other in `compare.rs` and against
//! folds in `folds.rs`. [`fix`](fix()) writes a corrected copy. [`look`](look()) is for an image that
//! belongs to no data set.

mod compare;
mod examine;
mod files;
mod finding;
mod fix;
mod folds;
mod geometry;
mod intensity;
mod labels;
mod look;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use crate::dataset::Fold;
use crate::dataset::{CaseFiles, Dataset, Flaw, Survey, survey};
use crate::error::{Error, Result};
use crate::io::Reading;

pub use examine::{Examination, Loaded, examine};
pub use finding::{Finding, Fix, Kind, Severity};
pub use fix::{Fixed, fix};
pub use folds::Misplaced;
pub use look::{Familiar, look, look_at};

/// Cases held in memory at a time, at most.
const AT_A_TIME: usize = 4;

/// Bytes of a voxel while it is looked at.
const BYTES_OF_A_VOXEL: u64 = size_of::<f32>() as u64;

/// What to look at.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only cases with label maps, as training reads them, and what lies beside their files.
    pub labelled_only: bool,
    /// Folds to hold the cases against; none: those of the data set, if it says any.
    pub folds: Vec<Fold>,
    /// The fold of a run, with its number, where only that is of interest for what can be learnt;
    /// `None`: all folds.
    pub fold: Option<(usize, Fold)>,
    /// How headers are read that contradict themselves; `None`: as far as their parts tell.
    pub reading: Option<Reading>,
    /// Whether somebody has said how channels are normalised, whatever they are called.
    pub normalised: bool,
    /// Bytes for the cases held at a time; one that takes more is not read, and that is a finding.
    /// `None`: as many as they take.
    pub memory: Option<u64>,
}

/// What was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// Checks the data set at `path`: opens it, reads all headers, then all voxels, once, a few cases at
/// a time. `progress` hears (cases done, cases in all) and says whether to go on; `None` if it said
/// no.
///
/// # Errors
/// [`Error::Read`] if there is nothing at `path`. All else is a finding.
pub fn check(
    path: &Path,
    options: &Options,
    progress: impl Fn(usize, usize) -> bool + Sync,
) -> Result<Option<Report>> {
    let Survey { dataset, problems } = match survey(path) {
        Ok(Survey { dataset, problems }) => {
            Survey { dataset: dataset.read_by(options.reading), problems }
        }
        Err(error @ Error::Read { .. }) if !path.exists() => return Err(error),
        Err(error) => {
            let finding = Finding::new(
                Severity::Error,
                Kind::Description,
                error.to_string(),
                match error {
                    Error::NoDataSet { .. } => "give the data set itself",
                    _ => "write or repair this file first",
                },
            );
            return Ok(Some(Report { dataset: None, cases: 0, findings: vec![finding] }));
        }
    };
    let test = dataset.test.iter().filter(|_| !options.labelled_only);
    let cases: Vec<&CaseFiles> = dataset
        .cases
        .iter()
        .filter(|case| !options.labelled_only || case.label.is_some())
        .chain(test)
        .collect();
    let Some(examinations) =
        examine_all(&dataset, &cases, options.memory.unwrap_or(u64::MAX), progress)
    else {
        return Ok(None);
    };
    let mut report = conclude(&dataset, options, examinations);
    report.findings.extend(problems.iter().map(description_finding));
    sort(&mut report.findings);
    Ok(Some(report))
}

/// What is to be said of a data set whose cases have all been [`examine`]d, those of
/// [`Options::labelled_only`] at least, in any order: compares them with each other, with the
/// description and with folds. Reads no voxel.
pub fn conclude(
    dataset: &Dataset,
    options: &Options,
    mut examinations: Vec<Examination>,
) -> Report {
    examinations.sort_by(|a, b| a.place().cmp(&b.place()));
    let cases = examinations.len();
    let mut findings = files::counts(dataset);
    findings.extend(files::shared(dataset));
    let mut facts = Vec::with_capacity(cases);
    for examination in examinations {
        findings.extend(examination.findings);
        facts.push(examination.facts);
    }
    findings.extend(compare::compare(dataset, &facts, options.normalised));
    let folds = if options.folds.is_empty() { &dataset.folds } else { &options.folds };
    let labelled = dataset.labelled();
    let folds: Vec<Fold> = folds.iter().map(|fold| fold.clone().by_cases(&labelled)).collect();
    findings.extend(folds::hold_against(dataset, &folds, &facts));
    findings.extend(match &options.fold {
        Some((number, fold)) => folds::unlearnable(dataset, [(*number, fold)], &facts),
        None => folds::unlearnable(dataset, folds.iter().enumerate(), &facts),
    });
    findings.extend(files::unlisted(dataset, options.labelled_only));
    sort(&mut findings);
    Report { dataset: Some(dataset.clone()), cases, findings }
}

/// Those of the data set first, then case by case; the gravest first.
fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        (&a.case, a.test, b.severity, a.kind).cmp(&(&b.case, b.test, a.severity, b.kind))
    });
}

fn description_finding(Flaw { path, text }: &Flaw) -> Finding {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    Finding::new(
        Severity::Error,
        Kind::Description,
        format!("{file}: {text}"),
        format!("put it right in {file}"),
    )
}

/// Bytes of a case's voxels while they are looked at, as far as its headers can be read.
fn bytes(case: &CaseFiles) -> u64 {
    let grids = case.sources().filter_map(|source| Some(source.open().ok()?.grid()));
    grids.fold(0, |sum, grid| sum.saturating_add(BYTES_OF_A_VOXEL.saturating_mul(grid.voxels())))
}

/// Some cases in parallel, then the next: as few in memory as that needs, and no more than fit.
fn examine_all(
    dataset: &Dataset,
    cases: &[&CaseFiles],
    memory: u64,
    progress: impl Fn(usize, usize) -> bool + Sync,
) -> Option<Vec<Examination>> {
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
            let examination = if sizes[n] > memory {
                Examination::too_large(dataset, cases[n], sizes[n], memory)
            } else {
                examine(dataset, cases[n]).0
            };
            if !progress(done.fetch_add(1, Ordering::Relaxed) + 1, cases.len()) {
                go_on.store(false, Ordering::Relaxed);
            }
            examination
        }));
    }
    Some(examined)
}
