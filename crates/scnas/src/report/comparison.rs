//! Finished runs held against the first of them.

use std::path::PathBuf;
use std::slice;

use crate::error::Result;
use crate::report::cells::{PAIRED_HEAD, PROCEDURE_HEAD, paired_cells, procedure_cells};
use crate::report::evaluation::mean_and_sd;
use crate::report::finished::Finished;
use crate::report::procedures::{Groups, Procedures};
use crate::report::statistics::{NETWORKS, PROCEDURES, Paired};
use crate::report::table::number;

/// Finished runs held against the first of them.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// In the order they were given.
    pub runs: Vec<Compared>,
}

/// A finished run held against the first.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Its folder or file.
    pub path: PathBuf,
    /// Its results.
    pub finished: Finished,
    /// Case by case, positive where this one is better; `None` where they share no case. Of these
    /// very networks: cases are the sample.
    pub against_first: Option<Paired>,
    /// Of what made the networks, which are the sample; `None` where there are too few to tell, as
    /// of single runs.
    pub procedure_against_first: Option<Procedures>,
    /// Settings that differ, with the values here and of the first; `None` where either's are not
    /// known.
    pub settings_unlike_first: Option<Vec<(String, [String; 2])>>,
}

impl Comparison {
    /// Reads the folders of runs and cross-validations, and CSV files of evaluations.
    ///
    /// # Errors
    /// Those of [`Finished::read`].
    pub fn of(paths: &[PathBuf]) -> Result<Self> {
        let read = paths.iter().map(|path| Ok((path.clone(), Finished::read(path)?)));
        let read = read.collect::<Result<Vec<(PathBuf, Finished)>>>()?;
        let Some((_, first)) = read.first().cloned() else { return Ok(Self { runs: Vec::new() }) };
        let compared = |(path, finished): (PathBuf, Finished)| {
            let groups = Groups::read([slice::from_ref(&path), &paths[..1]])?;
            Ok(Compared {
                path,
                against_first: finished.against(&first),
                procedure_against_first: groups.procedures.filter(|found| found.error.is_some()),
                settings_unlike_first: finished.unlike(&first),
                finished,
            })
        };
        Ok(Self { runs: read.into_iter().map(compared).collect::<Result<_>>()? })
    }
}

/// Tables of a comparison, each with its head; the first columns are text.
impl Comparison {
    /// Columns of [`Self::results`] that are text.
    pub const RESULTS_LEFT: usize = 3;

    /// A row a run: network, cost, Dice, time.
    pub fn results(&self) -> Vec<Vec<String>> {
        let mut classes: Vec<&str> = Vec::new();
        for class in self.runs.iter().flat_map(|run| run.finished.classes()) {
            if !classes.contains(&class.as_str()) {
                classes.push(class);
            }
        }
        let head = ["run", "network", "data", "fold", "M par.", "GFLOPs"]
            .into_iter()
            .chain(classes.iter().copied())
            .chain(["mean", "minutes"]);
        let rows = self.runs.iter().map(|run| result(&run.finished, &classes));
        [head.map(str::to_string).collect()].into_iter().chain(rows).collect()
    }

    /// All runs but the first against it; one column is text.
    pub fn paired(&self) -> Vec<Vec<String>> {
        let Some((first, others)) = self.runs.split_first() else { return Vec::new() };
        let against = format!("against {}; {NETWORKS}", first.finished.name);
        let mut rows = vec![headed(&against, &PAIRED_HEAD)];
        for run in others {
            let cells = paired_cells(run.against_first.as_ref());
            rows.push([vec![run.finished.name.clone()], cells].concat());
        }
        rows
    }

    /// What made the networks of cross-validations against what made those of the first; one column
    /// is text. Nothing of single runs.
    pub fn procedures(&self) -> Option<Vec<Vec<String>>> {
        let (first, others) = self.runs.split_first()?;
        let against = format!("against {}; {PROCEDURES}", first.finished.name);
        let mut rows = vec![headed(&against, &PROCEDURE_HEAD)];
        for run in others {
            let cells = run.procedure_against_first.as_ref().map(procedure_cells);
            rows.extend(cells.map(|cells| [vec![run.finished.name.clone()], cells].concat()));
        }
        (rows.len() > 1).then_some(rows)
    }

    /// The settings that differ from the first run's, all text; nothing if none does.
    /// [`Self::results`] shows the folds.
    pub fn settings(&self) -> Option<Vec<Vec<String>>> {
        let first = &self.runs.first()?.finished.name;
        let head = ["settings", "", "", &format!("in {first}")];
        let mut rows = vec![head.map(String::from).to_vec()];
        for run in &self.runs {
            let unlike = run.settings_unlike_first.iter().flatten();
            let unlike = unlike.filter(|(key, _)| key != "data.fold").cloned();
            let name = &run.finished.name;
            rows.extend(unlike.map(|(key, [here, there])| vec![name.clone(), key, here, there]));
        }
        (rows.len() > 1).then_some(rows)
    }
}

/// A head whose first cell says what the rows are of.
pub fn headed(what: &str, head: &[&str]) -> Vec<String> {
    [what].iter().chain(head).map(|cell| cell.to_string()).collect()
}

fn result(run: &Finished, classes: &[&str]) -> Vec<String> {
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
