//! What a run takes of a machine, measured on this one before any folder is made: what a batch
//! scheduler wants to know.

use burn::tensor::Device;

use crate::data::cohort::Cohort;
use crate::data::plan::Plan;
use crate::error::Result;
use crate::memory;
use crate::network::architecture::Architecture;
use crate::observer::Silent;
use crate::report::race::schedule::most_survivors;
use crate::run::bench::Bench;
use crate::run::candidates::largest;
use crate::run::preflight::{check_device, check_memory};
use crate::run::workload::Workload;
use crate::settings::{Config, RaceConfig, Strategy, Then};
use crate::space::genotype::Genotype;

/// What a run takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Needs {
    /// Time on this machine with as many threads as now; of a race an upper bound.
    pub seconds: f64,
    /// Time of the longest part of a race: a candidate in a rung.
    pub part_seconds: f64,
    /// Bytes of memory for the steps and for the cases that are held there; where the system tells.
    pub memory: Option<u64>,
}

impl Needs {
    /// Measures a few steps of a run that searches, or trains `architecture`, and whose cases take
    /// `cases` bytes of memory.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) where the steps need more than there is here; names
    /// of no candidates; a data set that has lost a case.
    pub fn of(
        cohort: &Cohort,
        plan: &Plan,
        config: &Config,
        architecture: Option<&Architecture>,
        device: &Device,
        cases: u64,
    ) -> Result<Self> {
        let races = architecture.is_none() && config.search.strategy == Strategy::Race;
        let searches = architecture.is_none() && !races;
        let own = match architecture {
            Some(architecture) => Some((architecture.clone(), config.network.width)),
            None if races => largest(config, plan, device)?,
            None => None,
        };
        let drawn = || Genotype::random(&config.network.space(), config.seed).into();
        let (architecture, width) = own.unwrap_or_else(|| (drawn(), config.network.width));
        let bench = |patch| Bench {
            config,
            size: plan.size(width),
            target: &plan.target,
            patch,
            device,
            warm_up: 1,
            repetitions: 1,
            observer: &Silent,
        };
        let timings = |patch| {
            let iteration = searches.then(|| bench(patch).search());
            [iteration, Some(bench(patch).train(&architecture))]
        };
        let step =
            |patch| timings(patch).map(|timing| timing.map_or(0.0, |timing| timing.median_s));
        check_device(plan, config, device, timings)?;
        check_memory(plan, config, |patch| {
            memory::forget_peak();
            step(patch);
            memory::peak()
        })?;
        memory::forget_peak();
        let [iteration, training] = step(plan.patch);
        let steps = memory::peak();
        let prediction = bench(plan.patch).predict(&architecture).median_s;

        let workload = Workload::of(cohort, plan, config)?;
        let estimate = workload.estimate(config, iteration, training, prediction);
        let trains = !searches || config.search.then != Then::Inherit;
        let mut seconds = estimate.scoring_s;
        if searches {
            seconds += estimate.search_s;
        }
        if trains {
            seconds += estimate.train_s;
        }
        let mut part_seconds = 0.0;
        if races {
            let all: Vec<(usize, f64)> =
                parts(&config.race, &workload, training, prediction).collect();
            part_seconds = all.iter().map(|(_, each)| *each).fold(0.0, f64::max);
            seconds += total(&all);
            if config.race.distill {
                let lessons = config.train.epochs * workload.train_steps * config.train.batch;
                seconds += (finalists(&config.race) * lessons) as f64 * prediction;
            }
        }
        let most = config.data.memory_set();
        let memory = steps.map(|steps| most.map_or(steps + cases, |most| most.min(steps + cases)));
        Ok(Self { seconds, part_seconds, memory })
    }
}

/// The most candidates that run in each rung.
pub fn running(race: &RaceConfig) -> impl Iterator<Item = usize> {
    let fewer = |running: &usize| Some(most_survivors(*running, race.keep));
    std::iter::successors(Some(race.candidates.len()), fewer).take(race.epochs.len())
}

/// Candidates of the last rung.
fn finalists(race: &RaceConfig) -> usize {
    running(race).last().unwrap_or(0)
}

/// How many candidates run in each rung, at most, and how long each, if it is as slow as the slowest,
/// trained on all training cases, and judged by as many as `race.validation` says.
fn parts(
    race: &RaceConfig,
    workload: &Workload,
    training: f64,
    prediction: f64,
) -> impl Iterator<Item = (usize, f64)> {
    let windows = workload.windows as f64 / workload.held_out_cases.max(1) as f64;
    let judging = race.validation * workload.training_cases as f64 * windows * prediction;
    let epoch = workload.train_steps as f64 * training;
    let before = std::iter::once(0).chain(race.epochs.iter().copied());
    let epochs = race.epochs.iter().zip(before).map(|(now, before)| now - before);
    running(race).zip(epochs.map(move |epochs| epochs as f64 * epoch + judging))
}

/// Time of all of them.
fn total(parts: &[(usize, f64)]) -> f64 {
    parts.iter().map(|(running, each)| *running as f64 * each).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_race_takes_at_most_what_its_slowest_candidate_would_in_every_place() {
        let race = RaceConfig {
            candidates: ["a", "b", "c", "d", "e"].map(String::from).to_vec(),
            epochs: vec![5, 15],
            validation: 0.5,
            ..RaceConfig::default()
        };
        let workload = Workload {
            training_cases: 8,
            held_out_cases: 2,
            search_steps: 4,
            train_steps: 8,
            windows: 6,
            cases_mib: 1.0,
        };
        // Five for five epochs of eight steps, at most four, one of each family, for ten more; each
        // judged by four cases of three windows.
        let expected = [(5, 5.0 * 16.0 + 12.0), (4, 10.0 * 16.0 + 12.0)];
        let found: Vec<(usize, f64)> = parts(&race, &workload, 2.0, 1.0).collect();
        assert_eq!(found, expected);
        assert_eq!(total(&found), 5.0 * 92.0 + 4.0 * 172.0);
        assert_eq!(finalists(&race), 4);
    }
}
