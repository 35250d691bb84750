//! Is one network better than another on the same cases? The mean difference with its bootstrap
//! interval, and Wilcoxon's signed-rank test.
//!
//! Both speak of the very networks, whose cases are the sample: not of other seeds, folds or
//! architectures, which [`crate::report::procedures`] does.

use medvol::metrics::mean_sd;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;

/// What figures speak of, where it is of networks.
pub const NETWORKS: &str = "these networks: cases are the sample";

/// What figures speak of, where it is of what made them.
pub const PROCEDURES: &str = "what made them: networks are the sample";

/// Up to this many differences that are not 0, Wilcoxon's test is exact (as SciPy's is without
/// ties).
const EXACT_UP_TO: usize = 50;
const RESAMPLES: usize = 10_000;

/// A comparison of paired scores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// Pairs compared.
    pub cases: usize,
    /// Mean over the pairs.
    pub mean_difference: f64,
    /// Standard error of it, over cases; `None` of a single pair.
    pub standard_error: Option<f64>,
    /// 95 % percentile bootstrap interval of the mean difference, over cases.
    pub interval_95: [f64; 2],
    /// Pairs with a difference above 0.
    pub better: usize,
    /// Pairs with a difference below 0.
    pub worse: usize,
    /// `None` when no pair differs.
    pub wilcoxon: Option<Wilcoxon>,
}

/// Wilcoxon's signed-rank test of the hypothesis that differences are symmetric about 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Wilcoxon {
    /// The smaller of the rank sums of positive and negative differences.
    pub statistic: f64,
    /// Two-sided.
    pub p: f64,
}

/// Compares pairs by their differences (finite); `None` of none.
pub fn paired(differences: &[f64]) -> Option<Paired> {
    let (mean_difference, _) = mean_sd(differences.iter().copied())?;
    Some(Paired {
        cases: differences.len(),
        mean_difference,
        standard_error: standard_error(differences),
        interval_95: bootstrap(differences),
        better: differences.iter().filter(|d| **d > 0.0).count(),
        worse: differences.iter().filter(|d| **d < 0.0).count(),
        wilcoxon: wilcoxon(differences),
    })
}

/// The standard error of the mean of values; `None` of fewer than two.
pub fn standard_error(values: &[f64]) -> Option<f64> {
    let (_, sd) = mean_sd(values.iter().copied()).filter(|_| values.len() > 1)?;
    Some(sd / (values.len() as f64).sqrt())
}

/// The middle 95 % of the means of [`RESAMPLES`] samples drawn with replacement from at least one
/// value, from a fixed seed.
fn bootstrap(values: &[f64]) -> [f64; 2] {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            values.iter().map(|_| values[rng.random_range(0..values.len())]).sum::<f64>()
                / values.len() as f64
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    let cut = RESAMPLES / 40;
    [means[cut], means[RESAMPLES - 1 - cut]]
}

/// Wilcoxon's signed-rank test. Differences of 0 are dropped, equal ones share their mean rank;
/// `None` when none is left.
///
/// Up to 50 differences p is exact, of all sign patterns of these very ranks; above, it is the
/// normal approximation with the variance corrected for ties, without correction for continuity.
pub fn wilcoxon(differences: &[f64]) -> Option<Wilcoxon> {
    let mut differences: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    differences.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    // Twice the mean rank of each stretch of equals, which is an integer.
    let mut ranks: Vec<usize> = Vec::with_capacity(differences.len());
    let mut ties = 0.0;
    for equals in differences.chunk_by(|a, b| a.abs() == b.abs()) {
        let (before, count) = (ranks.len(), equals.len());
        ranks.resize(before + count, 2 * before + count + 1);
        ties += (count as f64).powi(3) - count as f64;
    }
    let total: usize = ranks.iter().sum();
    let positive: usize =
        ranks.iter().zip(&differences).filter(|(_, d)| **d > 0.0).map(|(rank, _)| rank).sum();
    let smaller = positive.min(total - positive);
    let n = differences.len() as f64;
    let p = match differences.len() {
        0 => return None,
        1..=EXACT_UP_TO => (2.0 * lower_tail(&ranks, smaller)).min(1.0),
        _ => {
            let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
            let z = (total as f64 / 2.0 - smaller as f64) / 2.0 / variance.sqrt();
            erfc(z / 2.0_f64.sqrt())
        }
    };
    Some(Wilcoxon { statistic: smaller as f64 / 2.0, p })
}

/// The probability that the ranks with a positive sign sum up to at most `limit`, when every sign
/// is a fair coin.
fn lower_tail(ranks: &[usize], limit: usize) -> f64 {
    // probability[s]: that the ranks so far sum up to s.
    let mut probability = vec![0.0; limit + 1];
    probability[0] = 1.0;
    for &rank in ranks {
        for sum in (0..=limit).rev() {
            let with = sum.checked_sub(rank).map_or(0.0, |rest| probability[rest]);
            probability[sum] = 0.5 * (probability[sum] + with);
        }
    }
    probability.iter().sum()
}

/// The complementary error function of `x` ≥ 0.
fn erfc(x: f64) -> f64 {
    let scale = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x < 2.5 {
        // erf(x) = 2/√π e^(-x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!, all terms positive.
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term > f64::EPSILON * sum {
            n += 1.0;
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
        }
        1.0 - 2.0 * scale * sum
    } else {
        // The continued fraction e^(-x²)/√π / (x + 1/2 / (x + 2/2 / (x + 3/2 / …))), from inside.
        let fraction = (1..=60).rev().fold(x, |inner, k| x + 0.5 * f64::from(k) / inner);
        scale / fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        differences: Vec<f64>,
        statistic: f64,
        p: f64,
    }

    #[test]
    fn wilcoxon_is_that_of_scipy_exact_and_approximate_with_and_without_ties() {
        // Made by tests/fixtures/wilcoxon.py.
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/fixtures/wilcoxon.json")).unwrap();
        assert!(
            cases.iter().any(|c| c.differences.len() > EXACT_UP_TO)
                && cases.iter().any(|c| c.differences.contains(&0.0))
        );
        for Case { differences, statistic, p } in cases {
            let found = wilcoxon(&differences).unwrap();
            let n = differences.len();
            assert_eq!(found.statistic, statistic, "n = {n}");
            assert!((found.p - p).abs() < 1e-10 * p, "n = {n}: {found:?}, expected {p}");
        }
    }

    #[test]
    fn the_sign_of_all_differences_does_not_matter_to_wilcoxon() {
        let differences: Vec<f64> =
            (1..40).map(|n| f64::from(n * 7919 % 101) / 50.0 - 0.7).collect();
        let turned: Vec<f64> = differences.iter().map(|d| -d).collect();
        assert_eq!(wilcoxon(&differences), wilcoxon(&turned));
    }

    #[test]
    fn the_bootstrap_interval_is_that_of_the_normal_law_for_many_values_and_moves_and_scales_with_them()
     {
        let values: Vec<f64> = (0..400).map(|n| f64::from(n * 7919 % 400) / 400.0).collect();
        let (mean, sd) = mean_sd(values.iter().copied()).unwrap();
        let interval = bootstrap(&values);
        let half_width = 1.96 * sd / 20.0;
        for (found, expected) in interval.into_iter().zip([mean - half_width, mean + half_width]) {
            assert!(
                (found - expected).abs() < 0.05 * half_width,
                "{interval:?}, expected {mean} ± {half_width}"
            );
        }
        let moved: Vec<f64> = values.iter().map(|v| 2.0 * v + 1.0).collect();
        for (found, expected) in bootstrap(&moved).into_iter().zip(interval.map(|v| 2.0 * v + 1.0))
        {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn no_difference_gives_no_test_and_no_values_no_comparison() {
        assert_eq!(wilcoxon(&[0.0, 0.0]), None);
        assert_eq!(paired(&[]), None);
        let same = paired(&[0.0, 0.0]).unwrap();
        assert_eq!(
            (same.mean_difference, same.interval_95, same.better, same.worse),
            (0.0, [0.0, 0.0], 0, 0)
        );
    }
}
