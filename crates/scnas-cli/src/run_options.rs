//! What `search` and `train` have in common: data, settings, run folder, and what they print at the end.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use medvol::Dataset;
use scnas::Device;
use scnas::config::{Config, PRESETS};
use scnas::evaluate::Evaluation;
use scnas::plan::Plan;
use scnas::run::{Observer, Run, RunResult};
use scnas::run_dir::RunDir;
use serde_json::{Value, json};

use crate::architecture::name_of_folder;
use crate::output::Output;

/// Data and settings of a run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Data set folder with dataset.json, imagesTr and labelsTr
    pub data: PathBuf,
    /// Run folder to write; a run that was stopped there goes on
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Settings to start from
    #[arg(long, value_parser = PRESETS, value_name = "NAME")]
    pub preset: Option<String>,
    /// TOML file that changes settings (`scnas config` prints all of them)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Change one setting, such as search.epochs=10; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Fold to hold out for evaluation; short for --set data.fold=K
    #[arg(long, value_name = "K")]
    pub fold: Option<usize>,
}

impl RunArgs {
    /// The settings: preset, then the file (or, without one, `base`), then `--set` and `--fold`.
    pub fn settings(&self, base: Option<&Path>) -> Result<Config> {
        let preset = self.preset.as_deref().unwrap_or("default");
        let base = base.filter(|_| self.preset.is_none());
        let fold = self.fold.map(|fold| format!("data.fold={fold}"));
        let overrides: Vec<String> = self.set.iter().cloned().chain(fold).collect();
        Ok(Config::load(preset, self.config.as_deref().or(base), &overrides)?)
    }

    /// The run folder: `--out`, or `runs/<data>/<kind>-fold<K>`.
    pub fn folder(&self, kind: &str, config: &Config) -> PathBuf {
        self.out.clone().unwrap_or_else(|| default_folder(&self.data, &format!("{kind}-fold{}", config.data.fold)))
    }
}

/// `runs/<name of the data folder>/<name>`.
fn default_folder(data: &Path, name: &str) -> PathBuf {
    Path::new("runs").join(name_of_folder(data)).join(name)
}

/// What a complete run printed, read back; `None` when it is not complete. `network` says how the run's network comes to be.
///
/// # Errors
/// When the folder holds a run of other settings, data or network.
pub fn completed(data: &Path, folder: &Path, config: &Config, network: &str) -> Result<Option<(Evaluation, RunResult)>> {
    let complete = ["result.json", "evaluation.json", "model.safetensors"].iter().all(|name| folder.join(name).exists());
    if !complete {
        return Ok(None);
    }
    let plan = Plan::new(&Dataset::open(data)?, config)?;
    claim(&RunDir::open(folder, config, &plan)?, network)?;
    Ok(Some((read_evaluation(folder)?, read_result(folder)?)))
}

/// Begins or goes on with a run whose network comes to be as `network` says.
pub fn open(data: &Path, folder: &Path, config: Config, network: &str, device: &Device, observer: &dyn Observer) -> Result<Run> {
    let run = Run::open(data, folder, config, device.clone(), observer)?;
    claim(&run.dir, network)?;
    Ok(run)
}

/// A folder can go on only with what it began with.
fn claim(dir: &RunDir, network: &str) -> Result<()> {
    Ok(dir.same_or_new("origin.json", format!("{}\n", json!({ "network": network })).as_bytes())?)
}

/// Reads the `result.json` of a run folder.
pub fn read_result(folder: &Path) -> Result<RunResult> {
    let path = folder.join("result.json");
    if !path.exists() {
        bail!("{}: no result.json there; expected the folder of a finished run", folder.display());
    }
    serde_json::from_value(read_json(&path)?).with_context(|| not_ours(&path))
}

/// Reads the `evaluation.json` of the folder of a finished run.
pub fn read_evaluation(folder: &Path) -> Result<Evaluation> {
    let path = folder.join("evaluation.json");
    serde_json::from_value(read_json(&path)?).with_context(|| not_ours(&path))
}

fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| not_ours(path))
}

fn not_ours(path: &Path) -> String {
    format!("{}: not as scnas writes it; remove it and run the command that wrote it again", path.display())
}

/// Prints the Dice table of a finished run, the means of all metrics, and one line that sums it up.
pub fn report(folder: &Path, evaluation: &Evaluation, result: &RunResult, output: Output) -> Result<()> {
    let mean = result.mean_dice.map_or_else(|| "not scored".into(), |m| format!("{:.4} ± {:.4}", m.mean, m.sd));
    let summary = format!(
        "{}: mean foreground Dice {mean} on {} held-out cases; {:.2} M parameters, {:.2} GFLOPs a patch; {:.1} minutes; {}",
        result.network,
        result.cases,
        result.parameters_m,
        result.gflops,
        result.seconds / 60.0,
        folder.join("model.safetensors").display(),
    );
    output.result(
        format_args!("{}\n{}\n{summary}", evaluation.table(), evaluation.means()),
        || json!({ "run": folder, "result": result, "evaluation": evaluation.summary() }),
    )
}
