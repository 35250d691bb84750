//! Transposed convolution.

use burn::tensor::Tensor;

use super::filter::Filter;
use crate::{Kernels, node::alone};

/// Transposed 3³ convolution of stride 2 without bias, which doubles every axis: `x` goes through a
/// LeakyReLU first if there is a slope.
///
/// # Shapes
/// - `x`: `[batch, in, depth, height, width]`
/// - `weight`: `[in, out, 3, 3, 3]`
/// - result: `[batch, out, 2·depth, 2·height, 2·width]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn conv_transpose3d(x: Tensor<5>, weight: Tensor<5>, slope: Option<f32>) -> Tensor<5> {
    alone(ConvTranspose3d { slope }, [x, weight])
}

/// [`conv_transpose3d`] as an operation. Inputs: `x`, `weight`.
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose3d {
    /// Negative slope of a LeakyReLU applied to the input first.
    pub slope: Option<f32>,
}

impl Filter for ConvTranspose3d {
    fn convolve(&self, kernels: &dyn Kernels, x: &Tensor<5>, weight: &Tensor<5>) -> Tensor<5> {
        kernels.conv_transpose3d(x, weight, self.slope)
    }

    fn gradients(
        &self,
        kernels: &dyn Kernels,
        g: &Tensor<5>,
        inputs: [&Tensor<5>; 2],
        wanted: [bool; 2],
    ) -> [Option<Tensor<5>>; 2] {
        kernels.conv_transpose3d_gradients(g, inputs, self.slope, wanted)
    }
}
