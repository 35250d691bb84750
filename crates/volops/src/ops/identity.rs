//! The input as it is.

use burn::tensor::Tensor;

use crate::{
    Kernels, Operation, Step, Summand,
    node::{Kept, Undone},
};

/// `x` itself, as a term of a sum. Input: `x`.
#[derive(Clone, Copy, Debug)]
pub struct Identity;

impl Operation for Identity {
    fn hands_on(&self) -> bool {
        true
    }

    fn steps(&self) -> Option<Vec<Step>> {
        Some(Vec::new())
    }

    fn forward(
        &self,
        kernels: &dyn Kernels,
        sum: Option<Tensor<5>>,
        z: Option<&Tensor<1>>,
        mut inputs: Vec<Tensor<5>>,
        _: bool,
    ) -> (Tensor<5>, Kept) {
        (kernels.add_scaled(sum, inputs.swap_remove(0), z), Kept::new())
    }

    fn summand(&self, _: &dyn Kernels, mut inputs: Vec<Tensor<5>>, _: bool) -> (Summand, Kept) {
        (Summand::Plain(inputs.swap_remove(0)), Kept::new())
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
            found(0, term.unweighted());
        }
        term.by_weight(|| term.inputs[0].value().clone())
    }
}
