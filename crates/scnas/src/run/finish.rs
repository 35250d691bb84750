//! The end of a run: the model, predictions of the held-out cases on their own grids, and their
//! scores; and, before a run, whether there will be room for that.

use std::path::Path;
use std::slice;

use medvol::io;
use medvol::sliding::Sliding;

use crate::error::{CasesFault, Error, Purpose, Result};
use crate::message::Message;
use crate::network::architecture::Architecture;
use crate::observer::{Observer, Within};
use crate::predict::image::{ImagePredictor, Options};
use crate::report::evaluation::{Evaluation, TOLERANCE_MM, score};
use crate::report::held_out::HeldOut;
use crate::report::html;
use crate::report::result::{MadeWith, Origin, RunResult, read_run};
use crate::run::setup::Run;
use crate::settings::{Config, PredictConfig};
use crate::store::model::{MODEL, Model};
use crate::store::run_folder::HELD_OUT;

/// Most bytes that scoring takes a voxel: two label maps of two, and for the class looked at two
/// masks, their surfaces, distances along one axis.
const SCORED_VOXEL: u64 = 2 * 2 + 2 + 2 + 2;

/// Most bytes that validating between epochs takes a voxel of a preprocessed case, sums of windows
/// apart: two maps of classes, and both as labels.
const VALIDATED_VOXEL: u64 = 2 + 2 * 2;

/// Writes the page about a finished run or cross-validation, where the settings ask for it. What is
/// wrong with it does not undo the run.
pub(super) fn write_report(folder: &Path, config: &Config, observer: &dyn Observer) {
    if !config.log.report {
        return;
    }
    if let Err(error) = html::write(folder) {
        observer.message(&Message::NoReport { folder: folder.into(), error });
    }
}

impl Run<'_> {
    /// Writes the model, predicts the held-out cases on their own grids, and writes predictions,
    /// evaluation, result and the page about it. `origin` says how the network came to be. Of several
    /// ranks the first does that, and the others read it.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn finish(
        &self,
        origin: Origin,
        model: &Model,
        observer: &dyn Observer,
    ) -> Result<(RunResult, Evaluation)> {
        if !self.ranks.is_first() {
            self.ranks.wait();
            return read_run(self.dir.path());
        }
        model.write(&self.dir.file(MODEL))?;
        let predictions = self.dir.file("predictions");
        std::fs::create_dir_all(&predictions)
            .map_err(|e| Error::file("create", &predictions, e))?;
        let mut evaluation = Evaluation::new(self.plan.foreground(), TOLERANCE_MM);
        let scored = self.plan.scored();
        observer.begin("scoring held-out cases", 0, self.held_out_files.len());
        let predictor = ImagePredictor::new(slice::from_ref(model), self.options(model))?;
        for (done, files) in self.held_out_files.iter().enumerate() {
            let opened = io::open(&files.images)?.checked(self.plan.channels.len())?;
            let header = opened.header().clone();
            let image = opened.raw()?;
            let predicted = predictor
                .predict(&files.name, &image, &Within(observer))?
                .labels(&self.plan.labels);
            drop(image);
            let file = format!("{}{}", files.name, io::default_ending());
            io::create(predictions.join(file))?.like(&header).labels(&predicted)?;
            let labels = self.cohort.dataset.load_labels(files)?;
            let labels = labels.ok_or_else(|| CasesFault::NoLabels { case: files.name.clone() })?;
            let case = score(&files.name, &predicted, &labels, &scored, TOLERANCE_MM)
                .map_err(|source| CasesFault::Shapes { case: files.name.clone(), source })?;
            evaluation.cases.push(case);
            observer.advance(done + 1);
        }
        let cost = model.card.architecture.cost(model.card.size, self.plan.patch);
        let Origin { network, seconds, race } = origin;
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
            seconds: self.dir.lines().iter().fold(seconds, |sum, line| sum + line.seconds),
            race,
            made_with: Some(MadeWith::here()),
        };
        self.dir.write_json("evaluation.json", &evaluation.summary())?;
        medvol::atomic_write(self.dir.file("evaluation.csv"), evaluation.csv().as_bytes())?;
        self.dir.write_json(HELD_OUT, &HeldOut::of(&self.held_out_files))?;
        self.dir.write_json("result.json", &result)?;
        write_report(self.dir.path(), &self.config, observer);
        self.ranks.wait();
        Ok((result, evaluation))
    }

    fn options(&self, model: &Model) -> Options {
        Options { memory: self.config.data.memory_allowed(), ..Options::of(model) }
    }

    /// Refuses held-out images that could not be predicted in the memory there is, before a network
    /// like this is trained for hours.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(super) fn check_scoring(&self, architecture: &Architecture) -> Result<()> {
        let model =
            Model::new(self.card(architecture.clone(), false), &self.device, self.config.seed);
        let predictor = ImagePredictor::new(slice::from_ref(&model), self.options(&model))?;
        predictor.measure_window()?;
        let free = self.config.data.memory_free();
        for files in &self.held_out_files {
            let header = self.cohort.header(files)?;
            predictor.foresee(&files.name, &header.grid, header.raw_bytes)?;
            let own = header.grid.shape.iter().product::<usize>() as u64;
            let shape = header.resampled(self.plan.spacing).map(|extent| extent.round() as usize);
            let shape = shape.map(|extent| extent.max(1));
            let PredictConfig { overlap, blend, .. } = self.config.predict;
            let sliding = Sliding::new(self.size().classes, shape, self.plan.patch, overlap, blend);
            let sums = sliding.bytes(sliding.most_strips());
            let validated = VALIDATED_VOXEL * shape.iter().product::<usize>() as u64 + sums;
            let needed = validated.max(SCORED_VOXEL * own);
            if let Some(allowed) = free.filter(|&free| free < needed) {
                let purpose = Purpose::Scoring { name: files.name.clone() };
                return Err(Error::Memory { purpose, needed, allowed });
            }
        }
        Ok(())
    }
}
