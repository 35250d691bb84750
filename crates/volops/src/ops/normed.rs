//! Instance norm, alone or of what convolutions make.

use burn::tensor::Tensor;

use super::{conv3d::Conv3d, depthwise3d::Depthwise3d, filter::Filter};
use crate::{
    ConvSpec, DepthwiseSpec, Kernels, Operation, Step, Summand,
    kernel::norm::EPSILON,
    node::{Kept, Undone, alone},
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
    alone(Normed { filters: Vec::new() }, [x, gamma, beta])
}

/// [`instance_norm`] of convolutions one after the other. Inputs: `x`, the weight of each
/// convolution, `gamma`, `beta`.
///
/// On the CPU the normalised volume is never in memory: it is added to the sum as it is made.
#[derive(Debug)]
pub struct Normed {
    filters: Vec<Box<dyn Filter>>,
}

/// The second convolution of a separable one.
const POINTWISE: ConvSpec = ConvSpec { kernel: [1; 3], stride: [1; 3], slope: None };

impl Normed {
    /// One convolution and its norm.
    pub fn of(filter: impl Filter) -> Self {
        Self { filters: vec![Box::new(filter)] }
    }

    /// A separable convolution and its norm: a depthwise one, then a 1³ one without an activation.
    pub fn separable(spec: DepthwiseSpec) -> Self {
        Self { filters: vec![Box::new(Depthwise3d(spec)), Box::new(Conv3d(POINTWISE))] }
    }
}

impl Operation for Normed {
    fn hands_on(&self) -> bool {
        self.filters.iter().all(|filter| filter.filter_hands_on())
    }

    fn steps(&self) -> Option<Vec<Step>> {
        let filters = self.filters.iter().flat_map(|filter| filter.filter_steps());
        Some(filters.chain([Step::InstanceNorm { epsilon: EPSILON }]).collect())
    }

    fn is_cheap(&self) -> bool {
        self.filters.is_empty()
    }

    fn summand(
        &self,
        kernels: &dyn Kernels,
        mut inputs: Vec<Tensor<5>>,
        keeps: bool,
    ) -> (Summand, Kept) {
        let (y, kept) = self.convolve(kernels, &inputs, keeps);
        let beta = inputs.pop().expect("beta is the last input");
        let gamma = inputs.pop().expect("gamma is the last but one");
        (Summand::Norm(Box::new([y, gamma, beta])), kept)
    }

    fn norm<'a>(&self, term: &Undone<'a>) -> Option<[&'a Tensor<5>; 3]> {
        let count = self.filters.len();
        let x = term.kept.last().unwrap_or_else(|| term.inputs[0].value());
        Some([x, term.inputs[count + 1].value(), term.inputs[count + 2].value()])
    }

    fn behind_norm(
        &self,
        term: &Undone,
        by_operands: [Tensor<5>; 3],
        found: &mut dyn FnMut(usize, Tensor<5>),
    ) {
        let wanted = self.wanted_of_norm(term.wanted);
        let mut wanted = wanted.into_iter();
        self.through(
            term,
            by_operands.map(|by| Some(by).filter(|_| wanted.next() == Some(true))),
            found,
        );
    }

    /// Keeps what each convolution made, and the statistics of the last.
    fn forward(
        &self,
        kernels: &dyn Kernels,
        sum: Option<Tensor<5>>,
        z: Option<&Tensor<1>>,
        inputs: Vec<Tensor<5>>,
        keeps: bool,
    ) -> (Tensor<5>, Kept) {
        let (y, mut kept) = self.convolve(kernels, &inputs, keeps);
        let [gamma, beta] = [1, 2].map(|i| &inputs[self.filters.len() + i]);
        let (sum, statistics) = kernels.instance_norm(sum, [&y, gamma, beta], z);
        kept.extend(statistics.filter(|_| keeps));
        (sum, kept)
    }

    fn backward(
        &self,
        term: &Undone,
        found: &mut dyn FnMut(usize, Tensor<5>),
    ) -> Option<Tensor<1>> {
        let Undone { kernels, inputs, wanted, .. } = *term;
        let count = self.filters.len();
        let [gamma, beta] = [1, 2].map(|i| count + i);
        let (made, statistics) = term.kept.split_at(count);
        let read = made.last().unwrap_or_else(|| inputs[0].value());
        let operands = [read, inputs[gamma].value(), inputs[beta].value()];
        let [of_read, of_gamma, of_beta] = self.wanted_of_norm(wanted);
        let (by_operands, by_z) = kernels.instance_norm_gradients(
            term.g,
            operands,
            term.z,
            statistics.first(),
            [of_read, of_gamma, of_beta, term.wants_z],
        );
        self.through(term, by_operands, found);
        by_z
    }
}

impl Normed {
    /// What the last convolution makes, and if it `keeps` anything what each of them does.
    fn convolve(
        &self,
        kernels: &dyn Kernels,
        inputs: &[Tensor<5>],
        keeps: bool,
    ) -> (Tensor<5>, Kept) {
        let mut kept = Kept::new();
        let mut y = inputs[0].clone();
        for (filter, weight) in self.filters.iter().zip(&inputs[1..]) {
            y = filter.convolve(kernels, &y, weight);
            kept.extend(keeps.then(|| y.clone()));
        }
        (y, kept)
    }

    /// Whether the gradients of what the norm reads, of `gamma` and of `beta` are wanted.
    fn wanted_of_norm(&self, wanted: &[bool]) -> [bool; 3] {
        let count = self.filters.len();
        [wanted[..=count].contains(&true), wanted[count + 1], wanted[count + 2]]
    }

    /// The backward pass, from the gradients of what the norm reads, of `gamma` and of `beta`.
    fn through(
        &self,
        term: &Undone,
        [mut by_read, by_gamma, by_beta]: [Option<Tensor<5>>; 3],
        found: &mut dyn FnMut(usize, Tensor<5>),
    ) {
        let Undone { kernels, inputs, wanted, kept, .. } = *term;
        let [gamma, beta] = [1, 2].map(|i| self.filters.len() + i);
        by_gamma.into_iter().for_each(|by_gamma| found(gamma, by_gamma));
        by_beta.into_iter().for_each(|by_beta| found(beta, by_beta));
        for (i, filter) in self.filters.iter().enumerate().rev() {
            let Some(g) = by_read else { break };
            let read = if i == 0 { inputs[0].value() } else { &kept[i - 1] };
            // For the input itself, or for what comes before.
            let of_read = wanted[..=i].contains(&true);
            let by_weight;
            [by_read, by_weight] = filter.gradients(
                kernels,
                &g,
                [read, inputs[1 + i].value()],
                [of_read, wanted[1 + i]],
            );
            by_weight.into_iter().for_each(|by_weight| found(1 + i, by_weight));
        }
        by_read.into_iter().for_each(|by_x| found(0, by_x));
    }
}
