//! What a step of the search, of training and of prediction takes here, how fast the machine is, and
//! what a run would take.

use std::path::PathBuf;

use burn::tensor::Device;
use medvol::{Dataset, Target};
use volops::machine;

use crate::data::cohort::Cohort;
use crate::data::plan::Plan;
use crate::error::Result;
use crate::network::architecture::Architecture;
use crate::network::size::Size;
use crate::observer::Observer;
use crate::run::bench::{Bench, Timing, peak_memory_mib};
use crate::run::workload::{Estimate, Workload};
use crate::settings::Config;

/// Bytes of the copy that stands for the machine's memory: more than caches hold, as the tensors of
/// a large patch are.
const COPIED: usize = 1 << 27;

/// Times each step is done before it is measured.
const WARM_UP: usize = 3;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Measurement<'a> {
    /// What the steps work on.
    pub subject: Subject,
    /// Their settings.
    pub config: &'a Config,
    /// The architecture that is trained and predicts.
    pub architecture: &'a Architecture,
    /// One part alone; `None`: all.
    pub only: Option<Part>,
    /// Times each part is measured, at least 1.
    pub repetitions: usize,
}

/// What steps work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Patches like those of a data set.
    Data(PathBuf),
    /// Patches `[depth, height, width]`, each divisible by 8, without data.
    Size {
        /// Of an image.
        channels: usize,
        /// Background included.
        classes: usize,
        /// In voxels.
        patch: [usize; 3],
    },
}

/// A part that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Iterations of the search: Θ step and α step.
    Search,
    /// Training steps of one architecture.
    Train,
    /// Logits of one patch by one architecture.
    Predict,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Name of the data set, or `random numbers`.
    pub name: String,
    /// Size of the networks.
    pub size: Size,
    /// What their outputs say.
    pub target: Target,
    /// Patch `[depth, height, width]` in voxels.
    pub patch: [usize; 3],
    /// Of the architecture on one patch.
    pub gflops: f64,
    /// The most multiplications and additions that the processor does, in 10⁹ a second.
    pub peak_gflops: f64,
    /// Memory read and written, in 10⁹ bytes a second.
    pub copy_gb_per_s: f64,
    /// Where it was wanted.
    pub search: Option<Timing>,
    /// Where it was wanted.
    pub train: Option<Timing>,
    /// Where it was wanted.
    pub predict: Option<Timing>,
    /// Of everything measured; only where the system tells.
    pub peak_memory_mib: Option<f64>,
    /// What a run would take; only of a data set of which all parts were measured.
    pub estimate: Option<(Workload, Estimate)>,
}

/// Measures.
///
/// # Errors
/// A data set that cannot be opened or planned.
pub fn measure(
    measurement: &Measurement,
    device: &Device,
    observer: &dyn Observer,
) -> Result<Measured> {
    volops::memory::keep_pages();
    let Measurement { subject, config, architecture, only, repetitions } = measurement;
    let width = config.network.width;
    let (name, size, target, patch, workload) = match subject {
        &Subject::Size { channels, classes, patch } => {
            // Of voxels that are cubes.
            let grid = config.network.grid(patch, [1.0; 3]);
            let size = Size { channels, classes, width, grid };
            ("random numbers".into(), size, Target::Classes, patch, None)
        }
        Subject::Data(data) => {
            let dataset = Dataset::open(data)?.read_by(config.data.geometry);
            let cohort = Cohort::read(dataset)?;
            let plan = Plan::new(&cohort, config)?;
            let workload = Workload::of(&cohort, &plan, config)?;
            let size = plan.size(width);
            (plan.dataset, size, plan.target, plan.patch, Some(workload))
        }
    };
    let (warm_up, repetitions) = (WARM_UP, *repetitions);
    let bench =
        Bench { config, size, target: &target, patch, device, warm_up, repetitions, observer };
    let wanted = |part| only.is_none_or(|only| only == part);
    let search = wanted(Part::Search).then(|| bench.search());
    let train = wanted(Part::Train).then(|| bench.train(architecture));
    let predict = wanted(Part::Predict).then(|| bench.predict(architecture));
    let peak_memory_mib = peak_memory_mib();
    let estimate = match (workload, &search, &train, &predict) {
        (Some(workload), Some(search), Some(train), Some(predict)) => {
            let [search, train, predict] = [search, train, predict].map(|timing| timing.median_s);
            Some((workload, workload.estimate(config, search, train, predict)))
        }
        _ => None,
    };
    Ok(Measured {
        name,
        size,
        target: target.clone(),
        patch,
        gflops: architecture.cost(size, patch).gflops(),
        peak_gflops: machine::multiply_add_gflops(),
        copy_gb_per_s: machine::copy_gb_per_s(COPIED),
        search,
        train,
        predict,
        peak_memory_mib,
        estimate,
    })
}
