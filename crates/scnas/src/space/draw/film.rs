//! How an architecture changed: one drawing that holds every operation that was ever on an edge, of
//! which those of one moment are shown.

use std::collections::BTreeSet;

use crate::space::draw::{Mark, drawing};
use crate::space::genotype::Genotype;
use crate::space::topology::EDGES;

/// A drawing of several genotypes of one space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Film {
    /// SVG without a style of its own; of all operations those of the last genotype are seen. Each
    /// is in elements with the attributes `data-edge` (the edge's number, counted over all
    /// architectures) and `data-op` (its place in the table); hidden ones have the class `off`.
    pub svg: String,
    /// Of each genotype, the operation on each edge.
    pub frames: Vec<Vec<usize>>,
}

/// Draws genotypes of one space; `None` of none, or of several spaces. Names that the drawing refers
/// to begin with `prefix`.
pub fn film(genotypes: &[Genotype], prefix: &str) -> Option<Film> {
    let (last, before) = genotypes.split_last()?;
    let space = &last.space;
    if before.iter().any(|genotype| genotype.space != *space) {
        return None;
    }
    let cells = (0..space.architectures()).map(|arch| {
        let on_edge = |edge: usize| -> Vec<Mark> {
            let ever: BTreeSet<usize> =
                genotypes.iter().map(|genotype| genotype.choices[arch][edge]).collect();
            let mark = |operation: &usize| {
                let mark = Mark::of(space, arch, edge, *operation)?;
                let off =
                    if last.choices[arch][edge] == *operation { "" } else { " class=\"off\"" };
                let number = arch * EDGES + edge;
                let group = format!("data-edge=\"{number}\" data-op=\"{operation}\"{off}");
                Some(Mark { group, ..mark })
            };
            ever.iter().filter_map(mark).collect()
        };
        (String::new(), (0..EDGES).flat_map(on_edge).collect())
    });
    Some(Film {
        svg: drawing(space, &cells.collect::<Vec<_>>(), prefix, ""),
        frames: genotypes.iter().map(|of| of.choices.iter().copied().collect()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::draw::svg;
    use crate::space::operation::Kind;
    use crate::space::topology::Space;

    #[test]
    fn what_is_seen_is_the_last_genotype_and_every_operation_of_the_others_is_there() {
        let space = Space::paper();
        let genotypes: Vec<Genotype> = (0..3).map(|seed| Genotype::random(&space, seed)).collect();
        let Film { svg: all, frames } = film(&genotypes, "x-").unwrap();
        let last = svg(&genotypes[2]);
        let drawn = |text: &str| text.matches("class=\"wire\"").count();
        let hidden = all.matches("class=\"off\"").count() / 2;
        assert_eq!(drawn(&all) - hidden, drawn(&last));
        for frame in &frames {
            for (edge, operation) in frame.iter().enumerate() {
                let there = all.contains(&format!("data-edge=\"{edge}\" data-op=\"{operation}\""));
                assert_eq!(there, space.operations.get(*operation).kind != Kind::Zero);
            }
        }
        assert!(all.contains("url(#x-conv)") && !all.contains("<style"));
    }

    #[test]
    fn genotypes_of_several_spaces_are_no_film() {
        let other = Space { residual: true, ..Space::paper() };
        let both = [Genotype::random(&Space::paper(), 0), Genotype::random(&other, 0)];
        assert_eq!((film(&both, ""), film(&[], "")), (None, None));
    }
}
