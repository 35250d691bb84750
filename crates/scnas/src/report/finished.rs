//! Results that are there to be compared: the folder of a finished run, that of a cross-validation
//! with the folds that are complete, of one seed or of several, or a table of scores.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::data::files::name_of_folder;
use crate::data::plan::Plan;
use crate::error::{Error, Result};
use crate::report::cross_validation::CrossValidation;
use crate::report::evaluation::{Evaluation, MeanSd, Metric};
use crate::report::result::{RunResult, read_run};
use crate::report::seeds::{OfSeed, Seeds, mean_over_networks};
use crate::report::statistics::{Paired, paired};
use crate::settings::Config;
use crate::store::run_folder::settings_file;

/// What a folder holds.
#[derive(Clone, Debug)]
pub enum Results {
    /// Of one run.
    Run(RunResult),
    /// Of the complete folds of a cross-validation.
    Folds(CrossValidation),
    /// Of the complete folds of a cross-validation with several seeds.
    Seeds(Seeds),
    /// Of whatever made the predictions.
    Scores(Evaluation),
}

/// Results with what they are compared by.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Of the folder or file, without its parents.
    pub name: String,
    /// What was reached.
    pub results: Results,
    /// Mean foreground Dice by held-out case; of all folds, the mean over seeds.
    pub dice: BTreeMap<String, f64>,
    /// What it was made with, where that is known; of a cross-validation, its first complete fold.
    settings: Option<Config>,
}

impl Finished {
    /// Reads the folder of a run, or of a cross-validation, or the CSV file of an evaluation.
    ///
    /// # Errors
    /// Files that cannot be read or understood; a folder without results.
    pub fn read(folder: &Path) -> Result<Self> {
        let name = name_of_folder(folder);
        if folder.is_file() {
            let text =
                std::fs::read_to_string(folder).map_err(|e| Error::file("read", folder, e))?;
            let evaluation =
                Evaluation::from_csv(&text).map_err(|fault| Error::place(folder, fault.into()))?;
            return Ok(Self {
                name,
                dice: dice_by_case(&evaluation),
                results: Results::Scores(evaluation),
                settings: None,
            });
        }
        if !folder.join("result.json").exists() && !fold_folders(folder).is_empty() {
            let folds = read_folds(folder)?;
            let dice = folds.iter().flat_map(|(_, evaluation)| dice_by_case(evaluation)).collect();
            let settings = complete_folds(folder).first().and_then(|fold| settings(fold));
            return match cross_validation(folder, folds)? {
                Some(all) => Ok(Self { name, results: Results::Folds(all), dice, settings }),
                None => Err(Error::NoFoldComplete { path: folder.into(), in_use: Vec::new() }),
            };
        }
        if !folder.join("result.json").exists() && !seed_folders(folder).is_empty() {
            let Some((all, cases)) = several_seeds(folder)? else {
                return Err(Error::NoFoldComplete { path: folder.into(), in_use: Vec::new() });
            };
            let first = seed_folders(folder).into_values().flat_map(|seed| complete_folds(&seed));
            let settings = first.take(1).find_map(|fold| settings(&fold));
            let (dice, results) = (dice_by_case(&cases), Results::Seeds(all));
            return Ok(Self { name, results, dice, settings });
        }
        let (result, evaluation) = read_run(folder)?;
        Ok(Self {
            name,
            results: Results::Run(result),
            dice: dice_by_case(&evaluation),
            settings: settings(folder),
        })
    }

    /// How the network came to be; – where that is not known.
    pub fn network(&self) -> &str {
        match &self.results {
            Results::Run(result) => &result.network,
            Results::Folds(all) => &all.network,
            Results::Seeds(all) => &all.network,
            Results::Scores(_) => "–",
        }
    }

    /// Name of the data set; – where that is not known.
    pub fn dataset(&self) -> &str {
        match &self.results {
            Results::Run(result) => &result.dataset,
            Results::Folds(all) => &all.dataset,
            Results::Seeds(all) => &all.dataset,
            Results::Scores(_) => "–",
        }
    }

    /// Names of the foreground classes.
    pub fn classes(&self) -> &[String] {
        match &self.results {
            Results::Run(result) => &result.classes,
            Results::Folds(all) => &all.classes,
            Results::Seeds(all) => &all.classes,
            Results::Scores(evaluation) => &evaluation.classes,
        }
    }

    /// The fold, or the folds that are complete.
    pub fn folds(&self) -> String {
        match &self.results {
            Results::Run(result) => result.fold.to_string(),
            Results::Folds(all) => all.fold_list(),
            Results::Seeds(all) => all.fold_list(),
            Results::Scores(_) => "–".into(),
        }
    }

    /// Dice of a foreground class over cases, of all folds.
    pub fn class(&self, class: usize) -> Option<MeanSd> {
        match &self.results {
            Results::Run(result) => result.dice.get(class).copied().flatten(),
            Results::Folds(all) => all.over_cases.per_class.get(class).copied().flatten(),
            Results::Seeds(all) => all.over_cases.per_class.get(class).copied().flatten(),
            Results::Scores(evaluation) => evaluation.class(class),
        }
    }

    /// Mean foreground Dice over cases, of all folds.
    pub fn mean(&self) -> Option<MeanSd> {
        match &self.results {
            Results::Run(result) => result.mean_dice,
            Results::Folds(all) => all.over_cases.mean_foreground,
            Results::Seeds(all) => all.over_cases.mean_foreground,
            Results::Scores(evaluation) => evaluation.foreground(),
        }
    }

    /// Parameters in millions and GFLOPs of a patch, where they are known; means of folds.
    pub fn cost(&self) -> [Option<f64>; 2] {
        match &self.results {
            Results::Run(result) => [result.parameters_m, result.gflops].map(Some),
            Results::Folds(all) => [all.parameters_m, all.gflops].map(|of| of.map(|of| of.mean)),
            Results::Seeds(all) => [all.parameters_m, all.gflops].map(|of| of.map(|of| of.mean)),
            Results::Scores(_) => [None; 2],
        }
    }

    /// In search and training, of all folds together, where they are known.
    pub fn minutes(&self) -> Option<f64> {
        match &self.results {
            Results::Run(result) => Some(result.seconds / 60.0),
            Results::Folds(all) => Some(all.seconds / 60.0),
            Results::Seeds(all) => Some(all.seconds / 60.0),
            Results::Scores(_) => None,
        }
    }

    /// The settings that differ, with the value here and in `other`; `None` where either's are not
    /// known.
    pub fn unlike(&self, other: &Self) -> Option<Vec<(String, [String; 2])>> {
        Some(self.settings.as_ref()?.differences(other.settings.as_ref()?))
    }

    /// Case by case against `other`: positive where this is better. `None` where they share no
    /// case. A table of scores does not say what data set it is of: names of cases decide.
    pub fn against(&self, other: &Self) -> Option<Paired> {
        let known = |finished: &Self| !matches!(finished.results, Results::Scores(_));
        if known(self) && known(other) && self.dataset() != other.dataset() {
            return None;
        }
        let differences: Vec<f64> = self
            .dice
            .iter()
            .filter_map(|(case, dice)| Some(dice - other.dice.get(case)?))
            .collect();
        paired(&differences)
    }
}

/// The networks in a folder or file: the complete folds of a cross-validation, each a network of its
/// own, or the single one.
///
/// # Errors
/// Those of [`Finished::read`].
pub fn networks(path: &Path) -> Result<Vec<Finished>> {
    let all = Finished::read(path)?;
    match all.results {
        Results::Folds(_) | Results::Seeds(_) => {
            complete_networks(path).iter().map(|fold| Finished::read(fold)).collect()
        }
        _ => Ok(vec![all]),
    }
}

fn dice_by_case(evaluation: &Evaluation) -> BTreeMap<String, f64> {
    evaluation
        .cases
        .iter()
        .filter_map(|case| Some((case.case.clone(), case.mean(Metric::Dice)?)))
        .collect()
}

/// The settings in the folder of a run; `None` where another version wrote them that had other
/// keys.
fn settings(folder: &Path) -> Option<Config> {
    Config::load("default", Some(&settings_file(folder)), &[]).ok()
}

/// The folder of a fold of a cross-validation.
pub fn fold_folder(folder: &Path, fold: usize) -> PathBuf {
    folder.join(format!("fold-{fold}"))
}

/// The folder of a seed of a cross-validation with several.
pub fn seed_folder(folder: &Path, seed: u64) -> PathBuf {
    folder.join(format!("seed-{seed}"))
}

/// The folders of folds in a folder, by number.
pub fn fold_folders(folder: &Path) -> BTreeMap<usize, PathBuf> {
    numbered(folder, "fold-")
}

/// The folders of seeds in a folder, by seed: those that are cross-validations.
pub fn seed_folders(folder: &Path) -> BTreeMap<u64, PathBuf> {
    let mut seeds = numbered(folder, "seed-");
    seeds.retain(|_, seed| !fold_folders(seed).is_empty());
    seeds
}

/// The folders in a folder that are called so, with a number behind it.
fn numbered<N: FromStr + Ord>(folder: &Path, name: &str) -> BTreeMap<N, PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        Some((entry.file_name().to_str()?.strip_prefix(name)?.parse().ok()?, entry.path()))
    });
    numbered.filter(|(_, path)| path.is_dir()).collect()
}

/// The folders of the complete folds of a cross-validation, of one seed or of several, in order.
pub fn complete_networks(folder: &Path) -> Vec<PathBuf> {
    match complete_folds(folder) {
        folds if folds.is_empty() => {
            seed_folders(folder).values().flat_map(|seed| complete_folds(seed)).collect()
        }
        folds => folds,
    }
}

/// The folders of folds that are complete, in order.
pub fn complete_folds(folder: &Path) -> Vec<PathBuf> {
    fold_folders(folder).into_values().filter(|fold| fold.join("result.json").exists()).collect()
}

/// The results of the complete folds of a cross-validation, in order.
///
/// # Errors
/// Results that cannot be read, or that do not belong together.
pub fn read_folds(folder: &Path) -> Result<Vec<(RunResult, Evaluation)>> {
    let folds =
        complete_folds(folder).iter().map(|fold| read_run(fold)).collect::<Result<Vec<_>>>()?;
    let unlike = |[(a, _), (b, _)]: &&[(RunResult, Evaluation); 2]| {
        a.network != b.network || a.dataset != b.dataset
    };
    match folds.array_windows().find(unlike) {
        None => Ok(folds),
        Some(two) => {
            let named = |(r, _): &(RunResult, _)| (r.fold, r.network.clone(), r.dataset.clone());
            let folds = Box::new([named(&two[0]), named(&two[1])]);
            Err(Error::MixedFolds { path: folder.into(), folds })
        }
    }
}

/// All of the folds' results together; `None` of none.
///
/// # Errors
/// A plan that cannot be read.
pub fn cross_validation(
    folder: &Path,
    folds: Vec<(RunResult, Evaluation)>,
) -> Result<Option<CrossValidation>> {
    let Some((first, _)) = folds.first() else { return Ok(None) };
    let of = Plan::read(&fold_folder(folder, first.fold).join("plan.json"))?.folds.len();
    Ok(CrossValidation::new(folds, of))
}

/// What is complete of a cross-validation with several seeds, and what each case reached, its mean
/// over seeds; `None` where nothing is.
///
/// # Errors
/// Results that cannot be read, or that do not belong together.
pub fn several_seeds(folder: &Path) -> Result<Option<(Seeds, Evaluation)>> {
    let (mut seeds, mut evaluations) = (Vec::new(), Vec::new());
    for (seed, folder) in seed_folders(folder) {
        let folds = read_folds(&folder)?;
        evaluations.extend(folds.iter().map(|(_, evaluation)| evaluation.clone()));
        let all = cross_validation(&folder, folds)?;
        seeds.extend(all.map(|cross_validation| OfSeed { seed, cross_validation }));
    }
    let cases = mean_over_networks(&evaluations);
    Ok(cases.and_then(|cases| Some((Seeds::new(seeds, &cases)?, cases))))
}
