//! A run with its data: what every phase works on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use medvol::augment::AugmentSettings;
use medvol::{CaseFiles, mirror_axes};

use crate::data::cache::Cache;
use crate::data::cohort::Cohort;
use crate::data::facts::{Facts, few_voxels};
use crate::data::files::Protected;
use crate::data::kept::{KeptCase, checksums};
use crate::data::loading::{LoadedCases, Loading, Room};
use crate::data::patches::Patches;
use crate::data::plan::{Plan, to_json};
use crate::data::recipe::Recipe;
use crate::error::{CasesFault, Result};
use crate::message::Message;
use crate::network::architecture::Architecture;
use crate::network::size::Size;
use crate::observer::{Observer, Silent};
use crate::ranks::{Alone, Ranks};
use crate::run::check::Check;
use crate::run::teachers::Teachers;
use crate::settings::Config;
use crate::store::model::Card;
use crate::store::run_folder::RunDir;

/// A run with its data.
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
    pub training: Vec<KeptCase>,
    /// Preprocessed cases to validate with, in the order of their names.
    pub held_out: Vec<KeptCase>,
    /// Whom the network in training learns from besides the labels.
    pub teachers: Teachers,
    /// Who does it together.
    pub ranks: &'a dyn Ranks,
    /// How patches are varied, with what was to be seen from the training cases.
    augment: AugmentSettings,
    /// Where cases are held that do not fit into memory.
    cache: Arc<Cache>,
    /// Cases that take no part in this run, by name.
    aside: BTreeMap<String, KeptCase>,
    pub(super) cohort: &'a Cohort,
    training_files: Vec<CaseFiles>,
    pub(super) held_out_files: Vec<CaseFiles>,
}

/// Cases on their way from one run folder to the next.
pub(super) struct Stage<'a> {
    cases: BTreeMap<String, KeptCase>,
    cache: Arc<Cache>,
    device: Device,
    augment: AugmentSettings,
    cohort: &'a Cohort,
    pub(super) ranks: &'a dyn Ranks,
}

/// A run to do, or to go on with, on a data set that is open.
#[derive(Clone)]
pub(super) struct Job<'a> {
    /// The data set.
    pub cohort: &'a Cohort,
    /// That of the data set with these settings.
    pub plan: Plan,
    /// The run folder.
    pub folder: PathBuf,
    /// What the cache lies beside, where the settings name none.
    pub beside: PathBuf,
    /// The settings.
    pub config: Config,
    /// Where it computes.
    pub device: Device,
    /// The check of the data, which may be due.
    pub check: Option<&'a Check<'a>>,
    /// Who does it together.
    pub ranks: &'a dyn Ranks,
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
        let (folder, beside) = (folder.to_path_buf(), folder.to_path_buf());
        let (check, ranks) = (None, &Alone);
        Self::of(Job { cohort, plan, folder, beside, config, device, check, ranks }, observer)
    }

    pub(super) fn of(job: Job<'a>, observer: &dyn Observer) -> Result<Self> {
        let check = job.check;
        let mut run = Self::without_cases(job, observer)?;
        run.load(check, observer)?;
        Ok(run)
    }

    /// Opens the run folder of a run whose cases are still to be [loaded](Self::load).
    pub(super) fn without_cases(job: Job<'a>, observer: &dyn Observer) -> Result<Self> {
        let Job { cohort, plan, folder, beside, config, device, check: _, ranks } = job;
        config.predict.largest_component_structures(&plan.labels, &plan.target)?;
        let (training_files, held_out_files) = plan.split(&cohort.dataset)?;
        if training_files.len() < 2 {
            let (path, found) = (cohort.dataset.root.clone(), training_files.len());
            return Err(CasesFault::TooFewTrainingCases { path, found }.into());
        }
        let mut protected = Protected::default();
        protected.add_data_set(&cohort.dataset);
        protected.check_folder(&folder)?;
        let dir = RunDir::open(&folder, &config, &plan, ranks, observer)?;
        let recipe = Recipe::new(cohort, &plan, config.data.numbers);
        let cache = Arc::new(Cache::new(config.data.cache_of(&beside), recipe));
        let augment = config.augment.clone();
        let (training, held_out) = (Vec::new(), Vec::new());
        Ok(Self {
            config,
            plan,
            device,
            dir,
            training,
            held_out,
            teachers: Teachers::default(),
            ranks,
            augment,
            cache,
            aside: BTreeMap::new(),
            cohort,
            training_files,
            held_out_files,
        })
    }

    /// Whether, as far as headers tell, the cases may have to be held on disk.
    pub(super) fn may_go_to_disk(&self) -> Result<bool> {
        let files = self.files();
        Ok(self.loading(&files, false, &Silent)?.may_go_to_disk())
    }

    /// All cases, those for training first.
    fn files(&self) -> Vec<CaseFiles> {
        self.training_files.iter().chain(&self.held_out_files).cloned().collect()
    }

    fn loading<'f>(
        &'f self,
        files: &'f [CaseFiles],
        examined: bool,
        observer: &'f dyn Observer,
    ) -> Result<Loading<'f>> {
        let Self { config, cohort, plan, cache, .. } = self;
        let (keep, memory) = (config.data.keep, config.data.memory_free());
        let room = Room { keep, memory, cache: cache.clone() };
        Loading::new(cohort, files, plan, room, examined, observer)
    }

    /// Loads all cases, looked at on the way where the check is due, and says what the run is.
    pub(super) fn load(&mut self, check: Option<&Check>, observer: &dyn Observer) -> Result<()> {
        self.load_cases(check, observer)?;
        self.begin()
    }

    /// Writes what says what the run is, or checks that it is there.
    ///
    /// # Errors
    /// When the folder holds a run of other data, or cannot be written.
    pub(super) fn begin(&self) -> Result<()> {
        self.dir.begin(&self.config, &self.plan)?;
        let all = self.training.iter().chain(&self.held_out);
        self.dir.same_or_new("data.json", &to_json(&checksums(all))?)
    }

    /// The cases, for another folder; this one is free again.
    pub(super) fn leave(self) -> Stage<'a> {
        let Self { training, held_out, cache, device, augment, mut aside, cohort, ranks, .. } =
            self;
        let own = training.into_iter().chain(held_out);
        aside.extend(own.map(|case| (case.facts().name.clone(), case)));
        Stage { cases: aside, cache, device, augment, cohort, ranks }
    }

    /// As [`Run::load`], but a new folder stays without settings until the run
    /// [begins](Self::begin).
    pub(super) fn load_cases(
        &mut self,
        check: Option<&Check>,
        observer: &dyn Observer,
    ) -> Result<()> {
        let due = check.filter(|check| check.is_due());
        let files = self.files();
        let LoadedCases { cases, examinations, unfit } =
            self.loading(&files, due.is_some(), observer)?.load()?;
        if let Some(check) = due {
            check.conclude(self.cohort, &self.plan, examinations, observer)?;
        }
        if let Some(unfit) = unfit {
            return Err(unfit);
        }
        let Self { config, plan, cohort, .. } = self;
        let mut training = cases;
        let mut held_out = training.split_off(self.training_files.len());
        plan.measure(&mut training, &mut held_out)?;
        observer.message(&Message::Data {
            dataset: plan.dataset.clone(),
            training: training.len(),
            held_out: held_out.len(),
            channels: plan.channels.len(),
            outputs: plan.outputs(),
            patch: plan.patch,
            spacing: plan.spacing,
        });
        let usual = cohort.usual_spacing();
        if config.data.spacing.is_none() && plan.spacing != usual {
            let coverage = config.data.coverage;
            observer.message(&Message::Coarser { usual, coverage });
            let facts: Vec<&Facts> = training.iter().map(KeptCase::facts).collect();
            let structures = few_voxels(&facts, &plan.labels);
            if !structures.is_empty() {
                observer.message(&Message::FewVoxels { structures });
            }
        }
        if !plan.grid.is_isotropic() {
            observer.message(&Message::ByAxis { grid: plan.grid, patch: plan.patch });
        }
        if config.data.splits.is_none() && !cohort.dataset.folds.is_empty() {
            observer.message(&Message::HeldOutBy { list: cohort.dataset.list().into() });
        }
        let places = training.iter().filter_map(|case| case.facts().places.as_ref());
        self.augment = config.augment.for_cases(mirror_axes(places, plan.labels.len()));
        if config.search.augment || config.train.augment {
            let probabilities = self.augment.flip.probabilities();
            observer.message(&Message::Mirrored { probabilities });
        }
        (self.training, self.held_out) = (training, held_out);
        Ok(())
    }

    /// The settings as one rank has them: with its share of the patches of a step, or one more.
    pub(super) fn config_of_a_rank(&self) -> Config {
        let (mut config, ranks) = (self.config.clone(), self.ranks.count());
        let decide = config.search.decide.as_mut().map(|decide| &mut decide.patches);
        [&mut config.train.batch, &mut config.search.batch]
            .into_iter()
            .chain(decide)
            .for_each(|patches| *patches = patches.div_ceil(ranks));
        config
    }

    /// Whether all cases are held in memory.
    pub(super) fn in_memory(&self) -> bool {
        self.training.iter().chain(&self.held_out).all(KeptCase::in_memory)
    }

    /// Warns of cases whose copies on disk were damaged.
    pub(super) fn say_what_was_remade(&self, observer: &dyn Observer) {
        for case in self.cache.remade() {
            let folder = self.cache.folder().to_path_buf();
            observer.message(&Message::Remade { case, folder });
        }
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
        self.plan.size(self.config.network.width)
    }

    /// The description of a model of this run, whose weights have seen mirrored patches or not.
    pub fn card(&self, architecture: Architecture, mirrored: bool) -> Card {
        let mut card =
            Card::new(architecture, self.size(), self.plan.clone(), self.config.predict.clone());
        card.mirror = if mirrored { self.mirror() } else { Self::UNMIRRORED };
        card
    }
}

impl<'a> Stage<'a> {
    /// The run in `dir`, which was opened with these settings and this plan.
    ///
    /// # Errors
    /// A data set that has lost a case since the plan was made, or a case that was not loaded.
    pub fn run(self, dir: RunDir, config: Config, plan: Plan) -> Result<Run<'a>> {
        let Self { cases: mut aside, cache, device, augment, cohort, ranks } = self;
        let (training_files, held_out_files) = plan.split(&cohort.dataset)?;
        let mut take = |files: &[CaseFiles]| -> Result<Vec<KeptCase>> {
            let mut case =
                |file: &CaseFiles| Ok(aside.remove(&file.name).ok_or(CasesFault::Unread)?);
            files.iter().map(&mut case).collect()
        };
        let (training, held_out) = (take(&training_files)?, take(&held_out_files)?);
        Ok(Run {
            config,
            plan,
            device,
            dir,
            training,
            held_out,
            teachers: Teachers::default(),
            ranks,
            augment,
            cache,
            aside,
            cohort,
            training_files,
            held_out_files,
        })
    }
}
