//! `scnas bench`: what a step of the search, of training and of prediction takes here, and what a
//! run would.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgGroup, Args, ValueEnum};
use medvol::Dataset;
use scnas::Device;
use scnas::data::plan::Plan;
use scnas::network::size::Size;
use scnas::report::table::aligned;
use scnas::run::bench::{Bench, Estimate, Timing, Workload, peak_memory_mib};
use scnas::settings::config::{Config, PRESETS};
use serde_json::{Value, json};
use volops::machine;

use crate::architecture::{ARCHITECTURES, Named};
use crate::output::Output;
use crate::progress::Progress;

/// Bytes of the copy that stands for the machine's memory: more than caches hold, as the tensors of
/// a large patch are.
const COPIED: usize = 1 << 27;

/// Times each step is done before it is measured.
const WARM_UP: usize = 3;

/// Measure time and memory of a search iteration, a training step and a prediction on this machine
///
/// With a data set: with its channels, classes and patch; also estimates how long `search` and
/// `train` with these settings will take. With --size: for any patch, without data. Patches are
/// random numbers; nothing is written. Every step is done three times to warm up
/// and then --repetitions times; iterations of the search sample other architectures each time, so
/// take more of them for a closer median. Training and prediction are those of one architecture
/// (--arch). Peak memory is that of everything measured: --only measures one.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("subject").required(true).args(["data", "size"])), after_help = "\
Examples:
  scnas bench DATA/Task04_Hippocampus
  scnas bench DATA/Task04_Hippocampus --set network.width=32 --set search.epochs=100
  scnas bench --size 64 64 64 --preset paper --only search --repetitions 15 --json")]
pub struct BenchArgs {
    /// Data set: an MSD or nnU-Net raw folder, or a CSV file of image/label pairs
    pub data: Option<PathBuf>,
    /// Patch in voxels instead of a data set: three multiples of 8
    #[arg(long, num_args = 3, value_names = ["D", "H", "W"], value_parser = extent)]
    pub size: Option<Vec<usize>>,
    /// Input channels, with --size [default: 1]
    #[arg(long, conflicts_with = "data", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub channels: Option<u16>,
    /// Classes, background included, with --size [default: 2]
    #[arg(long, conflicts_with = "data", value_name = "N", value_parser = clap::value_parser!(u16).range(2..=256))]
    pub classes: Option<u16>,
    #[arg(long, value_name = "ARCH", default_value = "random:0", help = ARCHITECTURES)]
    pub arch: String,
    /// Measure one part alone
    #[arg(long, value_enum, value_name = "PART")]
    pub only: Option<Part>,
    /// Times each part is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub repetitions: u16,
    /// Settings to start from
    #[arg(long, value_parser = PRESETS, default_value = "default", value_name = "NAME")]
    pub preset: String,
    /// TOML file that changes settings (`scnas config` prints all of them)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Change one setting, such as network.width=32; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Iterations of the search: Θ step and α step
    Search,
    /// Training steps of one architecture
    Train,
    /// Class scores of one patch by one architecture
    Predict,
}

/// As the config has it for data.patch.
fn extent(text: &str) -> Result<usize, String> {
    let extent = text.parse().ok().filter(|n| (8..=512).contains(n) && n % 8 == 0);
    extent.ok_or_else(|| {
        "expected a multiple of 8 from 8 to 512 (the grid is halved three times)".into()
    })
}

/// What is measured.
struct Subject {
    name: String,
    size: Size,
    patch: [usize; 3],
    /// With a data set.
    workload: Option<Workload>,
}

impl Subject {
    fn new(args: &BenchArgs, config: &Config) -> Result<Self> {
        let width = config.network.width;
        let Some(data) = &args.data else {
            let [channels, classes] =
                [args.channels.unwrap_or(1), args.classes.unwrap_or(2)].map(usize::from);
            let size = Size { channels, classes, width };
            // Three, says the parser.
            let patch = args.size.as_deref().and_then(|s| s.try_into().ok()).unwrap_or_default();
            return Ok(Self { name: "random numbers".into(), size, patch, workload: None });
        };
        let dataset = Dataset::open(data)?;
        let plan = Plan::new(&dataset, config)?;
        let workload = Workload::of(&dataset, &plan, config)?;
        let size = Size { channels: plan.channels.len(), classes: plan.labels.len(), width };
        Ok(Self { name: plan.dataset, size, patch: plan.patch, workload: Some(workload) })
    }
}

pub fn run(args: &BenchArgs, device: &Device, output: Output) -> Result<ExitCode> {
    volops::memory::keep_pages();
    let config = Config::load(&args.preset, args.config.as_deref(), &args.set)?;
    let subject = Subject::new(args, &config)?;
    let Named { name, architecture, .. } =
        Named::resolve(&args.arch, &config.network.space(), config.seed, device)?;
    let Subject { size, patch, .. } = subject;
    let progress = Progress::new(output);
    let repetitions = usize::from(args.repetitions);
    let bench = Bench {
        config: &config,
        size,
        patch,
        device,
        warm_up: WARM_UP,
        repetitions,
        observer: &progress,
    };
    let wanted = |part| args.only.is_none_or(|only| only == part);
    let search = wanted(Part::Search).then(|| bench.search());
    let train = wanted(Part::Train).then(|| bench.train(&architecture));
    let predict = wanted(Part::Predict).then(|| bench.predict(&architecture));
    let peak_memory_mib = peak_memory_mib();
    drop(progress);

    let estimate = match (&subject.workload, &search, &train, &predict) {
        (Some(workload), Some(search), Some(train), Some(predict)) => Some((
            *workload,
            workload.estimate(&config, search.median_s, train.median_s, predict.median_s),
        )),
        _ => None,
    };
    let report = Report {
        title: title(&subject, &config, &name),
        gflops: architecture.cost(size, patch).gflops(),
        peak_gflops: machine::multiply_add_gflops(),
        copy_gb_per_s: machine::copy_gb_per_s(COPIED),
        search,
        train,
        predict,
        peak_memory_mib,
        estimate,
    };
    output.result(report.text(&config), || {
        report.json(json!({ "size": size, "patch": patch, "architecture": name }))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn title(subject: &Subject, config: &Config, architecture: &str) -> String {
    let Subject { name, size: Size { channels, classes, width }, patch: [d, h, w], .. } = subject;
    let operations = config.network.operations.len();
    format!(
        "{name}: patch {d}×{h}×{w}, {channels} channel(s), {classes} classes, width {width}; \
         search among {operations} operations; {architecture}"
    )
}

/// Seconds in the unit that reads best.
pub fn duration(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.1} s"),
        ..7200.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

struct Report {
    title: String,
    /// Of the architecture on one patch.
    gflops: f64,
    peak_gflops: f64,
    copy_gb_per_s: f64,
    search: Option<Timing>,
    train: Option<Timing>,
    predict: Option<Timing>,
    peak_memory_mib: Option<f64>,
    estimate: Option<(Workload, Estimate)>,
}

impl Report {
    fn text(&self, config: &Config) -> String {
        let mut rows = vec![["", "median", "minimum", "page faults"].map(String::from).to_vec()];
        let parts = [
            ("search iteration", &self.search),
            ("training step", &self.train),
            ("prediction of a patch", &self.predict),
        ];
        for (name, timing) in parts {
            let Some(Timing { median_s, min_s, page_faults, .. }) = timing else { continue };
            let faults = page_faults.map_or_else(|| "–".into(), |n| format!("{n:.0}"));
            rows.push(vec![
                name.into(),
                format!("{median_s:.4} s"),
                format!("{min_s:.4} s"),
                faults,
            ]);
        }
        let mut text = format!("{}\n{}", self.title, aligned(&rows, 1));
        if let Some(mib) = self.peak_memory_mib {
            text += &format!("peak memory {mib:.0} MiB\n");
        }
        let (threads, peak) = (rayon::current_num_threads(), self.peak_gflops);
        text += &format!(
            "processor with {threads} thread(s): {peak:.0} GFLOP/s at most, {:.0} GB/s copied",
            self.copy_gb_per_s
        );
        if let Some(Timing { median_s, .. }) = self.predict {
            let rate = self.gflops / median_s;
            text += &format!(
                "; prediction: {:.2} GFLOP at {rate:.0} GFLOP/s ({:.0} %)",
                self.gflops,
                100.0 * rate / peak
            );
        }
        if let Some((workload, estimate)) = &self.estimate {
            text += "\n\n";
            text += &self.prospect(workload, estimate, config);
        }
        text
    }

    /// What a run would take.
    fn prospect(&self, workload: &Workload, estimate: &Estimate, config: &Config) -> String {
        let Workload { training_cases, held_out_cases, windows, cases_mib, .. } = workload;
        let row = |name: &str, epochs: usize, epoch: f64, all: f64| {
            vec![name.into(), format!("{epochs} epochs"), duration(epoch), duration(all)]
        };
        let rows = [
            ["", "", "an epoch", "all"].map(String::from).to_vec(),
            row("search", config.search.epochs, estimate.search_epoch_s, estimate.search_s),
            row("training", config.train.epochs, estimate.train_epoch_s, estimate.train_s),
            vec![
                "scoring, not mirrored".into(),
                String::new(),
                String::new(),
                duration(estimate.scoring_s),
            ],
        ];
        let mut text = format!(
            "A run with these settings, {training_cases} training and {held_out_cases} held-out \
             cases ({windows} patches):\n{}",
            aligned(&rows, 1)
        );
        if let Some(mib) = self.peak_memory_mib {
            text += &format!(
                "memory: about {:.0} MiB, {cases_mib:.0} of them for the cases\n",
                mib + cases_mib
            );
        }
        text
    }

    fn json(&self, mut subject: Value) -> Value {
        let report = json!({
            "threads": rayon::current_num_threads(),
            "gflops": self.gflops,
            "peak_gflops": self.peak_gflops,
            "copy_gb_per_s": self.copy_gb_per_s,
            "search": self.search,
            "train": self.train,
            "predict": self.predict,
            "peak_memory_mib": self.peak_memory_mib,
            "workload": self.estimate.map(|(workload, _)| workload),
            "estimate": self.estimate.map(|(_, estimate)| estimate),
        });
        for (key, value) in
            report.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null())
        {
            subject[key] = value.clone();
        }
        subject
    }
}
