//! A value for every edge of every architecture.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use crate::space::topology::EDGES;

/// One `T` an edge: `values[architecture][edge]`, with the edges in the order of
/// [`edge_list`](crate::space::topology::edge_list). In JSON: a list of lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerEdge<T>(Vec<[T; EDGES]>);

impl<T> PerEdge<T> {
    /// The values that `make(architecture, edge)` gives, called in order.
    pub fn from_fn(architectures: usize, mut make: impl FnMut(usize, usize) -> T) -> Self {
        let edges = |arch| std::array::from_fn(|edge| make(arch, edge));
        Self((0..architectures).map(edges).collect())
    }

    /// What `change` makes of every value, in order.
    pub fn map<U>(&self, mut change: impl FnMut(&T) -> U) -> PerEdge<U> {
        PerEdge::from_fn(self.architectures(), |arch, edge| change(&self.0[arch][edge]))
    }

    /// Number of architectures.
    pub fn architectures(&self) -> usize {
        self.0.len()
    }

    /// All values, architecture by architecture.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }
}

/// The edges of one architecture.
impl<T> Index<usize> for PerEdge<T> {
    type Output = [T; EDGES];

    fn index(&self, architecture: usize) -> &[T; EDGES] {
        &self.0[architecture]
    }
}

impl<T> IndexMut<usize> for PerEdge<T> {
    fn index_mut(&mut self, architecture: usize) -> &mut [T; EDGES] {
        &mut self.0[architecture]
    }
}
