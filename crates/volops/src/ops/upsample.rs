//! Trilinear resampling to twice the grid.

use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::{
    extension::{Input, Op, Route, apply, route},
    flex::{Values, shape5, tensor},
};
use crate::{composition, kernel::upsample};

/// Trilinear resampling to twice the grid, voxel centres kept in place (`align_corners = false`): every new voxel takes ¾ of the
/// voxel it lies in and ¼ of the nearest other one, along each axis; beyond the border the last voxel goes on.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - result: `[batch, channels, 2·depth, 2·height, 2·width]`
pub fn upsample2(x: Tensor<5>) -> Tensor<5> {
    match route(x) {
        Route::Kernels(x) => apply(Upsample2, [x]),
        Route::Composition(x) => composition::upsample2(x),
    }
}

#[derive(Debug, Clone)]
struct Upsample2;

impl Op<1> for Upsample2 {
    const CHEAP: bool = true;

    type Saved = ();

    fn forward(&self, [x]: [FlexTensor; 1], _: [bool; 1]) -> (FlexTensor, ()) {
        let xs = shape5(x.layout().shape());
        let [n, c, d, h, w] = xs;
        (tensor(upsample::upsample2(&Values::of(&x), xs), [n, c, 2 * d, 2 * h, 2 * w]), ())
    }

    fn reads(&self, _: [bool; 1]) -> [bool; 1] {
        [false]
    }

    fn backward(&self, g: FlexTensor, [x]: [Input; 1], _: (), [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [wanted.then(|| {
            let gx = upsample::upsample2_grad(&Values::of(&g), shape5(&x.shape));
            tensor(gx, x.shape)
        })]
    }
}
