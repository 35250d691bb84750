//! Label maps that are stored without the empty space around them, and the grid they are cut from.

use ndarray::{Array3, s};

use super::grid::{Grid, tolerance_mm};
use crate::affine::Affine;
use crate::volume::LabelMap;

/// Where in a larger grid a smaller one lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crop {
    /// The larger one.
    pub whole: Grid,
    /// The first voxel (depth, height, width).
    start: [usize; 3],
}

impl Crop {
    /// None if the voxels of `part` are not voxels of `whole`, which is the grid of an image.
    pub(super) fn of(part: &Grid, whole: &Grid) -> Option<Self> {
        let [i, j, k] = whole.affine.inverse()?.apply(part.affine.column(3)).map(f64::round);
        let mut shifted = Affine::IDENTITY;
        for (row, start) in shifted.0.iter_mut().zip([i, j, k]) {
            row[3] = start;
        }
        let expected = whole.affine.compose(&shifted);
        let distance = expected.max_displacement(&part.affine, part.shape);
        let within = |axis: usize, start: f64| {
            start >= 0.0 && start + part.shape[axis] as f64 <= whole.shape[axis] as f64
        };
        let fits = distance <= tolerance_mm(&whole.affine)
            && [k, j, i].into_iter().enumerate().all(|(axis, start)| within(axis, start));
        fits.then(|| Self {
            whole: Grid { channels: part.channels, ..*whole },
            start: [k, j, i].map(|start| start as usize),
        })
    }

    /// The label map on the whole grid, 0 around it.
    pub(super) fn uncropped(&self, labels: &LabelMap) -> LabelMap {
        let mut voxels = Array3::zeros(self.whole.shape);
        let [k, j, i] = [0, 1, 2].map(|n| self.start[n]..self.start[n] + labels.shape()[n]);
        voxels.slice_mut(s![k, j, i]).assign(&labels.voxels);
        LabelMap { voxels, affine: self.whole.affine }
    }
}
