//! A search that decides when it knows: a long warm-up of Θ; then, while Θ goes on learning, it
//! gathers what the gradients say of operations, and drops those that are shown to be worse; at last
//! what is left, one operation an edge, is trained on all training cases.
//!
//! α is not learnt: operations that are left are drawn alike. What they are worth is estimated by
//! [`Decisions`].

use burn::tensor::Device;
use medvol::Target;

use crate::data::patches::{Draw, Patches};
use crate::error::Result;
use crate::learn::backprop::{Backprop, LossGradients};
use crate::learn::batch::Batch;
use crate::learn::deciding::decisions::{Decisions, Rule};
use crate::learn::optimiser::WeightAdam;
use crate::learn::relaxation::{Alpha, Sample};
use crate::network::cells::Network;
use crate::network::mixture::Mixture;
use crate::network::size::Size;
use crate::network::weights::{Tape, Weights};
use crate::observer::{DecideLine, SearchLine};
use crate::random::{Stream, rng};
use crate::run::course::Course;
use crate::run::epochs::{At, Kept, Levels, NotFinite, Phase, finite};
use crate::run::search::Searcher;
use crate::run::validate::Judged;
use crate::settings::{Config, DecideConfig, SearchConfig};
use crate::space::genotype::{EdgeShares, Genotype, Repair};
use crate::space::topology::Space;

/// A deciding search network in training.
#[derive(Debug)]
pub(crate) struct Decider {
    config: SearchConfig,
    decide: DecideConfig,
    seed: u64,
    network: Network,
    target: Target,
    /// Of the whole search network.
    pub weights: Weights,
    adam: WeightAdam,
    /// What it knows of architectures.
    pub decisions: Decisions,
    recompute: bool,
    /// Indices of the training cases for Θ and for what is decided.
    halves: (Vec<usize>, Vec<usize>),
}

/// What is done in an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    WarmUp,
    Deciding,
    Settling,
}

impl Decider {
    /// A search at its beginning, on cases of these halves.
    pub fn new(
        config: &Config,
        decide: DecideConfig,
        (size, target): (Size, Target),
        device: &Device,
        halves: (Vec<usize>, Vec<usize>),
    ) -> Self {
        let (seed, recompute) = (config.seed, config.network.recompute);
        let space = &config.network.space();
        let config = config.search.clone();
        let supernet = Network::supernet(space, size);
        let weights = Weights::new(device, seed, supernet.layout());
        let adam = WeightAdam::new(config.weights, &weights);
        let (decisions, network) = (Decisions::new(space), supernet);
        Self { config, decide, seed, network, target, weights, adam, decisions, recompute, halves }
    }

    fn space(&self) -> &Space {
        self.network.space()
    }

    fn stage(&self, epoch: usize) -> Stage {
        match epoch {
            epoch if epoch < self.config.warmup_epochs => Stage::WarmUp,
            epoch if epoch < self.settled_from() => Stage::Deciding,
            _ => Stage::Settling,
        }
    }

    /// The first epoch in which all is decided.
    fn settled_from(&self) -> usize {
        self.config.epochs - self.decide.settling_epochs(self.config.epochs)
    }

    fn sample(&self, draw: usize) -> Sample {
        self.decisions.sample(&mut rng(self.seed, Stream::Sampling, draw as u64))
    }

    fn gradients(&self, tape: Tape, batch: &Batch, sample: &Sample) -> LossGradients {
        let Self { network, target, weights, config, recompute, .. } = self;
        let mixture = sample.mixture(weights.device(), tape == Tape::Architecture);
        let (loss, recompute) = (config.loss, *recompute);
        Backprop { network, weights, loss, target, lesson: None, supervision: None, recompute }
            .gradients(tape, batch, &mixture)
    }

    /// The architecture as it stands; while nothing is known, the one that α would begin with.
    pub fn genotype(&self) -> (Genotype, Vec<Repair>) {
        match self.decisions.is_blank() {
            true => Genotype::from_alpha(self.space(), &Alpha::new(self.space(), self.seed).0),
            false => self.decisions.genotype(self.space()),
        }
    }

    /// Drops what is known to be worse; so much more, the most certain first, that one operation an
    /// edge is left at the end of the last deciding epoch, as many being dropped in each.
    fn drop_worse(&mut self, epoch: usize) {
        let deciding = self.settled_from() - self.config.warmup_epochs;
        let to_come = self.settled_from() - epoch - 1;
        let space = self.network.space();
        let all = Decisions::new(space).beside_best();
        let rule = Rule { errors: self.decide.errors, beside_best: all * to_come / deciding };
        self.decisions.drop_worse(space, epoch, rule);
    }
}

impl Phase for Decider {
    const NAME: &'static str = Searcher::NAME;
    type State = Decisions;

    fn course(&self) -> Course {
        let (first, second) = &self.halves;
        let cases = [first.len(), first.len() + second.len()];
        Course::of_deciding(&self.config, self.settled_from(), cases)
    }

    fn draw(&self, patches: &Patches, epoch: usize) -> Result<Vec<Levels<Vec<Draw>>>> {
        let (for_weights, for_deciding) = &self.halves;
        let draw = |members: &[usize], epoch, places| {
            patches.draw(members, epoch, places, Stream::SearchAugmentation)
        };
        let stage = self.stage(epoch);
        let members = match stage {
            Stage::Settling => [&**for_weights, for_deciding].concat(),
            Stage::WarmUp | Stage::Deciding => for_weights.clone(),
        };
        let draws = draw(&members, epoch, Stream::WeightPatches)?;
        let steps = draws.chunks(self.config.batch).map(<[Draw]>::to_vec);
        // As many rounds of the other half as a step has patches of it.
        let each = self.decide.patches;
        let mut seen = Vec::new();
        if stage == Stage::Deciding {
            for round in 0..each {
                seen.extend(draw(for_deciding, epoch * each + round, Stream::AlphaPatches)?);
            }
        }
        // The halves differ by one case at most: the last step takes the first patches again.
        let mut seen = seen.iter().cycle().cloned();
        let step = |weights| {
            let patches: Vec<Draw> = seen.by_ref().take(each).collect();
            Levels { weights, alpha: (!patches.is_empty()).then_some(patches) }
        };
        Ok(steps.map(step).collect())
    }

    /// The Θ step; while it is decided, then what the gradients of the other half's patches say.
    fn step(
        &mut self,
        batches: &Levels<Batch>,
        At { epoch, index, rate }: At,
    ) -> Result<Levels<f64>, NotFinite> {
        let each = self.decide.patches;
        let sample = self.sample(index * (1 + each));
        let found = self.gradients(Tape::Weights, &batches.weights, &sample);
        let (lr, clip) = (rate * self.config.weights.lr, self.config.clip());
        let norm = self.adam.step(&mut self.weights, found.weights, lr, clip);
        let weights = finite(found.loss, norm)?;

        let Some(batch) = &batches.alpha else { return Ok(Levels { weights, alpha: None }) };
        let mut sum = 0.0;
        for (n, patch) in batch.patches().enumerate() {
            let sample = self.sample(index * (1 + each) + 1 + n);
            let found = self.gradients(Tape::Architecture, &patch, &sample);
            let squares = found.mixture.edges().flatten().map(|g| g.by_z * g.by_z);
            sum += finite(found.loss, squares.sum::<f64>().sqrt())?;
            let draw = index * each + n;
            self.decisions.observe(draw, &sample, &found.mixture, self.network.space());
        }
        if index + 1 == self.course().before(epoch + 1) {
            self.drop_worse(epoch);
        }
        Ok(Levels { weights, alpha: Some(sum / each as f64) })
    }

    fn kept(&mut self) -> Kept<'_, Decisions> {
        let Self { decisions, weights, adam, .. } = self;
        Kept { state: decisions, weights, adam, average: None }
    }

    /// The architecture as it stands, with the search's weights: what `inherit` would give.
    fn judged(&self) -> Judged<'_> {
        let mixture = Mixture::of(&self.genotype().0);
        Judged { network: &self.network, weights: &self.weights, mixture }
    }

    fn search_line(&self, _epoch: usize, alpha_loss: Option<f64>) -> Option<SearchLine> {
        let EdgeShares { zero, identity, pool } = EdgeShares::of(&self.genotype().0);
        let left: Vec<f64> = self.decisions.left().iter().map(|left| left.len() as f64).collect();
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / left.len() as f64;
        // Those that are left are drawn alike, as with equal α, and no temperature sharpens ẑ.
        let entropy = mean(left.iter().map(|left| left.ln()).collect());
        let agreement = self.decisions.agreement(self.space());
        let decide = Some(DecideLine { left: mean(left.clone()), agreement });
        Some(SearchLine { alpha_loss, tau: 1.0, entropy, zero, identity, pool, decide })
    }
}

#[cfg(test)]
mod tests {
    use medvol::phantom::phantom;
    use medvol::{ClassMap, Label, preprocess};

    use super::*;
    use crate::data::kept::KeptCase;
    use crate::learn::schedule::Plateau;

    /// A search of five cases with two epochs of warm-up, two that decide, two that settle.
    fn decider() -> Decider {
        let overrides = [
            "network.width=4",
            "search.epochs=6",
            "search.warmup_epochs=2",
            "search.decide={ patches = 3, settle = 0.33 }",
            "search.strategy=bi-level",
            "search.schedule=cosine",
        ];
        let config = Config::load("default", None, &overrides.map(String::from)).unwrap();
        let grid = config.network.grid([8; 3], [1.0; 3]);
        let size = Size { channels: 1, classes: 3, width: 4, grid };
        let decide = config.search.decide.unwrap();
        let (device, halves) = (crate::device("cpu").unwrap(), (vec![4, 0, 2], vec![3, 1]));
        Decider::new(&config, decide, (size, Target::Classes), &device, halves)
    }

    fn cases() -> Vec<KeptCase> {
        let listed = [0, 1, 2].map(|value| Label { value, name: value.to_string() });
        let map = ClassMap::new(&listed);
        let case = |seed| {
            let (image, labels) = phantom(seed, 0, 3.0);
            preprocess("case", &image, Some(&labels), &map, [3.0; 3], &[]).unwrap()
        };
        (1..6).map(|seed| KeptCase::from(case(seed))).collect()
    }

    #[test]
    fn operations_are_judged_between_warm_up_and_settling_which_trains_on_all_cases() {
        let (decider, cases) = (decider(), cases());
        let patches =
            Patches { cases: &cases, patch: [8; 3], foreground: 0.3, augment: None, seed: 0 };
        let stream = Stream::SearchAugmentation;
        assert_eq!(decider.course().steps, [3, 3, 3, 3, 5, 5]);
        for epoch in 0..6 {
            let steps = decider.draw(&patches, epoch).unwrap();
            assert_eq!(steps.len(), decider.course().steps[epoch]);
            let members: &[usize] = if epoch < 4 { &[4, 0, 2] } else { &[4, 0, 2, 3, 1] };
            let for_weights: Vec<Draw> = steps.iter().flat_map(|s| s.weights.clone()).collect();
            let all = patches.draw(members, epoch, Stream::WeightPatches, stream).unwrap();
            assert_eq!(for_weights, all);
            for (n, step) in steps.iter().enumerate() {
                assert_eq!(step.alpha.as_ref().map(Vec::len), (2..4).contains(&epoch).then_some(3));
                // Three rounds of the other half's two cases, then the first patches again.
                if let Some(alpha) = step.alpha.as_ref().filter(|_| n < 2) {
                    let rounds = (0..3).flat_map(|round| {
                        let epoch = epoch * 3 + round;
                        patches.draw(&[3, 1], epoch, Stream::AlphaPatches, stream).unwrap()
                    });
                    assert_eq!(*alpha, rounds.skip(3 * n).take(3).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn everything_is_decided_when_settling_begins() {
        let mut decider = decider();
        for epoch in 2..4 {
            decider.drop_worse(epoch);
        }
        assert_eq!(decider.decisions.beside_best(), 0);
        // The rate falls from there only.
        let course = decider.course();
        let rate = |index| course.rate(index, &Plateau::default());
        assert!(rate(11) == 1.0 && rate(12) == 1.0 && rate(13) < 1.0 && rate(21) > 0.0);
        decider.decide.settle = 0.0;
        assert_eq!(decider.course().rate(17, &Plateau::default()), 1.0);
    }
}
