//! How long a phase is, and how its learning rate goes.

use crate::learn::schedule::{Plateau, Schedule, warmup};
use crate::settings::{SearchConfig, TrainConfig};

/// How long a phase is, and how its learning rate goes.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    /// Steps of each epoch.
    pub steps: Vec<usize>,
    /// Epochs at the start over which the learning rate rises.
    warmup_epochs: usize,
    /// Epochs at the start before the schedule begins.
    constant_epochs: usize,
    /// Of the learning rate, on top of the warm-up.
    schedule: Schedule,
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
        Self {
            steps: vec![cases.div_ceil(batch); epochs],
            warmup_epochs: 0,
            constant_epochs: 0,
            schedule,
            lr: weights.lr,
            augment,
            validate_every: 1,
        }
    }

    /// That of a deciding search, which trains Θ on so many cases, and from epoch `settled` on, all
    /// being decided, on all cases.
    pub fn of_deciding(config: &SearchConfig, settled: usize, [cases, all]: [usize; 2]) -> Self {
        let mut course = Self::of_search(config, cases);
        course.constant_epochs = settled;
        course.steps[settled..].fill(all.div_ceil(config.batch));
        course
    }

    /// That of a training on so many cases.
    pub fn of_training(config: &TrainConfig, cases: usize) -> Self {
        let TrainConfig { epochs, batch, warmup_epochs, schedule, weights, .. } = *config;
        let TrainConfig { augment, validate_every, .. } = *config;
        Self {
            steps: vec![config.rounds(cases) * cases.div_ceil(batch); epochs],
            warmup_epochs,
            constant_epochs: 0,
            schedule,
            lr: weights.lr,
            augment,
            validate_every,
        }
    }

    /// Number of epochs.
    pub fn epochs(&self) -> usize {
        self.steps.len()
    }

    /// Steps before an epoch.
    pub fn before(&self, epoch: usize) -> usize {
        self.steps.iter().take(epoch).sum()
    }

    /// Factor on the learning rates at step `index` of all epochs.
    pub fn rate(&self, index: usize, plateau: &Plateau) -> f64 {
        let start = self.before(self.constant_epochs);
        let steps = self.before(self.epochs()) - start;
        let progress = index.saturating_sub(start) as f64 / steps.max(1) as f64;
        warmup(index, self.before(self.warmup_epochs)) * self.schedule.factor(progress, plateau)
    }

    /// Whether a validation is due when so many epochs are done.
    pub fn validates_after(&self, epochs: usize) -> bool {
        let due = self.validate_every > 0 && epochs.is_multiple_of(self.validate_every);
        epochs == self.epochs() || due
    }

    /// Number of validations.
    pub fn validations(&self) -> usize {
        (1..=self.epochs()).filter(|&epochs| self.validates_after(epochs)).count()
    }
}
