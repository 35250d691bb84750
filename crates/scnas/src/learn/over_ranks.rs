//! Gradients of a batch whose parts are on several ranks: the sums of theirs.

use burn::tensor::{Device, Tensor, TensorData};

use crate::learn::backprop::LossGradients;
use crate::ranks::Ranks;

impl LossGradients {
    /// Those of all ranks, where these are the shares of this one. The loss is that of all already.
    pub(super) fn of_all(mut self, ranks: &dyn Ranks, device: &Device) -> Self {
        if ranks.is_alone() {
            return self;
        }
        // One exchange for all weights: each alone would be too small to be worth its way.
        let mut values: Vec<f32> = Vec::new();
        for gradient in self.weights.values() {
            let data = gradient.clone().into_data();
            let own = data.as_slice::<f32>().unwrap_or_else(|e| panic!("gradients are f32: {e:?}"));
            values.extend(own);
        }
        ranks.add_many(&mut values);
        let mut rest = &values[..];
        for gradient in self.weights.values_mut() {
            let (sum, more) = rest.split_at(gradient.dims().iter().product());
            *gradient = Tensor::from_data(TensorData::new(sum.to_vec(), gradient.dims()), device);
            rest = more;
        }
        ranks.add_each(self.mixture.numbers_mut().collect());
        self
    }
}
