//! `scnas compare`: the results of several runs in one table.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::evaluate::MeanSd;
use scnas::run::RunResult;
use serde_json::json;

use crate::architecture::name_of_folder;
use crate::output::Output;
use crate::run_options::read_result;

/// Compare finished runs in one table
///
/// Reads result.json of each run folder. Prints network, size, cost, Dice per class and its mean over the foreground classes
/// (mean ± SD over the held-out cases), and the minutes that search and training took.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  scnas compare runs/Task04_Hippocampus/*")]
pub struct CompareArgs {
    /// Run folders
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
}

pub fn run(args: &CompareArgs, output: Output) -> Result<ExitCode> {
    let results: Vec<RunResult> = args.runs.iter().map(|folder| read_result(folder)).collect::<Result<_>>()?;
    let names: Vec<String> = args.runs.iter().map(|folder| name_of_folder(folder)).collect();
    output.result(table(&names, &results), || {
        args.runs.iter().zip(&results).map(|(run, result)| json!({ "run": run, "result": result })).collect()
    })?;
    Ok(ExitCode::SUCCESS)
}

fn table(names: &[String], results: &[RunResult]) -> String {
    let mut classes: Vec<&str> = Vec::new();
    for class in results.iter().flat_map(|r| &r.classes) {
        if !classes.contains(&class.as_str()) {
            classes.push(class);
        }
    }
    let head = ["run", "network", "data", "fold", "M par.", "GFLOPs"].into_iter().chain(classes.iter().copied()).chain(["mean", "minutes"]);
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_string).collect()];
    let pair = |v: Option<MeanSd>| v.map_or_else(|| "–".into(), |v| format!("{:.4} ± {:.4}", v.mean, v.sd));
    for (name, r) in names.iter().zip(results) {
        let dice = |class: &&str| pair(r.classes.iter().position(|c| c == class).and_then(|c| r.dice.get(c).copied().flatten()));
        let first = [
            name.clone(),
            r.network.clone(),
            r.dataset.clone(),
            r.fold.to_string(),
            format!("{:.2}", r.parameters_m),
            format!("{:.2}", r.gflops),
        ];
        let last = [pair(r.mean_dice), format!("{:.1}", r.seconds / 60.0)];
        rows.push(first.into_iter().chain(classes.iter().map(dice)).chain(last).collect());
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    // Names to the left, numbers to the right.
    let cell = |(column, text): (usize, &String)| {
        let width = widths[column];
        if column < 3 { format!("{text:<width$}") } else { format!("{text:>width$}") }
    };
    rows.iter().map(|row| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ") + "\n").collect()
}
