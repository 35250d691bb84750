//! Concatenation of a cell's nodes.

use burn::{backend::TensorMetadata, tensor::Tensor};
use burn_flex::FlexTensor;

use super::{
    extension::{Input, Op, apply, has_kernels},
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
    if has_kernels(&parts[0]) {
        apply(Concat, parts.map(Tensor::into_dispatch))
    } else {
        Tensor::cat(parts.to_vec(), CHANNELS)
    }
}

const CHANNELS: usize = 1;

#[derive(Debug, Clone)]
struct Concat;

impl Op for Concat {
    type Saved = ();

    fn forward(&self, parts: Vec<FlexTensor>, _: &[bool]) -> (FlexTensor, ()) {
        let mut shape = shape5(&parts[0].shape());
        for part in &parts[1..] {
            let [batch, channels, d, h, w] = shape5(&part.shape());
            assert_eq!(
                [batch, d, h, w],
                [shape[0], shape[2], shape[3], shape[4]],
                "concatenated tensors differ in channels only"
            );
            shape[CHANNELS] += channels;
        }
        let parts: Vec<Values> = parts.iter().map(Values::of).collect();
        let parts: Vec<&[f32]> = parts.iter().map(|part| &**part).collect();
        (tensor(concat::concat(&parts, shape[0]), shape), ())
    }

    fn reads(&self, wanted: &[bool]) -> Vec<bool> {
        vec![false; wanted.len()]
    }

    fn backward(
        &self,
        g: FlexTensor,
        parts: &[Input],
        _: (),
        wanted: &[bool],
        found: &mut dyn FnMut(usize, FlexTensor),
    ) {
        let mut start = 0;
        for (i, part) in parts.iter().enumerate() {
            let channels = part.shape[CHANNELS];
            if wanted[i] {
                // A view: no copy is made.
                found(i, g.narrow(CHANNELS, start, channels));
            }
            start += channels;
        }
    }
}
