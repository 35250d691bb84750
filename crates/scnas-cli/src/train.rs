//! `scnas train`: weights for a given architecture.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use medvol::Dataset;
use scnas::Device;
use scnas::data::plan::{Plan, to_json};
use scnas::report::evaluation::Evaluation;
use scnas::run::pipeline::{Observer as _, RunResult};
use scnas::run::search;
use scnas::run::train;
use scnas::settings::config::Config;

use crate::architecture::{ARCHITECTURES, Named, name_of_folder, read_plan, settings_of};
use crate::check::before_run;
use crate::interrupt;
use crate::output::Output;
use crate::progress::Progress;
use crate::run_options::{RunArgs, completed, foresee, open, report};

/// Train a given architecture and score it on the held-out fold
///
/// --arch trains an architecture from scratch: a found one (also on other data), a random one, one
/// operation everywhere, or a U-ResNet of the same width.
/// --from takes architecture and weights of a search: --init inherit scores them as the search left
/// them, finetune trains on, scratch trains new weights; so the three can be compared. Both take
/// their settings from the run they are given, unless --preset or --config is there. Reads and
/// writes what search does; Ctrl-C saves and stops, the same command goes on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas train DATA/Task04_Hippocampus --arch random:1
  scnas train DATA/Task04_Hippocampus --arch u-resnet
  scnas train DATA/Task04_Hippocampus --from runs/Task04_Hippocampus/search-fold0 --init inherit
  scnas train DATA/Task02_Heart --arch runs/Task04_Hippocampus/search-fold0
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
    let init =
        args.init.unwrap_or(if args.from.is_some() { Init::Finetune } else { Init::Scratch });
    if init != Init::Scratch && args.from.is_none() {
        bail!(
            "--init {}: there are no weights to begin with; name the run of a search with --from",
            init.name()
        );
    }
    let config = args.run.settings(base_settings(args).as_deref())?;
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
    let start = Start { init, from: args.from.as_deref() };
    let progress = Progress::saving_every(output, args.run.settings.save_every);
    before_run(&args.run.data, &config, &folder, &progress)?;
    let (evaluation, result) =
        fit(&args.run.data, &folder, config, &named, start, device, &progress)?;
    drop(progress);
    report(&folder, &evaluation, &result, output)?;
    Ok(ExitCode::SUCCESS)
}

/// How the weights begin.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    init: Init,
    /// Run of a search whose weights are taken unless they begin anew.
    from: Option<&'a Path>,
}

impl Start<'_> {
    pub const SCRATCH: Self = Self { init: Init::Scratch, from: None };
}

/// Trains, or goes on training, an architecture to the evaluated model; a complete run is only
/// read.
pub fn fit(
    data: &Path,
    folder: &Path,
    config: Config,
    named: &Named,
    Start { init, from }: Start,
    device: &Device,
    progress: &Progress,
) -> Result<(Evaluation, RunResult)> {
    let Named { name, architecture, .. } = named;
    if let Some(before) = completed(data, folder, &config, name)? {
        progress.message(&format!("{}: this run is complete", folder.display()));
        return Ok(before);
    }
    let inherited = match from.filter(|_| init != Init::Scratch) {
        Some(from) => {
            refuse_seen_cases(data, &config, from)?;
            Some(search::weights_of(from, device)?)
        }
        None => None,
    };
    let mut run = open(data, folder, config, name, device, progress)?;
    run.dir.same_or_new("genotype.json", &to_json(architecture))?;
    let mut model = train::prepare(&run, architecture.clone(), inherited.as_ref())?;
    if init != Init::Inherit {
        foresee(&run, [false, true], architecture, progress)?;
        train::train(&mut run, &mut model, progress)?;
    }
    Ok(run.finish(name.clone(), &model, progress)?)
}

/// The settings of the run that is named, so that what is compared differs in nothing else.
fn base_settings(args: &TrainArgs) -> Option<PathBuf> {
    match &args.from {
        Some(run) => Some(run.join("config.toml")).filter(|path| path.exists()),
        None => settings_of(args.arch.as_ref()?),
    }
}

/// Weights that have seen a held-out case in their search would score too well on it.
fn refuse_seen_cases(data: &Path, config: &Config, from: &Path) -> Result<()> {
    let plan = Plan::new(&Dataset::open(data)?, config)?;
    let source = read_plan(&from.join("plan.json"))?;
    let seen = source.training_names();
    let seen = plan.held_out().iter().filter(|name| seen.contains(name.as_str())).count();
    if plan.dataset == source.dataset && seen > 0 {
        bail!(
            "{}: its search has seen {seen} of the {} cases held out here, so their scores would \
             be too good; use the fold and seed of that run (fold {}), or --init scratch",
            name_of_folder(from),
            plan.held_out().len(),
            source.fold
        );
    }
    Ok(())
}
