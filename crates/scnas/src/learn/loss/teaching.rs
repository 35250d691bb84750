//! Cross-entropy against what teachers say instead of what is true (Hinton et al. 2015).

use super::chunk::Chunk;
use super::{Gradient, Term, Whole};

/// What teachers say of a batch, and how much that counts.
#[derive(Clone, Copy, Debug)]
pub struct Lesson<'a> {
    /// Their probabilities `[batch, outputs, voxels]`; 0 for all outputs of an ignored voxel.
    pub probabilities: &'a [f32],
    /// Weight of the cross-entropy against them, beside those of the terms of the loss.
    pub weight: f64,
}

/// The mean over voxels of -Σ q · ln p over the classes, with q what teachers say; of regions, the
/// mean over voxels and regions of -q · ln p - (1 - q) · ln (1 - p). Teachers are unsure where labels
/// are a matter of taste, which keeps their pupil from learning those by heart.
pub(super) struct Teaching;

/// A probability is taken for no less before its logarithm is.
const LEAST: f32 = 1e-20;

impl Term for Teaching {
    fn sums(&self, chunk: &Chunk) -> Vec<f64> {
        let surprise = |q: f32, p: f32| -f64::from(q * p.max(LEAST).ln());
        let mut sum = 0.0;
        for (p, q) in chunk.rows(&chunk.probabilities).zip(&chunk.taught) {
            let both = p.iter().zip(*q);
            sum += both.clone().map(|(&p, &q)| surprise(q, p)).sum::<f64>();
            if chunk.is_of_regions() {
                sum += both.map(|(&p, &q)| surprise(1.0 - q, 1.0 - p)).sum::<f64>();
            }
        }
        vec![sum]
    }

    fn judge(&self, sums: &[f64], weight: f64, whole: &Whole) -> (f64, Gradient) {
        let share = weight / whole.decisions.max(1) as f64;
        let add = move |chunk: &Chunk, _: &mut [f32], by_logit: &mut [f32]| {
            let rows = by_logit.chunks_exact_mut(chunk.voxels());
            let said = chunk.rows(&chunk.probabilities).zip(&chunk.taught);
            for (row, (p, q)) in rows.zip(said) {
                for ((g, p), q) in row.iter_mut().zip(p).zip(*q) {
                    *g += share as f32 * (p - q);
                }
            }
        };
        (share * sums.iter().sum::<f64>(), Box::new(add))
    }
}

#[cfg(test)]
mod tests {
    use medvol::Target;

    use super::*;
    use crate::learn::loss::{Loss, LossTerms, random_case};

    /// Probabilities of 3 classes, or regions, of each voxel.
    fn taught(voxels: usize, of_classes: bool) -> Vec<f32> {
        let (logits, _) = random_case(9, 1, 3, voxels);
        let mut q: Vec<f32> = logits.iter().map(|s| s.exp()).collect();
        for v in 0..voxels {
            let sum: f32 = (0..3).map(|c| q[c * voxels + v]).sum();
            for c in 0..3 {
                let q = &mut q[c * voxels + v];
                *q /= if of_classes { sum } else { 8.0 };
            }
        }
        q
    }

    fn targets() -> [Target; 2] {
        let region = |classes: &[u8]| medvol::Region {
            name: String::new(),
            classes: classes.to_vec(),
            written: classes[0],
        };
        [Target::Classes, Target::Regions(vec![region(&[1, 2]), region(&[2]), region(&[1])])]
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let terms: LossTerms = "dice-cross-entropy".parse().unwrap();
        for target in targets() {
            let (logits, classes) = random_case(2, 1, 3, 13);
            let probabilities = taught(13, target == Target::Classes);
            let lesson = Some(Lesson { probabilities: &probabilities, weight: 0.7 });
            let of = |logits: &[f32]| Loss::taught(terms, &target, logits, &classes, 1, 3, lesson);
            let loss = of(&logits);
            for i in 0..logits.len() {
                let at = |h: f32| {
                    let mut s = logits.clone();
                    s[i] += h;
                    of(&s).value
                };
                let numeric = (at(1e-2) - at(-1e-2)) / 2e-2;
                assert!((f64::from(loss.gradient[i]) - numeric).abs() < 2e-5, "{i}");
            }
        }
    }

    #[test]
    fn teachers_that_know_the_truth_teach_what_cross_entropy_does() {
        let terms: LossTerms = "cross-entropy".parse().unwrap();
        let (logits, classes) = random_case(3, 1, 3, 50);
        let truth: Vec<f32> = (0..3_u8)
            .flat_map(|c| classes.iter().map(move |&t| if t == c { 1.0 } else { 0.0 }))
            .collect();
        let lesson = Some(Lesson { probabilities: &truth, weight: 1.0 });
        let plain = Loss::new(terms, &Target::Classes, &logits, &classes, 1, 3);
        let both = Loss::taught(terms, &Target::Classes, &logits, &classes, 1, 3, lesson);
        assert!((both.value - 2.0 * plain.value).abs() < 1e-5);
        for (both, plain) in both.gradient.iter().zip(&plain.gradient) {
            assert!((both - 2.0 * plain).abs() < 1e-6);
        }
    }
}
