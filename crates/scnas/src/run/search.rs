//! Stochastic bi-level search (paper Algorithm 1): every iteration samples an architecture, takes
//! one step of Θ on a batch of the weights half and one of α on a batch of the architecture half; τ
//! falls from epoch to epoch.

use std::path::Path;

use burn::tensor::Device;
use medvol::Target;
use serde::{Deserialize, Serialize};

use crate::data::patches::{Draw, Patches, halves};
use crate::error::Result;
use crate::learn::backprop::{Backprop, LossGradients};
use crate::learn::batch::Batch;
use crate::learn::optimiser::{AlphaAdam, WeightAdam};
use crate::learn::relaxation::{Alpha, Sample};
use crate::network::cells::Network;
use crate::network::mixture::Mixture;
use crate::network::size::Size;
use crate::network::weights::{Tape, Weights};
use crate::observer::{Observer, SearchLine};
use crate::random::{Stream, rng};
use crate::run::epochs::{self, At, Course, Kept, Levels, NotFinite, Phase, finite};
use crate::run::setup::Run;
use crate::run::validate::Judged;
use crate::settings::{NetworkConfig, SearchConfig};
use crate::space::genotype::{EdgeShares, Genotype, Repair};
use crate::store::checkpoint;
use crate::store::run_folder::RunDir;

/// What a search ends with.
#[derive(Debug)]
pub struct Found {
    /// The architecture that α says.
    pub genotype: Genotype,
    /// Edges that had to be repaired.
    pub repairs: Vec<Repair>,
    /// Weights of the whole search network, to inherit from.
    pub weights: Weights,
}

/// A search network in training.
#[derive(Debug)]
pub(crate) struct Searcher {
    config: SearchConfig,
    seed: u64,
    network: Network,
    target: Target,
    weights: Weights,
    adam: WeightAdam,
    state: State,
    recompute: bool,
    /// Indices of the training cases for Θ and for α.
    halves: (Vec<usize>, Vec<usize>),
}

/// α and its optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    alpha: Alpha,
    alpha_adam: AlphaAdam,
}

impl Searcher {
    /// A search at its beginning, on cases of these halves.
    pub fn new(
        network: &NetworkConfig,
        (size, target): (Size, Target),
        config: SearchConfig,
        seed: u64,
        device: &Device,
        halves: (Vec<usize>, Vec<usize>),
    ) -> Self {
        let space = &network.space();
        let supernet = Network::supernet(space, size);
        let weights = Weights::new(device, seed, supernet.layout());
        let adam = WeightAdam::new(config.weights, &weights);
        let alpha = Alpha::new(space, seed);
        let state = State { alpha_adam: AlphaAdam::new(alpha.len()), alpha };
        let recompute = network.recompute;
        Self { config, seed, network: supernet, target, weights, adam, state, recompute, halves }
    }

    /// GumbelSoftmaxSample(α, τ) with the τ of an epoch.
    fn sample(&self, epoch: usize, draw: u64) -> Sample {
        let tau = self.config.tau_at(epoch);
        let mut rng = rng(self.seed, Stream::Sampling, draw);
        self.state.alpha.sample(self.config.relaxation, tau, &mut rng)
    }

    fn gradients(&self, tape: Tape, batch: &Batch, mixture: &Mixture) -> LossGradients {
        let Self { network, target, weights, config, recompute, .. } = self;
        let (loss, recompute) = (config.loss, *recompute);
        Backprop { network, weights, loss, target, lesson: None, supervision: None, recompute }
            .gradients(tape, batch, mixture)
    }

    /// The architecture as α stands.
    fn genotype(&self) -> (Genotype, Vec<Repair>) {
        Genotype::from_alpha(self.network.space(), &self.state.alpha.0)
    }
}

impl Phase for Searcher {
    const NAME: &'static str = "search";
    type State = State;

    fn course(&self) -> Course {
        let SearchConfig { epochs, batch, schedule, weights, augment, .. } = self.config;
        Course {
            epochs,
            steps: self.halves.0.len().div_ceil(batch),
            warmup_epochs: 0,
            schedule,
            lr: weights.lr,
            augment,
            validate_every: 1,
        }
    }

    fn draw(&self, patches: &Patches, epoch: usize) -> Result<Vec<Levels<Vec<Draw>>>> {
        // The halves have no case in common, so one stream of augmentations serves both.
        let draw = |members, places| -> Result<_> {
            let draws = patches.draw(members, epoch, places, Stream::SearchAugmentation)?;
            Ok(draws.chunks(self.config.batch).map(<[Draw]>::to_vec).collect::<Vec<_>>())
        };
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
        let device = self.weights.device().clone();
        let sample = self.sample(epoch, 2 * index as u64);
        let found =
            self.gradients(Tape::Weights, &batches.weights, &sample.mixture(&device, false));
        let (lr, clip) = (rate * self.config.weights.lr, self.config.clip());
        let norm = self.adam.step(&mut self.weights, found.weights, lr, clip);
        let weights = finite(found.loss, norm)?;

        let Some(batch) = &batches.alpha else { return Ok(Levels { weights, alpha: None }) };
        let sample = match self.config.resample_for_alpha {
            true => self.sample(epoch, 2 * index as u64 + 1),
            false => sample,
        };
        let found = self.gradients(Tape::Architecture, batch, &sample.mixture(&device, true));
        let gradient = sample.gradient(&found.mixture, self.network.space().operations.len());
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let alpha = Some(finite(found.loss, norm)?);
        let (State { alpha: logits, alpha_adam }, config) = (&mut self.state, &self.config.alpha);
        alpha_adam.step(config, rate * config.lr, logits.values_mut(), &gradient);
        Ok(Levels { weights, alpha })
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
        let (genotype, _) = self.genotype();
        let EdgeShares { zero, identity, pool } = EdgeShares::of(&genotype);
        let (tau, entropy) = (self.config.tau_at(epoch), self.state.alpha.mean_entropy());
        let cells = genotype.cells();
        Some(SearchLine { alpha_loss, tau, entropy, zero, identity, pool, cells })
    }
}

/// Runs or resumes a search to its end, and writes the architecture and α.
///
/// # Errors
/// [`Error::Stopped`](crate::Error::Stopped) on request, with everything saved;
/// [`Error::Diverged`](crate::Error::Diverged); files that cannot be read or written.
pub fn search(run: &mut Run, observer: &dyn Observer) -> Result<Found> {
    let halves = halves(run.training.len(), run.config.seed, run.plan.fold);
    let Run { config, device, .. } = &*run;
    let mut searcher = Searcher::new(
        &config.network,
        (run.size(), run.plan.target.clone()),
        config.search.clone(),
        config.seed,
        device,
        halves,
    );
    epochs::run(run, &mut searcher, observer)?;
    let (genotype, repairs) = searcher.genotype();
    run.dir.write_json("genotype.json", &genotype)?;
    run.dir.write_json("alpha.json", &searcher.state.alpha)?;
    Ok(Found { genotype, repairs, weights: searcher.weights })
}

/// The weights that the search of another run ended with, to inherit from.
///
/// # Errors
/// When there is no checkpoint of a search in `run_folder`, or it cannot be read.
pub fn weights_of(run_folder: &Path, device: &Device) -> Result<Weights> {
    checkpoint::weights(&RunDir::checkpoint_in(run_folder, Searcher::NAME), device)
}
