//! Convolution and transposed convolution.

use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::{
    extension::{Input, Op, Route, apply, route},
    flex::{Values, shape5, tensor},
};
use crate::{
    composition,
    kernel::{
        conv::{self, ConvSpec},
        conv_grad_weight,
    },
};

/// 3-D convolution without bias, padded so that a stride of 1 keeps the grid: `x` goes through a LeakyReLU first if the spec has
/// a slope.
///
/// # Shapes
/// - `x`: `[batch, in, depth, height, width]`
/// - `weight`: `[out, in, kd, kh, kw]`, the kernel of the spec
/// - result: `[batch, out, ⌈depth/stride⌉, ⌈height/stride⌉, ⌈width/stride⌉]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn conv3d(x: Tensor<5>, weight: Tensor<5>, spec: ConvSpec) -> Tensor<5> {
    match route(x) {
        Route::Kernels(x) => apply(Conv(spec), [x, weight.into_dispatch()]),
        Route::Composition(x) => composition::conv3d(x, weight, spec),
    }
}

/// Transposed 3³ convolution of stride 2 without bias, which doubles every axis: `x` goes through a LeakyReLU first if there is a
/// slope.
///
/// # Shapes
/// - `x`: `[batch, in, depth, height, width]`
/// - `weight`: `[in, out, 3, 3, 3]`
/// - result: `[batch, out, 2·depth, 2·height, 2·width]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn conv_transpose3d(x: Tensor<5>, weight: Tensor<5>, slope: Option<f32>) -> Tensor<5> {
    match route(x) {
        Route::Kernels(x) => apply(ConvTranspose { slope }, [x, weight.into_dispatch()]),
        Route::Composition(x) => composition::conv_transpose3d(x, weight, slope),
    }
}

#[derive(Debug, Clone)]
pub(super) struct Conv(pub ConvSpec);

impl Op<2> for Conv {
    const CHEAP: bool = false;

    type Saved = ();

    fn forward(&self, [x, w]: [FlexTensor; 2], _: [bool; 2]) -> (FlexTensor, ()) {
        let (xs, ws) = (shape5(x.layout().shape()), shape5(w.layout().shape()));
        let ([co, ..], [kd, kh, kw]) = (ws, self.0.kernel);
        assert_eq!(ws, [co, xs[1], kd, kh, kw], "weights [out, in, kd, kh, kw] for an input {xs:?}");
        let y = conv::conv3d(&Values::of(&x), xs, &Values::of(&w), co, self.0);
        (tensor(y, conv::out_shape(xs, co, &self.0)), ())
    }

    fn reads(&self, wanted: [bool; 2]) -> [bool; 2] {
        convolution_reads(wanted)
    }

    fn backward(&self, g: FlexTensor, [x, w]: [Input; 2], _: (), [wanted_x, wanted_w]: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let (xs, co) = (shape5(&x.shape), w.shape[0]);
        let g = Values::of(&g);
        let gx = wanted_x.then(|| conv::conv3d_grad_input(&g, &w.values(), &x.values(), xs, co, self.0));
        let gw = wanted_w.then(|| conv_grad_weight::conv3d_grad_weight(&x.values(), xs, &g, co, self.0));
        [gx.map(|gx| tensor(gx, x.shape)), gw.map(|gw| tensor(gw, w.shape))]
    }
}

#[derive(Debug, Clone)]
pub(super) struct ConvTranspose {
    pub slope: Option<f32>,
}

impl Op<2> for ConvTranspose {
    const CHEAP: bool = false;

    type Saved = ();

    fn forward(&self, [x, w]: [FlexTensor; 2], _: [bool; 2]) -> (FlexTensor, ()) {
        let (xs, ws) = (shape5(x.layout().shape()), shape5(w.layout().shape()));
        let co = ws[1];
        assert_eq!(ws, [xs[1], co, 3, 3, 3], "weights [in, out, 3, 3, 3] for an input {xs:?}");
        let y = conv::conv_transpose3d(&Values::of(&x), xs, &Values::of(&w), co, self.slope);
        (tensor(y, conv::out_shape_transpose(xs, co)), ())
    }

    fn reads(&self, wanted: [bool; 2]) -> [bool; 2] {
        convolution_reads(wanted)
    }

    fn backward(&self, g: FlexTensor, [x, w]: [Input; 2], _: (), [wanted_x, wanted_w]: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let (xs, co, slope) = (shape5(&x.shape), w.shape[1], self.slope);
        let g = Values::of(&g);
        let gx = wanted_x.then(|| conv::conv_transpose3d_grad_input(&g, &w.values(), &x.values(), xs, co, slope));
        let gw = wanted_w.then(|| conv_grad_weight::conv_transpose3d_grad_weight(&x.values(), xs, &g, co, slope));
        [gx.map(|gx| tensor(gx, x.shape)), gw.map(|gw| tensor(gw, w.shape))]
    }
}

/// The gradient of the weights reads the input, and so does that of the input itself: the sign decides what the LeakyReLU did.
pub(super) fn convolution_reads([wanted_x, _]: [bool; 2]) -> [bool; 2] {
    [true, wanted_x]
}
