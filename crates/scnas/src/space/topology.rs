//! The search space: twelve cells of four types wired into a 3-D U-Net (paper section 3.1,
//! Figure 1).
//!
//! The outputs of a network are numbered: 0 is the stem's, `i + 1` that of cell `i`.

use serde::{Deserialize, Serialize};

use crate::space::operation::OperationTable;

/// Intermediate nodes of a cell.
pub const NODES: usize = 4;
/// Edges of a cell: every earlier node (two inputs first) feeds every intermediate node, 2+3+4+5.
pub const EDGES: usize = 14;
/// Cells of the network.
pub const CELLS: usize = 12;
/// Times the grid is halved, along all axes or some.
pub const DEPTH: usize = 3;

/// The edges leading to intermediate node `node` (0..4) as `(edge index, source)`; sources 0 and 1
/// are the cell's inputs, source 2+n is intermediate node n.
pub fn edges_into(node: usize) -> impl Iterator<Item = (usize, usize)> {
    let first = (0..node).map(|n| n + 2).sum::<usize>();
    (0..node + 2).map(move |source| (first + source, source))
}

/// `(source, node)` of every edge, in the order of α.
pub fn edge_list() -> [(usize, usize); EDGES] {
    let mut list = [(0, 0); EDGES];
    for node in 0..NODES {
        for (edge, source) in edges_into(node) {
            list[edge] = (source, node);
        }
    }
    list
}

/// The four kinds of cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CellType {
    /// Halves the grid and doubles the channels.
    Reduction,
    /// Encoder cell at constant size.
    Normal,
    /// Decoder cell at constant size.
    Decoder,
    /// Doubles the grid and halves the channels; its inputs are upsampled first.
    Expansion,
}

impl CellType {
    /// All types, in the order of α when cells of one type share it.
    pub const ALL: [CellType; 4] =
        [CellType::Reduction, CellType::Normal, CellType::Decoder, CellType::Expansion];

    /// The paper's one-letter name.
    pub fn letter(self) -> &'static str {
        ["R", "N", "D", "E"][self as usize]
    }

    /// The name used in prose.
    pub fn name(self) -> &'static str {
        ["reduction", "encoder-normal", "decoder-normal", "expansion"][self as usize]
    }

    /// Whether the operation on `edge` halves the grid: in a reduction cell those do that leave its
    /// inputs.
    pub fn halves(self, edge: usize) -> bool {
        self == Self::Reduction && edge_list()[edge].0 < 2
    }
}

/// Order of the decoder's cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecoderOrder {
    /// `D E D E D E`: fits the size and cost of the paper's Table 1.
    #[default]
    NormalFirst,
    /// `E D E D E D`.
    ExpansionFirst,
}

/// How a coarse input of a cell reaches the cell's grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upsample {
    /// LeakyReLU → learned transposed convolution, 3³ where voxels are cubes → norm.
    #[default]
    Transposed,
    /// 1³ projection on the small grid, then linear ×2 along the axes that were halved.
    Trilinear,
}

/// Which cells share one architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// All cells of a type (paper): 4 architectures.
    #[default]
    Type,
    /// None: each of the 12 cells has its own (the paper's future work).
    Cell,
}

/// Everything that says which networks exist, but for their width.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Space {
    /// Candidates of every edge.
    pub operations: OperationTable,
    /// Order of the decoder's cells.
    #[serde(default)]
    pub decoder_order: DecoderOrder,
    /// How coarse inputs are upsampled.
    #[serde(default)]
    pub upsample: Upsample,
    /// Which cells share an architecture.
    #[serde(default)]
    pub share: Share,
    /// Whether each cell's newer input is added to its output: as it is, or, where sizes differ,
    /// through a 1³ convolution and, on the way up, trilinear ×2.
    #[serde(default, skip_serializing_if = "is_off")]
    pub residual: bool,
    /// Whether the decoder's outputs at 1/4 and 1/2 of the size have class maps too, upsampled and
    /// added to that at full size.
    #[serde(default, skip_serializing_if = "is_off")]
    pub maps: bool,
}

/// What is off is not written: files keep the form that they had before there was a choice.
fn is_off(choice: &bool) -> bool {
    !choice
}

/// Where one cell stands in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellPlace {
    /// Kind of the cell.
    pub cell_type: CellType,
    /// Its output's grid is that of this level, its width `stem width << level`.
    pub level: usize,
    /// Index of its architecture in a genotype or in α.
    pub arch: usize,
    /// The outputs it reads, older and newer: those of the two cells before it, the stem's where
    /// there is none.
    pub inputs: [usize; 2],
    /// The encoder's output that is added to its own: the first decoder output of a level gets the
    /// encoder's last of that level, at full size the stem's.
    pub skip: Option<usize>,
}

impl CellPlace {
    /// Level of the grid that its inputs are brought to: the edges of a reduction cell do the
    /// striding, so they start one level finer.
    pub fn input_level(&self) -> usize {
        if self.cell_type == CellType::Reduction { self.level - 1 } else { self.level }
    }

    /// All outputs that it reads, its inputs first.
    pub fn reads(&self) -> impl Iterator<Item = usize> {
        self.inputs.into_iter().chain(self.skip)
    }
}

impl Space {
    /// The paper's space: eight operations, architectures shared by type.
    pub fn paper() -> Self {
        Self {
            operations: OperationTable::paper(),
            decoder_order: DecoderOrder::default(),
            upsample: Upsample::default(),
            share: Share::default(),
            residual: false,
            maps: false,
        }
    }

    /// The twelve cells in the order they run.
    pub fn cells(&self) -> [CellPlace; CELLS] {
        use CellType::{Decoder, Expansion, Normal, Reduction};
        let decoder = match self.decoder_order {
            DecoderOrder::NormalFirst => [
                (Decoder, 3),
                (Expansion, 2),
                (Decoder, 2),
                (Expansion, 1),
                (Decoder, 1),
                (Expansion, 0),
            ],
            DecoderOrder::ExpansionFirst => [
                (Expansion, 2),
                (Decoder, 2),
                (Expansion, 1),
                (Decoder, 1),
                (Expansion, 0),
                (Decoder, 0),
            ],
        };
        let encoder =
            [(Reduction, 1), (Normal, 1), (Reduction, 2), (Normal, 2), (Reduction, 3), (Normal, 3)];
        let cells: Vec<(CellType, usize)> = encoder.into_iter().chain(decoder).collect();
        std::array::from_fn(|cell| {
            let (cell_type, level) = cells[cell];
            let arch = match self.share {
                Share::Type => cell_type as usize,
                Share::Cell => cell,
            };
            let of_encoder = |level| cells.iter().position(|&of| of == (Normal, level));
            let skip = (cell_type == Expansion).then(|| of_encoder(level).map_or(0, |of| of + 1));
            CellPlace { cell_type, level, arch, inputs: [cell.saturating_sub(1), cell], skip }
        })
    }

    /// Level of the grid of an output.
    pub fn output_level(&self, output: usize) -> usize {
        output.checked_sub(1).map_or(0, |cell| self.cells()[cell].level)
    }

    /// The last of the decoder's outputs at `level`.
    pub fn decoder_output(&self, level: usize) -> Option<usize> {
        let decodes = |place: &CellPlace| {
            matches!(place.cell_type, CellType::Decoder | CellType::Expansion)
                && place.level == level
        };
        self.cells().iter().rposition(decodes).map(|cell| cell + 1)
    }

    /// Number of separate architectures: 4 or 12.
    pub fn architectures(&self) -> usize {
        match self.share {
            Share::Type => CellType::ALL.len(),
            Share::Cell => CELLS,
        }
    }

    /// Name of architecture `arch`: `R`, `N`, `D`, `E`, or with `share = "cell"` its place and
    /// letter, `00R` to `11E`.
    pub fn arch_name(&self, arch: usize) -> String {
        match self.share {
            Share::Type => CellType::ALL[arch].letter().into(),
            Share::Cell => format!("{arch:02}{}", self.cells()[arch].cell_type.letter()),
        }
    }

    /// Type of the cells that use architecture `arch`.
    pub fn arch_type(&self, arch: usize) -> CellType {
        match self.share {
            Share::Type => CellType::ALL[arch],
            Share::Cell => self.cells()[arch].cell_type,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_earlier_node_has_one_edge_to_every_intermediate_node() {
        let list = edge_list();
        for node in 0..NODES {
            for source in 0..node + 2 {
                assert_eq!(list.iter().filter(|&&e| e == (source, node)).count(), 1);
            }
        }
    }
}
