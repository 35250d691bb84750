//! `[data]`: how cases become patches.

use std::path::PathBuf;

use medvol::Normalisation;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Expected, Result};
use crate::settings::check;
use crate::space::topology::DEPTH;

/// How cases become patches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Folds the cases are split into, seeded.
    pub folds: usize,
    /// The fold held out for evaluation, 0-based; never seen by search or training.
    pub fold: usize,
    /// File that says who is held out in each fold, in the form of nnU-Net's `splits_final.json`,
    /// instead of those that the data set itself says, or of `folds` seeded ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub splits: Option<PathBuf>,
    /// Voxel spacing `[depth, height, width]` in mm that every case is resampled to; absent:
    /// median of the training cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing: Option<[f64; 3]>,
    /// How each channel's intensities are normalised: "zscore", "CT", "noNorm",
    /// "rescale_to_0_1" or "rgb_to_0_1"; empty: by the names of the channels, as nnU-Net does
    /// ("zscore" for any other name).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub normalisation: Vec<String>,
    /// Patch `[depth, height, width]` in voxels, each divisible by 8; absent: median case, at most
    /// `max_patch_voxels`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<[usize; 3]>,
    /// Limit of a derived patch, in voxels.
    pub max_patch_voxels: usize,
    /// Share of patches that are forced to contain foreground, 0 to 1.
    pub foreground: f64,
}

/// Voxels along an axis of a patch, at most: more are beyond any memory, and products could
/// overflow.
const MAX_EXTENT: usize = 512;

impl DataConfig {
    /// Refuses what cannot be.
    pub(super) fn check(&self) -> Result<()> {
        check(self.folds >= 2, "data.folds", "2 or more", self.folds)?;
        if let Some(patch) = self.patch {
            let step = 1 << DEPTH;
            check(
                patch.iter().all(|&n| (step..=MAX_EXTENT).contains(&n) && n % step == 0),
                "data.patch",
                Expected::Multiple { of: step, most: MAX_EXTENT },
                format!("{patch:?}"),
            )?;
        }
        if let Some(spacing) = self.spacing {
            let ok = spacing.iter().all(|&mm| mm.is_finite() && mm > 0.0);
            check(ok, "data.spacing", "three positive numbers in mm", format!("{spacing:?}"))?;
        }
        let unknown = self.normalisation.iter().find(|name| Normalisation::named(name).is_none());
        if let Some(name) = unknown {
            let expected = Expected::OneOf(Normalisation::NAMES.map(String::from).to_vec());
            return Err(Error::setting("data.normalisation", expected, name));
        }
        let voxels = self.max_patch_voxels;
        check(voxels >= 512, "data.max_patch_voxels", "512 or more", voxels)?;
        let share = self.foreground;
        check((0.0..=1.0).contains(&share), "data.foreground", "0 to 1", share)
    }
}
