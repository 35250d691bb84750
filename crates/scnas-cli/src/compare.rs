//! `scnas compare`: the results of several runs in one table, and whether they differ on the cases
//! they share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::report::cells::{PAIRED_HEAD, PROCEDURE_HEAD, paired_cells, procedure_cells};
use scnas::report::comparison::{Compared, Comparison, headed};
use scnas::report::finished::Results;
use scnas::report::procedures::Groups;
use scnas::report::statistics::{NETWORKS, PROCEDURES};
use scnas::report::table::aligned;
use serde_json::{Value, json};

use crate::output::Output;

/// Compare finished runs in one table
///
/// Reads the results of each run folder, of all complete folds of a cross-validation's folder, or
/// of a CSV file of `scnas evaluate`, which may be that of predictions by any other program. Prints
/// network, size, cost, Dice per class and its mean over the foreground classes (mean ± SD over the
/// held-out cases), and the minutes that search and training took.
///
/// Then every run against the first, on the cases of one data set that both have scored: the mean
/// difference of a case's mean foreground Dice with its standard error, its 95 % bootstrap
/// interval, how many cases are better and worse, and the p value of Wilcoxon's signed-rank test
/// (two-sided). These speak of the very networks, of which other cases would be another sample, not
/// of other seeds or architectures. Last, the settings that a run does not share with the first, to
/// which a difference may be due.
///
/// Whether one way to make networks is better than another is a question of several networks a
/// side: give the runs of one, and with --against those of the other. Runs on the same held-out
/// cases are compared with each other, the networks are the sample, and p is that of Student's t.
/// The folds of cross-validations are such networks without being asked for.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  scnas compare runs/Task04_Hippocampus/*
  scnas compare runs/found runs/random-1        folders of scnas cross-validate: case by case over \
                        all folds
  scnas compare race-0 race-1 race-2 --against u-resnet-0 u-resnet-1 u-resnet-2
  scnas evaluate their_predictions --data DATA --csv theirs.csv && scnas compare runs/found \
                        theirs.csv")]
pub struct CompareArgs {
    /// Folders of runs or cross-validations, or CSV files of evaluations
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Compare the group of runs before with the group behind this
    #[arg(long, value_name = "RUN", num_args = 1..)]
    pub against: Vec<PathBuf>,
}

pub fn run(args: &CompareArgs, output: Output) -> Result<ExitCode> {
    if !args.against.is_empty() {
        return compare_groups([&args.runs, &args.against], output);
    }
    let comparison = Comparison::of(&args.runs)?;
    let mut text = table(&comparison);
    if comparison.runs.len() > 1 {
        text = format!("{text}\n{}", aligned(&comparison.paired(), 1));
    }
    if let Some(procedures) = comparison.procedures() {
        text = format!("{text}\n{}", aligned(&procedures, 1));
    }
    if let Some(settings) = comparison.settings() {
        text = format!("{text}\n{}", aligned(&settings, 4));
    }
    output.result(text, || comparison.runs.iter().map(compared).collect())?;
    Ok(ExitCode::SUCCESS)
}

/// Two groups of runs: every run in the table, then one group against the other.
fn compare_groups(sides: [&[PathBuf]; 2], output: Output) -> Result<ExitCode> {
    let comparison = Comparison::of(&sides.concat())?;
    let groups = Groups::read(sides)?;
    let row = |cells: Vec<String>| [vec!["first group - second".to_string()], cells].concat();
    let networks = paired_cells(groups.these_networks.as_ref());
    let networks = aligned(&[headed(NETWORKS, &PAIRED_HEAD), row(networks)], 1);
    let procedures = groups.procedures.as_ref().map_or_else(|| vec!["0".into()], procedure_cells);
    let procedures = aligned(&[headed(PROCEDURES, &PROCEDURE_HEAD), row(procedures)], 1);
    let few = match groups.procedures.as_ref().is_some_and(|found| found.error.is_some()) {
        true => "",
        false => "Two runs or folds that share their cases are needed on a side, or more.\n",
    };
    output.result(
        format!("{}\n{networks}\n{procedures}{few}", table(&comparison)),
        || json!({ "runs": comparison.runs.iter().map(compared).collect::<Vec<_>>(), "groups": groups }),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Names to the left, numbers to the right.
fn table(comparison: &Comparison) -> String {
    aligned(&comparison.results(), Comparison::RESULTS_LEFT)
}

/// A row for programs.
fn compared(run: &Compared) -> Value {
    let Compared { path, finished, against_first, procedure_against_first, settings_unlike_first } =
        run;
    let settings: Option<BTreeMap<_, _>> =
        settings_unlike_first.clone().map(|settings| settings.into_iter().collect());
    let result = match &finished.results {
        Results::Run(result) => json!(result),
        Results::Folds(all) => json!(all),
        Results::Seeds(all) => json!(all),
        Results::Scores(evaluation) => json!(evaluation.summary()),
    };
    json!({
        "run": path, "result": result, "against_first": against_first,
        "procedure_against_first": procedure_against_first,
        "settings_unlike_first": settings,
    })
}
