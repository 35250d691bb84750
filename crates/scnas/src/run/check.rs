//! The check of a data set before a run: errors end the run before it begins. What was found fit is
//! remembered, so that a run that goes on does not read everything once more.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use medvol::Dataset;
use medvol::check::{self, Finding, Fixed, Fold, Options, Report, Severity, fix};
use medvol::io::Source;

use crate::data::cohort::Cohort;
use crate::data::plan::Plan;
use crate::data::splits::read_unchecked;
use crate::error::{Error, Result};
use crate::memory;
use crate::observer::Observer;
use crate::settings::Config;

/// Looks at every file of the data set at `data`, holds its cases against a file of splits, and
/// writes a corrected copy into the folder `copy`, which must be new or empty, where that is
/// wanted.
///
/// # Errors
/// Splits that cannot be read; nothing at `data`; a copy that cannot be written;
/// [`Error::Stopped`]. All else is a finding.
pub fn check(
    data: &Path,
    splits: Option<&Path>,
    copy: Option<&Path>,
    observer: &dyn Observer,
) -> Result<(Report, Option<Fixed>)> {
    let report = examine(data, splits, false, observer)?;
    let Some(folder) = copy else { return Ok((report, None)) };
    observer.begin("writing the corrected copy", 0, report.cases);
    let go_on = |done| {
        observer.advance(done);
        !observer.stop()
    };
    let fixed = fix(&report, folder, go_on)?.ok_or(Error::Stopped)?;
    Ok((report, Some(fixed)))
}

fn examine(
    data: &Path,
    splits: Option<&Path>,
    labelled_only: bool,
    observer: &dyn Observer,
) -> Result<Report> {
    let folds: Vec<Fold> = splits.map(read_unchecked).transpose()?.unwrap_or_default();
    let options = Options { labelled_only, folds, memory: memory::free() };
    let heard = |done: usize, total: usize| {
        if done == 0 {
            observer.begin("checking cases", 0, total);
        }
        observer.advance(done);
        !observer.stop()
    };
    check::check(data, &options, heard)?.ok_or(Error::Stopped)
}

/// A data set opened for a run, with the run's plan, before its voxels were looked at.
pub(super) struct Opened<'a> {
    data: &'a Path,
    splits: Option<&'a Path>,
    /// What says whether the files are those that were found fit before.
    state: Option<String>,
    planned: Result<(Cohort, Plan)>,
}

impl<'a> Opened<'a> {
    /// Opens a data set and derives the plan. What goes wrong is better said by the check.
    pub fn new(data: &'a Path, config: &'a Config) -> Self {
        let splits = config.data.splits.as_deref();
        let dataset = Dataset::open(data).map_err(Error::from);
        let state = dataset.as_ref().ok().and_then(|dataset| state(dataset, splits));
        let planned = dataset.and_then(Cohort::read).and_then(|cohort| {
            let plan = Plan::new(&cohort, config)?;
            Ok((cohort, plan))
        });
        Self { data, splits, state, planned }
    }

    /// The plan, where there is one.
    pub fn plan(&self) -> Option<&Plan> {
        self.planned.as_ref().ok().map(|(_, plan)| plan)
    }

    /// Checks the data, unless `folder` says that they were found fit.
    ///
    /// # Errors
    /// Settings that cannot be; [`Error::Unfit`]; what keeps the data from being planned.
    pub fn checked(self, folder: &Path, observer: &dyn Observer) -> Result<(Cohort, Plan)> {
        let Self { data, splits, state, planned } = self;
        let remembered = folder.join("checked.txt");
        let fit = state.is_some() && std::fs::read_to_string(&remembered).ok() == state;
        // Settings that cannot be are not worth a wait.
        if fit || planned.as_ref().is_err_and(Error::is_of_settings) {
            return planned;
        }
        let report = examine(data, splits, true, observer)?;
        observer.checked(data, &report);
        refuse_errors(data, splits, &report)?;
        let planned = planned?;
        if let Some(state) = state {
            std::fs::create_dir_all(folder).map_err(|e| Error::file("create", folder, e))?;
            medvol::atomic_write(&remembered, state.as_bytes())?;
        }
        Ok(planned)
    }
}

fn refuse_errors(data: &Path, splits: Option<&Path>, report: &Report) -> Result<()> {
    let is_error = |finding: &&Finding| finding.severity == Severity::Error;
    let mut errors = report.findings.iter().filter(is_error);
    let Some(first) = errors.next() else { return Ok(()) };
    Err(Error::Unfit {
        data: data.into(),
        splits: splits.map(PathBuf::from),
        first: Box::new(first.clone()),
        more: errors.count(),
    })
}

/// Size and time of change of every file a run reads, and the version of the check; `None` where
/// something cannot be read.
fn state(dataset: &Dataset, splits: Option<&Path>) -> Option<String> {
    let labelled =
        dataset.cases.iter().filter(|case| case.label.is_some()).flat_map(|case| case.sources());
    let others = [Some(dataset.description.as_path()), dataset.table.as_deref(), splits];
    let mut text =
        format!("checked by scnas {}: bytes, time of change, file\n", env!("CARGO_PKG_VERSION"));
    for file in others.into_iter().flatten().chain(labelled.map(Source::path)) {
        let metadata = file.metadata().ok()?;
        let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        let _ = writeln!(text, "{} {changed} {}", metadata.len(), file.display());
    }
    Some(text)
}
