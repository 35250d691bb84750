//! The loss of logits and its exact gradient: a weighted sum of terms (paper section 4).
//!
//! Value and gradient are computed here, in f64 sums over chunks of fixed size, so that they do not
//! depend on the number of threads. [`Attached`] puts the gradient on the tape: the scalar Σ
//! logits · gradient has exactly that gradient. GPUs compute the same from f32 sums.

use std::iter::once;
use std::sync::{Mutex, PoisonError};

use burn::tensor::{Tensor, TensorData};
use medvol::Target;
use volops::map_indices;

use crate::ranks::{Alone, Ranks};

mod chunk;
mod cross_entropy;
mod dice;
mod exponential;
mod sigmoid;
mod softmax;
mod teaching;
mod terms;

use chunk::{CHUNK, Chunk};
pub use teaching::Lesson;
use teaching::Teaching;
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

    /// Its value, times `weight`, and the gradient of that, from the sums over a whole batch.
    fn judge(&self, sums: &[f64], weight: f64, whole: &Whole) -> (f64, Gradient);
}

/// What the sums of a batch are over.
struct Whole {
    /// The first output that is no background.
    first_structure: usize,
    /// What was to be decided: of every voxel that is not ignored its class, or of every region
    /// whether the voxel is inside.
    decisions: usize,
}

/// Adds a term's gradient on a chunk to the two slices, both `[outputs, voxels]`: what it is with
/// respect to the probabilities, and what it is with respect to the logits besides.
type Gradient = Box<dyn Fn(&Chunk, &mut [f32], &mut [f32]) + Send + Sync>;

/// What logits are judged by.
struct Judging<'a> {
    terms: LossTerms,
    target: &'a Target,
    lesson: Option<Lesson<'a>>,
    ranks: &'a dyn Ranks,
}

/// A loss and its gradient with respect to the logits.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Value.
    pub value: f64,
    /// d value / d logits, `[batch, outputs, voxels]`.
    pub gradient: Vec<f32>,
}

impl Loss {
    /// Loss of logits `[batch, outputs, voxels]`, which say what `target` is, against class indices
    /// `classes` `[batch, voxels]`. Voxels that are [ignored](medvol::ClassMap::IGNORED) have no
    /// part in it.
    ///
    /// # Panics
    /// If the lengths do not fit together, or a class index is too large.
    pub fn new(
        terms: LossTerms,
        target: &Target,
        logits: &[f32],
        classes: &[u8],
        batch: usize,
        outputs: usize,
    ) -> Self {
        Self::taught(terms, target, logits, classes, batch, outputs, None)
    }

    /// As [`Loss::new`], with what teachers say besides.
    ///
    /// # Panics
    /// As [`Loss::new`].
    pub fn taught(
        terms: LossTerms,
        target: &Target,
        logits: &[f32],
        classes: &[u8],
        batch: usize,
        outputs: usize,
        lesson: Option<Lesson>,
    ) -> Self {
        let of = Judging { terms, target, lesson, ranks: &Alone };
        Self::judged(of, logits, classes, batch, outputs)
    }

    /// Where the batch is shared out among ranks, value and gradient are those of all of it.
    fn judged(
        Judging { terms, target, lesson, ranks }: Judging,
        logits: &[f32],
        classes: &[u8],
        batch: usize,
        outputs: usize,
    ) -> Self {
        let teaching = lesson.map(|lesson| (lesson.weight, &Teaching as &dyn Term));
        let active = || terms.active().chain(teaching);
        let voxels = classes.len() / batch;
        let chunks = voxels.div_ceil(CHUNK);
        // A voxel's output takes about 3 ns in each of the two passes.
        let nanoseconds = 3 * logits.len();
        let parts: Vec<(Chunk, Vec<Vec<f64>>)> = map_indices(batch * chunks, nanoseconds, |i| {
            let (b, start) = (i / chunks, i % chunks * CHUNK);
            let len = CHUNK.min(voxels - start);
            let at = |c: usize| {
                let first = (b * outputs + c) * voxels + start;
                first..first + len
            };
            let row = |c: usize| &logits[at(c)];
            let mut chunk = Chunk::new(target, outputs, row, &classes[b * voxels + start..][..len]);
            if let Some(Lesson { probabilities, .. }) = lesson {
                chunk.taught = (0..outputs).map(|c| &probabilities[at(c)]).collect();
            }
            let sums = active().map(|(_, term)| term.sums(&chunk)).collect();
            (chunk, sums)
        });
        let known: usize = parts.iter().map(|(chunk, _)| chunk.known).sum();
        let of_term = |i: usize| sum_up(parts.iter().map(|(_, sums)| &sums[i][..]));
        let totals: Vec<Vec<f64>> = (0..active().count()).map(of_term).collect();
        let mut all: Vec<f64> =
            once(known as f64).chain(totals.iter().flatten().copied()).collect();
        ranks.add(&mut all);
        let (known, mut all) = (all[0] as usize, &all[1..]);
        let whole = match target {
            Target::Classes => Whole { first_structure: 1, decisions: known },
            Target::Regions(_) => Whole { first_structure: 0, decisions: known * outputs },
        };
        let mut value = 0.0;
        let mut gradients: Vec<Gradient> = Vec::new();
        for ((weight, term), own) in active().zip(&totals) {
            let total;
            (total, all) = all.split_at(own.len());
            let (of_term, gradient) = term.judge(total, weight, &whole);
            value += of_term;
            gradients.push(gradient);
        }

        let mut gradient = vec![0.0_f32; logits.len()];
        // The rows of all outputs of a chunk.
        let mut pieces: Vec<Vec<&mut [f32]>> =
            (0..batch * chunks).map(|_| Vec::with_capacity(outputs)).collect();
        for (row, values) in gradient.chunks_mut(voxels).enumerate() {
            for (chunk, piece) in values.chunks_mut(CHUNK).enumerate() {
                pieces[row / outputs * chunks + chunk].push(piece);
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

    /// See [`Attached::new`].
    fn of_tensor(
        terms: LossTerms,
        target: &Target,
        logits: &Tensor<5>,
        classes: &[u8],
        lesson: Option<Lesson>,
        ranks: &dyn Ranks,
    ) -> Self {
        let [batch, outputs, ..] = logits.dims();
        let data = logits.clone().into_data();
        let logits = data.as_slice::<f32>().unwrap_or_else(|e| panic!("logits are f32: {e:?}"));
        let of = Judging { terms, target, lesson, ranks };
        Self::judged(of, logits, classes, batch, outputs)
    }
}

/// A loss on the tape of its logits.
#[derive(Debug)]
pub struct Attached {
    /// What it is.
    pub value: Value,
    /// Has the gradient of the loss, and another value.
    pub scalar: Tensor<1>,
}

/// The value of a loss.
#[derive(Debug)]
pub enum Value {
    /// Known.
    Here(f64),
    /// Left on a device.
    OnDevice(Box<Tensor<1>>),
}

impl Value {
    /// The number. This waits for all that a device was told before.
    pub fn read(self) -> f64 {
        match self {
            Self::Here(value) => value,
            Self::OnDevice(value) => value.into_scalar::<f32>().into(),
        }
    }
}

impl Attached {
    /// Loss of the logits `[batch, outputs, depth, height, width]` of a network against class
    /// indices `classes` `[batch, depth, height, width]`, and what teachers say. `ranks` have the
    /// other parts of the batch. It is computed on the device of the logits where it can be.
    ///
    /// # Panics
    /// If the shapes do not fit together, or a class index is too large.
    pub fn new(
        terms: LossTerms,
        target: &Target,
        logits: Tensor<5>,
        classes: &[u8],
        lesson: Option<Lesson>,
        ranks: &dyn Ranks,
    ) -> Self {
        let on_device = match (target, lesson) {
            (Target::Classes, None) if ranks.is_alone() => {
                volops::class_loss(&logits, classes, &terms.of_classes(LEAST))
            }
            _ => None,
        };
        let (value, gradient) = match on_device {
            Some((gradient, value)) => (Value::OnDevice(value.into()), gradient),
            None => {
                let Loss { value, gradient } =
                    Loss::of_tensor(terms, target, &logits, classes, lesson, ranks);
                let gradient = TensorData::new(gradient, logits.dims());
                (Value::Here(value), Tensor::from_data(gradient, &logits.device().inner()))
            }
        };
        Self { value, scalar: through(logits, gradient) }
    }
}

/// A scalar on the tape of `y` whose gradient with respect to `y` is `g`.
pub fn through(y: Tensor<5>, g: Tensor<5>) -> Tensor<1> {
    (y * Tensor::from_inner(g)).sum()
}

/// Sums of equal length, added up one after the other.
fn sum_up<'a>(parts: impl Iterator<Item = &'a [f64]>) -> Vec<f64> {
    parts.fold(Vec::new(), |mut total, part| {
        total.resize(part.len(), 0.0);
        total.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        total
    })
}

/// Fills the rows of all outputs with d loss / d logits.
fn gradient_of_chunk(chunk: &Chunk, gradients: &[Gradient], rows: &mut [&mut [f32]]) {
    let len = chunk.probabilities.len();
    let (mut by_probability, mut by_logit) = (vec![0.0_f32; len], vec![0.0_f32; len]);
    gradients.iter().for_each(|add| add(chunk, &mut by_probability, &mut by_logit));
    chunk.through(&by_probability, &by_logit, LEAST, rows);
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
            let loss = Loss::new(terms, &Target::Classes, &logits, &target, 2, 3);
            for i in 0..logits.len() {
                let at = |h: f32| {
                    let mut s = logits.clone();
                    s[i] += h;
                    Loss::new(terms, &Target::Classes, &s, &target, 2, 3).value
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
                let loss = Loss::new(terms, &Target::Classes, &logits, &target, 1, 3);
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
        assert!(
            Loss::new(terms(LOSSES[2]), &Target::Classes, &logits(20.0), &target, 1, 3).value
                < 1e-4
        );
        assert!(
            Loss::new(terms(LOSSES[0]), &Target::Classes, &logits(-20.0), &target, 1, 3).value
                > 0.99
        );
    }

    #[test]
    fn the_loss_is_the_same_for_any_number_of_threads() {
        let (logits, target) = random_case(3, 2, 3, 10_000);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Loss::new(terms(LOSSES[2]), &Target::Classes, &logits, &target, 2, 3))
        };
        let (one, three) = (run(1), run(3));
        assert_eq!(one.value.to_bits(), three.value.to_bits());
        assert_eq!(one.gradient, three.gradient);
    }
}
