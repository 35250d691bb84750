//! `scnas compare`: the results of several runs in one table, and whether they differ on the cases they share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::evaluate::{Evaluation, Metric, mean_and_sd};
use scnas::run::RunResult;
use scnas::statistics::{Paired, paired};
use scnas::table::aligned;
use serde_json::json;

use crate::architecture::name_of_folder;
use crate::output::Output;
use crate::run_options::{read_evaluation, read_result};

/// Compare finished runs in one table
///
/// Reads the results of each run folder. Prints network, size, cost, Dice per class and its mean over the foreground classes
/// (mean ± SD over the held-out cases), and the minutes that search and training took.
///
/// Then every run against the first, on the cases of one data set that both have scored: the mean difference of a case's mean
/// foreground Dice, its 95 % bootstrap interval, how many cases are better and worse, and the p value of Wilcoxon's signed-rank test
/// (two-sided). Interval and p speak of the spread over cases only, not over seeds or architectures.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  scnas compare runs/Task04_Hippocampus/*")]
pub struct CompareArgs {
    /// Run folders
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
}

/// A finished run.
struct Finished {
    name: String,
    result: RunResult,
    /// Mean foreground Dice by case.
    dice: BTreeMap<String, f64>,
}

pub fn run(args: &CompareArgs, output: Output) -> Result<ExitCode> {
    let finished = |folder: &PathBuf| {
        Ok(Finished { name: name_of_folder(folder), result: read_result(folder)?, dice: dice_by_case(&read_evaluation(folder)?) })
    };
    let runs: Vec<Finished> = args.runs.iter().map(finished).collect::<Result<_>>()?;
    let comparisons: Vec<Option<Paired>> = runs.iter().map(|run| against(run, &runs[0])).collect();
    let mut text = table(&runs);
    if runs.len() > 1 {
        text = format!("{text}\n{}", paired_table(&runs, &comparisons));
    }
    output.result(text, || {
        let rows = args.runs.iter().zip(&runs).zip(&comparisons);
        rows.map(|((folder, run), paired)| json!({ "run": folder, "result": run.result, "against_first": paired })).collect()
    })?;
    Ok(ExitCode::SUCCESS)
}

fn dice_by_case(evaluation: &Evaluation) -> BTreeMap<String, f64> {
    evaluation.cases.iter().filter_map(|case| Some((case.case.clone(), case.mean(Metric::Dice)?))).collect()
}

/// `None` where the two runs share no case.
fn against(run: &Finished, first: &Finished) -> Option<Paired> {
    if run.result.dataset != first.result.dataset {
        return None;
    }
    let differences: Vec<f64> = run.dice.iter().filter_map(|(case, dice)| Some(dice - first.dice.get(case)?)).collect();
    paired(&differences)
}

fn table(runs: &[Finished]) -> String {
    let mut classes: Vec<&str> = Vec::new();
    for class in runs.iter().flat_map(|run| &run.result.classes) {
        if !classes.contains(&class.as_str()) {
            classes.push(class);
        }
    }
    let head = ["run", "network", "data", "fold", "M par.", "GFLOPs"].into_iter().chain(classes.iter().copied()).chain(["mean", "minutes"]);
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_string).collect()];
    for Finished { name, result: r, .. } in runs {
        let dice = |class: &&str| mean_and_sd(r.classes.iter().position(|c| c == class).and_then(|c| r.dice.get(c).copied().flatten()));
        let first = [
            name.clone(),
            r.network.clone(),
            r.dataset.clone(),
            r.fold.to_string(),
            format!("{:.2}", r.parameters_m),
            format!("{:.2}", r.gflops),
        ];
        let last = [mean_and_sd(r.mean_dice), format!("{:.1}", r.seconds / 60.0)];
        rows.push(first.into_iter().chain(classes.iter().map(dice)).chain(last).collect());
    }
    // Names to the left, numbers to the right.
    aligned(&rows, 3)
}

/// All runs but the first against it.
fn paired_table(runs: &[Finished], comparisons: &[Option<Paired>]) -> String {
    let head = [&format!("against {}", runs[0].name), "cases", "difference", "95 % interval", "better", "worse", "Wilcoxon p"];
    let mut rows = vec![head.map(str::to_string).to_vec()];
    for (run, comparison) in runs.iter().zip(comparisons).skip(1) {
        let cells = match comparison {
            None => vec!["0".into()],
            Some(Paired { cases, mean_difference, interval_95: [low, high], better, worse, wilcoxon }) => vec![
                cases.to_string(),
                format!("{mean_difference:+.4}"),
                format!("{low:+.4} to {high:+.4}"),
                better.to_string(),
                worse.to_string(),
                wilcoxon.map_or_else(|| "–".into(), |test| p_value(test.p)),
            ],
        };
        rows.push([vec![run.name.clone()], cells].concat());
    }
    aligned(&rows, 1)
}

fn p_value(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".into() } else { format!("{p:.4}") }
}
