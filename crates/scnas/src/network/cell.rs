//! One cell (paper section 3.1, Figure 1): two input projections, and four nodes that are sums of
//! operations on everything before them.

use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};

use volops::{Concat, Term};

use crate::network::edge::EdgeOperation;
use crate::network::layers::Projection;
use crate::network::layout::Layout;
use crate::network::medium::{Medium, alone};
use crate::network::mixture::Entry;
use crate::space::genotype::Genotype;
use crate::space::operation::Operation;
use crate::space::topology::{CellPlace, EDGES, NODES, Space, Upsample, edges_into};

/// A cell without its weights' values. At level `l` it puts out `[batch, width << l, depth, height,
/// width]` on the grid of that level, each of its nodes a quarter of those channels.
#[derive(Debug)]
pub(super) struct Cell {
    /// Where in the network it is.
    pub place: CellPlace,
    projections: [Projection; 2],
    shortcut: Shortcut,
    /// Of the edges that leave the inputs.
    edge_stride: [usize; 3],
    /// Per edge, the candidates that have weights here: `None` where the architecture is fixed to
    /// another.
    edges: [Vec<Option<EdgeOperation>>; EDGES],
}

/// How a cell's newer input reaches its output beside the nodes (He et al. 2016).
#[derive(Debug)]
enum Shortcut {
    None,
    Identity,
    Projection(Projection),
}

impl Shortcut {
    fn new(
        layout: &mut Layout,
        name: &str,
        space: &Space,
        place: &CellPlace,
        width: usize,
    ) -> Self {
        let levels = [space.output_level(place.inputs[1]), place.level];
        match space.residual {
            false => Self::None,
            true if levels[0] == levels[1] => Self::Identity,
            true => {
                // However the nodes' inputs are upsampled: what is to pass as it is needs no more.
                let channels = levels.map(|level| width << level);
                Self::Projection(Projection::new(
                    layout,
                    name,
                    channels,
                    levels,
                    Upsample::Trilinear,
                ))
            }
        }
    }

    /// What it is in the sum that is the cell's output.
    fn term<M: Medium + ?Sized>(&self, medium: &M, newer: M::Volume) -> Option<Term<M::Volume>> {
        match self {
            Self::None => None,
            Self::Identity => Some(Term::identity(newer)),
            Self::Projection(projection) => Some(projection.term(medium, newer)),
        }
    }
}

impl Cell {
    /// Cell number `cell` of a network of `space` with a stem of `width` channels: with the
    /// operations that `fixed` chose, or with all candidates.
    pub fn new(
        layout: &mut Layout,
        space: &Space,
        cell: usize,
        width: usize,
        fixed: Option<&Genotype>,
    ) -> Self {
        let place = space.cells()[cell];
        let node_channels = (width << place.level) / NODES;
        let name = format!("cells.{cell:02}");
        let projections = [0, 1].map(|i| {
            let level = space.output_level(place.inputs[i]);
            Projection::new(
                layout,
                &format!("{name}.input{i}"),
                [width << level, node_channels],
                [level, place.input_level()],
                space.upsample,
            )
        });
        let edges = std::array::from_fn(|edge| {
            let candidate = |(op, operation): (usize, &Operation)| {
                let is_here = fixed.is_none_or(|g| g.choices[place.arch][edge] == op);
                is_here.then(|| {
                    EdgeOperation::new(
                        layout,
                        &format!("{name}.edge{edge:02}.{operation}"),
                        operation.kind,
                        node_channels,
                        place.level,
                        place.cell_type.halves(edge),
                    )
                })
            };
            space.operations.iter().enumerate().map(candidate).collect()
        });
        let shortcut = Shortcut::new(layout, &format!("{name}.shortcut"), space, &place, width);
        let halves = place.cell_type.halves(0);
        let edge_stride = if halves { layout.grid().stride(place.level) } else { [1; 3] };
        Self { place, projections, shortcut, edge_stride, edges }
    }

    /// The concatenated nodes, plus the newer input by way of the shortcut where there is one, plus
    /// the encoder's output where the cell gets one. `inputs` are the outputs that
    /// [`CellPlace::reads`] names; `edges` says what runs; `run` counts it.
    ///
    /// # Panics
    /// If an operation is to run that the network was built without.
    pub fn forward<M: Medium + ?Sized>(
        &self,
        medium: &M,
        inputs: Vec<M::Volume>,
        edges: &[Vec<Entry>; EDGES],
        run: &AtomicU64,
    ) -> M::Volume {
        let mut inputs = inputs.into_iter();
        let projected = self.projections.iter().zip(inputs.clone());
        let mut sources: Vec<_> = projected.map(|(input, x)| input.forward(medium, x)).collect();
        let newer = inputs.nth(1);
        let nodes = std::array::from_fn::<_, NODES, _>(|node| {
            let mut terms = Vec::new();
            for (edge, source) in edges_into(node) {
                for entry in &edges[edge] {
                    let Some(candidate) = &self.edges[edge][entry.operation] else {
                        panic!("operation {} of edge {edge} is not in here", entry.operation)
                    };
                    let term = candidate.term(medium, sources[source].clone());
                    terms.extend(term.map(|term| Term { z: entry.z.clone(), ..term }));
                }
            }
            run.fetch_add(terms.len() as u64, Ordering::Relaxed);
            let sum = if terms.is_empty() {
                // All edges drew zero: the node is a volume of zeros of the size its siblings have.
                medium.zeros(&sources[0], self.edge_stride)
            } else {
                medium.weighted_sum(terms)
            };
            sources.push(sum.clone());
            sum
        });
        let shortcut = newer.and_then(|newer| self.shortcut.term(medium, newer));
        let beside: Vec<_> = shortcut.into_iter().chain(inputs.map(Term::identity)).collect();
        let y = alone(medium, Concat, nodes);
        match beside.is_empty() {
            true => y,
            false => medium.weighted_sum(iter::once(Term::identity(y)).chain(beside).collect()),
        }
    }
}
