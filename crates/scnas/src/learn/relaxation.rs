//! Architecture parameters α, the mixtures they are relaxed to, and the gradient back (paper
//! sections 3.2–3.3, Algorithm 2).
//!
//! The search's network only ever sees operation weights ẑ as leaves of its tape. Everything
//! between α and ẑ is here, in f64 and in closed form, so that it can be held to finite differences
//! and costs nothing.

use burn::tensor::Device;
use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

use crate::network::mixture::{Entry, EntryGradient, Mixture, MixtureGradients, constant};
use crate::random::{Stream, rng};
use crate::space::per_edge::PerEdge;
use crate::space::topology::Space;

/// An operation with a smaller weight is not run: that is how two sampled operations become one as
/// τ falls.
pub const MIN_WEIGHT: f64 = 1e-3;

/// How the choice of an edge's operation is made differentiable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relaxation {
    /// Gumbel-softmax at temperature τ, then a sampled pair (this paper).
    #[default]
    Scnas,
    /// softmax(α) over all operations, no noise (DARTS, Liu et al. 2018b). Its cost grows with the
    /// operation table.
    Full,
    /// A pair drawn without replacement from softmax(α), no noise, no τ (ProxylessNAS, Cai et al.
    /// 2018).
    Proxyless,
}

impl Relaxation {
    /// As settings call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scnas => "scnas",
            Self::Full => "full",
            Self::Proxyless => "proxyless",
        }
    }
}

/// α: on every edge, one logit an operation of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alpha(pub PerEdge<Vec<f64>>);

/// What one edge runs: operations with their weights, which sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub enum EdgeSample {
    /// Two operations.
    Pair {
        /// Index of the first, which was drawn by its probability.
        a: usize,
        /// Index of the other.
        b: usize,
        /// Weight ẑ of the first; the other's is `1 - z`.
        z: f64,
    },
    /// All operations, in table order.
    All(Vec<f64>),
    /// The one operation that is left.
    One(usize),
}

/// A sampled (or, for `full`, computed) mixture.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    edges: PerEdge<EdgeSample>,
    /// dẑ/dlogit carries 1/τ for `scnas`; 1 for the relaxations without temperature.
    tau: f64,
}

/// The softmax of `logits / tau`.
pub fn softmax(logits: &[f64], tau: f64) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = logits.iter().map(|l| ((l - max) / tau).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|e| e / sum).collect()
}

/// A Gumbel(0, 1) draw. In f64: a f32 uniform is 0 about once in 2^24 draws, which would be
/// infinite.
fn gumbel(rng: &mut impl Rng) -> f64 {
    // (0, 1): the smallest value of `random` is 0, so shift by half a unit in the last place.
    let u = rng.random::<f64>() + f64::EPSILON / 4.0;
    -(-u.ln()).ln()
}

/// An index drawn with the given probabilities, which sum to 1.
fn categorical(probabilities: &[f64], rng: &mut impl Rng) -> usize {
    let mut rest = rng.random::<f64>();
    for (index, p) in probabilities.iter().enumerate() {
        rest -= p;
        if rest < 0.0 {
            return index;
        }
    }
    // Rounding left a crumb: the last index that is possible at all.
    probabilities.iter().rposition(|&p| p > 0.0).unwrap_or(0)
}

impl EdgeSample {
    /// Algorithm 2 for one edge. A pair {a, b} has probability (z̄_a + z̄_b) / (|O| - 1), which is
    /// the same as drawing a ~ z̄ and then b uniformly from the others.
    fn scnas(alpha: &[f64], tau: f64, rng: &mut impl Rng) -> Self {
        let logits: Vec<f64> = alpha.iter().map(|a| a + gumbel(rng)).collect();
        let a = categorical(&softmax(&logits, tau), rng);
        let mut b = rng.random_range(0..alpha.len() - 1);
        b += usize::from(b >= a);
        Self::pair(a, b, (logits[a] - logits[b]) / tau)
    }

    fn proxyless(alpha: &[f64], rng: &mut impl Rng) -> Self {
        let mut p = softmax(alpha, 1.0);
        let a = categorical(&p, rng);
        let rest = 1.0 - std::mem::take(&mut p[a]);
        p.iter_mut().for_each(|p| *p /= rest);
        let b = categorical(&p, rng);
        Self::pair(a, b, alpha[a] - alpha[b])
    }

    /// A pair of the operations that are `left`, all pairs alike, with a uniform ẑ: what two
    /// operations of the same α have at τ = 1, if they are chosen before the noise is drawn. Both
    /// always run.
    fn uniform(left: &[usize], rng: &mut impl Rng) -> Self {
        if let &[operation] = left {
            return Self::One(operation);
        }
        let a = rng.random_range(0..left.len());
        let mut b = rng.random_range(0..left.len() - 1);
        b += usize::from(b >= a);
        let z = MIN_WEIGHT + (1.0 - 2.0 * MIN_WEIGHT) * rng.random::<f64>();
        Self::Pair { a: left[a], b: left[b], z }
    }

    /// ẑ_a = z̄_a / (z̄_a + z̄_b) = σ(difference of the logits).
    fn pair(a: usize, b: usize, difference: f64) -> Self {
        Self::Pair { a, b, z: 1.0 / (1.0 + (-difference).exp()) }
    }

    /// Operations and weights, those too small to run left out.
    pub fn active(&self) -> Vec<(usize, f64)> {
        let all: Vec<(usize, f64)> = match self {
            Self::Pair { a, b, z } => vec![(*a, *z), (*b, 1.0 - z)],
            Self::All(weights) => weights.iter().copied().enumerate().collect(),
            Self::One(operation) => vec![(*operation, 1.0)],
        };
        all.into_iter().filter(|&(_, z)| z >= MIN_WEIGHT).collect()
    }

    /// dL/dα of this edge from dL/dẑ of the operations that ran. Which pair was drawn is not
    /// differentiated.
    fn gradient(&self, by_z: &[EntryGradient], tau: f64, operations: usize) -> Vec<f64> {
        let of = |op: usize| by_z.iter().find(|g| g.operation == op).map_or(0.0, |g| g.by_z);
        let mut grad = vec![0.0; operations];
        match self {
            Self::Pair { a, b, z } => {
                grad[*a] = (of(*a) - of(*b)) * z * (1.0 - z) / tau;
                grad[*b] = -grad[*a];
            }
            Self::All(weights) => {
                let mean: f64 = weights.iter().enumerate().map(|(op, z)| z * of(op)).sum();
                for (op, z) in weights.iter().enumerate() {
                    grad[op] = z * (of(op) - mean) / tau;
                }
            }
            Self::One(_) => {}
        }
        grad
    }
}

impl Alpha {
    /// α near 0: normal with standard deviation 1e-3, as in DARTS.
    pub fn new(space: &Space, seed: u64) -> Self {
        let mut rng = rng(seed, Stream::Alpha, 0);
        let mut draw =
            || 1e-3 * (rng.random::<f64>() + rng.random::<f64>() + rng.random::<f64>() - 1.5) * 2.0;
        Self(PerEdge::from_fn(space.architectures(), |_, _| {
            (0..space.operations.len()).map(|_| draw()).collect()
        }))
    }

    /// Number of logits.
    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// True when there are no logits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All logits in order, for the optimiser.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        self.0.iter_mut().flatten()
    }

    /// GumbelSoftmaxSample(α, τ) for every edge of every architecture.
    pub fn sample(&self, relaxation: Relaxation, tau: f64, rng: &mut impl Rng) -> Sample {
        let edges = self.0.map(|alpha| match relaxation {
            Relaxation::Scnas => EdgeSample::scnas(alpha, tau, rng),
            Relaxation::Proxyless => EdgeSample::proxyless(alpha, rng),
            Relaxation::Full => EdgeSample::All(softmax(alpha, 1.0)),
        });
        Sample { edges, tau: if relaxation == Relaxation::Scnas { tau } else { 1.0 } }
    }

    /// Mean over edges of the entropy of softmax(α), in nats; ln |O| when nothing is known, 0 when
    /// all is decided.
    pub fn mean_entropy(&self) -> f64 {
        let entropy = |row: &Vec<f64>| {
            -softmax(row, 1.0).iter().map(|p| if *p > 0.0 { p * p.ln() } else { 0.0 }).sum::<f64>()
        };
        let edges = self.0.iter().count();
        self.0.iter().map(entropy).sum::<f64>() / edges as f64
    }
}

impl Sample {
    /// A pair on every edge, of the operations that are `left` there; where one is, it alone.
    pub fn uniform(left: &PerEdge<Vec<usize>>, rng: &mut impl Rng) -> Self {
        Self { edges: left.map(|left| EdgeSample::uniform(left, rng)), tau: 1.0 }
    }

    /// The mixture with weights ẑ as tensors, leaves of the tape when `tracked`.
    pub fn mixture(&self, device: &Device, tracked: bool) -> Mixture {
        let leaf = |z: f64| {
            let z = constant(z, device);
            Some(if tracked { z.require_grad() } else { z })
        };
        let entry = |(operation, z)| Entry { operation, z: leaf(z) };
        Mixture::new(self.edges.map(|edge| match edge {
            EdgeSample::One(operation) => vec![Entry { operation: *operation, z: None }],
            several => several.active().into_iter().map(entry).collect(),
        }))
    }

    /// dL/dα in the order of [`Alpha::values_mut`], from dL/dẑ of the mixture.
    pub fn gradient(&self, by_z: &MixtureGradients, operations: usize) -> Vec<f64> {
        let edges = self.edges.iter().zip(by_z.edges());
        edges.flat_map(|(edge, by_z)| edge.gradient(by_z, self.tau, operations)).collect()
    }

    /// The edges' samples.
    pub fn edges(&self) -> &PerEdge<EdgeSample> {
        &self.edges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALPHA: [f64; 8] = [0.3, -0.5, 1.2, 0.0, 0.7, -1.0, 0.1, 0.4];

    /// Pearson's statistic of counts against expected counts.
    fn chi_square(counts: &[f64], expected: &[f64]) -> f64 {
        counts.iter().zip(expected).map(|(c, e)| (c - e) * (c - e) / e).sum()
    }

    /// Index of the pair {a, b} among the 28.
    fn pair_index(a: usize, b: usize) -> usize {
        let (a, b) = (a.min(b), a.max(b));
        (0..a).map(|i| 7 - i).sum::<usize>() + b - a - 1
    }

    fn pairs() -> impl Iterator<Item = (usize, usize)> {
        (0..8).flat_map(|a| (a + 1..8).map(move |b| (a, b)))
    }

    /// 27 degrees of freedom: the statistic exceeds 55.5 with probability 0.001.
    const LIMIT: f64 = 55.5;

    #[test]
    fn all_28_pairs_appear_with_the_probabilities_of_algorithm_2() {
        // For fixed noise the pair has probability (z̄_a + z̄_b) / 7; over the noise we compare with
        // the mean of that.
        for tau in [5.0, 1.0, 0.1] {
            let (mut counts, mut expected) = ([0.0; 28], [0.0; 28]);
            for draw in 0..40_000 {
                let noise = || rng(1, Stream::Sampling, draw);
                let (mut r, mut same_noise) = (noise(), noise());
                let logits: Vec<f64> = ALPHA.iter().map(|a| a + gumbel(&mut same_noise)).collect();
                let z = softmax(&logits, tau);
                for (a, b) in pairs() {
                    expected[pair_index(a, b)] += (z[a] + z[b]) / 7.0;
                }
                let EdgeSample::Pair { a, b, z: za } = EdgeSample::scnas(&ALPHA, tau, &mut r)
                else {
                    unreachable!()
                };
                counts[pair_index(a, b)] += 1.0;
                assert!((za - z[a] / (z[a] + z[b])).abs() < 1e-9);
            }
            let statistic = chi_square(&counts, &expected);
            assert!(statistic < LIMIT, "tau {tau}: {statistic}");
        }
    }

    #[test]
    fn proxyless_pairs_are_drawn_without_replacement_from_softmax() {
        let p = softmax(&ALPHA, 1.0);
        let n = 40_000;
        let mut counts = [0.0; 28];
        let mut r = rng(2, Stream::Sampling, 0);
        for _ in 0..n {
            let EdgeSample::Pair { a, b, z } = EdgeSample::proxyless(&ALPHA, &mut r) else {
                unreachable!()
            };
            counts[pair_index(a, b)] += 1.0;
            assert!((z - p[a] / (p[a] + p[b])).abs() < 1e-9);
        }
        let expected: Vec<f64> = pairs()
            .map(|(a, b)| f64::from(n) * (p[a] * p[b] / (1.0 - p[a]) + p[b] * p[a] / (1.0 - p[b])))
            .collect();
        assert!(chi_square(&counts, &expected) < LIMIT);
    }

    #[test]
    fn the_hard_choice_at_low_temperature_follows_softmax_of_alpha() {
        // The Gumbel-max law: as τ → 0 the larger weight sits on argmax(α + ε), distributed as
        // softmax(α).
        let p = softmax(&ALPHA, 1.0);
        let n = 40_000;
        let mut counts = [0.0; 8];
        let mut r = rng(3, Stream::Sampling, 0);
        for _ in 0..n {
            let EdgeSample::Pair { a, b, z } = EdgeSample::scnas(&ALPHA, 1e-4, &mut r) else {
                unreachable!()
            };
            counts[if z > 0.5 { a } else { b }] += 1.0;
        }
        let expected: Vec<f64> = p.iter().map(|p| p * f64::from(n)).collect();
        assert!(chi_square(&counts, &expected) < 24.3, "7 degrees of freedom, p = 0.001");
    }

    #[test]
    fn uniform_pairs_are_all_alike_and_so_are_their_weights() {
        let n = 40_000;
        let left: Vec<usize> = (0..8).collect();
        let source = |number| rng(6, Stream::Sampling, number);
        let (mut counts, mut tenths) = ([0.0; 28], [0.0; 10]);
        for number in 0..n {
            let EdgeSample::Pair { a, b, z } = EdgeSample::uniform(&left, &mut source(number))
            else {
                unreachable!()
            };
            counts[pair_index(a, b)] += 1.0;
            tenths[(10.0 * z) as usize] += 1.0;
        }
        assert!(chi_square(&counts, &[n as f64 / 28.0; 28]) < LIMIT);
        assert!(chi_square(&tenths, &[n as f64 / 10.0; 10]) < 27.9, "9 degrees, p = 0.001");
        let few = [1, 5];
        for number in 0..50 {
            let EdgeSample::Pair { a, b, z } = EdgeSample::uniform(&few, &mut source(number))
            else {
                unreachable!()
            };
            assert!([(1, 5), (5, 1)].contains(&(a, b)) && z >= MIN_WEIGHT && 1.0 - z >= MIN_WEIGHT);
        }
        assert_eq!(EdgeSample::uniform(&[3], &mut source(0)), EdgeSample::One(3));
    }

    #[test]
    fn as_tau_falls_two_operations_become_one() {
        let mean_active = |tau: f64| {
            let mut r = rng(4, Stream::Sampling, 0);
            (0..2000).map(|_| EdgeSample::scnas(&ALPHA, tau, &mut r).active().len()).sum::<usize>()
                as f64
                / 2000.0
        };
        assert_eq!(mean_active(5.0), 2.0);
        assert!(mean_active(0.1) < 1.5);
        assert!(mean_active(0.01) < 1.1);
    }

    #[test]
    fn the_gradient_of_alpha_is_that_of_finite_differences() {
        // L(ẑ) = Σ c_o ẑ_o² with fixed noise; perturb α, keep noise and pair.
        let c = [1.0, -2.0, 0.5, 3.0, -1.0, 2.0, 0.3, 1.5];
        let loss =
            |sample: &EdgeSample| sample.active().iter().map(|&(op, z)| c[op] * z * z).sum::<f64>();
        let h = 1e-6;
        for seed in 0..50 {
            for tau in [5.0, 1.0, 0.7] {
                let draw = |alpha: &[f64]| {
                    let mut r = rng(seed, Stream::Sampling, 9);
                    let logits: Vec<f64> = alpha.iter().map(|a| a + gumbel(&mut r)).collect();
                    EdgeSample::pair(1, 4, (logits[1] - logits[4]) / tau)
                };
                check_gradient(&draw, &loss, &c, tau, h);
            }
        }
        check_gradient(&|alpha: &[f64]| EdgeSample::All(softmax(alpha, 1.0)), &loss, &c, 1.0, h);
    }

    fn check_gradient(
        draw: &dyn Fn(&[f64]) -> EdgeSample,
        loss: &dyn Fn(&EdgeSample) -> f64,
        c: &[f64],
        tau: f64,
        h: f64,
    ) {
        let sample = draw(&ALPHA);
        if sample.active().len() < 2 {
            return;
        }
        let by_z: Vec<EntryGradient> = (sample.active().iter())
            .map(|&(operation, z)| EntryGradient { operation, by_z: 2.0 * c[operation] * z })
            .collect();
        let grad = sample.gradient(&by_z, tau, 8);
        for op in 0..8 {
            let at = |delta: f64| {
                let mut alpha = ALPHA;
                alpha[op] += delta;
                loss(&draw(&alpha))
            };
            let numeric = (at(h) - at(-h)) / (2.0 * h);
            assert!((grad[op] - numeric).abs() < 1e-6, "op {op}: {} against {numeric}", grad[op]);
        }
    }

    #[test]
    fn gumbel_draws_are_finite_and_have_the_right_mean_and_variance() {
        let mut r = rng(5, Stream::Sampling, 0);
        let n = 200_000;
        let draws: Vec<f64> = (0..n).map(|_| gumbel(&mut r)).collect();
        assert!(draws.iter().all(|g| g.is_finite()));
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!((mean - 0.577_215_664_9).abs() < 0.01, "{mean}");
        assert!((variance - std::f64::consts::PI.powi(2) / 6.0).abs() < 0.03, "{variance}");
    }
}
