//! The network of a search, which has every operation on every edge, with its weights in training:
//! what all ways to search have in common.

use burn::tensor::Device;
use medvol::Target;

use crate::learn::backprop::{Backprop, LossGradients};
use crate::learn::batch::Batch;
use crate::learn::optimiser::WeightAdam;
use crate::learn::relaxation::Sample;
use crate::network::cells::Network;
use crate::network::mixture::Mixture;
use crate::network::size::Size;
use crate::network::weights::{Tape, Weights};
use crate::ranks::Ranks;
use crate::run::epochs::{Kept, NotFinite, finite};
use crate::run::validate::Judged;
use crate::settings::{Config, SearchConfig};
use crate::space::genotype::Genotype;
use crate::space::topology::Space;

/// A search network in training.
#[derive(Debug)]
pub(crate) struct Supernet {
    /// Settings of the search.
    pub config: SearchConfig,
    /// Of the random streams.
    pub seed: u64,
    recompute: bool,
    network: Network,
    target: Target,
    /// Θ.
    pub weights: Weights,
    adam: WeightAdam,
    /// Indices of the training cases for Θ and for what judges operations.
    pub halves: (Vec<usize>, Vec<usize>),
}

impl Supernet {
    /// With new weights, for cases of these halves.
    pub fn new(
        config: &Config,
        (size, target): (Size, Target),
        device: &Device,
        halves: (Vec<usize>, Vec<usize>),
    ) -> Self {
        let (seed, recompute) = (config.seed, config.network.recompute);
        let network = Network::supernet(&config.network.space(), size);
        let weights = Weights::new(device, seed, network.layout());
        let config = config.search.clone();
        let adam = WeightAdam::new(config.weights, &weights);
        Self { config, seed, recompute, network, target, weights, adam, halves }
    }

    /// What is searched.
    pub fn space(&self) -> &Space {
        self.network.space()
    }

    /// Loss and gradients of a batch, whose other parts `ranks` have, with the operations that were
    /// drawn.
    pub fn gradients(
        &self,
        tape: Tape,
        batch: &Batch,
        sample: &Sample,
        ranks: &dyn Ranks,
    ) -> LossGradients {
        let Self { network, target, weights, config, recompute, .. } = self;
        let mixture = sample.mixture(weights.device(), tape == Tape::Architecture);
        let (loss, recompute, lesson, supervision) = (config.loss, *recompute, None, None);
        Backprop { network, weights, loss, target, lesson, supervision, recompute, ranks }
            .gradients(tape, batch, &mixture)
    }

    /// A step of Θ, with this factor on its learning rate; the loss before it.
    pub fn learn(
        &mut self,
        batch: &Batch,
        sample: &Sample,
        rate: f64,
        ranks: &dyn Ranks,
    ) -> Result<f64, NotFinite> {
        let found = self.gradients(Tape::Weights, batch, sample, ranks);
        let (lr, clip) = (rate * self.config.weights.lr, self.config.clip());
        let norm = self.adam.step(&mut self.weights, found.weights, lr, clip);
        finite(found.loss, norm)
    }

    /// What a checkpoint holds, with the `state` of a way to search.
    pub fn kept<'a, S>(&'a mut self, state: &'a mut S) -> Kept<'a, S> {
        let Self { weights, adam, .. } = self;
        Kept { state, weights, adam, average: None }
    }

    /// An architecture with the search's weights: what `inherit` would give.
    pub fn judged(&self, genotype: &Genotype) -> Judged<'_> {
        let mixture = Mixture::of(genotype);
        Judged { network: &self.network, weights: &self.weights, mixture }
    }
}
