//! Depthwise convolution.

use burn::tensor::Tensor;

use super::filter::{Filter, behind};
use crate::{DepthwiseSpec, Kernels, Step, node::alone};

/// Depthwise 3-D convolution without bias, every channel with a kernel of its own, padded so that a
/// stride of 1 keeps the grid: `x` goes through a LeakyReLU first if the spec has a slope.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - `weight`: `[channels, 1, kd, kh, kw]`, the kernel of the spec
/// - result: `[batch, channels, ⌈depth/stride⌉, ⌈height/stride⌉, ⌈width/stride⌉]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn depthwise3d(x: Tensor<5>, weight: Tensor<5>, spec: DepthwiseSpec) -> Tensor<5> {
    alone(Depthwise3d(spec), [x, weight])
}

/// [`depthwise3d`] as an operation. Inputs: `x`, `weight`.
#[derive(Clone, Copy, Debug)]
pub struct Depthwise3d(pub DepthwiseSpec);

impl Filter for Depthwise3d {
    fn filter_steps(&self) -> Vec<Step> {
        let DepthwiseSpec { kernel, stride, dilation, slope } = self.0;
        behind(slope, Step::Convolution { kernel, stride, dilation, depthwise: true })
    }

    fn filter_hands_on(&self) -> bool {
        true
    }

    fn convolve(&self, kernels: &dyn Kernels, x: &Tensor<5>, weight: &Tensor<5>) -> Tensor<5> {
        kernels.depthwise3d(x, weight, self.0)
    }

    fn gradients(
        &self,
        kernels: &dyn Kernels,
        g: &Tensor<5>,
        inputs: [&Tensor<5>; 2],
        wanted: [bool; 2],
    ) -> [Option<Tensor<5>>; 2] {
        kernels.depthwise3d_gradients(g, inputs, self.0, wanted)
    }
}
