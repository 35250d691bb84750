//! `scnas search`: finds an architecture, gives it weights, scores it.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::Device;
use scnas::run::pipeline::{Order, run_search};
use scnas::settings::Then;

use crate::interrupt;
use crate::output::Output;
use crate::progress::Progress;
use crate::run_options::{RunArgs, report};

/// Search an architecture on a data set, train it and score it on the held-out fold
///
/// Reads a data set (see `scnas check`, which is done first: errors end the run before it begins).
/// Writes a run folder with config.toml, plan.json, log.jsonl, genotype.json (the architecture),
/// model.safetensors (all that predict needs), evaluation.json and .csv, result.json, and
/// checkpoint/. Ctrl-C saves and stops; the same command goes on from there.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas search DATA/Task04_Hippocampus
  scnas search DATA/Task04_Hippocampus --out runs/wide --set network.width=32 --set \
                        search.epochs=50
The run folder is runs/<data>/search-fold<K> if --out does not name another.")]
pub struct SearchArgs {
    #[command(flatten)]
    pub run: RunArgs,
}

pub fn run(args: &SearchArgs, device: &Device, output: Output) -> Result<ExitCode> {
    interrupt::listen()?;
    let config = args.run.settings(None)?;
    if config.search.then == Then::Inherit {
        args.run.settings.warn_of_untrained();
    }
    let folder = args.run.folder("search", &config);
    let progress = Progress::saving_every(output, args.run.settings.save_every);
    let order = Order { data: &args.run.data, folder: &folder, config, device };
    let found = run_search(order, &progress)?;
    drop(progress);
    report(&folder, &found, output)?;
    Ok(ExitCode::SUCCESS)
}
