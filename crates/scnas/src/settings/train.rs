//! `[train]`: training of a fixed architecture.

use serde::{Deserialize, Serialize};

use crate::error::{Expected, Result};
use crate::learn::loss::LossTerms;
use crate::learn::optimiser::AdamConfig;
use crate::learn::schedule::Schedule;
use crate::settings::{check, check_adam, check_clip, limit};

/// Training of a fixed architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Epochs.
    pub epochs: usize,
    /// Fewest patches of an epoch, each training case giving equally many; 1: one a case (paper).
    #[serde(default = "one_a_case")]
    pub patches: usize,
    /// Adam for Θ.
    pub weights: AdamConfig,
    /// Learning rate over the epochs.
    pub schedule: Schedule,
    /// Patches per step.
    pub batch: usize,
    /// Vary the patches as `[augment]` says.
    #[serde(default)]
    pub augment: bool,
    /// Epochs at the start over which the learning rate rises from 0; the schedule's factor is
    /// applied on top.
    #[serde(default)]
    pub warmup_epochs: usize,
    /// Loss.
    pub loss: LossTerms,
    /// Weight of the cross-entropy against what teachers say, where there are any, beside the loss.
    #[serde(default = "one")]
    pub distill: f64,
    /// Train also by logits from the decoder's outputs at 1/2 and 1/4 of the size (networks of
    /// cells only).
    #[serde(default)]
    pub deep_supervision: bool,
    /// Probability with which a step leaves out an operation of an edge, identities apart
    /// (networks of cells only).
    #[serde(default)]
    pub drop_path: f64,
    /// Gradients with a larger global norm are scaled down to it; 0: never.
    pub clip: f64,
    /// Decay of a moving average of the weights, which is what is validated and saved; 0: the
    /// weights themselves.
    #[serde(default)]
    pub ema: f64,
    /// Validate on the held-out fold every this many epochs (and after the last); 0: only after
    /// the last.
    pub validate_every: usize,
}

fn one_a_case() -> usize {
    1
}

fn one() -> f64 {
    1.0
}

impl TrainConfig {
    /// Patches that each of so many training cases gives in an epoch.
    pub fn rounds(&self, cases: usize) -> usize {
        self.patches.div_ceil(cases.max(1))
    }

    /// The limit of the norm of gradients, if there is one.
    pub fn clip(&self) -> Option<f64> {
        limit(self.clip)
    }

    /// Refuses what cannot be.
    pub(super) fn check(&self) -> Result<()> {
        check(self.batch > 0, "train.batch", "1 or more", self.batch)?;
        check(self.epochs > 0, "train.epochs", "1 or more", self.epochs)?;
        check(self.patches > 0, "train.patches", "1 or more", self.patches)?;
        check(
            self.warmup_epochs < self.epochs,
            "train.warmup_epochs",
            Expected::FewerThanTrained { epochs: self.epochs },
            self.warmup_epochs,
        )?;
        check_adam("train.weights", self.weights)?;
        check_clip("train.clip", self.clip)?;
        let possible = self.distill.is_finite() && self.distill >= 0.0;
        check(possible, "train.distill", "0 (off) or a positive number", self.distill)?;
        for (key, share) in [("train.ema", self.ema), ("train.drop_path", self.drop_path)] {
            check((0.0..1.0).contains(&share), key, "0 (off) to less than 1", share)?;
        }
        Ok(())
    }
}
