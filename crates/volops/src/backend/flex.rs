//! Between Burn's CPU tensors and the slices the kernels work on.

use std::ops::Deref;

use burn::{
    backend::{Flex, TensorMetadata},
    tensor::{Bytes, DType, Element, Tensor},
};
use burn_flex::{FlexTensor, Layout};

use super::tape::lower;

/// What is behind a tensor on the CPU.
pub(super) fn flex<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    lower::<Flex>(tensor.into_dispatch())
}

/// A tensor whose elements are a slice: the given one when it is contiguous, which slices of the
/// leading axes also are, else a copy.
pub(super) struct Values(FlexTensor);

impl Values {
    /// The elements of `tensor`.
    pub fn of<const D: usize>(tensor: &Tensor<D>) -> Self {
        Self(contiguous(flex(tensor.clone())))
    }
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.as_slice().expect("a contiguous tensor of f32 has its elements in a slice")
    }
}

pub(super) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// A tensor around `values`, without a copy.
pub(super) fn tensor<E: Element, const D: usize>(values: Vec<E>, shape: [usize; D]) -> Tensor<D> {
    let layout = Layout::contiguous(shape.into());
    Tensor::from_primitive::<Flex>(FlexTensor::new(Bytes::from_elems(values), layout, E::dtype()))
}

/// The elements of `tensor` to be overwritten: in place when nothing else refers to them, else in a
/// copy.
pub(super) fn overwritable(tensor: Tensor<5>) -> FlexTensor {
    let tensor = flex(tensor);
    let whole = tensor.layout().start_offset() == 0
        && tensor.bytes().len() == size_of::<f32>() * tensor.layout().num_elements();
    if tensor.is_unique() && tensor.is_contiguous() && whole {
        return tensor;
    }
    let shape = tensor.shape();
    let values = Values(contiguous(tensor)).to_vec();
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}
