//! Instance norm.

use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::{
    extension::{Input, Op, Route, apply3, route},
    flex::{Values, shape5, tensor},
};
use crate::{composition, kernel::norm};

/// Instance norm: every channel of every batch entry to mean 0 and variance 1 (eps 1e-5), then times `gamma` plus `beta`.
///
/// # Shapes
/// - `x`, result: `[batch, channels, depth, height, width]`
/// - `gamma`, `beta`: `[1, channels, 1, 1, 1]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn instance_norm(x: Tensor<5>, gamma: Tensor<5>, beta: Tensor<5>) -> Tensor<5> {
    match route(x) {
        Route::Kernels(x) => apply3(InstanceNorm, x, gamma.into_dispatch(), beta.into_dispatch()),
        Route::Composition(x) => composition::instance_norm(x, gamma, beta),
    }
}

#[derive(Debug, Clone)]
struct InstanceNorm;

impl Op<3> for InstanceNorm {
    const CHEAP: bool = true;

    fn forward(&self, [x, gamma, beta]: [FlexTensor; 3]) -> FlexTensor {
        let xs = shape5(x.layout().shape());
        for (name, scale) in [("gamma", &gamma), ("beta", &beta)] {
            let found = shape5(scale.layout().shape());
            assert_eq!(found, [1, xs[1], 1, 1, 1], "{name} [1, channels, 1, 1, 1] for an input {xs:?}");
        }
        let [x, gamma, beta] = [x, gamma, beta].map(|t| Values::of(&t));
        tensor(norm::instance_norm(&x, xs, &gamma, &beta), xs)
    }

    fn reads(&self, _: [bool; 3]) -> [bool; 3] {
        [true, true, false]
    }

    fn backward(&self, g: FlexTensor, [x, gamma, beta]: [Input; 3], wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        // One pass over the volume makes all three.
        let (gx, ggamma, gbeta) = norm::instance_norm_grad(&Values::of(&g), &x.values(), shape5(&x.shape), &gamma.values());
        let [wanted_x, wanted_gamma, wanted_beta] = wanted;
        [
            wanted_x.then(|| tensor(gx, x.shape)),
            wanted_gamma.then(|| tensor(ggamma, gamma.shape)),
            wanted_beta.then(|| tensor(gbeta, beta.shape)),
        ]
    }
}
