//! `scnas cross-validate`: every fold a run of its own, and the table over all of them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::Device;
use scnas::report::against_random::AgainstRandom;
use scnas::report::cross_validation::CrossValidation;
use scnas::run::cross_validate::{CrossValidated, cross_validate};
use scnas::run::pipeline::Order;
use scnas::store::named::{Named, settings_of};
use serde_json::json;

use crate::against_random;
use crate::interrupt;
use crate::output::{Output, warn};
use crate::progress::Progress;
use crate::run_options::{ARCHITECTURES, SettingsArgs, StrategyArgs, default_folder};
use crate::search::{inherits, search_kind};

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
    /// Data set: an MSD or nnU-Net raw folder, a JSON file with MONAI's lists,
    /// or a CSV file of image/label pairs
    pub data: PathBuf,
    /// Folder to write; what is complete there is kept
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Train this architecture in every fold instead of searching: a run folder, a genotype.json,
    /// a model.safetensors, random, random:SEED, an operation for all edges, cells
    /// that have a name such as chain, u-resnet or u-resnet-half
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
    pub strategy: StrategyArgs,
    #[command(flatten)]
    pub settings: SettingsArgs,
}

pub fn run(args: &CrossValidateArgs, device: &Device, output: Output) -> Result<ExitCode> {
    interrupt::listen()?;
    let base = args.arch.as_deref().and_then(settings_of);
    let mut config = args.settings.load(base.as_deref(), &args.strategy.overrides())?;
    config.race.candidates.extend(args.strategy.candidate.iter().cloned());
    if args.arch.is_some() {
        args.settings.warn_of_unsearched();
    } else {
        args.settings.warn_of_other_search(&config.search);
        if inherits(&config) {
            args.settings.warn_of_untrained();
        }
    }
    if let Some(splits) = &args.splits {
        config.data.splits = Some(splits.clone());
    }
    let named = args
        .arch
        .as_ref()
        .map(|text| Named::resolve(text, &config.network.space(), config.seed, device))
        .transpose()?;
    let kind = named
        .as_ref()
        .map_or_else(|| search_kind(&config).into(), |named| named.name.replace(':', "-"));
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| default_folder(&args.data, &format!("cross-validation-{kind}")));
    let progress = Progress::saving_every(output, args.settings.save_every);
    let order = Order { data: &args.data, folder: &out, config, device };
    let found_in = args.arch.as_ref().map(Path::new);
    let CrossValidated { all, in_use } =
        cross_validate(order, named.as_ref(), found_in, &args.folds, &progress)?;
    drop(progress);
    if all.folds.len() < all.of {
        warn(format_args!("the table is of {} of {} folds", all.folds.len(), all.of));
    }
    let random = AgainstRandom::of(&out);
    let mut text = format!("{}\n{}{}", all.table(), all.clean_up_text(), headline(&all, &out));
    if let Some(random) = &random {
        text = format!("{text}\n\n{}", against_random::text(random));
    }
    output.result(
        text,
        || json!({ "folder": out, "cross_validation": all, "in_use": in_use, "against_random": random.as_ref().map(against_random::json) }),
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
