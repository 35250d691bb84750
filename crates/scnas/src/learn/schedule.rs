//! How learning rates change over a run.

use serde::{Deserialize, Serialize};

/// Factor on the learning rate in step `step` of the first `steps`, over which it rises from 0; 1
/// afterwards.
pub fn warmup(step: usize, steps: usize) -> f64 {
    if step < steps { (step + 1) as f64 / (steps + 1) as f64 } else { 1.0 }
}

/// How the learning rate falls over the epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Always the same.
    Constant,
    /// Half a cosine to zero over the epochs.
    #[default]
    Cosine,
    /// (1 - progress)^0.9, to zero over the epochs.
    Poly,
    /// ÷10 when the training loss has not improved for 20 epochs (paper).
    Plateau,
}

/// State of a schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    factor: f64,
    best: f64,
    since_best: usize,
}

/// Epochs without improvement before the plateau schedule acts (paper section 4).
const PATIENCE: usize = 20;

impl Default for Plateau {
    fn default() -> Self {
        Self { factor: 1.0, best: f64::MAX, since_best: 0 }
    }
}

impl Plateau {
    /// Takes note of an epoch's training loss.
    pub fn observe(&mut self, loss: f64) {
        if loss < self.best {
            (self.best, self.since_best) = (loss, 0);
        } else {
            self.since_best += 1;
            if self.since_best >= PATIENCE {
                (self.factor, self.since_best) = (self.factor / 10.0, 0);
            }
        }
    }
}

impl Schedule {
    /// Factor on the learning rate at `progress` (0 to 1) through the epochs.
    pub fn factor(self, progress: f64, plateau: &Plateau) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos()),
            Self::Poly => (1.0 - progress.clamp(0.0, 1.0)).powf(0.9),
            Self::Plateau => plateau.factor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_to_its_full_value_and_falls_to_zero() {
        let rates: Vec<f64> = (0..6).map(|step| warmup(step, 4)).collect();
        assert!(rates[0] > 0.0 && rates.windows(2).take(4).all(|r| r[0] < r[1]));
        assert_eq!(rates[4..], [1.0, 1.0]);
        assert_eq!(warmup(0, 0), 1.0);
        for schedule in [Schedule::Cosine, Schedule::Poly] {
            let at = |progress| schedule.factor(progress, &Plateau::default());
            assert_eq!(at(0.0), 1.0);
            assert!(at(1.0).abs() < 1e-12 && at(0.5) < at(0.4));
        }
    }

    #[test]
    fn the_plateau_schedule_divides_by_ten_after_twenty_epochs_without_improvement() {
        let mut plateau = Plateau::default();
        plateau.observe(1.0);
        for _ in 0..PATIENCE - 1 {
            plateau.observe(1.0);
        }
        assert_eq!(Schedule::Plateau.factor(0.0, &plateau), 1.0);
        plateau.observe(1.0);
        assert!((Schedule::Plateau.factor(0.0, &plateau) - 0.1).abs() < 1e-12);
        plateau.observe(0.5);
        assert!((Schedule::Plateau.factor(0.0, &plateau) - 0.1).abs() < 1e-12);
    }
}
