//! A chunk of voxels: what a network says of them, and what is true.

use medvol::{ClassMap, Target};

use super::{sigmoid, softmax};

/// Voxels summed in one go.
pub(super) const CHUNK: usize = 4096;
/// Logits are told apart as far as this below the largest: e^-50 changes no sum, and its products
/// stay in the normal range of `f32`.
pub(super) const FARTHEST: f32 = -50.0;

/// Up to [`CHUNK`] voxels of one case with what a term may look at.
///
/// An ignored voxel has no probability of anything, and nothing is true of it: no sum has it in it,
/// and neither activation hands it a gradient.
pub(super) struct Chunk<'a> {
    /// Number of outputs of the network.
    pub outputs: usize,
    /// `[outputs, voxels]`, from the logits.
    pub probabilities: Vec<f32>,
    /// Σ -ln of the probability of what is true, finite also where that underflows.
    pub surprise: f64,
    /// Number of voxels that are not ignored.
    pub known: usize,
    truth: Truth<'a>,
}

/// What is true of the voxels of a chunk.
enum Truth<'a> {
    /// The class of each.
    Classes(&'a [u8]),
    /// `[regions, voxels]`: 1 inside.
    Regions { inside: Vec<u8>, voxels: usize },
}

impl<'a> Chunk<'a> {
    /// From the logits of every output, `row(output)`, and the class of each voxel.
    pub fn new<'b>(
        target: &Target,
        outputs: usize,
        row: impl Fn(usize) -> &'b [f32],
        classes: &'a [u8],
    ) -> Self {
        let known = classes.iter().filter(|&&class| class != ClassMap::IGNORED).count();
        let (probabilities, surprise, truth) = match target {
            Target::Classes => {
                let (probabilities, surprise) = softmax::probabilities(outputs, row, classes);
                (probabilities, surprise, Truth::Classes(classes))
            }
            Target::Regions(regions) => {
                let mut inside = Vec::with_capacity(regions.len() * classes.len());
                for region in regions {
                    let mut holds = [0; 1 << u8::BITS];
                    region.classes.iter().for_each(|&class| holds[usize::from(class)] = 1);
                    inside.extend(classes.iter().map(|&class| holds[usize::from(class)]));
                }
                let (probabilities, surprise) = sigmoid::probabilities(row, &inside, classes);
                let voxels = classes.len();
                (probabilities, surprise, Truth::Regions { inside, voxels })
            }
        };
        Self { outputs, probabilities, surprise, known, truth }
    }

    /// Number of voxels.
    pub fn voxels(&self) -> usize {
        match &self.truth {
            Truth::Classes(classes) => classes.len(),
            Truth::Regions { voxels, .. } => *voxels,
        }
    }

    /// What an output is to say: it is true where the row has the value.
    pub fn truth(&self, output: usize) -> (&[u8], u8) {
        match &self.truth {
            Truth::Classes(classes) => (classes, u8::try_from(output).unwrap_or(ClassMap::IGNORED)),
            Truth::Regions { inside, voxels } => (&inside[output * voxels..][..*voxels], 1),
        }
    }

    /// Output by output, the rows of something shaped as [`Self::probabilities`].
    pub fn rows<'b, T>(&self, values: &'b [T]) -> impl Iterator<Item = &'b [T]> {
        values.chunks_exact(self.voxels())
    }

    /// Fills `rows`, one an output, with d loss / d logits, from d loss / d probabilities and what
    /// depends on the logits besides, both `[outputs, voxels]`. A gradient below `least` is 0.
    pub fn through(
        &self,
        by_probability: &[f32],
        by_logit: &[f32],
        least: f32,
        rows: &mut [&mut [f32]],
    ) {
        let (p, dp, ds) = (&self.probabilities, by_probability, by_logit);
        // dL/ds = p · (dL/dp - Σ p · dL/dp) + …, for regions p · (1 - p) · dL/dp + …
        let mean = match &self.truth {
            Truth::Classes(_) => softmax::means(self.rows(p).zip(self.rows(dp)), self.voxels()),
            Truth::Regions { .. } => Vec::new(),
        };
        let outputs = self.rows(p).zip(self.rows(dp)).zip(self.rows(ds));
        for (row, ((p, dp), ds)) in rows.iter_mut().zip(outputs) {
            let at = row.iter_mut().zip(p).zip(dp).zip(ds);
            let kept = |g: f32| if g.abs() < least { 0.0 } else { g };
            match &self.truth {
                Truth::Classes(_) => {
                    at.zip(&mean).for_each(|((((out, p), dp), ds), mean)| {
                        *out = kept(p * (dp - mean) + ds);
                    });
                }
                Truth::Regions { .. } => {
                    at.for_each(|(((out, p), dp), ds)| *out = kept(p * (1.0 - p) * dp + ds));
                }
            }
        }
    }
}

/// e^x for x of at most 0, to within 2e-7 of the value: plain arithmetic, which the compiler can do
/// for many elements at a time. What is below [`FARTHEST`] is taken for that.
pub(super) fn exp(x: f32) -> f32 {
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

/// Σ ln of values between 1 and 256: sixteen of them can be multiplied before the logarithm is
/// taken.
pub(super) fn sum_of_logarithms(values: &[f32]) -> f64 {
    values
        .chunks(16)
        .map(|values| values.iter().map(|&value| f64::from(value)).product::<f64>().ln())
        .sum::<f64>()
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
