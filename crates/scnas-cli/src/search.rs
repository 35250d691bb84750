//! `scnas search`: finds an architecture, gives it weights, scores it.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::Device;
use scnas::run::pipeline::{Order, run_search};
use scnas::settings::{Config, Strategy, Then};

use crate::interrupt;
use crate::output::Output;
use crate::progress::Progress;
use crate::run_options::{RunArgs, StrategyArgs, report};

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
The run folder is runs/<data>/race-fold<K>, or search-fold<K> with --strategy bi-level, if --out
does not name another.")]
pub struct SearchArgs {
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub strategy: StrategyArgs,
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

pub fn run(args: &SearchArgs, device: &Device, output: Output) -> Result<ExitCode> {
    interrupt::listen()?;
    let mut config = args.run.settings(None, args.strategy.overrides(&args.run.settings))?;
    config.race.candidates.extend(args.strategy.candidate.iter().cloned());
    args.run.settings.refuse_other_search(&config.search)?;
    if inherits(&config) {
        args.run.settings.warn_of_untrained();
    }
    let folder = args.run.folder(search_kind(&config), &config);
    let progress = Progress::saving_every(output, args.run.settings.save_every);
    let order = Order { data: &args.run.data, folder: &folder, config, device };
    let found = run_search(order, &progress)?;
    drop(progress);
    report(&folder, &found, output)?;
    Ok(ExitCode::SUCCESS)
}
