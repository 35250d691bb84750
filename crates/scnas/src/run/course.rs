//! How long a phase is, and how its learning rate goes.

use crate::learn::schedule::Schedule;
use crate::settings::{SearchConfig, TrainConfig};

/// How long a phase is, and how its learning rate goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// How many there are.
    pub epochs: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Epochs at the start over which the learning rate rises.
    pub warmup_epochs: usize,
    /// Of the learning rate, on top of the warm-up.
    pub schedule: Schedule,
    /// Learning rate of Θ before warm-up and schedule.
    pub lr: f64,
    /// Whether patches are varied.
    pub augment: bool,
    /// Epochs between two validations; 0: only after the last epoch.
    validate_every: usize,
}

impl Course {
    /// That of a search on so many cases for Θ.
    pub fn of_search(config: &SearchConfig, cases: usize) -> Self {
        let SearchConfig { epochs, batch, schedule, weights, augment, .. } = *config;
        let steps = cases.div_ceil(batch);
        let (warmup_epochs, validate_every) = (0, 1);
        Self { epochs, steps, warmup_epochs, schedule, lr: weights.lr, augment, validate_every }
    }

    /// That of a training on so many cases.
    pub fn of_training(config: &TrainConfig, cases: usize) -> Self {
        let TrainConfig { epochs, batch, warmup_epochs, schedule, weights, .. } = *config;
        let TrainConfig { augment, validate_every, .. } = *config;
        let steps = cases.div_ceil(batch);
        Self { epochs, steps, warmup_epochs, schedule, lr: weights.lr, augment, validate_every }
    }

    /// Whether a validation is due when so many epochs are done.
    pub fn validates_after(&self, epochs: usize) -> bool {
        let due = self.validate_every > 0 && epochs.is_multiple_of(self.validate_every);
        epochs == self.epochs || due
    }

    /// Number of validations.
    pub fn validations(&self) -> usize {
        (1..=self.epochs).filter(|&epochs| self.validates_after(epochs)).count()
    }
}
