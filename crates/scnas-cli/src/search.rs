//! `scnas search`: finds an architecture, gives it weights, scores it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::Device;
use scnas::report::evaluation::Evaluation;
use scnas::run::pipeline::{Observer as _, RunResult};
use scnas::run::search;
use scnas::run::train;
use scnas::settings::config::{Config, Then};
use scnas::space::genotype::{Genotype, Repair};

use crate::check::before_run;
use crate::interrupt;
use crate::output::Output;
use crate::progress::Progress;
use crate::run_options::{RunArgs, completed, foresee, open, report};

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
    let folder = args.run.folder("search", &config);
    let progress = Progress::saving_every(output, args.run.settings.save_every);
    before_run(&args.run.data, &config, &folder, &progress)?;
    let (evaluation, result) = find(&args.run.data, &folder, config, device, &progress)?;
    drop(progress);
    report(&folder, &evaluation, &result, output)?;
    Ok(ExitCode::SUCCESS)
}

/// Searches, or goes on with a search, to the evaluated model; a complete run is only read.
pub fn find(
    data: &Path,
    folder: &Path,
    config: Config,
    device: &Device,
    progress: &Progress,
) -> Result<(Evaluation, RunResult)> {
    let then = config.search.then;
    let network = match then {
        Then::Inherit => "search + inherit",
        Then::Finetune => "search + finetune",
        Then::Retrain => "search + retrain",
    };
    if let Some(before) = completed(data, folder, &config, network)? {
        progress.message(&format!("{}: this run is complete", folder.display()));
        return Ok(before);
    }
    let mut run = open(data, folder, config, network, device, progress)?;
    foresee(
        &run,
        [true, then != Then::Inherit],
        &Genotype::random(&run.config.network.space(), run.config.seed).into(),
        progress,
    )?;
    let found = search::search(&mut run, progress)?;
    for Repair { cell, edge, operation } in &found.repairs {
        progress.message(&format!(
            "cell {cell}: a node had no input; edge {edge} got {operation} instead of zero"
        ));
    }
    let inherited = (then != Then::Retrain).then_some(&found.weights);
    let mut model = train::prepare(&run, found.genotype, inherited)?;
    if then != Then::Inherit {
        train::train(&mut run, &mut model, progress)?;
    }
    Ok(run.finish(network.into(), &model, progress)?)
}
