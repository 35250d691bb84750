//! `[search]`: the bi-level search (paper Algorithm 1).

use serde::{Deserialize, Serialize};

use crate::error::{Expected, Result};
use crate::learn::loss::LossTerms;
use crate::learn::optimiser::AdamConfig;
use crate::learn::relaxation::Relaxation;
use crate::learn::schedule::Schedule;
use crate::settings::{DecideConfig, check, check_adam, check_clip, limit};

/// The bi-level search (paper Algorithm 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// How a network is found.
    #[serde(default)]
    pub strategy: Strategy,
    /// How the architecture is made differentiable.
    pub relaxation: Relaxation,
    /// Epochs; one patch per case of each half an epoch (paper: 400).
    pub epochs: usize,
    /// Epochs at the start that train Θ only.
    pub warmup_epochs: usize,
    /// Temperature τ at the first and last epoch.
    pub tau: [f64; 2],
    /// How τ falls between them.
    pub tau_schedule: TauSchedule,
    /// Draw a new architecture for the α step instead of using the Θ step's.
    pub resample_for_alpha: bool,
    /// Adam for Θ.
    pub weights: AdamConfig,
    /// Adam for α.
    pub alpha: AdamConfig,
    /// Learning rates over the epochs.
    pub schedule: Schedule,
    /// Patches per step (paper: 1).
    pub batch: usize,
    /// Vary the patches of both halves as `[augment]` says.
    #[serde(default)]
    pub augment: bool,
    /// Loss of both levels.
    pub loss: LossTerms,
    /// Gradients of Θ with a larger global norm are scaled down to it; 0: never.
    pub clip: f64,
    /// Where the found network's weights come from.
    pub then: Then,
    /// Drop operations when they are shown to be worse, instead of learning α.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide: Option<DecideConfig>,
}

/// How a network is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Weights and architecture are learnt together (paper).
    #[default]
    BiLevel,
    /// Candidates are trained side by side, the better ones longer (`[race]`).
    Race,
}

impl Strategy {
    /// As settings call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BiLevel => "bi-level",
            Self::Race => "race",
        }
    }
}

/// Where the weights of the found network come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// As the search left them (paper).
    Inherit,
    /// Inherited, then trained on with all training data.
    #[default]
    Finetune,
    /// Trained from scratch with all training data.
    Retrain,
}

/// How τ goes from its first to its last value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TauSchedule {
    /// By the same factor from epoch to epoch.
    #[default]
    Exponential,
    /// By the same difference from epoch to epoch.
    Linear,
    /// Not at all: it keeps its first value.
    Constant,
}

impl SearchConfig {
    /// Temperature in `epoch`.
    pub fn tau_at(&self, epoch: usize) -> f64 {
        let [first, last] = self.tau;
        let progress = if self.epochs > 1 { epoch as f64 / (self.epochs - 1) as f64 } else { 0.0 };
        match self.tau_schedule {
            TauSchedule::Exponential => first * (last / first).powf(progress),
            TauSchedule::Linear => first + (last - first) * progress,
            TauSchedule::Constant => first,
        }
    }

    /// The limit of the norm of Θ's gradients, if there is one.
    pub fn clip(&self) -> Option<f64> {
        limit(self.clip)
    }

    /// Refuses a search that would choose nothing: α stays as it began during the warm-up, and what
    /// comes out is the architecture of the seed.
    pub(super) fn refuse_in_vain(&self) -> Result<()> {
        let Self { epochs, warmup_epochs, strategy, .. } = *self;
        let settling = self.decide.map_or(0, |decide| decide.settling_epochs(epochs));
        check(
            warmup_epochs + settling < epochs || strategy != Strategy::BiLevel,
            "search.warmup_epochs",
            Expected::FewerThanEpochs { epochs, settling },
            warmup_epochs,
        )
    }

    /// Refuses what cannot be.
    pub(super) fn check(&self) -> Result<()> {
        check(self.epochs > 0, "search.epochs", "1 or more", self.epochs)?;
        let positive = self.tau.iter().all(|&tau| tau.is_finite() && tau > 0.0);
        check(positive, "search.tau", "two positive numbers", format!("{:?}", self.tau))?;
        check(self.batch > 0, "search.batch", "1 or more", self.batch)?;
        check_adam("search.weights", self.weights)?;
        check_adam("search.alpha", self.alpha)?;
        check_clip("search.clip", self.clip)?;
        let Some(decide) = self.decide else { return Ok(()) };
        let found = format!("{:?} with search.decide", self.relaxation.name());
        check(self.relaxation == Relaxation::Scnas, "search.relaxation", "\"scnas\"", found)?;
        decide.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Config;

    #[test]
    fn a_search_that_ends_with_its_warm_up_is_refused() {
        let mut search =
            Config::load("default", None, &["search.strategy=bi-level".into()]).unwrap().search;
        for (epochs, fine) in [(1, false), (3, false), (4, true)] {
            search.epochs = epochs;
            let found = search.refuse_in_vain().map_err(|error| error.to_string());
            assert_eq!(found.is_ok(), fine, "{epochs} epochs: {found:?}");
            assert!(found.err().is_none_or(|text| text.contains("search.warmup_epochs")));
        }
    }

    #[test]
    fn a_deciding_search_needs_epochs_between_warm_up_and_settling() {
        let load = |line: &str| {
            let lines = [
                "search.strategy=bi-level",
                "search.decide={ settle = 0.5 }",
                "search.warmup_epochs=3",
                line,
            ];
            Config::load("default", None, &lines.map(String::from)).map(|config| config.search)
        };
        for (epochs, fine) in [(6, false), (7, false), (8, true)] {
            let found = load(&format!("search.epochs={epochs}")).unwrap().refuse_in_vain();
            assert_eq!(found.is_ok(), fine, "{epochs} epochs: {found:?}");
            let text = found.err().map(|error| error.to_string());
            assert!(text.is_none_or(|text| text.contains("search.decide.settle")));
        }
        for line in [
            "search.decide.patches=0",
            "search.decide.errors=0",
            "search.decide.settle=1.0",
            "search.decide.epochs=3",
            "search.relaxation=full",
        ] {
            let key = line.split(['=', '.']).nth(1).unwrap();
            let error = load(line).unwrap_err().to_string();
            assert!(error.contains(key) || error.contains("epochs"), "{line}: {error}");
        }
    }

    #[test]
    fn tau_goes_from_its_first_to_its_last_value() {
        let mut search = Config::load("default", None, &[]).unwrap().search;
        search.epochs = 11;
        for schedule in [TauSchedule::Exponential, TauSchedule::Linear] {
            search.tau_schedule = schedule;
            assert!((search.tau_at(0) - search.tau[0]).abs() < 1e-12);
            assert!((search.tau_at(10) - search.tau[1]).abs() < 1e-12);
            assert!((1..11).all(|e| search.tau_at(e) < search.tau_at(e - 1)));
        }
    }
}
