//! Cross-entropy over all classes, or of being in each region or not.

use super::chunk::Chunk;
use super::{Gradient, Term, Whole};

/// The mean over voxels of -ln of the probability of the true class; of regions, the mean over
/// voxels and regions of -ln of the probability of what is true. It teaches absence too.
pub(super) struct CrossEntropy;

impl Term for CrossEntropy {
    fn sums(&self, chunk: &Chunk) -> Vec<f64> {
        vec![chunk.surprise]
    }

    fn judge(&self, sums: &[f64], weight: f64, whole: &Whole) -> (f64, Gradient) {
        let share = weight / whole.decisions.max(1) as f64;
        let add = move |chunk: &Chunk, _: &mut [f32], by_logit: &mut [f32]| {
            let rows = by_logit.chunks_exact_mut(chunk.voxels());
            for (c, (row, p)) in rows.zip(chunk.rows(&chunk.probabilities)).enumerate() {
                let (truth, is) = chunk.truth(c);
                for ((g, &t), p) in row.iter_mut().zip(truth).zip(p) {
                    let is_true = if t == is { 1.0 } else { 0.0 };
                    *g += share as f32 * (p - is_true);
                }
            }
        };
        (share * sums.iter().sum::<f64>(), Box::new(add))
    }
}
