//! Pooling over 3³ windows centred on every voxel, or on every second one along each axis.

use burn::{
    backend::{DispatchTensor, TensorMetadata},
    tensor::Tensor,
};
use burn_flex::FlexTensor;

use super::{
    add_scaled,
    elementwise::weight,
    extension::{Input, Op, Route, apply, route},
    flex::{Values, overwritable, shape5, tensor},
    term::{Term, apply_term},
};
use crate::{
    composition,
    kernel::{elementwise, pool},
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
        Route::Kernels(x) => add_pooled(acc, x, Pooling::Max, stride, z),
        Route::Composition(x) => add_scaled(acc, composition::max_pool3d(x, stride), z),
    }
}

/// `acc + z·avg_pool3d(x, stride)`, with everything that [`add_scaled`] says of the sum.
pub fn add_avg_pool3d(acc: Option<Tensor<5>>, x: Tensor<5>, stride: usize, z: Option<Tensor<1>>) -> Tensor<5> {
    match route(x) {
        Route::Kernels(x) => add_pooled(acc, x, Pooling::Mean, stride, z),
        Route::Composition(x) => add_scaled(acc, composition::avg_pool3d(x, stride), z),
    }
}

fn add_pooled(acc: Option<Tensor<5>>, x: DispatchTensor, pooling: Pooling, stride: usize, z: Option<Tensor<1>>) -> Tensor<5> {
    let (term, more) = Term::new(acc, z);
    apply_term!(AddPooled { pooling, stride, term }, [x], more)
}

#[derive(Debug, Clone, Copy)]
enum Pooling {
    Max,
    Mean,
}

/// Inputs: `x`, then those of the term.
#[derive(Debug, Clone)]
struct AddPooled {
    pooling: Pooling,
    stride: usize,
    term: Term,
}

/// Inputs that are not the term's.
const OWN: usize = 1;

impl<const N: usize> Op<N> for AddPooled {
    const CHEAP: bool = true;

    type Saved = ();

    fn forward(&self, inputs: [FlexTensor; N], _: [bool; N]) -> (FlexTensor, ()) {
        let z = self.term.z_at(OWN).map_or(1.0, |at| weight(&inputs[at]));
        let mut inputs = Vec::from(inputs);
        let acc = self.term.acc_at(OWN).map(|at| inputs.swap_remove(at));
        let (x, stride) = (Values::of(&inputs[0]), self.stride);
        let xs @ [n, c, d, h, w] = shape5(inputs[0].layout().shape());
        let ys = [n, c, d.div_ceil(stride), h.div_ceil(stride), w.div_ceil(stride)];
        let Some(acc) = acc else {
            let y = match self.pooling {
                Pooling::Max => pool::max_pool3d(&x, xs, stride),
                Pooling::Mean => pool::avg_pool3d(&x, xs, stride),
            };
            return (tensor(if z == 1.0 { y } else { elementwise::scaled(&y, z) }, ys), ());
        };
        assert_eq!(shape5(&acc.shape()), ys, "a term has the shape of the sum");
        let mut sum = overwritable(acc);
        match self.pooling {
            Pooling::Max => pool::add_max_pool3d(sum.storage_mut(), &x, xs, stride, z),
            Pooling::Mean => pool::add_avg_pool3d(sum.storage_mut(), &x, xs, stride, z),
        }
        (sum, ())
    }

    fn reads(&self, wanted: [bool; N]) -> [bool; N] {
        let mut reads = [false; N];
        let z = self.term.z_at(OWN);
        reads[0] = z.is_some_and(|at| wanted[at]) || wanted[0] && matches!(self.pooling, Pooling::Max);
        if let Some(at) = z {
            reads[at] = wanted[0];
        }
        reads
    }

    fn backward(&self, g: FlexTensor, inputs: [Input; N], _: (), wanted: [bool; N]) -> [Option<FlexTensor>; N] {
        let mut gradients = [const { None }; N];
        let of_z = self.term.z_at(OWN).filter(|&at| wanted[at]);
        if wanted[0] || of_z.is_some() {
            let z = self.term.z_at(OWN).filter(|_| wanted[0]).map_or(1.0, |at| inputs[at].values()[0]);
            let (g, xs, stride) = (Values::of(&g), shape5(&inputs[0].shape), self.stride);
            let (by_x, by_z) = match self.pooling {
                Pooling::Max => pool::max_pool3d_grad(&g, &inputs[0].values(), xs, stride, z, of_z.is_some()),
                Pooling::Mean => pool::avg_pool3d_grad(&g, xs, stride, z, of_z.map(|_| inputs[0].values()).as_deref()),
            };
            gradients[0] = wanted[0].then(|| tensor(by_x, xs));
            if let Some(at) = of_z {
                gradients[at] = Some(tensor(vec![by_z], [1]));
            }
        }
        if let Some(at) = self.term.acc_at(OWN) {
            gradients[at] = wanted[at].then_some(g);
        }
        gradients
    }
}
