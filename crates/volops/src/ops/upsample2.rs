//! Trilinear resampling to twice the grid.

use burn::tensor::Tensor;

use crate::{
    Kernels, Operation,
    node::{Kept, Undone, alone},
};

/// Trilinear resampling to twice the grid, voxel centres kept in place (`align_corners = false`):
/// every new voxel takes ¾ of the voxel it lies in and ¼ of the nearest other one, along each axis;
/// beyond the border the last voxel goes on.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - result: `[batch, channels, 2·depth, 2·height, 2·width]`
pub fn upsample2(x: Tensor<5>) -> Tensor<5> {
    alone(Upsample2, [x])
}

/// [`upsample2`] as an operation. Input: `x`.
#[derive(Clone, Copy, Debug)]
pub struct Upsample2;

impl Operation for Upsample2 {
    fn forward(
        &self,
        kernels: &dyn Kernels,
        sum: Option<Tensor<5>>,
        z: Option<&Tensor<1>>,
        inputs: Vec<Tensor<5>>,
        _: bool,
    ) -> (Tensor<5>, Kept) {
        let y = kernels.upsample2(&inputs[0]);
        (kernels.add_scaled(sum, y, z), Kept::new())
    }

    fn reads(&self, _: &[bool], wants_z: bool) -> Vec<bool> {
        vec![wants_z]
    }

    fn backward(
        &self,
        term: &Undone,
        found: &mut dyn FnMut(usize, Tensor<5>),
    ) -> Option<Tensor<1>> {
        if term.wanted[0] {
            found(0, term.kernels.upsample2_gradient(&term.unweighted()));
        }
        term.by_weight(|| term.kernels.upsample2(term.inputs[0].value()))
    }
}
