//! The probabilities of a chunk of voxels.

/// Voxels summed in one go.
pub(super) const CHUNK: usize = 4096;
/// Logits are told apart as far as this below the largest: e^-50 changes no sum, and its products
/// stay in the normal range of `f32`.
pub(super) const FARTHEST: f32 = -50.0;

/// Up to [`CHUNK`] voxels of one case with what a term may look at.
pub(super) struct Chunk<'a> {
    /// Number of classes.
    pub classes: usize,
    /// The true class of every voxel.
    pub target: &'a [u8],
    /// `[classes, voxels]`, the softmax of the logits.
    pub probabilities: Vec<f32>,
    /// Σ -ln of the probability of the true class, finite also where that underflows.
    pub surprise: f64,
}

impl<'a> Chunk<'a> {
    /// From the logits of every class, `row(class)` of as many voxels as `target` has.
    pub fn new<'b>(classes: usize, row: impl Fn(usize) -> &'b [f32], target: &'a [u8]) -> Self {
        let len = target.len();
        let mut p = vec![0.0_f32; classes * len];
        let mut max = row(0).to_vec();
        for c in 1..classes {
            max.iter_mut().zip(row(c)).for_each(|(m, s)| *m = m.max(*s));
        }
        let mut sum = vec![0.0_f32; len];
        for (c, p) in p.chunks_exact_mut(len).enumerate() {
            for (((p, s), m), sum) in p.iter_mut().zip(row(c)).zip(&max).zip(&mut sum) {
                *p = exp(s - m);
                *sum += *p;
            }
        }
        for p in p.chunks_exact_mut(len) {
            p.iter_mut().zip(&sum).for_each(|(p, sum)| *p /= sum);
        }
        let mut surprise = 0.0;
        for (v, &t) in target.iter().enumerate() {
            // From the logits themselves: finite also where the probability underflows.
            surprise += f64::from(max[v] - row(usize::from(t))[v]);
        }
        // Each sum is between 1 and 256: sixteen of them can be multiplied before the logarithm is
        // taken.
        surprise += sum
            .chunks(16)
            .map(|sums| sums.iter().map(|&s| f64::from(s)).product::<f64>().ln())
            .sum::<f64>();
        Self { classes, target, probabilities: p, surprise }
    }

    /// Class by class, the rows of something shaped as [`Self::probabilities`].
    pub fn rows<'b, T>(&self, values: &'b [T]) -> impl Iterator<Item = &'b [T]> {
        values.chunks_exact(self.target.len())
    }
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
}
