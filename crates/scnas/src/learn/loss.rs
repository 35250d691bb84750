//! Soft Dice over the foreground classes (Milletari et al. 2016b; paper section 4), optionally with
//! cross-entropy, and its exact gradient.
//!
//! Value and gradient are computed here, in f64 sums over chunks of fixed size, so that they do not
//! depend on the number of threads. [`Loss::attach`] puts the gradient on the tape: the surrogate Σ
//! logits · gradient has exactly that gradient.

use std::sync::{Mutex, PoisonError};

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};
use volops::map_indices;

/// Which loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// Multi-class soft Dice (paper).
    Dice,
    /// Soft Dice + cross-entropy.
    #[default]
    DiceCrossEntropy,
}

/// Added to the numerator and denominator of Dice.
const SMOOTH: f64 = 1e-5;
/// Voxels summed in one go.
const CHUNK: usize = 4096;
/// A gradient of less is 0. Beside the 1e-8 of Adam's denominator it moves a weight by nothing that
/// counts, and in a network that is sure of itself whole gradients would come so close to zero that
/// they leave the normal range of `f32`, where many processors take a hundred times as long for a
/// multiplication.
const LEAST: f32 = 1e-18;
/// Class scores are told apart as far as this below the largest: e^-50 changes no sum, and its
/// products stay in the normal range of `f32`.
const FARTHEST: f32 = -50.0;

/// A loss and its gradient with respect to the class scores.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Value.
    pub value: f64,
    /// d value / d scores, `[batch, classes, voxels]`.
    pub gradient: Vec<f32>,
}

/// Per class over a batch: Σ p·t, Σ p, Σ t; and Σ -ln p of the true class.
#[derive(Clone)]
struct Sums {
    overlap: Vec<f64>,
    predicted: Vec<f64>,
    present: Vec<f64>,
    surprise: f64,
}

impl Loss {
    /// Loss of class scores `[batch, classes, voxels]` against class indices `target` `[batch,
    /// voxels]`. The Dice of a foreground class is taken over the batch as a whole. A class
    /// absent from all of it takes no part in the Dice term, where it could only push with a
    /// gradient that says nothing about its shape; cross-entropy still teaches its absence.
    pub fn new(
        kind: LossKind,
        scores: &[f32],
        target: &[u8],
        batch: usize,
        classes: usize,
    ) -> Self {
        let voxels = target.len() / batch;
        let chunks = voxels.div_ceil(CHUNK);
        // Probabilities of one chunk of voxels, [classes][len], and what they sum to.
        // A voxel's class takes about 3 ns in each of the two passes.
        let nanoseconds = 3 * scores.len();
        let parts: Vec<(Vec<f32>, Sums)> = map_indices(batch * chunks, nanoseconds, |i| {
            let (b, start) = (i / chunks, i % chunks * CHUNK);
            let len = CHUNK.min(voxels - start);
            let rows = |c: usize| &scores[(b * classes + c) * voxels + start..][..len];
            chunk_probabilities(classes, len, rows, &target[b * voxels + start..][..len])
        });
        let mut total = Sums {
            overlap: vec![0.0; classes],
            predicted: vec![0.0; classes],
            present: vec![0.0; classes],
            surprise: 0.0,
        };
        for (_, s) in &parts {
            for c in 0..classes {
                total.overlap[c] += s.overlap[c];
                total.predicted[c] += s.predicted[c];
                total.present[c] += s.present[c];
            }
            total.surprise += s.surprise;
        }

        let scored: Vec<usize> = (1..classes).filter(|&c| total.present[c] > 0.0).collect();
        let share = 1.0 / scored.len().max(1) as f64;
        // dDice/dp = on_true·t + everywhere, per class.
        let (mut on_true, mut everywhere) = (vec![0.0_f32; classes], vec![0.0_f32; classes]);
        let mut value = 0.0;
        for &c in &scored {
            let (top, bottom) =
                (2.0 * total.overlap[c] + SMOOTH, total.predicted[c] + total.present[c] + SMOOTH);
            value += share * (1.0 - top / bottom);
            on_true[c] = (-share * 2.0 / bottom) as f32;
            everywhere[c] = (share * top / (bottom * bottom)) as f32;
        }
        let cross_entropy = match kind {
            LossKind::Dice => 0.0,
            LossKind::DiceCrossEntropy => 1.0 / target.len() as f64,
        };
        value += cross_entropy * total.surprise;

        let mut gradient = vec![0.0_f32; scores.len()];
        // The rows of all classes of a chunk.
        let mut pieces: Vec<Vec<&mut [f32]>> =
            (0..batch * chunks).map(|_| Vec::with_capacity(classes)).collect();
        for (row, values) in gradient.chunks_mut(voxels).enumerate() {
            for (chunk, piece) in values.chunks_mut(CHUNK).enumerate() {
                pieces[row / classes * chunks + chunk].push(piece);
            }
        }
        let pieces: Vec<_> = pieces.into_iter().map(Mutex::new).collect();
        map_indices(pieces.len(), nanoseconds, |i| {
            let mut rows = pieces[i].lock().unwrap_or_else(PoisonError::into_inner);
            let target = &target[i / chunks * voxels + i % chunks * CHUNK..];
            let p = &parts[i].0;
            let len = p.len() / classes;
            let dp = |c: usize, v: usize| {
                everywhere[c] + if usize::from(target[v]) == c { on_true[c] } else { 0.0 }
            };
            let mut mean = vec![0.0_f32; len];
            for (c, p) in p.chunks_exact(len).enumerate() {
                mean.iter_mut().zip(p).enumerate().for_each(|(v, (mean, p))| *mean += p * dp(c, v));
            }
            for (c, (row, p)) in rows.iter_mut().zip(p.chunks_exact(len)).enumerate() {
                for (v, ((out, p), mean)) in row.iter_mut().zip(p).zip(&mean).enumerate() {
                    let is_true = if usize::from(target[v]) == c { 1.0 } else { 0.0 };
                    let g = p * (dp(c, v) - mean) + cross_entropy as f32 * (p - is_true);
                    *out = if g.abs() < LEAST { 0.0 } else { g };
                }
            }
        });
        drop(pieces);
        Self { value, gradient }
    }

    /// Loss of the scores `[batch, classes, depth, height, width]` of a network.
    pub fn of_tensor(kind: LossKind, scores: &Tensor<5>, target: &[u8]) -> Self {
        let [batch, classes, ..] = scores.dims();
        let data = scores.clone().into_data();
        // Scores are f32 by construction.
        Self::new(kind, data.as_slice::<f32>().unwrap_or(&[]), target, batch, classes)
    }

    /// A scalar on the tape of `scores` whose gradient is this loss's.
    pub fn attach(self, scores: Tensor<5>) -> Tensor<1> {
        let shape = scores.dims();
        let gradient =
            Tensor::<5>::from_data(TensorData::new(self.gradient, shape), &scores.device().inner());
        (scores * Tensor::from_inner(gradient)).sum()
    }
}

fn chunk_probabilities<'a>(
    classes: usize,
    len: usize,
    rows: impl Fn(usize) -> &'a [f32],
    target: &[u8],
) -> (Vec<f32>, Sums) {
    let mut p = vec![0.0_f32; classes * len];
    let mut max = rows(0).to_vec();
    for c in 1..classes {
        max.iter_mut().zip(rows(c)).for_each(|(m, s)| *m = m.max(*s));
    }
    let mut sum = vec![0.0_f32; len];
    for c in 0..classes {
        for (((p, s), m), sum) in
            p[c * len..][..len].iter_mut().zip(rows(c)).zip(&max).zip(&mut sum)
        {
            *p = exp(s - m);
            *sum += *p;
        }
    }
    let mut sums = Sums {
        overlap: vec![0.0; classes],
        predicted: vec![0.0; classes],
        present: vec![0.0; classes],
        surprise: 0.0,
    };
    for c in 0..classes {
        let mut predicted = 0.0;
        for (p, sum) in p[c * len..][..len].iter_mut().zip(&sum) {
            *p /= sum;
            predicted += f64::from(*p);
        }
        sums.predicted[c] = predicted;
    }
    for (v, &t) in target.iter().enumerate() {
        let t = usize::from(t);
        sums.overlap[t] += f64::from(p[t * len + v]);
        sums.present[t] += 1.0;
        // -ln softmax from the scores themselves: finite also where the probability underflows.
        sums.surprise += f64::from(max[v] - rows(t)[v]);
    }
    // Each sum is between 1 and 256: sixteen of them can be multiplied before the logarithm is
    // taken.
    sums.surprise += sum
        .chunks(16)
        .map(|sums| sums.iter().map(|&s| f64::from(s)).product::<f64>().ln())
        .sum::<f64>();
    (p, sums)
}

/// e^x for x of at most 0, to within 2e-7 of the value: plain arithmetic, which the compiler can do
/// for many elements at a time. What is below [`FARTHEST`] is taken for that.
fn exp(x: f32) -> f32 {
    /// Adding this rounds to an integer, which the lowest bits then hold.
    const ROUND: f32 = 12_582_912.0;
    let x = x.max(FARTHEST);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first with few enough bits for an exact product.
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let series = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let value = series.iter().fold(0.0, |value, c| value * r + c);
    value * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Stream, rng};
    use rand::RngExt as _;

    fn random_case(seed: u64, batch: usize, classes: usize, voxels: usize) -> (Vec<f32>, Vec<u8>) {
        let mut r = rng(seed, Stream::Weights, 0);
        let scores = (0..batch * classes * voxels).map(|_| r.random_range(-2.0..2.0)).collect();
        let target = (0..batch * voxels).map(|_| r.random_range(0..classes as u8)).collect();
        (scores, target)
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        for kind in [LossKind::Dice, LossKind::DiceCrossEntropy] {
            let (scores, target) = random_case(1, 2, 3, 11);
            let loss = Loss::new(kind, &scores, &target, 2, 3);
            for i in 0..scores.len() {
                let at = |h: f32| {
                    let mut s = scores.clone();
                    s[i] += h;
                    Loss::new(kind, &s, &target, 2, 3).value
                };
                let numeric = (at(1e-2) - at(-1e-2)) / 2e-2;
                assert!((f64::from(loss.gradient[i]) - numeric).abs() < 2e-5, "{kind:?} {i}");
            }
        }
    }

    #[test]
    fn a_class_absent_from_the_patch_leaves_the_dice_gradient_finite_and_of_the_other_classes_only()
    {
        let (scores, mut target) = random_case(2, 1, 3, 50);
        target.iter_mut().for_each(|t| *t = (*t).min(1));
        let loss = Loss::new(LossKind::Dice, &scores, &target, 1, 3);
        assert!(loss.value.is_finite() && loss.gradient.iter().all(|g| g.is_finite()));
        target.fill(0);
        let loss = Loss::new(LossKind::Dice, &scores, &target, 1, 3);
        assert_eq!(loss.value, 0.0);
        assert!(loss.gradient.iter().all(|&g| g == 0.0));
    }

    #[test]
    fn the_exponential_equals_that_of_the_standard_library() {
        for i in 0..=100_000 {
            let x = FARTHEST * i as f32 / 100_000.0;
            let expected = f64::from(x).exp();
            assert!(
                (f64::from(exp(x)) - expected).abs() <= 2e-7 * expected,
                "{x}: {} instead of {expected}",
                exp(x)
            );
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-21 && exp(-1e30) < 1e-21);
    }

    #[test]
    fn however_sure_the_scores_are_no_gradient_is_near_the_end_of_the_range_of_f32() {
        let (scores, target) = random_case(4, 1, 3, 5000);
        for kind in [LossKind::Dice, LossKind::DiceCrossEntropy] {
            for factor in (0..=8).map(|power| 10.0_f32.powi(power)) {
                let scores: Vec<f32> = scores.iter().map(|s| s * factor).collect();
                let loss = Loss::new(kind, &scores, &target, 1, 3);
                assert!(
                    loss.gradient.iter().all(|&g| g == 0.0 || g.abs() >= LEAST),
                    "{kind:?} {factor}"
                );
            }
        }
    }

    #[test]
    fn a_perfect_prediction_has_a_loss_near_zero_and_a_wrong_one_near_its_maximum() {
        let target = [0_u8, 1, 2, 1, 0, 2];
        let scores = |right: f32| -> Vec<f32> {
            (0..3)
                .flat_map(|c| {
                    target.iter().map(move |&t| if usize::from(t) == c { right } else { -right })
                })
                .collect()
        };
        assert!(Loss::new(LossKind::DiceCrossEntropy, &scores(20.0), &target, 1, 3).value < 1e-4);
        assert!(Loss::new(LossKind::Dice, &scores(-20.0), &target, 1, 3).value > 0.99);
    }

    #[test]
    fn the_loss_is_the_same_for_any_number_of_threads() {
        let (scores, target) = random_case(3, 2, 3, 10_000);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Loss::new(LossKind::DiceCrossEntropy, &scores, &target, 2, 3))
        };
        let (one, three) = (run(1), run(3));
        assert_eq!(one.value.to_bits(), three.value.to_bits());
        assert_eq!(one.gradient, three.gradient);
    }
}
