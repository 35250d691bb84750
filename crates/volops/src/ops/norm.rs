//! Instance norm, alone or as a term of a node's weighted sum.

use burn::{backend::TensorMetadata, tensor::Tensor};
use burn_flex::FlexTensor;

use super::{
    elementwise::weight,
    extension::{Input, Op, Route, apply, route},
    flex::{Values, overwritable, shape5, tensor},
    term::{Term, apply_term},
};
use crate::{
    composition,
    kernel::norm::{self, Moments},
};

/// Instance norm: every channel of every batch entry to mean 0 and variance 1 (eps 1e-5), then times `gamma` plus `beta`.
///
/// # Shapes
/// - `x`, result: `[batch, channels, depth, height, width]`
/// - `gamma`, `beta`: `[1, channels, 1, 1, 1]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn instance_norm(x: Tensor<5>, gamma: Tensor<5>, beta: Tensor<5>) -> Tensor<5> {
    add_instance_norm(None, x, gamma, beta, None)
}

/// `acc + z·instance_norm(x)`, one term of a weighted sum. Without `acc` the sum starts here; without `z` the weight is 1.
///
/// On the CPU the normalised volume is never in memory: it is added to the sum as it is made (in place if nothing else refers to
/// `acc`), and the backward pass takes the gradient of `z` from the sums that those of `gamma` and `beta` need anyway.
///
/// # Shapes
/// - `acc`, `x`, result: `[batch, channels, depth, height, width]`
/// - `gamma`, `beta`: `[1, channels, 1, 1, 1]`
/// - `z`: `[1]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn add_instance_norm(acc: Option<Tensor<5>>, x: Tensor<5>, gamma: Tensor<5>, beta: Tensor<5>, z: Option<Tensor<1>>) -> Tensor<5> {
    let x = match route(x) {
        Route::Kernels(x) => x,
        Route::Composition(x) => return composition::add_instance_norm(acc, x, gamma, beta, z),
    };
    let (term, more) = Term::new(acc, z);
    let [gamma, beta] = [gamma, beta].map(Tensor::into_dispatch);
    apply_term!(InstanceNorm(term), [x, gamma, beta], more)
}

/// Inputs: `x`, `gamma`, `beta`, then those of the term.
#[derive(Debug, Clone)]
pub(super) struct InstanceNorm(pub Term);

/// Inputs that are not the term's.
const OWN: usize = 3;

impl<const N: usize> Op<N> for InstanceNorm {
    const CHEAP: bool = true;

    /// Three numbers a channel.
    type Saved = Vec<Moments>;

    fn forward(&self, inputs: [FlexTensor; N], _: [bool; N]) -> (FlexTensor, Vec<Moments>) {
        let z = self.0.z_at(OWN).map_or(1.0, |at| weight(&inputs[at]));
        let xs = shape5(inputs[0].layout().shape());
        for (name, scale) in [("gamma", &inputs[1]), ("beta", &inputs[2])] {
            let found = shape5(scale.layout().shape());
            assert_eq!(found, [1, xs[1], 1, 1, 1], "{name} [1, channels, 1, 1, 1] for an input {xs:?}");
        }
        let mut inputs = Vec::from(inputs);
        let acc = self.0.acc_at(OWN).map(|at| inputs.swap_remove(at));
        let x = Values::of(&inputs[0]);
        let [gamma, beta] = [1, 2].map(|i| scaled(&Values::of(&inputs[i]), z));
        match acc {
            Some(acc) => {
                assert_eq!(shape5(&acc.shape()), xs, "a term has the shape of the sum");
                let mut sum = overwritable(acc);
                let moments = norm::add_instance_norm(sum.storage_mut(), &x, xs, &gamma, &beta);
                (sum, moments)
            }
            None => {
                let (y, moments) = norm::instance_norm(&x, xs, &gamma, &beta);
                (tensor(y, xs), moments)
            }
        }
    }

    fn reads(&self, wanted: [bool; N]) -> [bool; N] {
        let z = self.0.z_at(OWN);
        let mut reads = [false; N];
        reads[0] = true;
        reads[1] = true;
        if let Some(at) = z {
            reads[2] = wanted[at];
            reads[at] = true;
        }
        reads
    }

    fn backward(&self, g: FlexTensor, inputs: [Input; N], moments: Vec<Moments>, wanted: [bool; N]) -> [Option<FlexTensor>; N] {
        let z = self.0.z_at(OWN).map_or(1.0, |at| inputs[at].values()[0]);
        let gamma = inputs[1].values();
        let xs = shape5(&inputs[0].shape);
        // One pass over the volume makes all of them.
        let (gx, by_gamma, by_beta) = norm::instance_norm_grad(&Values::of(&g), &inputs[0].values(), xs, &scaled(&gamma, z), &moments);
        let mut gradients = [const { None }; N];
        if let Some(at) = self.0.z_at(OWN).filter(|&at| wanted[at]) {
            let beta = inputs[2].values();
            let products = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
            gradients[at] = Some(tensor(vec![(products(&gamma, &by_gamma) + products(&beta, &by_beta)) as f32], [1]));
        }
        gradients[0] = wanted[0].then(|| tensor(gx, xs));
        for (i, by) in [(1, by_gamma), (2, by_beta)] {
            gradients[i] = wanted[i].then(|| tensor(scaled(&by, z), inputs[i].shape.clone()));
        }
        if let Some(at) = self.0.acc_at(OWN) {
            gradients[at] = wanted[at].then_some(g);
        }
        gradients
    }
}

fn scaled(values: &[f32], z: f32) -> Vec<f32> {
    values.iter().map(|v| z * v).collect()
}
