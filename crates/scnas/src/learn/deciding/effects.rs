//! The effects of all operations on every edge, as comparisons show them.

use crate::learn::deciding::comparisons::{Comparisons, Sums};
use crate::learn::deciding::shrinkage::{EdgeEffects, Group};
use crate::space::per_edge::PerEdge;
use crate::space::topology::{CellType, EDGES, Space};

/// The effects of all operations on every edge.
#[derive(Clone, Debug, PartialEq)]
pub struct Effects(PerEdge<EdgeEffects>);

impl Effects {
    /// What `comparisons` say of the edges of `space`.
    pub fn of(comparisons: &Comparisons, space: &Space) -> Self {
        let operations = space.operations.len();
        let mut found = comparisons.edges().map(|_| EdgeEffects::unknown(operations));
        for cell_type in CellType::ALL {
            let architectures =
                (0..space.architectures()).filter(|&arch| space.arch_type(arch) == cell_type);
            let places: Vec<(usize, usize)> =
                architectures.flat_map(|arch| (0..EDGES).map(move |edge| (arch, edge))).collect();
            let sums: Vec<&[Sums]> =
                places.iter().map(|&(arch, edge)| &*comparisons.edges()[arch][edge]).collect();
            let effects = Group::new(&sums, operations).effects();
            for ((arch, edge), effects) in places.into_iter().zip(effects) {
                found[arch][edge] = effects;
            }
        }
        Self(found)
    }

    /// Those of every edge.
    pub fn edges(&self) -> &PerEdge<EdgeEffects> {
        &self.0
    }
}
