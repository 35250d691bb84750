//! Maximum over windows of 3 or 1 along each axis, centred on every voxel or on every second one.

use burn::tensor::Tensor;

use crate::{
    Kernels, Operation, PoolSpec, Step, Summand,
    node::{Kept, Undone, alone},
};

/// The largest value in the window of the spec around every `stride`-th voxel; beyond the border
/// there is nothing.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - result: `[batch, channels, ⌈depth/stride⌉, ⌈height/stride⌉, ⌈width/stride⌉]`
pub fn max_pool3d(x: Tensor<5>, spec: PoolSpec) -> Tensor<5> {
    alone(MaxPool3d(spec), [x])
}

/// [`max_pool3d`] as an operation. Input: `x`.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool3d(pub PoolSpec);

impl Operation for MaxPool3d {
    fn hands_on(&self) -> bool {
        true
    }

    fn steps(&self) -> Option<Vec<Step>> {
        Some(vec![Step::MaxPool(self.0)])
    }

    fn forward(
        &self,
        kernels: &dyn Kernels,
        sum: Option<Tensor<5>>,
        z: Option<&Tensor<1>>,
        inputs: Vec<Tensor<5>>,
        _: bool,
    ) -> (Tensor<5>, Kept) {
        (kernels.max_pool3d(sum, &inputs[0], self.0, z), Kept::new())
    }

    fn summand(&self, _: &dyn Kernels, mut inputs: Vec<Tensor<5>>, _: bool) -> (Summand, Kept) {
        (Summand::MaxPool(inputs.swap_remove(0), self.0), Kept::new())
    }

    fn reads(&self, wanted: &[bool], wants_z: bool) -> Vec<bool> {
        vec![wanted[0] || wants_z]
    }

    fn backward(
        &self,
        term: &Undone,
        found: &mut dyn FnMut(usize, Tensor<5>),
    ) -> Option<Tensor<1>> {
        let wanted = [term.wanted[0], term.wants_z];
        if wanted == [false; 2] {
            return None;
        }
        let x = term.inputs[0].value();
        let (by_x, by_z) = term.kernels.max_pool3d_gradients(term.g, x, self.0, term.z, wanted);
        by_x.into_iter().for_each(|by_x| found(0, by_x));
        by_z
    }
}
