//! Training of a fixed architecture: `finetune` and `retrain` of a found network, random and
//! written architectures.

use serde::{Deserialize, Serialize};

use crate::data::patches::{Draw, Patches};
use crate::error::Result;
use crate::learn::average::Average;
use crate::learn::backprop::Backprop;
use crate::learn::batch::Batch;
use crate::learn::deep_supervision::DeepSupervision;
use crate::learn::loss::Lesson;
use crate::learn::optimiser::WeightAdam;
use crate::network::weights::Tape;
use crate::random::{Stream, rng};
use crate::ranks::Ranks;
use crate::run::course::Course;
use crate::run::epochs::{At, Kept, Levels, NotFinite, Phase, finite};
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
    /// Training of `model` at its beginning. The run's teachers are its own from now on.
    pub fn new(run: &mut Run, model: &'a mut Model) -> Self {
        let teachers = std::mem::take(&mut run.teachers);
        let (config, seed) = (run.config.train.clone(), run.config.seed);
        let (recompute, cases) = (run.config.network.recompute, run.training.len());
        let cells = model.network.cells().filter(|_| config.deep_supervision);
        let supervision =
            cells.map(|network| DeepSupervision::new(network, model.card.size, &mut model.weights));
        let adam = WeightAdam::new(config.weights, &model.weights);
        let average = (config.ema > 0.0).then(|| Average::new(&model.weights, config.ema));
        let state = State {};
        Self { config, seed, recompute, cases, model, teachers, supervision, adam, average, state }
    }

    /// Leaves the model with its averaged weights, where there are any, and without what only
    /// training needs.
    pub fn finish(self) {
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
        Course::of_training(&self.config, self.cases)
    }

    fn draw(&self, patches: &Patches, epoch: usize) -> Result<Vec<Levels<Vec<Draw>>>> {
        let (members, batch) = ((0..self.cases).collect::<Vec<_>>(), self.config.batch);
        let (places, augmentations) = (Stream::TrainPatches, Stream::TrainAugmentation);
        // A round is what an epoch would be where each case gives one patch.
        let rounds = self.config.rounds(self.cases);
        let mut steps = Vec::new();
        for round in epoch * rounds..(epoch + 1) * rounds {
            steps.extend(patches.steps(&members, batch, round, places, augmentations)?);
        }
        Ok(steps.into_iter().map(|weights| Levels { weights, alpha: None }).collect())
    }

    fn step(
        &mut self,
        batches: &Levels<Batch>,
        At { index, rate, .. }: At,
        ranks: &dyn Ranks,
    ) -> Result<Levels<f64>, NotFinite> {
        let mut rng = rng(self.seed, Stream::DropPath, index as u64);
        let (architecture, device) = (&self.model.card.architecture, self.model.weights.device());
        let mixture = architecture.dropped(self.config.drop_path, device, &mut rng);
        let weight = self.config.distill;
        let taught = (weight > 0.0).then(|| self.teachers.say(&batches.weights)).flatten();
        let lesson = taught.as_deref().map(|probabilities| Lesson { probabilities, weight });
        let backprop = Backprop {
            network: self.model.network.as_ref(),
            weights: &self.model.weights,
            loss: self.config.loss,
            target: &self.model.card.plan.target,
            lesson,
            supervision: self.supervision.as_ref(),
            recompute: self.recompute,
            ranks,
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
