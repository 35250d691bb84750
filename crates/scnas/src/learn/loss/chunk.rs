//! A chunk of voxels: what a network says of them, and what is true.

use medvol::{ClassMap, Target};

use super::{sigmoid, softmax};

/// Voxels summed in one go.
pub(super) const CHUNK: usize = 4096;

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
    /// Output by output, what teachers say; empty where there are none.
    pub taught: Vec<&'a [f32]>,
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
        Self { outputs, probabilities, surprise, known, taught: Vec::new(), truth }
    }

    /// Number of voxels.
    pub fn voxels(&self) -> usize {
        match &self.truth {
            Truth::Classes(classes) => classes.len(),
            Truth::Regions { voxels, .. } => *voxels,
        }
    }

    /// Whether the outputs say of regions whether a voxel is inside.
    pub fn is_of_regions(&self) -> bool {
        matches!(self.truth, Truth::Regions { .. })
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
