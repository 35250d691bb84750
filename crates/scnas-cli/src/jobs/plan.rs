//! `scnas plan-jobs`: a command as a list of tasks.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use scnas::Device;
use scnas::report::finished::fold_folder;
use scnas::report::table::aligned;
use scnas::run::cross_validate::planned;
use serde_json::json;

use crate::cross_validate::{CrossValidateArgs, Prepared};
use crate::jobs::list::{Task, write};
use crate::output::Output;
use crate::progress::Progress;
use crate::typed::Typed;

/// List the tasks that a command is made of, for whatever is to start them
///
/// Takes the very arguments of the command. Each task is a command of its own on a folder of its
/// own: `scnas worker DIR --task N` does it, and so does its command line. The list follows from
/// settings and data alone, so it is the same on every machine. It says which tasks need which
/// others; doing one twice changes nothing. With --json it is a list for programs. --threads is no
/// part of it: give it to the workers.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas plan-jobs cross-validate DATA --out cv
  scnas plan-jobs cross-validate DATA --out cv --write --json
  scnas worker cv --task 0")]
pub struct PlanJobsArgs {
    #[command(subcommand)]
    pub of: Planned,
    /// Write the list as jobs.json into the folder of the command, for `scnas worker` and `scnas
    /// status`
    #[arg(long, global = true)]
    pub write: bool,
}

#[derive(Debug, Subcommand)]
pub enum Planned {
    CrossValidate(CrossValidateArgs),
}

/// What is no part of the work itself, by the names of the arguments.
const ASIDE: [&str; 10] = [
    "help",
    "threads",
    "quiet",
    "json",
    "write",
    "folds",
    "gather",
    "scheduler",
    "slurm_option",
    "dry_run",
];

pub fn run(
    args: &PlanJobsArgs,
    typed: &Typed,
    device: &Device,
    output: Output,
) -> Result<ExitCode> {
    let Planned::CrossValidate(of) = &args.of;
    ensure!(
        of.launch.scheduler.is_none() && !of.launch.gather,
        "expected the arguments of the work alone; leave --launch and --gather out"
    );
    let prepared = Prepared::of(of, device)?;
    let progress = Progress::new(output);
    let folds = planned(&prepared.order(&of.data, device), &of.folds, &progress)?;
    drop(progress);
    let tasks = of_cross_validation(of, typed, &prepared.out, &folds)?;
    if args.write {
        write(&prepared.out, &tasks)?;
    }
    output.result(text(&tasks), || json!(tasks))?;
    Ok(ExitCode::SUCCESS)
}

/// The folds, then the table.
pub fn of_cross_validation(
    args: &CrossValidateArgs,
    typed: &Typed,
    out: &Path,
    folds: &[usize],
) -> Result<Vec<Task>> {
    let given = typed.given(&ASIDE)?;
    let directory = std::env::current_dir().context("cannot tell where this is run")?;
    for path in [out, &directory] {
        let remedy = "expected a path in UTF-8; give another folder with --out, or rename it";
        ensure!(path.to_str().is_some(), "{}: {remedy}", path.display());
    }
    let task = |number, name, folder, own: Vec<String>, needs| Task {
        number,
        name,
        folder,
        directory: directory.clone(),
        arguments: [given.clone(), own].concat(),
        needs,
    };
    let mut tasks: Vec<Task> = folds
        .iter()
        .enumerate()
        .map(|(number, fold)| {
            let own = vec![format!("--folds={fold}")];
            task(number, format!("fold-{fold}"), fold_folder(out, *fold), own, Vec::new())
        })
        .collect();
    let wanted: Vec<String> = args.folds.iter().map(usize::to_string).collect();
    let wanted = (!wanted.is_empty()).then(|| format!("--folds={}", wanted.join(",")));
    let own = wanted.into_iter().chain(["--gather".to_string()]).collect();
    let needs = (0..tasks.len()).collect();
    tasks.push(task(tasks.len(), "table".into(), out.into(), own, needs));
    Ok(tasks)
}

fn text(tasks: &[Task]) -> String {
    let mut rows = vec![["task", "name", "needs", "command"].map(String::from).to_vec()];
    rows.extend(tasks.iter().map(|task| {
        let needs: Vec<String> = task.needs.iter().map(usize::to_string).collect();
        let needs = if needs.is_empty() { "–".into() } else { needs.join(",") };
        vec![task.number.to_string(), task.name.clone(), needs, task.command_line()]
    }));
    aligned(&rows, 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_say_nothing_of_how_they_are_started() {
        let words = "cross-validate data --launch slurm --slurm-option=--mem=1G --dry-run \
                     --threads 2 --folds 0,1 --quiet --json --arch conv3";
        let words: Vec<String> = words.split_whitespace().map(String::from).collect();
        let typed = Typed::parse(&words).unwrap();
        assert_eq!(typed.given(&ASIDE).unwrap(), ["cross-validate", "data", "--arch=conv3"]);
    }
}
