//! Cells that have a name: the data of `genotypes/`, built in, as controls of what a search finds.

use crate::space::genotype::Genotype;
use crate::space::per_edge::PerEdge;
use crate::space::topology::{Share, Space};

/// Names, and genotypes in JSON.
const BUILTIN: [(&str, &str); 4] = [
    ("chain", include_str!("../../../../genotypes/chain.json")),
    ("pairs", include_str!("../../../../genotypes/pairs.json")),
    ("parallel", include_str!("../../../../genotypes/parallel.json")),
    ("found-by-dropping", include_str!("../../../../genotypes/found-by-dropping.json")),
];

/// The names of all cells that have one.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|(name, _)| *name)
}

/// The cells of that name, wired as `space` says; `None` where no cells have it.
///
/// # Errors
/// The name of an operation of theirs that is not one of `space`.
pub fn named(name: &str, space: &Space) -> Option<Result<Genotype, String>> {
    let (_, text) = BUILTIN.iter().find(|(known, _)| *known == name)?;
    // A test reads them all.
    let cells: Genotype = serde_json::from_str(text).ok()?;
    Some(wired(&cells, space))
}

/// Cells that are shared by type, with the operations on their edges, in another space.
fn wired(cells: &Genotype, space: &Space) -> Result<Genotype, String> {
    debug_assert_eq!(cells.space.share, Share::Type);
    let mut missing = None;
    let choices = PerEdge::from_fn(space.architectures(), |arch, edge| {
        let own = cells.choices[space.arch_type(arch) as usize][edge];
        let operation = cells.space.operations.get(own);
        let same = |index: &usize| space.operations.get(*index).kind == operation.kind;
        space.operations.index_of(&operation.name).filter(same).unwrap_or_else(|| {
            missing = Some(operation.name.clone());
            0
        })
    });
    match missing {
        None => Ok(Genotype { space: space.clone(), choices }),
        Some(operation) => Err(operation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::topology::{DecoderOrder, edge_list};

    #[test]
    fn all_named_cells_are_read_and_take_the_wiring_of_the_space_they_are_put_into() {
        for share in [Share::Type, Share::Cell] {
            let space = Space {
                decoder_order: DecoderOrder::ExpansionFirst,
                share,
                residual: true,
                maps: true,
                ..Space::paper()
            };
            for name in names() {
                let genotype = named(name, &space).unwrap().unwrap();
                assert_eq!(genotype.space, space);
                let own: Genotype =
                    serde_json::from_str(BUILTIN.iter().find(|(n, _)| *n == name).unwrap().1)
                        .unwrap();
                for arch in 0..space.architectures() {
                    for edge in 0..edge_list().len() {
                        let cell = space.arch_type(arch) as usize;
                        assert_eq!(genotype.kind(arch, edge), own.kind(cell, edge), "{name}");
                    }
                }
            }
        }
        assert!(named("chains", &Space::paper()).is_none());
    }

    #[test]
    fn a_chain_is_one_convolution_after_the_other_and_nothing_else() {
        let genotype = named("chain", &Space::paper()).unwrap().unwrap();
        for arch in 0..4 {
            for (edge, (source, node)) in edge_list().into_iter().enumerate() {
                let operation = genotype.space.operations.get(genotype.choices[arch][edge]);
                // Node n is source n + 2; the first one comes after the newer input, source 1.
                let expected = if source == node + 1 { "conv3" } else { "zero" };
                assert_eq!(operation.name, expected);
            }
        }
    }

    #[test]
    fn cells_with_an_operation_that_the_space_lacks_or_calls_by_another_kind_are_refused() {
        for (table, missing) in [
            (r#"["conv3", "identity"]"#, "zero"),
            (r#"[{"name": "conv3", "kind": "conv", "kernel": [1, 3, 3]}, "zero"]"#, "conv3"),
        ] {
            let operations = serde_json::from_str(table).unwrap();
            let space = Space { operations, ..Space::paper() };
            assert_eq!(named("chain", &space).unwrap(), Err(missing.to_string()));
        }
    }
}
