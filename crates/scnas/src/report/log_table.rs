//! The logs of runs as one table in CSV.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::data::files::name_of_folder;
use crate::data::plan::Plan;
use crate::error::{Error, Result};
use crate::observer::EpochLine;
use crate::report::finished::{fold_folders, seed_folders};
use crate::report::table::csv_line;
use crate::store::run_folder::read_log;

/// The log of a run with what its cells need.
struct Log {
    run: String,
    classes: Vec<String>,
    lines: Vec<EpochLine>,
}

/// A line an epoch of each run, of each fold and seed of a cross-validation. Classes that a run does not
/// have, and what an epoch did not measure, are empty cells.
///
/// # Errors
/// Files that cannot be read or understood; a folder without a log ([`Error::NoLog`]).
pub fn csv(runs: &[PathBuf]) -> Result<String> {
    let mut logs = Vec::new();
    let named = |run: &PathBuf| {
        let name = name_of_folder(run);
        let seeds = seed_folders(run).into_iter();
        let seeds: Vec<(String, PathBuf)> =
            seeds.map(|(seed, folder)| (format!("{name}/seed-{seed}"), folder)).collect();
        if seeds.is_empty() { vec![(name, run.clone())] } else { seeds }
    };
    for (name, run) in &runs.iter().flat_map(named).collect::<Vec<_>>() {
        let folds = fold_folders(run);
        if folds.is_empty() {
            logs.push(Log::read(run, name.clone())?);
        } else {
            let named = |fold| format!("{name}/fold-{fold}");
            let begun = folds.into_iter().filter(|(_, folder)| folder.join("log.jsonl").exists());
            let read = begun.map(|(fold, folder)| Log::read(&folder, named(fold)));
            logs.extend(read.collect::<Result<Vec<_>>>()?);
        }
    }
    let mut known = BTreeSet::new();
    let classes: Vec<&String> =
        logs.iter().flat_map(|log| &log.classes).filter(|class| known.insert(*class)).collect();
    let head = ["run", "phase", "epoch", "epochs", "loss", "mean_dice", "learning_rate"];
    let of_search = ["alpha_loss", "tau", "entropy", "r", "zero", "identity", "pool"];
    let head = head.into_iter().chain(of_search).chain(["seconds", "waited_seconds"]);
    let dice = classes.iter().map(|class| format!("dice {class}"));
    let mut text = csv_line(&head.map(String::from).chain(dice).collect::<Vec<_>>());
    for Log { run, classes: own, lines } in &logs {
        for line in lines {
            let place = |class: &&String| own.iter().position(|known| known == *class);
            let dice = classes.iter().map(|class| {
                cell(place(class).and_then(|n| line.dice.as_ref()?.get(n).copied().flatten()))
            });
            text += &csv_line(&cells(run, line).into_iter().chain(dice).collect::<Vec<_>>());
        }
    }
    Ok(text)
}

impl Log {
    fn read(folder: &Path, run: String) -> Result<Self> {
        let path = folder.join("log.jsonl");
        if !path.exists() {
            return Err(Error::NoLog { path: folder.into() });
        }
        let classes = Plan::read(&folder.join("plan.json"))?.foreground();
        Ok(Self { run, classes, lines: read_log(&path)? })
    }
}

fn cells(run: &str, line: &EpochLine) -> Vec<String> {
    let search = line.search.as_ref();
    let first = [run.into(), line.phase.clone(), line.epoch.to_string(), line.epochs.to_string()];
    let numbers = [
        Some(line.loss),
        line.mean_dice,
        Some(line.learning_rate),
        search.and_then(|search| search.alpha_loss),
        search.map(|search| search.tau),
        search.map(|search| search.entropy),
        search.and_then(|search| Some(search.agreement?.r)),
        search.map(|search| search.edges.zero),
        search.map(|search| search.edges.identity),
        search.map(|search| search.edges.pool),
        Some(line.seconds),
        Some(line.waited_seconds),
    ];
    first.into_iter().chain(numbers.map(cell)).collect()
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
