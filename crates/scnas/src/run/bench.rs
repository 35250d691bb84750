//! What a run's steps take on this machine, measured on random patches, and what a whole run would
//! take.

use std::time::Instant;

use burn::tensor::Device;
use medvol::stitch::windows;
use medvol::{CaseFiles, Dataset, Orientation, canonical_spacing, io};
use rand::RngExt as _;
use serde::Serialize;

use crate::data::patches::halves;
use crate::data::plan::Plan;
use crate::error::Result;
use crate::learn::backprop::Backprop;
use crate::learn::batch::Batch;
use crate::learn::optimiser::WeightAdam;
use crate::network::architecture::Architecture;
use crate::network::size::Size;
use crate::network::weights::{Pass, Tape, Weights};
use crate::random::{Stream, rng};
use crate::run::pipeline::Observer;
use crate::run::search::Searcher;
use crate::settings::config::Config;

/// What to measure, and how often after times that do not count.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    pub config: &'a Config,
    pub size: Size,
    /// Patch `[depth, height, width]`, each divisible by 8.
    pub patch: [usize; 3],
    pub device: &'a Device,
    /// Times before those that count. Sampled architectures need more memory now and then: the
    /// first ones touch it for the others.
    pub warm_up: usize,
    /// At least 1.
    pub repetitions: usize,
    pub observer: &'a dyn Observer,
}

/// Repetitions of one kind of step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    pub median_s: f64,
    pub min_s: f64,
    /// Of every repetition, in order.
    pub seconds: Vec<f64>,
    /// Minor page faults per repetition; only where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_faults: Option<f64>,
}

impl Bench<'_> {
    /// Iterations of the search, Θ and α step, each with the architectures it samples, at the
    /// temperature of the middle epoch.
    pub fn search(&self) -> Timing {
        let mut config = self.config.search.clone();
        config.tau = [config.tau_at(config.epochs / 2); 2];
        let [for_weights, for_alpha] = [Stream::WeightPatches, Stream::AlphaPatches]
            .map(|stream| self.batch(config.batch, stream));
        let mut searcher =
            Searcher::new(&self.config.network, self.size, config, self.config.seed, self.device);
        self.repeat("search iterations", |iteration| {
            // A few steps from fresh weights do not diverge; a time is all that is wanted of them.
            let _ = searcher.iterate(iteration, 1.0, &for_weights, Some(&for_alpha));
        })
    }

    /// Training steps of a network of `architecture`.
    pub fn train(&self, architecture: &Architecture) -> Timing {
        let config = &self.config.train;
        let batch = self.batch(config.batch, Stream::TrainPatches);
        let network = architecture.build(self.size);
        let mut weights = Weights::new(self.device, self.config.seed, network.layout());
        let mixture = architecture.mixture();
        let mut adam = WeightAdam::new(config.weights, &weights);
        let clip = (config.clip > 0.0).then_some(config.clip);
        self.repeat("training steps", |_| {
            let backprop = Backprop {
                network: network.as_ref(),
                weights: &weights,
                loss: config.loss,
                supervision: None,
                recompute: self.config.network.recompute,
            };
            let found = backprop.gradients(Tape::Weights, &batch, &mixture);
            adam.step(&mut weights, found.weights, config.weights.lr, clip);
        })
    }

    /// Logits of one patch by a network of `architecture`.
    pub fn predict(&self, architecture: &Architecture) -> Timing {
        let Batch { image, shape, .. } = self.batch(1, Stream::TrainPatches);
        let network = architecture.build(self.size);
        let weights = Weights::new(self.device, self.config.seed, network.layout());
        let mixture = architecture.mixture();
        self.repeat("predictions", |_| {
            let pass = Pass::new(&weights, Tape::Off);
            let logits = network.forward(&pass, pass.input(image.clone(), shape), &mixture);
            drop(logits.into_data());
        })
    }

    fn batch(&self, patches: usize, stream: Stream) -> Batch {
        let [d, h, w] = self.patch;
        let shape = [patches, self.size.channels, d, h, w];
        let mut random = rng(self.config.seed, stream, 0);
        let image = (0..shape.iter().product()).map(|_| random.random_range(-1.0..1.0)).collect();
        let classes = (0..patches * d * h * w)
            .map(|_| random.random_range(0..self.size.classes) as u8)
            .collect();
        Batch { image, shape, classes }
    }

    fn repeat(&self, what: &str, mut step: impl FnMut(u64)) -> Timing {
        let times = self.warm_up + self.repetitions;
        self.observer.begin(what, 0, times);
        let mut seconds = Vec::with_capacity(self.repetitions);
        let mut before = None;
        for time in 0..times {
            if time == self.warm_up {
                before = page_faults();
            }
            let start = Instant::now();
            step(time as u64);
            if time >= self.warm_up {
                seconds.push(start.elapsed().as_secs_f64());
            }
            self.observer.advance(time + 1);
        }
        let page_faults = page_faults()
            .zip(before)
            .map(|(after, before)| (after - before) / self.repetitions as f64);
        Timing {
            median_s: median(&seconds),
            min_s: seconds.iter().copied().fold(f64::INFINITY, f64::min),
            seconds,
            page_faults,
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    } else {
        sorted[middle]
    }
}

/// How much there is to do on a data set, from the headers of its images: what cropping will save
/// is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Workload {
    pub training_cases: usize,
    pub held_out_cases: usize,
    /// Search iterations of an epoch.
    pub search_steps: usize,
    /// Training steps of an epoch.
    pub train_steps: usize,
    /// Patches to predict in a validation.
    pub windows: usize,
    /// All preprocessed cases in memory.
    pub cases_mib: f64,
}

/// What a run would take, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Validation included.
    pub search_epoch_s: f64,
    pub search_s: f64,
    /// Mean, validations included.
    pub train_epoch_s: f64,
    pub train_s: f64,
    /// Scoring the held-out cases at the end, each window once: mirrorings, which depend on the
    /// cases, multiply it by up to eight.
    pub scoring_s: f64,
}

impl Workload {
    /// The workload of a run on `dataset`.
    ///
    /// # Errors
    /// Headers that cannot be read.
    pub fn of(dataset: &Dataset, plan: &Plan, config: &Config) -> Result<Self> {
        let (training, held_out) = plan.split(dataset)?;
        let shape = |case: &CaseFiles| -> Result<[usize; 3]> {
            let grid = io::open(&case.images)?.grid();
            let (own, axes) = (
                canonical_spacing(&grid.affine),
                Orientation::of(&grid.affine).canonical_axes(grid.shape),
            );
            Ok([0, 1, 2]
                .map(|a| (axes[a] as f64 * own[a] / plan.spacing[a]).round().max(1.0) as usize))
        };
        let bytes_per_voxel = 4 * plan.channels.len() + 1;
        let (mut voxels, mut patches) = (0, 0);
        for case in &training {
            voxels += shape(case)?.iter().product::<usize>();
        }
        for case in &held_out {
            let shape = shape(case)?;
            voxels += shape.iter().product::<usize>();
            patches += windows(shape, plan.patch, config.predict.overlap).len();
        }
        Ok(Self {
            training_cases: training.len(),
            held_out_cases: held_out.len(),
            search_steps: halves(training.len(), config.seed, plan.fold)
                .0
                .len()
                .div_ceil(config.search.batch),
            train_steps: training.len().div_ceil(config.train.batch),
            windows: patches,
            cases_mib: (voxels * bytes_per_voxel) as f64 / f64::from(1 << 20),
        })
    }

    /// Time of a run whose steps take these seconds: an iteration of the search, a training step,
    /// the prediction of a patch. Epochs of warm-up, which have no α steps, count as full ones.
    pub fn estimate(
        &self,
        config: &Config,
        iteration: f64,
        train_step: f64,
        prediction: f64,
    ) -> Estimate {
        let validation = self.windows as f64 * prediction;
        let search_epoch_s = self.search_steps as f64 * iteration + validation;
        let (epochs, every) = (config.train.epochs, config.train.validate_every);
        let validations = if every == 0 { 1 } else { epochs.div_ceil(every) };
        let train_s =
            (epochs * self.train_steps) as f64 * train_step + validations as f64 * validation;
        Estimate {
            search_epoch_s,
            search_s: config.search.epochs as f64 * search_epoch_s,
            train_epoch_s: train_s / epochs as f64,
            train_s,
            scoring_s: validation,
        }
    }
}

/// The most memory this process has had in use, in MiB; only where the system tells (Linux).
pub fn peak_memory_mib() -> Option<f64> {
    Some(crate::memory::peak()? as f64 / f64::from(1 << 20))
}

/// Minor page faults of this process so far; only where the system tells (Linux).
fn page_faults() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(7)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_values_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), 3.0);
    }

    #[test]
    fn an_estimate_adds_up_the_steps_and_validations_of_every_epoch() {
        let overrides =
            ["search.epochs=10", "train.epochs=7", "train.validate_every=3"].map(String::from);
        let mut config = Config::load("default", None, &overrides).unwrap();
        let workload = Workload {
            training_cases: 8,
            held_out_cases: 2,
            search_steps: 4,
            train_steps: 8,
            windows: 5,
            cases_mib: 1.0,
        };
        let e = workload.estimate(&config, 10.0, 2.0, 1.0);
        assert_eq!((e.search_epoch_s, e.search_s, e.scoring_s), (45.0, 450.0, 5.0));
        // After epochs 3, 6 and 7.
        assert_eq!((e.train_s, e.train_epoch_s), (7.0 * 16.0 + 3.0 * 5.0, 127.0 / 7.0));
        config.train.validate_every = 0;
        assert_eq!(workload.estimate(&config, 10.0, 2.0, 1.0).train_s, 7.0 * 16.0 + 5.0);
    }
}
