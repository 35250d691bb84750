//! The volumes of one case, as the viewer is handed them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use medvol::io::{image_as_nifti, labels_as_nifti};
use medvol::metrics::Structures;
use medvol::{Image, Label, LabelMap};
use ndarray::{Array3, Axis};
use serde_json::{Value, json};

use crate::error::Result;
use crate::report::held_out::HeldOut;
use crate::report::html::pictures::{self, place};
use crate::report::html::plane::{Wrong, compared};
use crate::report::html::subject::Subject;
use crate::report::picture::{self, fullest};

/// Of the memory that is free, reading a case may take one part in so many: what is sent is a copy,
/// and the browser needs more of it.
const SHARE: u64 = 4;

/// An image and what is laid over it, on one grid.
#[derive(Debug)]
pub struct Volumes {
    image: Image,
    /// Each with its name.
    maps: Vec<(String, LabelMap)>,
    /// How many of them, at the end, say what is wrong instead of holding labels: none or one.
    wrong: usize,
    /// Names of channels and labels, where they are known.
    channels: Vec<String>,
    labels: Vec<Label>,
    /// Where to look first, in mm.
    focus_mm: [f64; 3],
}

impl Volumes {
    /// Of an image and label maps on its grid.
    ///
    /// # Errors
    /// Files that cannot be read, maps that do not lie on the image.
    pub fn of_files(image: &Path, paths: &[PathBuf]) -> Result<Self> {
        let (image, maps) = picture::read(image, paths)?;
        let values: BTreeSet<u16> = maps.iter().flat_map(|map| &map.voxels).copied().collect();
        let values: Vec<u16> = values.into_iter().filter(|value| *value > 0).collect();
        let scored = Structures::labels(&values);
        // As they were given: files of one name may lie in several folders.
        let names = paths.iter().map(|path| path.display().to_string());
        Ok(Self::new(image, names.zip(maps).collect(), &scored))
    }

    /// Of a case that a run predicted; `None` where its files are not known or not there.
    ///
    /// # Errors
    /// Files that cannot be read, or that do not belong together; [`crate::Error::Memory`].
    pub fn of_case(subject: &Subject, data: Option<&HeldOut>, case: &str) -> Result<Option<Self>> {
        let Some((network, files)) = place(subject, case, data) else { return Ok(None) };
        let Some(read) = pictures::read(network, files, case, SHARE)? else { return Ok(None) };
        let pictures::Volumes { image, reference, prediction, scored } = read;
        let maps = vec![("reference".into(), reference), ("prediction".into(), prediction)];
        let volumes = Self::new(image, maps, &scored);
        let Some(plan) = &network.plan else { return Ok(Some(volumes)) };
        Ok(Some(Self { channels: plan.channels.clone(), labels: plan.labels.clone(), ..volumes }))
    }

    /// Of two maps, or the first two, the errors of the second are a map of their own.
    fn new(image: Image, mut maps: Vec<(String, LabelMap)>, scored: &Structures) -> Self {
        let centre = image.shape().map(|extent| extent / 2);
        let (wrong, planes) = match maps.as_slice() {
            [] => (None, centre),
            [(_, map)] => (None, fullest(map.voxels.map(|value| *value > 0).view())),
            [(_, reference), (_, prediction), ..] => {
                let (reference, prediction) = (reference.voxels.view(), prediction.voxels.view());
                let (wrong, planes) = compared(reference, prediction, scored);
                let planes = nearest(&wrong, planes).unwrap_or(planes);
                (Some(codes(&wrong)), planes)
            }
        };
        let [k, j, i] = planes.map(|plane| plane as f64);
        let focus_mm = image.affine.apply([i, j, k]);
        let added = usize::from(wrong.is_some());
        let affine = image.affine;
        maps.extend(wrong.map(|voxels| ("wrong voxels".into(), LabelMap { voxels, affine })));
        // They lie on the image, however their own headers say so.
        maps.iter_mut().for_each(|(_, map)| map.affine = affine);
        Self { image, maps, wrong: added, channels: Vec::new(), labels: Vec::new(), focus_mm }
    }

    /// What there is, as the page reads it.
    pub fn described(&self) -> Value {
        let unnamed = |n: usize| format!("channel {}", n + 1);
        let channels: Vec<String> = (0..self.image.voxels.len_of(Axis(0)))
            .map(|n| self.channels.get(n).cloned().unwrap_or_else(|| unnamed(n)))
            .collect();
        let of_labels = self.maps.len() - self.wrong;
        let maps: Vec<Value> = (self.maps.iter().enumerate())
            .map(|(n, (name, _))| json!({ "name": name, "labels": n < of_labels }))
            .collect();
        json!({
            "channels": channels, "maps": maps, "labels": self.labels, "focus_mm": self.focus_mm,
        })
    }

    /// A channel of the image as NIfTI; `None` of a channel that there is not.
    ///
    /// # Errors
    /// A shape or an affine that NIfTI cannot hold.
    pub fn channel(&self, channel: usize) -> Result<Option<Vec<u8>>> {
        if channel >= self.image.voxels.len_of(Axis(0)) {
            return Ok(None);
        }
        let voxels = self.image.voxels.index_axis(Axis(0), channel).insert_axis(Axis(0));
        let image = Image { voxels: voxels.to_owned(), affine: self.image.affine };
        Ok(Some(image_as_nifti(&image)?))
    }

    /// A map as NIfTI; `None` of a map that there is not.
    ///
    /// # Errors
    /// A shape or an affine that NIfTI cannot hold.
    pub fn map(&self, map: usize) -> Result<Option<Vec<u8>>> {
        Ok(self.maps.get(map).map(|(_, map)| labels_as_nifti(map)).transpose()?)
    }
}

/// The voxel that is wrong and nearest to where planes meet, which need not be of what each of them
/// shows most of.
fn nearest(wrong: &Array3<Option<Wrong>>, planes: [usize; 3]) -> Option<[usize; 3]> {
    let found = wrong.indexed_iter().filter(|(_, found)| found.is_some());
    let voxels = found.map(|((k, j, i), _)| [k, j, i]);
    voxels.min_by_key(|voxel| {
        voxel.iter().zip(planes).map(|(at, plane)| at.abs_diff(plane).pow(2)).sum::<usize>()
    })
}

/// What is wrong as labels: 1 missed, 2 added, 3 labelled otherwise.
fn codes(wrong: &Array3<Option<Wrong>>) -> Array3<u16> {
    wrong.map(|found| match found {
        None => 0,
        Some(Wrong::Missed) => 1,
        Some(Wrong::Added) => 2,
        Some(Wrong::Confused) => 3,
    })
}
