//! A run with its data in memory: what every phase works on.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use medvol::augment::AugmentSettings;
use medvol::{Case, CaseFiles, mirror_axes};

use crate::data::cohort::Cohort;
use crate::data::load::{LoadedCases, load_cases};
use crate::data::patches::{Patches, checksums};
use crate::data::plan::{Plan, to_json};
use crate::error::{Error, Result};
use crate::memory;
use crate::message::Message;
use crate::network::architecture::Architecture;
use crate::network::size::Size;
use crate::observer::Observer;
use crate::run::check::Check;
use crate::settings::Config;
use crate::store::model::Card;
use crate::store::run_folder::RunDir;

/// A run with its data in memory.
#[derive(Debug)]
pub struct Run<'a> {
    /// Its settings.
    pub config: Config,
    /// What was derived from the data.
    pub plan: Plan,
    /// Where it computes.
    pub device: Device,
    /// Its folder, locked.
    pub dir: RunDir,
    /// Preprocessed cases to train with, in the order of their names.
    pub training: Vec<Case>,
    /// Preprocessed cases to validate with, in the order of their names.
    pub held_out: Vec<Case>,
    /// How patches are varied, with what was to be seen from the training cases.
    augment: AugmentSettings,
    pub(super) cohort: &'a Cohort,
    pub(super) held_out_files: Vec<CaseFiles>,
}

/// A run to do, or to go on with, on a data set that is open.
pub(super) struct Job<'a> {
    pub cohort: &'a Cohort,
    /// That of the data set with these settings.
    pub plan: Plan,
    /// The run folder.
    pub folder: PathBuf,
    pub config: Config,
    pub device: Device,
    /// The check of the data, which may be due.
    pub check: Option<&'a Check<'a>>,
}

impl<'a> Run<'a> {
    /// Opens the run folder, new or to go on with, and loads all cases of the plan, which is that
    /// of the data set with these settings.
    ///
    /// # Errors
    /// Anything wrong with data, settings or folder, before any long work.
    pub fn open(
        cohort: &'a Cohort,
        plan: Plan,
        folder: &Path,
        config: Config,
        device: Device,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let folder = folder.to_path_buf();
        Self::of(Job { cohort, plan, folder, config, device, check: None }, observer)
    }

    pub(super) fn of(job: Job<'a>, observer: &dyn Observer) -> Result<Self> {
        let Job { cohort, mut plan, folder, config, device, check } = job;
        config.predict.largest_component_classes(&plan.labels)?;
        let (training_files, held_out_files) = plan.split(&cohort.dataset)?;
        if training_files.len() < 2 {
            let (path, found) = (cohort.dataset.root.clone(), training_files.len());
            return Err(Error::TooFewTrainingCases { path, found });
        }
        let dir = RunDir::open(&folder, &config, &plan, observer)?;
        let files: Vec<CaseFiles> = training_files.iter().chain(&held_out_files).cloned().collect();
        let mut training = load(cohort, &files, &plan, check, observer)?;
        let mut held_out = training.split_off(training_files.len());
        plan.measure(&mut training, &mut held_out)?;
        dir.begin(&config, &plan)?;
        let all = training.iter().chain(&held_out);
        dir.same_or_new("data.json", &to_json(&checksums(all))?)?;
        observer.message(&Message::Data {
            dataset: plan.dataset.clone(),
            training: training.len(),
            held_out: held_out.len(),
            channels: plan.channels.len(),
            classes: plan.labels.len(),
            patch: plan.patch,
            spacing: plan.spacing,
        });
        if config.data.splits.is_none() && !cohort.dataset.folds.is_empty() {
            observer.message(&Message::HeldOutBy { list: cohort.dataset.list().into() });
        }
        let augment = config.augment.for_cases(mirror_axes(&training, plan.labels.len()));
        if config.search.augment || config.train.augment {
            let probabilities = augment.flip.probabilities();
            observer.message(&Message::Mirrored { probabilities });
        }
        Ok(Self { config, plan, device, dir, training, held_out, augment, cohort, held_out_files })
    }

    /// Where patches of the training cases come from, varied as the settings say if `augment`.
    pub fn patches(&self, augment: bool) -> Patches<'_> {
        Patches {
            cases: &self.training,
            patch: self.plan.patch,
            foreground: self.config.data.foreground,
            augment: augment.then_some(&self.augment),
            seed: self.config.seed,
        }
    }

    /// Validations between epochs do without mirrorings, which would only take time there.
    pub(super) const UNMIRRORED: [bool; 3] = [false; 3];

    /// The axes (depth, height, width) along which patches are mirrored, where they are varied.
    pub fn mirror(&self) -> [bool; 3] {
        self.augment.flip.probabilities().map(|probability| probability > 0.0)
    }

    /// Size of this run's networks.
    pub fn size(&self) -> Size {
        Size {
            channels: self.plan.channels.len(),
            classes: self.plan.labels.len(),
            width: self.config.network.width,
        }
    }

    /// The description of a model of this run, whose weights have seen mirrored patches or not.
    pub fn card(&self, architecture: Architecture, mirrored: bool) -> Card {
        let mut card =
            Card::new(architecture, self.size(), self.plan.clone(), self.config.predict.clone());
        card.mirror = if mirrored { self.mirror() } else { Self::UNMIRRORED };
        card
    }
}

/// All cases, in order, looked at on the way where the check is due.
fn load(
    cohort: &Cohort,
    files: &[CaseFiles],
    plan: &Plan,
    check: Option<&Check>,
    observer: &dyn Observer,
) -> Result<Vec<Case>> {
    let due = check.filter(|check| check.is_due());
    let what = if due.is_some() { "checking cases" } else { "reading cases" };
    observer.begin(what, 0, files.len());
    let examined = due.is_some();
    let progress = |done| {
        observer.advance(done);
        !(examined && observer.stop())
    };
    let LoadedCases { cases, examinations, unfit } =
        load_cases(cohort, files, plan, examined, memory::free(), progress)?;
    if let Some(check) = due {
        check.conclude(cohort, examinations, observer)?;
    }
    unfit.map_or(Ok(cases), Err)
}
