//! `scnas search`: finds an architecture, gives it weights, scores it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use scnas::Device;
use scnas::ranks::{Alone, Ranks};
use scnas::report::evaluation::Evaluation;
use scnas::report::result::RunResult;
use scnas::run::pipeline::{Order, run_search};
use scnas::run::ready::foresee;
use scnas::run::share::{Share, run_share};
use scnas::settings::{Config, Strategy, Then};
use serde_json::json;

use crate::interrupt;
use crate::jobs::plan::of_search;
use crate::jobs::slurm::{self, ON_A_CLUSTER, Scheduler, SubmitArgs, Work};
use crate::output::Output;
use crate::progress::Progress;
use crate::ranks::together;
use crate::run_options::{RunArgs, StrategyArgs, report};
use crate::typed::Typed;

/// Search an architecture on a data set, train it and score it on the held-out fold
///
/// Reads a data set (see `scnas check`, which is done first: errors end the run before it begins).
/// Writes a run folder with config.toml, plan.json, log.jsonl, genotype.json (the architecture),
/// model.safetensors (all that predict needs), evaluation.json and .csv, result.json, and
/// checkpoint/. Ctrl-C saves and stops; the same command goes on from there.
///
/// Candidates race: they are trained on a part of the training cases and judged by the others, in
/// rungs of ever more epochs from which the better half goes on. The first candidate is the prior, a
/// design by hand, which only what is better by more than two standard errors replaces. The winner is
/// trained on all training cases. Candidates that exceed a budget (--max-...) are made narrower. The
/// same command in several processes shares the work; scnas show RUN tells how it stands.
///
/// With --strategy bi-level, weights and architecture are learnt together, as in the paper; so it is
/// where --set gives something of search.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas search DATA/Task04_Hippocampus
  scnas search DATA/Task04_Hippocampus --max-params 100k
  scnas search DATA/Task04_Hippocampus --candidate runs/earlier --max-seconds 1
  scnas search DATA/Task04_Hippocampus --set search.epochs=50
  scnas search DATA/Task04_Hippocampus --launch slurm --threads 8
The run folder is runs/<data>/race-fold<K>, or search-fold<K> with --strategy bi-level, if --out
does not name another.")]
pub struct SearchArgs {
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub strategy: StrategyArgs,
    /// Do a part of a race: candidates, who takes part and what each costs; or RUNG:PLACE, one of
    /// those that run in a rung, such as 1:0. The same command without it does what is left
    #[arg(long, value_name = "PART", conflicts_with = "scheduler", help_heading = ON_A_CLUSTER)]
    pub share: Option<Share>,
    #[command(flatten)]
    pub submit: SubmitArgs,
}

impl SearchArgs {
    /// Settings, of all ranks together, and run folder.
    pub fn prepared(&self, ranks: &dyn Ranks) -> Result<(Config, PathBuf)> {
        let settings = &self.run.settings;
        let mut config = self.run.settings(None, self.strategy.overrides(settings), ranks)?;
        config.race.candidates.extend(self.strategy.candidate.iter().cloned());
        if config.search.strategy == Strategy::BiLevel {
            settings.of_all("search.batch", &mut config.search.batch, None, ranks);
        }
        settings.refuse_other_search(&config.search)?;
        if inherits(&config) {
            settings.warn_of_untrained();
        }
        if self.share.is_some() && config.search.strategy == Strategy::BiLevel {
            bail!("--share: expected a race; found a search that learns an architecture");
        }
        let folder = self.run.folder(search_kind(&config), &config);
        Ok((config, folder))
    }
}

/// What the folder of a search is called after.
pub fn search_kind(config: &Config) -> &'static str {
    match config.search.strategy {
        Strategy::BiLevel => "search",
        Strategy::Race => "race",
    }
}

/// Whether nothing is trained behind the search.
pub fn inherits(config: &Config) -> bool {
    config.search.strategy == Strategy::BiLevel && config.search.then == Then::Inherit
}

pub fn run(args: &SearchArgs, typed: &Typed, device: &Device, output: Output) -> Result<ExitCode> {
    interrupt::listen()?;
    if args.submit.scheduler.is_none() && args.share.is_none() {
        let found = together(|ranks| search(args, device, ranks, output))?;
        if let Some((folder, found)) = found {
            report(&folder, &found, output)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (config, folder) = args.prepared(&Alone)?;
    if args.submit.scheduler == Some(Scheduler::Slurm) {
        let tasks = of_search(typed, &folder, &config)?;
        let order = order(args, &folder, config, device, &Alone);
        let needs = |check, progress: &Progress| foresee(&order, &folder, None, check, progress);
        let work = Work { submit: &args.submit, out: &folder, tasks: &tasks, needs: &needs };
        return slurm::launch(work, typed, output);
    }
    let progress = Progress::saving_every(output, args.run.settings.save_every);
    let order = order(args, &folder, config, device, &Alone);
    if let Some(share) = args.share {
        run_share(order, share, &progress)?;
        drop(progress);
        let text = format!("{}: {share} done", folder.display());
        output.result(text, || json!({ "run": folder, "share": share.to_string() }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The run folder, and what was reached.
fn search(
    args: &SearchArgs,
    device: &Device,
    ranks: &dyn Ranks,
    output: Output,
) -> Result<(PathBuf, (RunResult, Evaluation))> {
    let (config, folder) = args.prepared(ranks)?;
    let progress = Progress::saving_every(output, args.run.settings.save_every);
    let found = run_search(order(args, &folder, config, device, ranks), &progress)?;
    Ok((folder, found))
}

/// What the library is asked to do.
pub fn order<'a>(
    args: &'a SearchArgs,
    folder: &'a Path,
    config: Config,
    device: &'a Device,
    ranks: &'a dyn Ranks,
) -> Order<'a> {
    Order { data: &args.run.data, folder, config, device, ranks }
}
