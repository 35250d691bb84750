//! The way back: from scores on a preprocessed grid to a label map on the image's own grid.

use ndarray::{Array3, Array4, ArrayView3, Axis, s};
use serde::{Deserialize, Serialize};

use crate::affine::Affine;
use crate::class_map::{ClassMap, Label};
use crate::error::{Error, Result};
use crate::orient::Orientation;
use crate::resample::{best_class, resample, resampled_size};
use crate::volume::{Image, LabelMap};

/// What preprocessing did to an image's grid: everything needed to undo it. Orientation, old spacing and the preprocessed grid's
/// shape follow from it and are not stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Geometry {
    /// The image's own shape (depth, height, width).
    pub shape: [usize; 3],
    /// The image's own affine.
    pub affine: Affine,
    /// First voxel of the crop, in canonical orientation (depth, height, width).
    pub crop_start: [usize; 3],
    /// Size of the crop in voxels, in canonical orientation, before resampling.
    pub crop_shape: [usize; 3],
    /// Spacing in mm of the preprocessed grid (depth, height, width).
    pub spacing_mm: [f64; 3],
}

impl Geometry {
    /// Shape of the preprocessed grid (depth, height, width).
    pub fn grid_shape(&self) -> [usize; 3] {
        let from = self.original_spacing();
        [0, 1, 2].map(|a| resampled_size(self.crop_shape[a], from[a], self.spacing_mm[a]))
    }

    /// The label map on the image's own grid, from scores `[classes, depth, height, width]` on the preprocessed grid: each class's
    /// scores are resampled linearly, the highest wins (the lower class in a tie). Outside the crop all is background.
    /// Shape and affine are exactly the image's.
    ///
    /// # Errors
    /// [`Error::GridMismatch`] if the scores have another shape than `labels` and [`Self::grid_shape`] say.
    pub fn restore_labels(&self, scores: &Array4<f32>, labels: &[Label]) -> Result<LabelMap> {
        self.check(scores, labels.len().min(ClassMap::MAX_CLASSES))?;
        let classes = (0..=u8::MAX).take(scores.dim().0);
        let best = best_class(classes, self.crop_shape, |class| self.uncrop_scale(scores.index_axis(Axis(0), class.into())));
        let map = ClassMap::new(labels);
        let values = best.mapv(|class| map.value(class.into()).unwrap_or(0));
        Ok(LabelMap { voxels: self.place(&values, 0), affine: self.affine })
    }

    /// Class probabilities on the image's own grid, from those on the preprocessed one (both `[classes, depth, height, width]`).
    /// Outside the crop the background (class 0) has probability 1.
    ///
    /// # Errors
    /// [`Error::GridMismatch`] if the probabilities do not lie on [`Self::grid_shape`].
    pub fn restore_probabilities(&self, probabilities: &Array4<f32>) -> Result<Image> {
        let classes = probabilities.dim().0;
        self.check(probabilities, classes)?;
        let [depth, height, width] = self.shape;
        let mut voxels = Array4::zeros((classes, depth, height, width));
        for (class, mut out) in voxels.outer_iter_mut().enumerate() {
            let cropped = self.uncrop_scale(probabilities.index_axis(Axis(0), class));
            let outside = if class == 0 { 1.0 } else { 0.0 };
            out.assign(&self.place(&cropped, outside));
        }
        Ok(Image { voxels, affine: self.affine })
    }

    fn original_spacing(&self) -> [f64; 3] {
        crate::orient::canonical_spacing(&self.affine)
    }

    fn check(&self, scores: &Array4<f32>, classes: usize) -> Result<()> {
        let [depth, height, width] = self.grid_shape();
        let expected = [classes, depth, height, width];
        let found: [usize; 4] = scores.dim().into();
        if expected != found {
            return Err(Error::GridMismatch { expected, found });
        }
        Ok(())
    }

    /// From the preprocessed grid to the crop's own voxels.
    fn uncrop_scale(&self, scores: ArrayView3<f32>) -> Array3<f32> {
        resample(scores, self.spacing_mm, self.original_spacing(), self.crop_shape)
    }

    /// Puts the crop back to its place in the whole volume, in the original orientation.
    fn place<T: Copy>(&self, crop: &Array3<T>, outside: T) -> Array3<T> {
        let orientation = Orientation::of(&self.affine);
        let mut whole = Array3::from_elem(orientation.canonical_axes(self.shape), outside);
        let [k, j, i] = self.crop_start;
        let [depth, height, width] = self.crop_shape;
        whole.slice_mut(s![k..k + depth, j..j + height, i..i + width]).assign(crop);
        orientation.original(whole.view()).as_standard_layout().into_owned()
    }
}
