//! Training of a fixed architecture: `finetune` and `retrain` of a found network, random and
//! written architectures.

use serde::{Deserialize, Serialize};

use crate::data::patches::{Draw, Patches};
use crate::error::{Error, Result};
use crate::learn::average::Average;
use crate::learn::backprop::Backprop;
use crate::learn::batch::Batch;
use crate::learn::deep_supervision::DeepSupervision;
use crate::learn::loss::Lesson;
use crate::learn::optimiser::WeightAdam;
use crate::network::architecture::Architecture;
use crate::network::mixture::Mixture;
use crate::network::weights::{Tape, Weights};
use crate::observer::Observer;
use crate::random::{Stream, rng};
use crate::run::epochs::{self, At, Course, Kept, Levels, NotFinite, Phase, finite};
use crate::run::setup::Run;
use crate::run::teachers::Teachers;
use crate::run::validate::Judged;
use crate::settings::TrainConfig;
use crate::store::model::Model;

/// A network of a fixed architecture in training.
#[derive(Debug)]
pub(crate) struct Trainer<'a> {
    config: TrainConfig,
    seed: u64,
    recompute: bool,
    /// Number of training cases.
    cases: usize,
    model: &'a mut Model,
    teachers: Teachers,
    supervision: Option<DeepSupervision>,
    adam: WeightAdam,
    average: Option<Average>,
    state: State,
}

/// Weights, moments and average are all there is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {}

impl<'a> Trainer<'a> {
    /// Training at its beginning, on so many cases.
    pub fn new(
        model: &'a mut Model,
        teachers: Teachers,
        config: TrainConfig,
        seed: u64,
        recompute: bool,
        cases: usize,
    ) -> Self {
        let cells = model.network.cells().filter(|_| config.deep_supervision);
        let supervision =
            cells.map(|network| DeepSupervision::new(network, model.card.size, &mut model.weights));
        let adam = WeightAdam::new(config.weights, &model.weights);
        let average = (config.ema > 0.0).then(|| Average::new(&model.weights, config.ema));
        let state = State {};
        Self { config, seed, recompute, cases, model, teachers, supervision, adam, average, state }
    }

    /// What a step runs with: all operations, or those that are not left out of it.
    fn mixture(&self, step: u64) -> Mixture {
        let genotype = self.model.card.architecture.genotype();
        match genotype.filter(|_| self.config.drop_path > 0.0) {
            None => self.model.mixture(),
            Some(genotype) => {
                let mut rng = rng(self.seed, Stream::DropPath, step);
                let device = self.model.weights.device();
                Mixture::dropped(genotype, self.config.drop_path, device, &mut rng)
            }
        }
    }

    /// Leaves the model with its averaged weights, where there are any, and without what only
    /// training needs.
    fn finish(self) {
        if let Some(average) = self.average {
            self.model.weights = average.weights;
        }
        if let Some(supervision) = self.supervision {
            supervision.remove_from(&mut self.model.weights);
        }
    }
}

impl Phase for Trainer<'_> {
    const NAME: &'static str = "train";
    type State = State;

    fn course(&self) -> Course {
        let TrainConfig { epochs, batch, warmup_epochs, schedule, weights, .. } = self.config;
        let TrainConfig { augment, validate_every, .. } = self.config;
        let steps = self.cases.div_ceil(batch);
        Course { epochs, steps, warmup_epochs, schedule, lr: weights.lr, augment, validate_every }
    }

    fn draw(&self, patches: &Patches, epoch: usize) -> Result<Vec<Levels<Vec<Draw>>>> {
        let members: Vec<usize> = (0..self.cases).collect();
        let draws =
            patches.draw(&members, epoch, Stream::TrainPatches, Stream::TrainAugmentation)?;
        let step = |draws: &[Draw]| Levels { weights: draws.to_vec(), alpha: None };
        Ok(draws.chunks(self.config.batch).map(step).collect())
    }

    fn step(
        &mut self,
        batches: &Levels<Batch>,
        At { index, rate, .. }: At,
    ) -> Result<Levels<f64>, NotFinite> {
        let mixture = self.mixture(index as u64);
        let taught = self.teachers.say(&batches.weights);
        let weight = self.config.distill;
        let lesson = taught.as_deref().map(|probabilities| Lesson { probabilities, weight });
        let backprop = Backprop {
            network: self.model.network.as_ref(),
            weights: &self.model.weights,
            loss: self.config.loss,
            target: &self.model.card.plan.target,
            lesson,
            supervision: self.supervision.as_ref(),
            recompute: self.recompute,
        };
        let found = backprop.gradients(Tape::Weights, &batches.weights, &mixture);
        let (lr, clip) = (rate * self.config.weights.lr, self.config.clip());
        let norm = self.adam.step(&mut self.model.weights, found.weights, lr, clip);
        let weights = finite(found.loss, norm)?;
        if let Some(average) = &mut self.average {
            average.update(&self.model.weights, index + 1);
        }
        Ok(Levels { weights, alpha: None })
    }

    fn kept(&mut self) -> Kept<'_, State> {
        let Self { state, model, adam, average, .. } = self;
        let average = average.as_mut().map(|average| &mut average.weights);
        Kept { state, weights: &mut model.weights, adam, average }
    }

    fn judged(&self) -> Judged<'_> {
        let Self { model, average, .. } = self;
        let weights = average.as_ref().map_or(&model.weights, |average| &average.weights);
        Judged { network: model.network.as_ref(), weights, mixture: model.mixture() }
    }
}

/// The network of `architecture` with new weights, or those of the same name in `inherited`.
///
/// # Errors
/// [`Error::Inherit`] when `inherited` is of another size.
pub fn prepare(
    run: &Run,
    architecture: impl Into<Architecture>,
    inherited: Option<&Weights>,
) -> Result<Model> {
    let mirrored = inherited.is_some() && run.config.search.augment;
    let mut model =
        Model::new(run.card(architecture.into(), mirrored), &run.device, run.config.seed);
    let missing = inherited.map(|weights| model.weights.inherit(weights)).unwrap_or_default();
    match missing.into_iter().next() {
        Some(weight) => Err(Error::Inherit { weight }),
        None => Ok(model),
    }
}

/// Trains `model`, or resumes its training, with all training cases. Its weights are then the
/// averages, where the settings ask for them.
///
/// # Errors
/// [`Error::Stopped`] on request, with everything saved; [`Error::Diverged`]; files that cannot be
/// read or written.
pub fn train(run: &mut Run, model: &mut Model, observer: &dyn Observer) -> Result<()> {
    train_until(run, model, usize::MAX, observer)
}

/// As [`train`], until so many epochs are over; a later call goes on from there.
///
/// # Errors
/// Those of [`train`].
pub(super) fn train_until(
    run: &mut Run,
    model: &mut Model,
    epochs: usize,
    observer: &dyn Observer,
) -> Result<()> {
    let config = run.config.train.clone();
    if config.augment {
        model.card.mirror = run.mirror();
    }
    let (seed, recompute) = (run.config.seed, run.config.network.recompute);
    let teachers = std::mem::take(&mut run.teachers);
    let mut trainer = Trainer::new(model, teachers, config, seed, recompute, run.training.len());
    epochs::run_until(run, &mut trainer, epochs, observer)?;
    trainer.finish();
    Ok(())
}
