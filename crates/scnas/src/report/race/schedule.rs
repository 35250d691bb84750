//! Who goes on from a rung, and who wins: pure functions of the scores (successive halving; Jamieson
//! & Talwalkar 2016).
//!
//! Two rules keep it honest. The prior, a design that is known to be good, is left only for what is
//! better by more than two standard errors; so it runs to the end. And at least one candidate of
//! each family does, too: families differ in how fast they learn, and what leads after a few epochs
//! need not lead at the end.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::report::race::entrants::Family;
use crate::report::statistics::standard_error;

/// Standard errors by which a candidate must be better than the prior to take its place.
pub const ERRORS: f64 = 2.0;

/// A candidate in a rung; those of a rung are in the order of the candidates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Runner {
    /// What it is a kind of.
    pub family: Family,
    /// Mean Dice of the cases that judge; `None` where its training diverged.
    pub dice: Option<f64>,
    /// Multiply-adds of a patch. Seconds would tell more, but not the same every time.
    pub cost: u64,
}

impl Runner {
    /// The better one first, of equal ones the cheaper one.
    fn rank(&self, other: &Self) -> Ordering {
        let dice = |runner: &Self| runner.dice.unwrap_or(f64::NEG_INFINITY);
        dice(other).total_cmp(&dice(self)).then(self.cost.cmp(&other.cost))
    }
}

/// The places of those that go on, in their order: the first that did not diverge, which is the
/// prior; the best of each family that has no member yet; and the best of all others, until this
/// share of all goes on.
pub fn survivors(runners: &[Runner], keep: f64) -> Vec<usize> {
    let mut ranked: Vec<usize> =
        (0..runners.len()).filter(|&place| runners[place].dice.is_some()).collect();
    let prior = ranked.first().copied();
    ranked.sort_by(|&a, &b| runners[a].rank(&runners[b]));
    let wanted = (keep * runners.len() as f64).ceil() as usize;
    let mut chosen = BTreeSet::new();
    let mut families = BTreeSet::new();
    for &place in prior.iter().chain(&ranked) {
        if families.insert(runners[place].family) {
            chosen.insert(place);
        }
    }
    for place in ranked {
        if chosen.len() >= wanted {
            break;
        }
        chosen.insert(place);
    }
    chosen.into_iter().collect()
}

/// The most candidates that can go on of so many, whatever they reach.
pub fn most_survivors(runners: usize, keep: f64) -> usize {
    let wanted = (keep * runners as f64).ceil() as usize;
    wanted.max(Family::ALL.len()).min(runners)
}

/// How much better one is than another, over the cases that judged both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Mean over the cases; positive where it is better.
    pub mean: f64,
    /// Standard error of the mean, over cases.
    pub standard_error: Option<f64>,
    /// Cases that judged both.
    pub cases: usize,
}

impl Difference {
    /// Of scores by case; `None` where they share no case.
    pub fn of(scores: &BTreeMap<String, f64>, others: &BTreeMap<String, f64>) -> Option<Self> {
        let differences: Vec<f64> =
            scores.iter().filter_map(|(case, dice)| Some(dice - others.get(case)?)).collect();
        let cases = differences.len();
        let mean = differences.iter().sum::<f64>() / cases as f64;
        (cases > 0).then(|| Self { mean, standard_error: standard_error(&differences), cases })
    }

    /// Whether it is more than chance makes of equals.
    pub fn shows(&self) -> bool {
        self.standard_error.is_some_and(|error| self.mean > ERRORS * error)
    }
}

/// The place of the winner among the finalists, whose first is the prior, and the place of the one
/// that comes closest to beating it, or beats it by most: the winner, if it is not the prior.
/// `others` has the cost and the difference from the prior of each finalist but the prior.
pub fn winner(others: &[(u64, Option<Difference>)]) -> (usize, Option<usize>) {
    let better = |shown: bool| {
        let candidates = others.iter().enumerate().filter_map(|(place, (cost, difference))| {
            let difference = difference.as_ref().filter(|d| !shown || d.shows())?;
            Some((place + 1, *cost, difference.mean))
        });
        let best = candidates.reduce(|best, next| {
            let ahead = next.2.total_cmp(&best.2).then(best.1.cmp(&next.1));
            if ahead == Ordering::Greater { next } else { best }
        });
        best.map(|(place, ..)| place)
    };
    match better(true) {
        Some(winner) => (winner, Some(winner)),
        None => (0, better(false)),
    }
}

/// Which points no other is better than: none as fast or faster has as high a Dice or a higher one,
/// unless it is the same in both.
pub fn front(points: &[(f64, f64)]) -> Vec<bool> {
    let beats = |a: &(f64, f64), b: &(f64, f64)| a.0 <= b.0 && a.1 >= b.1 && a != b;
    points.iter().map(|point| !points.iter().any(|other| beats(other, point))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn runners() -> impl Strategy<Value = Vec<Runner>> {
        // Few values, so that there are ties; one in six diverged.
        let runner = (0..4_usize, 0..6_u32, 1..4_u64).prop_map(|(family, dice, cost)| Runner {
            family: Family::ALL[family],
            dice: (dice > 0).then(|| f64::from(dice) / 10.0),
            cost,
        });
        proptest::collection::vec(runner, 1..12)
    }

    proptest! {
        #[test]
        fn the_prior_and_one_of_each_family_go_on_and_the_rest_by_rank(
            runners in runners(), keep in 0.05..0.95_f64
        ) {
            let kept = survivors(&runners, keep);
            prop_assert!(kept.is_sorted_by(|a, b| a < b));
            let running: Vec<usize> =
                (0..runners.len()).filter(|&n| runners[n].dice.is_some()).collect();
            prop_assert!(kept.iter().all(|n| running.contains(n)));
            prop_assert!(running.first().is_none_or(|prior| kept.contains(prior)));
            for family in Family::ALL {
                let of = |of: &[usize]| of.iter().any(|&n| runners[n].family == family);
                prop_assert_eq!(of(&running), of(&kept));
            }
            let families: BTreeSet<Family> = running.iter().map(|&n| runners[n].family).collect();
            let wanted = (keep * runners.len() as f64).ceil() as usize;
            prop_assert_eq!(kept.len(), wanted.max(families.len()).min(running.len()));
            prop_assert!(kept.len() <= most_survivors(runners.len(), keep));

            // Who is left behind is no better than anyone kept that is neither the prior nor the
            // only one of its family.
            for &out in running.iter().filter(|n| !kept.contains(n)) {
                for &n in kept.iter().skip(1) {
                    let alone =
                        kept.iter().filter(|&&k| runners[k].family == runners[n].family).count() == 1;
                    prop_assert!(alone || runners[n].rank(&runners[out]) != Ordering::Greater);
                }
            }
            // A kept one is the best of its family, unless the family has the prior.
            for &n in &kept {
                let prior = running[0];
                let best = running
                    .iter()
                    .filter(|&&m| runners[m].family == runners[n].family)
                    .all(|&m| runners[n].rank(&runners[m]) != Ordering::Greater);
                let alone =
                    kept.iter().filter(|&&k| runners[k].family == runners[n].family).count() == 1;
                prop_assert!(!alone || best || runners[prior].family == runners[n].family);
            }
        }
    }

    fn runner(family: Family, dice: f64, cost: u64) -> Runner {
        Runner { family, dice: Some(dice), cost }
    }

    #[test]
    fn half_go_on_and_of_equals_the_cheaper_one() {
        let of = |dice, cost| runner(Family::UResNet, dice, cost);
        let runners = [of(0.1, 1), of(0.8, 9), of(0.7, 3), of(0.8, 2)];
        assert_eq!(survivors(&runners, 0.5), [0, 3]);
        assert_eq!(survivors(&runners, 0.75), [0, 1, 3]);
    }

    fn difference(mean: f64, standard_error: f64) -> Option<Difference> {
        Some(Difference { mean, standard_error: Some(standard_error), cases: 20 })
    }

    #[test]
    fn the_prior_is_left_only_beyond_two_standard_errors() {
        for (others, expected) in [
            (vec![], (0, None)),
            (vec![(1, difference(0.02, 0.010_001))], (0, Some(1))),
            (vec![(1, difference(0.02, 0.009_999))], (1, Some(1))),
            // The largest difference is not shown, a smaller one is.
            (vec![(1, difference(0.03, 0.02)), (1, difference(0.01, 0.001))], (2, Some(2))),
            // Of equals the cheaper one.
            (vec![(2, difference(0.01, 0.001)), (1, difference(0.01, 0.001))], (2, Some(2))),
            (vec![(1, difference(-0.03, 0.0)), (1, difference(-0.01, 0.001))], (0, Some(2))),
            // A single case says nothing of its error; one that diverged has no difference.
            (
                vec![(1, Some(Difference { mean: 0.5, standard_error: None, cases: 1 }))],
                (0, Some(1)),
            ),
            (vec![(1, None)], (0, None)),
        ] {
            assert_eq!(winner(&others), expected, "{others:?}");
        }
    }

    #[test]
    fn a_difference_is_that_of_the_cases_both_have() {
        let scores = |of: &[(&str, f64)]| of.iter().map(|(n, d)| (n.to_string(), *d)).collect();
        let (a, b) = (
            scores(&[("x", 0.5), ("y", 0.75), ("z", 0.0)]),
            scores(&[("x", 0.25), ("y", 0.25), ("w", 1.0)]),
        );
        let found = Difference::of(&a, &b).unwrap();
        assert_eq!((found.mean, found.cases), (0.375, 2));
        // SD of 0.25 and 0.5, over the root of two.
        assert!((found.standard_error.unwrap() - 0.125).abs() < 1e-12);
        assert_eq!(Difference::of(&a, &scores(&[])), None);
    }

    #[test]
    fn the_front_has_what_is_faster_or_better_than_all_others() {
        let points = [(1.0, 0.5), (2.0, 0.8), (3.0, 0.7), (2.0, 0.8), (4.0, 0.9), (4.0, 0.6)];
        assert_eq!(front(&points), [true, true, false, true, true, false]);
    }
}
