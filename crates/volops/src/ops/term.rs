//! Terms of a node's weighted sum: `acc + z·y`, where an operation may have `acc` and `z` behind its own inputs.

use burn::{backend::DispatchTensor, tensor::Tensor};

/// Which of the two an operation has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    pub accumulates: bool,
    pub weighted: bool,
}

impl Term {
    /// The term, and its inputs: `acc` and `z`.
    pub fn new(acc: Option<Tensor<5>>, z: Option<Tensor<1>>) -> (Self, [Option<DispatchTensor>; 2]) {
        let term = Self { accumulates: acc.is_some(), weighted: z.is_some() };
        (term, [acc.map(Tensor::into_dispatch), z.map(Tensor::into_dispatch)])
    }

    /// Index of `acc` behind so many inputs of the operation's own.
    pub fn acc_at(self, own: usize) -> Option<usize> {
        self.accumulates.then_some(own)
    }

    /// Index of `z` behind so many inputs of the operation's own.
    pub fn z_at(self, own: usize) -> Option<usize> {
        self.weighted.then_some(own + usize::from(self.accumulates))
    }
}

/// Applies an operation to its own inputs and those of a [`Term`].
macro_rules! apply_term {
    ($op:expr, [$($own:expr),*], $more:expr) => {
        match $more {
            [None, None] => apply($op, [$($own),*]),
            [Some(one), None] | [None, Some(one)] => apply($op, [$($own,)* one]),
            [Some(acc), Some(z)] => apply($op, [$($own,)* acc, z]),
        }
    };
}
pub(super) use apply_term;
