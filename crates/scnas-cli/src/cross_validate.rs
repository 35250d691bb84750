//! `scnas cross-validate`: every fold a run of its own, and the table over all of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::ranks::Alone;
use scnas::report::against_random::AgainstRandom;
use scnas::report::cross_validation::CrossValidation;
use scnas::report::finished::fold_folder;
use scnas::run::cross_validate::{CrossValidated, cross_validate, gather, planned};
use scnas::run::pipeline::Order;
use scnas::run::ready::foresee;
use scnas::run::seeds::{Seed, SeedsValidated, cross_validate_seeds, gather_seeds};
use scnas::store::named::{Named, settings_of};
use scnas::{Config, Device, Error};
use serde_json::json;

use crate::against_random;
use crate::interrupt;
use crate::jobs::plan::of_cross_validation;
use crate::jobs::slurm::{self, ON_A_CLUSTER, Scheduler, SubmitArgs, Work};
use crate::output::{Output, warn};
use crate::progress::Progress;
use crate::run_options::{ARCHITECTURES, SettingsArgs, StrategyArgs, default_folder};
use crate::search::{inherits, search_kind};
use crate::typed::Typed;

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
///
/// With --seeds it is done with each of several seeds, on the same folds: the folders are
/// DIR/seed-S/fold-K, DIR/seed-S is what a single seed gives, and seeds.json, .csv and .tex say
/// mean ± SD over seeds, over folds and over cases, and how far the mean may be off for these networks and
/// for what made them.
///
/// On a cluster, --launch slurm submits the folds as an array of jobs and the table behind them;
/// `scnas plan-jobs` lists the same tasks for other schedulers. `scnas status DIR` says how they
/// stand.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas cross-validate DATA/Task04_Hippocampus --out runs/found
  scnas cross-validate DATA/Task04_Hippocampus --out runs/random-1 --arch random:1
  scnas cross-validate DATA/Task04_Hippocampus --out runs/u-resnet --arch u-resnet
  scnas cross-validate DATA/Task04_Hippocampus --folds 0,2 --splits splits_final.json
  scnas cross-validate DATA/Task04_Hippocampus --out runs/study --seeds 0,1,2
  scnas cross-validate DATA/Task04_Hippocampus --out runs/found --launch slurm --threads 8
  scnas compare runs/found runs/random-1 runs/u-resnet
The folder is runs/<data>/cross-validation-<search or architecture>, with -seeds behind it where there
are several, if --out does not name another.")]
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
    /// Once with each of these seeds, such as 0,1,2, on the folds of the setting `seed`
    /// [default: once, with that seed]
    #[arg(long, value_name = "S,S", value_delimiter = ',')]
    pub seeds: Vec<u64>,
    /// Who is held out in each fold: a splits_final.json of nnU-Net; short for --set
    /// data.splits=FILE [default: seeded folds]
    #[arg(long, value_name = "FILE")]
    pub splits: Option<PathBuf>,
    #[command(flatten)]
    pub strategy: StrategyArgs,
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Run no fold: tabulate those that are complete, and say which are missing
    #[arg(long, conflicts_with = "scheduler", help_heading = ON_A_CLUSTER)]
    pub gather: bool,
    #[command(flatten)]
    pub submit: SubmitArgs,
}

/// A cross-validation as its arguments say it.
pub struct Prepared {
    pub config: Config,
    /// The architecture that is trained; `None` where one is searched.
    pub named: Option<Named>,
    /// With `--seeds`, each of them once.
    pub seeds: Vec<Seed>,
    pub out: PathBuf,
}

impl Prepared {
    /// Reads settings and architecture, and says which settings have no effect.
    pub fn of(args: &CrossValidateArgs, device: &Device) -> Result<Self> {
        let base = args.arch.as_deref().and_then(settings_of);
        let mut config =
            args.settings.load(base.as_deref(), &args.strategy.overrides(&args.settings))?;
        config.race.candidates.extend(args.strategy.candidate.iter().cloned());
        if args.arch.is_some() {
            args.settings.warn_of_unsearched();
        } else {
            args.settings.refuse_other_search(&config.search)?;
            if inherits(&config) {
                args.settings.warn_of_untrained();
            }
        }
        if let Some(splits) = &args.splits {
            config.data.splits = Some(splits.clone());
        }
        // Of all folds, until one is taken up.
        config.data.fold = 0;
        let named_with = |seed: u64| {
            let resolve =
                |text: &String| Named::resolve(text, &config.network.space(), seed, device);
            args.arch.as_ref().map(resolve).transpose()
        };
        let named = named_with(config.seed)?;
        let seeds: BTreeSet<u64> = args.seeds.iter().copied().collect();
        let seeds = seeds.into_iter().map(|seed| Ok(Seed { seed, named: named_with(seed)? }));
        let seeds = seeds.collect::<scnas::Result<Vec<Seed>>>()?;
        if named.is_none() {
            config.refuse_in_vain()?;
        }
        let kind = match (&named, seeds.is_empty()) {
            (None, _) => search_kind(&config).into(),
            // Each seed draws another one.
            (Some(_), false) if args.arch.as_deref() == Some("random") => "random".into(),
            (Some(named), _) => named.name.replace(':', "-"),
        };
        let several = if seeds.is_empty() { "" } else { "-seeds" };
        let out = args.out.clone().unwrap_or_else(|| {
            default_folder(&args.data, &format!("cross-validation-{kind}{several}"))
        });
        Ok(Self { config, named, seeds, out })
    }

    /// The folder of a run: the cache lies beside it, or, of several seeds, beside theirs.
    pub fn run(&self) -> PathBuf {
        fold_folder(&self.out, 0)
    }

    /// What the library is asked to do.
    pub fn order<'a>(&'a self, data: &'a Path, device: &'a Device) -> Order<'a> {
        let (folder, config, ranks) = (self.out.as_path(), self.config.clone(), &Alone);
        Order { data, folder, config, device, ranks }
    }
}

pub fn run(
    args: &CrossValidateArgs,
    typed: &Typed,
    device: &Device,
    output: Output,
) -> Result<ExitCode> {
    interrupt::listen()?;
    let prepared = Prepared::of(args, device)?;
    let order = || prepared.order(&args.data, device);
    if args.submit.scheduler == Some(Scheduler::Slurm) {
        let progress = Progress::new(output);
        let folds = planned(&order(), &args.folds, &progress)?;
        drop(progress);
        let tasks = of_cross_validation(args, typed, &prepared, &folds)?;
        let (run, named) = (prepared.run(), prepared.named.as_ref());
        let needs = |check, progress: &Progress| foresee(&order(), &run, named, check, progress);
        let work = Work { submit: &args.submit, out: &prepared.out, tasks: &tasks, needs: &needs };
        return slurm::launch(work, typed, output);
    }
    let Prepared { config, named, seeds, out } = &prepared;
    let progress = Progress::saving_every(output, args.settings.save_every);
    let found_in = args.arch.as_ref().map(Path::new);
    if !seeds.is_empty() {
        let numbers: Vec<u64> = seeds.iter().map(|of| of.seed).collect();
        let reached = match args.gather {
            true => gather_seeds(out, config, &numbers, &args.folds, &progress)?,
            false => cross_validate_seeds(order(), seeds, found_in, &args.folds, &progress)?,
        };
        drop(progress);
        print_seeds(&reached, out, output)?;
        let missing = reached.missing;
        return match args.gather && !missing.is_empty() {
            true => Err(Error::SeedsMissing { path: out.clone(), missing }.into()),
            false => Ok(ExitCode::SUCCESS),
        };
    }
    let reached = match args.gather {
        true => gather(out, config, &args.folds, &progress)?,
        false => cross_validate(order(), named.as_ref(), found_in, &args.folds, &progress)?,
    };
    drop(progress);
    print(&reached, out, output)?;
    let missing = reached.missing;
    match args.gather && !missing.is_empty() {
        true => Err(Error::FoldsMissing { path: out.clone(), missing }.into()),
        false => Ok(ExitCode::SUCCESS),
    }
}

fn print(reached: &CrossValidated, out: &Path, output: Output) -> Result<()> {
    let CrossValidated { all, in_use, missing } = reached;
    if all.folds.len() < all.of {
        warn(format_args!("the table is of {} of {} folds", all.folds.len(), all.of));
    }
    let random = AgainstRandom::of(out);
    let mut text = format!("{}\n{}{}", all.table(), all.clean_up_text(), headline(all, out));
    if let Some(random) = &random {
        text = format!("{text}\n\n{}", against_random::text(random));
    }
    output.result(text, || {
        let random = random.as_ref().map(against_random::json);
        json!({
            "folder": out,
            "cross_validation": all,
            "in_use": in_use,
            "missing": missing,
            "against_random": random,
        })
    })
}

fn print_seeds(reached: &SeedsValidated, out: &Path, output: Output) -> Result<()> {
    let SeedsValidated { all, in_use, missing } = reached;
    let (there, of) = (all.networks(), all.of * all.seeds.len());
    if there < of {
        warn(format_args!("the table is of {there} of {of} folds of {} seeds", all.seeds.len()));
    }
    let random = AgainstRandom::of(out);
    let dice = all.over_seeds.mean_foreground;
    let dice = dice.map_or_else(|| "not scored".into(), |m| format!("{:.4} ± {:.4}", m.mean, m.sd));
    let mut text = format!(
        "{}\n{}{}: mean foreground Dice {dice} over {} seeds, {} cases; {:.1} minutes; {}",
        all.table(),
        all.clean_up_text(),
        all.network,
        all.over_seeds.count,
        all.over_cases.count,
        all.seconds / 60.0,
        out.join("seeds.json").display()
    );
    if let Some(random) = &random {
        text = format!("{text}\n\n{}", against_random::text(random));
    }
    let folds = |folds: &[(u64, usize)]| {
        let of = |(seed, fold): &(u64, usize)| json!({ "seed": seed, "fold": fold });
        folds.iter().map(of).collect::<Vec<_>>()
    };
    output.result(text, || {
        json!({
            "folder": out,
            "seeds": all,
            "in_use": folds(in_use),
            "missing": folds(missing),
            "against_random": random.as_ref().map(against_random::json),
        })
    })
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
