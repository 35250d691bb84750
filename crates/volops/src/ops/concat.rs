//! Concatenation of a cell's nodes.

use burn::tensor::Tensor;

use crate::{
    Kernels, Operation, Step,
    node::{Kept, Undone, alone},
};

/// The channels of tensors one after the other.
///
/// # Shapes
/// - each part: `[batch, channels, depth, height, width]`, the channels its own
/// - result: `[batch, sum of channels, depth, height, width]`
///
/// # Panics
/// If there is no part, or shapes do not fit together.
pub fn concat<const N: usize>(parts: [Tensor<5>; N]) -> Tensor<5> {
    alone(Concat, parts)
}

const CHANNELS: usize = 1;

/// [`concat`] as an operation. Inputs: the parts.
#[derive(Clone, Copy, Debug)]
pub struct Concat;

impl Operation for Concat {
    fn hands_on(&self) -> bool {
        true
    }

    fn steps(&self) -> Option<Vec<Step>> {
        Some(vec![Step::Concat])
    }

    fn forward(
        &self,
        kernels: &dyn Kernels,
        sum: Option<Tensor<5>>,
        z: Option<&Tensor<1>>,
        parts: Vec<Tensor<5>>,
        _: bool,
    ) -> (Tensor<5>, Kept) {
        let y = kernels.concat(&parts);
        (kernels.add_scaled(sum, y, z), Kept::new())
    }

    fn reads(&self, wanted: &[bool], wants_z: bool) -> Vec<bool> {
        vec![wants_z; wanted.len()]
    }

    fn backward(
        &self,
        term: &Undone,
        found: &mut dyn FnMut(usize, Tensor<5>),
    ) -> Option<Tensor<1>> {
        let g = term.unweighted();
        let mut start = 0;
        for (i, part) in term.inputs.iter().enumerate() {
            let channels = part.shape[CHANNELS];
            if term.wanted[i] {
                // A view: no copy is made.
                found(i, g.clone().narrow(CHANNELS, start, channels));
            }
            start += channels;
        }
        term.by_weight(|| {
            let parts: Vec<_> = term.inputs.iter().map(|part| part.value().clone()).collect();
            term.kernels.concat(&parts)
        })
    }
}
