//! Cross-validation: every fold a run of its own, and the table over all that are complete. It has
//! no conductor: any number of processes walk over the folds and take those that nobody has locked.

use std::collections::BTreeSet;
use std::path::Path;

use burn::tensor::Device;

use crate::data::cohort::Cohort;
use crate::data::files::name_of_folder;
use crate::data::plan::{Plan, to_json};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::observer::Observer;
use crate::ranks::Ranks;
use crate::report::cross_validation::CrossValidation;
use crate::report::finished::{cross_validation, fold_folder, read_folds, seed_folders};
use crate::run::check::{Check, Opened};
use crate::run::finish::write_report;
use crate::run::pipeline::Order;
use crate::run::setup::Job;
use crate::run::start::Start;
use crate::settings::Config;
use crate::store::lock::Lock;
use crate::store::named::Named;
use crate::store::run_folder::same_settings;

/// What the folds reached so far.
#[derive(Clone, Debug)]
pub struct CrossValidated {
    /// The table of the folds that are complete.
    pub all: CrossValidation,
    /// Folds that other processes work on.
    pub in_use: Vec<usize>,
    /// Folds that are wanted and not complete.
    pub missing: Vec<usize>,
}

/// Searches in every fold of `wanted` (all, if empty), or trains the architecture `named` there,
/// and writes the table of all complete folds. The order's folder is that of the cross-validation.
/// `found_in` is the run that the architecture was found in, if it is one.
///
/// # Errors
/// [`Error::NoFold`]; [`Error::OtherSeeds`]; those of a run, with the fold's number
/// ([`Error::Fold`]); [`Error::NoFoldComplete`] where others work on all.
pub fn cross_validate(
    order: Order,
    named: Option<&Named>,
    found_in: Option<&Path>,
    wanted: &[usize],
    observer: &dyn Observer,
) -> Result<CrossValidated> {
    let Order { data, folder: out, mut config, device, ranks } = order;
    config.data.fold = 0;
    if named.is_none() {
        config.refuse_in_vain()?;
    }
    if !seed_folders(out).is_empty() {
        return Err(Error::OtherSeeds { path: out.into(), several: false });
    }
    let (walk, wanted) = Walk::begin(data, out, &config, (device, ranks), wanted, observer)?;
    if let Some(run) = found_in {
        warn_of_seen_cases(run, &walk.plan, observer);
    }
    let in_use = walk.folds(out, &fold_folder(out, 0), &config, named, &wanted, observer)?;
    summarize(out, &config, &wanted, in_use, observer)
}

/// The data set of a cross-validation, on which its folds are walked.
pub(super) struct Walk<'a> {
    cohort: Cohort,
    /// Of the first fold.
    pub plan: Plan,
    check: Check<'a>,
    device: &'a Device,
    ranks: &'a dyn Ranks,
}

impl<'a> Walk<'a> {
    /// Opens it, and says which folds those of `wanted` are (all, if empty). In `out` it is
    /// remembered that the data were found fit.
    pub fn begin(
        data: &'a Path,
        out: &Path,
        config: &'a Config,
        (device, ranks): (&'a Device, &'a dyn Ranks),
        wanted: &[usize],
        observer: &dyn Observer,
    ) -> Result<(Self, Vec<usize>)> {
        // What is asked for wrongly is said before anything is read or written.
        let opened = Opened::new(data, config, out);
        opened.plan().map_or(Ok(Vec::new()), |plan| folds(wanted, plan.folds.len()))?;
        let (cohort, plan, check) = opened.planned(observer)?;
        let wanted = folds(wanted, plan.folds.len())?;
        Ok((Self { cohort, plan, check, device, ranks }, wanted))
    }

    /// Works on these folds of the cross-validation in `out`, and says which of them other processes
    /// work on. The cache, where the settings name none, lies beside `beside`.
    pub fn folds(
        &self,
        out: &Path,
        beside: &Path,
        config: &Config,
        named: Option<&Named>,
        folds: &[usize],
        observer: &dyn Observer,
    ) -> Result<Vec<usize>> {
        let Self { cohort, plan, check, device, ranks } = self;
        let of = plan.folds.len();
        let mut in_use = Vec::new();
        for &fold in folds {
            let folder = fold_folder(out, fold);
            let mut config = config.clone();
            config.data.fold = fold;
            observer.message(&Message::Fold { fold, of, folder: folder.clone() });
            let done = Plan::new(cohort, &config).and_then(|plan| {
                let (beside, device, check) = (beside.into(), (*device).clone(), Some(check));
                let ranks = *ranks;
                let job = Job { cohort, plan, folder, beside, config, device, check, ranks };
                match named {
                    Some(named) => job.train(named, Start::Scratch, &[], observer),
                    None => job.search(observer),
                }
            });
            match done {
                Ok(_) => {}
                Err(Error::InUse { .. }) => {
                    observer.message(&Message::FoldInUse { fold });
                    in_use.push(fold);
                }
                Err(error) => return Err(Error::Fold { fold, source: Box::new(error) }),
            }
        }
        Ok(in_use)
    }
}

/// The folds of `wanted` (all, if empty) that [`cross_validate`] would work on.
///
/// # Errors
/// [`Error::NoFold`]; anything wrong with data or settings that can be told without voxels.
pub fn planned(order: &Order, wanted: &[usize], observer: &dyn Observer) -> Result<Vec<usize>> {
    let Order { data, folder, config, .. } = order;
    let (_, plan, _) = Opened::new(data, config, folder).planned(observer)?;
    folds(wanted, plan.folds.len())
}

/// Writes the table of the folds that are complete, without working on any.
///
/// # Errors
/// [`Error::NoFold`]; [`Error::NoFoldComplete`]; folds of other settings.
pub fn gather(
    out: &Path,
    config: &Config,
    wanted: &[usize],
    observer: &dyn Observer,
) -> Result<CrossValidated> {
    if !out.is_dir() {
        return Err(Error::NoFoldComplete { path: out.into(), in_use: Vec::new() });
    }
    summarize(out, config, wanted, Vec::new(), observer)
}

/// The folds to run, each once.
pub(super) fn folds(wanted: &[usize], of: usize) -> Result<Vec<usize>> {
    if let Some(&fold) = wanted.iter().find(|fold| **fold >= of) {
        return Err(Error::NoFold { fold, of });
    }
    if wanted.is_empty() {
        return Ok((0..of).collect());
    }
    Ok(wanted.iter().copied().collect::<BTreeSet<_>>().into_iter().collect())
}

/// An architecture that was found with cases held out here may be flattered by them.
pub(super) fn warn_of_seen_cases(run: &Path, plan: &Plan, observer: &dyn Observer) {
    let Ok(source) = Plan::read(&run.join("plan.json")) else { return };
    // A network that was only trained, such as a random one, was not chosen by its cases.
    if source.dataset == plan.dataset && run.join("alpha.json").exists() {
        let source_run = name_of_folder(run);
        observer.message(&Message::SeenCases { source_run, fold: source.fold });
    }
}

/// Writes the table of all folds in the folder that are complete, and says which of `wanted` (all,
/// if empty) are not.
pub(super) fn summarize(
    out: &Path,
    config: &Config,
    wanted: &[usize],
    in_use: Vec<usize>,
    observer: &dyn Observer,
) -> Result<CrossValidated> {
    // One process reads and writes at a time, so that the table of the last one is the whole.
    let _lock = Lock::wait(out, observer)?;
    let complete = read_folds(out)?;
    for (result, _) in &complete {
        let mut expected = config.clone();
        expected.data.fold = result.fold;
        same_settings(&fold_folder(out, result.fold).join("config.toml"), &expected)?;
    }
    let Some(all) = cross_validation(out, complete)? else {
        return Err(Error::NoFoldComplete { path: out.into(), in_use });
    };
    let mut missing = folds(wanted, all.of)?;
    missing.retain(|fold| all.folds.iter().all(|done| done.fold != *fold));
    medvol::atomic_write(out.join("cross-validation.json"), &to_json(&all)?)?;
    medvol::atomic_write(out.join("cross-validation.csv"), all.csv().as_bytes())?;
    medvol::atomic_write(out.join("cross-validation.tex"), all.tex().as_bytes())?;
    write_report(out, config, observer);
    Ok(CrossValidated { all, in_use, missing })
}
