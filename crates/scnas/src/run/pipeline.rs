//! From a data set's folder to an evaluated model: what `search` and `train` do, and what each fold
//! of a cross-validation is.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use burn::tensor::Device;
use serde_json::json;

use crate::data::plan::to_json;
use crate::error::{Error, Result};
use crate::message::{Message, RaceMessage};
use crate::observer::Observer;
use crate::ranks::Ranks;
use crate::report::evaluation::Evaluation;
use crate::report::result::{RunResult, is_complete, read_run};
use crate::run::check::Opened;
use crate::run::phases::{search, train};
use crate::run::preflight::foresee;
use crate::run::setup::{Job, Run};
use crate::run::start::{Start, prepare};
use crate::run::teachers::Teachers;
use crate::settings::{Config, Strategy, Then};
use crate::space::genotype::{Genotype, Repair};
use crate::store::named::Named;
use crate::store::run_folder::RunDir;

/// Between two looks at what other processes have done.
const PAUSE: Duration = Duration::from_secs(1);

/// A run to do, or to go on with.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The data set: a folder, or a CSV file.
    pub data: &'a Path,
    /// The run folder.
    pub folder: &'a Path,
    /// The settings.
    pub config: Config,
    /// Where to compute.
    pub device: &'a Device,
    /// Who does it together: [`Alone`](crate::ranks::Alone), or this process's place among several.
    pub ranks: &'a dyn Ranks,
}

/// Searches an architecture, gives it weights as the settings say, and scores it; a complete run is
/// only read. Several processes can work on one race: who finds nothing to do waits for the others.
///
/// # Errors
/// Anything wrong with data, settings or folder; too little memory or disk; [`Error::Diverged`];
/// [`Error::Stopped`] on request, with everything saved.
pub fn run_search(order: Order, observer: &dyn Observer) -> Result<(RunResult, Evaluation)> {
    let Order { data, folder, config, device, ranks } = order;
    config.refuse_in_vain()?;
    let for_check = config.clone();
    let opened = Opened::new(data, &for_check, folder).checked_by_first(ranks);
    let (cohort, plan, check) = opened.planned(observer)?;
    let (folder, beside) = (folder.into(), folder.into());
    let (device, check) = (device.clone(), Some(&check));
    // Ranks that wait for each other cannot wait for other processes too.
    let shared = config.search.strategy == Strategy::Race && ranks.is_alone();
    let job = Job { cohort: &cohort, plan, folder, beside, config, device, check, ranks };
    when_free(|_| shared, observer, || job.clone().search(observer))
}

/// Does a piece of work again and again while another process holds a folder that it needs and that
/// is worth `waiting` for.
///
/// # Errors
/// Those of the work; [`Error::Stopped`].
pub(super) fn when_free<T>(
    waiting: impl Fn(&Path) -> bool,
    observer: &dyn Observer,
    mut work: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut said = false;
    loop {
        match work() {
            Err(Error::InUse { path }) if waiting(&path) => {
                if !std::mem::replace(&mut said, true) {
                    observer.message(&Message::Race(RaceMessage::WaitingForRun { folder: path }));
                }
                pause(observer)?;
            }
            done => return done,
        }
    }
}

/// Trains a given architecture and scores it; a complete run is only read. `teachers` are models,
/// run folders that hold one, or folders of cross-validations, to learn from besides the labels.
///
/// # Errors
/// As [`run_search`]; [`ArchitectureFault::SeenCases`](crate::error::ArchitectureFault::SeenCases);
/// teachers that do not fit.
pub fn run_train(
    order: Order,
    named: &Named,
    start: Start,
    teachers: &[PathBuf],
    observer: &dyn Observer,
) -> Result<(RunResult, Evaluation)> {
    let Order { data, folder, config, device, ranks } = order;
    let for_check = config.clone();
    let opened = Opened::new(data, &for_check, folder).checked_by_first(ranks);
    let (cohort, plan, check) = opened.planned(observer)?;
    let (folder, beside) = (folder.into(), folder.into());
    let (device, check) = (device.clone(), Some(&check));
    Job { cohort: &cohort, plan, folder, beside, config, device, check, ranks }
        .train(named, start, teachers, observer)
}

impl Job<'_> {
    /// Searches, or goes on with a search, to the evaluated model.
    pub fn search(self, observer: &dyn Observer) -> Result<(RunResult, Evaluation)> {
        match self.config.search.strategy {
            Strategy::BiLevel => self.search_bi_level(observer),
            Strategy::Race => self.race(observer),
        }
    }

    fn search_bi_level(self, observer: &dyn Observer) -> Result<(RunResult, Evaluation)> {
        let then = self.config.search.then;
        let network = match then {
            Then::Inherit => "search + inherit",
            Then::Finetune => "search + finetune",
            Then::Retrain => "search + retrain",
        };
        if let Some(before) = self.completed(network, observer)? {
            return Ok(before);
        }
        let like = Genotype::random(&self.config.network.space(), self.config.seed).into();
        let foresee = |run: &Run| foresee(run, [true, then != Then::Inherit], &like, observer);
        let mut run = self.open(network, foresee, observer)?;
        let found = search(&mut run, observer)?;
        for Repair { cell, edge, operation } in found.repairs {
            observer.message(&Message::Repaired { cell, edge, operation });
        }
        let inherited = (then != Then::Retrain).then_some(&found.weights);
        let mut model = prepare(&run, found.genotype, inherited)?;
        if then != Then::Inherit {
            train(&mut run, &mut model, observer)?;
        }
        run.finish(network.into(), &model, observer)
    }

    /// Trains, or goes on training, an architecture to the evaluated model.
    pub fn train(
        self,
        Named { name, architecture, .. }: &Named,
        start: Start,
        teachers: &[PathBuf],
        observer: &dyn Observer,
    ) -> Result<(RunResult, Evaluation)> {
        if let Some(before) = self.completed(name, observer)? {
            return Ok(before);
        }
        let inherited = start.inherited(&self.plan, &self.device)?;
        let trained = start.is_trained();
        let (teachers, by_name) = Teachers::read(teachers, &self.plan, &self.device, observer)?;
        let foresee = |run: &Run| match trained {
            true => foresee(run, [false, true], architecture, observer),
            false => Ok(()),
        };
        let mut run = self.open(name, foresee, observer)?;
        run.dir.same_or_new("genotype.json", &to_json(architecture)?)?;
        if !teachers.is_empty() {
            run.dir.same_or_new("teachers.json", &to_json(&by_name)?)?;
        }
        run.teachers = teachers;
        let mut model = prepare(&run, architecture.clone(), inherited.as_ref())?;
        if trained {
            train(&mut run, &mut model, observer)?;
        }
        run.finish(name.as_str().into(), &model, observer)
    }

    /// What a complete run reached, read back; `None` when it is not complete. `network` says how
    /// the run's network comes to be.
    ///
    /// # Errors
    /// When the folder holds a run of other settings, data or network.
    pub(super) fn completed(
        &self,
        network: &str,
        observer: &dyn Observer,
    ) -> Result<Option<(RunResult, Evaluation)>> {
        if !self.ranks.of_first(|| Ok(is_complete(&self.folder)))? {
            return Ok(None);
        }
        if let Some(check) = self.check {
            check.now(observer)?;
        }
        claim(
            &RunDir::open(&self.folder, &self.config, &self.plan, self.ranks, observer)?,
            network,
        )?;
        let results = read_run(&self.folder)?;
        observer.message(&Message::Complete { folder: self.folder.clone() });
        Ok(Some(results))
    }
}

impl<'a> Job<'a> {
    /// Begins or goes on with the run. `foresee` refuses what cannot end: before the cases are loaded,
    /// where that takes long as they go to disk, and behind that, where memory has to do for both.
    fn open(
        self,
        network: &str,
        foresee: impl Fn(&Run) -> Result<()>,
        observer: &dyn Observer,
    ) -> Result<Run<'a>> {
        let check = self.check;
        let mut run = Run::without_cases(self, observer)?;
        let early = run.may_go_to_disk()?;
        if early {
            claim(&run.dir, network)?;
            foresee(&run)?;
        }
        run.load(check, observer)?;
        claim(&run.dir, network)?;
        volops::memory::keep_pages();
        if !early || run.in_memory() {
            foresee(&run)?;
        }
        Ok(run)
    }
}

/// A folder can go on only with what it began with.
pub(super) fn claim(dir: &RunDir, network: &str) -> Result<()> {
    dir.same_or_new("origin.json", format!("{}\n", json!({ "network": network })).as_bytes())
}

/// Waits a little for other processes.
///
/// # Errors
/// [`Error::Stopped`].
pub(super) fn pause(observer: &dyn Observer) -> Result<()> {
    if observer.stop() {
        return Err(Error::Stopped);
    }
    sleep(PAUSE);
    Ok(())
}
