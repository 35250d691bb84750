//! A run with its data in memory: what every phase works on.

use std::path::Path;

use burn::tensor::Device;
use medvol::augment::AugmentSettings;
use medvol::metrics::mean_sd;
use medvol::{Case, CaseFiles, mirror_axes};

use crate::data::cohort::Cohort;
use crate::data::load::load_cases;
use crate::data::patches::{Patches, checksums};
use crate::data::plan::{Plan, to_json};
use crate::error::{Error, Result};
use crate::memory;
use crate::network::architecture::Architecture;
use crate::network::size::Size;
use crate::observer::Observer;
use crate::predict::windows::Predictor;
use crate::run::epochs::Judged;
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
        config.predict.largest_component_classes(&plan.labels)?;
        let (training_files, held_out_files) = plan.split(&cohort.dataset)?;
        if training_files.len() < 2 {
            let (path, found) = (cohort.dataset.root.clone(), training_files.len());
            return Err(Error::TooFewTrainingCases { path, found });
        }
        let dir = RunDir::open(folder, &config, &plan)?;
        let files: Vec<CaseFiles> = training_files.iter().chain(&held_out_files).cloned().collect();
        observer.begin("reading cases", 0, files.len());
        let mut training =
            load_cases(cohort, &files, &plan, memory::free(), |done| observer.advance(done))?;
        dir.same_or_new("data.json", &to_json(&checksums(&training)))?;
        let held_out = training.split_off(training_files.len());
        let [d, h, w] = plan.patch;
        observer.message(&format!(
            "{}: {} training and {} held-out cases, {} channel(s), {} classes, patch {d}×{h}×{w} \
             at {:.2}×{:.2}×{:.2} mm",
            plan.dataset,
            training.len(),
            held_out.len(),
            plan.channels.len(),
            plan.labels.len(),
            plan.spacing[0],
            plan.spacing[1],
            plan.spacing[2],
        ));
        let augment = config.augment.for_cases(mirror_axes(&training, plan.labels.len()));
        if config.search.augment || config.train.augment {
            let [d, h, w] = augment.flip.probabilities();
            observer.message(&format!(
                "patches are mirrored along depth, height and width with probability {d}, {h} and \
                 {w}"
            ));
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
    const UNMIRRORED: [bool; 3] = [false; 3];

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

    /// Mean Dice per foreground class over the held-out cases, on the preprocessed grid.
    pub(super) fn validate(
        &self,
        Judged { network, weights, mixture }: &Judged,
    ) -> Result<Vec<Option<f64>>> {
        let predictor = Predictor {
            network: *network,
            weights,
            mixture,
            patch: self.plan.patch,
            classes: self.size().classes,
            settings: self.config.predict.clone(),
            mirror: Self::UNMIRRORED,
        };
        let scores = self.held_out.iter().map(|case| predictor.validate(case));
        let scores = scores.collect::<Result<Vec<Vec<Option<f64>>>>>()?;
        let mean = |class: usize| mean_sd(scores.iter().filter_map(|s| s[class]));
        Ok((0..predictor.classes - 1).map(|class| mean(class).map(|(mean, _)| mean)).collect())
    }

    /// The description of a model of this run, whose weights have seen mirrored patches or not.
    pub fn card(&self, architecture: Architecture, mirrored: bool) -> Card {
        let mut card =
            Card::new(architecture, self.size(), self.plan.clone(), self.config.predict.clone());
        card.mirror = if mirrored { self.mirror() } else { Self::UNMIRRORED };
        card
    }
}
