//! Adam (Kingma & Ba 2015) for Θ and α, with decoupled weight decay (Loshchilov & Hutter 2019), and
//! learning-rate schedules.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use volops::{AdamStep, map_indices};

use crate::network::weights::{WeightId, Weights};

/// Settings of an optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamConfig {
    /// Learning rate at the start.
    pub lr: f64,
    /// Decay of the running means of gradient and squared gradient.
    pub betas: [f64; 2],
    /// Decoupled weight decay per unit of learning rate.
    #[serde(default)]
    pub weight_decay: f64,
}

const EPS: f64 = 1e-8;

/// Adam over the weights of a network. A weight whose operation was not sampled is not updated and
/// its step count stands still.
#[derive(Clone, Debug)]
pub struct WeightAdam {
    config: AdamConfig,
    /// By weight index; `None` before its first update.
    moments: Vec<Option<Moments>>,
}

/// Running means of one weight.
#[derive(Clone, Debug)]
pub struct Moments {
    pub first: Tensor<5>,
    pub second: Tensor<5>,
    pub steps: u32,
}

/// A weight on its way through an Adam step.
struct Update {
    id: WeightId,
    p: Tensor<5>,
    g: Tensor<5>,
    moments: Moments,
    step: AdamStep,
}

impl Update {
    /// The new value and moments, the gradient scaled first.
    fn apply(self, scale: Option<f64>) -> (WeightId, Tensor<5>, Moments) {
        let Self { id, p, g, moments: Moments { first, second, steps }, step } = self;
        let g = match scale {
            Some(scale) => g.mul_scalar(scale),
            None => g,
        };
        let (p, first, second) = volops::adam(p, g, first, second, &step);
        (id, p, Moments { first, second, steps })
    }
}

impl WeightAdam {
    /// For all of `weights`.
    pub fn new(config: AdamConfig, weights: &Weights) -> Self {
        Self { config, moments: weights.iter().map(|_| None).collect() }
    }

    /// One update of the weights that have gradients, at learning rate `lr`. These are scaled down
    /// when their global norm exceeds `clip`. Returns the norm before clipping; where it is not
    /// finite, nothing was updated.
    pub fn step(
        &mut self,
        weights: &mut Weights,
        gradients: BTreeMap<WeightId, Tensor<5>>,
        lr: f64,
        clip: Option<f64>,
    ) -> f64 {
        // Many small tensors: shared out among the threads one by one, at about a nanosecond an
        // element and some microseconds each.
        let elements: usize = gradients.values().map(|g| g.dims().iter().product::<usize>()).sum();
        let nanoseconds = elements + 5000 * gradients.len();
        let gradients: Vec<(WeightId, Tensor<5>)> = gradients.into_iter().collect();
        let norm = map_indices(gradients.len(), elements, |i| squared_norm(&gradients[i].1))
            .iter()
            .sum::<f64>()
            .sqrt();
        if !norm.is_finite() {
            return norm;
        }
        let scale = clip.filter(|&c| norm > c).map(|c| c / norm);
        let updates: Vec<Mutex<Option<Update>>> = gradients
            .into_iter()
            .map(|(id, g)| Mutex::new(Some(self.update(weights, id, g, lr))))
            .collect();
        let updated = map_indices(updates.len(), nanoseconds, |i| {
            let update = updates[i].lock().unwrap_or_else(PoisonError::into_inner).take();
            update.map(|update| update.apply(scale))
        });
        for (id, p, moments) in updated.into_iter().flatten() {
            weights.set(id, p);
            self.moments[id.index()] = Some(moments);
        }
        norm
    }

    /// Takes a weight and its moments out, to be updated.
    fn update(&mut self, weights: &mut Weights, id: WeightId, g: Tensor<5>, lr: f64) -> Update {
        let zeros = || Tensor::zeros(g.dims(), weights.device());
        let moments = self.moments[id.index()].take();
        let mut moments =
            moments.unwrap_or_else(|| Moments { first: zeros(), second: zeros(), steps: 0 });
        moments.steps = moments.steps.saturating_add(1);
        let AdamConfig { betas: [beta1, beta2], weight_decay, .. } = self.config;
        let steps = f64::from(moments.steps);
        let step = AdamStep {
            lr: lr as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            eps: EPS as f32,
            weight_decay: weight_decay as f32,
            bias1: (1.0 - beta1.powf(steps)) as f32,
            bias2: (1.0 - beta2.powf(steps)) as f32,
        };
        Update { id, p: weights.take(id), g, moments, step }
    }

    /// State of every weight, in the order of the weights.
    pub fn moments(&self) -> &[Option<Moments>] {
        &self.moments
    }

    /// Puts back a state saved from [`WeightAdam::moments`].
    pub fn restore(&mut self, moments: Vec<Option<Moments>>) {
        self.moments = moments;
    }
}

/// Σ g² in f64, in a fixed order: eight sums, so that additions need not wait for each other.
fn squared_norm(g: &Tensor<5>) -> f64 {
    let data = g.to_data();
    // Gradients are f32 by construction.
    let (groups, rest) = data.as_slice::<f32>().unwrap_or(&[]).as_chunks::<8>();
    let mut sums = [0.0; 8];
    for group in groups {
        for (sum, &v) in sums.iter_mut().zip(group) {
            *sum += f64::from(v) * f64::from(v);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>()
}

/// Adam over a flat list of f64, for α.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlphaAdam {
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
}

impl AlphaAdam {
    /// For `len` values.
    pub fn new(len: usize) -> Self {
        Self { first: vec![0.0; len], second: vec![0.0; len], steps: 0 }
    }

    /// One update at learning rate `lr`.
    pub fn step<'a>(
        &mut self,
        config: &AdamConfig,
        lr: f64,
        values: impl Iterator<Item = &'a mut f64>,
        gradient: &[f64],
    ) {
        let [beta1, beta2] = config.betas;
        self.steps = self.steps.saturating_add(1);
        let (bias1, bias2) = (1.0 - beta1.powi(self.steps), 1.0 - beta2.powi(self.steps));
        for (((value, g), m), v) in values.zip(gradient).zip(&mut self.first).zip(&mut self.second)
        {
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *value -=
                lr * (*m / bias1 / ((*v / bias2).sqrt() + EPS) + config.weight_decay * *value);
        }
    }
}

/// An exponential moving average of weights (Polyak & Juditsky 1992): it generalises better than
/// the weights on their noisy way.
#[derive(Clone, Debug)]
pub struct Average {
    pub weights: Weights,
    decay: f64,
}

impl Average {
    /// The average of one set of weights.
    pub fn new(weights: &Weights, decay: f64) -> Self {
        Self { weights: weights.clone(), decay }
    }

    /// Takes in the weights after their update number `updates`. At first the decay is smaller, or
    /// the average would hold little but the initial weights.
    pub fn update(&mut self, weights: &Weights, updates: usize) {
        let share = 1.0 - self.decay.min((1.0 + updates as f64) / (10.0 + updates as f64));
        for (id, weight) in weights.iter() {
            let old = self.weights.take(id);
            let step = (weight.value.clone() - old.clone()).mul_scalar(share);
            self.weights.set(id, old + step);
        }
    }
}

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
    use crate::network::weights::Init;

    #[test]
    fn the_first_adam_step_moves_by_the_learning_rate_against_the_sign_of_the_gradient() {
        let config = AdamConfig { lr: 0.1, betas: [0.9, 0.999], weight_decay: 0.0 };
        let mut values = [1.0, -2.0];
        AlphaAdam::new(2).step(&config, config.lr, values.iter_mut(), &[3.0, -0.01]);
        assert!((values[0] - 0.9).abs() < 1e-6 && (values[1] + 1.9).abs() < 1e-6);
    }

    #[test]
    fn adam_finds_the_minimum_of_a_parabola() {
        let config = AdamConfig { lr: 0.05, betas: [0.5, 0.999], weight_decay: 0.0 };
        let (mut values, mut adam) = ([5.0], AlphaAdam::new(1));
        for _ in 0..2000 {
            let gradient = 2.0 * (values[0] - 3.0);
            adam.step(&config, config.lr, values.iter_mut(), &[gradient]);
        }
        assert!((values[0] - 3.0).abs() < 0.05, "{}", values[0]);
    }

    #[test]
    fn an_average_forgets_old_weights_at_its_decay_and_keeps_constant_ones() {
        let device = volops::device("cpu").unwrap();
        let mut weights = Weights::new(&device, 0);
        let moving = weights.add("moving".into(), [1, 1, 1, 1, 1], Init::Constant(1.0));
        let still = weights.add("still".into(), [1, 2, 1, 1, 1], Init::Constant(0.7));
        let mut average = Average::new(&weights, 0.9);
        weights.set(moving, Tensor::zeros([1; 5], &device));
        let value = |average: &Average, id| {
            average.weights.value(id).to_data().try_to_vec::<f32>().unwrap()
        };
        let late = 1000;
        for n in 1..=5 {
            average.update(&weights, late);
            assert!((value(&average, moving)[0] - 0.9_f32.powi(n)).abs() < 1e-6);
            assert_eq!(value(&average, still), [0.7; 2]);
        }
        let mut early = Average::new(&weights, 0.9);
        weights.set(moving, Tensor::ones([1; 5], &device));
        early.update(&weights, 1);
        assert!((value(&early, moving)[0] - 9.0 / 11.0).abs() < 1e-6);
    }

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
