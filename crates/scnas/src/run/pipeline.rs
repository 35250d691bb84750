//! A run from a data set's folder to an evaluated model: what `search` and `train` have in common.

use std::path::Path;
use std::slice;
use std::time::Instant;

use burn::tensor::Device;
use medvol::augment::AugmentSettings;
use medvol::metrics::mean_sd;
use medvol::{Case, CaseFiles, Dataset, io, mirror_axes};
use serde::{Deserialize, Serialize};

use crate::data::load::load_cases;
use crate::data::patches::{Patches, checksums};
use crate::data::plan::{Plan, to_json};
use crate::error::{Error, Result};
use crate::memory;
use crate::network::architecture::Architecture;
use crate::network::size::Size;
use crate::predict::image::{ImagePredictor, Options};
use crate::predict::windows::Predictor;
use crate::report::evaluation::{Evaluation, MeanSd, TOLERANCE_MM, score};
use crate::settings::config::Config;
use crate::store::model::{Card, Model};
use crate::store::run_folder::{EpochLine, RunDir};

/// Who watches a run: the command line, or a test. By default, nobody does.
pub trait Observer: Sync {
    /// A piece of work of `total` steps begins, `done` of which were done before.
    fn begin(&self, _what: &str, _done: usize, _total: usize) {}
    /// `done` steps of the current piece are done.
    fn advance(&self, _done: usize) {}
    /// An epoch is over.
    fn epoch(&self, _line: &EpochLine, _classes: &[String]) {}
    /// Something worth reading.
    fn message(&self, _text: &str) {}
    /// True when it is time to save in the middle of an epoch.
    fn save(&self) -> bool {
        false
    }
    /// True when the user asked to stop: the run saves after the current step and ends with
    /// [`Error::Stopped`].
    fn stop(&self) -> bool {
        false
    }
}

/// A piece of work inside another, whose steps are not shown.
pub struct Within<'a>(pub &'a dyn Observer);

impl Observer for Within<'_> {
    fn epoch(&self, line: &EpochLine, classes: &[String]) {
        self.0.epoch(line, classes);
    }
    fn message(&self, text: &str) {
        self.0.message(text);
    }
    fn save(&self) -> bool {
        self.0.save()
    }
    fn stop(&self) -> bool {
        self.0.stop()
    }
}

/// A run with its data in memory.
#[derive(Debug)]
pub struct Run {
    pub config: Config,
    pub plan: Plan,
    pub device: Device,
    pub dir: RunDir,
    pub training: Vec<Case>,
    pub held_out: Vec<Case>,
    /// How patches are varied, with what was to be seen from the training cases.
    augment: AugmentSettings,
    dataset: Dataset,
    held_out_files: Vec<CaseFiles>,
}

/// Most bytes that scoring takes a voxel: two label maps of two, and for the class looked at two
/// masks, their surfaces, distances along one axis.
const SCORED_VOXEL: u64 = 2 * 2 + 2 + 2 + 2;

/// `result.json`: one row of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// How the network came to be, such as `search + finetune` or `random:0`.
    pub network: String,
    pub dataset: String,
    pub fold: usize,
    pub seed: u64,
    /// Convolution weights, in millions.
    pub parameters_m: f64,
    /// Of one patch.
    pub gflops: f64,
    /// Held-out cases scored.
    pub cases: usize,
    pub classes: Vec<String>,
    pub dice: Vec<Option<MeanSd>>,
    pub mean_dice: Option<MeanSd>,
    /// Time in search and training epochs, validation included.
    pub seconds: f64,
}

impl Run {
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

    /// Opens the data set and the run folder, and loads all cases.
    ///
    /// # Errors
    /// Anything wrong with data, settings or folder, before any long work.
    pub fn open(
        data: &Path,
        out: &Path,
        config: Config,
        device: Device,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let dataset = Dataset::open(data)?;
        let plan = Plan::new(&dataset, &config)?;
        config.predict.largest_component_classes(&plan.labels)?;
        let (training_files, held_out_files) = plan.split(&dataset)?;
        if training_files.len() < 2 {
            return Err(Error::Invalid {
                path: data.into(),
                expected: "at least 2 training cases outside the held-out fold".into(),
                found: training_files.len().to_string(),
                remedy: "add labelled cases or raise data.folds".into(),
            });
        }
        let dir = RunDir::open(out, &config, &plan)?;
        let files: Vec<CaseFiles> = training_files.iter().chain(&held_out_files).cloned().collect();
        observer.begin("reading cases", 0, files.len());
        let mut training =
            load_cases(&dataset, &files, &plan, memory::free(), |done| observer.advance(done))?;
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
        Ok(Self { config, plan, device, dir, training, held_out, augment, dataset, held_out_files })
    }

    /// Validations between epochs do without mirrorings, which would only take time there.
    pub const UNMIRRORED: [bool; 3] = [false; 3];

    /// The axes (depth, height, width) along which patches are mirrored, where they are varied.
    pub fn mirror(&self) -> [bool; 3] {
        self.augment.flip.probabilities().map(|probability| probability > 0.0)
    }

    /// The data set that the cases are of.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
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
    pub fn validate(&self, predictor: &Predictor) -> Vec<Option<f64>> {
        let scores: Vec<Vec<Option<f64>>> =
            self.held_out.iter().map(|case| predictor.validate(case)).collect();
        (0..predictor.classes - 1)
            .map(|c| mean_sd(scores.iter().filter_map(|s| s[c])).map(|(mean, _)| mean))
            .collect()
    }

    /// Writes the model, predicts the held-out cases on their own grids, and writes predictions,
    /// evaluation and result.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn finish(
        &self,
        network: String,
        model: &Model,
        observer: &dyn Observer,
    ) -> Result<(Evaluation, RunResult)> {
        model.write(&self.dir.file("model.safetensors"))?;
        let predictions = self.dir.file("predictions");
        std::fs::create_dir_all(&predictions)
            .map_err(|e| Error::file("create", &predictions, e))?;
        let mut evaluation = Evaluation::new(self.plan.foreground(), TOLERANCE_MM);
        observer.begin("scoring held-out cases", 0, self.held_out_files.len());
        let predictor = ImagePredictor::new(slice::from_ref(model), Options::of(model))?;
        for (done, files) in self.held_out_files.iter().enumerate() {
            let image = io::open(&files.images)?.checked(self.plan.channels.len())?.raw()?;
            let predicted = predictor
                .predict(&files.name, &image, &Within(observer))?
                .labels(&self.plan.labels);
            drop(image);
            let file = format!("{}{}", files.name, io::default_ending());
            io::create(predictions.join(file))?.labels(&predicted)?;
            let Some(labels) = self.dataset.load_labels(files)? else { continue };
            let case = score(&files.name, &predicted, &labels, &self.plan.labels, TOLERANCE_MM)
                .map_err(|e| Error::Invalid {
                    path: files.images[0].path().to_path_buf(),
                    expected: "a prediction of the label map's shape".into(),
                    found: e.to_string(),
                    remedy: "give image and label map the same grid".into(),
                })?;
            evaluation.cases.push(case);
            observer.advance(done + 1);
        }
        let cost = model.card.architecture.cost(model.card.size, self.plan.patch);
        let result = RunResult {
            network,
            dataset: self.plan.dataset.clone(),
            fold: self.plan.fold,
            seed: self.config.seed,
            parameters_m: cost.millions(),
            gflops: cost.gflops(),
            cases: evaluation.cases.len(),
            classes: evaluation.classes.clone(),
            dice: (0..evaluation.classes.len()).map(|c| evaluation.class(c)).collect(),
            mean_dice: evaluation.foreground(),
            // The sum of no lines (`inherit`) would be -0.
            seconds: self.dir.lines().iter().fold(0.0, |sum, line| sum + line.seconds),
        };
        self.dir.write_json("evaluation.json", &evaluation.summary())?;
        medvol::atomic_write(self.dir.file("evaluation.csv"), evaluation.csv().as_bytes())?;
        self.dir.write_json("result.json", &result)?;
        Ok((evaluation, result))
    }

    /// Refuses held-out images that could not be predicted in the memory there is, before a network
    /// like this is trained for hours.
    ///
    /// # Errors
    /// [`Error::Memory`]; or when a header cannot be read.
    pub fn check_scoring(&self, architecture: &Architecture) -> Result<()> {
        let model =
            Model::new(self.card(architecture.clone(), false), &self.device, self.config.seed);
        let predictor = ImagePredictor::new(slice::from_ref(&model), Options::of(&model))?;
        for files in &self.held_out_files {
            let opened = io::open(&files.images)?;
            let grid = opened.grid();
            predictor.check(&files.name, grid.shape, opened.raw_bytes())?;
            let needed = SCORED_VOXEL * grid.shape.iter().product::<usize>() as u64;
            if let Some(free) = memory::free().filter(|&free| free < needed) {
                return Err(Error::Memory {
                    name: files.name.clone(),
                    needed: memory::text(needed),
                    parts: "to score its prediction at the end of the run".into(),
                    allowed: memory::text(free),
                    remedy: "cut the image into parts, or take a machine with more memory".into(),
                });
            }
        }
        Ok(())
    }

    /// The description of a model of this run, whose weights have seen mirrored patches or not.
    pub fn card(&self, architecture: Architecture, mirrored: bool) -> Card {
        let mut card =
            Card::new(architecture, self.size(), self.plan.clone(), self.config.predict.clone());
        card.mirror = if mirrored { self.mirror() } else { Self::UNMIRRORED };
        card
    }
}

/// Mean of what is scored.
pub fn mean_of(dice: &[Option<f64>]) -> Option<f64> {
    mean_sd(dice.iter().flatten().copied()).map(|(mean, _)| mean)
}

/// Loss sums of an epoch that may be resumed in its middle, and the time spent in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    loss: f64,
    alpha_loss: f64,
    steps: usize,
    alpha_steps: usize,
    seconds: f64,
    waited: f64,
}

impl Tally {
    /// Adds the loss of a Θ step.
    pub fn add(&mut self, loss: f64) {
        self.loss += loss;
        self.steps += 1;
    }

    /// Adds the loss of an α step.
    pub fn add_alpha(&mut self, loss: f64) {
        self.alpha_loss += loss;
        self.alpha_steps += 1;
    }

    /// Adds the time since `start`, which becomes now.
    pub fn add_time(&mut self, start: &mut Instant) {
        let now = Instant::now();
        self.seconds += now.duration_since(std::mem::replace(start, now)).as_secs_f64();
    }

    /// Adds the time since `start`, of which nothing was done but wait for data.
    pub fn add_wait(&mut self, start: Instant) {
        self.waited += start.elapsed().as_secs_f64();
    }

    /// Mean loss of the Θ steps.
    pub fn mean(&self) -> f64 {
        self.loss / self.steps.max(1) as f64
    }

    /// Mean loss of the α steps, if there were any.
    pub fn alpha_mean(&self) -> Option<f64> {
        (self.alpha_steps > 0).then(|| self.alpha_loss / self.alpha_steps as f64)
    }

    /// Seconds spent.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Seconds of these spent waiting for data.
    pub fn waited_seconds(&self) -> f64 {
        self.waited
    }
}
