//! Trilinear resampling to twice the grid.

use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::{
    extension::{Input, Op, apply, has_kernels},
    flex::{Values, shape5, tensor},
};
use crate::{composition, kernel::upsample};

/// Trilinear resampling to twice the grid, voxel centres kept in place (`align_corners = false`):
/// every new voxel takes ¾ of the voxel it lies in and ¼ of the nearest other one, along each axis;
/// beyond the border the last voxel goes on.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - result: `[batch, channels, 2·depth, 2·height, 2·width]`
pub fn upsample2(x: Tensor<5>) -> Tensor<5> {
    if has_kernels(&x) { apply(Upsample2, [x.into_dispatch()]) } else { composition::upsample2(x) }
}

#[derive(Debug, Clone)]
struct Upsample2;

impl Op for Upsample2 {
    type Saved = ();

    fn forward(&self, inputs: Vec<FlexTensor>, _: &[bool]) -> (FlexTensor, ()) {
        let xs @ [n, c, d, h, w] = shape5(inputs[0].layout().shape());
        (tensor(upsample::upsample2(&Values::of(&inputs[0]), xs), [n, c, 2 * d, 2 * h, 2 * w]), ())
    }

    fn reads(&self, _: &[bool]) -> Vec<bool> {
        vec![false]
    }

    fn backward(
        &self,
        g: FlexTensor,
        inputs: &[Input],
        _: (),
        _: &[bool],
        found: &mut dyn FnMut(usize, FlexTensor),
    ) {
        let xs = shape5(&inputs[0].shape);
        found(0, tensor(upsample::upsample2_grad(&Values::of(&g), xs), xs));
    }
}
