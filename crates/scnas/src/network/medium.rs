//! What a forward pass is made in. A network is wired once: in tensors that is running it
//! ([`Pass`](crate::network::weights::Pass)), in [symbols](Symbol) writing it down.

use burn::tensor::{Tensor, activation::sigmoid};
use volops::{Operation, Term};

use crate::network::layout::WeightId;
use crate::network::weights::Pass;

/// What volumes are, and what can be done with them. Shapes are those of tensors:
/// `[batch, channels, depth, height, width]`.
pub trait Medium {
    /// A volume or a weight.
    type Volume: Clone;

    /// A weight.
    fn weight(&self, id: WeightId) -> Self::Volume;

    /// `Σ z · operation(inputs)`, in the order of the terms, of which there is at least one.
    fn weighted_sum(&self, terms: Vec<Term<Self::Volume>>) -> Self::Volume;

    /// `x` and in every voxel `by`, `[1, channels, 1, 1, 1]`.
    fn shifted(&self, x: Self::Volume, by: Self::Volume) -> Self::Volume;

    /// `x · σ(gate)`, the gate being of one channel.
    fn gated(&self, x: Self::Volume, gate: Self::Volume) -> Self::Volume;

    /// Zeros in the channels of `x`, on the grid of every `stride`-th voxel.
    fn zeros(&self, x: &Self::Volume, stride: [usize; 3]) -> Self::Volume;
}

/// The result of one operation.
pub(crate) fn alone<M: Medium + ?Sized>(
    medium: &M,
    operation: impl Operation,
    inputs: impl Into<Vec<M::Volume>>,
) -> M::Volume {
    medium.weighted_sum(vec![Term::new(operation, inputs)])
}

/// A volume that has only a number, or a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Symbol {
    /// As the medium counts them.
    Volume(usize),
    /// Of the network.
    Weight(WeightId),
}

impl Medium for Pass<'_> {
    type Volume = Tensor<5>;

    fn weight(&self, id: WeightId) -> Tensor<5> {
        self.weight(id)
    }

    fn weighted_sum(&self, terms: Vec<Term>) -> Tensor<5> {
        volops::weighted_sum(terms)
    }

    fn shifted(&self, x: Tensor<5>, by: Tensor<5>) -> Tensor<5> {
        x + by
    }

    fn gated(&self, x: Tensor<5>, gate: Tensor<5>) -> Tensor<5> {
        x * sigmoid(gate)
    }

    fn zeros(&self, x: &Tensor<5>, stride: [usize; 3]) -> Tensor<5> {
        let [batch, channels, d, h, w] = x.dims();
        let [sd, sh, sw] = stride;
        self.zeros([batch, channels, d.div_ceil(sd), h.div_ceil(sh), w.div_ceil(sw)])
    }
}
