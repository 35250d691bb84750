//! What the steps of a run take on this machine, measured on random patches.

use std::collections::BTreeMap;
use std::time::Instant;

use burn::tensor::Device;
use medvol::Target;
use rand::RngExt as _;
use serde::Serialize;
use volops::Work;

use crate::learn::backprop::Backprop;
use crate::learn::batch::Batch;
use crate::learn::optimiser::WeightAdam;
use crate::network::architecture::Architecture;
use crate::network::size::Size;
use crate::network::weights::{Pass, Tape, Weights};
use crate::observer::Observer;
use crate::random::{Stream, rng};
use crate::ranks::Alone;
use crate::run::decide::Decider;
use crate::run::epochs::{At, Levels, Phase};
use crate::run::search::Searcher;
use crate::run::supernet::Supernet;
use crate::run::teachers::Teachers;
use crate::settings::Config;

/// What to measure, and how often after times that do not count.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    /// Settings of the steps.
    pub config: &'a Config,
    /// Size of the networks.
    pub size: Size,
    /// What their outputs say.
    pub target: &'a Target,
    /// Patch `[depth, height, width]`, which the grids of the size divide.
    pub patch: [usize; 3],
    /// Where to compute.
    pub device: &'a Device,
    /// Times before those that count. Sampled architectures need more memory now and then: the
    /// first ones touch it for the others.
    pub warm_up: usize,
    /// Times that count; at least 1.
    pub repetitions: usize,
    /// Hears of every time.
    pub observer: &'a dyn Observer,
}

/// Repetitions of one kind of step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// Seconds of a repetition, in the middle of all.
    pub median_s: f64,
    /// Seconds of the fastest.
    pub min_s: f64,
    /// Of every repetition, in order.
    pub seconds: Vec<f64>,
    /// Minor page faults per repetition; only where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_faults: Option<f64>,
    /// What a repetition gives a GPU to do, on average; none on the CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launches: Option<Launches>,
}

/// What a GPU is told to do, on average.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Launches {
    /// Launches of kernels.
    pub all: f64,
    /// Bytes that the kernels of `volops` read and write at least.
    pub bytes: f64,
    /// Bytes of the largest buffer that they filled.
    pub largest: u64,
    /// Launches of each kernel.
    pub kernels: BTreeMap<String, f64>,
}

impl Launches {
    /// That of one of `repetitions`; none if there was nothing.
    fn of(work: Work, repetitions: usize) -> Option<Self> {
        let each = |count: u64| count as f64 / repetitions as f64;
        let (all, bytes, largest) = (each(work.total()), each(work.bytes), work.largest);
        let kernels = work.launches.into_iter().map(|(name, count)| (name, each(count))).collect();
        (all > 0.0).then_some(Self { all, bytes, largest, kernels })
    }
}

impl Bench<'_> {
    /// Iterations of the search, Θ and α step, each with the architectures it samples, at the
    /// temperature of the middle epoch.
    pub fn search(&self) -> Timing {
        let mut config = self.config.clone();
        config.search.tau = [config.search.tau_at(config.search.epochs / 2); 2];
        let (batch, decide) = (config.search.batch, config.search.decide);
        let seen = decide.map_or(batch, |decide| decide.patches);
        let [weights, alpha] = [(batch, Stream::WeightPatches), (seen, Stream::AlphaPatches)]
            .map(|(patches, stream)| self.batch(patches, stream));
        let batches = Levels { weights, alpha: Some(alpha) };
        let of = (self.size, self.target.clone());
        let supernet = Supernet::new(&config, of, self.device, Default::default());
        match decide {
            None => self.iterations(Searcher::new(supernet), &batches),
            Some(decide) => self.iterations(Decider::new(supernet, decide), &batches),
        }
    }

    fn iterations(&self, mut search: impl Phase, batches: &Levels<Batch>) -> Timing {
        self.repeat("search iterations", |index| {
            // A few steps from fresh weights do not diverge; a time is all that is wanted of them.
            let _ = search.step(batches, At { epoch: 0, index, rate: 1.0 }, &Alone);
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
        self.repeat("training steps", |_| {
            let backprop = Backprop {
                network: network.as_ref(),
                weights: &weights,
                loss: config.loss,
                target: self.target,
                lesson: None,
                supervision: None,
                recompute: self.config.network.recompute,
                ranks: &Alone,
            };
            let found = backprop.gradients(Tape::Weights, &batch, &mixture);
            adam.step(&mut weights, found.weights, config.weights.lr, config.clip());
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

    /// What teachers say of a batch.
    pub fn teach(&self, teachers: &Teachers) -> Timing {
        let batch = self.batch(self.config.train.batch, Stream::TrainPatches);
        self.repeat("teachers", |_| drop(teachers.say(&batch)))
    }

    fn batch(&self, patches: usize, stream: Stream) -> Batch {
        let [d, h, w] = self.patch;
        let shape = [patches, self.size.channels, d, h, w];
        let mut random = rng(self.config.seed, stream, 0);
        let image = (0..shape.iter().product()).map(|_| random.random_range(-1.0..1.0)).collect();
        let structures = self.target.structures(self.size.classes);
        let last = structures.iter().flatten().max().copied().unwrap_or(0);
        let classes = (0..patches * d * h * w).map(|_| random.random_range(0..=last)).collect();
        Batch { image, shape, classes }
    }

    fn repeat(&self, what: &str, mut step: impl FnMut(usize)) -> Timing {
        let times = self.warm_up + self.repetitions;
        self.observer.begin(what, 0, times);
        let mut seconds = Vec::with_capacity(self.repetitions);
        for time in 0..self.warm_up {
            step(time);
            self.observer.advance(time + 1);
        }
        let before = page_faults();
        let ((), work) = volops::count_work(|| {
            for time in self.warm_up..times {
                let start = Instant::now();
                step(time);
                seconds.push(start.elapsed().as_secs_f64());
                self.observer.advance(time + 1);
            }
        });
        let page_faults = page_faults()
            .zip(before)
            .map(|(after, before)| (after - before) / self.repetitions as f64);
        Timing {
            median_s: median(&seconds),
            min_s: seconds.iter().copied().fold(f64::INFINITY, f64::min),
            seconds,
            page_faults,
            launches: Launches::of(work, self.repetitions),
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
}
