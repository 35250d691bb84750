//! `scnas plan-jobs`: a command as a list of tasks.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use scnas::Device;
use scnas::ranks::Alone;
use scnas::report::finished::{fold_folder, seed_folder};
use scnas::report::table::aligned;
use scnas::run::cross_validate::planned;
use scnas::run::needs::running;
use scnas::run::ready::bring_to_disk;
use scnas::run::seeds::Seed;
use scnas::run::share::Share;
use scnas::settings::{Config, Strategy};
use serde_json::json;

use crate::cross_validate::{CrossValidateArgs, Prepared};
use crate::jobs::list::{self, Kind, Task};
use crate::output::Output;
use crate::progress::Progress;
use crate::search::{self, SearchArgs};
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
  scnas plan-jobs search DATA --out race --write
  scnas worker cv --task 0")]
pub struct PlanJobsArgs {
    #[command(subcommand)]
    pub of: Planned,
    /// Write the list as jobs.json into the folder of the command, for `scnas worker` and `scnas
    /// status`; cases that runs would hold on disk are brought there
    #[arg(long, global = true)]
    pub write: bool,
}

#[derive(Debug, Subcommand)]
pub enum Planned {
    CrossValidate(CrossValidateArgs),
    Search(SearchArgs),
}

/// What is no part of the work itself, by the names of the arguments.
const ASIDE: [&str; 12] = [
    "help",
    "threads",
    "quiet",
    "json",
    "write",
    "folds",
    "seeds",
    "gather",
    "share",
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
    let (alone, submits) = match &args.of {
        Planned::CrossValidate(of) => (!of.gather, &of.submit),
        Planned::Search(of) => (of.share.is_none(), &of.submit),
    };
    ensure!(
        alone && submits.scheduler.is_none(),
        "expected the arguments of the work alone; leave --launch, --gather and --share out"
    );
    let progress = Progress::new(output);
    let (out, tasks) = match &args.of {
        Planned::CrossValidate(of) => {
            let prepared = Prepared::of(of, device)?;
            let order = prepared.order(&of.data, device);
            let folds = planned(&order, &of.folds, &progress)?;
            let tasks = of_cross_validation(of, typed, &prepared, &folds)?;
            if args.write {
                list::refuse_others(&prepared.out, &tasks)?;
                bring_to_disk(&order, &prepared.run(), &progress)?;
            }
            (prepared.out, tasks)
        }
        Planned::Search(of) => {
            let (config, out) = of.prepared(&Alone)?;
            let tasks = of_search(typed, &out, &config)?;
            if args.write {
                list::refuse_others(&out, &tasks)?;
                let order = search::order(of, &out, config, device, &Alone);
                bring_to_disk(&order, &out, &progress)?;
            }
            (out, tasks)
        }
    };
    drop(progress);
    if args.write {
        list::write(&out, &tasks)?;
    }
    output.result(text(&tasks), || json!(tasks))?;
    Ok(ExitCode::SUCCESS)
}

/// What makes tasks of a command.
struct Maker {
    given: Vec<String>,
    directory: PathBuf,
    tasks: Vec<Task>,
}

impl Maker {
    fn of(typed: &Typed, out: &Path) -> Result<Self> {
        let directory = std::env::current_dir().context("cannot tell where this is run")?;
        for path in [out, &directory] {
            let remedy = "expected a path in UTF-8; give another folder with --out, or rename it";
            ensure!(path.to_str().is_some(), "{}: {remedy}", path.display());
        }
        Ok(Self { given: typed.given(&ASIDE)?, directory, tasks: Vec::new() })
    }

    /// Adds a task that does the command with arguments of its `own`.
    fn add(
        &mut self,
        name: String,
        kind: Kind,
        folder: PathBuf,
        own: Vec<String>,
        needs: &[usize],
    ) {
        self.tasks.push(Task {
            number: self.tasks.len(),
            name,
            kind,
            folder,
            directory: self.directory.clone(),
            arguments: [self.given.clone(), own].concat(),
            needs: needs.to_vec(),
        });
    }
}

/// The folds, of every seed where there are several, then the table.
pub fn of_cross_validation(
    args: &CrossValidateArgs,
    typed: &Typed,
    Prepared { out, seeds, .. }: &Prepared,
    folds: &[usize],
) -> Result<Vec<Task>> {
    let mut maker = Maker::of(typed, out)?;
    let mut fold_tasks = |before: &str, cross_validation: &Path, given: &[String]| {
        for &fold in folds {
            let (name, folder) =
                (format!("{before}fold-{fold}"), fold_folder(cross_validation, fold));
            let own = [given, &[format!("--folds={fold}")]].concat();
            maker.add(name, Kind::Run, folder, own, &[]);
        }
    };
    for Seed { seed, .. } in seeds {
        let given = [format!("--seeds={seed}")];
        fold_tasks(&format!("seed-{seed}/"), &seed_folder(out, *seed), &given);
    }
    if seeds.is_empty() {
        fold_tasks("", out, &[]);
    }
    let list = |name: &str, numbers: Vec<String>| {
        (!numbers.is_empty()).then(|| format!("--{name}={}", numbers.join(",")))
    };
    let seeds = list("seeds", seeds.iter().map(|of| of.seed.to_string()).collect());
    let wanted = list("folds", args.folds.iter().map(usize::to_string).collect());
    let own = seeds.into_iter().chain(wanted).chain(["--gather".to_string()]).collect();
    let needs: Vec<usize> = (0..maker.tasks.len()).collect();
    maker.add("table".into(), Kind::Table, out.clone(), own, &needs);
    Ok(maker.tasks)
}

/// Of a race, who takes part, the places of each rung, and the winner, which does what others have
/// left undone; of another search, all of it.
pub fn of_search(typed: &Typed, out: &Path, config: &Config) -> Result<Vec<Task>> {
    let mut maker = Maker::of(typed, out)?;
    if config.search.strategy == Strategy::BiLevel {
        maker.add("search".into(), Kind::Run, out.into(), Vec::new(), &[]);
        return Ok(maker.tasks);
    }
    let mut part = |name: String, share: Share, needs: &[usize]| {
        let (folder, own) = (out.join("tasks").join(&name), vec![format!("--share={share}")]);
        maker.add(name, Kind::Part, folder, own, needs);
    };
    part("candidates".into(), Share::Candidates, &[]);
    let mut needs = vec![0];
    for (rung, places) in running(&config.race).enumerate() {
        for place in 0..places {
            part(format!("rung-{}-{place}", rung + 1), Share::Place { rung, place }, &needs);
        }
        let first = needs.last().map_or(0, |last| last + 1);
        needs = (first..first + places).collect();
    }
    maker.add("winner".into(), Kind::Run, out.into(), Vec::new(), &needs);
    Ok(maker.tasks)
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
                     --threads 2 --folds 0,1 --seeds 0,1 --quiet --json --arch conv3";
        let words: Vec<String> = words.split_whitespace().map(String::from).collect();
        let typed = Typed::parse(&words).unwrap();
        assert_eq!(typed.given(&ASIDE).unwrap(), ["cross-validate", "data", "--arch=conv3"]);
    }
}
