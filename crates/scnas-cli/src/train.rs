//! `scnas train`: weights for a given architecture.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use scnas::Device;
use scnas::data::files::name_of_folder;
use scnas::ranks::Ranks;
use scnas::report::evaluation::Evaluation;
use scnas::report::result::RunResult;
use scnas::run::pipeline::{Order, run_train};
use scnas::run::start::Start;
use scnas::store::named::{Named, settings_of};
use scnas::store::run_folder::settings_file;

use crate::interrupt;
use crate::output::Output;
use crate::progress::Progress;
use crate::ranks::together;
use crate::run_options::{ARCHITECTURES, RunArgs, report};

/// Train a given architecture and score it on the held-out fold
///
/// --arch trains an architecture from scratch: a found one (also on other data), a random one, one
/// operation everywhere, cells that have a name, or a U-ResNet of the same width.
/// --from takes architecture and weights of a search: --init inherit scores them as the search left
/// them, finetune trains on, scratch trains new weights; so the three can be compared. Both take
/// their settings from the run they are given, unless --preset or --config is there. --distill makes
/// one network of several trained ones: it learns what they say of each patch, besides the labels. Reads and
/// writes what search does; Ctrl-C saves and stops, the same command goes on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas train DATA/Task04_Hippocampus --arch random:1
  scnas train DATA/Task04_Hippocampus --arch chain
  scnas train DATA/Task04_Hippocampus --arch u-resnet
  scnas train DATA/Task04_Hippocampus --from runs/Task04_Hippocampus/search-fold0 --init inherit
  scnas train DATA/Task02_Heart --arch runs/Task04_Hippocampus/search-fold0
  scnas train DATA/Task04_Hippocampus --arch u-resnet-half --distill run-a --distill run-b
  scnas compare runs/Task04_Hippocampus/*
The run folder is runs/<data>/train-<architecture>-<init>-fold<K> if --out does not name another.")]
pub struct TrainArgs {
    #[command(flatten)]
    pub run: RunArgs,
    #[arg(long, value_name = "ARCH", help = ARCHITECTURES, required_unless_present = "from", conflicts_with = "from")]
    pub arch: Option<String>,
    /// Run folder of a search: take its architecture and its weights
    #[arg(long, value_name = "RUN")]
    pub from: Option<PathBuf>,
    /// How the weights begin, and whether they are trained [default: scratch with --arch, finetune
    /// with --from]
    #[arg(long, value_enum)]
    pub init: Option<Init>,
    /// Learn from a trained model, too: a model.safetensors, a run folder that holds one, or the
    /// folder of a cross-validation; several times for the mean of several
    #[arg(long, value_name = "RUN")]
    pub distill: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Init {
    /// New weights, trained
    Scratch,
    /// The search's weights, trained on
    Finetune,
    /// The search's weights as they are
    Inherit,
}

impl Init {
    fn name(self) -> &'static str {
        ["scratch", "finetune", "inherit"][self as usize]
    }
}

pub fn run(args: &TrainArgs, device: &Device, output: Output) -> Result<ExitCode> {
    interrupt::listen()?;
    let trained = together(|ranks| train(args, device, ranks, output))?;
    if let Some((folder, trained)) = trained {
        report(&folder, &trained, output)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The run folder, and what was reached.
fn train(
    args: &TrainArgs,
    device: &Device,
    ranks: &dyn Ranks,
    output: Output,
) -> Result<(PathBuf, (RunResult, Evaluation))> {
    let init =
        args.init.unwrap_or(if args.from.is_some() { Init::Finetune } else { Init::Scratch });
    let start = match (init, args.from.as_deref()) {
        (Init::Scratch, _) => Start::Scratch,
        (Init::Finetune, Some(from)) => Start::Finetune(from),
        (Init::Inherit, Some(from)) => Start::Inherit(from),
        (_, None) => bail!(
            "--init {}: there are no weights to begin with; name the run of a search with --from",
            init.name()
        ),
    };
    args.run.settings.warn_of_unsearched();
    if init == Init::Inherit {
        args.run.settings.warn_of_untrained();
    }
    let config = args.run.settings(base_settings(args).as_deref(), Vec::new(), ranks)?;
    let mut named = match (&args.from, &args.arch) {
        (Some(folder), _) => Named::of_run(folder)?,
        (None, Some(text)) => Named::resolve(text, &config.network.space(), config.seed, device)?,
        (None, None) => bail!("give --arch or --from"),
    };
    let kind = format!("train-{}-{}", named.name.replace(':', "-"), init.name());
    let folder = args.run.folder(&kind, &config);
    if args.from.is_some() {
        named.name = format!("{} + {}", named.name, init.name());
    }
    if !args.distill.is_empty() {
        let teachers: Vec<String> = args.distill.iter().map(|run| name_of_folder(run)).collect();
        named.name = format!("{} taught by {}", named.name, teachers.join(", "));
    }
    let progress = Progress::saving_every(output, args.run.settings.save_every);
    let order = Order { data: &args.run.data, folder: &folder, config, device, ranks };
    let trained = run_train(order, &named, start, &args.distill, &progress)?;
    Ok((folder, trained))
}

/// The settings of the run that is named, so that what is compared differs in nothing else.
fn base_settings(args: &TrainArgs) -> Option<PathBuf> {
    match &args.from {
        Some(run) => Some(settings_file(run)).filter(|path| path.exists()),
        None => settings_of(args.arch.as_ref()?),
    }
}
