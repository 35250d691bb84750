//! How well a predicted label map agrees with a reference: overlap, surfaces and volume per
//! structure (a label, or several as one), mean and spread over cases.
//!
//! **Empty masks.** What cannot be measured is *not scored* (`None`, shown as `–` and left out of
//! means). One rule holds everywhere:
//!
//! | the label is in | Dice (also of the largest component), Jaccard, surface Dice | sensitivity | precision | HD95, ASSD | volume error | in ml |
//! |---|---|---|---|---|---|---|
//! | neither map | `None` | `None` | `None` | `None` | `None` | `None` |
//! | the prediction only | 0 | `None` (0 / 0) | 0 | `None` | `None` (n / 0) | + its volume |
//! | the reference only | 0 | 0 | `None` (0 / 0) | `None` | -1 | - its volume |
//!
//! With a label in neither map there is nothing to find, and both 0 and 1 would distort a mean. A
//! distance to nothing has no finite value (DeepMind's `surface-distance` says infinite, nnU-Net
//! NaN and leaves it out, as we do), so a mean distance is one over the cases that hold the
//! label in both maps: read it with their number and with Dice and surface Dice, where a miss
//! counts as 0.
//!
//! **Ignored voxels** of the reference are left out: as though the image ended there. What is
//! predicted in them changes nothing.
//!
//! **Surfaces.** The surface of a mask are its voxels with one of their 6 neighbours outside the
//! mask or the image. Along an axis of one voxel there are no neighbours and no edge: the surface of
//! a mask of a two-dimensional image is its contour. Its points are the centres of these voxels, all
//! of equal weight. So it is in MedPy (and with it nnU-Net 1) and MONAI; DeepMind's
//! `surface-distance` instead weighs elements between voxels by area. Distances go from every
//! surface voxel of either mask to the nearest one of the other, pooled; ASSD is their mean and
//! HD95 their 95th percentile (between ranks: linear), as in MedPy. (MONAI's HD95 is the larger of
//! the two one-sided percentiles.)

mod overlap;
mod surface;
mod table;

use ndarray::{Array3, ArrayView3, Zip, s};

pub use overlap::{Structures, dice, dice_per_structure};
pub use table::{Better, LabelScores, Metric, Unit};

use crate::components::{Connectivity, keep_largest_component};
use overlap::{Counts, Found, find};
use surface::{SurfaceDistances, axes_with_edges, surface_distances};

/// Two label maps on different grids were compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the prediction has {prediction:?} voxels and the reference {reference:?} (depth, height, \
     width): bring the prediction back to the image's own grid before scoring it"
)]
pub struct ShapeMismatch {
    /// `[depth, height, width]` of the prediction.
    pub prediction: [usize; 3],
    /// `[depth, height, width]` of the reference.
    pub reference: [usize; 3],
}

/// A structure in a prediction and its reference: what metrics are computed from.
struct Agreement {
    counts: Counts,
    /// The structure's masks `[depth, height, width]` in a box that holds all of both.
    predicted: Array3<bool>,
    expected: Array3<bool>,
    /// Between the surfaces; `None` where a mask is empty.
    distances: Option<SurfaceDistances>,
    /// Volume of a voxel.
    voxel_ml: f64,
    tolerance_mm: f64,
}

impl Agreement {
    fn surface_dice(&self) -> Option<f64> {
        let within = |distances: &SurfaceDistances| distances.surface_dice(self.tolerance_mm);
        self.counts.in_a_map().then(|| self.distances.as_ref().map_or(0.0, within))
    }

    fn volume_error_ml(&self) -> Option<f64> {
        self.counts.in_a_map().then(|| self.counts.excess() * self.voxel_ml)
    }

    fn dice_largest(&self) -> Option<f64> {
        dice_largest(&self.counts, &self.predicted, &self.expected)
    }
}

/// Dice where of the prediction only the largest connected component is kept.
fn dice_largest(counts: &Counts, predicted: &Array3<bool>, expected: &Array3<bool>) -> Option<f64> {
    let mut largest = predicted.mapv(u8::from);
    keep_largest_component(&mut largest, 1, Connectivity::Faces);
    counts.with_prediction(largest.view(), expected.view()).dice()
}

/// Where a structure is in a prediction and in its reference, in a box that holds all of both: nothing
/// changes by looking at nothing else.
fn masks(
    Found { bounds: [k, j, i], .. }: &Found,
    values: &[u16],
    maps: [ArrayView3<u16>; 2],
    ignore: Option<u16>,
) -> [Array3<bool>; 2] {
    let boxed = s![k.clone(), j.clone(), i.clone()];
    let [prediction, reference] = maps.map(|map| map.slice_move(&boxed));
    let mut inside = vec![false; usize::from(u16::MAX) + 1];
    values.iter().for_each(|&value| inside[usize::from(value)] = true);
    let expected = reference.map(|&r| inside[usize::from(r)] && Some(r) != ignore);
    let mut predicted = prediction.map(|&p| inside[usize::from(p)]);
    if ignore.is_some() {
        Zip::from(&mut predicted).and(reference).for_each(|p, &r| *p &= Some(r) != ignore);
    }
    [predicted, expected]
}

/// The Dice coefficient of each structure, in their order, in two maps `[depth, height, width]`, and
/// that where of the prediction only its largest connected component is kept.
///
/// # Errors
/// [`ShapeMismatch`] of maps on different grids.
pub fn dice_with_largest(
    prediction: ArrayView3<u16>,
    reference: ArrayView3<u16>,
    scored: &Structures,
) -> Result<Vec<[Option<f64>; 2]>, ShapeMismatch> {
    let both = |(found, values): (Found, &Vec<u16>)| {
        let [predicted, expected] = masks(&found, values, [prediction, reference], scored.ignore);
        [found.counts.dice(), dice_largest(&found.counts, &predicted, &expected)]
    };
    Ok(find(prediction, reference, scored)?.into_iter().zip(&scored.values).map(both).collect())
}

/// Scores each structure, in their order, in two maps `[depth, height, width]`.
///
/// `spacing_mm` is the distance between neighbouring voxels along (depth, height, width), as
/// [`Affine::spacing`](crate::Affine::spacing) gives it; axes are taken to be at right angles.
/// `tolerance_mm` (not negative) is the distance up to which surfaces agree.
///
/// # Errors
/// [`ShapeMismatch`] of maps on different grids.
pub fn score_structures(
    prediction: ArrayView3<u16>,
    reference: ArrayView3<u16>,
    scored: &Structures,
    spacing_mm: [f64; 3],
    tolerance_mm: f64,
) -> Result<Vec<LabelScores>, ShapeMismatch> {
    let found = find(prediction, reference, scored)?;
    let edges = axes_with_edges(reference.dim().into());
    let voxel_ml = spacing_mm.iter().product::<f64>() / 1000.0;
    let score = |(found, values): (Found, &Vec<u16>)| {
        let [predicted, expected] = masks(&found, values, [prediction, reference], scored.ignore);
        let counts = found.counts;
        let distances = if counts.in_both_maps() {
            surface_distances(predicted.view(), expected.view(), edges, spacing_mm)
        } else {
            None
        };
        let structure =
            Agreement { counts, predicted, expected, distances, voxel_ml, tolerance_mm };
        LabelScores::of(&structure)
    };
    Ok(found.into_iter().zip(&scored.values).map(score).collect())
}

/// Mean and sample standard deviation (`n - 1`; 0 for a single value); `None` of no values.
pub fn mean_sd(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let values: Vec<f64> = values.into_iter().collect();
    let count = values.len() as f64;
    match values.len() {
        0 => None,
        1 => Some((values[0], 0.0)),
        _ => {
            let mean = values.iter().sum::<f64>() / count;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            Some((mean, (squares / (count - 1.0)).sqrt()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_sample_deviation_of_known_values() {
        assert_eq!(mean_sd([]), None);
        assert_eq!(mean_sd([0.7]), Some((0.7, 0.0)));
        let (mean, sd) = mean_sd([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert!((mean - 5.0).abs() < 1e-12 && (sd - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        // A spread far smaller than the mean must not be lost to cancellation.
        let (_, sd) = mean_sd([1e9, 1e9 + 1.0]).unwrap();
        assert!((sd - 0.5_f64.sqrt()).abs() < 1e-6);
    }
}
