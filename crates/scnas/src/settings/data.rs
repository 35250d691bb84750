//! `[data]`: how cases become patches.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use medvol::Normalisation;
use medvol::io::Reading;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Expected, Result};
use crate::memory;
use crate::settings::{check, one_or_several};

/// How cases become patches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Folds the cases are split into, seeded.
    pub folds: usize,
    /// The fold held out for evaluation, 0-based; never seen by search or training.
    pub fold: usize,
    /// Seed of the folds; absent: `seed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds_seed: Option<u64>,
    /// File that says who is held out in each fold, in the form of nnU-Net's `splits_final.json`,
    /// instead of those that the data set itself says, or of `folds` seeded ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub splits: Option<PathBuf>,
    /// Voxel spacing `[depth, height, width]` in mm that every case is resampled to; absent: the
    /// median of the cases, or as much coarser as `coverage` asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing: Option<[f64; 3]>,
    /// Share of the median case that a derived patch is to hold, 0 to 1: where it would hold less,
    /// the grid is coarser, unless `spacing` says it.
    pub coverage: f64,
    /// How each channel's intensities are normalised: "zscore", "CT", "noNorm",
    /// "rescale_to_0_1" or "rgb_to_0_1"; empty: by the names of the channels, as nnU-Net does
    /// ("zscore" for any other name).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_several")]
    pub normalisation: Vec<String>,
    /// How NIfTI headers are read whose sform, qform and pixdim contradict each other; absent: by
    /// the one that agrees with pixdim, and where there is none not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub geometry: Option<Reading>,
    /// Patch `[depth, height, width]` in voxels, divisible as often as its axes are halved; absent:
    /// median case, at most `max_patch_voxels`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<[usize; 3]>,
    /// Limit of a derived patch, in voxels.
    pub max_patch_voxels: usize,
    /// Share of patches that are forced to contain foreground, 0 to 1.
    pub foreground: f64,
    /// Where preprocessed cases are held.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keep: Keep,
    /// Folder of the cases that are held on disk; absent: `scnas-cache` beside the run folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// The most memory that a run uses, in GiB; absent: what the machine allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
    /// What preprocessed voxels are rounded to, wherever they are held.
    #[serde(default, skip_serializing_if = "is_default")]
    pub numbers: Numbers,
}

/// Where preprocessed cases are held. What is computed does not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// In memory, if they take no more than half of it: the rest is for the steps. Otherwise on
    /// disk.
    #[default]
    Auto,
    /// In memory; a run whose cases do not fit is refused.
    Memory,
    /// On disk.
    Disk,
}

/// A type of floating-point number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numbers {
    /// Single precision: nothing is rounded.
    #[default]
    F32,
    /// Half precision: three digits, up to 65504.
    F16,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Bytes of a GiB.
const GIB: f64 = (1_u64 << 30) as f64;

/// Name of the folder of cases that are held on disk, where the settings name none.
const CACHE: &str = "scnas-cache";

/// Voxels along an axis of a patch. More are beyond any memory, and products could overflow.
pub(crate) const EXTENTS: RangeInclusive<usize> = 4..=512;

impl DataConfig {
    /// The most bytes that the process may come to use; `None` where nothing is known.
    pub fn memory_allowed(&self) -> Option<u64> {
        [self.memory_set(), memory::allowed()].into_iter().flatten().min()
    }

    /// Bytes that [`Self::memory`] says.
    pub fn memory_set(&self) -> Option<u64> {
        self.memory.map(|gib| (gib * GIB) as u64)
    }

    /// Bytes of [`Self::memory_allowed`] that are not yet in use.
    pub fn memory_free(&self) -> Option<u64> {
        Some(self.memory_allowed()?.saturating_sub(memory::in_use().unwrap_or(0)))
    }

    /// Where cases of a run in this folder are held on disk.
    pub fn cache_of(&self, run: &Path) -> PathBuf {
        let beside = || run.parent().unwrap_or(Path::new("")).join(CACHE);
        self.cache.clone().unwrap_or_else(beside)
    }

    /// These settings with those of `other` for where cases are held, which does not change what a
    /// run computes.
    pub(crate) fn held_as(self, other: &Self) -> Self {
        Self { keep: other.keep, cache: other.cache.clone(), memory: other.memory, ..self }
    }

    /// Refuses what cannot be.
    pub(super) fn check(&self) -> Result<()> {
        check(self.folds >= 2, "data.folds", "2 or more", self.folds)?;
        if let Some(patch) = self.patch {
            check(
                patch.iter().all(|n| EXTENTS.contains(n)),
                "data.patch",
                "three numbers of voxels from 4 to 512",
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
        if let Some(gib) = self.memory {
            let ok = gib.is_finite() && gib > 0.0;
            check(ok, "data.memory", "a positive number of GiB", gib)?;
        }
        let share = self.coverage;
        check((0.0..=1.0).contains(&share), "data.coverage", "0 to 1", share)?;
        let share = self.foreground;
        check((0.0..=1.0).contains(&share), "data.foreground", "0 to 1", share)
    }
}
