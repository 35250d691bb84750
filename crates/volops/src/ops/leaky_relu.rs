//! LeakyReLU.

use burn::tensor::Tensor;

use crate::{
    Kernels, Operation, Step,
    node::{Kept, Undone, alone},
};

/// `x` where positive, `slope · x` elsewhere.
///
/// # Shapes
/// - `x`, result: `[batch, channels, depth, height, width]`
pub fn leaky_relu(x: Tensor<5>, slope: f32) -> Tensor<5> {
    alone(LeakyRelu { slope }, [x])
}

/// [`leaky_relu`] as an operation. Input: `x`.
#[derive(Clone, Copy, Debug)]
pub struct LeakyRelu {
    /// Factor for what is not positive.
    pub slope: f32,
}

impl Operation for LeakyRelu {
    fn hands_on(&self) -> bool {
        true
    }

    fn steps(&self) -> Option<Vec<Step>> {
        Some(vec![Step::LeakyRelu { slope: self.slope }])
    }

    fn forward(
        &self,
        kernels: &dyn Kernels,
        sum: Option<Tensor<5>>,
        z: Option<&Tensor<1>>,
        inputs: Vec<Tensor<5>>,
        _: bool,
    ) -> (Tensor<5>, Kept) {
        let y = kernels.leaky_relu(&inputs[0], self.slope);
        (kernels.add_scaled(sum, y, z), Kept::new())
    }

    fn backward(
        &self,
        term: &Undone,
        found: &mut dyn FnMut(usize, Tensor<5>),
    ) -> Option<Tensor<1>> {
        let x = term.inputs[0].value();
        if term.wanted[0] {
            found(0, term.kernels.leaky_relu_gradient(&term.unweighted(), x, self.slope));
        }
        term.by_weight(|| term.kernels.leaky_relu(x, self.slope))
    }
}
