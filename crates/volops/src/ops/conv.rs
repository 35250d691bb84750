//! Convolutions: dense, transposed and depthwise.

use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::{
    extension::{Input, Op, apply, has_kernels},
    flex::{Values, shape5, tensor},
};
use crate::{
    composition,
    kernel::{
        conv::{self, ConvSpec, grad_weight},
        depthwise::{self, DepthwiseSpec},
    },
};

/// 3-D convolution without bias, padded so that a stride of 1 keeps the grid: `x` goes through a
/// LeakyReLU first if the spec has a slope.
///
/// # Shapes
/// - `x`: `[batch, in, depth, height, width]`
/// - `weight`: `[out, in, kd, kh, kw]`, the kernel of the spec
/// - result: `[batch, out, ⌈depth/stride⌉, ⌈height/stride⌉, ⌈width/stride⌉]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn conv3d(x: Tensor<5>, weight: Tensor<5>, spec: ConvSpec) -> Tensor<5> {
    if has_kernels(&x) {
        apply(Filter::Dense(spec), [x, weight].map(Tensor::into_dispatch))
    } else {
        composition::conv3d(x, weight, spec)
    }
}

/// Transposed 3³ convolution of stride 2 without bias, which doubles every axis: `x` goes through a
/// LeakyReLU first if there is a slope.
///
/// # Shapes
/// - `x`: `[batch, in, depth, height, width]`
/// - `weight`: `[in, out, 3, 3, 3]`
/// - result: `[batch, out, 2·depth, 2·height, 2·width]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn conv_transpose3d(x: Tensor<5>, weight: Tensor<5>, slope: Option<f32>) -> Tensor<5> {
    if has_kernels(&x) {
        apply(Filter::Transposed { slope }, [x, weight].map(Tensor::into_dispatch))
    } else {
        composition::conv_transpose3d(x, weight, slope)
    }
}

/// Depthwise 3-D convolution without bias, every channel with a kernel of its own, padded so that a
/// stride of 1 keeps the grid: `x` goes through a LeakyReLU first if the spec has a slope.
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - `weight`: `[channels, 1, kd, kh, kw]`, the kernel of the spec
/// - result: `[batch, channels, ⌈depth/stride⌉, ⌈height/stride⌉, ⌈width/stride⌉]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn depthwise3d(x: Tensor<5>, weight: Tensor<5>, spec: DepthwiseSpec) -> Tensor<5> {
    if has_kernels(&x) {
        apply(Filter::Depthwise(spec), [x, weight].map(Tensor::into_dispatch))
    } else {
        composition::depthwise3d(x, weight, spec)
    }
}

/// Any of them. Inputs: `x` and the weights.
#[derive(Debug, Clone, Copy)]
pub(super) enum Filter {
    Dense(ConvSpec),
    Transposed { slope: Option<f32> },
    Depthwise(DepthwiseSpec),
}

impl Filter {
    pub fn convolve(self, x: &FlexTensor, w: &FlexTensor) -> FlexTensor {
        let (xs, ws) = (shape5(x.layout().shape()), shape5(w.layout().shape()));
        let [x, w] = [x, w].map(Values::of);
        match self {
            Self::Dense(spec) => {
                let ([co, ..], [kd, kh, kw]) = (ws, spec.kernel);
                assert_eq!(
                    ws,
                    [co, xs[1], kd, kh, kw],
                    "weights [out, in, kd, kh, kw] for an input {xs:?}"
                );
                tensor(conv::conv3d(&x, xs, &w, co, spec), conv::out_shape(xs, co, &spec))
            }
            Self::Transposed { slope } => {
                let co = ws[1];
                assert_eq!(
                    ws,
                    [xs[1], co, 3, 3, 3],
                    "weights [in, out, 3, 3, 3] for an input {xs:?}"
                );
                tensor(
                    conv::conv_transpose3d(&x, xs, &w, co, slope),
                    conv::out_shape_transpose(xs, co),
                )
            }
            Self::Depthwise(spec) => {
                let [kd, kh, kw] = spec.kernel;
                assert_eq!(
                    ws,
                    [xs[1], 1, kd, kh, kw],
                    "weights [channels, 1, kd, kh, kw] for an input {xs:?}"
                );
                tensor(depthwise::depthwise3d(&x, xs, &w, spec), spec.out_shape(xs))
            }
        }
    }

    /// The gradients of `x` and of the weights, those that are wanted. The one of the weights reads
    /// `x`, and so does that of `x` itself: the sign decides what the LeakyReLU did.
    pub fn gradients(
        self,
        g: &FlexTensor,
        x: &Input,
        w: &Input,
        [of_x, of_w]: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let (xs, ws) = (shape5(&x.shape), shape5(&w.shape));
        let (g, x) = (Values::of(g), x.values());
        let gx = of_x.then(|| match self {
            Self::Dense(spec) => conv::conv3d_grad_input(&g, &w.values(), &x, xs, ws[0], spec),
            Self::Transposed { slope } => {
                conv::conv_transpose3d_grad_input(&g, &w.values(), &x, xs, ws[1], slope)
            }
            Self::Depthwise(spec) => {
                depthwise::depthwise3d_grad_input(&g, &w.values(), &x, xs, spec)
            }
        });
        let gw = of_w.then(|| match self {
            Self::Dense(spec) => grad_weight::conv3d_grad_weight(&x, xs, &g, ws[0], spec),
            Self::Transposed { slope } => {
                grad_weight::conv_transpose3d_grad_weight(&x, xs, &g, ws[1], slope)
            }
            Self::Depthwise(spec) => depthwise::depthwise3d_grad_weight(&x, xs, &g, spec),
        });
        [gx.map(|gx| tensor(gx, xs)), gw.map(|gw| tensor(gw, ws))]
    }
}

impl Op for Filter {
    type Saved = ();

    fn is_cheap(&self) -> bool {
        false
    }

    fn forward(&self, inputs: Vec<FlexTensor>, _: &[bool]) -> (FlexTensor, ()) {
        (self.convolve(&inputs[0], &inputs[1]), ())
    }

    fn reads(&self, wanted: &[bool]) -> Vec<bool> {
        vec![true, wanted[0]]
    }

    fn backward(
        &self,
        g: FlexTensor,
        inputs: &[Input],
        _: (),
        wanted: &[bool],
        found: &mut dyn FnMut(usize, FlexTensor),
    ) {
        let gradients = self.gradients(&g, &inputs[0], &inputs[1], [wanted[0], wanted[1]]);
        for (i, gradient) in gradients.into_iter().enumerate() {
            gradient.into_iter().for_each(|gradient| found(i, gradient));
        }
    }
}
