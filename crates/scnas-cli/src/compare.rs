//! `scnas compare`: the results of several runs in one table, and whether they differ on the cases
//! they share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::report::comparison::{Compared, Comparison};
use scnas::report::evaluation::mean_and_sd;
use scnas::report::finished::{Finished, Results};
use scnas::report::procedures::Groups;
use scnas::report::table::aligned;
use serde_json::{Value, json};

use crate::cells::{PAIRED_HEAD, PROCEDURE_HEAD, number, paired_cells, procedure_cells};
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
    let runs = Comparison::of(&args.runs)?.runs;
    let mut text = table(&runs);
    if runs.len() > 1 {
        text = format!("{text}\n{}", paired_table(&runs));
    }
    if let Some(procedures) = procedures_table(&runs) {
        text = format!("{text}\n{procedures}");
    }
    if let Some(settings) = settings_table(&runs) {
        text = format!("{text}\n{settings}");
    }
    output.result(text, || runs.iter().map(compared).collect())?;
    Ok(ExitCode::SUCCESS)
}

/// Two groups of runs: every run in the table, then one group against the other.
fn compare_groups(sides: [&[PathBuf]; 2], output: Output) -> Result<ExitCode> {
    let runs = Comparison::of(&sides.concat())?.runs;
    let groups = Groups::read(sides)?;
    let head = |what: &str, head: &[&str]| -> Vec<String> {
        [what].iter().chain(head).map(|cell| cell.to_string()).collect()
    };
    let row = |cells: Vec<String>| [vec!["first group - second".to_string()], cells].concat();
    let networks = paired_cells(groups.these_networks.as_ref());
    let networks = aligned(&[head(NETWORKS, &PAIRED_HEAD), row(networks)], 1);
    let procedures = groups.procedures.as_ref().map_or_else(|| vec!["0".into()], procedure_cells);
    let procedures = aligned(&[head(PROCEDURES, &PROCEDURE_HEAD), row(procedures)], 1);
    let few = match groups.procedures.as_ref().is_some_and(|found| found.error.is_some()) {
        true => "",
        false => "Two runs or folds that share their cases are needed on a side, or more.\n",
    };
    output.result(
        format!("{}\n{networks}\n{procedures}{few}", table(&runs)),
        || json!({ "runs": runs.iter().map(compared).collect::<Vec<_>>(), "groups": groups }),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// What a comparison speaks of.
const NETWORKS: &str = "these networks: cases are the sample";
const PROCEDURES: &str = "what made them: networks are the sample";

/// A row for programs.
fn compared(run: &Compared) -> Value {
    let Compared { path, finished, against_first, procedure_against_first, settings_unlike_first } =
        run;
    let settings: Option<BTreeMap<_, _>> =
        settings_unlike_first.clone().map(|settings| settings.into_iter().collect());
    let result = match &finished.results {
        Results::Run(result) => json!(result),
        Results::Folds(all) => json!(all),
        Results::Scores(evaluation) => json!(evaluation.summary()),
    };
    json!({
        "run": path, "result": result, "against_first": against_first,
        "procedure_against_first": procedure_against_first,
        "settings_unlike_first": settings,
    })
}

fn table(runs: &[Compared]) -> String {
    let mut classes: Vec<&str> = Vec::new();
    for class in runs.iter().flat_map(|run| run.finished.classes()) {
        if !classes.contains(&class.as_str()) {
            classes.push(class);
        }
    }
    let head = ["run", "network", "data", "fold", "M par.", "GFLOPs"]
        .into_iter()
        .chain(classes.iter().copied())
        .chain(["mean", "minutes"]);
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_string).collect()];
    rows.extend(runs.iter().map(|run| row(&run.finished, &classes)));
    // Names to the left, numbers to the right.
    aligned(&rows, 3)
}

fn row(run: &Finished, classes: &[&str]) -> Vec<String> {
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
    first.into_iter().chain(classes.iter().map(dice)).chain(last).collect()
}

/// All runs but the first against it.
fn paired_table(runs: &[Compared]) -> String {
    let against = format!("against {}; {NETWORKS}", runs[0].finished.name);
    let mut rows: Vec<Vec<String>> =
        vec![[against.as_str()].into_iter().chain(PAIRED_HEAD).map(String::from).collect()];
    for run in &runs[1..] {
        let cells = paired_cells(run.against_first.as_ref());
        rows.push([vec![run.finished.name.clone()], cells].concat());
    }
    aligned(&rows, 1)
}

/// What made the networks of cross-validations against what made those of the first; `None` of
/// single runs.
fn procedures_table(runs: &[Compared]) -> Option<String> {
    let against = format!("against {}; {PROCEDURES}", runs.first()?.finished.name);
    let mut rows: Vec<Vec<String>> =
        vec![[against.as_str()].into_iter().chain(PROCEDURE_HEAD).map(String::from).collect()];
    for run in &runs[1..] {
        let cells = run.procedure_against_first.as_ref().map(procedure_cells);
        rows.extend(cells.map(|cells| [vec![run.finished.name.clone()], cells].concat()));
    }
    (rows.len() > 1).then(|| aligned(&rows, 1))
}

/// The settings that differ from the first run's; `None` if none does. The first table shows the
/// folds.
fn settings_table(runs: &[Compared]) -> Option<String> {
    let first = &runs.first()?.finished.name;
    let mut rows = vec![["settings", "", "", &format!("in {first}")].map(String::from).to_vec()];
    for run in runs {
        let unlike = run.settings_unlike_first.iter().flatten();
        let unlike = unlike.filter(|(key, _)| key != "data.fold").cloned();
        rows.extend(
            unlike.map(|(key, [here, there])| vec![run.finished.name.clone(), key, here, there]),
        );
    }
    (rows.len() > 1).then(|| aligned(&rows, 4))
}
