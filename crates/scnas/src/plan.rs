//! What is derived from the data before the first step: spacing, patch, folds. Written to `plan.json` and into every model.

use std::collections::BTreeMap;
use std::path::Path;

use medvol::{CaseFiles, Dataset, Label, canonical_spacing, median_spacing, read_grid};
use rand::seq::SliceRandom as _;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::random::{Stream, rng};
use crate::space::DEPTH;

/// How images are brought to the network and back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Name of the data set.
    pub dataset: String,
    /// Names of the input channels.
    pub channels: Vec<String>,
    /// Class `n` is `labels[n]`; background first.
    pub labels: Vec<Label>,
    /// Spacing `[depth, height, width]` in mm of the preprocessed grid, in canonical orientation.
    pub spacing: [f64; 3],
    /// Patch `[depth, height, width]` in voxels.
    pub patch: [usize; 3],
    /// Names of the cases of each fold.
    pub folds: Vec<Vec<String>>,
    /// The fold held out.
    pub fold: usize,
}

impl Plan {
    /// Derives a plan from the headers of a data set's labelled cases.
    ///
    /// # Errors
    /// Unreadable headers; too few labelled cases; a data set without foreground labels.
    pub fn new(dataset: &Dataset, config: &Config) -> Result<Self> {
        let cases = labelled(dataset);
        let data = &config.data;
        if cases.len() < data.folds {
            return Err(Error::Invalid {
                path: dataset.root.clone(),
                expected: format!("at least {} labelled cases for {} folds", data.folds, data.folds),
                found: cases.len().to_string(),
                remedy: "add cases or set data.folds to fewer folds".into(),
            });
        }
        if dataset.labels.len() < 2 {
            return Err(Error::Invalid {
                path: dataset.root.join("dataset.json"),
                expected: "a background label and at least one foreground label".into(),
                found: format!("{} label(s)", dataset.labels.len()),
                remedy: "list every label value under \"labels\"".into(),
            });
        }
        let grids = cases.par_iter().map(|c| read_grid(&c.image)).collect::<medvol::Result<Vec<_>>>()?;
        let spacings: Vec<[f64; 3]> = grids.iter().map(|g| canonical_spacing(&g.affine)).collect();
        let spacing = data.spacing.or_else(|| median_spacing(spacings.iter().copied())).unwrap_or([1.0; 3]);
        let shapes: Vec<[f64; 3]> = grids
            .iter()
            .zip(&spacings)
            .map(|(grid, own)| {
                let shape = medvol::Orientation::of(&grid.affine).canonical_axes(grid.shape);
                [0, 1, 2].map(|a| shape[a] as f64 * own[a] / spacing[a])
            })
            .collect();
        let patch = data.patch.unwrap_or_else(|| derive_patch(&shapes, data.max_patch_voxels));

        let mut names: Vec<String> = cases.iter().map(|c| c.name.clone()).collect();
        names.shuffle(&mut rng(config.seed, Stream::Folds, 0));
        let folds = (0..data.folds)
            .map(|f| {
                let mut fold: Vec<String> = names.iter().skip(f).step_by(data.folds).cloned().collect();
                fold.sort();
                fold
            })
            .collect();
        Ok(Self {
            dataset: dataset.name.clone(),
            channels: dataset.channels.clone(),
            labels: dataset.labels.clone(),
            spacing,
            patch,
            folds,
            fold: data.fold,
        })
    }

    /// Names of the foreground classes.
    pub fn foreground(&self) -> Vec<String> {
        self.labels.iter().skip(1).map(|l| l.name.clone()).collect()
    }

    /// Writes `plan.json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(medvol::atomic_write(path, &to_json(self))?)
    }

    /// The files of the training cases and of the held-out ones, in the order of their names.
    ///
    /// # Errors
    /// When the data set has lost a case since the plan was made.
    pub fn split(&self, dataset: &Dataset) -> Result<(Vec<CaseFiles>, Vec<CaseFiles>)> {
        let by_name: BTreeMap<&str, &CaseFiles> = dataset.cases.iter().map(|c| (c.name.as_str(), c)).collect();
        let (mut training, mut held_out) = (Vec::new(), Vec::new());
        for (f, fold) in self.folds.iter().enumerate() {
            for name in fold {
                let case = by_name.get(name.as_str()).ok_or_else(|| Error::Invalid {
                    path: dataset.root.clone(),
                    expected: format!("the case {name} of this run's plan"),
                    found: "no such case".into(),
                    remedy: "put it back, or start a new run in another folder".into(),
                })?;
                if f == self.fold { held_out.push((*case).clone()) } else { training.push((*case).clone()) }
            }
        }
        training.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((training, held_out))
    }
}

/// Pretty JSON with a line end.
pub fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn labelled(dataset: &Dataset) -> Vec<&CaseFiles> {
    dataset.cases.iter().filter(|c| c.label.is_some()).collect()
}

/// The median shape, rounded up to what the network can halve, its longest axis shortened until it fits.
fn derive_patch(shapes: &[[f64; 3]], max_voxels: usize) -> [usize; 3] {
    let step = 1 << DEPTH;
    let mut patch = [0, 1, 2].map(|axis| {
        let mut extents: Vec<f64> = shapes.iter().map(|s| s[axis]).collect();
        extents.sort_by(f64::total_cmp);
        (extents[extents.len() / 2].round() as usize).max(1).next_multiple_of(step)
    });
    while patch.iter().product::<usize>() > max_voxels {
        let longest = (0..3).max_by_key(|&a| patch[a]).unwrap_or(0);
        if patch[longest] == step {
            break;
        }
        patch[longest] -= step;
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_patch_is_divisible_by_eight_and_within_the_limit() {
        let shapes = [[35.0, 50.0, 36.0], [34.0, 49.0, 37.0], [36.0, 51.0, 35.0]];
        assert_eq!(derive_patch(&shapes, 262_144), [40, 56, 40]);
        let patch = derive_patch(&[[155.0, 240.0, 240.0]], 262_144);
        assert!(patch.iter().all(|p| p % 8 == 0) && patch.iter().product::<usize>() <= 262_144);
        assert_eq!(derive_patch(&[[1.0, 1.0, 1.0]], 512), [8, 8, 8]);
    }
}
