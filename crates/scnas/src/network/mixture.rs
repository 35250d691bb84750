//! Which operations run on the edges, each with its weight ẑ, and the gradients of these weights.

use burn::tensor::{Device, Gradients, Tensor, TensorData, Transaction};
use rand::{Rng, RngExt as _};

use crate::space::genotype::Genotype;
use crate::space::operation::Family;
use crate::space::per_edge::PerEdge;
use crate::space::topology::EDGES;

/// An operation that runs on an edge.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its index in the operation table.
    pub operation: usize,
    /// Its weight ẑ, `[1]`; none means 1.
    pub z: Option<Tensor<1>>,
}

/// The operations that run on every edge of every architecture. Those of one edge are summed.
#[derive(Clone, Debug)]
pub struct Mixture(PerEdge<Vec<Entry>>);

/// dL/dẑ of a mixture: on every edge, the operations that ran in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureGradients(PerEdge<Vec<EntryGradient>>);

/// dL/dẑ of one operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntryGradient {
    /// The operation's index in the table.
    pub operation: usize,
    /// dL/dẑ; 0 where ẑ is not tracked.
    pub by_z: f64,
}

/// A weight of an operation, not tracked.
pub fn constant(z: f64, device: &Device) -> Tensor<1> {
    Tensor::from_inner(Tensor::from_data(TensorData::new(vec![z as f32], [1]), device))
}

impl Mixture {
    /// A mixture of these operations.
    pub fn new(edges: PerEdge<Vec<Entry>>) -> Self {
        Self(edges)
    }

    /// That of a network without such edges.
    pub fn none() -> Self {
        Self(PerEdge::default())
    }

    /// One operation an edge, as `genotype` says.
    pub fn of(genotype: &Genotype) -> Self {
        Self(genotype.choices.map(|&operation| vec![Entry { operation, z: None }]))
    }

    /// The same for a step of training with drop-path (Larsson et al. 2017, "FractalNet"; as in
    /// Zoph et al. 2018, identities stay): each operation is left out with probability `share`,
    /// in all cells of its type, and counts `1 / (1 - share)` otherwise.
    pub fn dropped(genotype: &Genotype, share: f64, device: &Device, rng: &mut impl Rng) -> Self {
        let kept = constant(1.0 / (1.0 - share), device);
        Self(genotype.choices.map(|&operation| {
            match genotype.space.operations.get(operation).kind.family() {
                Family::Identity => vec![Entry { operation, z: None }],
                _ if rng.random::<f64>() < share => vec![],
                _ => vec![Entry { operation, z: Some(kept.clone()) }],
            }
        }))
    }

    /// The edges of one architecture.
    pub fn architecture(&self, architecture: usize) -> &[Vec<Entry>; EDGES] {
        &self.0[architecture]
    }

    /// The same weights, off the tape.
    pub fn untracked(&self) -> Self {
        let untracked = |&Entry { operation, ref z }: &Entry| Entry {
            operation,
            z: z.clone().map(Tensor::inner),
        };
        Self(self.0.map(|edge| edge.iter().map(untracked).collect()))
    }

    /// Takes the gradients of its weights out of those of a backward pass.
    pub fn take_gradients(&self, gradients: &mut Gradients) -> MixtureGradients {
        let mut found = Vec::new();
        self.gradients(|z| {
            found.push(z.grad_remove(gradients));
            0.0
        });
        let is_there: Vec<bool> = found.iter().map(Option::is_some).collect();
        let mut numbers = numbers(found.into_iter().flatten().collect()).into_iter();
        let mut is_there = is_there.into_iter();
        self.gradients(|_| {
            let number = is_there.next().filter(|&is_there| is_there).and_then(|_| numbers.next());
            number.unwrap_or(0.0)
        })
    }

    /// Gradients of 0, to add others to.
    pub fn no_gradients(&self) -> MixtureGradients {
        self.gradients(|_| 0.0)
    }

    fn gradients(&self, mut of: impl FnMut(&Tensor<1>) -> f64) -> MixtureGradients {
        let mut gradient = |&Entry { operation, ref z }: &Entry| EntryGradient {
            operation,
            by_z: z.as_ref().map_or(0.0, &mut of),
        };
        MixtureGradients(self.0.map(|edge| edge.iter().map(&mut gradient).collect()))
    }
}

/// The numbers of tensors `[1]`, all read together: to wait for a GPU once for each would take longer
/// than what it computes.
fn numbers(tensors: Vec<Tensor<1>>) -> Vec<f64> {
    if tensors.is_empty() {
        return Vec::new();
    }
    let read = tensors.into_iter().fold(Transaction::default(), Transaction::register);
    read.execute().iter().flat_map(|data| data.iter::<f64>()).collect()
}

impl MixtureGradients {
    /// Adds the gradients of another pass with the same mixture.
    pub fn add(&mut self, more: &Self) {
        for (edge, more) in self.0.iter_mut().zip(more.0.iter()) {
            edge.iter_mut().zip(more).for_each(|(sum, more)| sum.by_z += more.by_z);
        }
    }

    /// dL/dẑ of every operation that ran, in the order of [`Self::edges`].
    pub fn numbers_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        self.0.iter_mut().flatten().map(|gradient| &mut gradient.by_z)
    }

    /// The operations that ran, edge by edge, in the order of the architectures.
    pub fn edges(&self) -> impl Iterator<Item = &[EntryGradient]> {
        self.0.iter().map(Vec::as_slice)
    }
}
