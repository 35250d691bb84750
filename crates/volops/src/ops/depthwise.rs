//! Depthwise convolution: every channel with a kernel of its own.

use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::{
    conv::convolution_reads,
    extension::{Input, Op, Route, apply, route},
    flex::{Values, shape5, tensor},
};
use crate::{
    composition,
    kernel::depthwise::{self, DepthwiseSpec},
};

/// Depthwise 3-D convolution without bias, padded so that a stride of 1 keeps the grid: `x` goes through a LeakyReLU first if the
/// spec has a slope.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - `weight`: `[channels, 1, kd, kh, kw]`, the kernel of the spec
/// - result: `[batch, channels, ⌈depth/stride⌉, ⌈height/stride⌉, ⌈width/stride⌉]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn depthwise3d(x: Tensor<5>, weight: Tensor<5>, spec: DepthwiseSpec) -> Tensor<5> {
    match route(x) {
        Route::Kernels(x) => apply(Depthwise(spec), [x, weight.into_dispatch()]),
        Route::Composition(x) => composition::depthwise3d(x, weight, spec),
    }
}

#[derive(Debug, Clone)]
pub(super) struct Depthwise(pub DepthwiseSpec);

impl Op<2> for Depthwise {
    const CHEAP: bool = false;

    type Saved = ();

    fn forward(&self, [x, w]: [FlexTensor; 2], _: [bool; 2]) -> (FlexTensor, ()) {
        let (xs, ws) = (shape5(x.layout().shape()), shape5(w.layout().shape()));
        let [kd, kh, kw] = self.0.kernel;
        assert_eq!(ws, [xs[1], 1, kd, kh, kw], "weights [channels, 1, kd, kh, kw] for an input {xs:?}");
        let y = depthwise::depthwise3d(&Values::of(&x), xs, &Values::of(&w), self.0);
        (tensor(y, self.0.out_shape(xs)), ())
    }

    fn reads(&self, wanted: [bool; 2]) -> [bool; 2] {
        convolution_reads(wanted)
    }

    fn backward(&self, g: FlexTensor, [x, w]: [Input; 2], _: (), [wanted_x, wanted_w]: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let xs = shape5(&x.shape);
        let g = Values::of(&g);
        let gx = wanted_x.then(|| depthwise::depthwise3d_grad_input(&g, &w.values(), &x.values(), xs, self.0));
        let gw = wanted_w.then(|| depthwise::depthwise3d_grad_weight(&x.values(), xs, &g, self.0));
        [gx.map(|gx| tensor(gx, x.shape)), gw.map(|gw| tensor(gw, w.shape))]
    }
}
