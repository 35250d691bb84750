//! Which operations are still candidates of an edge, what was seen of them, and which are dropped.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::learn::agreement::agreement;
use crate::learn::deciding::comparisons::Comparisons;
use crate::learn::deciding::effects::Effects;
use crate::learn::relaxation::Sample;
use crate::message::Agreement;
use crate::network::mixture::MixtureGradients;
use crate::space::genotype::{Genotype, Repair};
use crate::space::operation::Kind;
use crate::space::per_edge::PerEdge;
use crate::space::topology::{Space, edge_list, edges_into};

/// What was seen and what was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decisions {
    /// What was seen, by turns in one half and in the other, so that they can be compared.
    halves: [Comparisons; 2],
    /// On every edge, which operations were dropped, and when.
    dropped: PerEdge<Vec<Option<Dropped>>>,
}

/// An operation that is no candidate any more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// The epoch of the search at whose end it was dropped, 0-based.
    pub epoch: usize,
    /// By how many standard errors it was worse than the edge's best.
    pub errors: f64,
}

/// When an operation is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// As soon as it is worse than the edge's best by so many standard errors.
    pub errors: f64,
    /// Or while there are more operations beside the best than these, on all edges together.
    pub beside_best: usize,
}

impl Decisions {
    /// Nothing is seen, everything is open.
    pub fn new(space: &Space) -> Self {
        let none = || Comparisons::new(space);
        let open =
            PerEdge::from_fn(space.architectures(), |_, _| vec![None; space.operations.len()]);
        Self { halves: [none(), none()], dropped: open }
    }

    /// The operations that are left on every edge, in table order; at least one.
    pub fn left(&self) -> PerEdge<Vec<usize>> {
        self.dropped.map(|edge| (0..edge.len()).filter(|&op| edge[op].is_none()).collect())
    }

    /// What was dropped on every edge.
    pub fn dropped(&self) -> &PerEdge<Vec<Option<Dropped>>> {
        &self.dropped
    }

    /// Operations for a step.
    pub fn sample(&self, rng: &mut impl Rng) -> Sample {
        Sample::uniform(&self.left(), rng)
    }

    /// Takes note of draw number `draw` and its gradients.
    pub fn observe(
        &mut self,
        draw: usize,
        sample: &Sample,
        by_z: &MixtureGradients,
        space: &Space,
    ) {
        self.halves[draw % 2].observe(sample, by_z, space.operations.len());
    }

    /// The effects of operations by all that was seen.
    pub fn effects(&self, space: &Space) -> Effects {
        let [first, second] = &self.halves;
        Effects::of(&first.plus(second), space)
    }

    /// Whether nothing was seen.
    pub fn is_blank(&self) -> bool {
        self.halves.iter().all(|half| half.draws() == 0)
    }

    /// Drops at the end of `epoch` what the rule says, the most certain first. A node keeps an edge
    /// with an operation that is not zero.
    pub fn drop_worse(&mut self, space: &Space, epoch: usize, rule: Rule) {
        let effects = self.effects(space);
        while let Some((arch, edge, operation, errors)) = self.worst(space, &effects) {
            if errors < rule.errors && self.beside_best() <= rule.beside_best {
                break;
            }
            self.dropped[arch][edge][operation] = Some(Dropped { epoch, errors });
        }
    }

    /// Operations that are left beside the best of their edges.
    pub fn beside_best(&self) -> usize {
        self.left().iter().map(|left| left.len() - 1).sum()
    }

    /// The operation that is most certainly worse than the best of its edge, as (architecture, edge,
    /// operation, standard errors); `None` when all is decided.
    fn worst(&self, space: &Space, effects: &Effects) -> Option<(usize, usize, usize, f64)> {
        let left = self.left();
        let zero = |op: usize| space.operations.get(op).kind == Kind::Zero;
        let mut worst: Option<(usize, usize, usize, f64)> = None;
        for arch in 0..left.architectures() {
            let carries = |edge: usize| !left[arch][edge].iter().all(|&op| zero(op));
            for (edge, (_, node)) in edge_list().into_iter().enumerate() {
                let (left, effects) = (&left[arch][edge], &effects.edges()[arch][edge]);
                // The last edge that brings the node anything must do so.
                let last = !edges_into(node).any(|(other, _)| other != edge && carries(other));
                let may_be_best = left.iter().copied().filter(|&op| !(last && zero(op)));
                let means = effects.means();
                let Some(best) = may_be_best.min_by(|&a, &b| means[a].total_cmp(&means[b])) else {
                    continue;
                };
                for &op in left.iter().filter(|&&op| op != best) {
                    let errors = effects.errors_behind(op, best);
                    if worst.is_none_or(|(.., most)| errors > most) {
                        worst = Some((arch, edge, op, errors));
                    }
                }
            }
        }
        worst
    }

    /// The architecture as it stands: what would be left if all were decided now. Zeros that were
    /// best, but would have left a node without input, are reported.
    pub fn genotype(&self, space: &Space) -> (Genotype, Vec<Repair>) {
        let mut decided = self.clone();
        let now = Rule { errors: f64::INFINITY, beside_best: 0 };
        decided.drop_worse(space, 0, now);
        let choices = decided.left().map(|left| left[0]);
        let mut repairs = Vec::new();
        for arch in 0..choices.architectures() {
            for (edge, dropped) in decided.dropped[arch].iter().enumerate() {
                if dropped.iter().flatten().any(|dropped| dropped.errors < 0.0) {
                    let operation = space.operations.get(choices[arch][edge]).name.clone();
                    repairs.push(Repair { cell: space.arch_name(arch), edge, operation });
                }
            }
        }
        (Genotype { space: space.clone(), choices }, repairs)
    }

    /// Whether both halves of what was seen say the same; `None` when nothing was.
    pub fn agreement(&self, space: &Space) -> Option<Agreement> {
        if self.halves.iter().any(|half| half.draws() == 0) {
            return None;
        }
        let halves = self.halves.each_ref().map(|half| {
            let effects = Effects::of(half, space);
            effects.edges().iter().flat_map(|edge| edge.means().to_vec()).collect::<Vec<_>>()
        });
        Some(agreement(halves.each_ref().map(Vec::as_slice), space.operations.len()))
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::random::{Stream, rng};

    /// True effects of operations by edge.
    type Truth = PerEdge<Vec<f64>>;

    fn truth(of: impl Fn(usize, usize, usize) -> f64) -> Truth {
        let space = Space::paper();
        let edge = |arch, edge| (0..space.operations.len()).map(|op| of(arch, edge, op)).collect();
        PerEdge::from_fn(space.architectures(), edge)
    }

    /// Between -1 and 1, apparently without order.
    fn scattered(arch: usize, edge: usize, op: usize) -> f64 {
        rng((arch * 1000 + edge * 10 + op) as u64, Stream::Alpha, 7).random_range(-1.0..1.0)
    }

    /// Draws so often, from a loss that is Σ ẑ times effect and noise, and takes note.
    fn draw(decisions: &mut Decisions, truth: &Truth, noise: f64, draws: std::ops::Range<usize>) {
        let (space, device) = (Space::paper(), crate::device("cpu").unwrap());
        for draw in draws {
            let sample = decisions.sample(&mut rng(1, Stream::Sampling, draw as u64));
            let mixture = sample.mixture(&device, true);
            let mut random = rng(2, Stream::Sampling, draw as u64);
            let mut loss = None;
            for arch in 0..space.architectures() {
                for (edge, entries) in mixture.architecture(arch).iter().enumerate() {
                    for entry in entries {
                        let Some(z) = &entry.z else { continue };
                        let random = noise * random.random_range(-1.7..1.7);
                        let slope = truth[arch][edge][entry.operation] + random;
                        let term = z.clone().mul_scalar(slope);
                        loss = Some(match loss {
                            None => term,
                            Some(sum) => sum + term,
                        });
                    }
                }
            }
            let Some(loss) = loss else { continue };
            let by_z = mixture.take_gradients(&mut loss.backward());
            decisions.observe(draw, &sample, &by_z, &space);
        }
    }

    /// A search of several epochs, in which as many are dropped in each.
    fn decided(truth: &Truth, noise: f64, epochs: usize, each: usize) -> Decisions {
        let space = Space::paper();
        let mut decisions = Decisions::new(&space);
        let all = decisions.beside_best();
        for epoch in 0..epochs {
            draw(&mut decisions, truth, noise, epoch * each..(epoch + 1) * each);
            let beside_best = all * (epochs - 1 - epoch) / epochs;
            decisions.drop_worse(&space, epoch, Rule { errors: 3.0, beside_best });
        }
        decisions
    }

    fn best(effects: &[f64]) -> usize {
        (0..effects.len()).min_by(|&a, &b| effects[a].total_cmp(&effects[b])).unwrap()
    }

    #[test]
    fn known_effects_are_decided_rightly_and_the_halves_agree() {
        let (space, truth) = (Space::paper(), truth(scattered));
        let decisions = decided(&truth, 2.0, 4, 150);
        assert_eq!(decisions.beside_best(), 0);
        let (genotype, repairs) = decisions.genotype(&space);
        assert_eq!(repairs, []);
        let (mut right, mut lost, mut average) = (0, 0.0, 0.0);
        for (effects, &chosen) in truth.iter().zip(genotype.choices.iter()) {
            let least = effects[best(effects)];
            right += usize::from(chosen == best(effects));
            lost += effects[chosen] - least;
            average += effects.iter().sum::<f64>() / effects.len() as f64 - least;
        }
        assert!(right >= 36 && lost < 0.06 * average, "{right} right, {lost} of {average} lost");
        let agreement = decisions.agreement(&space).unwrap();
        assert!(agreement.r > 0.6 && agreement.same > 25, "{agreement:?}");
        assert!(agreement.by_chance < 14.0 && agreement.edges == 56, "{agreement:?}");
    }

    #[test]
    fn halves_of_pure_noise_agree_by_chance_only() {
        let space = Space::paper();
        let mut decisions = Decisions::new(&space);
        draw(&mut decisions, &truth(|_, _, _| 0.0), 1.0, 0..300);
        let Agreement { r, same, by_chance, edges } = decisions.agreement(&space).unwrap();
        // All edges of a type may follow the same noise: four choices, not 56, may agree by chance.
        assert!(r.abs() < 0.35, "{r}");
        assert!(same <= by_chance as usize + 16 && edges == 56, "{same} against {by_chance}");
    }

    #[test]
    fn what_is_dropped_is_never_drawn_again_and_what_is_left_alone_always() {
        let space = Space::paper();
        let truth = truth(scattered);
        let mut decisions = Decisions::new(&space);
        draw(&mut decisions, &truth, 1.0, 0..60);
        let beside_best = decisions.beside_best() / 4;
        decisions.drop_worse(&space, 5, Rule { errors: f64::INFINITY, beside_best });
        assert_eq!(decisions.beside_best(), beside_best);
        let left = decisions.left();
        assert!(left.iter().any(|left| left.len() == 1) && left.iter().any(|left| left.len() > 1));
        for number in 0..200 {
            let sample = decisions.sample(&mut rng(3, Stream::Sampling, number));
            for (edge, left) in sample.edges().iter().zip(left.iter()) {
                let drawn = edge.active();
                assert!(drawn.iter().all(|(op, _)| left.contains(op)), "{drawn:?} of {left:?}");
                assert_eq!(drawn.len(), left.len().min(2));
            }
        }
        for dropped in decisions.dropped().iter().flatten().flatten() {
            assert_eq!(dropped.epoch, 5);
        }
    }

    #[test]
    fn a_node_keeps_an_input_where_zero_is_best_everywhere() {
        let space = Space::paper();
        let zero = |op: usize| f64::from(space.operations.get(op).kind != Kind::Zero);
        let truth = truth(|arch, edge, op| 3.0 * zero(op) + scattered(arch, edge, op));
        let decisions = decided(&truth, 0.5, 2, 100);
        let (genotype, repairs) = decisions.genotype(&space);
        assert_eq!(decisions.beside_best(), 0);
        let text = serde_json::to_string(&genotype).unwrap();
        assert_eq!(serde_json::from_str::<Genotype>(&text).unwrap(), genotype);
        let inputs = genotype.choices.iter().filter(|&&op| zero(op) > 0.0).count();
        assert_eq!((inputs, repairs.len()), (16, 16), "an edge a node");
    }

    #[test]
    fn the_same_draws_give_the_same_bits_from_what_a_checkpoint_keeps() {
        let (space, truth) = (Space::paper(), truth(scattered));
        let mut whole = Decisions::new(&space);
        draw(&mut whole, &truth, 1.0, 0..40);
        whole.drop_worse(&space, 0, Rule { errors: 2.0, beside_best: 300 });
        let kept = serde_json::to_string(&whole).unwrap();
        let mut again: Decisions = serde_json::from_str(&kept).unwrap();
        for decisions in [&mut whole, &mut again] {
            draw(decisions, &truth, 1.0, 40..80);
            decisions.drop_worse(&space, 1, Rule { errors: 2.0, beside_best: 0 });
        }
        assert_eq!(whole, again);
        assert_eq!(whole.effects(&space), again.effects(&space));
    }
}
