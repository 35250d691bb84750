//! `scnas compare`: the results of several runs in one table, and whether they differ on the cases
//! they share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::report::evaluation::mean_and_sd;
use scnas::report::statistics::Paired;
use scnas::report::table::aligned;
use serde_json::json;

use crate::finished::{Finished, PAIRED_HEAD, number, paired_cells};
use crate::output::Output;

/// Compare finished runs in one table
///
/// Reads the results of each run folder, of all complete folds of a cross-validation's folder, or
/// of a CSV file of `scnas evaluate`, which may be that of predictions by any other program. Prints
/// network, size, cost, Dice per class and its mean over the foreground classes (mean ± SD over the
/// held-out cases), and the minutes that search and training took.
///
/// Then every run against the first, on the cases of one data set that both have scored: the mean
/// difference of a case's mean foreground Dice, its 95 % bootstrap interval, how many cases are
/// better and worse, and the p value of Wilcoxon's signed-rank test (two-sided). Interval and p
/// speak of the spread over cases only, not over seeds or architectures. Last, the settings that a
/// run does not share with the first, to which a difference may be due.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  scnas compare runs/Task04_Hippocampus/*
  scnas compare runs/found runs/random-1        folders of scnas cross-validate: case by case over \
                        all folds
  scnas evaluate their_predictions --data DATA --csv theirs.csv && scnas compare runs/found \
                        theirs.csv")]
pub struct CompareArgs {
    /// Folders of runs or cross-validations, or CSV files of evaluations
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
}

pub fn run(args: &CompareArgs, output: Output) -> Result<ExitCode> {
    let runs: Vec<Finished> =
        args.runs.iter().map(|folder| Finished::read(folder)).collect::<Result<_>>()?;
    let comparisons: Vec<Option<Paired>> = runs.iter().map(|run| run.against(&runs[0])).collect();
    let mut text = table(&runs);
    if runs.len() > 1 {
        text = format!("{text}\n{}", paired_table(&runs, &comparisons));
    }
    if let Some(settings) = settings_table(&runs) {
        text = format!("{text}\n{settings}");
    }
    output.result(text, || {
        let rows = args.runs.iter().zip(&runs).zip(&comparisons);
        let row = |((folder, run), paired): ((&PathBuf, &Finished), &Option<Paired>)| {
            let settings: Option<BTreeMap<_, _>> = run.unlike(&runs[0]).map(|settings| settings.into_iter().collect());
            json!({ "run": folder, "result": run.json(), "against_first": paired, "settings_unlike_first": settings })
        };
        rows.map(row).collect()
    })?;
    Ok(ExitCode::SUCCESS)
}

fn table(runs: &[Finished]) -> String {
    let mut classes: Vec<&str> = Vec::new();
    for class in runs.iter().flat_map(Finished::classes) {
        if !classes.contains(&class.as_str()) {
            classes.push(class);
        }
    }
    let head = ["run", "network", "data", "fold", "M par.", "GFLOPs"]
        .into_iter()
        .chain(classes.iter().copied())
        .chain(["mean", "minutes"]);
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_string).collect()];
    for run in runs {
        let dice = |class: &&str| {
            mean_and_sd(run.classes().iter().position(|c| c == class).and_then(|c| run.class(c)))
        };
        let [parameters_m, gflops] = run.cost();
        let first = [
            run.name.clone(),
            run.network().into(),
            run.dataset().into(),
            run.folds(),
            number(parameters_m, 2),
            number(gflops, 2),
        ];
        let last = [mean_and_sd(run.mean()), number(run.minutes(), 1)];
        rows.push(first.into_iter().chain(classes.iter().map(dice)).chain(last).collect());
    }
    // Names to the left, numbers to the right.
    aligned(&rows, 3)
}

/// All runs but the first against it.
fn paired_table(runs: &[Finished], comparisons: &[Option<Paired>]) -> String {
    let against = format!("against {}", runs[0].name);
    let mut rows: Vec<Vec<String>> =
        vec![[against.as_str()].into_iter().chain(PAIRED_HEAD).map(String::from).collect()];
    for (run, comparison) in runs.iter().zip(comparisons).skip(1) {
        rows.push([vec![run.name.clone()], paired_cells(comparison.as_ref())].concat());
    }
    aligned(&rows, 1)
}

/// The settings that differ from the first run's; `None` if none does. The first table shows the
/// folds.
fn settings_table(runs: &[Finished]) -> Option<String> {
    let mut rows =
        vec![["settings", "", "", &format!("in {}", runs[0].name)].map(String::from).to_vec()];
    for run in runs {
        let unlike = run
            .unlike(&runs[0])
            .unwrap_or_default()
            .into_iter()
            .filter(|(key, _)| key != "data.fold");
        rows.extend(unlike.map(|(key, [here, there])| vec![run.name.clone(), key, here, there]));
    }
    (rows.len() > 1).then(|| aligned(&rows, 4))
}
