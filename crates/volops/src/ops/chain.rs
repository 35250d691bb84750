//! Two operations as one step of the tape. Keeping the tape costs as much time as a small kernel, so what always occurs together is
//! recorded together.

use std::array;

use burn::{backend::TensorMetadata, tensor::Shape};
use burn_flex::FlexTensor;

use super::extension::{Input, Op};

/// `first`, an operation of `FIRST` inputs, and `then`, whose first input is its result. The inputs are those of `first`, followed by
/// the others of `then`.
#[derive(Debug, Clone)]
pub(super) struct Chain<A, B, const FIRST: usize> {
    pub first: A,
    pub then: B,
}

/// What lies between the two: its shape, and its elements where `then` reads them in the backward pass.
#[derive(Debug, Clone)]
pub(super) struct Between {
    shape: Shape,
    value: Option<FlexTensor>,
}

macro_rules! chain {
    ($($first:literal then $then:literal: $all:literal,)*) => {
        $(impl<A: Op<$first>, B: Op<$then>> Op<$all> for Chain<A, B, $first> {
            const CHEAP: bool = A::CHEAP && B::CHEAP;

            type Saved = (A::Saved, Between, B::Saved);

            fn forward(&self, inputs: [FlexTensor; $all], wanted: [bool; $all]) -> (FlexTensor, Self::Saved) {
                let (of_first, of_then) = divided(wanted);
                let mut inputs = inputs.into_iter();
                let (y, first) = self.first.forward(taken(&mut inputs), of_first);
                let kept = self.then.reads(of_then)[0].then(|| y.clone());
                let between = Between { shape: y.shape(), value: kept };
                let mut inputs = std::iter::once(y).chain(inputs);
                let (result, then) = self.then.forward(taken(&mut inputs), of_then);
                (result, (first, between, then))
            }

            fn reads(&self, wanted: [bool; $all]) -> [bool; $all] {
                let (of_first, of_then) = divided(wanted);
                let mut reads = self.first.reads(of_first).into_iter().chain(self.then.reads(of_then).into_iter().skip(1));
                taken(&mut reads)
            }

            fn backward(
                &self,
                g: FlexTensor,
                inputs: [Input; $all],
                (first, Between { shape, value }, then): Self::Saved,
                wanted: [bool; $all],
            ) -> [Option<FlexTensor>; $all] {
                let (of_first, of_then) = divided(wanted);
                let mut inputs = inputs.into_iter();
                let inputs_of_first = taken(&mut inputs);
                let mut inputs = std::iter::once(Input { shape, value }).chain(inputs);
                let mut by_then = self.then.backward(g, taken(&mut inputs), then, of_then).into_iter();
                let by_first = match by_then.next().flatten() {
                    Some(g) => self.first.backward(g, inputs_of_first, first, of_first),
                    None => [const { None }; $first],
                };
                taken(&mut by_first.into_iter().chain(by_then))
            }
        })*
    };
}

chain! {
    2 then 2: 3,
    2 then 3: 4,
    2 then 4: 5,
    2 then 5: 6,
    3 then 3: 5,
    3 then 4: 6,
    3 then 5: 7,
}

/// Which gradients each of the two is asked for: the second for that of its first input if the first is for any.
fn divided<const ALL: usize, const FIRST: usize, const THEN: usize>(wanted: [bool; ALL]) -> ([bool; FIRST], [bool; THEN]) {
    let of_first: [bool; FIRST] = array::from_fn(|i| wanted[i]);
    let between = of_first.contains(&true);
    (of_first, array::from_fn(|i| if i == 0 { between } else { wanted[FIRST + i - 1] }))
}

/// The next `N` items; the sizes of [`Chain`] are such that there are as many.
fn taken<T, const N: usize>(items: &mut impl Iterator<Item = T>) -> [T; N] {
    array::from_fn(|_| items.next().expect("a chain has the inputs of both operations"))
}
