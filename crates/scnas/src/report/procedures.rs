//! Is one procedure better than another? Networks are the sample: what a procedure gives with
//! another seed, on another fold, is another network.
//!
//! A network is known by its mean Dice over the cases it was scored on, and networks are compared
//! with those of the same cases (a fold). With a mean for each fold and a difference between the
//! procedures, least squares gives the difference and, from what is left over, its standard error.
//! With one network a side and fold this is the paired t-test over folds; with one fold, the t-test
//! of two samples.

use std::collections::BTreeMap;
use std::path::PathBuf;

use medvol::metrics::mean_sd;
use serde::Serialize;

use crate::error::Result;
use crate::report::finished::{Finished, networks};
use crate::report::statistics::{Paired, paired};
use crate::report::student::{two_sided, within_95};

/// One procedure minus another, networks being the sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Procedures {
    /// Networks on each side that share their cases with one of the other.
    pub networks: [usize; 2],
    /// Sets of cases: folds.
    pub folds: usize,
    /// Of mean Dice.
    pub difference: f64,
    /// Of the difference; `None` where there are too few networks to tell.
    pub error: Option<NetworkError>,
}

/// How far a difference may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NetworkError {
    /// Over networks.
    pub standard_error: f64,
    /// Of the standard error.
    pub degrees_of_freedom: usize,
    /// By Student's t.
    pub interval_95: [f64; 2],
    /// Two-sided, by Student's t; 0 where no two networks of a side differ.
    pub p: f64,
}

impl Procedures {
    /// Compares what networks reached, each with the set of cases it was scored on and its mean
    /// over them; `None` where the sides share no set.
    pub fn of<K: Ord>(sides: [&[(K, f64)]; 2]) -> Option<Self> {
        let mut folds: BTreeMap<&K, [Vec<f64>; 2]> = BTreeMap::new();
        for (side, networks) in sides.into_iter().enumerate() {
            for (cases, dice) in networks {
                folds.entry(cases).or_default()[side].push(*dice);
            }
        }
        folds.retain(|_, sides| sides.iter().all(|side| !side.is_empty()));
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        // How much a fold says: as much as pairs of so many networks.
        let weight = |[a, b]: &[Vec<f64>; 2]| {
            let [a, b] = [a, b].map(|side| side.len() as f64);
            a * b / (a + b)
        };
        let total: f64 = folds.values().map(weight).sum();
        let weighted = folds.values().map(|fold| weight(fold) * (mean(&fold[0]) - mean(&fold[1])));
        let difference = (total > 0.0).then(|| weighted.sum::<f64>() / total)?;

        let networks =
            [0, 1].map(|side: usize| folds.values().map(|fold| fold[side].len()).sum::<usize>());
        let left_over = |[a, b]: &[Vec<f64>; 2]| {
            let level: Vec<f64> = a.iter().map(|dice| dice - difference).chain(b.clone()).collect();
            let mean = mean(&level);
            level.iter().map(|dice| (dice - mean).powi(2)).sum::<f64>()
        };
        let squares: f64 = folds.values().map(left_over).sum();
        let degrees = (networks[0] + networks[1]).saturating_sub(folds.len() + 1);
        let error = (degrees > 0).then(|| {
            let standard_error = (squares / degrees as f64 / total).sqrt();
            let df = degrees as f64;
            let half = within_95(df) * standard_error;
            let p = match (standard_error, difference) {
                (0.0, 0.0) => 1.0,
                (0.0, _) => 0.0,
                _ => two_sided(difference / standard_error, df),
            };
            let interval_95 = [difference - half, difference + half];
            NetworkError { standard_error, degrees_of_freedom: degrees, interval_95, p }
        });
        Some(Self { networks, folds: folds.len(), difference, error })
    }
}

/// One group of runs against another.
#[derive(Clone, Debug, Serialize)]
pub struct Groups {
    /// These very networks: the mean of a side's Dice of each case, case by case. `None` where
    /// they share no case.
    pub these_networks: Option<Paired>,
    /// What made them. `None` where they share no set of cases.
    pub procedures: Option<Procedures>,
}

impl Groups {
    /// Reads two groups of folders of runs and cross-validations, whose folds are runs of their
    /// own, and CSV files of evaluations.
    ///
    /// # Errors
    /// Those of [`Finished::read`].
    pub fn read(sides: [&[PathBuf]; 2]) -> Result<Self> {
        let [a, b] = sides.map(|paths| -> Result<Vec<Finished>> {
            Ok(paths.iter().map(|path| networks(path)).collect::<Result<Vec<_>>>()?.concat())
        });
        Ok(Self::of([&a?, &b?]))
    }

    /// Compares two groups of networks.
    pub fn of(sides: [&[Finished]; 2]) -> Self {
        let [a, b] = sides.map(by_case);
        let differences: Vec<f64> =
            a.iter().filter_map(|(case, dice)| Some(dice - b.get(case)?)).collect();
        let known = sides.map(|networks| networks.iter().filter_map(level).collect::<Vec<_>>());
        Self {
            these_networks: paired(&differences),
            procedures: Procedures::of([&known[0], &known[1]]),
        }
    }
}

/// A data set's cases, and the mean Dice over them; `None` of none.
fn level(network: &Finished) -> Option<((String, Vec<&str>), f64)> {
    let (mean, _) = mean_sd(network.dice.values().copied())?;
    let cases = network.dice.keys().map(String::as_str).collect();
    Some(((network.dataset().to_string(), cases), mean))
}

/// The mean over networks of the Dice of each case of a data set.
fn by_case(networks: &[Finished]) -> BTreeMap<(String, String), f64> {
    let mut all: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    for network in networks {
        for (case, dice) in &network.dice {
            let case = (network.dataset().to_string(), case.clone());
            all.entry(case).or_default().push(*dice);
        }
    }
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    all.into_iter().map(|(case, values)| (case, mean(values))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::statistics::standard_error;

    #[test]
    fn one_network_a_fold_and_side_is_the_paired_test_over_folds() {
        let (a, b) = ([0.90, 0.88, 0.89, 0.91, 0.87], [0.89, 0.88, 0.87, 0.90, 0.86]);
        let side = |of: &[f64]| of.iter().copied().enumerate().collect::<Vec<_>>();
        let found = Procedures::of([&side(&a), &side(&b)]).unwrap();
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let error = found.error.unwrap();
        assert_eq!((found.networks, found.folds, error.degrees_of_freedom), ([5, 5], 5, 4));
        assert!((found.difference - 0.01).abs() < 1e-12);
        assert!((error.standard_error - standard_error(&differences).unwrap()).abs() < 1e-12);
        // t = √10 with 4 degrees of freedom, by the closed form.
        assert!((error.p - 0.034_109_42).abs() < 1e-7, "{}", error.p);
        assert!((error.interval_95[0] - (0.01 - 2.776_445 * error.standard_error)).abs() < 1e-7);
    }

    #[test]
    fn several_networks_on_one_fold_are_the_test_of_two_samples() {
        let side = |of: &[f64]| of.iter().map(|&dice| ((), dice)).collect::<Vec<_>>();
        let found =
            Procedures::of([&side(&[0.90, 0.88, 0.89]), &side(&[0.87, 0.85, 0.88, 0.86])]).unwrap();
        let error = found.error.unwrap();
        // By hand; p by the closed form for 5 degrees of freedom.
        assert!((found.difference - 0.025).abs() < 1e-12);
        assert_eq!(error.degrees_of_freedom, 5);
        assert!((found.difference / error.standard_error - 2.766_417).abs() < 1e-5, "{error:?}");
        assert!((error.p - 0.039_532_80).abs() < 1e-7, "{error:?}");
        // One against several: the spread is that of the several.
        let alone = Procedures::of([&side(&[0.90]), &side(&[0.87, 0.85, 0.88, 0.86])]).unwrap();
        let several = standard_error(&[0.87, 0.85, 0.88, 0.86]).unwrap() * 2.0;
        let error = alone.error.unwrap().standard_error;
        assert!((error - several * 1.25_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn one_network_a_side_says_nothing_of_procedures_and_other_cases_nothing_at_all() {
        let found = Procedures::of([&[(0, 0.9)], &[(0, 0.8)]]).unwrap();
        assert_eq!((found.error, found.folds), (None, 1));
        assert_eq!(Procedures::of([&[(0, 0.9)], &[(1, 0.8)]]), None);
        let same = Procedures::of([&[(0, 0.5), (1, 0.5)], &[(0, 0.5), (1, 0.5)]]).unwrap();
        assert_eq!((same.difference, same.error.unwrap().p), (0.0, 1.0));
    }

    #[test]
    fn what_all_networks_of_a_fold_share_does_not_matter() {
        let side = |shift: f64, of: &[(u8, f64)]| {
            of.iter().map(|&(f, d)| (f, d + shift * f64::from(f))).collect::<Vec<_>>()
        };
        let (a, b) = ([(0, 0.8), (0, 0.9), (1, 0.7)], [(0, 0.6), (1, 0.5), (1, 0.65)]);
        let of = |shift| Procedures::of([&side(shift, &a), &side(shift, &b)]).unwrap();
        let (plain, shifted) = (of(0.0), of(0.125));
        assert!((plain.difference - shifted.difference).abs() < 1e-12);
        let error = |found: &Procedures| found.error.unwrap().standard_error;
        assert!((error(&plain) - error(&shifted)).abs() < 1e-12);
    }
}
