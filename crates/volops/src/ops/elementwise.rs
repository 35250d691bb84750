//! Elementwise operations: LeakyReLU, the weighted sum of a node, and the Adam update.

use burn::{
    backend::{Dispatch, TensorMetadata},
    tensor::Tensor,
};
use burn_flex::FlexTensor;

use super::{
    extension::{Input, Op, Route, VolumeOps, apply1, apply2, apply3, route},
    flex::{Values, overwritable, tensor},
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
    match route(x) {
        Route::Kernels(x) => apply1(LeakyRelu { slope }, x),
        Route::Composition(x) => composition::leaky_relu(x, slope),
    }
}

/// `acc + z·y`, one term of a weighted sum. Without `acc` the sum starts here; without `z` the weight is 1.
///
/// On the CPU the sum reuses the memory of `acc` if nothing else refers to it, and the gradient of `acc` is the result's, not a
/// copy of it.
///
/// # Shapes
/// - `acc`, `y`, result: `[batch, channels, depth, height, width]`
/// - `z`: `[1]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn add_scaled(acc: Option<Tensor<5>>, y: Tensor<5>, z: Option<Tensor<1>>) -> Tensor<5> {
    let y = match route(y) {
        Route::Kernels(y) => y,
        Route::Composition(y) => return composition::add_scaled(acc, y, z),
    };
    let acc = acc.map(Tensor::into_dispatch);
    match (acc, z.map(Tensor::into_dispatch)) {
        (None, None) => Tensor::from_dispatch(y),
        (None, Some(z)) => apply2(Scale, y, z),
        (Some(acc), None) => apply2(Add, acc, y),
        (Some(acc), Some(z)) => apply3(AddScaled, acc, y, z),
    }
}

/// One Adam update of the parameters `p` with gradient `g` and moments `m` and `v`: the new `(p, m, v)`.
///
/// Nothing is recorded for autodiff. On the CPU the results reuse the memory of `p`, `m`, `v` if nothing else refers to it.
///
/// # Panics
/// If the shapes differ.
pub fn adam(p: Tensor<5>, g: Tensor<5>, m: Tensor<5>, v: Tensor<5>, step: &AdamStep) -> (Tensor<5>, Tensor<5>, Tensor<5>) {
    match route(p) {
        Route::Kernels(p) => {
            let [g, m, v] = [g, m, v].map(Tensor::into_dispatch);
            let (p, m, v) = <Dispatch as VolumeOps>::adam(p, g, m, v, step);
            let [p, m, v] = [p, m, v].map(Tensor::from_dispatch);
            (p, m, v)
        }
        Route::Composition(p) => composition::adam(p, g, m, v, step),
    }
}

pub(super) fn adam_step(
    p: FlexTensor,
    g: FlexTensor,
    m: FlexTensor,
    v: FlexTensor,
    step: &AdamStep,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    for (name, other) in [("gradient", &g), ("first moment", &m), ("second moment", &v)] {
        assert_eq!(other.shape(), p.shape(), "the {name} has the shape of the parameters");
    }
    let [mut p, mut m, mut v] = [p, m, v].map(overwritable);
    elementwise::adam(p.storage_mut(), &Values::of(&g), m.storage_mut(), v.storage_mut(), step);
    (p, m, v)
}

#[derive(Debug, Clone)]
struct LeakyRelu {
    slope: f32,
}

impl Op<1> for LeakyRelu {
    const CHEAP: bool = true;

    fn forward(&self, [x]: [FlexTensor; 1]) -> FlexTensor {
        tensor(elementwise::leaky_relu(&Values::of(&x), self.slope), x.shape())
    }

    fn reads(&self, wanted: [bool; 1]) -> [bool; 1] {
        wanted
    }

    fn backward(&self, g: FlexTensor, [x]: [Input; 1], [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [wanted.then(|| {
            let gx = elementwise::leaky_relu_grad(&Values::of(&g), &x.values(), self.slope);
            tensor(gx, x.shape)
        })]
    }
}

/// `z·y`.
#[derive(Debug, Clone)]
struct Scale;

impl Op<2> for Scale {
    const CHEAP: bool = true;

    fn forward(&self, [y, z]: [FlexTensor; 2]) -> FlexTensor {
        scaled(&y, weight(&z))
    }

    fn reads(&self, wanted: [bool; 2]) -> [bool; 2] {
        product_reads(wanted)
    }

    fn backward(&self, g: FlexTensor, [y, z]: [Input; 2], wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
        product_backward(&g, [y, z], wanted)
    }
}

/// `acc + y`.
#[derive(Debug, Clone)]
pub(super) struct Add;

impl Op<2> for Add {
    const CHEAP: bool = true;

    fn forward(&self, [acc, y]: [FlexTensor; 2]) -> FlexTensor {
        // Either may give its memory to the sum, which is the same bits in both orders.
        let (sum, term) = if acc.is_unique() { (acc, y) } else { (y, acc) };
        added(sum, &term, 1.0)
    }

    fn reads(&self, _: [bool; 2]) -> [bool; 2] {
        [false; 2]
    }

    fn backward(&self, g: FlexTensor, _: [Input; 2], wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
        wanted.map(|wanted| wanted.then(|| g.clone()))
    }
}

/// `acc + z·y`.
#[derive(Debug, Clone)]
struct AddScaled;

impl Op<3> for AddScaled {
    const CHEAP: bool = true;

    fn forward(&self, [acc, y, z]: [FlexTensor; 3]) -> FlexTensor {
        added(acc, &y, weight(&z))
    }

    fn reads(&self, [_, wanted_y, wanted_z]: [bool; 3]) -> [bool; 3] {
        let [y, z] = product_reads([wanted_y, wanted_z]);
        [false, y, z]
    }

    fn backward(&self, g: FlexTensor, [_, y, z]: [Input; 3], [wanted_acc, wanted_y, wanted_z]: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let [gy, gz] = product_backward(&g, [y, z], [wanted_y, wanted_z]);
        [wanted_acc.then_some(g), gy, gz]
    }
}

/// The gradient of either factor of `z·y` reads the other.
fn product_reads([wanted_y, wanted_z]: [bool; 2]) -> [bool; 2] {
    [wanted_z, wanted_y]
}

fn product_backward(g: &FlexTensor, [y, z]: [Input; 2], [wanted_y, wanted_z]: [bool; 2]) -> [Option<FlexTensor>; 2] {
    let gy = wanted_y.then(|| scaled(g, z.values()[0]));
    let gz = wanted_z.then(|| {
        let inner = elementwise::dot(&Values::of(g), &y.values());
        tensor(vec![inner], z.shape)
    });
    [gy, gz]
}

pub(super) fn weight(z: &FlexTensor) -> f32 {
    assert_eq!(z.shape().num_elements(), 1, "the weight of a term is one number");
    Values::of(z)[0]
}

fn scaled(y: &FlexTensor, z: f32) -> FlexTensor {
    tensor(elementwise::scaled(&Values::of(y), z), y.shape())
}

fn added(acc: FlexTensor, y: &FlexTensor, z: f32) -> FlexTensor {
    assert_eq!(y.shape(), acc.shape(), "a term has the shape of the sum");
    let mut sum = overwritable(acc);
    elementwise::add_scaled(sum.storage_mut(), &Values::of(y), z);
    sum
}
