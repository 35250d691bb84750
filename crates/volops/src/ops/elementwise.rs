//! Elementwise operations: LeakyReLU, the weighted sum of a node, and the Adam update.

use burn::{
    backend::{Dispatch, TensorMetadata},
    tensor::Tensor,
};
use burn_flex::FlexTensor;

use super::{
    extension::{Input, Op, Route, VolumeOps, apply, route},
    flex::{Values, overwritable, tensor},
    term::{Term, apply_term},
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
        Route::Kernels(x) => apply(LeakyRelu { slope }, [x]),
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
    if acc.is_none() && z.is_none() {
        return Tensor::from_dispatch(y);
    }
    let (term, more) = Term::new(acc, z);
    apply_term!(AddScaled(term), [y], more)
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

    type Saved = ();

    fn forward(&self, [x]: [FlexTensor; 1], _: [bool; 1]) -> (FlexTensor, ()) {
        (tensor(elementwise::leaky_relu(&Values::of(&x), self.slope), x.shape()), ())
    }

    fn reads(&self, wanted: [bool; 1]) -> [bool; 1] {
        wanted
    }

    fn backward(&self, g: FlexTensor, [x]: [Input; 1], _: (), [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [wanted.then(|| {
            let gx = elementwise::leaky_relu_grad(&Values::of(&g), &x.values(), self.slope);
            tensor(gx, x.shape)
        })]
    }
}

/// Inputs: `y`, then those of the term.
#[derive(Debug, Clone)]
pub(super) struct AddScaled(pub Term);

/// Inputs that are not the term's.
const OWN: usize = 1;

impl<const N: usize> Op<N> for AddScaled {
    const CHEAP: bool = true;

    type Saved = ();

    fn forward(&self, inputs: [FlexTensor; N], _: [bool; N]) -> (FlexTensor, ()) {
        let z = self.0.z_at(OWN).map(|at| weight(&inputs[at]));
        let mut inputs = inputs.into_iter();
        let y = inputs.next().expect("a term has an input");
        let acc = self.0.acc_at(OWN).and_then(|_| inputs.next());
        let result = match (acc, z) {
            (None, None) => y,
            (None, Some(z)) => scaled(&y, z),
            (Some(acc), None) => sum(acc, y),
            (Some(acc), Some(z)) => added(acc, &y, z),
        };
        (result, ())
    }

    /// The gradient of either factor of `z·y` reads the other.
    fn reads(&self, wanted: [bool; N]) -> [bool; N] {
        let mut reads = [false; N];
        if let Some(z) = self.0.z_at(OWN) {
            reads[0] = wanted[z];
            reads[z] = wanted[0];
        }
        reads
    }

    fn backward(&self, g: FlexTensor, inputs: [Input; N], _: (), wanted: [bool; N]) -> [Option<FlexTensor>; N] {
        let mut gradients = [const { None }; N];
        let z = self.0.z_at(OWN);
        if let Some(at) = z.filter(|&at| wanted[at]) {
            let inner = elementwise::dot(&Values::of(&g), &inputs[0].values());
            gradients[at] = Some(tensor(vec![inner], inputs[at].shape.clone()));
        }
        if wanted[0] {
            gradients[0] = Some(z.map_or_else(|| g.clone(), |at| scaled(&g, inputs[at].values()[0])));
        }
        if let Some(at) = self.0.acc_at(OWN) {
            gradients[at] = wanted[at].then_some(g);
        }
        gradients
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

fn scaled(y: &FlexTensor, z: f32) -> FlexTensor {
    tensor(elementwise::scaled(&Values::of(y), z), y.shape())
}

fn added(acc: FlexTensor, y: &FlexTensor, z: f32) -> FlexTensor {
    assert_eq!(y.shape(), acc.shape(), "a term has the shape of the sum");
    let mut sum = overwritable(acc);
    elementwise::add_scaled(sum.storage_mut(), &Values::of(y), z);
    sum
}
