//! Transposed convolution.

use burn::tensor::Tensor;

use super::filter::{Filter, behind};
use crate::{ConvSpec, Kernels, Step, node::alone};

/// Transposed convolution without bias, which makes every axis as many times as long as the spec's
/// stride: the adjoint of [`conv3d`](crate::conv3d), but that `x` goes through a LeakyReLU first if
/// the spec has a slope.
///
/// # Shapes
/// - `x`: `[batch, in, depth, height, width]`
/// - `weight`: `[in, out, kd, kh, kw]`, the kernel of the spec
/// - result: `[batch, out, stride·depth, stride·height, stride·width]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn conv_transpose3d(x: Tensor<5>, weight: Tensor<5>, spec: ConvSpec) -> Tensor<5> {
    alone(ConvTranspose3d(spec), [x, weight])
}

/// [`conv_transpose3d`] as an operation. Inputs: `x`, `weight`.
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose3d(pub ConvSpec);

impl Filter for ConvTranspose3d {
    fn filter_steps(&self) -> Vec<Step> {
        let ConvSpec { kernel, stride, slope } = self.0;
        behind(slope, Step::Transposed { kernel, stride })
    }

    fn filter_hands_on(&self) -> bool {
        true
    }

    fn convolve(&self, kernels: &dyn Kernels, x: &Tensor<5>, weight: &Tensor<5>) -> Tensor<5> {
        kernels.conv_transpose3d(x, weight, self.0)
    }

    fn gradients(
        &self,
        kernels: &dyn Kernels,
        g: &Tensor<5>,
        inputs: [&Tensor<5>; 2],
        wanted: [bool; 2],
    ) -> [Option<Tensor<5>>; 2] {
        kernels.conv_transpose3d_gradients(g, inputs, self.0, wanted)
    }
}
