//! A cross-validation with several seeds: folds and seeds in one table, as text, JSON, CSV and LaTeX.
//! The folds are the same for all seeds, so that what differs between two networks of a fold is the
//! seed alone.
//!
//! It answers two questions. How good are these networks? Their cases are the sample, each with its
//! mean over seeds. How good is what made them, on this data? Networks are the sample: each seed's
//! mean over all folds is one draw.

use std::collections::{BTreeMap, BTreeSet};

use medvol::metrics::mean_sd;
use serde::Serialize;

use crate::report::cross_validation::{CleanUp, CrossValidation, Dice, clean_up_text, short};
use crate::report::evaluation::{CaseScore, Evaluation, MeanSd, Metric, mean_and_sd, spread};
use crate::report::result::RunResult;
use crate::report::statistics::{NETWORKS, PROCEDURES, standard_error};
use crate::report::student::within_95;
use crate::report::table::{aligned, csv_line};
use crate::report::tex;

/// Name of the table's files, without their endings.
pub const NAME: &str = "seeds";

/// What is complete of a cross-validation with several seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seeds {
    /// How the networks came to be; of random ones `random`.
    pub network: String,
    /// Name of the data set.
    pub dataset: String,
    /// Names of the foreground classes.
    pub classes: Vec<String>,
    /// Folds the data set is split into.
    pub of: usize,
    /// Each seed that has complete folds, in their order.
    pub seeds: Vec<OfSeed>,
    /// Of the seeds' means over folds: of those seeds that have every fold which any has.
    pub over_seeds: Dice,
    /// Of the folds' means over seeds: of those folds that every seed has.
    pub over_folds: Dice,
    /// Of the cases' means over seeds.
    pub over_cases: Dice,
    /// By class, of the cases' means over seeds.
    pub clean_up: Vec<CleanUp>,
    /// Mean Dice of these very networks: other cases would be another sample.
    pub these_networks: Option<Estimate>,
    /// Mean Dice of what made them: other seeds would be another sample, on the same folds.
    pub procedure: Option<Estimate>,
    /// Of all networks.
    pub parameters_m: Option<MeanSd>,
    /// Of one patch.
    pub gflops: Option<MeanSd>,
    /// Time in search and training of all folds and seeds together.
    pub seconds: f64,
}

/// What a seed reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfSeed {
    /// The seed.
    pub seed: u64,
    /// Its complete folds.
    pub cross_validation: CrossValidation,
}

/// A mean, and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Of the values.
    pub mean: f64,
    /// Of the mean.
    pub standard_error: f64,
    /// Of the standard error: one less than there are values.
    pub degrees_of_freedom: usize,
    /// By Student's t.
    pub interval_95: [f64; 2],
}

impl Estimate {
    /// Of independent values; `None` of fewer than two.
    fn of(values: &[f64]) -> Option<Self> {
        let standard_error = standard_error(values)?;
        let (mean, _) = mean_sd(values.iter().copied())?;
        let degrees_of_freedom = values.len() - 1;
        let half = within_95(degrees_of_freedom as f64) * standard_error;
        let interval_95 = [mean - half, mean + half];
        Some(Self { mean, standard_error, degrees_of_freedom, interval_95 })
    }
}

impl Seeds {
    /// Of seeds with complete folds, and the [mean over seeds](mean_over_networks) of their cases;
    /// `None` of no seed.
    pub fn new(seeds: Vec<OfSeed>, cases: &Evaluation) -> Option<Self> {
        let CrossValidation { dataset, classes, of, .. } = seeds.first()?.cross_validation.clone();
        let results = || seeds.iter().flat_map(|of| &of.cross_validation.folds);
        let any: BTreeSet<usize> = results().map(|result| result.fold).collect();
        let whole: Vec<&OfSeed> =
            seeds.iter().filter(|of| of.cross_validation.folds.len() == any.len()).collect();
        let mean_of = |of: &dyn Fn(&Dice) -> Option<MeanSd>| -> Vec<f64> {
            let means = whole.iter().filter_map(|seed| of(&seed.cross_validation.over_folds));
            means.map(|of| of.mean).collect()
        };
        let over_seeds = Dice {
            count: whole.len(),
            per_class: (0..classes.len())
                .map(|class| spread(mean_of(&|dice| dice.per_class[class])))
                .collect(),
            mean_foreground: spread(mean_of(&|dice| dice.mean_foreground)),
        };
        let in_fold = |fold: usize| results().filter(move |result| result.fold == fold);
        let common: Vec<usize> =
            any.iter().copied().filter(|fold| in_fold(*fold).count() == seeds.len()).collect();
        let over_common = |of: &dyn Fn(&RunResult) -> Option<MeanSd>| {
            let mean = |fold| mean_sd(in_fold(fold).filter_map(of).map(|dice| dice.mean));
            spread(common.iter().filter_map(|fold| Some(mean(*fold)?.0)))
        };
        let over_folds = Dice {
            count: common.len(),
            per_class: (0..classes.len())
                .map(|class| over_common(&|result| result.dice.get(class).copied().flatten()))
                .collect(),
            mean_foreground: over_common(&|result| result.mean_dice),
        };
        let over_cases = Dice {
            count: cases.scored(),
            per_class: (0..classes.len()).map(|class| cases.class(class)).collect(),
            mean_foreground: cases.foreground(),
        };
        let of_cases: Vec<f64> =
            cases.cases.iter().filter_map(|case| case.mean(Metric::Dice)).collect();
        Some(Self {
            network: common_name(results().map(|result| result.network.as_str())),
            of,
            over_seeds,
            over_folds,
            over_cases,
            clean_up: CleanUp::of_all(cases),
            these_networks: Estimate::of(&of_cases),
            procedure: Estimate::of(&mean_of(&|dice| dice.mean_foreground)),
            parameters_m: spread(results().map(|result| result.parameters_m)),
            gflops: spread(results().map(|result| result.gflops)),
            seconds: results().map(|result| result.seconds).sum(),
            dataset,
            classes,
            seeds,
        })
    }

    /// Networks: complete folds of all seeds.
    pub fn networks(&self) -> usize {
        self.seeds.iter().map(|of| of.cross_validation.folds.len()).sum()
    }

    /// The folds that any seed has completed, and how many seeds, such as `0,1,2 × 3`.
    pub fn fold_list(&self) -> String {
        format!("{} × {}", self.folds(), self.seeds.len())
    }

    fn folds(&self) -> String {
        let folds = self.seeds.iter().flat_map(|of| &of.cross_validation.folds);
        let folds: BTreeSet<usize> = folds.map(|result| result.fold).collect();
        folds.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
    }

    /// Text tables of [`Self::rows`] and [`Self::estimates`].
    pub fn table(&self) -> String {
        format!("{}\n{}", aligned(&self.rows(), 1), aligned(&self.estimates(), 1))
    }

    /// A row a seed (mean ± SD over its folds) below a head, then mean ± SD over seeds, over folds
    /// and over cases.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let head = [
            vec!["seed", "folds"],
            self.classes.iter().map(String::as_str).collect(),
            vec!["mean", "M par.", "GFLOPs", "minutes"],
        ];
        let dice = |dice: &Dice| dice.values().map(mean_and_sd).collect();
        let minutes = |seconds: f64| format!("{:.1}", seconds / 60.0);
        let row = |first: [String; 2], of: &Dice, cost: Option<[String; 3]>| {
            let cost = cost.map(|cost| cost.to_vec()).unwrap_or_default();
            [first.to_vec(), dice(of), cost].concat()
        };
        let mut rows = vec![head.concat().into_iter().map(String::from).collect()];
        for OfSeed { seed, cross_validation: all } in &self.seeds {
            let folds = match all.folds.len() {
                count if count == self.of => count.to_string(),
                count => format!("{count} of {}", self.of),
            };
            let cost = [short(all.parameters_m), short(all.gflops), minutes(all.seconds)];
            rows.push(row([seed.to_string(), folds], &all.over_folds, Some(cost)));
        }
        let cost = [short(self.parameters_m), short(self.gflops), minutes(self.seconds)];
        let mut cost = Some(cost);
        for (name, of) in self.summaries() {
            rows.push(row([name.into(), of.count.to_string()], of, cost.take()));
        }
        rows
    }

    fn summaries(&self) -> [(&'static str, &Dice); 3] {
        [
            ("over seeds", &self.over_seeds),
            ("over folds", &self.over_folds),
            ("over cases", &self.over_cases),
        ]
    }

    /// Mean Dice of these networks, and of what made them, with standard errors, below a head.
    pub fn estimates(&self) -> Vec<Vec<String>> {
        let head = ["mean Dice", "mean ± SE", "of", "95 % interval"].map(String::from).to_vec();
        let row = |name: &str, noun: &str, estimate: &Option<Estimate>| {
            let Some(Estimate { mean, standard_error, degrees_of_freedom, interval_95 }) = estimate
            else {
                return vec![name.to_string(), "–".into()];
            };
            let [low, high] = interval_95;
            vec![
                name.into(),
                format!("{mean:.4} ± {standard_error:.4}"),
                format!("{} {noun}", degrees_of_freedom + 1),
                format!("{low:.4} to {high:.4}"),
            ]
        };
        vec![
            head,
            row(NETWORKS, "cases", &self.these_networks),
            row(PROCEDURES, "seeds", &self.procedure),
        ]
    }

    /// A line about the largest component of each class; empty where the evaluations do not say it.
    pub fn clean_up_text(&self) -> String {
        clean_up_text(&self.clean_up)
    }

    /// CSV: one line a seed and fold with the means over its cases, then mean and SD over seeds, over
    /// folds and over cases.
    pub fn csv(&self) -> String {
        let exact = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
        let head = [
            vec!["seed", "fold", "cases"],
            self.classes.iter().map(String::as_str).collect(),
            vec!["mean", "parameters_m", "gflops", "seconds"],
        ];
        let mut text = csv_line(&head.concat().into_iter().map(String::from).collect::<Vec<_>>());
        for OfSeed { seed, cross_validation } in &self.seeds {
            for r in &cross_validation.folds {
                let dice = r.dice.iter().copied().chain([r.mean_dice]);
                let dice = dice.map(|dice| exact(dice.map(|dice| dice.mean)));
                let first = [seed.to_string(), r.fold.to_string(), r.cases.to_string()];
                let cost = [r.parameters_m, r.gflops, r.seconds].map(|value| value.to_string());
                text += &csv_line(&first.into_iter().chain(dice).chain(cost).collect::<Vec<_>>());
            }
        }
        for (over, dice) in self.summaries() {
            for (what, of) in [("mean", (|v| v.mean) as fn(MeanSd) -> f64), ("SD", |v| v.sd)] {
                let cells = dice.values();
                let cells = cells.map(|value| exact(value.map(of)));
                let first = [format!("{what} {over}"), String::new(), dice.count.to_string()];
                let none = vec![String::new(); 3];
                text += &csv_line(&first.into_iter().chain(cells).chain(none).collect::<Vec<_>>());
            }
        }
        text
    }

    /// A LaTeX table (plain `tabular`): a row over seeds, one over folds, one over cases.
    pub fn tex(&self) -> String {
        let rows = self.summaries().map(|(over, dice)| {
            let noun = over.trim_start_matches("over ");
            let cost = (noun == "seeds").then_some([self.parameters_m, self.gflops]);
            let name = format!("{}, over {} {noun}", self.network, dice.count);
            tex::Row { name, dice: dice.values().collect(), cost }
        });
        let seeds: Vec<String> = self.seeds.iter().map(|of| of.seed.to_string()).collect();
        let (seeds, folds) = (seeds.join(","), self.folds());
        let comment = format!("{}, seeds {seeds}, folds {folds} of {}", self.dataset, self.of);
        tex::table(&comment, &self.classes, &rows)
    }
}

/// One name of all, without the seeds of random networks.
fn common_name<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let plain = |name: &'a str| if name.starts_with("random:") { "random" } else { name };
    let names: Vec<&str> = names.collect();
    let same = names.iter().all(|name| *name == names[0]);
    let of: BTreeSet<&str> =
        names.iter().map(|name| if same { *name } else { plain(name) }).collect();
    of.into_iter().collect::<Vec<_>>().join(", ")
}

/// The cases of all evaluations, each with its mean over those that have it; `None` of none.
pub fn mean_over_networks(evaluations: &[Evaluation]) -> Option<Evaluation> {
    let first = evaluations.first()?;
    let mut by_case: BTreeMap<&str, Vec<&CaseScore>> = BTreeMap::new();
    for case in evaluations.iter().flat_map(|evaluation| &evaluation.cases) {
        by_case.entry(&case.case).or_default().push(case);
    }
    let mean = |(name, scores): (&str, Vec<&CaseScore>)| {
        let of = |metric: Metric| {
            let known = |class| scores.iter().filter_map(move |case| case.get(metric, class));
            let class = |class| mean_sd(known(class)).map(|(mean, _)| mean);
            (metric, (0..first.classes.len()).map(class).collect())
        };
        CaseScore {
            case: name.into(),
            scores: scores[0].scores.keys().map(|metric| of(*metric)).collect(),
            reference_ml: scores[0].reference_ml.clone(),
        }
    };
    Some(Evaluation { cases: by_case.into_iter().map(mean).collect(), ..first.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fold whose cases have this Dice of the only class.
    fn fold(number: usize, network: &str, dice: &[f64]) -> (RunResult, Evaluation) {
        let mut evaluation = Evaluation::new(vec!["organ".into()], 1.0);
        evaluation.cases = dice
            .iter()
            .enumerate()
            .map(|(n, dice)| CaseScore {
                case: format!("c{number}{n}"),
                scores: BTreeMap::from([(Metric::Dice, vec![Some(*dice)])]),
                reference_ml: Vec::new(),
            })
            .collect();
        let result = RunResult {
            network: network.into(),
            dataset: "made up".into(),
            fold: number,
            seed: 0,
            parameters_m: 1.0,
            gflops: 2.0,
            cases: dice.len(),
            classes: evaluation.classes.clone(),
            dice: vec![evaluation.class(0)],
            mean_dice: evaluation.foreground(),
            seconds: 60.0,
            race: None,
            made_with: None,
        };
        (result, evaluation)
    }

    fn found(seeds: &[(u64, Vec<(RunResult, Evaluation)>)]) -> Seeds {
        let evaluations: Vec<Evaluation> =
            seeds.iter().flat_map(|(_, folds)| folds.iter().map(|(_, own)| own.clone())).collect();
        let of_seed = |(seed, folds): &(u64, Vec<_>)| {
            let cross_validation = CrossValidation::new(folds.clone(), 2).unwrap();
            OfSeed { seed: *seed, cross_validation }
        };
        let cases = mean_over_networks(&evaluations).unwrap();
        Seeds::new(seeds.iter().map(of_seed).collect(), &cases).unwrap()
    }

    fn whole() -> Seeds {
        found(&[
            (0, vec![fold(0, "a", &[0.5, 0.7]), fold(1, "a", &[0.9])]),
            (1, vec![fold(0, "a", &[0.6, 0.8]), fold(1, "a", &[0.8])]),
            (7, vec![fold(0, "a", &[0.4, 0.9]), fold(1, "a", &[1.0])]),
        ])
    }

    #[test]
    fn seeds_folds_and_cases_are_each_the_mean_of_what_they_are_not() {
        let all = whole();
        let close = |found: Option<MeanSd>, mean: f64, sd: f64| {
            let found = found.unwrap();
            assert!(
                (found.mean - mean).abs() < 1e-12 && (found.sd - sd).abs() < 1e-12,
                "{found:?}"
            );
        };
        // Means over folds of the three seeds: 0.75, 0.75, 0.825.
        let sd = (0.075_f64.powi(2) / 3.0).sqrt();
        close(all.over_seeds.mean_foreground, 0.775, sd);
        // Means over seeds of the two folds: 0.65 and 0.9.
        close(all.over_folds.per_class[0], 0.775, 0.25 / 2.0_f64.sqrt());
        // Means over seeds of the three cases: 0.5, 0.8, 0.9.
        close(all.over_cases.mean_foreground, 2.2 / 3.0, (0.26_f64 / 3.0 / 2.0).sqrt());
        assert_eq!((all.networks(), all.fold_list().as_str()), (6, "0,1 × 3"));
        assert_eq!((all.network.as_str(), all.seconds), ("a", 360.0));
    }

    #[test]
    fn these_networks_and_what_made_them_have_different_standard_errors() {
        let all = whole();
        let (networks, procedure) = (all.these_networks.unwrap(), all.procedure.unwrap());
        assert_eq!((networks.degrees_of_freedom, procedure.degrees_of_freedom), (2, 2));
        // The standard error over the three seeds' means is 0.025; t with two degrees of freedom.
        assert!((procedure.standard_error - 0.025).abs() < 1e-12);
        assert!((procedure.interval_95[1] - (0.775 + 4.302_652_7 * 0.025)).abs() < 1e-8);
        assert!((networks.standard_error - (0.26_f64 / 3.0 / 6.0).sqrt()).abs() < 1e-12);
        let text = all.table();
        assert!(text.contains("3 seeds") && text.contains("3 cases"), "{text}");
        // One seed says nothing of others.
        let alone = found(&[(0, vec![fold(0, "a", &[0.5, 0.7])])]);
        assert!(alone.procedure.is_none() && alone.these_networks.is_some());
        assert!(alone.table().contains("1 of 2"), "{}", alone.table());
    }

    #[test]
    fn seeds_that_lack_a_fold_are_not_averaged_with_those_that_have_it() {
        let all = found(&[
            (0, vec![fold(0, "random:0", &[0.5]), fold(1, "random:0", &[0.9])]),
            (1, vec![fold(1, "random:1", &[0.7])]),
        ]);
        assert_eq!((all.over_seeds.count, all.over_folds.count, all.over_cases.count), (1, 1, 2));
        assert!((all.over_seeds.mean_foreground.unwrap().mean - 0.7).abs() < 1e-12);
        assert!((all.over_folds.mean_foreground.unwrap().mean - 0.8).abs() < 1e-12);
        assert_eq!((all.network.as_str(), all.procedure), ("random", None));
    }

    #[test]
    fn every_form_of_the_table_has_all_seeds_and_three_means() {
        let all = whole();
        assert_eq!(aligned(&all.rows(), 1).lines().count(), 1 + 3 + 3);
        let csv = all.csv();
        assert_eq!(csv.lines().count(), 1 + 6 + 6);
        assert!(csv.lines().all(|line| line.split(',').count() == 8), "{csv}");
        let tex = all.tex();
        assert!(tex.contains("a, over 3 seeds & $0.7750 \\pm 0.0433$"), "{tex}");
        assert!(tex.lines().filter(|line| line.contains('&')).all(|l| l.matches('&').count() == 4));
    }
}
