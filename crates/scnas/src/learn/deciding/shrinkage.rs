//! How much worse an edge does with one operation than with another, estimated from comparisons
//! that are mostly noise.
//!
//! The model, for the cells of one type: operation o has on edge e the effect
//!
//! ```text
//! m_eo = μ_o + u_eo,   u_eo ~ N(0, τ²)
//! ```
//!
//! and a draw of the pair a, b on it shows m_ea − m_eb plus noise. Effects are estimated by their
//! best linear unbiased predictions (Henderson 1975), which shrink what an edge says by itself
//! towards what all edges of the type say of the operation, the more the less there is to tell edges
//! apart. τ² is that of restricted maximum likelihood, found by expectation–maximisation (Dempster,
//! Laird & Rubin 1977). The uncertainty of μ counts: pure noise has no significant effects.

use crate::learn::deciding::comparisons::{Sums, noise, pairs};
use crate::learn::deciding::symmetric::Matrix;

/// Rounds of expectation–maximisation, by whose end τ² has settled.
const ROUNDS: usize = 400;

/// The effects of the operations on one edge, in units of the loss: what is lower is better.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeEffects {
    means: Vec<f64>,
    covariance: Matrix,
}

impl EdgeEffects {
    /// Of an edge of which nothing is known.
    pub(super) fn unknown(operations: usize) -> Self {
        Self { means: vec![0.0; operations], covariance: Matrix::zeros(operations) }
    }

    /// The effects, which sum to 0.
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// By how many standard errors `worse` is worse than `better`.
    pub fn errors_behind(&self, worse: usize, better: usize) -> f64 {
        let c = &self.covariance;
        let variance = c.at(worse, worse) + c.at(better, better) - 2.0 * c.at(worse, better);
        let difference = self.means[worse] - self.means[better];
        if variance > 0.0 { difference / variance.sqrt() } else { 0.0 }
    }

    /// Standard error of the effect of an operation against the mean of all.
    pub fn standard_error(&self, operation: usize) -> f64 {
        let (c, all) = (&self.covariance, self.means.len());
        let one = 1.0 / all as f64;
        let weight = |op: usize| f64::from(op == operation) - one;
        let variance: f64 = (0..all)
            .flat_map(|i| (0..all).map(move |j| (i, j)))
            .map(|(i, j)| weight(i) * c.at(i, j) * weight(j))
            .sum();
        variance.max(0.0).sqrt()
    }
}

/// The edges of one cell type.
pub(super) struct Group {
    operations: usize,
    edges: Vec<Evidence>,
    /// Where the search for τ² begins: about the variance that noise gives to an effect.
    start: f64,
}

/// What the comparisons on an edge say by themselves: their effects m solve
/// `precision · m = weighted`, but for what all have in common.
struct Evidence {
    precision: Matrix,
    weighted: Vec<f64>,
}

/// μ, and its covariance.
struct Common {
    mean: Vec<f64>,
    covariance: Matrix,
}

/// An edge where μ and τ² are known.
struct Apart {
    /// u.
    mean: Vec<f64>,
    /// Its covariance.
    covariance: Matrix,
    /// What turns a change of μ into one of m.
    shrinking: Matrix,
}

impl Group {
    /// Edges with these sums of all pairs.
    pub fn new(sums: &[&[Sums]], operations: usize) -> Self {
        let noise = noise(sums);
        let edges = sums.iter().zip(&noise);
        let edges: Vec<Evidence> =
            edges.map(|(sums, noise)| Evidence::new(sums, noise, operations)).collect();
        let information: f64 = edges.iter().map(|edge| edge.precision.trace()).sum();
        let start = (edges.len() * operations) as f64 / information;
        Self { operations, edges, start: if start.is_finite() { start } else { 1.0 } }
    }

    /// The effects on each edge.
    pub fn effects(&self) -> Vec<EdgeEffects> {
        let variance = self.variance();
        let common = self.common(variance);
        let effects = self.edges.iter().map(|edge| {
            let Apart { mean, covariance, shrinking } = edge.apart(variance, &common);
            let means = common.mean.iter().zip(mean).map(|(mean, apart)| mean + apart).collect();
            let of_common = shrinking.congruence(&common.covariance);
            EdgeEffects { means, covariance: covariance.plus(&of_common, 1.0) }
        });
        effects.collect()
    }

    /// τ².
    fn variance(&self) -> f64 {
        let values = (self.edges.len() * self.operations) as f64;
        let one = Matrix::identity(self.operations);
        // From 0 there is no way back; this is as good as 0.
        let least = 1e-9 * self.start;
        let mut variance = self.start;
        for _ in 0..ROUNDS {
            let common = self.common(variance);
            let squares = self.edges.iter().map(|edge| {
                let Apart { mean, covariance, shrinking } = edge.apart(variance, &common);
                let of_common = one.plus(&shrinking, -1.0).congruence(&common.covariance);
                let square: f64 = mean.iter().map(|u| u * u).sum();
                square + covariance.trace() + of_common.trace()
            });
            variance = (squares.sum::<f64>() / values).max(least);
        }
        variance
    }

    /// μ by generalised least squares, where τ² is `variance`.
    fn common(&self, variance: f64) -> Common {
        let size = self.operations;
        let (mut precision, mut weighted) = (Matrix::zeros(size), vec![0.0; size]);
        for edge in &self.edges {
            let shrinking = edge.shrinking(variance);
            precision = precision.plus(&edge.precision.times(&shrinking), 1.0);
            let more = shrinking.apply(&edge.weighted);
            weighted.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        // Differences say nothing of what all operations have in common: it is held at 0.
        let scale = precision.trace() / size as f64;
        if scale <= 0.0 {
            return Common { mean: vec![0.0; size], covariance: Matrix::zeros(size) };
        }
        let common = Matrix::from_fn(size, |_, _| 1.0 / size as f64);
        let covariance = precision.plus(&common, scale).inverse().plus(&common, -1.0 / scale);
        Common { mean: covariance.apply(&weighted), covariance }
    }
}

impl Evidence {
    /// Of the sums of all pairs, a draw of which has this variance.
    fn new(sums: &[Sums], noise: &[f64], operations: usize) -> Self {
        let (mut precision, mut weighted) = (Matrix::zeros(operations), vec![0.0; operations]);
        for (((a, b), sums), noise) in pairs(operations).zip(sums).zip(noise) {
            let (weight, sum) = (f64::from(sums.n) / noise, sums.sum / noise);
            *precision.at_mut(a, a) += weight;
            *precision.at_mut(b, b) += weight;
            *precision.at_mut(a, b) -= weight;
            *precision.at_mut(b, a) -= weight;
            weighted[a] += sum;
            weighted[b] -= sum;
        }
        Self { precision, weighted }
    }

    /// (1 + τ² · precision)⁻¹: 1 where the edge says nothing, 0 where it says all.
    fn shrinking(&self, variance: f64) -> Matrix {
        Matrix::identity(self.weighted.len()).plus(&self.precision, variance).inverse()
    }

    fn apart(&self, variance: f64, common: &Common) -> Apart {
        let shrinking = self.shrinking(variance);
        let covariance = Matrix::zeros(self.weighted.len()).plus(&shrinking, variance);
        let expected = self.precision.apply(&common.mean);
        let surprise: Vec<f64> =
            self.weighted.iter().zip(expected).map(|(found, expected)| found - expected).collect();
        Apart { mean: covariance.apply(&surprise), covariance, shrinking }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::random::{Stream, rng};

    const OPERATIONS: usize = 4;
    const PAIRS: usize = OPERATIONS * (OPERATIONS - 1) / 2;

    /// Nearly a normal draw with variance 1.
    fn normal(rng: &mut impl rand::Rng) -> f64 {
        (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
    }

    /// Draws of all pairs on some edges; `spread` is the standard deviation of effects between
    /// edges, `common` the effects that they share.
    fn sums(edges: usize, spread: f64, common: [f64; OPERATIONS], seed: u64) -> Vec<Vec<Sums>> {
        let mut rng = rng(seed, Stream::Sampling, 0);
        let edge = |_| {
            let effects = common.map(|common| common + spread * normal(&mut rng));
            let noisy = 1.0 + rng.random::<f64>();
            let pair = |(a, b): (usize, usize)| {
                let mut sums = Sums::default();
                for _ in 0..3 + 2 * a + b {
                    let noise = noisy * (1.0 + b as f64) * normal(&mut rng);
                    sums.add(effects[a] - effects[b] + noise);
                }
                sums
            };
            pairs(OPERATIONS).map(pair).collect()
        };
        (0..edges).map(edge).collect()
    }

    /// The model with all its observations in one matrix, the means of the pairs.
    struct Whole {
        /// Inverse covariance of the observations.
        inverse: Matrix,
        log_determinant: f64,
        /// Where noise was measured at `variance` between edges.
        variance: f64,
        observed: Vec<f64>,
    }

    impl Whole {
        fn new(sums: &[&[Sums]], variance: f64) -> Self {
            let noise = noise(sums);
            let size = sums.len() * PAIRS;
            let list: Vec<(usize, usize)> = pairs(OPERATIONS).collect();
            let sign = |(a, b): (usize, usize), op: usize| f64::from(op == a) - f64::from(op == b);
            let covariance = Matrix::from_fn(size, |i, j| {
                let (edge, pair, other) = (i / PAIRS, i % PAIRS, j % PAIRS);
                if edge != j / PAIRS {
                    return 0.0;
                }
                let between: f64 = (0..OPERATIONS)
                    .map(|op| variance * sign(list[pair], op) * sign(list[other], op))
                    .sum();
                let own = noise[edge][pair] / f64::from(sums[edge][pair].n);
                between + if i == j { own } else { 0.0 }
            });
            let observed = sums.iter().copied().flatten();
            let observed = observed.map(|sums| sums.sum / f64::from(sums.n)).collect();
            let log_determinant = log_determinant(&covariance);
            Self { inverse: covariance.inverse(), log_determinant, variance, observed }
        }

        /// What an observation has of a contrast: an operation less the last one.
        fn design(&self, observation: usize, contrast: usize) -> f64 {
            let (a, b) = pairs(OPERATIONS).nth(observation % PAIRS).unwrap();
            f64::from(contrast == a) - f64::from(contrast == b)
        }

        fn product(&self, left: &[f64], right: &[f64]) -> f64 {
            self.inverse.apply(right).iter().zip(left).map(|(a, b)| a * b).sum()
        }

        fn columns(&self) -> Vec<Vec<f64>> {
            let column =
                |contrast| (0..self.observed.len()).map(|i| self.design(i, contrast)).collect();
            (0..OPERATIONS - 1).map(column).collect()
        }

        /// Contrasts by generalised least squares, and their precision.
        fn contrasts(&self) -> (Vec<f64>, Matrix) {
            let columns = self.columns();
            let precision =
                Matrix::from_fn(OPERATIONS - 1, |i, j| self.product(&columns[i], &columns[j]));
            let weighted: Vec<f64> =
                columns.iter().map(|column| self.product(column, &self.observed)).collect();
            (precision.inverse().apply(&weighted), precision)
        }

        fn rest(&self) -> Vec<f64> {
            let (contrasts, _) = self.contrasts();
            let expected = |i: usize| -> f64 {
                contrasts.iter().enumerate().map(|(n, c)| c * self.design(i, n)).sum()
            };
            self.observed.iter().enumerate().map(|(i, y)| y - expected(i)).collect()
        }

        /// Logarithm of the restricted likelihood, but for a constant.
        fn likelihood(&self) -> f64 {
            let (rest, (_, precision)) = (self.rest(), self.contrasts());
            let square = self.product(&rest, &rest);
            -0.5 * (self.log_determinant + log_determinant(&precision) + square)
        }

        /// Predicted difference between two operations on an edge, with its error's variance.
        fn difference(&self, edge: usize, (a, b): (usize, usize)) -> (f64, f64) {
            let (contrasts, precision) = self.contrasts();
            let contrast = |op: usize| contrasts.get(op).copied().unwrap_or(0.0);
            // Covariance of the difference with what was observed.
            let with: Vec<f64> = (0..self.observed.len())
                .map(|i| {
                    let sign = |op| {
                        let (x, y) = pairs(OPERATIONS).nth(i % PAIRS).unwrap();
                        f64::from(op == x) - f64::from(op == y)
                    };
                    if i / PAIRS == edge { self.variance * (sign(a) - sign(b)) } else { 0.0 }
                })
                .collect();
            let mean = contrast(a) - contrast(b) + self.product(&with, &self.rest());
            let unknown: Vec<f64> = self
                .columns()
                .iter()
                .enumerate()
                .map(|(n, column)| {
                    f64::from(n == a) - f64::from(n == b) - self.product(column, &with)
                })
                .collect();
            let by_contrasts = precision.inverse().apply(&unknown);
            let by_contrasts: f64 = by_contrasts.iter().zip(&unknown).map(|(x, y)| x * y).sum();
            (mean, 2.0 * self.variance - self.product(&with, &with) + by_contrasts)
        }
    }

    fn log_determinant(matrix: &Matrix) -> f64 {
        let mut left = matrix.clone();
        let mut sum = 0.0;
        let size = matrix.size();
        for pivot in 0..size {
            sum += left.at(pivot, pivot).ln();
            for row in pivot + 1..size {
                let factor = left.at(row, pivot) / left.at(pivot, pivot);
                for column in pivot..size {
                    *left.at_mut(row, column) -= factor * left.at(pivot, column);
                }
            }
        }
        sum
    }

    fn slices(sums: &[Vec<Sums>]) -> Vec<&[Sums]> {
        sums.iter().map(Vec::as_slice).collect()
    }

    #[test]
    fn shrunk_effects_and_their_errors_are_those_of_all_observations_in_one_matrix() {
        for (seed, spread) in [(1, 0.3), (2, 2.0)] {
            let sums = sums(6, spread, [0.5, 0.0, -0.2, -0.3], seed);
            let group = Group::new(&slices(&sums), OPERATIONS);
            let whole = Whole::new(&slices(&sums), group.variance());
            for (edge, effects) in group.effects().iter().enumerate() {
                assert!(effects.means().iter().sum::<f64>().abs() < 1e-9);
                for (a, b) in pairs(OPERATIONS) {
                    let (mean, variance) = whole.difference(edge, (a, b));
                    let found = effects.means()[a] - effects.means()[b];
                    assert!((found - mean).abs() < 1e-6, "{found} against {mean}");
                    let (found, expected) = (effects.errors_behind(a, b), mean / variance.sqrt());
                    assert!((found - expected).abs() < 1e-5, "{found} against {expected}");
                }
            }
        }
    }

    #[test]
    fn the_variance_between_edges_has_the_largest_restricted_likelihood() {
        for (seed, spread) in [(3, 0.7), (4, 3.0)] {
            let sums = sums(8, spread, [0.0; OPERATIONS], seed);
            let variance = Group::new(&slices(&sums), OPERATIONS).variance();
            let likelihood =
                |factor: f64| Whole::new(&slices(&sums), factor * variance).likelihood();
            let most = likelihood(1.0);
            for factor in [0.5, 0.8, 1.25, 2.0] {
                assert!(likelihood(factor) < most, "seed {seed}, τ² {variance}, {factor}");
            }
        }
    }

    #[test]
    fn noise_has_no_significant_effects_however_many_draws_there_are() {
        let (mut large, mut all) = (0, 0);
        for seed in 10..40 {
            let sums = sums(14, 0.0, [0.0; OPERATIONS], seed);
            for effects in Group::new(&slices(&sums), OPERATIONS).effects() {
                for (a, b) in pairs(OPERATIONS) {
                    large += usize::from(effects.errors_behind(a, b).abs() > 2.0);
                    all += 1;
                }
            }
        }
        // By chance, one of twenty.
        assert!(large * 10 < all, "{large} of {all}");
    }

    #[test]
    fn nothing_is_known_of_what_was_never_drawn() {
        let none = vec![vec![Sums::default(); PAIRS]; 3];
        for effects in Group::new(&slices(&none), OPERATIONS).effects() {
            assert_eq!(effects.means(), [0.0; OPERATIONS]);
            assert!(pairs(OPERATIONS).all(|(a, b)| effects.errors_behind(a, b) == 0.0));
        }
    }
}
