//! A search that decides when it knows: a long warm-up of Θ; then, while Θ goes on learning, it
//! gathers what the gradients say of operations, and drops those that are shown to be worse; at last
//! what is left, one operation an edge, is trained on all training cases.
//!
//! α is not learnt: operations that are left are drawn alike. What they are worth is estimated by
//! [`Decisions`].

use std::iter;

use crate::data::patches::{Draw, Patches};
use crate::error::Result;
use crate::learn::backprop::LossGradients;
use crate::learn::batch::Batch;
use crate::learn::deciding::decisions::{Decisions, Rule};
use crate::learn::relaxation::{Alpha, Sample};
use crate::network::weights::Tape;
use crate::observer::{DecideLine, SearchLine};
use crate::random::{Stream, rng};
use crate::ranks::{Alone, Ranks};
use crate::run::course::Course;
use crate::run::epochs::{At, Kept, Levels, NotFinite, Phase, finite};
use crate::run::search::Searcher;
use crate::run::supernet::Supernet;
use crate::run::validate::Judged;
use crate::settings::DecideConfig;
use crate::space::genotype::{EdgeShares, Genotype, Repair};

/// A search that decides.
#[derive(Debug)]
pub(crate) struct Decider {
    /// The network, with Θ.
    pub supernet: Supernet,
    decide: DecideConfig,
    /// What it knows of architectures.
    pub decisions: Decisions,
}

/// What is done in an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    WarmUp,
    Deciding,
    Settling,
}

impl Decider {
    /// A search at its beginning.
    pub fn new(supernet: Supernet, decide: DecideConfig) -> Self {
        let decisions = Decisions::new(supernet.space());
        Self { supernet, decide, decisions }
    }

    fn stage(&self, epoch: usize) -> Stage {
        match epoch {
            epoch if epoch < self.supernet.config.warmup_epochs => Stage::WarmUp,
            epoch if epoch < self.settled_from() => Stage::Deciding,
            _ => Stage::Settling,
        }
    }

    /// The first epoch in which all is decided.
    fn settled_from(&self) -> usize {
        let epochs = self.supernet.config.epochs;
        epochs - self.decide.settling_epochs(epochs)
    }

    fn sample(&self, draw: usize) -> Sample {
        self.decisions.sample(&mut rng(self.supernet.seed, Stream::Sampling, draw as u64))
    }

    /// The architecture as it stands; while nothing is known, the one that α would begin with.
    pub fn genotype(&self) -> (Genotype, Vec<Repair>) {
        let space = self.supernet.space();
        match self.decisions.is_blank() {
            true => Genotype::from_alpha(space, &Alpha::new(space, self.supernet.seed).0),
            false => self.decisions.genotype(space),
        }
    }

    /// What is found on each patch of a step by itself, a sample each: here on this rank's share of
    /// them, then on all ranks.
    fn judge_patches(
        &self,
        own: &Batch,
        samples: &[Sample],
        ranks: &dyn Ranks,
    ) -> Vec<LossGradients> {
        let (share, mut own) = (ranks.share(samples.len()), own.patches());
        let judge = |(n, sample): (usize, &Sample)| match share
            .contains(&n)
            .then(|| own.next())
            .flatten()
        {
            Some(patch) => self.supernet.gradients(Tape::Architecture, &patch, sample, &Alone),
            None => LossGradients::none(&sample.mixture(self.supernet.weights.device(), false)),
        };
        let mut found: Vec<LossGradients> = samples.iter().enumerate().map(judge).collect();
        let numbers = found.iter_mut().flat_map(|LossGradients { loss, mixture, .. }| {
            iter::once(loss).chain(mixture.numbers_mut())
        });
        ranks.add_each(numbers.collect());
        found
    }

    /// Drops what is known to be worse; so much more, the most certain first, that one operation an
    /// edge is left at the end of the last deciding epoch, as many being dropped in each.
    fn drop_worse(&mut self, epoch: usize) {
        let deciding = self.settled_from() - self.supernet.config.warmup_epochs;
        let to_come = self.settled_from() - epoch - 1;
        let space = self.supernet.space();
        let all = Decisions::new(space).beside_best();
        let rule = Rule { errors: self.decide.errors, beside_best: all * to_come / deciding };
        self.decisions.drop_worse(space, epoch, rule);
    }
}

impl Phase for Decider {
    const NAME: &'static str = Searcher::NAME;
    type State = Decisions;

    fn course(&self) -> Course {
        let Supernet { config, halves: (first, second), .. } = &self.supernet;
        let cases = [first.len(), first.len() + second.len()];
        Course::of_deciding(config, self.settled_from(), cases)
    }

    fn draw(&self, patches: &Patches, epoch: usize) -> Result<Vec<Levels<Vec<Draw>>>> {
        let Supernet { config, halves: (for_weights, for_deciding), .. } = &self.supernet;
        let draw = |members: &[usize], epoch, places| {
            patches.draw(members, epoch, places, Stream::SearchAugmentation)
        };
        let stage = self.stage(epoch);
        let members = match stage {
            Stage::Settling => [&**for_weights, for_deciding].concat(),
            Stage::WarmUp | Stage::Deciding => for_weights.clone(),
        };
        let draws = draw(&members, epoch, Stream::WeightPatches)?;
        let steps = draws.chunks(config.batch).map(<[Draw]>::to_vec);
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
        ranks: &dyn Ranks,
    ) -> Result<Levels<f64>, NotFinite> {
        let each = self.decide.patches;
        let sample = self.sample(index * (1 + each));
        let weights = self.supernet.learn(&batches.weights, &sample, rate, ranks)?;

        let Some(batch) = &batches.alpha else { return Ok(Levels { weights, alpha: None }) };
        let samples: Vec<Sample> =
            (0..each).map(|n| self.sample(index * (1 + each) + 1 + n)).collect();
        let found = self.judge_patches(batch, &samples, ranks);
        let mut sum = 0.0;
        for (n, (sample, found)) in samples.iter().zip(found).enumerate() {
            let squares = found.mixture.edges().flatten().map(|g| g.by_z * g.by_z);
            sum += finite(found.loss, squares.sum::<f64>().sqrt())?;
            let draw = index * each + n;
            self.decisions.observe(draw, sample, &found.mixture, self.supernet.space());
        }
        if index + 1 == self.course().before(epoch + 1) {
            self.drop_worse(epoch);
        }
        Ok(Levels { weights, alpha: Some(sum / each as f64) })
    }

    fn kept(&mut self) -> Kept<'_, Decisions> {
        self.supernet.kept(&mut self.decisions)
    }

    fn judged(&self) -> Judged<'_> {
        self.supernet.judged(&self.genotype().0)
    }

    fn search_line(&self, _epoch: usize, alpha_loss: Option<f64>) -> Option<SearchLine> {
        let (genotype, _) = self.genotype();
        let edges = EdgeShares::of(&genotype);
        let left: Vec<f64> = self.decisions.left().iter().map(|left| left.len() as f64).collect();
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / left.len() as f64;
        // Those that are left are drawn alike, as with equal α, and no temperature sharpens ẑ.
        let entropy = mean(left.iter().map(|left| left.ln()).collect());
        let agreement = self.decisions.agreement(self.supernet.space());
        let decide = Some(DecideLine { left: mean(left.clone()) });
        let cells = genotype.cells();
        let tau = 1.0;
        Some(SearchLine { alpha_loss, tau, entropy, edges, cells, agreement, decide })
    }
}

#[cfg(test)]
mod tests {
    use medvol::phantom::phantom;
    use medvol::{ClassMap, Label, Target, preprocess};

    use super::*;
    use crate::data::kept::KeptCase;
    use crate::learn::schedule::Plateau;
    use crate::network::size::Size;
    use crate::settings::Config;

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
        let of = (size, Target::Classes);
        Decider::new(Supernet::new(&config, of, &device, halves), decide)
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
