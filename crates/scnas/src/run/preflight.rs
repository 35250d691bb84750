//! What a run will need of memory, time and disk, measured before it begins: one that cannot end
//! does not begin.

use std::iter::successors;

use burn::tensor::Device;

use crate::data::plan::Plan;
use crate::disk;
use crate::error::{Error, Purpose, Result};
use crate::memory;
use crate::message::Message;
use crate::network::architecture::Architecture;
use crate::network::cells::Network;
use crate::network::layout::Layout;
use crate::observer::{Observer, Silent};
use crate::run::bench::{Bench, Timing};
use crate::run::setup::Run;
use crate::run::workload::{Estimate, Workload};
use crate::settings::Config;
use crate::space::topology::NODES;

/// Copies of every weight in a checkpoint: the weight, two moments, and perhaps an average.
const COPIES: u64 = 4;

/// Checkpoints of a phase on disk while one is written: the latest, the one before, the new one.
const CHECKPOINTS: u64 = 3;

/// What a run will need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prospect {
    /// The process at its largest, in bytes; where the system tells.
    pub memory: Option<u64>,
    /// What it may come to.
    pub memory_allowed: Option<u64>,
    /// Checkpoints and model, in bytes.
    pub disk: u64,
    /// Free space for them.
    pub disk_free: Option<u64>,
    /// Time.
    pub estimate: Estimate,
}

/// Says what a run that begins will need, and refuses one that cannot end. It searches, trains, or
/// both, an architecture like this. Of several ranks the first measures itself.
///
/// # Errors
/// Those of [`Prospect::of`].
pub fn foresee(
    run: &Run,
    [search, train]: [bool; 2],
    architecture: &Architecture,
    observer: &dyn Observer,
) -> Result<()> {
    if !run.dir.lines().is_empty() || !run.ranks.is_first() {
        return Ok(());
    }
    let Prospect { memory, memory_allowed, disk, disk_free, estimate } =
        Prospect::of(run, search, architecture)?;
    let seconds = |does: bool, seconds: f64| if does { seconds } else { 0.0 };
    let (search_s, training_s) =
        (seconds(search, estimate.search_s), seconds(train, estimate.train_s));
    observer.message(&Message::Foreseen {
        search_s,
        training_s,
        all_s: search_s + training_s + estimate.scoring_s,
        memory: memory.map(|memory| (memory, memory_allowed)),
        disk: (disk, disk_free),
    });
    Ok(())
}

impl Prospect {
    /// Measures a few steps of `run`, which trains `architecture`, or, with `search`, first finds
    /// one like it.
    ///
    /// # Errors
    /// [`Error::Disk`] and [`Error::Memory`] when there is not enough, for the steps or for the
    /// images that will be scored. Memory is judged by steps on smaller patches first.
    pub fn of(run: &Run, search: bool, architecture: &Architecture) -> Result<Self> {
        let folder = run.dir.file("");
        let (disk, disk_free) = (disk_of(run, search, architecture), disk::free(&folder));
        if let Some(free) = disk_free.filter(|&free| free < disk) {
            return Err(Error::Disk { path: folder, needed: disk, free });
        }

        let (own, size, device) = (run.config_of_a_rank(), run.size(), &run.device);
        let config = &own;
        let bench = |patch| Bench {
            config,
            size,
            target: &run.plan.target,
            patch,
            device,
            warm_up: 1,
            repetitions: 1,
            observer: &Silent,
        };
        let step =
            |patch| (search.then(|| bench(patch).search()), bench(patch).train(architecture));
        check_device(&run.plan, config, device, |patch| {
            let (search, train) = step(patch);
            [search, Some(train)]
        })?;
        check_memory(&run.plan, config, |patch| {
            memory::forget_peak();
            step(patch);
            memory::peak()
        })?;
        let patch = run.plan.patch;
        memory::forget_peak();
        let (iteration, training) = step(patch);
        let memory = memory::peak();
        let memory_allowed = run.config.data.memory_allowed();
        if let (Some(needed), Some(allowed)) = (memory, memory_allowed)
            && needed > allowed
        {
            let per_voxel = needed as f64 / volume(patch);
            let needed = |patch| (per_voxel * volume(patch)) as u64;
            return Err(too_large(&run.plan, config, needed, allowed, false));
        }
        let prediction = bench(patch).predict(architecture).median_s;
        run.check_scoring(architecture)?;
        let taught = bench(patch).teach(&run.teachers).median_s;
        let iteration = iteration.map_or(0.0, |timing| timing.median_s);
        let estimate = Workload::of(run.cohort, &run.plan, &run.config)?.estimate(
            &run.config,
            iteration,
            training.median_s + taught,
            prediction,
        );
        Ok(Self { memory, memory_allowed, disk, disk_free, estimate })
    }
}

/// Judges the memory of steps by what `peak_of` says of steps on smaller patches: the smallest,
/// then ever larger ones up to half the extents, none of which is tried before those before it say
/// that there is room.
pub(super) fn check_memory(
    plan: &Plan,
    config: &Config,
    peak_of: impl Fn([usize; 3]) -> Option<u64>,
) -> Result<()> {
    let (patch, smallest) = (plan.patch, plan.grid.step());
    let Some(fixed) = peak_of(smallest) else { return Ok(()) };
    let mut per_voxel = 0.0;
    for next in larger_patches(plan) {
        let needed = |patch| fixed + (per_voxel * (volume(patch) - volume(smallest))) as u64;
        if let Some(allowed) =
            config.data.memory_allowed().filter(|&allowed| needed(next) > allowed)
        {
            return Err(too_large(plan, config, needed, allowed, false));
        }
        if next != patch {
            let Some(peak) = peak_of(next) else { return Ok(()) };
            per_voxel = peak.saturating_sub(fixed) as f64 / (volume(next) - volume(smallest));
        }
    }
    Ok(())
}

/// From the smallest patch on, that one not among them: up to half the extents, then the patch itself.
fn larger_patches(plan: &Plan) -> impl Iterator<Item = [usize; 3]> {
    let (patch, smallest) = (plan.patch, plan.grid.step());
    let half = [0, 1, 2].map(|axis| (patch[axis] / 2).max(1).next_multiple_of(smallest[axis]));
    let larger = move |tried: &[usize; 3]| {
        (*tried != half).then(|| [0, 1, 2].map(|axis| half[axis].min(2 * tried[axis])))
    };
    successors(larger(&smallest), larger).chain([patch])
}

/// Refuses a patch of which the GPU could not hold the largest volume, as ever larger patches say,
/// none of which is tried before those before it say that it can.
pub(super) fn check_device(
    plan: &Plan,
    config: &Config,
    device: &Device,
    step: impl Fn([usize; 3]) -> [Option<Timing>; 2],
) -> Result<()> {
    let Some(most) = volops::most_bytes(device) else { return Ok(()) };
    let mut tried = plan.grid.step();
    for next in larger_patches(plan) {
        let launches = step(tried).into_iter().flatten().filter_map(|timing| timing.launches);
        let largest = launches.map(|launches| launches.largest).max().unwrap_or(0);
        let needed = |patch| (largest as f64 * (volume(patch) / volume(tried))) as u64;
        if needed(next) > most {
            return Err(too_large(plan, config, needed, most, true));
        }
        tried = next;
    }
    Ok(())
}

fn volume(patch: [usize; 3]) -> f64 {
    patch.iter().map(|&extent| extent as f64).product()
}

/// The error that names what would fit.
fn too_large(
    plan: &Plan,
    config: &Config,
    needed: impl Fn([usize; 3]) -> u64,
    allowed: u64,
    one_volume: bool,
) -> Error {
    let step = plan.grid.step();
    let mut fits = plan.patch;
    // With a margin: small patches tell only roughly what larger ones need, and what is proposed
    // must not be refused.
    let allowed_with_margin = allowed / 2;
    while needed(fits) > allowed_with_margin
        && fits.iter().zip(step).any(|(&extent, step)| extent > step)
    {
        let shortens = (0..3).filter(|&axis| fits[axis] > step[axis]);
        let longest = shortens.max_by_key(|&axis| fits[axis]).unwrap_or(0);
        fits[longest] -= step[longest];
    }
    let divides = |patch| config.network.grid(patch, plan.spacing).divides(patch);
    Error::Memory {
        purpose: Purpose::Steps {
            patch: plan.patch,
            smaller: (needed(fits) <= allowed_with_margin && divides(fits)).then_some(fits),
            recompute: !config.network.recompute && !one_volume,
            narrower: config.network.width > NODES,
            one_volume,
        },
        needed: needed(plan.patch),
        allowed,
    }
}

/// Bytes of the checkpoints and the model.
fn disk_of(run: &Run, search: bool, architecture: &Architecture) -> u64 {
    let bytes = |layout: &Layout| 4 * layout.scalars() as u64;
    let supernet = || Network::supernet(&run.config.network.space(), run.size());
    let searched = if search { bytes(supernet().layout()) } else { 0 };
    let trained = bytes(architecture.build(run.size()).layout());
    CHECKPOINTS * COPIES * (searched + trained) + trained
}
