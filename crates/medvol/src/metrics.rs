//! How well a predicted label map agrees with a reference: overlap, surfaces and volume per label,
//! mean and spread over cases.
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
//! **Surfaces.** The surface of a mask are its voxels with one of their 6 neighbours outside the
//! mask or the image. Its points are the centres of these voxels, all of equal weight. So it is in
//! MedPy (and with it nnU-Net 1) and MONAI; DeepMind's `surface-distance` instead weighs elements
//! between voxels by area. Distances go from every surface voxel of either mask to the nearest one
//! of the other, pooled; ASSD is their mean and HD95 their 95th percentile (between ranks: linear),
//! as in MedPy. (MONAI's HD95 is the larger of the two one-sided percentiles.)

mod overlap;
mod surface;

use ndarray::{ArrayView3, s};
use serde::{Deserialize, Serialize};

pub use overlap::{dice, dice_per_label};

use crate::components::{Connectivity, keep_largest_component};
use overlap::{Found, find};
use surface::surface_distances;

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

/// How one label of a prediction agrees with the reference. `None`: not scored, by the [module's
/// rule](self).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LabelScores {
    /// `2 |P ∩ R| / (|P| + |R|)`.
    pub dice: Option<f64>,
    /// `|P ∩ R| / |P ∪ R|`.
    pub jaccard: Option<f64>,
    /// `|P ∩ R| / |R|`: the part of the structure that was found.
    pub sensitivity: Option<f64>,
    /// `|P ∩ R| / |P|`: the part of the prediction that is right.
    pub precision: Option<f64>,
    /// Normalised surface Dice: the part of both surfaces that lies within the tolerance of the
    /// other.
    pub surface_dice: Option<f64>,
    /// 95th percentile of the distances between the surfaces, in mm.
    pub hd95_mm: Option<f64>,
    /// Average symmetric surface distance, in mm.
    pub assd_mm: Option<f64>,
    /// `(|P| - |R|) / |R|`: negative where the prediction is too small.
    pub volume_error: Option<f64>,
    /// `|P| - |R|` in ml.
    pub volume_error_ml: Option<f64>,
    /// Dice where of the prediction only the largest connected component is kept (voxels that
    /// share a face): more than `dice` where the prediction has stray voxels.
    pub dice_largest: Option<f64>,
}

/// Scores each of `labels`, in their order, in two maps `[depth, height, width]`.
///
/// `spacing_mm` is the distance between neighbouring voxels along (depth, height, width), as
/// [`Affine::spacing`](crate::Affine::spacing) gives it; axes are taken to be at right angles.
/// `tolerance_mm` (not negative) is the distance up to which surfaces agree.
pub fn score_labels(
    prediction: ArrayView3<u16>,
    reference: ArrayView3<u16>,
    labels: &[u16],
    spacing_mm: [f64; 3],
    tolerance_mm: f64,
) -> Result<Vec<LabelScores>, ShapeMismatch> {
    let found = find(prediction, reference, labels)?;
    let voxel_ml = spacing_mm.iter().product::<f64>() / 1000.0;
    let score = |(found, &label): (&Found, &u16)| {
        let counts = &found.counts;
        // All of both masks is in this box, so nothing changes by looking at nothing else.
        let mask = |map: ArrayView3<u16>| {
            let [k, j, i] = found.bounds.clone();
            map.slice_move(s![k, j, i]).map(|&value| value == label)
        };
        let (predicted, expected) = (mask(prediction), mask(reference));
        let distances = if counts.in_both_maps() {
            surface_distances(predicted.view(), expected.view(), spacing_mm)
        } else {
            None
        };
        let mut largest = predicted.mapv(u8::from);
        keep_largest_component(&mut largest, 1, Connectivity::Faces);
        let surface_dice = || distances.as_ref().map_or(0.0, |d| d.surface_dice(tolerance_mm));
        LabelScores {
            dice: counts.dice(),
            jaccard: counts.jaccard(),
            sensitivity: counts.sensitivity(),
            precision: counts.precision(),
            surface_dice: counts.in_a_map().then(surface_dice),
            hd95_mm: distances.as_ref().map(|d| d.percentile(95.0)),
            assd_mm: distances.as_ref().map(|d| d.mean()),
            volume_error: counts.volume_error(),
            volume_error_ml: counts.in_a_map().then(|| counts.excess() * voxel_ml),
            dice_largest: counts.with_prediction(largest.view(), expected.view()).dice(),
        }
    };
    Ok(found.iter().zip(labels).map(score).collect())
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
