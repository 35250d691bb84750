//! What all convolutions have in common.

use std::fmt::Debug;

use burn::tensor::Tensor;

use crate::{
    Kernels, Operation, Step,
    node::{Kept, Undone},
};

/// A convolution, behind the LeakyReLU of this slope if there is one.
pub(super) fn behind(slope: Option<f32>, convolution: Step) -> Vec<Step> {
    slope.map(|slope| Step::LeakyRelu { slope }).into_iter().chain([convolution]).collect()
}

/// A convolution without bias, of `x` with a `weight`: these are its inputs as an [`Operation`].
pub trait Filter: Debug + Send + Sync + 'static {
    /// What it does.
    fn filter_steps(&self) -> Vec<Step>;

    /// See [`Operation::hands_on`].
    fn filter_hands_on(&self) -> bool {
        false
    }

    /// The result.
    ///
    /// # Panics
    /// If the shapes do not fit together.
    fn convolve(&self, kernels: &dyn Kernels, x: &Tensor<5>, weight: &Tensor<5>) -> Tensor<5>;

    /// The gradients of `x` and `weight`, those that are wanted, given that of the result.
    fn gradients(
        &self,
        kernels: &dyn Kernels,
        g: &Tensor<5>,
        inputs: [&Tensor<5>; 2],
        wanted: [bool; 2],
    ) -> [Option<Tensor<5>>; 2];
}

impl<F: Filter> Operation for F {
    fn steps(&self) -> Option<Vec<Step>> {
        Some(self.filter_steps())
    }

    fn is_cheap(&self) -> bool {
        false
    }

    fn hands_on(&self) -> bool {
        self.filter_hands_on()
    }

    fn forward(
        &self,
        kernels: &dyn Kernels,
        sum: Option<Tensor<5>>,
        z: Option<&Tensor<1>>,
        inputs: Vec<Tensor<5>>,
        _: bool,
    ) -> (Tensor<5>, Kept) {
        let y = self.convolve(kernels, &inputs[0], &inputs[1]);
        (kernels.add_scaled(sum, y, z), Kept::new())
    }

    fn backward(
        &self,
        term: &Undone,
        found: &mut dyn FnMut(usize, Tensor<5>),
    ) -> Option<Tensor<1>> {
        let [x, weight] = [0, 1].map(|i| term.inputs[i].value());
        let wanted = [term.wanted[0], term.wanted[1]];
        let gradients = self.gradients(term.kernels, &term.unweighted(), [x, weight], wanted);
        for (i, gradient) in gradients.into_iter().enumerate() {
            gradient.into_iter().for_each(|gradient| found(i, gradient));
        }
        term.by_weight(|| self.convolve(term.kernels, x, weight))
    }
}
