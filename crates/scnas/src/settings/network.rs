//! `[network]`: size and space of the network.

use serde::{Deserialize, Serialize};

use crate::error::{Expected, Result};
use crate::settings::check;
use crate::space::grid::{Grid, Strides};
use crate::space::operation::OperationTable;
use crate::space::topology::{DecoderOrder, NODES, Share, Space, Upsample};

/// Size and space of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Channels of the stem, divisible by 4 (paper: 32).
    pub width: usize,
    /// Candidate operations of every edge.
    pub operations: OperationTable,
    /// Order of the decoder's cells.
    pub decoder_order: DecoderOrder,
    /// How coarse inputs are upsampled.
    pub upsample: Upsample,
    /// Which cells share an architecture.
    pub share: Share,
    /// Add every cell's newer input to its output.
    #[serde(default)]
    pub residual: bool,
    /// Class maps at three levels of the decoder, added up.
    #[serde(default)]
    pub maps: bool,
    /// Which axes are halved on the way down, and where kernels are flat.
    #[serde(default)]
    pub strides: Strides,
    /// Run every cell a second time in the backward pass instead of keeping what it computed: less
    /// memory, more time.
    #[serde(default)]
    pub recompute: bool,
}

/// Channels of the stem, at most.
const MAX_WIDTH: usize = 1024;

impl NetworkConfig {
    /// The search space.
    pub fn space(&self) -> Space {
        let Self { operations, decoder_order, upsample, share, residual, maps, .. } = self.clone();
        Space { operations, decoder_order, upsample, share, residual, maps }
    }

    /// The grids of a network for a patch in voxels with a spacing in mm.
    pub fn grid(&self, patch: [usize; 3], spacing: [f64; 3]) -> Grid {
        match self.strides {
            Strides::Isotropic => Grid::ISOTROPIC,
            Strides::ByAxis => Grid::by_axis(patch, spacing),
        }
    }

    /// Refuses what cannot be.
    pub(super) fn check(&self) -> Result<()> {
        let width = self.width;
        check(
            (NODES..=MAX_WIDTH).contains(&width) && width.is_multiple_of(NODES),
            "network.width",
            Expected::Multiple { of: NODES, most: MAX_WIDTH },
            width,
        )
    }
}
