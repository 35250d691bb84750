//! Between Burn's CPU tensors and the slices the kernels work on.

use std::{borrow::Cow, ops::Deref};

use burn::{
    backend::{
        Backend, DispatchKindConversion, DispatchTensor, TensorMetadata, tensor::FloatTensor,
    },
    tensor::{Bytes, DType, Shape, Tensor},
};
use burn_flex::{FlexTensor, Layout};

use crate::kernel;

/// What backend `B` has of a tensor that is on it.
pub(crate) fn primitive<B: Backend>(tensor: Tensor<5>) -> FloatTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    tensor
        .try_into_primitive::<B>()
        .unwrap_or_else(|error| panic!("tensors of one operation are on one device: {error:?}"))
}

/// A tensor whose elements are a slice: itself when it is contiguous, which slices of the leading
/// axes also are, else a copy.
pub(crate) struct Values<'a>(Cow<'a, FlexTensor>);

impl<'a> Values<'a> {
    pub fn of(tensor: &'a FlexTensor) -> Self {
        Self(if tensor.is_contiguous() {
            Cow::Borrowed(tensor)
        } else {
            Cow::Owned(tensor.to_contiguous())
        })
    }
}

impl Deref for Values<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.as_slice().expect("a contiguous tensor of f32 has its elements in a slice")
    }
}

/// A tensor around `values`, without a copy.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape.into()), DType::F32)
}

/// The elements of `tensor` to be overwritten: in place when nothing else refers to them, else in a
/// copy.
pub(crate) fn overwritable(tensor: FlexTensor) -> FlexTensor {
    let whole = tensor.layout().start_offset() == 0
        && tensor.bytes().len() == size_of::<f32>() * tensor.layout().num_elements();
    if tensor.is_unique() && tensor.is_contiguous() && whole {
        return tensor;
    }
    let shape = tensor.shape();
    self::tensor(Values::of(&tensor).to_vec(), shape)
}

/// `[batch, channels, depth, height, width]`.
pub(crate) fn shape5(shape: &Shape) -> kernel::Shape {
    shape.as_slice().try_into().unwrap_or_else(|_| {
        panic!("expected [batch, channels, depth, height, width], found {shape:?}")
    })
}
