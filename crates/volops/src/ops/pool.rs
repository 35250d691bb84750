//! Pooling over 3³ windows centred on every voxel, or on every second one along each axis.

use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::{
    extension::{Input, Op, Route, apply1, route},
    flex::{Values, shape5, tensor},
};
use crate::{
    composition,
    kernel::{Shape, pool},
};

/// The largest value in the 3³ window around every `stride`-th voxel; beyond the border there is nothing.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - result: `[batch, channels, ⌈depth/stride⌉, ⌈height/stride⌉, ⌈width/stride⌉]`
pub fn max_pool3d(x: Tensor<5>, stride: usize) -> Tensor<5> {
    match route(x) {
        Route::Kernels(x) => apply1(MaxPool { stride }, x),
        Route::Composition(x) => composition::max_pool3d(x, stride),
    }
}

/// The mean over the 3³ window around every `stride`-th voxel, of those voxels that are inside the grid.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - result: `[batch, channels, ⌈depth/stride⌉, ⌈height/stride⌉, ⌈width/stride⌉]`
pub fn avg_pool3d(x: Tensor<5>, stride: usize) -> Tensor<5> {
    match route(x) {
        Route::Kernels(x) => apply1(AvgPool { stride }, x),
        Route::Composition(x) => composition::avg_pool3d(x, stride),
    }
}

#[derive(Debug, Clone)]
struct MaxPool {
    stride: usize,
}

impl Op<1> for MaxPool {
    const CHEAP: bool = true;

    fn forward(&self, [x]: [FlexTensor; 1]) -> FlexTensor {
        let xs = shape5(x.layout().shape());
        let y = pool::max_pool3d(&Values::of(&x), xs, self.stride);
        tensor(y, pooled(xs, self.stride))
    }

    fn reads(&self, wanted: [bool; 1]) -> [bool; 1] {
        wanted
    }

    fn backward(&self, g: FlexTensor, [x]: [Input; 1], [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [wanted.then(|| {
            let xs = shape5(&x.shape);
            let gx = pool::max_pool3d_grad(&Values::of(&g), &x.values(), xs, self.stride);
            tensor(gx, x.shape)
        })]
    }
}

#[derive(Debug, Clone)]
struct AvgPool {
    stride: usize,
}

impl Op<1> for AvgPool {
    const CHEAP: bool = true;

    fn forward(&self, [x]: [FlexTensor; 1]) -> FlexTensor {
        let xs = shape5(x.layout().shape());
        let y = pool::avg_pool3d(&Values::of(&x), xs, self.stride);
        tensor(y, pooled(xs, self.stride))
    }

    fn reads(&self, _: [bool; 1]) -> [bool; 1] {
        [false]
    }

    fn backward(&self, g: FlexTensor, [x]: [Input; 1], [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [wanted.then(|| {
            let gx = pool::avg_pool3d_grad(&Values::of(&g), shape5(&x.shape), self.stride);
            tensor(gx, x.shape)
        })]
    }
}

fn pooled([n, c, d, h, w]: Shape, stride: usize) -> Shape {
    [n, c, d.div_ceil(stride), h.div_ceil(stride), w.div_ceil(stride)]
}
