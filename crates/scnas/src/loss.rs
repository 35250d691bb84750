//! Soft Dice over the foreground classes (Milletari et al. 2016b; paper section 4), optionally with cross-entropy, and its exact
//! gradient.
//!
//! Value and gradient are computed here, in f64 sums over chunks of fixed size, so that they do not depend on the number of
//! threads. [`Loss::attach`] puts the gradient on the tape: the surrogate Σ logits · gradient has exactly that gradient.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

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
    /// Loss of class scores `[batch, classes, voxels]` against class indices `target` `[batch, voxels]`. The Dice of a foreground
    /// class is taken over the batch as a whole. A class absent from all of it takes no part in the Dice term, where it could
    /// only push with a gradient that says nothing about its shape; cross-entropy still teaches its absence.
    pub fn new(kind: LossKind, scores: &[f32], target: &[u8], batch: usize, classes: usize) -> Self {
        let voxels = target.len() / batch;
        let chunks = voxels.div_ceil(CHUNK);
        // Probabilities of one chunk of voxels, [classes][len], and what they sum to.
        let parts: Vec<(Vec<f32>, Sums)> = (0..batch * chunks)
            .into_par_iter()
            .map(|i| {
                let (b, start) = (i / chunks, i % chunks * CHUNK);
                let len = CHUNK.min(voxels - start);
                let rows = |c: usize| &scores[(b * classes + c) * voxels + start..][..len];
                chunk_probabilities(classes, len, rows, &target[b * voxels + start..][..len])
            })
            .collect();
        let mut total = Sums { overlap: vec![0.0; classes], predicted: vec![0.0; classes], present: vec![0.0; classes], surprise: 0.0 };
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
            let (top, bottom) = (2.0 * total.overlap[c] + SMOOTH, total.predicted[c] + total.present[c] + SMOOTH);
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
        gradient.par_chunks_mut(classes * voxels).enumerate().for_each(|(b, gradient)| {
            for chunk in 0..chunks {
                let start = chunk * CHUNK;
                let p = &parts[b * chunks + chunk].0;
                let len = p.len() / classes;
                for v in 0..len {
                    let t = usize::from(target[b * voxels + start + v]);
                    let dp = |c: usize| everywhere[c] + if c == t { on_true[c] } else { 0.0 };
                    let mean: f32 = (0..classes).map(|c| p[c * len + v] * dp(c)).sum();
                    for c in 0..classes {
                        let pc = p[c * len + v];
                        let dice = pc * (dp(c) - mean);
                        let ce = cross_entropy as f32 * (pc - if c == t { 1.0 } else { 0.0 });
                        gradient[c * voxels + start + v] = dice + ce;
                    }
                }
            }
        });
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
        let gradient = Tensor::<5>::from_data(TensorData::new(self.gradient, shape), &scores.device().inner());
        (scores * Tensor::from_inner(gradient)).sum()
    }
}

fn chunk_probabilities<'a>(classes: usize, len: usize, rows: impl Fn(usize) -> &'a [f32], target: &[u8]) -> (Vec<f32>, Sums) {
    let mut p = vec![0.0_f32; classes * len];
    let mut max = rows(0).to_vec();
    for c in 1..classes {
        max.iter_mut().zip(rows(c)).for_each(|(m, s)| *m = m.max(*s));
    }
    let mut sum = vec![0.0_f32; len];
    for c in 0..classes {
        for (((p, s), m), sum) in p[c * len..][..len].iter_mut().zip(rows(c)).zip(&max).zip(&mut sum) {
            *p = (s - m).exp();
            *sum += *p;
        }
    }
    let mut sums = Sums { overlap: vec![0.0; classes], predicted: vec![0.0; classes], present: vec![0.0; classes], surprise: 0.0 };
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
        sums.surprise += f64::from(max[v] - rows(t)[v]) + f64::from(sum[v]).ln();
    }
    (p, sums)
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
    fn a_class_absent_from_the_patch_leaves_the_dice_gradient_finite_and_of_the_other_classes_only() {
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
    fn a_perfect_prediction_has_a_loss_near_zero_and_a_wrong_one_near_its_maximum() {
        let target = [0_u8, 1, 2, 1, 0, 2];
        let scores = |right: f32| -> Vec<f32> {
            (0..3).flat_map(|c| target.iter().map(move |&t| if usize::from(t) == c { right } else { -right })).collect()
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
