//! The network: stem, twelve cells, out cell (METHOD "Search space"). One type serves the search
//! (every candidate on every edge has weights, a [`Mixture`] says which run) and a fixed
//! architecture (one candidate per edge).
//!
//! Shapes: `w` is the width, a cell at level `l` puts out `[batch, w << l, D >> l, H >> l, W >>
//! l]`, each of its four nodes a quarter of those channels.

use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, RngExt as _};
use volops::{ConvSpec, DepthwiseSpec, Operation, Term};

use crate::network::layers::{Builder, ConvNorm, Map};
use crate::network::weights::{Pass, Weights};
use crate::space::genotype::{Genotype, strided};
use crate::space::operation::{Kind, SLOPE};
use crate::space::topology::{
    CELLS, CellPlace, CellType, EDGES, NODES, Space, Upsample, edges_into,
};

/// The operations to run on every edge: `[architecture][edge]` → `(operation, ẑ)`; no ẑ means 1.
pub type Mixture = Vec<Vec<Vec<(usize, Option<Tensor<1>>)>>>;

/// The weight of an operation in a [`Mixture`], not tracked.
pub fn weight(z: f64, device: &Device) -> Tensor<1> {
    Tensor::from_inner(Tensor::from_data(TensorData::new(vec![z as f32], [1]), device))
}

/// A candidate operation of an edge with its weights.
#[derive(Clone, Debug)]
enum EdgeOp {
    Conv(ConvNorm),
    MaxPool { stride: usize },
    AveragePool { stride: usize },
    Identity,
    Zero,
}

/// An input projection to the cell's node channels and grid.
#[derive(Clone, Debug)]
struct Projection {
    conv: ConvNorm,
    /// Trilinear ×2 after the convolution.
    upsample: bool,
}

#[derive(Clone, Debug)]
struct Cell {
    place: CellPlace,
    projections: [Projection; 2],
    /// Per edge, the candidates that have weights here: `None` where the architecture is fixed to
    /// another.
    edges: Vec<Vec<Option<EdgeOp>>>,
}

/// Size of a network, apart from its architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Size {
    /// Input channels.
    pub channels: usize,
    /// Classes, background included.
    pub classes: usize,
    /// Channels of the stem.
    pub width: usize,
}

/// A network without its weights' values.
#[derive(Debug)]
pub struct Network {
    space: Space,
    stem: ConvNorm,
    cells: Vec<Cell>,
    out: Map,
    operations_run: AtomicU64,
}

impl Builder<'_> {
    /// Brings an input of `from` channels at `level` to `to` channels at the level the cell's edges
    /// start from.
    fn projection(
        &mut self,
        name: &str,
        (from, level): (usize, usize),
        to: usize,
        target: usize,
        upsample: Upsample,
    ) -> Projection {
        let (conv, resize) = if level > target && upsample == Upsample::Transposed {
            (self.transposed(name, from, to), false)
        } else {
            (self.pointwise(name, from, to, if level < target { 2 } else { 1 }), level > target)
        };
        Projection { conv, upsample: resize }
    }

    fn edge_op(&mut self, name: &str, kind: Kind, channels: usize, stride: usize) -> EdgeOp {
        match kind {
            Kind::Conv { kernel } => EdgeOp::Conv(self.dense(
                name,
                channels,
                channels,
                ConvSpec { kernel, stride, slope: Some(SLOPE) },
            )),
            Kind::Depthwise { kernel, dilation } => EdgeOp::Conv(self.separable(
                name,
                channels,
                DepthwiseSpec { kernel, dilation, stride, slope: Some(SLOPE) },
            )),
            Kind::MaxPool => EdgeOp::MaxPool { stride },
            Kind::AveragePool => EdgeOp::AveragePool { stride },
            Kind::Identity if stride == 1 => EdgeOp::Identity,
            Kind::Identity => EdgeOp::Conv(self.pointwise(name, channels, channels, stride)),
            Kind::Zero => EdgeOp::Zero,
        }
    }
}

impl Projection {
    fn forward(&self, pass: &Pass, x: Tensor<5>) -> Tensor<5> {
        let y = self.conv.forward(pass, x);
        if self.upsample { volops::upsample2(y) } else { y }
    }
}

impl EdgeOp {
    /// What it is in a node's sum; `None` for `zero`, which never runs and whose weight has no
    /// gradient.
    fn operation(&self, pass: &Pass) -> Option<Operation> {
        match *self {
            EdgeOp::Conv(ref conv) => Some(conv.operation(pass)),
            EdgeOp::MaxPool { stride } => Some(Operation::MaxPool { stride }),
            EdgeOp::AveragePool { stride } => Some(Operation::AveragePool { stride }),
            EdgeOp::Identity => Some(Operation::Identity),
            EdgeOp::Zero => None,
        }
    }
}

impl Cell {
    /// `older` and `newer` are the outputs of the two cells before. Returns the concatenated nodes.
    fn forward(
        &self,
        pass: &Pass,
        older: Tensor<5>,
        newer: Tensor<5>,
        mix: &[Vec<(usize, Option<Tensor<1>>)>],
        run: &AtomicU64,
    ) -> Tensor<5> {
        let [project_older, project_newer] = &self.projections;
        let mut sources =
            vec![project_older.forward(pass, older), project_newer.forward(pass, newer)];
        let nodes = std::array::from_fn::<_, NODES, _>(|node| {
            let mut terms = Vec::new();
            for (edge, source) in edges_into(node) {
                for (op, z) in &mix[edge] {
                    let operation = self.edges[edge][*op]
                        .as_ref()
                        .and_then(|candidate| candidate.operation(pass));
                    terms.extend(operation.map(|operation| Term {
                        x: sources[source].clone(),
                        operation,
                        z: z.clone(),
                    }));
                }
            }
            run.fetch_add(terms.len() as u64, Ordering::Relaxed);
            let sum = if terms.is_empty() {
                // All edges drew zero: the node is a volume of zeros of the size its siblings have.
                let [batch, channels, d, h, w] = sources[0].dims();
                let halve = |n: usize| {
                    if self.place.cell_type == CellType::Reduction { n.div_ceil(2) } else { n }
                };
                pass.zeros([batch, channels, halve(d), halve(h), halve(w)])
            } else {
                volops::weighted_sum(terms)
            };
            sources.push(sum.clone());
            sum
        });
        volops::concat(nodes)
    }
}

impl Network {
    /// The network of the search: every candidate of every edge.
    pub fn supernet(space: &Space, size: Size, weights: &mut Weights) -> Self {
        Self::build(space, size, weights, None)
    }

    /// The network of one architecture.
    pub fn fixed(genotype: &Genotype, size: Size, weights: &mut Weights) -> Self {
        Self::build(&genotype.space, size, weights, Some(genotype))
    }

    fn build(space: &Space, size: Size, weights: &mut Weights, fixed: Option<&Genotype>) -> Self {
        let Size { channels, classes, width } = size;
        let mut b = Builder { weights };
        let stem =
            b.dense("stem", channels, width, ConvSpec { kernel: [3; 3], stride: 1, slope: None });
        let mut inputs = [(width, 0); 2];
        let mut cells = Vec::with_capacity(CELLS);
        for (index, place) in space.cells().into_iter().enumerate() {
            let CellPlace { cell_type, level, arch } = place;
            let node = (width << level) / NODES;
            // The edges of a reduction cell do the striding, so its inputs stay one level finer.
            let target = if cell_type == CellType::Reduction { level - 1 } else { level };
            let name = format!("cells.{index:02}");
            let projections = [0, 1].map(|i| {
                b.projection(&format!("{name}.input{i}"), inputs[i], node, target, space.upsample)
            });
            let edges = (0..EDGES)
                .map(|edge| {
                    let stride = if strided(cell_type, edge) { 2 } else { 1 };
                    let candidates = space.operations.iter().enumerate();
                    candidates
                        .map(|(op, operation)| {
                            let wanted = fixed.is_none_or(|g| g.choices[arch][edge] == op);
                            wanted.then(|| {
                                b.edge_op(
                                    &format!("{name}.edge{edge:02}.{operation}"),
                                    operation.kind,
                                    node,
                                    stride,
                                )
                            })
                        })
                        .collect()
                })
                .collect();
            cells.push(Cell { place, projections, edges });
            inputs = [inputs[1], (width << level, level)];
        }
        let out = b.map("out", width, classes);
        Self { space: space.clone(), stem, cells, out, operations_run: AtomicU64::new(0) }
    }

    /// Class scores `[batch, classes, depth, height, width]` of `x` `[batch, channels, depth,
    /// height, width]`, whose extents must be divisible by 8, with the operations of `mixture`
    /// on the edges.
    pub fn forward(&self, pass: &Pass, x: Tensor<5>, mixture: &Mixture) -> Tensor<5> {
        let outputs = self
            .outputs(pass, x, mixture, |network, output, cell| network.is_read_after(output, cell));
        self.head(
            pass,
            outputs
                .into_iter()
                .flatten()
                .last()
                .unwrap_or_else(|| unreachable!("the last output is kept")),
        )
    }

    /// The outputs of the stem (0) and of every cell `i` (`i + 1`). After each cell, those that
    /// `keep` refuses become `None`.
    pub(crate) fn outputs(
        &self,
        pass: &Pass,
        x: Tensor<5>,
        mixture: &Mixture,
        keep: impl Fn(&Self, usize, usize) -> bool,
    ) -> Vec<Option<Tensor<5>>> {
        let mut outputs = vec![Some(self.stem(pass, x))];
        let read = |outputs: &[Option<Tensor<5>>], i: usize| -> Tensor<5> {
            outputs[i]
                .clone()
                .unwrap_or_else(|| unreachable!("output {i} is kept while cells read it"))
        };
        for cell in 0..self.cells() {
            let y = self.cell(cell, pass, self.inputs_of(cell).map(|i| read(&outputs, i)), mixture);
            let y = match self.skip_into(cell) {
                Some(skip) => volops::add_scaled(Some(y), read(&outputs, skip), None),
                None => y,
            };
            outputs.push(Some(y));
            for (i, output) in outputs.iter_mut().enumerate().take(cell + 1) {
                if !keep(self, i, cell) {
                    *output = None;
                }
            }
        }
        outputs
    }

    /// Number of cells.
    pub(crate) fn cells(&self) -> usize {
        self.cells.len()
    }

    /// The outputs that `cell` reads: those of the two before it, the stem's where there is none.
    pub(crate) fn inputs_of(&self, cell: usize) -> [usize; 2] {
        [cell.saturating_sub(1), cell]
    }

    /// The encoder's output that is added to the output of `cell`: the decoder's first at each
    /// level gets the one of its size.
    pub(crate) fn skip_into(&self, cell: usize) -> Option<usize> {
        let CellPlace { cell_type, level, .. } = self.cells[cell].place;
        if cell_type != CellType::Expansion {
            return None;
        }
        let encoder = |c: &Cell| c.place.cell_type == CellType::Normal && c.place.level == level;
        // The stem's output is that of level 0.
        Some(self.cells.iter().position(encoder).map_or(0, |cell| cell + 1))
    }

    /// The last of the decoder's outputs at `level`.
    pub(crate) fn decoder_output(&self, level: usize) -> Option<usize> {
        let decodes = |c: &Cell| {
            matches!(c.place.cell_type, CellType::Decoder | CellType::Expansion)
                && c.place.level == level
        };
        self.cells.iter().rposition(decodes).map(|cell| cell + 1)
    }

    pub(crate) fn is_read_after(&self, output: usize, cell: usize) -> bool {
        (cell + 1..self.cells()).any(|later| {
            self.inputs_of(later).contains(&output) || self.skip_into(later) == Some(output)
        })
    }

    /// Output 0: the image `[batch, channels, depth, height, width]` at full width.
    pub(crate) fn stem(&self, pass: &Pass, x: Tensor<5>) -> Tensor<5> {
        self.stem.forward(pass, x)
    }

    /// One cell, without the encoder's output that may be added to it.
    pub(crate) fn cell(
        &self,
        cell: usize,
        pass: &Pass,
        [older, newer]: [Tensor<5>; 2],
        mixture: &Mixture,
    ) -> Tensor<5> {
        let cell = &self.cells[cell];
        cell.forward(pass, older, newer, &mixture[cell.place.arch], &self.operations_run)
    }

    /// Class scores from the last cell's output.
    pub(crate) fn head(&self, pass: &Pass, y: Tensor<5>) -> Tensor<5> {
        self.out.forward(pass, y)
    }

    /// The mixture of a fixed architecture.
    pub fn mixture_of(genotype: &Genotype) -> Mixture {
        genotype
            .choices
            .iter()
            .map(|edges| edges.iter().map(|&op| vec![(op, None)]).collect())
            .collect()
    }

    /// The same for a step of training with drop-path (Larsson et al. 2017, "FractalNet"; as in
    /// Zoph et al. 2018, identities stay): each operation is left out with probability `share`,
    /// in all cells of its type, and counts `1 / (1 - share)` otherwise.
    pub fn dropped_mixture_of(
        genotype: &Genotype,
        share: f64,
        device: &Device,
        rng: &mut impl Rng,
    ) -> Mixture {
        let kept = weight(1.0 / (1.0 - share), device);
        let mut edge = |&op: &usize| match genotype.space.operations.get(op).kind {
            Kind::Identity => vec![(op, None)],
            _ if rng.random::<f64>() < share => vec![],
            _ => vec![(op, Some(kept.clone()))],
        };
        genotype.choices.iter().map(|edges| edges.iter().map(&mut edge).collect()).collect()
    }

    /// The space the network is from.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Operations that ran on edges since the network was made, `zero` not counted.
    pub fn operations_run(&self) -> u64 {
        self.operations_run.load(Ordering::Relaxed)
    }
}
