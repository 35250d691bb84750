//! Stochastic bi-level search (paper Algorithm 1): every iteration samples an architecture, takes
//! one step of Θ on a batch of the weights half and one of α on a batch of the architecture half; τ
//! falls from epoch to epoch.

use serde::{Deserialize, Serialize};

use crate::data::patches::{Draw, Patches};
use crate::error::Result;
use crate::learn::agreement::Halves;
use crate::learn::batch::Batch;
use crate::learn::optimiser::AlphaAdam;
use crate::learn::relaxation::{Alpha, Sample};
use crate::message::Agreement;
use crate::network::weights::Tape;
use crate::observer::SearchLine;
use crate::random::{Stream, rng};
use crate::ranks::Ranks;
use crate::run::course::Course;
use crate::run::epochs::{At, Kept, Levels, NotFinite, Phase, finite};
use crate::run::supernet::Supernet;
use crate::run::validate::Judged;
use crate::space::genotype::{EdgeShares, Genotype, Repair};

/// A search by α.
#[derive(Debug)]
pub(crate) struct Searcher {
    /// The network, with Θ.
    pub supernet: Supernet,
    /// What it knows of architectures.
    pub state: State,
}

/// α and its optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The logits.
    pub alpha: Alpha,
    alpha_adam: AlphaAdam,
    /// How sure it is. A checkpoint of an earlier version has none.
    #[serde(default)]
    halves: Halves,
}

impl Searcher {
    /// A search at its beginning.
    pub fn new(supernet: Supernet) -> Self {
        let alpha = Alpha::new(supernet.space(), supernet.seed);
        let alpha_adam = AlphaAdam::new(alpha.len());
        let state = State { alpha, alpha_adam, halves: Halves::default() };
        Self { supernet, state }
    }

    /// GumbelSoftmaxSample(α, τ) with the τ of an epoch.
    fn sample(&self, epoch: usize, draw: usize) -> Sample {
        let Supernet { config, seed, .. } = &self.supernet;
        let mut rng = rng(*seed, Stream::Sampling, draw as u64);
        self.state.alpha.sample(config.relaxation, config.tau_at(epoch), &mut rng)
    }

    /// Whether two halves of α's gradients say the same; `None` until both were heard.
    pub fn agreement(&self) -> Option<Agreement> {
        self.state.halves.agreement(self.supernet.space().operations.len())
    }

    /// The architecture as α stands.
    pub fn genotype(&self) -> (Genotype, Vec<Repair>) {
        Genotype::from_alpha(self.supernet.space(), &self.state.alpha.0)
    }
}

impl Phase for Searcher {
    const NAME: &'static str = "search";
    type State = State;

    fn course(&self) -> Course {
        Course::of_search(&self.supernet.config, self.supernet.halves.0.len())
    }

    fn draw(&self, patches: &Patches, epoch: usize) -> Result<Vec<Levels<Vec<Draw>>>> {
        // The halves have no case in common, so one stream of augmentations serves both.
        let Supernet { config, halves: (weights_half, alpha_half), .. } = &self.supernet;
        let (batch, augmentations) = (config.batch, Stream::SearchAugmentation);
        let draw = |members, places| patches.steps(members, batch, epoch, places, augmentations);
        let for_weights = draw(weights_half, Stream::WeightPatches)?;
        let for_alpha = draw(alpha_half, Stream::AlphaPatches)?;
        let warm = epoch >= config.warmup_epochs;
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
        ranks: &dyn Ranks,
    ) -> Result<Levels<f64>, NotFinite> {
        let mut sample = self.sample(epoch, 2 * index);
        let weights = self.supernet.learn(&batches.weights, &sample, rate, ranks)?;

        let Some(batch) = &batches.alpha else { return Ok(Levels { weights, alpha: None }) };
        if self.supernet.config.resample_for_alpha {
            sample = self.sample(epoch, 2 * index + 1);
        }
        let found = self.supernet.gradients(Tape::Architecture, batch, &sample, ranks);
        let gradient = sample.gradient(&found.mixture, self.supernet.space().operations.len());
        self.state.halves.add(index, &gradient);
        let (State { alpha, alpha_adam, .. }, config) =
            (&mut self.state, &self.supernet.config.alpha);
        let norm = alpha_adam.step(config, rate * config.lr, alpha.values_mut(), &gradient);
        Ok(Levels { weights, alpha: Some(finite(found.loss, norm)?) })
    }

    fn kept(&mut self) -> Kept<'_, State> {
        self.supernet.kept(&mut self.state)
    }

    fn judged(&self) -> Judged<'_> {
        self.supernet.judged(&self.genotype().0)
    }

    fn search_line(&self, epoch: usize, alpha_loss: Option<f64>) -> Option<SearchLine> {
        let (genotype, _) = self.genotype();
        let edges = EdgeShares::of(&genotype);
        let (tau, entropy) = (self.supernet.config.tau_at(epoch), self.state.alpha.mean_entropy());
        let (cells, agreement) = (genotype.cells(), self.agreement());
        Some(SearchLine { alpha_loss, tau, entropy, edges, cells, agreement, decide: None })
    }
}
