//! Adam (Kingma & Ba 2015) for Θ and α, with decoupled weight decay (Loshchilov & Hutter 2019).

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use volops::{AdamStep, AdamUpdate};

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
        let (ids, gradients): (Vec<WeightId>, Vec<Tensor<5>>) = gradients.into_iter().unzip();
        let norm = volops::squared_norm(&gradients).sqrt();
        if !norm.is_finite() {
            return norm;
        }
        let scale = clip.filter(|&c| norm > c).map(|c| c / norm);
        let (steps, updates): (Vec<u32>, Vec<AdamUpdate>) =
            ids.iter().zip(gradients).map(|(&id, g)| self.update(weights, id, g, lr)).unzip();
        let updated = volops::adam_all(updates, scale);
        for ((id, steps), (p, first, second)) in ids.into_iter().zip(steps).zip(updated) {
            weights.set(id, p);
            self.moments[id.index()] = Some(Moments { first, second, steps });
        }
        norm
    }

    /// Takes a weight and its moments out, to be updated for the `steps`-th time.
    fn update(
        &mut self,
        weights: &mut Weights,
        id: WeightId,
        g: Tensor<5>,
        lr: f64,
    ) -> (u32, AdamUpdate) {
        let zeros = || Tensor::zeros(g.dims(), weights.device());
        let moments = self.moments[id.index()].take();
        let Moments { first: m, second: v, steps } =
            moments.unwrap_or_else(|| Moments { first: zeros(), second: zeros(), steps: 0 });
        let steps = steps.saturating_add(1);
        let AdamConfig { betas: [beta1, beta2], weight_decay, .. } = self.config;
        let bias = |beta: f64| (1.0 - beta.powf(f64::from(steps))) as f32;
        let step = AdamStep {
            lr: lr as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            eps: EPS as f32,
            weight_decay: weight_decay as f32,
            bias1: bias(beta1),
            bias2: bias(beta2),
        };
        (steps, AdamUpdate { p: weights.take(id), g, m, v, step })
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
