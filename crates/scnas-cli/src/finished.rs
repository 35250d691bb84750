//! Results that are there to be compared: the folder of a finished run, that of a cross-validation
//! with the folds that are complete, or a table of scores.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use scnas::report::cross_validation::CrossValidation;
use scnas::report::evaluation::{Evaluation, MeanSd, Metric};
use scnas::report::statistics::{Paired, paired};
use scnas::run::pipeline::RunResult;
use scnas::settings::config::Config;
use serde_json::{Value, json};

use crate::architecture::{name_of_folder, read_plan};

/// What a folder holds.
pub enum Results {
    Run(RunResult),
    Folds(CrossValidation),
    /// Of whatever made the predictions.
    Scores(Evaluation),
}

/// Results with what they are compared by.
pub struct Finished {
    pub name: String,
    pub results: Results,
    /// Mean foreground Dice by held-out case; of all folds.
    pub dice: BTreeMap<String, f64>,
    /// What it was made with, where that is known; of a cross-validation, its first complete fold.
    settings: Option<Config>,
}

impl Finished {
    /// Reads the folder of a run, or of a cross-validation, or the CSV file of an evaluation.
    pub fn read(folder: &Path) -> Result<Self> {
        let name = name_of_folder(folder);
        if folder.is_file() {
            let text = std::fs::read_to_string(folder)
                .with_context(|| format!("cannot read {}", folder.display()))?;
            let evaluation = Evaluation::from_csv(&text).map_err(|wrong| {
                anyhow!(
                    "{}: {wrong}; give a file as `scnas evaluate --csv` writes it",
                    folder.display()
                )
            })?;
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
                None => {
                    bail!("{}: no fold of this cross-validation is complete yet", folder.display())
                }
            };
        }
        let (result, evaluation) = read_run(folder)?;
        Ok(Self {
            name,
            results: Results::Run(result),
            dice: dice_by_case(&evaluation),
            settings: settings(folder),
        })
    }

    pub fn network(&self) -> &str {
        match &self.results {
            Results::Run(result) => &result.network,
            Results::Folds(all) => &all.network,
            Results::Scores(_) => "–",
        }
    }

    pub fn dataset(&self) -> &str {
        match &self.results {
            Results::Run(result) => &result.dataset,
            Results::Folds(all) => &all.dataset,
            Results::Scores(_) => "–",
        }
    }

    pub fn classes(&self) -> &[String] {
        match &self.results {
            Results::Run(result) => &result.classes,
            Results::Folds(all) => &all.classes,
            Results::Scores(evaluation) => &evaluation.classes,
        }
    }

    /// The fold, or the folds that are complete.
    pub fn folds(&self) -> String {
        match &self.results {
            Results::Run(result) => result.fold.to_string(),
            Results::Folds(all) => all.fold_list(),
            Results::Scores(_) => "–".into(),
        }
    }

    /// Over cases, of all folds.
    pub fn class(&self, class: usize) -> Option<MeanSd> {
        match &self.results {
            Results::Run(result) => result.dice.get(class).copied().flatten(),
            Results::Folds(all) => all.over_cases.per_class.get(class).copied().flatten(),
            Results::Scores(evaluation) => evaluation.class(class),
        }
    }

    /// Over cases, of all folds.
    pub fn mean(&self) -> Option<MeanSd> {
        match &self.results {
            Results::Run(result) => result.mean_dice,
            Results::Folds(all) => all.over_cases.mean_foreground,
            Results::Scores(evaluation) => evaluation.foreground(),
        }
    }

    /// Parameters in millions and GFLOPs of a patch, where they are known; means of folds.
    pub fn cost(&self) -> [Option<f64>; 2] {
        match &self.results {
            Results::Run(result) => [result.parameters_m, result.gflops].map(Some),
            Results::Folds(all) => [all.parameters_m, all.gflops].map(|of| of.map(|of| of.mean)),
            Results::Scores(_) => [None; 2],
        }
    }

    /// In search and training, of all folds together, where they are known.
    pub fn minutes(&self) -> Option<f64> {
        match &self.results {
            Results::Run(result) => Some(result.seconds / 60.0),
            Results::Folds(all) => Some(all.seconds / 60.0),
            Results::Scores(_) => None,
        }
    }

    pub fn json(&self) -> Value {
        match &self.results {
            Results::Run(result) => json!(result),
            Results::Folds(all) => json!(all),
            Results::Scores(evaluation) => json!(evaluation.summary()),
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

/// Cells of a comparison: cases, difference, interval, better, worse, p.
pub fn paired_cells(comparison: Option<&Paired>) -> Vec<String> {
    let Some(Paired { cases, mean_difference, interval_95: [low, high], better, worse, wilcoxon }) =
        comparison
    else {
        return vec!["0".into()];
    };
    let p_value = |p: f64| if p < 1e-4 { "< 0.0001".into() } else { format!("{p:.4}") };
    vec![
        cases.to_string(),
        format!("{mean_difference:+.4}"),
        format!("{low:+.4} to {high:+.4}"),
        better.to_string(),
        worse.to_string(),
        wilcoxon.map_or_else(|| "–".into(), |test| p_value(test.p)),
    ]
}

/// Heads of [`paired_cells`].
pub const PAIRED_HEAD: [&str; 6] =
    ["cases", "difference", "95 % interval", "better", "worse", "Wilcoxon p"];

/// A number with so many decimals, – where it is not known.
pub fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.decimals$}"))
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
    Config::load("default", Some(&folder.join("config.toml")), &[]).ok()
}

/// The folder of a fold of a cross-validation.
pub fn fold_folder(folder: &Path, fold: usize) -> PathBuf {
    folder.join(format!("fold-{fold}"))
}

/// The folders of folds in a folder, by number.
pub fn fold_folders(folder: &Path) -> BTreeMap<usize, PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        Some((entry.file_name().to_str()?.strip_prefix("fold-")?.parse().ok()?, entry.path()))
    });
    numbered.filter(|(_, path)| path.is_dir()).collect()
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
    if let Some([(a, _), (b, _)]) = folds
        .array_windows()
        .find(|[(a, _), (b, _)]| a.network != b.network || a.dataset != b.dataset)
    {
        bail!(
            "{}: expected folds of one network and data set; fold {} is {} on {}, fold {} is {} \
             on {}; remove what does not belong there",
            folder.display(),
            a.fold,
            a.network,
            a.dataset,
            b.fold,
            b.network,
            b.dataset
        );
    }
    Ok(folds)
}

/// All of the folds' results together; `None` of none.
pub fn cross_validation(
    folder: &Path,
    folds: Vec<(RunResult, Evaluation)>,
) -> Result<Option<CrossValidation>> {
    let Some((first, _)) = folds.first() else { return Ok(None) };
    let of = read_plan(&fold_folder(folder, first.fold).join("plan.json"))?.folds.len();
    Ok(CrossValidation::new(folds, of))
}

/// Reads the `result.json` and `evaluation.json` of the folder of a finished run.
pub fn read_run(folder: &Path) -> Result<(RunResult, Evaluation)> {
    let path = folder.join("result.json");
    if !path.exists() {
        bail!(
            "{}: no result.json there; expected the folder of a finished run or of a \
             cross-validation",
            folder.display()
        );
    }
    let not_ours = |path: &Path| {
        format!(
            "{}: not as scnas writes it; remove it and run the command that wrote it again",
            path.display()
        )
    };
    let read = |path: &Path| -> Result<Value> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| not_ours(path))
    };
    let result = serde_json::from_value(read(&path)?).with_context(|| not_ours(&path))?;
    let path = folder.join("evaluation.json");
    Ok((result, serde_json::from_value(read(&path)?).with_context(|| not_ours(&path))?))
}
