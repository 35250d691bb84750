//! The size of a network.

use medvol::ClassMap;
use serde::{Deserialize, Serialize};

use crate::space::grid::Grid;
use crate::space::topology::NODES;

/// Size of a network, apart from its architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Input channels.
    pub channels: usize,
    /// Outputs: classes, background included, or regions ([`medvol::Target`]).
    pub classes: usize,
    /// Channels of the stem.
    pub width: usize,
    /// The grids of its levels.
    #[serde(default, skip_serializing_if = "Grid::is_isotropic")]
    pub grid: Grid,
}

impl Size {
    /// The size of a network all of whose axes are halved at every level.
    pub const fn isotropic(channels: usize, classes: usize, width: usize) -> Self {
        Self { channels, classes, width, grid: Grid::ISOTROPIC }
    }

    /// Whether a network can have it. Far more would overflow products before it is refused for
    /// its memory.
    pub fn is_possible(&self) -> bool {
        let Self { channels, classes, width, .. } = self;
        (1..=4096).contains(channels)
            && (1..=ClassMap::MAX_CLASSES).contains(classes)
            && (NODES..=4096).contains(width)
            && width.is_multiple_of(NODES)
    }
}
