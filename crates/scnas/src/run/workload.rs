//! How much a run has to do, and how long that takes where the time of its steps is known.

use medvol::CaseFiles;
use medvol::stitch::windows;
use serde::Serialize;

use crate::data::cohort::Cohort;
use crate::data::patches::halves;
use crate::data::plan::Plan;
use crate::error::Result;
use crate::run::course::Course;
use crate::settings::Config;

/// How much there is to do on a data set, from the headers of its images: what cropping will save
/// is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Workload {
    /// Cases to search and train with.
    pub training_cases: usize,
    /// Cases to validate and score.
    pub held_out_cases: usize,
    /// Search iterations of an epoch.
    pub search_steps: usize,
    /// Training steps of an epoch.
    pub train_steps: usize,
    /// Patches to predict in a validation.
    pub windows: usize,
    /// All preprocessed cases, should memory hold them.
    pub cases_mib: f64,
}

/// What a run would take, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// An epoch of the search, validation included.
    pub search_epoch_s: f64,
    /// The whole search.
    pub search_s: f64,
    /// A mean epoch of training, validations included.
    pub train_epoch_s: f64,
    /// The whole training.
    pub train_s: f64,
    /// Scoring the held-out cases at the end, each window once: mirrorings, which depend on the
    /// cases, multiply it by up to eight.
    pub scoring_s: f64,
}

impl Workload {
    /// The workload of a run on a data set.
    ///
    /// # Errors
    /// A data set that has lost a case since the plan was made.
    pub fn of(cohort: &Cohort, plan: &Plan, config: &Config) -> Result<Self> {
        let (training, held_out) = plan.split(&cohort.dataset)?;
        let shape = |case: &CaseFiles| -> Result<[usize; 3]> {
            let extents = cohort.header(case)?.resampled(plan.spacing);
            Ok(extents.map(|extent| extent.round().max(1.0) as usize))
        };
        let bytes_per_voxel = 4 * plan.channels.len() + 1;
        let (mut voxels, mut patches) = (0, 0);
        for case in &training {
            voxels += shape(case)?.iter().product::<usize>();
        }
        for case in &held_out {
            let shape = shape(case)?;
            voxels += shape.iter().product::<usize>();
            patches += windows(shape, plan.patch, config.predict.overlap).len();
        }
        let (for_weights, _) = halves(training.len(), config.seed, plan.fold);
        Ok(Self {
            training_cases: training.len(),
            held_out_cases: held_out.len(),
            search_steps: Course::of_search(&config.search, for_weights.len()).before(1),
            train_steps: Course::of_training(&config.train, training.len()).before(1),
            windows: patches,
            cases_mib: (voxels * bytes_per_voxel) as f64 / f64::from(1 << 20),
        })
    }

    /// Time of a run whose steps take these seconds: an iteration of the search, a training step,
    /// the prediction of a patch. Epochs of warm-up, which have no α steps, count as full ones.
    pub fn estimate(
        &self,
        config: &Config,
        iteration: f64,
        train_step: f64,
        prediction: f64,
    ) -> Estimate {
        let validation = self.windows as f64 * prediction;
        let search_epoch_s = self.search_steps as f64 * iteration + validation;
        let epochs = config.train.epochs;
        let validations = Course::of_training(&config.train, self.training_cases).validations();
        let train_s =
            (epochs * self.train_steps) as f64 * train_step + validations as f64 * validation;
        Estimate {
            search_epoch_s,
            search_s: config.search.epochs as f64 * search_epoch_s,
            train_epoch_s: train_s / epochs as f64,
            train_s,
            scoring_s: validation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_adds_up_the_steps_and_validations_of_every_epoch() {
        let overrides =
            ["search.epochs=10", "train.epochs=7", "train.validate_every=3"].map(String::from);
        let mut config = Config::load("default", None, &overrides).unwrap();
        let workload = Workload {
            training_cases: 8,
            held_out_cases: 2,
            search_steps: 4,
            train_steps: 8,
            windows: 5,
            cases_mib: 1.0,
        };
        let e = workload.estimate(&config, 10.0, 2.0, 1.0);
        assert_eq!((e.search_epoch_s, e.search_s, e.scoring_s), (45.0, 450.0, 5.0));
        // After epochs 3, 6 and 7.
        assert_eq!((e.train_s, e.train_epoch_s), (7.0 * 16.0 + 3.0 * 5.0, 127.0 / 7.0));
        config.train.validate_every = 0;
        assert_eq!(workload.estimate(&config, 10.0, 2.0, 1.0).train_s, 7.0 * 16.0 + 5.0);
    }
}
