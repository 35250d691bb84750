//! Pooling over 3³ windows centred on every voxel, or on every second one along each axis.

use burn::{backend::TensorMetadata, tensor::Tensor};
use burn_flex::FlexTensor;

use super::{
    extension::Input,
    flex::{Values, overwritable, shape5, tensor},
    weighted_sum::{Operation, Term, weighted_sum},
};
use crate::kernel::{elementwise, pool};

/// The largest value in the 3³ window around every `stride`-th voxel; beyond the border there is
/// nothing.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - result: `[batch, channels, ⌈depth/stride⌉, ⌈height/stride⌉, ⌈width/stride⌉]`
pub fn max_pool3d(x: Tensor<5>, stride: usize) -> Tensor<5> {
    weighted_sum(vec![Term { x, operation: Operation::MaxPool { stride }, z: None }])
}

/// The mean over the 3³ window around every `stride`-th voxel, of those voxels that are inside the
/// grid.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - result: `[batch, channels, ⌈depth/stride⌉, ⌈height/stride⌉, ⌈width/stride⌉]`
pub fn avg_pool3d(x: Tensor<5>, stride: usize) -> Tensor<5> {
    weighted_sum(vec![Term { x, operation: Operation::AveragePool { stride }, z: None }])
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Pooling {
    Max,
    Mean,
}

/// `acc + z·pool(x)`. What is pooled is added to the sum as it is made, in place if nothing else
/// refers to `acc`.
pub(super) fn add_pooled(
    acc: Option<FlexTensor>,
    x: &FlexTensor,
    pooling: Pooling,
    stride: usize,
    z: f32,
) -> FlexTensor {
    let xs @ [n, c, d, h, w] = shape5(x.layout().shape());
    let ys = [n, c, d.div_ceil(stride), h.div_ceil(stride), w.div_ceil(stride)];
    let x = Values::of(x);
    let Some(acc) = acc else {
        let y = match pooling {
            Pooling::Max => pool::max_pool3d(&x, xs, stride),
            Pooling::Mean => pool::avg_pool3d(&x, xs, stride),
        };
        return tensor(if z == 1.0 { y } else { elementwise::scaled(&y, z) }, ys);
    };
    assert_eq!(shape5(&acc.shape()), ys, "a term has the shape of the sum");
    let mut sum = overwritable(acc);
    match pooling {
        Pooling::Max => pool::add_max_pool3d(sum.storage_mut(), &x, xs, stride, z),
        Pooling::Mean => pool::add_avg_pool3d(sum.storage_mut(), &x, xs, stride, z),
    }
    sum
}

/// Gradients of `z·pool(x)` with respect to `x` and, if it is wanted, `z`.
pub(super) fn pooled_gradients(
    g: &FlexTensor,
    x: &Input,
    pooling: Pooling,
    stride: usize,
    z: f32,
    of_z: bool,
) -> (FlexTensor, Option<f32>) {
    let (g, xs) = (Values::of(g), shape5(&x.shape));
    let (by_x, by_z) = match pooling {
        Pooling::Max => pool::max_pool3d_grad(&g, &x.values(), xs, stride, z, of_z),
        Pooling::Mean => {
            pool::avg_pool3d_grad(&g, xs, stride, z, of_z.then(|| x.values()).as_deref())
        }
    };
    (tensor(by_x, xs), of_z.then_some(by_z))
}
