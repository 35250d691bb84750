//! The loss of logits and its exact gradient: a weighted sum of terms (paper section 4).
//!
//! Value and gradient are computed here, in f64 sums over chunks of fixed size, so that they do not
//! depend on the number of threads. [`Loss::attach`] puts the gradient on the tape: the scalar Σ
//! logits · gradient has exactly that gradient.

use std::sync::{Mutex, PoisonError};

use burn::tensor::{Tensor, TensorData};
use volops::map_indices;

mod cross_entropy;
mod dice;
mod softmax;
mod terms;

use softmax::{CHUNK, Chunk};
pub use terms::LossTerms;

/// A gradient of less is 0. Beside the 1e-8 of Adam's denominator it moves a weight by nothing that
/// counts, and in a network that is sure of itself whole gradients would come so close to zero that
/// they leave the normal range of `f32`, where many processors take a hundred times as long for a
/// multiplication.
const LEAST: f32 = 1e-18;

/// One term of a loss.
trait Term: Sync {
    /// What it has to add up over all voxels, from a chunk of them.
    fn sums(&self, chunk: &Chunk) -> Vec<f64>;

    /// Its value, times `weight`, and the gradient of that, from the sums over a batch of `voxels`.
    fn judge(&self, sums: &[f64], weight: f64, voxels: usize) -> (f64, Gradient);
}

/// Adds a term's gradient on a chunk to the two slices, both `[classes, voxels]`: what it is with
/// respect to the probabilities, and what it is with respect to the logits besides.
type Gradient = Box<dyn Fn(&Chunk, &mut [f32], &mut [f32]) + Send + Sync>;

/// A loss and its gradient with respect to the logits.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Value.
    pub value: f64,
    /// d value / d logits, `[batch, classes, voxels]`.
    pub gradient: Vec<f32>,
}

impl Loss {
    /// Loss of logits `[batch, classes, voxels]` against class indices `target` `[batch, voxels]`.
    ///
    /// # Panics
    /// If the lengths do not fit together, or a class index is too large.
    pub fn new(
        terms: LossTerms,
        logits: &[f32],
        target: &[u8],
        batch: usize,
        classes: usize,
    ) -> Self {
        let voxels = target.len() / batch;
        let chunks = voxels.div_ceil(CHUNK);
        // A voxel's class takes about 3 ns in each of the two passes.
        let nanoseconds = 3 * logits.len();
        let parts: Vec<(Chunk, Vec<Vec<f64>>)> = map_indices(batch * chunks, nanoseconds, |i| {
            let (b, start) = (i / chunks, i % chunks * CHUNK);
            let len = CHUNK.min(voxels - start);
            let row = |c: usize| &logits[(b * classes + c) * voxels + start..][..len];
            let chunk = Chunk::new(classes, row, &target[b * voxels + start..][..len]);
            let sums = terms.active().map(|(_, term)| term.sums(&chunk)).collect();
            (chunk, sums)
        });
        let mut value = 0.0;
        let mut gradients: Vec<Gradient> = Vec::new();
        for (i, (weight, term)) in terms.active().enumerate() {
            let total = sum_up(parts.iter().map(|(_, sums)| &sums[i][..]));
            let (of_term, gradient) = term.judge(&total, weight, target.len());
            value += of_term;
            gradients.push(gradient);
        }

        let mut gradient = vec![0.0_f32; logits.len()];
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
            gradient_of_chunk(&parts[i].0, &gradients, &mut rows);
        });
        drop(pieces);
        Self { value, gradient }
    }

    /// Loss of the logits `[batch, classes, depth, height, width]` of a network against class
    /// indices `target` `[batch, depth, height, width]`.
    ///
    /// # Panics
    /// If the shapes do not fit together, or a class index is too large.
    pub fn of_tensor(terms: LossTerms, logits: &Tensor<5>, target: &[u8]) -> Self {
        let [batch, classes, ..] = logits.dims();
        let data = logits.clone().into_data();
        let logits = data.as_slice::<f32>().unwrap_or_else(|e| panic!("logits are f32: {e:?}"));
        Self::new(terms, logits, target, batch, classes)
    }

    /// A scalar on the tape of `logits` whose gradient is this loss's.
    pub fn attach(self, logits: Tensor<5>) -> Tensor<1> {
        let shape = logits.dims();
        let gradient =
            Tensor::<5>::from_data(TensorData::new(self.gradient, shape), &logits.device().inner());
        (logits * Tensor::from_inner(gradient)).sum()
    }
}

/// Sums of equal length, added up one after the other.
fn sum_up<'a>(parts: impl Iterator<Item = &'a [f64]>) -> Vec<f64> {
    parts.fold(Vec::new(), |mut total, part| {
        total.resize(part.len(), 0.0);
        total.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        total
    })
}

/// Fills the rows of all classes with d loss / d logits.
fn gradient_of_chunk(chunk: &Chunk, gradients: &[Gradient], rows: &mut [&mut [f32]]) {
    let (p, len) = (&chunk.probabilities, chunk.target.len());
    let (mut by_probability, mut by_logit) = (vec![0.0_f32; p.len()], vec![0.0_f32; p.len()]);
    gradients.iter().for_each(|add| add(chunk, &mut by_probability, &mut by_logit));
    // Through the softmax: dL/ds = p · (dL/dp - Σ p · dL/dp).
    let mut mean = vec![0.0_f32; len];
    for (p, dp) in chunk.rows(p).zip(chunk.rows(&by_probability)) {
        mean.iter_mut().zip(p).zip(dp).for_each(|((mean, p), dp)| *mean += p * dp);
    }
    let classes = chunk.rows(p).zip(chunk.rows(&by_probability)).zip(chunk.rows(&by_logit));
    for (row, ((p, dp), ds)) in rows.iter_mut().zip(classes) {
        for ((((out, p), dp), ds), mean) in row.iter_mut().zip(p).zip(dp).zip(ds).zip(&mean) {
            let g = p * (dp - mean) + ds;
            *out = if g.abs() < LEAST { 0.0 } else { g };
        }
    }
}

#[cfg(test)]
fn random_case(seed: u64, batch: usize, classes: usize, voxels: usize) -> (Vec<f32>, Vec<u8>) {
    use crate::random::{Stream, rng};
    use rand::RngExt as _;

    let mut r = rng(seed, Stream::Weights, 0);
    let logits = (0..batch * classes * voxels).map(|_| r.random_range(-2.0..2.0)).collect();
    let target = (0..batch * voxels).map(|_| r.random_range(0..classes as u8)).collect();
    (logits, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSES: [&str; 5] = [
        r#""dice""#,
        r#""cross-entropy""#,
        r#""dice-cross-entropy""#,
        r#"{ "dice": 0.3, "cross-entropy": 0.2 }"#,
        r#"{ "dice": 4.0, "cross-entropy": 0.1 }"#,
    ];

    fn terms(loss: &str) -> LossTerms {
        serde_json::from_str(loss).unwrap()
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        for setting in LOSSES {
            let terms = terms(setting);
            let (logits, target) = random_case(1, 2, 3, 11);
            let loss = Loss::new(terms, &logits, &target, 2, 3);
            for i in 0..logits.len() {
                let at = |h: f32| {
                    let mut s = logits.clone();
                    s[i] += h;
                    Loss::new(terms, &s, &target, 2, 3).value
                };
                let numeric = (at(1e-2) - at(-1e-2)) / 2e-2;
                assert!((f64::from(loss.gradient[i]) - numeric).abs() < 2e-5, "{setting} {i}");
            }
        }
    }

    #[test]
    fn however_sure_the_logits_are_no_gradient_is_near_the_end_of_the_range_of_f32() {
        let (logits, target) = random_case(4, 1, 3, 5000);
        for setting in LOSSES {
            let terms = terms(setting);
            for factor in (0..=8).map(|power| 10.0_f32.powi(power)) {
                let logits: Vec<f32> = logits.iter().map(|s| s * factor).collect();
                let loss = Loss::new(terms, &logits, &target, 1, 3);
                assert!(
                    loss.gradient.iter().all(|&g| g == 0.0 || g.abs() >= LEAST),
                    "{setting} {factor}"
                );
            }
        }
    }

    #[test]
    fn a_perfect_prediction_has_a_loss_near_zero_and_a_wrong_one_near_its_maximum() {
        let target = [0_u8, 1, 2, 1, 0, 2];
        let logits = |right: f32| -> Vec<f32> {
            (0..3)
                .flat_map(|c| {
                    target.iter().map(move |&t| if usize::from(t) == c { right } else { -right })
                })
                .collect()
        };
        assert!(Loss::new(terms(LOSSES[2]), &logits(20.0), &target, 1, 3).value < 1e-4);
        assert!(Loss::new(terms(LOSSES[0]), &logits(-20.0), &target, 1, 3).value > 0.99);
    }

    #[test]
    fn the_loss_is_the_same_for_any_number_of_threads() {
        let (logits, target) = random_case(3, 2, 3, 10_000);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Loss::new(terms(LOSSES[2]), &logits, &target, 2, 3))
        };
        let (one, three) = (run(1), run(3));
        assert_eq!(one.value.to_bits(), three.value.to_bits());
        assert_eq!(one.gradient, three.gradient);
    }
}
