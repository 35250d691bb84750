//! Soft Dice over the foreground classes (Milletari et al. 2016b; paper section 4).

use super::softmax::Chunk;
use super::{Gradient, Term};

/// Added to the numerator and denominator of Dice.
const SMOOTH: f64 = 1e-5;

/// One minus the mean over the foreground classes of `2 Σ p·t / (Σ p + Σ t)`, each sum over the
/// batch as a whole. A class absent from all of it takes no part, where it could only push with a
/// gradient that says nothing about its shape.
pub(super) struct Dice;

impl Term for Dice {
    /// Class by class: Σ p·t, Σ p, Σ t.
    fn sums(&self, chunk: &Chunk) -> Vec<f64> {
        let classes = chunk.classes;
        let mut sums = vec![0.0; 3 * classes];
        let (overlap, rest) = sums.split_at_mut(classes);
        let (predicted, present) = rest.split_at_mut(classes);
        for (sum, p) in predicted.iter_mut().zip(chunk.rows(&chunk.probabilities)) {
            p.iter().for_each(|&p| *sum += f64::from(p));
        }
        for (v, &t) in chunk.target.iter().enumerate() {
            let t = usize::from(t);
            overlap[t] += f64::from(chunk.probabilities[t * chunk.target.len() + v]);
            present[t] += 1.0;
        }
        sums
    }

    fn judge(&self, sums: &[f64], weight: f64, _: usize) -> (f64, Gradient) {
        let classes = sums.len() / 3;
        let (overlap, rest) = sums.split_at(classes);
        let (predicted, present) = rest.split_at(classes);
        let scored: Vec<usize> = (1..classes).filter(|&c| present[c] > 0.0).collect();
        let share = weight / scored.len().max(1) as f64;
        // d value / dp = on_true·t + everywhere, per class.
        let (mut on_true, mut everywhere) = (vec![0.0_f32; classes], vec![0.0_f32; classes]);
        let mut value = 0.0;
        for &c in &scored {
            let (top, bottom) = (2.0 * overlap[c] + SMOOTH, predicted[c] + present[c] + SMOOTH);
            value += share * (1.0 - top / bottom);
            on_true[c] = (-share * 2.0 / bottom) as f32;
            everywhere[c] = (share * top / (bottom * bottom)) as f32;
        }
        let add = move |chunk: &Chunk, by_probability: &mut [f32], _: &mut [f32]| {
            for (c, row) in by_probability.chunks_exact_mut(chunk.target.len()).enumerate() {
                for (g, &t) in row.iter_mut().zip(chunk.target) {
                    *g += everywhere[c] + if usize::from(t) == c { on_true[c] } else { 0.0 };
                }
            }
        };
        (value, Box::new(add))
    }
}

#[cfg(test)]
mod tests {
    use crate::learn::loss::{Loss, random_case};

    #[test]
    fn a_class_absent_from_the_patch_leaves_the_gradient_finite_and_of_the_other_classes_only() {
        let dice = "dice".parse().unwrap();
        let (logits, mut target) = random_case(2, 1, 3, 50);
        target.iter_mut().for_each(|t| *t = (*t).min(1));
        let loss = Loss::new(dice, &logits, &target, 1, 3);
        assert!(loss.value.is_finite() && loss.gradient.iter().all(|g| g.is_finite()));
        target.fill(0);
        let loss = Loss::new(dice, &logits, &target, 1, 3);
        assert_eq!(loss.value, 0.0);
        assert!(loss.gradient.iter().all(|&g| g == 0.0));
    }
}
