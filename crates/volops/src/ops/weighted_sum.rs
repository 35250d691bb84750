//! A node of a cell: the weighted sum of operations, as one step of the tape.
//!
//! Every step that is recorded and undone costs Burn's tape about 10 microseconds, as much as a
//! small kernel, and a node has up to ten terms.

use std::ops::Range;

use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::{
    conv::Filter,
    elementwise::{added, scaled, sum, weight},
    extension::{Input, MOST_INPUTS, Op, apply, has_kernels},
    flex::{Values, tensor},
    norm::{NormGradients, add_norm, norm_gradients},
    pool::{Pooling, add_pooled, pooled_gradients},
};
use crate::{
    composition,
    kernel::{conv::ConvSpec, depthwise::DepthwiseSpec, elementwise::dot, norm::Moments},
};

/// `z · operation(x)`, one term of a weighted sum.
pub struct Term {
    /// `[batch, channels, depth, height, width]`
    pub x: Tensor<5>,
    pub operation: Operation,
    /// `[1]`; none means 1.
    pub z: Option<Tensor<1>>,
}

/// What a [`Term`] makes of its input.
#[allow(clippy::large_enum_variant)] // A node has few.
pub enum Operation {
    /// [`instance_norm`](crate::instance_norm) of a convolution; `gamma` and `beta` are `[1,
    /// channels, 1, 1, 1]`.
    ConvNorm { convolution: Convolution, gamma: Tensor<5>, beta: Tensor<5> },
    /// [`max_pool3d`](crate::max_pool3d).
    MaxPool { stride: usize },
    /// [`avg_pool3d`](crate::avg_pool3d).
    AveragePool { stride: usize },
    /// The input itself.
    Identity,
}

/// A convolution with its weights.
#[allow(clippy::large_enum_variant)] // One at a time, for the length of a call.
pub enum Convolution {
    /// [`conv3d`](crate::conv3d).
    Dense { weight: Tensor<5>, spec: ConvSpec },
    /// [`conv_transpose3d`](crate::conv_transpose3d).
    Transposed { weight: Tensor<5>, slope: Option<f32> },
    /// [`depthwise3d`](crate::depthwise3d), then a 1³ convolution without an activation.
    Separable { depthwise: Tensor<5>, spec: DepthwiseSpec, pointwise: Tensor<5> },
}

/// The second convolution of a separable one.
pub(crate) const POINTWISE: ConvSpec = ConvSpec { kernel: [1; 3], stride: 1, slope: None };

/// Most inputs of a term: `x`, two weights, gamma, beta, z.
const MOST_OF_A_TERM: usize = 6;

/// `Σ z · operation(x)`, added up in the order of the terms.
///
/// On the CPU what a norm or a pooling makes is never in memory: it is added to the sum as it is
/// made. The sum takes over the memory of an input that goes into it as it is, if nothing else
/// refers to that, and the gradient of such an input is the result's, not a copy of it. The
/// gradients of the weights `z` come from sums that those of the operations need anyway.
///
/// # Panics
/// If there is no term, or shapes do not fit together.
pub fn weighted_sum(terms: Vec<Term>) -> Tensor<5> {
    let mut terms = terms.into_iter();
    let mut sum = None;
    loop {
        let most = (MOST_INPUTS - 1) / MOST_OF_A_TERM;
        let before = sum.map(|x| Term { x, operation: Operation::Identity, z: None });
        let result = step(before.into_iter().chain(terms.by_ref().take(most)).collect());
        if terms.len() == 0 {
            return result;
        }
        sum = Some(result);
    }
}

/// `acc + z·y`. Without `acc` that is `z·y`; without `z` the weight is 1.
///
/// # Shapes
/// - `acc`, `y`, result: `[batch, channels, depth, height, width]`
/// - `z`: `[1]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn add_scaled(acc: Option<Tensor<5>>, y: Tensor<5>, z: Option<Tensor<1>>) -> Tensor<5> {
    let terms = acc.map(|acc| (acc, None)).into_iter().chain([(y, z)]);
    weighted_sum(terms.map(|(x, z)| Term { x, operation: Operation::Identity, z }).collect())
}

/// The sum of terms with at most [`MOST_INPUTS`] inputs together.
fn step(terms: Vec<Term>) -> Tensor<5> {
    let Some(Term { x, .. }) = terms.first() else { panic!("a sum has at least one term") };
    if !has_kernels(x) {
        return composition::weighted_sum(terms);
    }
    if let [Term { x, operation: Operation::Identity, z: None }] = &terms[..] {
        return x.clone();
    }
    let mut inputs = Vec::new();
    let parts = terms.into_iter().map(|Term { x, operation, z }| {
        let first = inputs.len();
        inputs.push(x.into_dispatch());
        let kind = match operation {
            Operation::ConvNorm { convolution, gamma, beta } => {
                let (filters, weights) = match convolution {
                    Convolution::Dense { weight, spec } => {
                        (vec![Filter::Dense(spec)], vec![weight])
                    }
                    Convolution::Transposed { weight, slope } => {
                        (vec![Filter::Transposed { slope }], vec![weight])
                    }
                    Convolution::Separable { depthwise, spec, pointwise } => (
                        vec![Filter::Depthwise(spec), Filter::Dense(POINTWISE)],
                        vec![depthwise, pointwise],
                    ),
                };
                inputs.extend(weights.into_iter().chain([gamma, beta]).map(Tensor::into_dispatch));
                Kind::ConvNorm(filters)
            }
            Operation::MaxPool { stride } => Kind::Pool { pooling: Pooling::Max, stride },
            Operation::AveragePool { stride } => Kind::Pool { pooling: Pooling::Mean, stride },
            Operation::Identity => Kind::Identity,
        };
        let is_weighted = z.is_some();
        inputs.extend(z.map(Tensor::into_dispatch));
        Part { kind, is_weighted, inputs: first..inputs.len() }
    });
    let sum = WeightedSum(parts.collect());
    apply(sum, inputs)
}

/// Inputs: those of each part in turn.
#[derive(Debug, Clone)]
struct WeightedSum(Vec<Part>);

/// A term without its tensors.
#[derive(Debug, Clone)]
struct Part {
    kind: Kind,
    is_weighted: bool,
    /// Its own among all: `x`, for a convolution the weights of its filters, gamma and beta, and
    /// `z` if it is weighted.
    inputs: Range<usize>,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Filters one after the other.
    ConvNorm(Vec<Filter>),
    Pool {
        pooling: Pooling,
        stride: usize,
    },
    Identity,
}

/// What a part leaves for the backward pass.
#[derive(Debug, Clone, Default)]
struct Saved {
    /// What each of its filters made.
    filtered: Vec<FlexTensor>,
    /// Those of the last.
    moments: Vec<Moments>,
}

impl Op for WeightedSum {
    type Saved = Vec<Saved>;

    fn is_cheap(&self) -> bool {
        !self.0.iter().any(|part| matches!(part.kind, Kind::ConvNorm(_)))
    }

    fn forward(&self, inputs: Vec<FlexTensor>, wanted: &[bool]) -> (FlexTensor, Vec<Saved>) {
        let mut inputs = inputs.into_iter();
        let mut sum = None;
        let saved = self.0.iter().map(|part| {
            let own = inputs.by_ref().take(part.inputs.len()).collect();
            let (more, saved) = part.add_to(sum.take(), own, wanted.contains(&true));
            sum = Some(more);
            saved
        });
        let saved = saved.collect();
        (sum.expect("a sum has at least one term"), saved)
    }

    fn reads(&self, wanted: &[bool]) -> Vec<bool> {
        self.0.iter().flat_map(|part| part.reads(&wanted[part.inputs.clone()])).collect()
    }

    /// Last to first: what was saved last is the likeliest to be in a cache still.
    fn backward(
        &self,
        g: FlexTensor,
        inputs: &[Input],
        saved: Vec<Saved>,
        wanted: &[bool],
        found: &mut dyn FnMut(usize, FlexTensor),
    ) {
        // A slice of a larger gradient is copied once, not for each part.
        let g = if g.is_contiguous() { g } else { g.to_contiguous() };
        for (part, saved) in self.0.iter().zip(saved).rev() {
            let own = part.inputs.clone();
            let first = own.start;
            part.backward(&g, &inputs[own.clone()], saved, &wanted[own], &mut |i, gradient| {
                found(first + i, gradient)
            });
        }
    }
}

impl Part {
    /// Index of the weight among the part's own inputs.
    fn z(&self) -> Option<usize> {
        self.is_weighted.then(|| self.inputs.len() - 1)
    }

    fn add_to(
        &self,
        acc: Option<FlexTensor>,
        mut inputs: Vec<FlexTensor>,
        keeps: bool,
    ) -> (FlexTensor, Saved) {
        let z = self.z().map(|at| weight(&inputs[at]));
        let factor = z.unwrap_or(1.0);
        let mut saved = Saved::default();
        let sum = match &self.kind {
            Kind::ConvNorm(filters) => {
                let mut y = inputs[0].clone();
                for (filter, w) in filters.iter().zip(&inputs[1..]) {
                    y = filter.convolve(&y, w);
                    saved.filtered.extend(keeps.then(|| y.clone()));
                }
                let [gamma, beta] = [1, 2].map(|i| &inputs[filters.len() + i]);
                let (sum, moments) = add_norm(acc, &y, gamma, beta, factor);
                saved.moments = moments;
                sum
            }
            &Kind::Pool { pooling, stride } => add_pooled(acc, &inputs[0], pooling, stride, factor),
            Kind::Identity => {
                let x = inputs.swap_remove(0);
                match (acc, z) {
                    (None, None) => x,
                    (None, Some(z)) => scaled(&x, z),
                    (Some(acc), None) => sum(acc, x),
                    (Some(acc), Some(z)) => added(acc, &x, z),
                }
            }
        };
        (sum, saved)
    }

    fn reads(&self, wanted: &[bool]) -> Vec<bool> {
        let of_z = self.z().is_some_and(|at| wanted[at]);
        let mut reads = vec![true; self.inputs.len()];
        match self.kind {
            Kind::ConvNorm(_) => {}
            Kind::Pool { pooling: Pooling::Max, .. } => reads[0] = wanted[0] || of_z,
            Kind::Pool { pooling: Pooling::Mean, .. } | Kind::Identity => reads[0] = of_z,
        }
        reads
    }

    fn backward(
        &self,
        g: &FlexTensor,
        inputs: &[Input],
        saved: Saved,
        wanted: &[bool],
        found: &mut dyn FnMut(usize, FlexTensor),
    ) {
        let wanted_z = self.z().filter(|&at| wanted[at]);
        let z = self.z().map(|at| inputs[at].values()[0]);
        let scalar = |value: f32| tensor(vec![value], [1]);
        match &self.kind {
            Kind::ConvNorm(filters) => {
                let Saved { filtered, moments } = saved;
                let filtered: Vec<Input> = filtered.into_iter().map(Input::from).collect();
                let [gamma, beta] = [1, 2].map(|i| filters.len() + i);
                let factor = z.unwrap_or(1.0);
                let y = &filtered[filters.len() - 1];
                let NormGradients { x: mut g, gamma: by_gamma, beta: by_beta } =
                    norm_gradients(g, y, &inputs[gamma], factor, &moments);
                if let Some(at) = wanted_z {
                    let products = |a: &[f32], b: &[f32]| {
                        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
                    };
                    let sums = products(&inputs[gamma].values(), &by_gamma)
                        + products(&inputs[beta].values(), &by_beta);
                    found(at, scalar(sums as f32));
                }
                for (at, by) in [(gamma, by_gamma), (beta, by_beta)] {
                    if wanted[at] {
                        found(
                            at,
                            tensor(
                                by.iter().map(|by| factor * by).collect(),
                                inputs[at].shape.clone(),
                            ),
                        );
                    }
                }
                for (i, filter) in filters.iter().enumerate().rev() {
                    let x = if i == 0 { &inputs[0] } else { &filtered[i - 1] };
                    // For the input itself, or for what comes before.
                    let of_x = wanted[..=i].contains(&true);
                    let [by_x, by_w] =
                        filter.gradients(&g, x, &inputs[1 + i], [of_x, wanted[1 + i]]);
                    by_w.into_iter().for_each(|by_w| found(1 + i, by_w));
                    match by_x {
                        Some(by_x) => g = by_x,
                        None => return,
                    }
                }
                found(0, g);
            }
            &Kind::Pool { pooling, stride } => {
                if !wanted[0] && wanted_z.is_none() {
                    return;
                }
                let z = z.filter(|_| wanted[0]).unwrap_or(1.0);
                let (by_x, by_z) =
                    pooled_gradients(g, &inputs[0], pooling, stride, z, wanted_z.is_some());
                if let (Some(at), Some(by_z)) = (wanted_z, by_z) {
                    found(at, scalar(by_z));
                }
                if wanted[0] {
                    found(0, by_x);
                }
            }
            Kind::Identity => {
                if let Some(at) = wanted_z {
                    found(at, scalar(dot(&Values::of(g), &inputs[0].values())));
                }
                if wanted[0] {
                    found(0, z.map_or_else(|| g.clone(), |z| scaled(g, z)));
                }
            }
        }
    }
}
