//! Soft Dice over the foreground classes, or the regions (Milletari et al. 2016b; paper section 4).

use super::chunk::Chunk;
use super::{Gradient, Term, Whole};

/// Added to the numerator and denominator of Dice.
pub(super) const SMOOTH: f64 = 1e-5;

/// One minus the mean over the foreground classes, or the regions, of `2 Σ p·t / (Σ p + Σ t)`, each
/// sum over the batch as a whole. A structure absent from all of it takes no part, where it could
/// only push with a gradient that says nothing about its shape.
pub(super) struct Dice;

impl Term for Dice {
    /// Output by output: Σ p·t, Σ p, Σ t.
    fn sums(&self, chunk: &Chunk) -> Vec<f64> {
        let outputs = chunk.outputs;
        let mut sums = vec![0.0; 3 * outputs];
        let (overlap, rest) = sums.split_at_mut(outputs);
        let (predicted, present) = rest.split_at_mut(outputs);
        for (c, p) in chunk.rows(&chunk.probabilities).enumerate() {
            let (truth, is) = chunk.truth(c);
            let (mut shared, mut said, mut voxels) = (0.0, 0.0, 0_u32);
            for (&p, &t) in p.iter().zip(truth) {
                // No branch: where structures begin and end cannot be foreseen.
                let (p, is_true) = (f64::from(p), u32::from(t == is));
                said += p;
                shared += p * f64::from(is_true);
                voxels += is_true;
            }
            (overlap[c], predicted[c], present[c]) = (shared, said, f64::from(voxels));
        }
        sums
    }

    fn judge(&self, sums: &[f64], weight: f64, whole: &Whole) -> (f64, Gradient) {
        let outputs = sums.len() / 3;
        let (overlap, rest) = sums.split_at(outputs);
        let (predicted, present) = rest.split_at(outputs);
        let scored: Vec<usize> =
            (whole.first_structure..outputs).filter(|&c| present[c] > 0.0).collect();
        let share = weight / scored.len().max(1) as f64;
        // d value / dp = on_true·t + everywhere, per output.
        let (mut on_true, mut everywhere) = (vec![0.0_f32; outputs], vec![0.0_f32; outputs]);
        let mut value = 0.0;
        for &c in &scored {
            let (top, bottom) = (2.0 * overlap[c] + SMOOTH, predicted[c] + present[c] + SMOOTH);
            value += share * (1.0 - top / bottom);
            on_true[c] = (-share * 2.0 / bottom) as f32;
            everywhere[c] = (share * top / (bottom * bottom)) as f32;
        }
        let add = move |chunk: &Chunk, by_probability: &mut [f32], _: &mut [f32]| {
            for (c, row) in by_probability.chunks_exact_mut(chunk.voxels()).enumerate() {
                let (truth, is) = chunk.truth(c);
                for (g, &t) in row.iter_mut().zip(truth) {
                    *g += everywhere[c] + if t == is { on_true[c] } else { 0.0 };
                }
            }
        };
        (value, Box::new(add))
    }
}

#[cfg(test)]
mod tests {
    use medvol::Target;

    use crate::learn::loss::{Loss, random_case};

    #[test]
    fn a_class_absent_from_the_patch_leaves_the_gradient_finite_and_of_the_other_classes_only() {
        let dice = "dice".parse().unwrap();
        let (logits, mut target) = random_case(2, 1, 3, 50);
        target.iter_mut().for_each(|t| *t = (*t).min(1));
        let loss = Loss::new(dice, &Target::Classes, &logits, &target, 1, 3);
        assert!(loss.value.is_finite() && loss.gradient.iter().all(|g| g.is_finite()));
        target.fill(0);
        let loss = Loss::new(dice, &Target::Classes, &logits, &target, 1, 3);
        assert_eq!(loss.value, 0.0);
        assert!(loss.gradient.iter().all(|&g| g == 0.0));
    }
}
