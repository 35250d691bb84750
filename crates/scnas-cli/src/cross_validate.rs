//! `scnas cross-validate`: every fold a run of its own, and the table over all of them.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Error, Result, bail};
use clap::Args;
use medvol::Dataset;
use scnas::Device;
use scnas::data::plan::{Plan, to_json};
use scnas::report::cross_validation::CrossValidation;
use scnas::run::pipeline::Observer as _;
use scnas::settings::config::Config;
use scnas::store::run_folder::same_settings;
use serde_json::json;

use crate::architecture::{ARCHITECTURES, Named, name_of_folder, read_plan, settings_of};
use crate::beside::AgainstRandom;
use crate::check::before_run;
use crate::finished::{cross_validation, fold_folder, read_folds};
use crate::interrupt;
use crate::output::{Output, warn};
use crate::progress::Progress;
use crate::run_options::{SettingsArgs, default_folder};
use crate::search::find;
use crate::train::{Start, fit};

/// Cross-validate: search or train in every fold, and tabulate Dice over all of them
///
/// Runs the folds one after the other: a search, as `scnas search` does it, or with --arch the
/// training of one architecture, as `scnas train` does it. Each fold is a run folder of its own,
/// DIR/fold-K, with the predictions of its held-out cases on their own grids in DIR/fold-K/
/// predictions. Then prints Dice per class and its mean over foreground (mean ± SD over folds, and
/// over all cases), parameters, GFLOPs and time, and writes them as cross-validation.json, .csv and
/// .tex. Says which classes are better off with only their largest connected component; `scnas
/// predict --model DIR` uses the models of all folds and does so.
///
/// The same command goes on where it was stopped and leaves out folds that are complete. It may run
/// in several processes at once, also on several machines that share the folder: a fold that
/// another process works on is left out. Whoever ends last writes the whole table.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas cross-validate DATA/Task04_Hippocampus --out runs/found
  scnas cross-validate DATA/Task04_Hippocampus --out runs/random-1 --arch random:1
  scnas cross-validate DATA/Task04_Hippocampus --out runs/u-resnet --arch u-resnet
  scnas cross-validate DATA/Task04_Hippocampus --folds 0,2 --splits splits_final.json
  scnas compare runs/found runs/random-1 runs/u-resnet
The folder is runs/<data>/cross-validation-<search or architecture> if --out does not name another.")]
pub struct CrossValidateArgs {
    /// Data set: an MSD or nnU-Net raw folder, or a CSV file of image/label pairs
    pub data: PathBuf,
    /// Folder to write; what is complete there is kept
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Train this architecture in every fold instead of searching: a run folder, a genotype.json,
    /// a model.safetensors, random, random:SEED, an operation for all edges, u-resnet or
    /// u-resnet-half
    #[arg(long, value_name = "ARCH", long_help = ARCHITECTURES)]
    pub arch: Option<String>,
    /// Only these folds, such as 0,2 [default: all]
    #[arg(long, value_name = "K,K", value_delimiter = ',')]
    pub folds: Vec<usize>,
    /// Who is held out in each fold: a splits_final.json of nnU-Net; short for --set
    /// data.splits=FILE [default: seeded folds]
    #[arg(long, value_name = "FILE")]
    pub splits: Option<PathBuf>,
    #[command(flatten)]
    pub settings: SettingsArgs,
}

pub fn run(args: &CrossValidateArgs, device: &Device, output: Output) -> Result<ExitCode> {
    interrupt::listen()?;
    let base = args.arch.as_deref().and_then(settings_of);
    let mut config = args.settings.load(base.as_deref(), &[])?;
    if let Some(splits) = &args.splits {
        config.data.splits = Some(splits.clone());
    }
    config.data.fold = 0;
    let named = args
        .arch
        .as_ref()
        .map(|text| Named::resolve(text, &config.network.space(), config.seed, device))
        .transpose()?;
    let kind = named.as_ref().map_or_else(|| "search".into(), |named| named.name.replace(':', "-"));
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| default_folder(&args.data, &format!("cross-validation-{kind}")));
    // What is typed wrong is said before anything is read or written; what is wrong with the data
    // is better said by the check.
    let number_of_folds = |plan: &Plan| folds(&args.folds, plan.folds.len());
    let plan = Dataset::open(&args.data)
        .map_err(Error::from)
        .and_then(|dataset| Ok(Plan::new(&dataset, &config)?));
    plan.as_ref().map_or(Ok(Vec::new()), number_of_folds)?;
    let progress = Progress::saving_every(output, args.settings.save_every);
    before_run(&args.data, &config, &out, &progress)?;
    let plan = plan?;
    let folds = number_of_folds(&plan)?;
    if let Some(arch) = &args.arch {
        warn_of_seen_cases(Path::new(arch), &plan);
    }
    let mut in_use = Vec::new();
    for fold in folds {
        let folder = fold_folder(&out, fold);
        let mut config = config.clone();
        config.data.fold = fold;
        progress.message(&format!("fold {fold} of {}: {}", plan.folds.len(), folder.display()));
        let done = match &named {
            Some(named) => {
                fit(&args.data, &folder, config, named, Start::SCRATCH, device, &progress)
            }
            None => find(&args.data, &folder, config, device, &progress),
        };
        match done {
            Ok(_) => {}
            Err(error) if is_in_use(&error) => {
                progress.message(&format!("fold {fold}: left out, another process works on it"));
                in_use.push(fold);
            }
            Err(error) => return Err(error.context(format!("fold {fold}"))),
        }
    }
    drop(progress);
    summarize(&out, &config, &in_use, output)
}

/// The folds to run, each once.
fn folds(wanted: &[usize], of: usize) -> Result<Vec<usize>> {
    if let Some(fold) = wanted.iter().find(|fold| **fold >= of) {
        bail!("--folds: there is no fold {fold}; expected 0 to {}", of - 1);
    }
    if wanted.is_empty() {
        return Ok((0..of).collect());
    }
    Ok(wanted.iter().copied().collect::<BTreeSet<_>>().into_iter().collect())
}

fn is_in_use(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(scnas::Error::InUse { .. }))
}

/// An architecture that was found with cases held out here may be flattered by them.
fn warn_of_seen_cases(run: &Path, plan: &Plan) {
    let Ok(source) = read_plan(&run.join("plan.json")) else { return };
    // A network that was only trained, such as a random one, was not chosen by its cases.
    if source.dataset == plan.dataset && run.join("alpha.json").exists() {
        warn(format_args!(
            "{}: this architecture was found on cases that other folds than {} hold out; their \
             scores may be too good",
            name_of_folder(run),
            source.fold
        ));
    }
}

/// Writes and prints the table of all folds in the folder that are complete.
fn summarize(out: &Path, config: &Config, in_use: &[usize], output: Output) -> Result<ExitCode> {
    let path = out.join("lock");
    let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    // One process reads and writes at a time, so that the table of the last one is the whole.
    lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    let complete = read_folds(out)?;
    for (result, _) in &complete {
        let mut expected = config.clone();
        expected.data.fold = result.fold;
        same_settings(&fold_folder(out, result.fold).join("config.toml"), &expected)?;
    }
    let Some(all) = cross_validation(out, complete)? else {
        bail!("{}: no fold is complete yet; others work on {in_use:?}", out.display());
    };
    medvol::atomic_write(out.join("cross-validation.json"), &to_json(&all))?;
    medvol::atomic_write(out.join("cross-validation.csv"), all.csv().as_bytes())?;
    medvol::atomic_write(out.join("cross-validation.tex"), all.tex().as_bytes())?;
    drop(lock);
    if all.folds.len() < all.of {
        warn(format_args!("the table is of {} of {} folds", all.folds.len(), all.of));
    }
    let random = AgainstRandom::of(out);
    let mut text = format!("{}\n{}{}", all.table(), all.clean_up_text(), headline(&all, out));
    if let Some(random) = &random {
        text = format!("{text}\n\n{}", random.text());
    }
    output.result(
        text,
        || json!({ "folder": out, "cross_validation": all, "in_use": in_use, "against_random": random.as_ref().map(AgainstRandom::json) }),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// One line that sums it up.
fn headline(all: &CrossValidation, out: &Path) -> String {
    let dice = all
        .over_folds
        .mean_foreground
        .map_or_else(|| "not scored".into(), |m| format!("{:.4} ± {:.4}", m.mean, m.sd));
    format!(
        "{}: mean foreground Dice {dice} over {} of {} folds, {} cases; {:.1} minutes; {}",
        all.network,
        all.folds.len(),
        all.of,
        all.over_cases.count,
        all.seconds / 60.0,
        out.join("cross-validation.json").display()
    )
}
