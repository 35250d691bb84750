//! Average over 3³ windows centred on every voxel, or on every second one along each axis.

use burn::tensor::Tensor;

use crate::{
    Kernels, Operation,
    node::{Kept, Undone, alone},
};

/// The mean over the 3³ window around every `stride`-th voxel, of those voxels that are inside the
/// grid.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - result: `[batch, channels, ⌈depth/stride⌉, ⌈height/stride⌉, ⌈width/stride⌉]`
pub fn avg_pool3d(x: Tensor<5>, stride: usize) -> Tensor<5> {
    alone(AvgPool3d { stride }, [x])
}

/// [`avg_pool3d`] as an operation. Input: `x`.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool3d {
    /// 1 or 2.
    pub stride: usize,
}

impl Operation for AvgPool3d {
    fn forward(
        &self,
        kernels: &dyn Kernels,
        sum: Option<Tensor<5>>,
        z: Option<&Tensor<1>>,
        inputs: Vec<Tensor<5>>,
        _: bool,
    ) -> (Tensor<5>, Kept) {
        (kernels.avg_pool3d(sum, &inputs[0], self.stride, z), Kept::new())
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
        let (by_x, by_z) =
            term.kernels.avg_pool3d_gradients(term.g, x, self.stride, term.z, wanted);
        by_x.into_iter().for_each(|by_x| found(0, by_x));
        by_z
    }
}
