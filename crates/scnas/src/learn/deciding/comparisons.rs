//! What was seen of two operations on the same edge: the differences of their gradients, summed up.
//!
//! Where the operations a and b share an edge with the weights ẑ and 1 − ẑ, the mean over ẑ from 0
//! to 1 of dL/dẑ_a − dL/dẑ_b is the loss with a alone less the loss with b alone. So the mean of
//! these differences over draws with a uniform ẑ says which of the two the edge does better with,
//! in units of the loss, whatever the other edges draw.

use serde::{Deserialize, Serialize};

use crate::learn::relaxation::{EdgeSample, Sample};
use crate::network::mixture::MixtureGradients;
use crate::space::per_edge::PerEdge;
use crate::space::topology::Space;

/// Sums over the draws of a pair of operations on an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Draws.
    pub n: u32,
    /// Of the differences, first operation less second.
    pub sum: f64,
    /// Of their squares.
    pub squares: f64,
}

impl Sums {
    /// Adds one difference.
    pub fn add(&mut self, difference: f64) {
        self.n += 1;
        self.sum += difference;
        self.squares += difference * difference;
    }

    /// Sum of squares about the mean, and its degrees of freedom.
    pub fn spread(&self) -> (f64, f64) {
        match self.n {
            0 => (0.0, 0.0),
            n => {
                let n = f64::from(n);
                ((self.squares - self.sum * self.sum / n).max(0.0), n - 1.0)
            }
        }
    }

    fn plus(self, more: Self) -> Self {
        Self { n: self.n + more.n, sum: self.sum + more.sum, squares: self.squares + more.squares }
    }
}

/// On every edge, the sums of every pair of operations of the table, in the order of [`pairs`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparisons(PerEdge<Vec<Sums>>);

/// All pairs of `operations` operations, the first of each before the second.
pub fn pairs(operations: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..operations).flat_map(move |a| (a + 1..operations).map(move |b| (a, b)))
}

/// Place of the pair `a` < `b` in [`pairs`].
fn place(a: usize, b: usize, operations: usize) -> usize {
    a * (2 * operations - a - 1) / 2 + b - a - 1
}

impl Comparisons {
    /// None yet.
    pub fn new(space: &Space) -> Self {
        let pairs = pairs(space.operations.len()).count();
        Self(PerEdge::from_fn(space.architectures(), |_, _| vec![Sums::default(); pairs]))
    }

    /// Adds what a sample with these gradients tells: one difference for every edge with a pair.
    pub fn observe(&mut self, sample: &Sample, by_z: &MixtureGradients, operations: usize) {
        let edges = self.0.iter_mut().zip(sample.edges().iter()).zip(by_z.edges());
        for ((sums, edge), by_z) in edges {
            let EdgeSample::Pair { a, b, .. } = *edge else { continue };
            let of = |op: usize| by_z.iter().find(|g| g.operation == op).map_or(0.0, |g| g.by_z);
            let (first, second) = (a.min(b), a.max(b));
            sums[place(first, second, operations)].add(of(first) - of(second));
        }
    }

    /// Both together.
    pub fn plus(&self, more: &Self) -> Self {
        let mut all = self.clone();
        for (edge, more) in all.0.iter_mut().zip(more.0.iter()) {
            edge.iter_mut().zip(more).for_each(|(sums, &more)| *sums = sums.plus(more));
        }
        all
    }

    /// Draws of all pairs on all edges.
    pub fn draws(&self) -> u64 {
        self.0.iter().flatten().map(|sums| u64::from(sums.n)).sum()
    }

    /// The sums of every edge.
    pub fn edges(&self) -> &PerEdge<Vec<Sums>> {
        &self.0
    }
}

/// The variance of a draw by edge and pair: that of the pair over all edges, times how much noisier
/// than usual the edge is.
pub fn noise(edges: &[&[Sums]]) -> Vec<Vec<f64>> {
    let ratio = |spreads: &mut dyn Iterator<Item = (f64, f64)>, none: f64| {
        let (squares, freedom) = spreads.fold((0.0, 0.0), |(s, f), (t, g)| (s + t, f + g));
        if freedom > 0.0 && squares > 0.0 { squares / freedom } else { none }
    };
    let overall = ratio(&mut edges.iter().flat_map(|edge| edge.iter().map(Sums::spread)), 1.0);
    let pairs = edges.first().map_or(0, |edge| edge.len());
    let by_pair: Vec<f64> = (0..pairs)
        .map(|pair| ratio(&mut edges.iter().map(|edge| edge[pair].spread()), overall))
        .collect();
    let of_edge = |edge: &&[Sums]| {
        let relative = edge.iter().zip(&by_pair).map(|(sums, of_pair)| {
            let (squares, freedom) = sums.spread();
            (squares / of_pair, freedom)
        });
        let factor = ratio(&mut { relative }, 1.0);
        by_pair.iter().map(|of_pair| of_pair * factor).collect()
    };
    edges.iter().map(of_edge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_where_the_list_of_pairs_has_it() {
        for operations in [2, 3, 8, 12] {
            for (n, (a, b)) in pairs(operations).enumerate() {
                assert_eq!(place(a, b, operations), n);
            }
        }
    }
}
