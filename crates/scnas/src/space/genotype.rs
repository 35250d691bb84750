//! A genotype: one operation per edge of each architecture. Plain data, printable,
//! `decode(encode(g)) == g`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use crate::random::{Stream, rng};
use crate::space::operation::{Family, Kind};
use crate::space::per_edge::PerEdge;
use crate::space::topology::{CELLS, EDGES, NODES, Space, edges_into};

/// A found, random or written architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Encoded", into = "Encoded")]
pub struct Genotype {
    /// The space it is a point of.
    pub space: Space,
    /// Index in the table of the operation on each edge; for the architectures see
    /// [`Space::arch_name`].
    pub choices: PerEdge<usize>,
}

/// The JSON form: operation names by architecture name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    space: Space,
    cells: BTreeMap<String, Vec<String>>,
}

/// An edge that had to be changed so that a node or cell has an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// Architecture name.
    pub cell: String,
    /// Edge index.
    pub edge: usize,
    /// The operation put there instead of zero.
    pub operation: String,
}

impl Genotype {
    /// The operation with the largest α on each edge, `zero` included (paper section 3.2); ties go
    /// to the earlier operation. `alpha` has one value an operation of the table. A node left
    /// without input gets, on the edge and for the operation where α is largest, the best operation
    /// that is not zero; what was repaired is returned.
    pub fn from_alpha(space: &Space, alpha: &PerEdge<Vec<f64>>) -> (Self, Vec<Repair>) {
        let ops = &space.operations;
        let best = |row: &[f64], allowed: &dyn Fn(usize) -> bool| {
            (0..row.len()).filter(|&o| allowed(o)).fold(None, |best: Option<usize>, o| match best {
                Some(b) if row[b] >= row[o] => Some(b),
                _ => Some(o),
            })
        };
        let zero = |o: usize| ops.get(o).kind == Kind::Zero;
        let mut repairs = Vec::new();
        let mut choices = alpha.map(|row| best(row, &|_| true).unwrap_or(0));
        for arch in 0..alpha.architectures() {
            let (edges, choice) = (&alpha[arch], &mut choices[arch]);
            for node in 0..NODES {
                if !edges_into(node).all(|(edge, _)| zero(choice[edge])) {
                    continue;
                }
                let (edge, op) = edges_into(node)
                    .filter_map(|(edge, _)| best(&edges[edge], &|o| !zero(o)).map(|op| (edge, op)))
                    .reduce(|a, b| if edges[b.0][b.1] > edges[a.0][a.1] { b } else { a })
                    .unwrap_or((0, 0));
                choice[edge] = op;
                repairs.push(Repair {
                    cell: space.arch_name(arch),
                    edge,
                    operation: ops.get(op).name.clone(),
                });
            }
        }
        (Self { space: space.clone(), choices }, repairs)
    }

    /// A uniformly random operation on every edge (the paper's random control), with nodes that got
    /// no input repaired as in [`Genotype::from_alpha`] by a second random draw.
    pub fn random(space: &Space, seed: u64) -> Self {
        let mut rng = rng(seed, Stream::RandomGenotype, 0);
        let alpha = PerEdge::from_fn(space.architectures(), |_, _| {
            (0..space.operations.len()).map(|_| rng.random::<f64>()).collect()
        });
        Self::from_alpha(space, &alpha).0
    }

    /// The same operation on every edge.
    pub fn uniform(space: &Space, operation: &str) -> Option<Self> {
        let op = space.operations.index_of(operation)?;
        let choices = PerEdge::from_fn(space.architectures(), |_, _| op);
        Some(Self { space: space.clone(), choices })
    }

    /// The names of the operations on the edges of each architecture, by its name.
    pub fn cells(&self) -> BTreeMap<String, Vec<String>> {
        let Self { space, choices } = self;
        let name = |op: &usize| space.operations.get(*op).name.clone();
        let cell = |arch| (space.arch_name(arch), choices[arch].iter().map(name).collect());
        (0..choices.architectures()).map(cell).collect()
    }

    /// The point of a space that has these [cells](Self::cells).
    ///
    /// # Errors
    /// What keeps them from being one.
    pub fn from_cells(space: Space, cells: BTreeMap<String, Vec<String>>) -> Result<Self, String> {
        Encoded { space, cells }.try_into()
    }

    /// Kind of the operation on `edge` of architecture `arch`.
    pub fn kind(&self, arch: usize, edge: usize) -> Kind {
        self.space.operations.get(self.choices[arch][edge]).kind
    }

    /// The text view: per architecture one line a node, its sources and operations. Inputs are `a`
    /// (older) and `b`, nodes 1–4.
    pub fn text(&self) -> String {
        let source_name = |s: usize| {
            ["a".into(), "b".into()].get(s).cloned().unwrap_or_else(|| format!("{}", s - 1))
        };
        let mut text = String::new();
        for arch in 0..self.choices.architectures() {
            let choice = &self.choices[arch];
            let _ = writeln!(
                text,
                "{} ({})",
                self.space.arch_name(arch),
                self.space.arch_type(arch).name()
            );
            for node in 0..NODES {
                let inputs: Vec<String> = edges_into(node)
                    .filter(|&(edge, _)| self.kind(arch, edge) != Kind::Zero)
                    .map(|(edge, source)| {
                        format!(
                            "{}({})",
                            self.space.operations.get(choice[edge]),
                            source_name(source)
                        )
                    })
                    .collect();
                let _ = writeln!(text, "  {} = {}", node + 1, inputs.join(" + "));
            }
        }
        if self.space.residual {
            text.push_str("b is added to the output of every cell\n");
        }
        if self.space.maps {
            text.push_str("logits: the sum of class maps at 1/4, 1/2 and full size\n");
        }
        text
    }

    /// A node without any input would make its channels dead; written files are checked for it.
    fn check_inputs(&self) -> Result<(), String> {
        for arch in 0..self.choices.architectures() {
            for node in 0..NODES {
                if edges_into(node).all(|(edge, _)| self.kind(arch, edge) == Kind::Zero) {
                    return Err(format!(
                        "cell {}: node {} has no input (all its edges are zero); give one of its \
                         edges another operation",
                        self.space.arch_name(arch),
                        node + 1
                    ));
                }
            }
        }
        Ok(())
    }
}

impl From<Genotype> for Encoded {
    fn from(genotype: Genotype) -> Self {
        Self { cells: genotype.cells(), space: genotype.space }
    }
}

impl TryFrom<Encoded> for Genotype {
    type Error = String;

    fn try_from(Encoded { space, mut cells }: Encoded) -> Result<Self, String> {
        let mut choices = PerEdge::from_fn(space.architectures(), |_, _| 0);
        for arch in 0..space.architectures() {
            let cell = space.arch_name(arch);
            let names =
                cells.remove(&cell).ok_or_else(|| format!("no operations for cell {cell}"))?;
            let ops: Vec<usize> = names
                .iter()
                .map(|n| {
                    space.operations.index_of(n).ok_or_else(|| {
                        format!("cell {cell}: operation \"{n}\" is not in the table")
                    })
                })
                .collect::<Result<_, _>>()?;
            let found = ops.len();
            choices[arch] = ops
                .try_into()
                .map_err(|_| format!("cell {cell}: expected {EDGES} operations, found {found}"))?;
        }
        if let Some(extra) = cells.keys().next() {
            return Err(format!("cell {extra} does not exist in this space"));
        }
        let genotype = Self { space, choices };
        genotype.check_inputs()?;
        Ok(genotype)
    }
}

/// How many of a network's edges (each of the 12 cells counted) are zero, identity and pooling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EdgeShares {
    /// Share of edges without a connection, 0 to 1.
    pub zero: f64,
    /// Share of identities.
    pub identity: f64,
    /// Share of poolings.
    pub pool: f64,
}

impl EdgeShares {
    /// Shares over all edges of the network.
    pub fn of(genotype: &Genotype) -> Self {
        let mut shares = Self::default();
        let one = 1.0 / (CELLS * EDGES) as f64;
        for place in genotype.space.cells() {
            for edge in 0..EDGES {
                match genotype.kind(place.arch, edge).family() {
                    Family::Zero => shares.zero += one,
                    Family::Identity => shares.identity += one,
                    Family::Pooling => shares.pool += one,
                    Family::Convolution | Family::Separable => {}
                }
            }
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::topology::Share;

    #[test]
    fn decoding_an_encoded_genotype_gives_it_back() {
        for share in [Share::Type, Share::Cell] {
            for wired in [false, true] {
                let space = Space { share, residual: wired, maps: wired, ..Space::paper() };
                for seed in 0..20 {
                    let genotype = Genotype::random(&space, seed);
                    let text = serde_json::to_string(&genotype).unwrap();
                    assert_eq!(serde_json::from_str::<Genotype>(&text).unwrap(), genotype);
                    // What is off is not written: older files have the same bytes.
                    assert_eq!(text.contains("residual") || text.contains("maps"), wired);
                }
            }
        }
    }

    #[test]
    fn a_node_that_would_have_no_input_gets_the_best_other_operation_and_is_reported() {
        let space = Space::paper();
        let zero = space.operations.index_of("zero").unwrap();
        let conv = space.operations.index_of("conv3").unwrap();
        let mut row = vec![0.0; 8];
        row[zero] = 1.0;
        let mut alpha = PerEdge::from_fn(4, |_, _| row.clone());
        alpha[2][1][conv] = 0.5; // decoder cell, input b to node 1
        let (genotype, repairs) = Genotype::from_alpha(&space, &alpha);
        assert_eq!(repairs.len(), 4 * NODES);
        assert_eq!(genotype.choices[2][1], conv);
        assert!(repairs.contains(&Repair { cell: "D".into(), edge: 1, operation: "conv3".into() }));
        assert!(genotype.check_inputs().is_ok());
    }

    #[test]
    fn a_written_genotype_with_a_dead_node_is_refused() {
        let genotype = Genotype::uniform(&Space::paper(), "zero").unwrap();
        let text = serde_json::to_string(&genotype).unwrap();
        assert!(
            serde_json::from_str::<Genotype>(&text).unwrap_err().to_string().contains("no input")
        );
    }
}
