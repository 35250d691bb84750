//! Stochastic bi-level search (paper Algorithm 1): every iteration samples an architecture, takes
//! one step of Θ on a batch of the weights half and one of α on a batch of the architecture half; τ
//! falls from epoch to epoch.

use burn::tensor::Device;
use medvol::Target;
use serde::{Deserialize, Serialize};

use crate::data::patches::{Draw, Patches};
use crate::error::Result;
use crate::learn::backprop::{Backprop, LossGradients};
use crate::learn::batch::Batch;
use crate::learn::optimiser::{AlphaAdam, WeightAdam};
use crate::learn::relaxation::{Alpha, Sample};
use crate::network::cells::Network;
use crate::network::mixture::Mixture;
use crate::network::size::Size;
use crate::network::weights::{Tape, Weights};
use crate::observer::SearchLine;
use crate::random::{Stream, rng};
use crate::run::course::Course;
use crate::run::epochs::{At, Kept, Levels, NotFinite, Phase, finite};
use crate::run::validate::Judged;
use crate::settings::{Config, SearchConfig};
use crate::space::genotype::{EdgeShares, Genotype, Repair};

/// A search network in training.
#[derive(Debug)]
pub(crate) struct Searcher {
    config: SearchConfig,
    seed: u64,
    recompute: bool,
    network: Network,
    target: Target,
    /// Of the whole search network.
    pub weights: Weights,
    adam: WeightAdam,
    /// What it knows of architectures.
    pub state: State,
    /// Indices of the training cases for Θ and for α.
    halves: (Vec<usize>, Vec<usize>),
}

/// α and its optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The logits.
    pub alpha: Alpha,
    alpha_adam: AlphaAdam,
}

impl Searcher {
    /// A search at its beginning, on cases of these halves.
    pub fn new(
        config: &Config,
        (size, target): (Size, Target),
        device: &Device,
        halves: (Vec<usize>, Vec<usize>),
    ) -> Self {
        let (seed, recompute) = (config.seed, config.network.recompute);
        let (space, config) = (config.network.space(), config.search.clone());
        let network = Network::supernet(&space, size);
        let weights = Weights::new(device, seed, network.layout());
        let adam = WeightAdam::new(config.weights, &weights);
        let alpha = Alpha::new(&space, seed);
        let state = State { alpha_adam: AlphaAdam::new(alpha.len()), alpha };
        Self { config, seed, recompute, network, target, weights, adam, state, halves }
    }

    /// GumbelSoftmaxSample(α, τ) with the τ of an epoch.
    fn sample(&self, epoch: usize, draw: usize) -> Sample {
        let tau = self.config.tau_at(epoch);
        let mut rng = rng(self.seed, Stream::Sampling, draw as u64);
        self.state.alpha.sample(self.config.relaxation, tau, &mut rng)
    }

    fn gradients(&self, tape: Tape, batch: &Batch, sample: &Sample) -> LossGradients {
        let Self { network, target, weights, config, recompute, .. } = self;
        let mixture = sample.mixture(weights.device(), tape == Tape::Architecture);
        let (loss, recompute) = (config.loss, *recompute);
        Backprop { network, weights, loss, target, lesson: None, supervision: None, recompute }
            .gradients(tape, batch, &mixture)
    }

    /// The architecture as α stands.
    pub fn genotype(&self) -> (Genotype, Vec<Repair>) {
        Genotype::from_alpha(self.network.space(), &self.state.alpha.0)
    }
}

impl Phase for Searcher {
    const NAME: &'static str = "search";
    type State = State;

    fn course(&self) -> Course {
        Course::of_search(&self.config, self.halves.0.len())
    }

    fn draw(&self, patches: &Patches, epoch: usize) -> Result<Vec<Levels<Vec<Draw>>>> {
        // The halves have no case in common, so one stream of augmentations serves both.
        let (batch, augmentations) = (self.config.batch, Stream::SearchAugmentation);
        let draw = |members, places| patches.steps(members, batch, epoch, places, augmentations);
        let for_weights = draw(&self.halves.0, Stream::WeightPatches)?;
        let for_alpha = draw(&self.halves.1, Stream::AlphaPatches)?;
        let warm = epoch >= self.config.warmup_epochs;
        // The halves differ by one case at most: the last α batch may serve twice.
        let alpha = |step| for_alpha.get(step).or(for_alpha.last()).filter(|_| warm).cloned();
        let steps = for_weights.into_iter().enumerate();
        Ok(steps.map(|(step, weights)| Levels { weights, alpha: alpha(step) }).collect())
    }

    /// The Θ step; then, unless it is left out (warm-up), the α step.
    fn step(
        &mut self,
        batches: &Levels<Batch>,
        At { epoch, index, rate }: At,
    ) -> Result<Levels<f64>, NotFinite> {
        let mut sample = self.sample(epoch, 2 * index);
        let found = self.gradients(Tape::Weights, &batches.weights, &sample);
        let (lr, clip) = (rate * self.config.weights.lr, self.config.clip());
        let norm = self.adam.step(&mut self.weights, found.weights, lr, clip);
        let weights = finite(found.loss, norm)?;

        let Some(batch) = &batches.alpha else { return Ok(Levels { weights, alpha: None }) };
        if self.config.resample_for_alpha {
            sample = self.sample(epoch, 2 * index + 1);
        }
        let found = self.gradients(Tape::Architecture, batch, &sample);
        let gradient = sample.gradient(&found.mixture, self.network.space().operations.len());
        let State { alpha, alpha_adam } = &mut self.state;
        let lr = rate * self.config.alpha.lr;
        let norm = alpha_adam.step(&self.config.alpha, lr, alpha.values_mut(), &gradient);
        Ok(Levels { weights, alpha: Some(finite(found.loss, norm)?) })
    }

    fn kept(&mut self) -> Kept<'_, State> {
        let Self { state, weights, adam, .. } = self;
        Kept { state, weights, adam, average: None }
    }

    /// The architecture as α stands, with the search's weights: what `inherit` would give.
    fn judged(&self) -> Judged<'_> {
        let mixture = Mixture::of(&self.genotype().0);
        Judged { network: &self.network, weights: &self.weights, mixture }
    }

    fn search_line(&self, epoch: usize, alpha_loss: Option<f64>) -> Option<SearchLine> {
        let EdgeShares { zero, identity, pool } = EdgeShares::of(&self.genotype().0);
        let (tau, entropy) = (self.config.tau_at(epoch), self.state.alpha.mean_entropy());
        Some(SearchLine { alpha_loss, tau, entropy, zero, identity, pool, decide: None })
    }
}
