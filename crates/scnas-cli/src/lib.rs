//! The `scnas` command, for its own program and for the one in Python. Thin: arguments → validated options → library → what is printed.
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
mod devices;
mod evaluate;
mod export;
mod generate;
mod interrupt;
mod jobs;
#[cfg(feature = "mpi")]
mod mpi;
mod output;
mod picture;
mod predict;
mod progress;
mod race;
mod ranks;
mod report;
mod run_options;
mod said;
mod search;
mod show;
mod train;
mod typed;
mod view;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use args::Verb;
use output::Output;
use typed::Typed;

pub use run_options::reading;
pub use said::said;

/// Runs the command of these words, the program's name first. `program` is what runs it again, on
/// the nodes of a cluster; `None` where that is not known.
pub fn main(program: Option<PathBuf>, words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let typed = Typed::of_words(program, words);
    let done = match &typed.cli.verb {
        Verb::Worker(args) => jobs::worker::run(args, &typed, in_threads),
        _ => in_threads(&typed),
    };
    done.unwrap_or_else(|error| output::failure(&error))
}

/// Runs a command with the threads that it wants.
fn in_threads(typed: &Typed) -> Result<ExitCode> {
    let threads = typed.cli.global.threads.unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.context("cannot start the threads")?;
    match &typed.cli.verb {
        // It waits: a thread of the pool that does so would be missing to the work.
        Verb::View(_) => run(typed),
        // Inside the pool from the start: work that is handed over from a thread outside it pays a
        // wake-up for every operation.
        _ => rayon::scope(|_| run(typed)),
    }
}

fn run(typed: &Typed) -> Result<ExitCode> {
    let global = &typed.cli.global;
    let output = Output { json: global.json, quiet: global.quiet };
    let device = scnas::device(&global.device)?;
    match &typed.cli.verb {
        Verb::Check(args) => check::run(args, output),
        Verb::Search(args) => search::run(args, typed, &device, output),
        Verb::Train(args) => train::run(args, &device, output),
        Verb::CrossValidate(args) => cross_validate::run(args, typed, &device, output),
        Verb::Predict(args) => predict::run(args, &device, output),
        Verb::Evaluate(args) => evaluate::run(args, output),
        Verb::Show(args) => show::run(args, &device, output),
        Verb::Export(args) => export::run(args, &device, output),
        Verb::Picture(args) => picture::run(args, output),
        Verb::Compare(args) => compare::run(args, output),
        Verb::Report(args) => report::run(args, output),
        Verb::View(args) => view::run(args, output),
        Verb::Bench(args) => bench::run(args, &device, output),
        Verb::Devices(args) => devices::run(args, output),
        Verb::Demo(args) => demo::run(args, &device, output),
        Verb::Config(args) => config::run(args, output),
        Verb::Generate(args) => generate::run(args),
        Verb::PlanJobs(args) => jobs::plan::run(args, typed, &device, output),
        Verb::Status(args) => jobs::status::run(args, output),
        Verb::Worker(_) => bail!("a task is expected to be another command than worker"),
    }
}
