//! Adam (Kingma & Ba 2015) for Θ and α, with decoupled weight decay (Loshchilov & Hutter 2019).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use volops::{AdamStep, map_indices};

use crate::network::layout::WeightId;
use crate::network::weights::Weights;

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
    /// Of the gradient; shaped as the weight.
    pub first: Tensor<5>,
    /// Of the squared gradient; shaped as the weight.
    pub second: Tensor<5>,
    /// Updates so far.
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
    let values = data.as_slice::<f32>().unwrap_or_else(|e| panic!("gradients are f32: {e:?}"));
    let (groups, rest) = values.as_chunks::<8>();
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

    /// One update at learning rate `lr`. Returns the norm of the gradient; where it is not finite,
    /// nothing was updated.
    pub fn step<'a>(
        &mut self,
        config: &AdamConfig,
        lr: f64,
        values: impl Iterator<Item = &'a mut f64>,
        gradient: &[f64],
    ) -> f64 {
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return norm;
        }
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
        norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_adam_step_moves_by_the_learning_rate_against_the_sign_of_the_gradient() {
        let config = AdamConfig { lr: 0.1, betas: [0.9, 0.999], weight_decay: 0.0 };
        let mut values = [1.0, -2.0];
        let mut adam = AlphaAdam::new(2);
        let norm = adam.step(&config, config.lr, values.iter_mut(), &[3.0, -0.01]);
        assert_eq!(norm, 3.0_f64.hypot(0.01));
        assert!((values[0] - 0.9).abs() < 1e-6 && (values[1] + 1.9).abs() < 1e-6);
    }

    #[test]
    fn a_gradient_that_is_no_number_updates_nothing() {
        let config = AdamConfig { lr: 0.1, betas: [0.9, 0.999], weight_decay: 0.0 };
        let (mut values, mut adam) = ([1.0, -2.0], AlphaAdam::new(2));
        let norm = adam.step(&config, config.lr, values.iter_mut(), &[1.0, f64::NAN]);
        assert!(norm.is_nan());
        assert_eq!((values, adam), ([1.0, -2.0], AlphaAdam::new(2)));
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
}
