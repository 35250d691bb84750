//! A cross-validation with several seeds: a folder a seed, each an ordinary cross-validation on the
//! same folds, and one table over all of them.

use std::path::Path;

use crate::data::plan::to_json;
use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::report::finished::{
    complete_folds, fold_folder, fold_folders, seed_folder, seed_folders, several_seeds,
};
use crate::report::result::{RunResult, read_run};
use crate::report::seeds::{NAME, Seeds};
use crate::run::cross_validate::{
    CrossValidated, Walk, folds, gather, summarize, warn_of_seen_cases,
};
use crate::run::finish::write_report;
use crate::run::pipeline::Order;
use crate::settings::Config;
use crate::store::lock::Lock;
use crate::store::named::Named;
use crate::store::run_folder::same_settings;

/// A seed, and the architecture that is trained with it; `None` where one is searched.
#[derive(Debug)]
pub struct Seed {
    /// The seed.
    pub seed: u64,
    /// What is trained: random architectures differ from seed to seed.
    pub named: Option<Named>,
}

/// What the seeds reached so far.
#[derive(Clone, Debug)]
pub struct SeedsValidated {
    /// The table of all folds of all seeds that are complete.
    pub all: Seeds,
    /// Seeds and folds that other processes work on.
    pub in_use: Vec<(u64, usize)>,
    /// Seeds and folds that are wanted and not complete.
    pub missing: Vec<(u64, usize)>,
}

/// As [`cross_validate`](crate::run::cross_validate::cross_validate) with each of the seeds, on the
/// folds of the order's settings, and writes the table of all seeds.
///
/// # Errors
/// Those of a cross-validation, with the seed ([`Error::Seed`]); [`Error::OtherSeeds`].
pub fn cross_validate_seeds(
    order: Order,
    seeds: &[Seed],
    found_in: Option<&Path>,
    wanted: &[usize],
    observer: &dyn Observer,
) -> Result<SeedsValidated> {
    let Order { data, folder: out, mut config, device, ranks } = order;
    config.data.fold = 0;
    if seeds.iter().any(|seed| seed.named.is_none()) {
        config.refuse_in_vain()?;
    }
    refuse_one_seed(out)?;
    let (walk, wanted) = Walk::begin(data, out, &config, (device, ranks), wanted, observer)?;
    if let Some(run) = found_in {
        warn_of_seen_cases(run, &walk.plan, observer);
    }
    let mut all_in_use = Vec::new();
    for Seed { seed, named } in seeds {
        let (folder, config) = (seed_folder(out, *seed), config.with_seed(*seed));
        let walked = walk.folds(&folder, &folder, &config, named.as_ref(), &wanted, observer);
        let done = walked.and_then(|in_use| {
            all_in_use.extend(in_use.iter().map(|fold| (*seed, *fold)));
            if_any(summarize(&folder, &config, &wanted, in_use, observer))
        });
        done.map_err(|error| of_seed(*seed, error))?;
    }
    let seeds: Vec<u64> = seeds.iter().map(|seed| seed.seed).collect();
    tabulate(out, &config, &seeds, &wanted, all_in_use, observer)
}

/// Writes the tables of the folds that are complete, without working on any.
///
/// # Errors
/// [`Error::NoFold`]; [`Error::NoFoldComplete`]; [`Error::OtherSeeds`]; folds of other settings.
pub fn gather_seeds(
    out: &Path,
    config: &Config,
    seeds: &[u64],
    wanted: &[usize],
    observer: &dyn Observer,
) -> Result<SeedsValidated> {
    refuse_one_seed(out)?;
    for seed in seeds {
        let gathered = gather(&seed_folder(out, *seed), &config.with_seed(*seed), wanted, observer);
        if_any(gathered).map_err(|error| of_seed(*seed, error))?;
    }
    tabulate(out, config, seeds, wanted, Vec::new(), observer)
}

fn of_seed(seed: u64, error: Error) -> Error {
    Error::Seed { seed, source: Box::new(error) }
}

/// A seed that has nothing to show is missing in the table of all, which says so.
fn if_any(reached: Result<CrossValidated>) -> Result<()> {
    match reached {
        Ok(_) | Err(Error::NoFoldComplete { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn refuse_one_seed(out: &Path) -> Result<()> {
    match fold_folders(out).is_empty() {
        true => Ok(()),
        false => Err(Error::OtherSeeds { path: out.into(), several: true }),
    }
}

/// Writes the table of all seeds in the folder, and says what of `seeds` and `wanted` (all folds, if
/// empty) is not complete.
fn tabulate(
    out: &Path,
    config: &Config,
    seeds: &[u64],
    wanted: &[usize],
    in_use: Vec<(u64, usize)>,
    observer: &dyn Observer,
) -> Result<SeedsValidated> {
    let nothing = || {
        let in_use = in_use.iter().map(|(_, fold)| *fold).collect();
        Error::NoFoldComplete { path: out.into(), in_use }
    };
    if !out.is_dir() {
        return Err(nothing());
    }
    // One process reads and writes at a time, so that the table of the last one is the whole.
    let _lock = Lock::wait(out, observer)?;
    for (seed, folder) in seed_folders(out) {
        for fold in complete_folds(&folder) {
            let (RunResult { fold, .. }, _) = read_run(&fold)?;
            let mut expected = config.with_seed(seed);
            expected.data.fold = fold;
            same_settings(&fold_folder(&folder, fold).join("config.toml"), &expected)?;
        }
    }
    let (all, _) = several_seeds(out)?.ok_or_else(nothing)?;
    let wanted = folds(wanted, all.of)?;
    let is_there = |seed: u64, fold: usize| {
        let mut of_seed = all.seeds.iter().filter(|of| of.seed == seed);
        of_seed.any(|of| of.cross_validation.folds.iter().any(|done| done.fold == fold))
    };
    let all_wanted = seeds.iter().flat_map(|seed| wanted.iter().map(|fold| (*seed, *fold)));
    let missing = all_wanted.filter(|(seed, fold)| !is_there(*seed, *fold)).collect();
    let file = |ending: &str| out.join(format!("{NAME}.{ending}"));
    medvol::atomic_write(file("json"), &to_json(&all)?)?;
    medvol::atomic_write(file("csv"), all.csv().as_bytes())?;
    medvol::atomic_write(file("tex"), all.tex().as_bytes())?;
    write_report(out, config, observer);
    Ok(SeedsValidated { all, in_use, missing })
}
