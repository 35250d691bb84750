//! Surfaces of masks and the distances between them.

use ndarray::{Array3, ArrayView3, Axis, Slice, Zip};

use crate::distance::distance_to;

/// A distance counts as within a tolerance up to this part above it: spacings come from affines in single precision, and one voxel of
/// 1.0000001 mm must not be further than 1 mm.
const SLACK: f64 = 1e-5;

/// The distances in mm of every surface voxel of either mask to the nearest one of the other, sorted; at least one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SurfaceDistances(Vec<f64>);

/// The distances between the surfaces of two masks of one shape; `None` where one of them is empty.
pub(super) fn surface_distances(a: ArrayView3<bool>, b: ArrayView3<bool>, spacing_mm: [f64; 3]) -> Option<SurfaceDistances> {
    let (a, b) = (surface(a), surface(b));
    let mut distances = Vec::new();
    for (from, to) in [(&a, &b), (&b, &a)] {
        let before = distances.len();
        let distance = distance_to(to.view(), spacing_mm);
        distances.extend(distance.iter().zip(from).filter(|(_, on_surface)| **on_surface).map(|(mm, _)| *mm));
        if distances.len() == before {
            return None;
        }
    }
    // Sorted, their sum does not depend on the order of the axes either.
    distances.sort_unstable_by(f64::total_cmp);
    Some(SurfaceDistances(distances))
}

impl SurfaceDistances {
    /// The mean: the average symmetric surface distance.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// The percentile (0 to 100), linear between ranks; the 100th is the Hausdorff distance.
    pub fn percentile(&self, percent: f64) -> f64 {
        let last = self.0.len() - 1;
        let rank = percent / 100.0 * last as f64;
        let below = (rank as usize).min(last);
        let (low, high) = (self.0[below], self.0[(below + 1).min(last)]);
        low + (high - low) * (rank - below as f64)
    }

    /// The part that is no longer than the tolerance: the normalised surface Dice.
    pub fn surface_dice(&self, tolerance_mm: f64) -> f64 {
        let limit = tolerance_mm * (1.0 + SLACK);
        self.0.partition_point(|&mm| mm <= limit) as f64 / self.0.len() as f64
    }
}

/// The voxels of a mask with one of their 6 neighbours outside the mask. Outside the array all is outside.
fn surface(mask: ArrayView3<bool>) -> Array3<bool> {
    let mut inner = mask.to_owned();
    for axis in [0, 1, 2].map(Axis) {
        let Some(last) = mask.len_of(axis).checked_sub(1) else { break };
        for (here, neighbour) in [(Slice::from(1..), Slice::from(..last)), (Slice::from(..last), Slice::from(1..))] {
            inner.slice_axis_mut(axis, here).zip_mut_with(&mask.slice_axis(axis, neighbour), |inner, &inside| *inner &= inside);
        }
        inner.index_axis_mut(axis, 0).fill(false);
        inner.index_axis_mut(axis, last).fill(false);
    }
    Zip::from(&mut inner).and(mask).for_each(|inner, &inside| *inner = inside && !*inner);
    inner
}
