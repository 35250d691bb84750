//! What `search` and `train` have in common: data, settings, run folder, and what they print at the
//! end.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use medvol::Dataset;
use scnas::Device;
use scnas::data::plan::Plan;
use scnas::memory::text;
use scnas::network::architecture::Architecture;
use scnas::report::evaluation::Evaluation;
use scnas::run::pipeline::{Observer, Run, RunResult};
use scnas::run::preflight::Prospect;
use scnas::settings::config::{Config, PRESETS};
use scnas::store::run_folder::RunDir;
use serde_json::json;

use crate::architecture::name_of_folder;
use crate::bench::duration;
use crate::beside::AgainstRandom;
use crate::finished::read_run;
use crate::output::Output;

/// Data and settings of a run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Data set: an MSD or nnU-Net raw folder, or a CSV file of image/label pairs
    pub data: PathBuf,
    /// Run folder to write; a run that was stopped there goes on
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Fold to hold out for evaluation; short for --set data.fold=K
    #[arg(long, value_name = "K")]
    pub fold: Option<usize>,
}

/// Settings of a run.
#[derive(Debug, Args)]
pub struct SettingsArgs {
    /// Settings to start from
    #[arg(long, value_parser = PRESETS, value_name = "NAME")]
    pub preset: Option<String>,
    /// TOML file that changes settings (`scnas config` prints all of them)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Change one setting, such as search.epochs=10; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Seconds between two checkpoints within an epoch; there is one at the end of each anyway
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub save_every: u64,
}

impl SettingsArgs {
    /// The settings: preset, then the file (or, without one, `base`), then `--set` and `more`.
    pub fn load(&self, base: Option<&Path>, more: &[String]) -> Result<Config> {
        let preset = self.preset.as_deref().unwrap_or("default");
        let base = base.filter(|_| self.preset.is_none());
        let overrides: Vec<String> = self.set.iter().chain(more).cloned().collect();
        Ok(Config::load(preset, self.config.as_deref().or(base), &overrides)?)
    }
}

impl RunArgs {
    /// The settings: preset, then the file (or, without one, `base`), then `--set` and `--fold`.
    pub fn settings(&self, base: Option<&Path>) -> Result<Config> {
        let fold: Vec<String> =
            self.fold.map(|fold| format!("data.fold={fold}")).into_iter().collect();
        self.settings.load(base, &fold)
    }

    /// The run folder: `--out`, or `runs/<data>/<kind>-fold<K>`.
    pub fn folder(&self, kind: &str, config: &Config) -> PathBuf {
        self.out.clone().unwrap_or_else(|| {
            default_folder(&self.data, &format!("{kind}-fold{}", config.data.fold))
        })
    }
}

/// `runs/<name of the data folder>/<name>`.
pub fn default_folder(data: &Path, name: &str) -> PathBuf {
    Path::new("runs").join(name_of_folder(data)).join(name)
}

/// What a complete run printed, read back; `None` when it is not complete. `network` says how the
/// run's network comes to be.
///
/// # Errors
/// When the folder holds a run of other settings, data or network.
pub fn completed(
    data: &Path,
    folder: &Path,
    config: &Config,
    network: &str,
) -> Result<Option<(Evaluation, RunResult)>> {
    let complete = ["result.json", "evaluation.json", "model.safetensors"]
        .iter()
        .all(|name| folder.join(name).exists());
    if !complete {
        return Ok(None);
    }
    let plan = Plan::new(&Dataset::open(data)?, config)?;
    claim(&RunDir::open(folder, config, &plan)?, network)?;
    let (result, evaluation) = read_run(folder)?;
    Ok(Some((evaluation, result)))
}

/// Begins or goes on with a run whose network comes to be as `network` says.
pub fn open(
    data: &Path,
    folder: &Path,
    config: Config,
    network: &str,
    device: &Device,
    observer: &dyn Observer,
) -> Result<Run> {
    let run = Run::open(data, folder, config, device.clone(), observer)?;
    claim(&run.dir, network)?;
    volops::memory::keep_pages();
    Ok(run)
}

/// Says what a run that begins will need, and refuses one that cannot end. It searches, trains, or
/// both, an architecture like this.
pub fn foresee(
    run: &Run,
    [search, train]: [bool; 2],
    architecture: &Architecture,
    observer: &dyn Observer,
) -> Result<()> {
    if !run.dir.lines().is_empty() {
        return Ok(());
    }
    let Prospect { memory, memory_allowed, disk, disk_free, estimate, .. } =
        Prospect::of(run, search, architecture)?;
    let of = |needed: u64, there: Option<u64>| match there {
        Some(there) => format!("{} of {}", text(needed), text(there)),
        None => text(needed),
    };
    let seconds = |does: bool, seconds: f64| if does { seconds } else { 0.0 };
    let (search_s, training_s) =
        (seconds(search, estimate.search_s), seconds(train, estimate.train_s));
    let memory = memory
        .map(|memory| format!(", {} of memory", of(memory, memory_allowed)))
        .unwrap_or_default();
    observer.message(&format!(
        "this will take about {} (search {}, training {}){memory}, {} of disk",
        duration(search_s + training_s + estimate.scoring_s),
        duration(search_s),
        duration(training_s),
        of(disk, disk_free)
    ));
    Ok(())
}

/// A folder can go on only with what it began with.
fn claim(dir: &RunDir, network: &str) -> Result<()> {
    Ok(dir.same_or_new("origin.json", format!("{}\n", json!({ "network": network })).as_bytes())?)
}

/// Prints the Dice table of a finished run, the means of all metrics, one line that sums it up,
/// and, of a search, whether it beats random networks that lie beside it.
pub fn report(
    folder: &Path,
    evaluation: &Evaluation,
    result: &RunResult,
    output: Output,
) -> Result<()> {
    let mean = result
        .mean_dice
        .map_or_else(|| "not scored".into(), |m| format!("{:.4} ± {:.4}", m.mean, m.sd));
    let summary = format!(
        "{}: mean foreground Dice {mean} on {} held-out cases; {:.2} M parameters, {:.2} GFLOPs a \
         patch; {:.1} minutes; {}",
        result.network,
        result.cases,
        result.parameters_m,
        result.gflops,
        result.seconds / 60.0,
        folder.join("model.safetensors").display(),
    );
    let random = folder.join("alpha.json").exists().then(|| AgainstRandom::of(folder)).flatten();
    let mut text = format!("{}\n{}\n{summary}", evaluation.table(), evaluation.means());
    if let Some(random) = &random {
        text = format!("{text}\n\n{}", random.text());
    }
    output.result(text, || {
        let random = random.as_ref().map(AgainstRandom::json);
        json!({ "run": folder, "result": result, "evaluation": evaluation.summary(), "against_random": random })
    })
}
