//! A model as an ONNX file: the network as a graph of ONNX's operators, and in the metadata what
//! else prediction takes.

mod graph;
mod proto;
mod recipe;
mod sample;

use prost::Message as _;

use crate::error::{ArchitectureFault, ExportFault, Result};
use crate::store::model::Model;
use graph::{Graph, IMAGE, LOGITS};
use recipe::{KEY, Recipe};

pub use sample::Sample;

/// Version of the operators.
pub const OPSET: i64 = 18;

/// The version of the format that came with it.
const IR_VERSION: i64 = 8;

/// Most bytes of a file: no reader takes a longer message of Protocol Buffers.
const MOST: usize = i32::MAX as usize;

/// A model in ONNX.
#[derive(Clone, Debug, PartialEq)]
pub struct Onnx {
    /// The file.
    pub bytes: Vec<u8>,
    /// Number of nodes.
    pub nodes: usize,
    /// Scalars of the weights, norms and biases included.
    pub scalars: usize,
    /// Voxels of the windows to predict with, (depth, height, width).
    pub window: [usize; 3],
}

impl Onnx {
    /// Of a model; for windows of `patch` voxels (depth, height, width) one at a time, or for any
    /// number of any size that its grids divide.
    ///
    /// # Errors
    /// A patch that the grids do not divide; a network that cannot be said in ONNX or is too large
    /// for it.
    pub fn of(model: &Model, patch: Option<[usize; 3]>) -> Result<Self> {
        let Model { card, network, weights } = model;
        let grid = network.layout().grid();
        if let Some(patch) = patch.filter(|&patch| !grid.divides(patch) || patch.contains(&0)) {
            return Err(ArchitectureFault::Undivided { patch, step: grid.step() }.into());
        }
        let graph = Graph::new(weights);
        let logits = network.trace(&graph, Graph::INPUT, &model.mixture());
        let mut graph = graph.finish(logits)?;
        let [d, h, w] = grid.step();
        let image = format!(
            "A preprocessed window; depth, height and width are multiples of {d}, {h} and {w}."
        );
        let channels = card.size.channels;
        graph.input.push(proto::ValueInfo::volumes(IMAGE, &image, channels, patch));
        let outputs = "An output for each class, or for each region.";
        graph.output.push(proto::ValueInfo::volumes(LOGITS, outputs, card.size.classes, patch));
        graph.name = card.plan.dataset.clone();

        let recipe = Recipe::new(card, patch)?;
        let (nodes, window) = (graph.node.len(), recipe.window());
        let value = serde_json::to_string(&recipe)?;
        let file = proto::Model {
            ir_version: IR_VERSION,
            producer_name: "scnas".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            doc_string: format!("How images are prepared and labels made: metadata, key {KEY}."),
            graph: Some(graph),
            opset_import: vec![proto::OperatorSet { domain: String::new(), version: OPSET }],
            metadata_props: vec![proto::Entry { key: KEY.into(), value }],
        };
        let bytes = file.encoded_len();
        if bytes > MOST {
            return Err(ExportFault::TooLarge { bytes, most: MOST }.into());
        }
        Ok(Self { bytes: file.encode_to_vec(), nodes, scalars: weights.scalars(), window })
    }
}

#[cfg(test)]
mod tests;
