//! Between Burn's GPU tensors and the buffers the kernels work on.

use burn::{backend::Cube, tensor::Tensor};

use super::tape::lower;
use crate::gpu::{Buffer, Sum};

/// The elements of `tensor`.
pub(super) fn buffer<const D: usize>(tensor: Tensor<D>) -> Buffer {
    Buffer::of(lower::<Cube>(tensor.into_dispatch()))
}

/// A tensor around a buffer, without a copy.
pub(super) fn tensor<const D: usize>(buffer: Buffer, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Cube>(buffer.into_tensor(shape))
}

/// What a result shaped `shape` is added to: in place if nothing else refers to it.
///
/// # Panics
/// If the shapes differ.
pub(super) fn sum(sum: Option<Tensor<5>>, shape: [usize; 5]) -> Sum {
    let Some(sum) = sum else { return Sum::None };
    assert_eq!(sum.dims(), shape, "a term has the shape of the sum");
    let sum = buffer(sum);
    if sum.is_unique() { Sum::InPlace(sum) } else { Sum::Other(sum) }
}
