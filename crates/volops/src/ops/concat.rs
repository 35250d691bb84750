//! Concatenation of a cell's nodes.

use burn::{backend::TensorMetadata, tensor::Tensor};
use burn_flex::FlexTensor;

use super::{
    extension::{Input, Op, Route, apply, route},
    flex::{Values, shape5, tensor},
};
use crate::kernel::concat;

/// The channels of four tensors one after the other.
///
/// # Shapes
/// - each part: `[batch, channels, depth, height, width]`, the channels its own
/// - result: `[batch, sum of channels, depth, height, width]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn concat(parts: [Tensor<5>; 4]) -> Tensor<5> {
    let [a, b, c, d] = parts;
    match route(a) {
        Route::Kernels(a) => apply(Concat, [a, b.into_dispatch(), c.into_dispatch(), d.into_dispatch()]),
        Route::Composition(a) => Tensor::cat(vec![a, b, c, d], CHANNELS),
    }
}

const CHANNELS: usize = 1;

#[derive(Debug, Clone)]
struct Concat;

impl<const N: usize> Op<N> for Concat {
    const CHEAP: bool = true;

    type Saved = ();

    fn forward(&self, parts: [FlexTensor; N], _: [bool; N]) -> (FlexTensor, ()) {
        let mut shape = shape5(&parts[0].shape());
        for part in &parts[1..] {
            let [batch, channels, d, h, w] = shape5(&part.shape());
            assert_eq!([batch, d, h, w], [shape[0], shape[2], shape[3], shape[4]], "concatenated tensors differ in channels only");
            shape[CHANNELS] += channels;
        }
        let parts = parts.each_ref().map(Values::of);
        let parts: Vec<&[f32]> = parts.iter().map(|part| &**part).collect();
        (tensor(concat::concat(&parts, shape[0]), shape), ())
    }

    fn reads(&self, _: [bool; N]) -> [bool; N] {
        [false; N]
    }

    fn backward(&self, g: FlexTensor, parts: [Input; N], _: (), wanted: [bool; N]) -> [Option<FlexTensor>; N] {
        let mut start = 0;
        std::array::from_fn(|i| {
            let channels = parts[i].shape[CHANNELS];
            start += channels;
            // A view: no copy is made.
            wanted[i].then(|| g.narrow(CHANNELS, start - channels, channels))
        })
    }
}
