//! Average over windows of 3 or 1 along each axis, centred on every voxel or on every second one.

use burn::tensor::Tensor;

use crate::{
    Kernels, Operation, PoolSpec, Step, Summand,
    node::{Kept, Undone, alone},
};

/// The mean over the window of the spec around every `stride`-th voxel, of those voxels that are
/// inside the grid.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - result: `[batch, channels, ⌈depth/stride⌉, ⌈height/stride⌉, ⌈width/stride⌉]`
pub fn avg_pool3d(x: Tensor<5>, spec: PoolSpec) -> Tensor<5> {
    alone(AvgPool3d(spec), [x])
}

/// [`avg_pool3d`] as an operation. Input: `x`.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool3d(pub PoolSpec);

impl Operation for AvgPool3d {
    fn hands_on(&self) -> bool {
        true
    }

    fn steps(&self) -> Option<Vec<Step>> {
        Some(vec![Step::AvgPool(self.0)])
    }

    fn forward(
        &self,
        kernels: &dyn Kernels,
        sum: Option<Tensor<5>>,
        z: Option<&Tensor<1>>,
        inputs: Vec<Tensor<5>>,
        _: bool,
    ) -> (Tensor<5>, Kept) {
        (kernels.avg_pool3d(sum, &inputs[0], self.0, z), Kept::new())
    }

    fn summand(&self, _: &dyn Kernels, mut inputs: Vec<Tensor<5>>, _: bool) -> (Summand, Kept) {
        (Summand::AvgPool(inputs.swap_remove(0), self.0), Kept::new())
    }

    fn reads(&self, _: &[bool], wants_z: bool) -> Vec<bool> {
        vec![wants_z]
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
        let x = (term.inputs[0].shape, term.inputs[0].if_read());
        let (by_x, by_z) = term.kernels.avg_pool3d_gradients(term.g, x, self.0, term.z, wanted);
        by_x.into_iter().for_each(|by_x| found(0, by_x));
        by_z
    }
}
