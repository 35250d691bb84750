//! Cross-entropy over all classes.

use super::softmax::Chunk;
use super::{Gradient, Term};

/// The mean over voxels of -ln of the probability of the true class. It teaches a class's absence
/// too.
pub(super) struct CrossEntropy;

impl Term for CrossEntropy {
    fn sums(&self, chunk: &Chunk) -> Vec<f64> {
        vec![chunk.surprise]
    }

    fn judge(&self, sums: &[f64], weight: f64, voxels: usize) -> (f64, Gradient) {
        let share = weight / voxels as f64;
        let add = move |chunk: &Chunk, _: &mut [f32], by_logit: &mut [f32]| {
            let rows = by_logit.chunks_exact_mut(chunk.target.len());
            for (c, (row, p)) in rows.zip(chunk.rows(&chunk.probabilities)).enumerate() {
                for ((g, &t), p) in row.iter_mut().zip(chunk.target).zip(p) {
                    let is_true = if usize::from(t) == c { 1.0 } else { 0.0 };
                    *g += share as f32 * (p - is_true);
                }
            }
        };
        (share * sums.iter().sum::<f64>(), Box::new(add))
    }
}
