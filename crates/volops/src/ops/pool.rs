//! Pooling over 3³ windows centred on every voxel, or on every second one along each axis.

use burn::{backend::DispatchTensor, tensor::Tensor};
use burn_flex::FlexTensor;

use super::{
    add_scaled,
    chain::Chain,
    elementwise::AddScaled,
    extension::{Input, Op, Route, apply, route},
    flex::{Values, shape5, tensor},
    term::{Term, apply_term},
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
    add_max_pool3d(None, x, stride, None)
}

/// The mean over the 3³ window around every `stride`-th voxel, of those voxels that are inside the grid.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - result: `[batch, channels, ⌈depth/stride⌉, ⌈height/stride⌉, ⌈width/stride⌉]`
pub fn avg_pool3d(x: Tensor<5>, stride: usize) -> Tensor<5> {
    add_avg_pool3d(None, x, stride, None)
}

/// `acc + z·max_pool3d(x, stride)`, with everything that [`add_scaled`] says of the sum.
pub fn add_max_pool3d(acc: Option<Tensor<5>>, x: Tensor<5>, stride: usize, z: Option<Tensor<1>>) -> Tensor<5> {
    match route(x) {
        Route::Kernels(x) => add_pooled(acc, x, MaxPool { stride }, z),
        Route::Composition(x) => add_scaled(acc, composition::max_pool3d(x, stride), z),
    }
}

/// `acc + z·avg_pool3d(x, stride)`, with everything that [`add_scaled`] says of the sum.
pub fn add_avg_pool3d(acc: Option<Tensor<5>>, x: Tensor<5>, stride: usize, z: Option<Tensor<1>>) -> Tensor<5> {
    match route(x) {
        Route::Kernels(x) => add_pooled(acc, x, AvgPool { stride }, z),
        Route::Composition(x) => add_scaled(acc, composition::avg_pool3d(x, stride), z),
    }
}

fn add_pooled(acc: Option<Tensor<5>>, x: DispatchTensor, first: impl Op<1>, z: Option<Tensor<1>>) -> Tensor<5> {
    let (term, more) = Term::new(acc, z);
    let op = Chain::<_, _, 1> { first, then: AddScaled(term) };
    apply_term!(op, [x], more)
}

#[derive(Debug, Clone)]
struct MaxPool {
    stride: usize,
}

impl Op<1> for MaxPool {
    const CHEAP: bool = true;

    type Saved = ();

    fn forward(&self, [x]: [FlexTensor; 1], _: [bool; 1]) -> (FlexTensor, ()) {
        let xs = shape5(x.layout().shape());
        let y = pool::max_pool3d(&Values::of(&x), xs, self.stride);
        (tensor(y, pooled(xs, self.stride)), ())
    }

    fn reads(&self, wanted: [bool; 1]) -> [bool; 1] {
        wanted
    }

    fn backward(&self, g: FlexTensor, [x]: [Input; 1], _: (), [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
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

    type Saved = ();

    fn forward(&self, [x]: [FlexTensor; 1], _: [bool; 1]) -> (FlexTensor, ()) {
        let xs = shape5(x.layout().shape());
        let y = pool::avg_pool3d(&Values::of(&x), xs, self.stride);
        (tensor(y, pooled(xs, self.stride)), ())
    }

    fn reads(&self, _: [bool; 1]) -> [bool; 1] {
        [false]
    }

    fn backward(&self, g: FlexTensor, [x]: [Input; 1], _: (), [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [wanted.then(|| {
            let gx = pool::avg_pool3d_grad(&Values::of(&g), shape5(&x.shape), self.stride);
            tensor(gx, x.shape)
        })]
    }
}

fn pooled([n, c, d, h, w]: Shape, stride: usize) -> Shape {
    [n, c, d.div_ceil(stride), h.div_ceil(stride), w.div_ceil(stride)]
}
