//! Cross-validation: the results of a data set's folds in one table (the form of the paper's Table
//! 1), as text, JSON, CSV and LaTeX.

use medvol::metrics::mean_sd;
use serde::Serialize;

use crate::report::evaluation::{CaseScore, Evaluation, MeanSd, Metric, mean_and_sd, spread};
use crate::report::result::RunResult;
use crate::report::table::{aligned, csv_line};
use crate::report::tex;

/// The folds that are complete.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CrossValidation {
    /// How the networks came to be.
    pub network: String,
    /// Name of the data set.
    pub dataset: String,
    /// Names of the foreground classes.
    pub classes: Vec<String>,
    /// Folds the data set is split into; complete may be fewer.
    pub of: usize,
    /// What each complete fold reached, in their order.
    pub folds: Vec<RunResult>,
    /// Of the means of the folds.
    pub over_folds: Dice,
    /// Of all held-out cases of all folds.
    pub over_cases: Dice,
    /// By class, where the evaluations say it.
    pub clean_up: Vec<CleanUp>,
    /// Networks of different folds may differ.
    pub parameters_m: Option<MeanSd>,
    /// Of one patch.
    pub gflops: Option<MeanSd>,
    /// Time in search and training of all folds together, validation included.
    pub seconds: f64,
}

/// What it does to a class of the held-out cases when only its largest connected component is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CleanUp {
    /// Name of the class.
    pub class: String,
    /// Mean Dice over cases as predicted.
    pub dice: f64,
    /// Mean Dice over cases of the largest component.
    pub dice_largest: f64,
    /// Cases whose Dice it changes.
    pub changed: usize,
    /// Whether the mean becomes better: then predictions should be cleaned.
    pub helps: bool,
}

impl CleanUp {
    /// Of every class that the cases say it of.
    pub(super) fn of_all(evaluation: &Evaluation) -> Vec<Self> {
        (0..evaluation.classes.len()).filter_map(|class| Self::of(evaluation, class)).collect()
    }

    /// Of one class, over the cases that say both; `None` where none does.
    fn of(evaluation: &Evaluation, class: usize) -> Option<Self> {
        let both = |case: &CaseScore| {
            Some((case.get(Metric::Dice, class)?, case.get(Metric::DiceLargest, class)?))
        };
        let both: Vec<(f64, f64)> = evaluation.cases.iter().filter_map(both).collect();
        let (dice, _) = mean_sd(both.iter().map(|(dice, _)| *dice))?;
        let (dice_largest, _) = mean_sd(both.iter().map(|(_, largest)| *largest))?;
        let changed = both.iter().filter(|(dice, largest)| dice != largest).count();
        Some(Self {
            class: evaluation.classes[class].clone(),
            dice,
            dice_largest,
            changed,
            helps: dice_largest > dice,
        })
    }
}

/// Mean and standard deviation of Dice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dice {
    /// Folds or cases that the mean is over: those with a Dice.
    pub count: usize,
    /// Of each foreground class; `None` where it is never scored.
    pub per_class: Vec<Option<MeanSd>>,
    /// Of the mean over the foreground classes.
    pub mean_foreground: Option<MeanSd>,
}

impl Dice {
    /// Of each class, then of the mean over them.
    pub(super) fn values(&self) -> impl Iterator<Item = Option<MeanSd>> {
        self.per_class.iter().copied().chain([self.mean_foreground])
    }
}

impl CrossValidation {
    /// Of complete folds, in their order; `None` of none. `of` is the number of all folds.
    pub fn new(folds: Vec<(RunResult, Evaluation)>, of: usize) -> Option<Self> {
        let (results, evaluations): (Vec<RunResult>, Vec<Evaluation>) = folds.into_iter().unzip();
        let RunResult { network, dataset, classes, .. } = results.first()?.clone();
        let of_folds =
            |of: &dyn Fn(&RunResult) -> Option<f64>| spread(results.iter().filter_map(of));
        let pooled = Evaluation {
            classes: classes.clone(),
            tolerance_mm: None,
            cases: evaluations.into_iter().flat_map(|e| e.cases).collect(),
        };
        let class_of = |class: usize| {
            move |r: &RunResult| r.dice.get(class).copied().flatten().map(|d| d.mean)
        };
        Some(Self {
            of,
            over_folds: Dice {
                count: results.iter().filter(|result| result.mean_dice.is_some()).count(),
                per_class: (0..classes.len()).map(|class| of_folds(&class_of(class))).collect(),
                mean_foreground: of_folds(&|r| r.mean_dice.map(|d| d.mean)),
            },
            over_cases: Dice {
                count: pooled.scored(),
                per_class: (0..classes.len()).map(|class| pooled.class(class)).collect(),
                mean_foreground: pooled.foreground(),
            },
            clean_up: CleanUp::of_all(&pooled),
            parameters_m: of_folds(&|r| Some(r.parameters_m)),
            gflops: of_folds(&|r| Some(r.gflops)),
            seconds: results.iter().map(|r| r.seconds).sum(),
            network,
            dataset,
            classes,
            folds: results,
        })
    }

    /// The complete folds by number, such as `0,1,2`.
    pub fn fold_list(&self) -> String {
        self.folds.iter().map(|r| r.fold.to_string()).collect::<Vec<_>>().join(",")
    }

    /// A text table of [`Self::rows`].
    pub fn table(&self) -> String {
        aligned(&self.rows(), 1)
    }

    /// A row a fold (mean ± SD over its cases) below a head, then mean ± SD over folds and over
    /// cases.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let head = [
            vec!["fold", "cases"],
            self.classes.iter().map(String::as_str).collect(),
            vec!["mean", "M par.", "GFLOPs", "minutes"],
        ];
        let mut rows: Vec<Vec<String>> =
            vec![head.concat().into_iter().map(String::from).collect()];
        for r in &self.folds {
            let dice = r.dice.iter().copied().chain([r.mean_dice]).map(mean_and_sd);
            let last = [
                format!("{:.2}", r.parameters_m),
                format!("{:.2}", r.gflops),
                format!("{:.1}", r.seconds / 60.0),
            ];
            rows.push(
                [r.fold.to_string(), r.cases.to_string()]
                    .into_iter()
                    .chain(dice)
                    .chain(last)
                    .collect(),
            );
        }
        let summary = |name: &str, dice: &Dice| {
            let values = dice.values().map(mean_and_sd);
            [name.to_string(), dice.count.to_string()].into_iter().chain(values).collect::<Vec<_>>()
        };
        let cost =
            [short(self.parameters_m), short(self.gflops), format!("{:.1}", self.seconds / 60.0)];
        rows.push([summary("over folds", &self.over_folds), cost.to_vec()].concat());
        rows.push(summary("over cases", &self.over_cases));
        rows
    }

    /// A line about the largest component of each class; empty where the evaluations do not say it.
    pub fn clean_up_text(&self) -> String {
        clean_up_text(&self.clean_up)
    }

    /// CSV: one line a fold with the means over its cases, then mean and SD over folds and over
    /// cases.
    pub fn csv(&self) -> String {
        let exact = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
        let head = [
            vec!["fold", "cases"],
            self.classes.iter().map(String::as_str).collect(),
            vec!["mean", "parameters_m", "gflops", "seconds"],
        ];
        let mut text = csv_line(&head.concat().into_iter().map(String::from).collect::<Vec<_>>());
        for r in &self.folds {
            let dice =
                r.dice.iter().copied().chain([r.mean_dice]).map(|d| exact(d.map(|d| d.mean)));
            let last = [r.parameters_m, r.gflops, r.seconds].map(|v| v.to_string());
            text += &csv_line(
                &[r.fold.to_string(), r.cases.to_string()]
                    .into_iter()
                    .chain(dice)
                    .chain(last)
                    .collect::<Vec<_>>(),
            );
        }
        for (over, dice) in [("folds", &self.over_folds), ("cases", &self.over_cases)] {
            for (what, of) in [("mean", (|v| v.mean) as fn(MeanSd) -> f64), ("SD", |v| v.sd)] {
                let cells = dice.values().map(|v| exact(v.map(of)));
                let cost = [self.parameters_m, self.gflops]
                    .map(|v| exact(v.filter(|_| over == "folds").map(of)));
                let time = mean_sd(self.folds.iter().map(|r| r.seconds))
                    .filter(|_| over == "folds")
                    .map(|(mean, sd)| MeanSd { mean, sd });
                let first = [format!("{what} over {over}"), dice.count.to_string()];
                text += &csv_line(
                    &first
                        .into_iter()
                        .chain(cells)
                        .chain(cost)
                        .chain([exact(time.map(of))])
                        .collect::<Vec<_>>(),
                );
            }
        }
        text
    }

    /// A LaTeX table (plain `tabular`): one row over folds, one over cases.
    pub fn tex(&self) -> String {
        let Self { network, dataset, classes, of, over_folds, over_cases, .. } = self;
        let row = |over: &str, dice: &Dice, cost| {
            let name = format!("{network}, over {} {over}", dice.count);
            tex::Row { name, dice: dice.values().collect(), cost }
        };
        let cost = Some([self.parameters_m, self.gflops]);
        let rows = [row("folds", over_folds, cost), row("cases", over_cases, None)];
        tex::table(&format!("{dataset}, folds {} of {of}", self.fold_list()), classes, &rows)
    }
}

/// A line about the largest component of each class; empty of none.
pub(super) fn clean_up_text(classes: &[CleanUp]) -> String {
    let class = |CleanUp { class, dice, dice_largest, changed, helps }: &CleanUp| {
        let verdict = if *helps { "better" } else { "not better" };
        format!("{class} {dice:.4} -> {dice_largest:.4} ({changed} cases change, {verdict})")
    };
    let classes: Vec<String> = classes.iter().map(class).collect();
    if classes.is_empty() {
        String::new()
    } else {
        format!("largest component only: {}\n", classes.join("; "))
    }
}

/// One number where all folds agree, `mean ± SD` otherwise.
pub(super) fn short(value: Option<MeanSd>) -> String {
    match value {
        Some(MeanSd { mean, sd }) if sd < 0.005 => format!("{mean:.2}"),
        Some(MeanSd { mean, sd }) => format!("{mean:.2} ± {sd:.2}"),
        None => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A fold whose cases have these Dice of two classes.
    fn fold(
        number: usize,
        cases: &[[Option<f64>; 2]],
        parameters_m: f64,
    ) -> (RunResult, Evaluation) {
        let mut evaluation = Evaluation::new(vec!["a".into(), "b_1, x".into()], 1.0);
        evaluation.cases = cases
            .iter()
            .enumerate()
            .map(|(i, dice)| CaseScore {
                case: format!("c{number}{i}"),
                scores: BTreeMap::from([(Metric::Dice, dice.to_vec())]),
                reference_ml: Vec::new(),
            })
            .collect();
        let result = RunResult {
            network: "random:1".into(),
            dataset: "made up".into(),
            fold: number,
            seed: 0,
            parameters_m,
            gflops: 2.0,
            cases: cases.len(),
            classes: evaluation.classes.clone(),
            dice: (0..2).map(|c| evaluation.class(c)).collect(),
            mean_dice: evaluation.foreground(),
            seconds: 60.0,
            race: None,
            made_with: None,
        };
        (result, evaluation)
    }

    fn found() -> CrossValidation {
        let folds = vec![
            fold(0, &[[Some(0.5), Some(0.7)], [Some(0.7), Some(0.9)], [Some(0.6), None]], 1.0),
            fold(2, &[[Some(0.8), Some(0.8)]], 2.0),
        ];
        CrossValidation::new(folds, 5).unwrap()
    }

    #[test]
    fn folds_weigh_the_same_over_folds_and_cases_over_cases() {
        let cv = found();
        let close = |value: Option<MeanSd>, mean: f64| {
            assert!((value.unwrap().mean - mean).abs() < 1e-12, "{value:?}, expected {mean}")
        };
        close(cv.over_folds.per_class[0], 0.5 * (0.6 + 0.8));
        close(cv.over_cases.per_class[0], (0.5 + 0.7 + 0.6 + 0.8) / 4.0);
        close(cv.over_folds.per_class[1], 0.8);
        close(cv.over_cases.per_class[1], (0.7 + 0.9 + 0.8) / 3.0);
        close(cv.over_folds.mean_foreground, 0.5 * ((0.6 + 0.8 + 0.6) / 3.0 + 0.8));
        close(cv.over_cases.mean_foreground, (0.6 + 0.8 + 0.6 + 0.8) / 4.0);
        // Sample standard deviation of the two fold means.
        assert!((cv.over_folds.per_class[0].unwrap().sd - 0.2 / 2.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!((cv.over_folds.count, cv.over_cases.count, cv.seconds), (2, 4, 120.0));
        assert_eq!(CrossValidation::new(Vec::new(), 5), None);
        // Who has no structure is in no mean.
        let cv = CrossValidation::new(
            vec![fold(0, &[[Some(0.5), None], [None, None]], 1.0), fold(1, &[[None, None]], 1.0)],
            2,
        );
        let cv = cv.unwrap();
        assert_eq!((cv.over_folds.count, cv.over_cases.count), (1, 1));
    }

    #[test]
    fn a_class_is_cleaned_only_where_its_largest_component_is_better_over_the_cases_that_say_both()
    {
        let (result, mut evaluation) =
            fold(0, &[[Some(0.5), Some(0.7)], [Some(0.7), None], [Some(0.9), Some(0.6)]], 1.0);
        for (case, largest) in
            evaluation.cases.iter_mut().zip([[Some(0.6), Some(0.7)], [Some(0.65), None]])
        {
            case.scores.insert(Metric::DiceLargest, largest.to_vec());
        }
        let cv = CrossValidation::new(vec![(result, evaluation)], 5).unwrap();
        let [a, b] = &cv.clean_up[..] else { panic!("{:?}", cv.clean_up) };
        assert!((a.dice - 0.6).abs() < 1e-12 && (a.dice_largest - 0.625).abs() < 1e-12);
        assert_eq!((a.changed, a.helps, b.changed, b.helps), (2, true, 0, false));
        assert!(cv.clean_up_text().contains(
            "a 0.6000 -> 0.6250 (2 cases change, better); b_1, x 0.7000 -> 0.7000 (0 cases \
             change, not better)"
        ));
        assert!(found().clean_up.is_empty() && found().clean_up_text().is_empty());
    }

    #[test]
    fn every_form_of_the_table_has_all_folds_and_both_means() {
        let cv = found();
        let table = cv.table();
        assert_eq!(table.lines().count(), 1 + 2 + 2);
        assert!(table.contains("1.50 ± 0.71") && table.contains("0.7000 ± 0.1414"), "{table}");
        let csv = cv.csv();
        assert_eq!(csv.lines().count(), 1 + 2 + 4);
        assert!(
            csv.lines().all(|line| line.replace("b_1, x", "b").split(',').count() == 8),
            "{csv}"
        );
        assert!(csv.contains("\"b_1, x\"") && csv.contains("\nmean over cases,4,"), "{csv}");
        let tex = cv.tex();
        assert!(
            tex.contains("b\\_1, x")
                && tex.contains("random:1, over 2 folds & $0.7000 \\pm 0.1414$"),
            "{tex}"
        );
        let columns = |line: &str| line.matches('&').count();
        assert!(
            tex.lines().filter(|line| line.contains('&')).all(|line| columns(line) == 5),
            "{tex}"
        );
    }
}
