//! An architecture as it is looked at: how large, how costly, its cells.

use burn::tensor::Device;

use crate::data::plan::Plan;
use crate::error::{ArchitectureFault, Result};
use crate::network::architecture::Architecture;
use crate::network::cost::Cost;
use crate::network::size::Size;
use crate::settings::Config;
use crate::space::draw::svg;
use crate::space::genotype::EdgeShares;
use crate::store::named::{MadeFor, Named};

/// Channels, classes and patch of the paper's Table 1, for architectures that belong to no data
/// yet.
const TABLE: (usize, usize, [usize; 3]) = (4, 4, [128; 3]);

/// What is asked for instead of what an architecture was made for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Input channels.
    pub channels: Option<usize>,
    /// Classes, background included.
    pub classes: Option<usize>,
    /// Channels of the stem.
    pub width: Option<usize>,
    /// (depth, height, width) in voxels.
    pub patch: Option<[usize; 3]>,
}

/// What is known of an architecture.
#[derive(Clone, Debug)]
pub struct Portrait {
    /// Its name.
    pub name: String,
    /// The architecture.
    pub architecture: Architecture,
    /// Size of its network.
    pub size: Size,
    /// (depth, height, width) in voxels of the patch that the cost is of.
    pub patch: [usize; 3],
    /// What it predicts, where it was made for that.
    pub plan: Option<Plan>,
    /// Of that network on that patch.
    pub cost: Cost,
    /// What its edges are; `None` of networks without cells.
    pub edges: Option<EdgeShares>,
}

impl Portrait {
    /// Of the architecture that a name, a run or a file stands for. Size and patch are, unless
    /// others are wanted, those that it was made for; else those of the paper's Table 1, with the
    /// width of the settings. Random architectures and single operations are of their space.
    ///
    /// # Errors
    /// Those of [`Named::resolve`]; [`ArchitectureFault::ImpossibleSize`];
    /// [`ArchitectureFault::Undivided`].
    pub fn of(
        architecture: &str,
        config: &Config,
        wanted: Wanted,
        device: &Device,
    ) -> Result<Self> {
        let Named { name, architecture, made_for } =
            Named::resolve(architecture, &config.network.space(), config.seed, device)?;
        let (known, plan) = match made_for {
            Some(MadeFor { size, plan }) => (size, Some(plan)),
            None => {
                let (channels, classes, patch) = TABLE;
                // Of voxels that are cubes.
                let grid = config.network.grid(wanted.patch.unwrap_or(patch), [1.0; 3]);
                (Size { channels, classes, width: config.network.width, grid }, None)
            }
        };
        let size = Size {
            grid: known.grid,
            channels: wanted.channels.unwrap_or(known.channels),
            classes: wanted.classes.unwrap_or(known.classes),
            width: wanted.width.unwrap_or(known.width),
        };
        if !size.is_possible() {
            let Size { channels, classes, width, .. } = size;
            return Err(ArchitectureFault::ImpossibleSize { channels, classes, width }.into());
        }
        let (_, _, patch) = TABLE;
        let patch = wanted.patch.or(plan.as_ref().map(|plan| plan.patch)).unwrap_or(patch);
        if !size.grid.divides(patch) {
            return Err(ArchitectureFault::Undivided { patch, step: size.grid.step() }.into());
        }
        Ok(Self {
            cost: architecture.cost(size, patch),
            edges: architecture.genotype().map(EdgeShares::of),
            name,
            architecture,
            size,
            patch,
            // Another number of classes predicts something else.
            plan: plan.filter(|_| wanted.classes.is_none()),
        })
    }

    /// Its cells as a drawing (SVG).
    ///
    /// # Errors
    /// [`ArchitectureFault::NoCells`].
    pub fn drawing(&self) -> Result<String> {
        let genotype = self.architecture.genotype();
        let no_cells = || ArchitectureFault::NoCells { name: self.name.clone() };
        Ok(genotype.map(svg).ok_or_else(no_cells)?)
    }
}
