//! A found and trained network in one file: weights, architecture and everything needed to predict.

use std::path::Path;

use burn::tensor::Device;
use medvol::{ClassMap, Target};
use serde::{Deserialize, Serialize};

use crate::data::plan::Plan;
use crate::error::{Error, Found, Result};
use crate::network::architecture::{Architecture, Segmenter};
use crate::network::mixture::Mixture;
use crate::network::size::Size;
use crate::network::weights::Weights;
use crate::settings::{EXTENTS, PredictConfig};
use crate::store::tensors;

/// Version of the description in `model.safetensors`.
const VERSION: u32 = 1;

/// Its file in a run folder.
pub const MODEL: &str = "model.safetensors";

/// A network ready to predict.
#[derive(Debug)]
pub struct Model {
    /// What it is.
    pub card: Card,
    /// Its structure.
    pub network: Box<dyn Segmenter>,
    /// Its weights.
    pub weights: Weights,
}

/// The description in a model's metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    version: u32,
    /// Called genotype in files: it was always one at first.
    #[serde(rename = "genotype")]
    pub architecture: Architecture,
    /// Channels, classes, width.
    pub size: Size,
    /// Spacing, patch, labels.
    pub plan: Plan,
    /// Default settings of prediction.
    pub predict: PredictConfig,
    /// The axes (depth, height, width) along which patches were mirrored in training, where they
    /// were.
    #[serde(default = "all_axes")]
    pub mirror: [bool; 3],
}

fn all_axes() -> [bool; 3] {
    [true; 3]
}

impl Card {
    /// The description of a network.
    pub fn new(architecture: Architecture, size: Size, plan: Plan, predict: PredictConfig) -> Self {
        Self { version: VERSION, architecture, size, plan, predict, mirror: all_axes() }
    }
}

impl Model {
    /// A network with initial weights drawn from `seed`.
    pub fn new(card: Card, device: &Device, seed: u64) -> Self {
        let network = card.architecture.build(card.size);
        let weights = Weights::new(device, seed, network.layout());
        Self { card, network, weights }
    }

    /// What [`Model::network`] runs with.
    pub fn mixture(&self) -> Mixture {
        self.card.architecture.mixture()
    }

    /// Writes `model.safetensors`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = tensors::encode(
            path,
            &self.card,
            self.weights.iter().map(|(_, w)| (w.name.clone(), &w.value)),
        )?;
        Ok(medvol::atomic_write(path, &bytes)?)
    }

    /// Reads a model.
    ///
    /// # Errors
    /// When the file cannot be read, is not a model, or its weights do not fit its architecture.
    pub fn read(path: &Path, device: &Device) -> Result<Self> {
        let (card, tensors): (Card, _) =
            tensors::read(path, "a model (model.safetensors)", device)?;
        let invalid = |found: Found| {
            let expected = "a model whose weights fit its architecture";
            Error::invalid(path, expected, found, "copy it again from the run that wrote it")
        };
        let values = tensors.values().map(|t| t.dims().iter().product::<usize>() as u64).sum();
        card.check(values).map_err(invalid)?;
        let mut model = Self::new(card, device, 0);
        model.weights.assign(tensors).map_err(invalid)?;
        Ok(model)
    }
}

impl Card {
    /// What [`Model::new`] relies on, checked for a file that anyone may have written and that
    /// holds so many `values`.
    fn check(&self, values: u64) -> Result<(), Found> {
        let Self { version, size, plan, .. } = self;
        if *version != VERSION {
            return Err(Found::Version { found: *version, read: VERSION });
        }
        let patch_ok = plan.patch.iter().all(|p| EXTENTS.contains(p))
            && plan.grid.divides(plan.patch)
            && size.grid == plan.grid;
        let class_ok = |class: u8| class > 0 && usize::from(class) < plan.labels.len();
        let target_ok = match &plan.target {
            Target::Classes => size.classes > 1,
            Target::Regions(regions) => regions
                .iter()
                .all(|region| region.classes.iter().chain([&region.written]).all(|&c| class_ok(c))),
        };
        let plan_ok = target_ok
            && plan.labels.len() <= ClassMap::MAX_CLASSES
            && plan.target.outputs(plan.labels.len()) == size.classes
            && plan.channels.len() == size.channels
            && plan.spacing.iter().all(|s| s.is_finite() && *s > 0.0);
        if !(patch_ok && size.is_possible() && plan_ok) {
            let Size { channels, classes, width, .. } = *size;
            let (patch, labels) = (plan.patch, plan.labels.len());
            return Err(Found::Card { channels, classes, width, patch, labels });
        }
        // Before a network is built that would be larger than the file.
        let needed = self.architecture.cost(self.size, plan.patch).parameters;
        if needed <= values { Ok(()) } else { Err(Found::FewValues { needed, values }) }
    }
}
