//! Dense convolution.

use burn::tensor::Tensor;

use super::filter::{Filter, behind};
use crate::{ConvSpec, Kernels, Step, node::alone};

/// 3-D convolution without bias, padded so that a stride of 1 keeps the grid: `x` goes through a
/// LeakyReLU first if the spec has a slope.
///
/// # Shapes
/// - `x`: `[batch, in, depth, height, width]`
/// - `weight`: `[out, in, kd, kh, kw]`, the kernel of the spec
/// - result: `[batch, out, ⌈depth/stride⌉, ⌈height/stride⌉, ⌈width/stride⌉]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn conv3d(x: Tensor<5>, weight: Tensor<5>, spec: ConvSpec) -> Tensor<5> {
    alone(Conv3d(spec), [x, weight])
}

/// [`conv3d`] as an operation. Inputs: `x`, `weight`.
#[derive(Clone, Copy, Debug)]
pub struct Conv3d(pub ConvSpec);

impl Filter for Conv3d {
    fn filter_steps(&self) -> Vec<Step> {
        let ConvSpec { kernel, stride, slope } = self.0;
        behind(slope, Step::Convolution { kernel, stride, dilation: 1, depthwise: false })
    }

    fn filter_hands_on(&self) -> bool {
        true
    }

    fn convolve(&self, kernels: &dyn Kernels, x: &Tensor<5>, weight: &Tensor<5>) -> Tensor<5> {
        kernels.conv3d(x, weight, self.0)
    }

    fn gradients(
        &self,
        kernels: &dyn Kernels,
        g: &Tensor<5>,
        inputs: [&Tensor<5>; 2],
        wanted: [bool; 2],
    ) -> [Option<Tensor<5>>; 2] {
        kernels.conv3d_gradients(g, inputs, self.0, wanted)
    }
}
