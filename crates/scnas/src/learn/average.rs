//! A moving average of the weights on their way.

use crate::network::weights::Weights;

/// An exponential moving average of weights (Polyak & Juditsky 1992): it generalises better than
/// the weights on their noisy way.
#[derive(Clone, Debug)]
pub struct Average {
    /// The averages, by the weights' names.
    pub weights: Weights,
    decay: f64,
}

impl Average {
    /// The average of one set of weights. `decay` is the share of it that an update keeps, 0 to 1.
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

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;

    use super::*;
    use crate::network::layout::{Init, Layout, Role};

    #[test]
    fn an_average_forgets_old_weights_at_its_decay_and_keeps_constant_ones() {
        let device = volops::device("cpu").unwrap();
        let mut layout = Layout::default();
        let mut declare = |name: &str, channels, start| {
            let shape = [1, channels, 1, 1, 1];
            layout.declare(name.into(), shape, Init::Constant(start), Role::PerChannel)
        };
        let (moving, still) = (declare("moving", 1, 1.0), declare("still", 2, 0.7));
        let mut weights = Weights::new(&device, 0, &layout);
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
}
