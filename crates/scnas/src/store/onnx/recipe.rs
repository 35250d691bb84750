//! What else prediction takes, in the file's metadata: how an image becomes windows and what becomes
//! of their logits.

use medvol::io::Reading;
use medvol::stitch::Blend;
use medvol::{Label, Normalisation, Region, Target};
use serde::Serialize;

use crate::error::Result;
use crate::settings::PredictConfig;
use crate::store::model::Card;

/// Key of the document in the metadata.
pub(super) const KEY: &str = "scnas";

/// Version of the document.
const VERSION: u32 = 1;

/// The document. Lists of three are of depth, height and width.
#[derive(Serialize)]
pub(super) struct Recipe<'a> {
    version: u32,
    program: String,
    data_set: &'a str,
    channels: Vec<Channel<'a>>,
    /// What an image is turned to before all else. Width runs along its first letter.
    orientation: &'static str,
    /// How headers are read that contradict themselves, where that was set.
    geometry: Option<Reading>,
    /// Of the grid that images are resampled to.
    spacing_mm: [f64; 3],
    /// Voxels of a window.
    window: [usize; 3],
    /// What the extents of windows must be multiples of.
    multiple_of: [usize; 3],
    /// The least part of a window that neighbours share.
    overlap: f64,
    blend: Blend,
    /// Axes of `[channels, depth, height, width]` that a window is mirrored along; the mean over all
    /// of these is taken.
    mirrorings: Vec<Vec<usize>>,
    /// From logits to probabilities: `softmax` over the outputs, or a `sigmoid` of each.
    activation: &'static str,
    /// Class `n` is `labels[n]`.
    labels: &'a [Label],
    /// What the outputs say, unless they are the classes. Later ones are written over earlier ones.
    regions: Option<&'a [Region]>,
    /// Above this probability a voxel lies in a region.
    threshold: Option<f32>,
    largest_component: Vec<Cleaned>,
}

/// A channel of the image.
#[derive(Serialize)]
struct Channel<'a> {
    name: &'a str,
    /// Border voxels of 0, and those up to this value where there is one, are cut off.
    nothing: Option<f32>,
    #[serde(flatten)]
    normalisation: Normalisation,
}

/// A structure of which only the largest component is kept, its voxels being neighbours by their
/// faces.
#[derive(Serialize)]
struct Cleaned {
    classes: Vec<u8>,
    /// What their voxels elsewhere become, class by class.
    become_classes: Vec<u8>,
}

impl<'a> Recipe<'a> {
    /// For windows of this size, or the model's own.
    ///
    /// # Errors
    /// Settings that do not fit the labels.
    pub fn new(card: &'a Card, window: Option<[usize; 3]>) -> Result<Self> {
        let Card { plan, predict, mirror, .. } = card;
        let PredictConfig { overlap, blend, flips, .. } = *predict;
        let channels = plan.channels.iter().enumerate().map(|(n, name)| {
            let normalisation = plan.normalisation.get(n).copied().unwrap_or_default();
            let nothing = Some(normalisation.nothing()).filter(|value| value.is_finite());
            Channel { name, nothing, normalisation }
        });
        let structures = plan.target.structures(plan.labels.len());
        let cleaned = predict.largest_component_structures(&plan.labels, &plan.target)?;
        let cleaned = cleaned.into_iter().filter_map(|n| {
            let classes = structures.get(n)?.clone();
            let become_classes =
                classes.iter().map(|&class| plan.target.class_without(n, class)).collect();
            Some(Cleaned { classes, become_classes })
        });
        let regions = match &plan.target {
            Target::Classes => None,
            Target::Regions(regions) => Some(regions.as_slice()),
        };
        Ok(Self {
            version: VERSION,
            program: format!("scnas {}", env!("CARGO_PKG_VERSION")),
            data_set: &plan.dataset,
            channels: channels.collect(),
            orientation: "RAS",
            geometry: plan.geometry,
            spacing_mm: plan.spacing,
            window: window.unwrap_or(plan.patch),
            multiple_of: plan.grid.step(),
            overlap,
            blend,
            mirrorings: mirrorings(flips.then_some(*mirror)),
            activation: if regions.is_some() { "sigmoid" } else { "softmax" },
            labels: &plan.labels,
            threshold: regions.map(|_| Region::THRESHOLD),
            regions,
            largest_component: cleaned.collect(),
        })
    }

    /// Voxels of a window.
    pub fn window(&self) -> [usize; 3] {
        self.window
    }
}

/// Axes to mirror along: none, and, where there are axes that may be, each set of these.
fn mirrorings(may: Option<[bool; 3]>) -> Vec<Vec<usize>> {
    let axes = |set: usize| (0..3).filter(move |axis| set >> axis & 1 == 1);
    let allowed = |set: &usize| axes(*set).all(|axis| may.is_some_and(|may| may[axis]));
    (0..1 << 3).filter(allowed).map(|set| axes(set).map(|axis| axis + 1).collect()).collect()
}
