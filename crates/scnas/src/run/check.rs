//! The check of a data set, also before a run: errors end the run before it begins. A run that loads
//! its cases looks at them on the way. What was found fit is remembered, so that a run that goes on
//! does not look at it once more.

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use medvol::check::{self, Examination, Finding, Fixed, Options, Report, Severity, fix};
use medvol::io::{Reading, Source};
use medvol::{Dataset, Fold};

use crate::data::cohort::Cohort;
use crate::data::plan::{Plan, to_json};
use crate::data::splits::read_unchecked;
use crate::error::{Error, Result};
use crate::memory;
use crate::observer::Observer;
use crate::ranks::Ranks;
use crate::settings::Config;
use crate::store::run_folder::FINDINGS;

/// Looks at every file of the data set at `data`, holds its cases against a file of splits, reads
/// headers by `reading` where they contradict themselves, and writes a corrected copy into the folder `copy`, which must be new or empty, where that is
/// wanted.
///
/// # Errors
/// Splits that cannot be read; nothing at `data`; a copy that cannot be written;
/// [`Error::Stopped`]. All else is a finding.
pub fn check(
    data: &Path,
    splits: Option<&Path>,
    reading: Option<Reading>,
    copy: Option<&Path>,
    observer: &dyn Observer,
) -> Result<(Report, Option<Fixed>)> {
    let options = Options { folds: folds(splits)?, reading, ..Options::default() };
    let report = examine(data, options, observer)?;
    let Some(folder) = copy else { return Ok((report, None)) };
    observer.begin("writing the corrected copy", 0, report.cases);
    let go_on = |done| {
        observer.advance(done);
        !observer.stop()
    };
    let fixed = fix(&report, folder, go_on)?.ok_or(Error::Stopped)?;
    Ok((report, Some(fixed)))
}

fn examine(data: &Path, options: Options, observer: &dyn Observer) -> Result<Report> {
    let options = Options { memory: memory::free(), ..options };
    let heard = |done: usize, total: usize| {
        if done == 0 {
            observer.begin("checking cases", 0, total);
        }
        observer.advance(done);
        !observer.stop()
    };
    check::check(data, &options, heard)?.ok_or(Error::Stopped)
}

fn folds(splits: Option<&Path>) -> Result<Vec<Fold>> {
    Ok(splits.map(read_unchecked).transpose()?.unwrap_or_default())
}

/// A data set opened for a run, with the run's plan, before its voxels are looked at.
pub(super) struct Opened<'a> {
    planned: Result<(Cohort, Plan)>,
    check: Check<'a>,
}

/// The check of a run's data, as long as it is due.
pub(super) struct Check<'a> {
    data: &'a Path,
    splits: Option<&'a Path>,
    reading: Option<Reading>,
    /// Whether the settings say how channels are normalised.
    normalised: bool,
    /// Where it is remembered what was found fit.
    remembered: PathBuf,
    /// What says whether the files are those.
    state: Option<String>,
    due: Cell<bool>,
}

impl<'a> Opened<'a> {
    /// Opens a data set and derives the plan. It need not be checked if `folder` says that it was
    /// found fit.
    pub fn new(data: &'a Path, config: &'a Config, folder: &Path) -> Self {
        let (splits, reading) = (config.data.splits.as_deref(), config.data.geometry);
        let dataset =
            Dataset::open(data).map(|dataset| dataset.read_by(reading)).map_err(Error::from);
        let state = dataset.as_ref().ok().and_then(|dataset| state(dataset, splits));
        let planned = dataset.and_then(Cohort::read).and_then(|cohort| {
            let plan = Plan::new(&cohort, config)?;
            Ok((cohort, plan))
        });
        let normalised = !config.data.normalisation.is_empty();
        let remembered = folder.join("checked.txt");
        let fit = state.is_some() && std::fs::read_to_string(&remembered).ok() == state;
        let due = Cell::new(!fit);
        let check = Check { data, splits, reading, normalised, remembered, state, due };
        Self { planned, check }
    }

    /// With a check that the first of `ranks` does for all.
    pub fn checked_by_first(self, ranks: &dyn Ranks) -> Self {
        self.check.due.set(self.check.is_due() && ranks.is_first());
        self
    }

    /// The plan, where there is one.
    pub fn plan(&self) -> Option<&Plan> {
        self.planned.as_ref().ok().map(|(_, plan)| plan)
    }

    /// The data set, its plan, and the check that is perhaps due.
    ///
    /// # Errors
    /// What keeps the data from being planned or held, which the check, if it is due, says better;
    /// settings that cannot be.
    pub fn planned(self, observer: &dyn Observer) -> Result<(Cohort, Plan, Check<'a>)> {
        let Self { planned, check } = self;
        let unfit = match &planned {
            // Else it would be said that memory or disk do not suffice for so many voxels.
            Ok((cohort, _)) => cohort.swells(),
            // Settings that cannot be are not worth a wait.
            Err(error) => !error.is_of_settings(),
        };
        if unfit && check.is_due() {
            check.look(observer)?;
        }
        planned.map(|(cohort, plan)| (cohort, plan, check))
    }
}

impl Check<'_> {
    /// Whether the cases are still to be looked at.
    pub fn is_due(&self) -> bool {
        self.due.get()
    }

    /// Looks at them, if that is due, without keeping them in memory.
    ///
    /// # Errors
    /// [`Error::Unfit`]; [`Error::Stopped`].
    pub fn now(&self, observer: &dyn Observer) -> Result<()> {
        if !self.is_due() {
            return Ok(());
        }
        let report = self.look(observer)?;
        self.remember(&report)
    }

    /// Looks at them and remembers nothing: of a run that cannot be, no folder is made.
    fn look(&self, observer: &dyn Observer) -> Result<Report> {
        let options = Options { reading: self.reading, ..self.options()? };
        let report = examine(self.data, options, observer)?;
        self.tell(&report, observer)?;
        Ok(report)
    }

    /// What both ways of looking have in common.
    fn options(&self) -> Result<Options> {
        let (folds, normalised) = (folds(self.splits)?, self.normalised);
        Ok(Options { labelled_only: true, folds, normalised, ..Options::default() })
    }

    /// Says what was found when the cases were loaded.
    ///
    /// # Errors
    /// [`Error::Unfit`].
    pub fn conclude(
        &self,
        cohort: &Cohort,
        plan: &Plan,
        examinations: Vec<Examination>,
        observer: &dyn Observer,
    ) -> Result<()> {
        let options = Options { fold: Some((plan.fold, plan.sides())), ..self.options()? };
        let report = check::conclude(&cohort.dataset, &options, examinations);
        self.tell(&report, observer)?;
        self.remember(&report)
    }

    /// Tells of a report, and refuses errors.
    fn tell(&self, report: &Report, observer: &dyn Observer) -> Result<()> {
        observer.checked(self.data, report);
        refuse_errors(self.data, self.splits, report)
    }

    /// Remembers that all was found fit, and what there is to say of it.
    fn remember(&self, report: &Report) -> Result<()> {
        self.due.set(false);
        let folder = self.remembered.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(folder).map_err(|e| Error::file("create", folder, e))?;
        medvol::atomic_write(folder.join(FINDINGS), &to_json(report)?)?;
        let Some(state) = &self.state else { return Ok(()) };
        Ok(medvol::atomic_write(&self.remembered, state.as_bytes())?)
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
        // However the way to the data set is spelled.
        let below = file.strip_prefix(&dataset.root).ok().or(file.file_name().map(Path::new))?;
        let _ = writeln!(text, "{} {changed} {}", metadata.len(), below.display());
    }
    Some(text)
}
