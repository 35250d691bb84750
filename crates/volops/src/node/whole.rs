//! A node whose kernels make its whole sum at once.

use burn::{
    backend::DispatchTensor,
    tensor::{Shape, Tensor},
};

use super::{Input, Kept, Node, Undone};
use crate::backend::{NormGradients, NormTerm, WholeSums};

impl Node {
    /// As [`Node::forward`]. Behind what the parts keep is what the sum keeps.
    pub(super) fn forward_whole(
        &self,
        sums: &dyn WholeSums,
        inputs: Vec<DispatchTensor>,
        keeps: bool,
    ) -> (Tensor<5>, Vec<Kept>) {
        let mut inputs = inputs.into_iter();
        let mut terms = Vec::with_capacity(self.parts.len());
        let mut kept = Vec::with_capacity(self.parts.len() + 1);
        for part in &self.parts {
            let own = inputs.by_ref().take(part.inputs.len()).map(Tensor::from_dispatch).collect();
            let z = part.is_weighted.then(|| inputs.next()).flatten().map(Tensor::from_dispatch);
            let (summand, saved) = part.operation.summand(self.kernels, own, keeps);
            terms.push((summand, z));
            kept.push(saved);
        }
        let (sum, moments) = sums.sum(terms);
        kept.push(moments.filter(|_| keeps).into_iter().collect());
        (sum, kept)
    }

    /// The gradients of the norms among the parts, given that of the sum, `g`, and what was kept,
    /// from which what the sum kept is taken.
    pub(super) fn norm_gradients(
        &self,
        sums: &dyn WholeSums,
        g: &Tensor<5>,
        inputs: &[(Shape, Option<DispatchTensor>)],
        kept: &mut Vec<Kept>,
    ) -> Vec<Option<NormGradients>> {
        let Some(moments) = kept.pop().and_then(|mut of_sum| of_sum.pop()) else {
            return Vec::new();
        };
        let own: Vec<(Vec<Input>, Option<Tensor<1>>)> = self
            .parts
            .iter()
            .map(|part| {
                let z = part.z().and_then(|z| inputs[z].1.clone()).map(Tensor::from_dispatch);
                (inputs[part.inputs.clone()].iter().cloned().map(Input::from).collect(), z)
            })
            .collect();
        let terms: Vec<Option<NormTerm>> = self
            .parts
            .iter()
            .zip(&own)
            .zip(kept.iter())
            .map(|((part, (inputs, z)), kept)| {
                let (kernels, z) = (self.kernels, z.as_ref());
                let (wanted, wants_z) = (&[][..], false);
                let term = Undone { kernels, g, z, inputs, kept, wanted, wants_z };
                part.operation.norm(&term).map(|operands| NormTerm { operands, z })
            })
            .collect();
        let norms: Vec<NormTerm> = terms.iter().flatten().copied().collect();
        let mut found = sums.norm_gradients(g, &norms, &moments).into_iter();
        terms.iter().map(|term| term.and_then(|_| found.next())).collect()
    }
}
