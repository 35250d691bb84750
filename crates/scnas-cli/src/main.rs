//! The `scnas` command. Thin: arguments → validated options → library → what is printed.
//!
//! One file a verb. Results go to stdout, everything else to stderr; exit codes are in
//! [`args::AFTER_HELP`].

#![deny(unsafe_code)]

mod against_random;
mod args;
mod bench;
mod check;
mod compare;
mod config;
mod cross_validate;
mod demo;
mod evaluate;
mod interrupt;
mod output;
mod picture;
mod predict;
mod progress;
mod race;
mod report;
mod run_options;
mod said;
mod search;
mod show;
mod train;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use args::{Cli, Verb};
use output::Output;

#[global_allocator]
static ALLOCATOR: volops::memory::Allocator = volops::memory::Allocator;

fn main() -> ExitCode {
    volops::memory::reserve_little();
    let cli = Cli::parse();
    let output = Output { json: cli.global.json, quiet: cli.global.quiet };
    let threads =
        rayon::ThreadPoolBuilder::new().num_threads(cli.global.threads.unwrap_or(0)).build_global();
    if let Err(error) = threads.context("cannot start the threads") {
        return output::failure(&error);
    }
    // Inside the pool from the start: work that is handed over from a thread outside it pays a
    // wake-up for every operation.
    match rayon::scope(|_| run(cli, output)) {
        Ok(code) => code,
        Err(error) => output::failure(&error),
    }
}

fn run(cli: Cli, output: Output) -> Result<ExitCode> {
    let device = scnas::device(&cli.global.device)?;
    match cli.verb {
        Verb::Check(args) => check::run(&args, output),
        Verb::Search(args) => search::run(&args, &device, output),
        Verb::Train(args) => train::run(&args, &device, output),
        Verb::CrossValidate(args) => cross_validate::run(&args, &device, output),
        Verb::Predict(args) => predict::run(&args, &device, output),
        Verb::Evaluate(args) => evaluate::run(&args, output),
        Verb::Show(args) => show::run(&args, &device, output),
        Verb::Picture(args) => picture::run(&args, output),
        Verb::Compare(args) => compare::run(&args, output),
        Verb::Report(args) => report::run(&args, output),
        Verb::Bench(args) => bench::run(&args, &device, output),
        Verb::Demo(args) => demo::run(&args, &device, output),
        Verb::Config(args) => config::run(&args, output),
    }
}
