//! Elementwise operations: LeakyReLU, the Adam update, and the parts of sums.

use burn::{
    backend::{Flex, TensorMetadata},
    tensor::Tensor,
};
use burn_flex::FlexTensor;

use super::{
    extension::{Input, Op, apply, has_kernels},
    flex::{Values, overwritable, primitive, tensor},
};
use crate::{
    composition,
    kernel::elementwise::{self, AdamStep},
};

/// `x` where positive, `slope · x` elsewhere.
///
/// # Shapes
/// - `x`, result: `[batch, channels, depth, height, width]`
pub fn leaky_relu(x: Tensor<5>, slope: f32) -> Tensor<5> {
    if has_kernels(&x) {
        apply(LeakyRelu { slope }, [x.into_dispatch()])
    } else {
        composition::leaky_relu(x, slope)
    }
}

/// One Adam update of the parameters `p` with gradient `g` and moments `m` and `v`: the new `(p, m,
/// v)`.
///
/// Nothing is recorded for autodiff. On the CPU the results reuse the memory of `p`, `m`, `v` if
/// nothing else refers to it.
///
/// # Panics
/// If the shapes differ.
pub fn adam(
    p: Tensor<5>,
    g: Tensor<5>,
    m: Tensor<5>,
    v: Tensor<5>,
    step: &AdamStep,
) -> (Tensor<5>, Tensor<5>, Tensor<5>) {
    if !has_kernels(&p) {
        return composition::adam(p, g, m, v, step);
    }
    for (name, other) in [("gradient", &g), ("first moment", &m), ("second moment", &v)] {
        assert_eq!(other.dims(), p.dims(), "the {name} has the shape of the parameters");
    }
    let is_autodiff = p.is_autodiff();
    let on_flex = |tensor: Tensor<5>| {
        primitive::<Flex>(if tensor.is_autodiff() { tensor.inner() } else { tensor })
    };
    let [p, g, m, v] = [p, g, m, v].map(on_flex);
    let [mut p, mut m, mut v] = [p, m, v].map(overwritable);
    elementwise::adam(p.storage_mut(), &Values::of(&g), m.storage_mut(), v.storage_mut(), step);
    let [p, m, v] = [p, m, v].map(|tensor| {
        let tensor = Tensor::from_primitive::<Flex>(tensor);
        if is_autodiff { Tensor::from_inner(tensor) } else { tensor }
    });
    (p, m, v)
}

#[derive(Debug, Clone)]
struct LeakyRelu {
    slope: f32,
}

impl Op for LeakyRelu {
    type Saved = ();

    fn forward(&self, inputs: Vec<FlexTensor>, _: &[bool]) -> (FlexTensor, ()) {
        let x = &inputs[0];
        (tensor(elementwise::leaky_relu(&Values::of(x), self.slope), x.shape()), ())
    }

    fn reads(&self, wanted: &[bool]) -> Vec<bool> {
        wanted.to_vec()
    }

    fn backward(
        &self,
        g: FlexTensor,
        inputs: &[Input],
        _: (),
        _: &[bool],
        found: &mut dyn FnMut(usize, FlexTensor),
    ) {
        let gx = elementwise::leaky_relu_grad(&Values::of(&g), &inputs[0].values(), self.slope);
        found(0, tensor(gx, g.shape()));
    }
}

/// `a + b`. Either may give its memory to the sum, which is the same bits in both orders.
pub(super) fn sum(a: FlexTensor, b: FlexTensor) -> FlexTensor {
    let (sum, term) = if a.is_unique() { (a, b) } else { (b, a) };
    added(sum, &term, 1.0)
}

pub(super) fn weight(z: &FlexTensor) -> f32 {
    assert_eq!(z.shape().num_elements(), 1, "the weight of a term is one number");
    Values::of(z)[0]
}

pub(super) fn scaled(y: &FlexTensor, z: f32) -> FlexTensor {
    tensor(elementwise::scaled(&Values::of(y), z), y.shape())
}

pub(super) fn added(acc: FlexTensor, y: &FlexTensor, z: f32) -> FlexTensor {
    assert_eq!(y.shape(), acc.shape(), "a term has the shape of the sum");
    let mut sum = overwritable(acc);
    elementwise::add_scaled(sum.storage_mut(), &Values::of(y), z);
    sum
}
