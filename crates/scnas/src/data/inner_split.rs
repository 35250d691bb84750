//! A split of a run's training cases: those that candidates are trained on, and those that judge
//! them. The held-out fold takes no part.

use medvol::CaseFiles;
use rand::seq::SliceRandom as _;

use crate::data::cohort::Cohort;
use crate::data::plan::{Plan, by_subject};
use crate::error::{CasesFault, Result};
use crate::random::{Stream, rng};

/// Cases that judge, at least: of one alone no spread is known.
const JUDGES: usize = 2;

/// Cases that are trained on, at least.
const TRAINED: usize = 2;

impl Plan {
    /// This plan for the training cases alone: about this `share` of them, all cases of a subject
    /// together, is held out of the others. The same for the same `seed` and fold.
    ///
    /// # Errors
    /// [`CasesFault::TooFewToJudge`].
    pub fn inner(&self, cohort: &Cohort, share: f64, seed: u64) -> Result<Self> {
        let names = self.training_names();
        let cases: Vec<&CaseFiles> =
            cohort.labelled().filter(|case| names.contains(case.name.as_str())).collect();
        let mut groups = by_subject(&cases);
        groups.shuffle(&mut rng(seed, Stream::InnerSplit, self.fold as u64));
        let wanted = ((share * names.len() as f64).round() as usize).max(JUDGES);
        let (mut training, mut judges) = (Vec::new(), Vec::new());
        for group in groups {
            let side = if judges.len() < wanted { &mut judges } else { &mut training };
            side.extend(group);
        }
        if training.len() < TRAINED {
            let (path, found) = (cohort.dataset.root.clone(), names.len());
            let (needed, validation) = (JUDGES + TRAINED, share);
            return Err(CasesFault::TooFewToJudge { path, found, needed, validation }.into());
        }
        training.sort();
        judges.sort();
        Ok(Self { training: Some(training), folds: vec![judges], fold: 0, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use medvol::phantom::{PhantomTask, write_task};

    use super::*;
    use crate::error::Error;
    use crate::settings::Config;

    fn plans(cases: usize, fold: usize) -> (Cohort, Plan) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        write_task(&data, &PhantomTask { seed: 5, cases, test_cases: 0, coarseness: 4.0 }).unwrap();
        let cohort = Cohort::open(&data).unwrap();
        let overrides = ["data.folds=3".to_string(), format!("data.fold={fold}")];
        let plan = Plan::new(&cohort, &Config::load("default", None, &overrides).unwrap()).unwrap();
        (cohort, plan)
    }

    #[test]
    fn judges_are_training_cases_that_are_not_trained_on_and_nobody_who_is_held_out_takes_part() {
        let (cohort, plan) = plans(12, 1);
        let inner = plan.inner(&cohort, 0.25, 0).unwrap();
        let (training, judges) = (inner.training_names(), inner.held_out());
        assert_eq!((training.len(), judges.len()), (6, 2));
        let all: BTreeSet<&str> =
            training.iter().copied().chain(judges.iter().map(String::as_str)).collect();
        assert_eq!(all, plan.training_names());
        assert!(plan.held_out().iter().all(|name| !all.contains(name.as_str())));
        assert_eq!(inner, plan.inner(&cohort, 0.25, 0).unwrap());
        assert!((1..9).any(|seed| inner != plan.inner(&cohort, 0.25, seed).unwrap()));
    }

    #[test]
    fn two_cases_judge_and_two_are_trained_on_or_there_is_no_race() {
        let (cohort, plan) = plans(6, 0);
        for share in [0.01, 0.5] {
            let inner = plan.inner(&cohort, share, 0).unwrap();
            assert_eq!((inner.training_names().len(), inner.held_out().len()), (2, 2));
        }
        let refused = plan.inner(&cohort, 0.7, 0);
        assert!(matches!(
            refused,
            Err(Error::Cases(CasesFault::TooFewToJudge { found: 4, needed: 4, .. }))
        ));
    }
}
