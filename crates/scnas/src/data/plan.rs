//! What is derived from the data before the first step: spacing, patch, folds. Written to
//! `plan.json` and into every model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use medvol::check::Fold;
use medvol::{CaseFiles, Dataset, Label, canonical_spacing, io, median_spacing};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::splits;
use crate::error::{Error, Result};
use crate::settings::config::Config;
use crate::space::topology::DEPTH;

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
    /// Names of the cases held out in each fold.
    pub folds: Vec<Vec<String>>,
    /// The fold held out.
    pub fold: usize,
    /// Names of the training cases, where a file of splits gave them; otherwise all that other
    /// folds hold out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Vec<String>>,
}

impl Plan {
    /// Derives a plan from the headers of a data set's labelled cases.
    ///
    /// # Errors
    /// Unreadable headers; too few labelled cases; a data set without foreground labels.
    pub fn new(dataset: &Dataset, config: &Config) -> Result<Self> {
        let cases = labelled(dataset);
        let data = &config.data;
        let groups = by_subject(&cases);
        if data.splits.is_none() && groups.len() < data.folds {
            return Err(Error::Invalid {
                path: dataset.root.clone(),
                expected: format!(
                    "at least {} labelled cases (of different subjects) for {} folds",
                    data.folds, data.folds
                ),
                found: groups.len().to_string(),
                remedy: "add cases or set data.folds to fewer folds".into(),
            });
        }
        if dataset.labels.len() < 2 {
            return Err(Error::Invalid {
                path: dataset.description.clone(),
                expected: "a background label and at least one foreground label".into(),
                found: format!("{} label(s)", dataset.labels.len()),
                remedy: "list every label value under \"labels\"".into(),
            });
        }
        let grids = cases
            .par_iter()
            .map(|case| Ok(io::open(&case.images)?.grid()))
            .collect::<medvol::Result<Vec<_>>>()?;
        let spacings: Vec<[f64; 3]> = grids.iter().map(|g| canonical_spacing(&g.affine)).collect();
        let spacing =
            data.spacing.or_else(|| median_spacing(spacings.iter().copied())).unwrap_or([1.0; 3]);
        let shapes: Vec<[f64; 3]> = grids
            .iter()
            .zip(&spacings)
            .map(|(grid, own)| {
                let shape = medvol::Orientation::of(&grid.affine).canonical_axes(grid.shape);
                [0, 1, 2].map(|a| shape[a] as f64 * own[a] / spacing[a])
            })
            .collect();
        let patch = data.patch.unwrap_or_else(|| derive_patch(&shapes, data.max_patch_voxels));

        let splits = match &data.splits {
            Some(path) => splits::read(path, &groups.concat())?,
            None => splits::seeded(&groups, data.folds, config.seed),
        };
        let Some(Fold { training, .. }) = splits.get(data.fold) else {
            return Err(Error::Config {
                key: "data.fold".into(),
                expected: format!(
                    "0 to {}, as {} holds {} folds",
                    splits.len() - 1,
                    data.splits.clone().unwrap_or_default().display(),
                    splits.len()
                ),
                found: data.fold.to_string(),
                remedy: "choose one of these".into(),
            });
        };
        Ok(Self {
            dataset: dataset.name.clone(),
            channels: dataset.channels.clone(),
            labels: dataset.labels.clone(),
            spacing,
            patch,
            training: data.splits.is_some().then(|| training.clone()),
            folds: splits.into_iter().map(|split| split.held_out).collect(),
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
        let by_name: BTreeMap<&str, &CaseFiles> =
            dataset.cases.iter().map(|c| (c.name.as_str(), c)).collect();
        let files = |names: BTreeSet<&str>| -> Result<Vec<CaseFiles>> {
            let file = |name: &str| {
                by_name.get(name).map(|case| (*case).clone()).ok_or_else(|| Error::Invalid {
                    path: dataset.root.clone(),
                    expected: format!("the case {name} of this run's plan"),
                    found: "no such case".into(),
                    remedy: "put it back, or start a new run in another folder".into(),
                })
            };
            names.into_iter().map(file).collect()
        };
        Ok((
            files(self.training_names())?,
            files(self.held_out().iter().map(String::as_str).collect())?,
        ))
    }

    /// Names of the cases held out.
    pub fn held_out(&self) -> &[String] {
        self.folds.get(self.fold).map_or(&[], Vec::as_slice)
    }

    /// Names of the training cases.
    pub fn training_names(&self) -> BTreeSet<&str> {
        match &self.training {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => {
                let others = self.folds.iter().enumerate().filter(|(fold, _)| *fold != self.fold);
                others.flat_map(|(_, names)| names).map(String::as_str).collect()
            }
        }
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

/// Names of the cases of each subject; a case whose subject is not known stands alone. In the order
/// of their first names.
fn by_subject(cases: &[&CaseFiles]) -> Vec<Vec<String>> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut of_subject: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases {
        let new = groups.len();
        let group = case
            .subject
            .as_deref()
            .map_or(new, |subject| *of_subject.entry(subject).or_insert(new));
        if group == new {
            groups.push(Vec::new());
        }
        groups[group].push(case.name.clone());
    }
    groups
}

/// The median shape, rounded up to what the network can halve, its longest axis shortened until it
/// fits.
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
