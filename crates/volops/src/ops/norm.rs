//! Instance norm.

use burn::{backend::TensorMetadata, tensor::Tensor};
use burn_flex::FlexTensor;

use super::{
    extension::{Input, Op, apply, has_kernels},
    flex::{Values, overwritable, shape5, tensor},
};
use crate::{
    composition,
    kernel::norm::{self, Moments},
};

/// Instance norm: every channel of every batch entry to mean 0 and variance 1 (eps 1e-5), then
/// times `gamma` plus `beta`.
///
/// # Shapes
/// - `x`, result: `[batch, channels, depth, height, width]`
/// - `gamma`, `beta`: `[1, channels, 1, 1, 1]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn instance_norm(x: Tensor<5>, gamma: Tensor<5>, beta: Tensor<5>) -> Tensor<5> {
    if has_kernels(&x) {
        apply(InstanceNorm, [x, gamma, beta].map(Tensor::into_dispatch))
    } else {
        composition::instance_norm(x, gamma, beta)
    }
}

/// Inputs: `x`, `gamma`, `beta`.
#[derive(Debug, Clone)]
struct InstanceNorm;

impl Op for InstanceNorm {
    /// Three numbers a channel.
    type Saved = Vec<Moments>;

    fn forward(&self, inputs: Vec<FlexTensor>, _: &[bool]) -> (FlexTensor, Vec<Moments>) {
        add_norm(None, &inputs[0], &inputs[1], &inputs[2], 1.0)
    }

    fn reads(&self, _: &[bool]) -> Vec<bool> {
        vec![true, true, false]
    }

    fn backward(
        &self,
        g: FlexTensor,
        inputs: &[Input],
        saved: Vec<Moments>,
        wanted: &[bool],
        found: &mut dyn FnMut(usize, FlexTensor),
    ) {
        let NormGradients { x, gamma, beta } =
            norm_gradients(&g, &inputs[0], &inputs[1], 1.0, &saved);
        found(0, x);
        for (i, gradient) in [(1, gamma), (2, beta)] {
            if wanted[i] {
                found(i, tensor(gradient, inputs[i].shape.clone()));
            }
        }
    }
}

/// `acc + z·instance_norm(x)`, and what the gradients need to know of `x`. The normalised volume is
/// never in memory: it is added to the sum as it is made, in place if nothing else refers to `acc`.
pub(super) fn add_norm(
    acc: Option<FlexTensor>,
    x: &FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    z: f32,
) -> (FlexTensor, Vec<Moments>) {
    let xs = shape5(x.layout().shape());
    for (name, scale) in [("gamma", gamma), ("beta", beta)] {
        let found = shape5(scale.layout().shape());
        assert_eq!(found, [1, xs[1], 1, 1, 1], "{name} [1, channels, 1, 1, 1] for an input {xs:?}");
    }
    let x = Values::of(x);
    let [gamma, beta] = [gamma, beta].map(|scale| scaled(&Values::of(scale), z));
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

/// Gradients of `z·instance_norm(x)` with respect to `x`, and of `instance_norm(x)` with respect to
/// `gamma` and `beta`.
pub(super) struct NormGradients {
    pub x: FlexTensor,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
}

/// One pass over the volume makes all of them.
pub(super) fn norm_gradients(
    g: &FlexTensor,
    x: &Input,
    gamma: &Input,
    z: f32,
    moments: &[Moments],
) -> NormGradients {
    let xs = shape5(&x.shape);
    let (x, gamma, beta) = norm::instance_norm_grad(
        &Values::of(g),
        &x.values(),
        xs,
        &scaled(&gamma.values(), z),
        moments,
    );
    NormGradients { x: tensor(x, xs), gamma, beta }
}

fn scaled(scale: &[f32], z: f32) -> Vec<f32> {
    scale.iter().map(|s| z * s).collect()
}
