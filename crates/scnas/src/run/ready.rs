//! What is done once before many processes begin, so that not all of them do it at the same moment:
//! the data are looked at, cases that will be held on disk are brought there, and a run is measured.

use std::path::Path;
use std::sync::Arc;

use medvol::CaseFiles;

use crate::data::cache::Cache;
use crate::data::cohort::Cohort;
use crate::data::loading::{LoadedCases, Loading, Room};
use crate::data::plan::Plan;
use crate::data::recipe::Recipe;
use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::run::check::{Check, Opened};
use crate::run::needs::Needs;
use crate::run::pipeline::Order;
use crate::settings::DataConfig;
use crate::store::named::Named;

/// Measures what a run takes. Where `prepare` says so, also looks at the data once for all runs, as one
/// does before it begins, and brings the cases to disk if runs would hold them there. The order's folder is where
/// it is remembered that the data were found fit, `run` the folder of a run.
///
/// # Errors
/// Anything wrong with data or settings that can be told without voxels; those of [`Needs::of`];
/// [`Error::Unfit`]; too little room for the cases; [`Error::Stopped`].
pub fn foresee(
    order: &Order,
    run: &Path,
    named: Option<&Named>,
    prepare: bool,
    observer: &dyn Observer,
) -> Result<Needs> {
    let Order { data, folder, config, device, .. } = order;
    let (cohort, plan, check) = Opened::new(data, config, folder).planned(observer)?;
    let architecture = named.map(|named| &named.architecture);
    let files: Vec<CaseFiles> = cohort.labelled().cloned().collect();
    let loading = loading(&cohort, &files, &plan, &config.data, run, &check, observer)?;
    let cases = loading.in_memory() as u64;
    let needs = Needs::of(&cohort, &plan, config, architecture, device, cases);
    // What can never be is not worth the wait. Other machines may have more memory.
    if prepare && matches!(needs, Ok(_) | Err(Error::Memory { .. })) {
        let on_disk = bring(&loading, &cohort, &plan, &check, observer)?;
        if !on_disk {
            check.now(observer)?;
        }
    }
    needs
}

/// Looks at the cases and brings them to disk, if runs would hold them there; otherwise does nothing.
/// What [`foresee`] says of `order` and `run` holds here, too.
///
/// # Errors
/// Those of [`foresee`].
pub fn bring_to_disk(order: &Order, run: &Path, observer: &dyn Observer) -> Result<()> {
    let Order { data, folder, config, .. } = order;
    let (cohort, plan, check) = Opened::new(data, config, folder).planned(observer)?;
    let files: Vec<CaseFiles> = cohort.labelled().cloned().collect();
    let loading = loading(&cohort, &files, &plan, &config.data, run, &check, observer)?;
    bring(&loading, &cohort, &plan, &check, observer).map(drop)
}

/// How runs in folders like `run` load all cases, as far as this machine's memory tells.
fn loading<'a>(
    cohort: &Cohort,
    files: &'a [CaseFiles],
    plan: &'a Plan,
    data: &DataConfig,
    run: &Path,
    check: &Check,
    observer: &'a dyn Observer,
) -> Result<Loading<'a>> {
    let recipe = Recipe::new(cohort, plan, data.numbers);
    let cache = Arc::new(Cache::new(data.cache_of(run), recipe));
    let room = Room { keep: data.keep, memory: data.memory_free(), cache };
    Loading::new(cohort, files, plan, room, check.is_due(), observer)
}

/// Whether the cases are held on disk; then they are there.
fn bring(
    loading: &Loading,
    cohort: &Cohort,
    plan: &Plan,
    check: &Check,
    observer: &dyn Observer,
) -> Result<bool> {
    if !loading.may_go_to_disk() {
        return Ok(false);
    }
    let LoadedCases { examinations, unfit, .. } = loading.to_disk()?;
    if check.is_due() {
        check.conclude(cohort, plan, examinations, observer)?;
    }
    unfit.map_or(Ok(true), Err)
}
