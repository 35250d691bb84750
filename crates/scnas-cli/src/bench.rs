//! `scnas bench`: what a step of the search, of training and of prediction takes here, and what a
//! run would.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgGroup, Args, ValueEnum};
use scnas::Device;
use scnas::message::duration;
use scnas::network::size::Size;
use scnas::report::table::aligned;
use scnas::run::bench::{Launches, Timing};
use scnas::run::measure::{self, Measured, Measurement, Subject, measure};
use scnas::run::workload::{Estimate, Workload};
use scnas::settings::{Config, Keep, PRESETS, Strategy};
use scnas::store::named::Named;
use serde_json::{Value, json};

use crate::output::Output;
use crate::progress::Progress;
use crate::run_options::ARCHITECTURES;

/// Measure time and memory of a search iteration, a training step and a prediction on this machine
///
/// With a data set: with its channels, classes and patch; also estimates how long a bi-level search
/// and a training with these settings will take. With --size: for any patch, without data. Patches are
/// random numbers; nothing is written. Every step is done three times to warm up
/// and then --repetitions times; iterations of the search sample other architectures each time, so
/// take more of them for a closer median. Training and prediction are those of one architecture
/// (--arch). Peak memory is that of everything measured: --only measures one. On a GPU the launches of
/// a step are counted, and the bytes that its kernels have to move at least.
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
    #[arg(long, conflicts_with = "data", value_name = "N", value_parser = clap::value_parser!(u16).range(2..=255))]
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
    /// Logits of one patch by one architecture
    Predict,
}

/// As the config has it for data.patch.
fn extent(text: &str) -> Result<usize, String> {
    let extent = text.parse().ok().filter(|n| (8..=512).contains(n) && n % 8 == 0);
    extent.ok_or_else(|| {
        "expected a multiple of 8 from 8 to 512 (the grid is halved three times)".into()
    })
}

pub fn run(args: &BenchArgs, device: &Device, output: Output) -> Result<ExitCode> {
    let config = Config::load(&args.preset, args.config.as_deref(), &args.set)?;
    let Named { name, architecture, .. } =
        Named::resolve(&args.arch, &config.network.space(), config.seed, device)?;
    let subject = match &args.data {
        Some(data) => Subject::Data(data.clone()),
        None => Subject::Size {
            channels: args.channels.unwrap_or(1).into(),
            classes: args.classes.unwrap_or(2).into(),
            // Three, says the parser.
            patch: args.size.as_deref().and_then(|s| s.try_into().ok()).unwrap_or_default(),
        },
    };
    let only = args.only.map(|part| match part {
        Part::Search => measure::Part::Search,
        Part::Train => measure::Part::Train,
        Part::Predict => measure::Part::Predict,
    });
    let repetitions = args.repetitions.into();
    let measurement =
        Measurement { subject, config: &config, architecture: &architecture, only, repetitions };
    let progress = Progress::new(output);
    let measured = measure(&measurement, device, &progress)?;
    drop(progress);
    output.result(text(&measured, &config, &name), || for_programs(&measured, &name))?;
    Ok(ExitCode::SUCCESS)
}

fn title(measured: &Measured, config: &Config, architecture: &str) -> String {
    let Measured { name, size, patch: [d, h, w], .. } = measured;
    let Size { channels, classes, width, .. } = size;
    let outputs = if measured.target.is_classes() { "classes" } else { "regions" };
    let operations = config.network.operations.len();
    format!(
        "{name}: patch {d}×{h}×{w}, {channels} channel(s), {classes} {outputs}, width {width}; \
         search among {operations} operations; {architecture}"
    )
}

fn text(measured: &Measured, config: &Config, architecture: &str) -> String {
    let mut rows = vec![["", "median", "minimum", "page faults"].map(String::from).to_vec()];
    let parts = [
        ("search iteration", &measured.search),
        ("training step", &measured.train),
        ("prediction of a patch", &measured.predict),
    ];
    let mut launched = String::new();
    for (name, timing) in parts {
        let Some(timing) = timing else { continue };
        let Timing { median_s, min_s, page_faults, launches, .. } = timing;
        let faults = page_faults.map_or_else(|| "–".into(), |n| format!("{n:.0}"));
        rows.push(vec![name.into(), format!("{median_s:.4} s"), format!("{min_s:.4} s"), faults]);
        if let Some(Launches { all, bytes, .. }) = launches {
            launched += &format!("{name}: {all:.0} launches, {:.3} GB to move\n", bytes / 1e9);
        }
    }
    let mut text =
        format!("{}\n{}{launched}", title(measured, config, architecture), aligned(&rows, 1));
    if let Some(mib) = measured.peak_memory_mib {
        text += &format!("peak memory {mib:.0} MiB\n");
    }
    let (threads, peak) = (rayon::current_num_threads(), measured.peak_gflops);
    text += &format!(
        "processor with {threads} thread(s): {peak:.0} GFLOP/s at most, {:.0} GB/s copied",
        measured.copy_gb_per_s
    );
    if let Some(Timing { median_s, .. }) = measured.predict {
        let rate = measured.gflops / median_s;
        text += &format!(
            "; prediction: {:.2} GFLOP at {rate:.0} GFLOP/s ({:.0} %)",
            measured.gflops,
            100.0 * rate / peak
        );
    }
    if let Some((workload, estimate)) = &measured.estimate {
        text += "\n\n";
        text += &prospect(workload, estimate, measured.peak_memory_mib, config);
    }
    text
}

/// What a run would take.
fn prospect(
    workload: &Workload,
    estimate: &Estimate,
    peak_memory_mib: Option<f64>,
    config: &Config,
) -> String {
    let Workload { training_cases, held_out_cases, windows, cases_mib, .. } = workload;
    let row = |name: &str, epochs: usize, epoch: f64, all: f64| {
        vec![name.into(), format!("{epochs} epochs"), duration(epoch), duration(all)]
    };
    let rows = [
        ["", "", "an epoch", "all"].map(String::from).to_vec(),
        row("bi-level search", config.search.epochs, estimate.search_epoch_s, estimate.search_s),
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
    if config.search.strategy == Strategy::Race {
        text += "candidates race instead of the bi-level search: `scnas search` says at its start how \
                 long that will take\n";
    }
    if let Some(mib) = peak_memory_mib {
        text += &match config.data.keep {
            Keep::Disk => format!("memory: about {mib:.0} MiB; the cases are held on disk\n"),
            Keep::Auto | Keep::Memory => format!(
                "memory: about {:.0} MiB, {cases_mib:.0} of them for the cases\n",
                mib + cases_mib
            ),
        };
    }
    text
}

fn for_programs(measured: &Measured, architecture: &str) -> Value {
    let Measured { size, patch, .. } = measured;
    let mut subject = json!({ "size": size, "patch": patch, "architecture": architecture });
    let report = json!({
        "threads": rayon::current_num_threads(),
        "gflops": measured.gflops,
        "peak_gflops": measured.peak_gflops,
        "copy_gb_per_s": measured.copy_gb_per_s,
        "search": measured.search,
        "train": measured.train,
        "predict": measured.predict,
        "peak_memory_mib": measured.peak_memory_mib,
        "workload": measured.estimate.map(|(workload, _)| workload),
        "estimate": measured.estimate.map(|(_, estimate)| estimate),
    });
    for (key, value) in
        report.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null())
    {
        subject[key] = value.clone();
    }
    subject
}
