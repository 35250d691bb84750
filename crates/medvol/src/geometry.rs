//! The way back: from scores on a preprocessed grid to a label map on the image's own grid.

use ndarray::{Array3, Array4, ArrayBase, ArrayView3, Axis, Ix3, RawData, s};
use serde::{Deserialize, Serialize};

use crate::affine::Affine;
use crate::class_map::{ClassMap, Label};
use crate::error::{Error, Result};
use crate::orient::Orientation;
use crate::resample::{Resampling, best_class, cut, resampled_size, whole};
use crate::volume::{Image, LabelMap};

/// What preprocessing did to an image's grid: everything needed to undo it. Orientation, old
/// spacing and the preprocessed grid's shape follow from it and are not stored.
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
    /// Shape of the preprocessed grid (depth, height, width). An axis along which the image has one
    /// voxel keeps it: how thick a two-dimensional image is says nothing of what lies beside it.
    pub fn grid_shape(&self) -> [usize; 3] {
        let from = self.original_spacing();
        let extents = Orientation::of(&self.affine).canonical_axes(self.shape);
        [0, 1, 2].map(|a| match extents[a] {
            1 => 1,
            _ => resampled_size(self.crop_shape[a], from[a], self.spacing_mm[a]),
        })
    }

    /// The label map on the image's own grid, from scores `[classes, depth, height, width]` on the
    /// preprocessed grid: each class's scores are resampled linearly, the highest wins (the
    /// lower class in a tie). Outside the crop all is background. Shape and affine are exactly
    /// the image's.
    ///
    /// # Errors
    /// [`Error::GridMismatch`] if the scores have another shape than `labels` and
    /// [`Self::grid_shape`] say.
    pub fn restore_labels(&self, scores: &Array4<f32>, labels: &[Label]) -> Result<LabelMap> {
        self.check(scores, labels.len().min(ClassMap::MAX_CLASSES))?;
        let classes = (0..=u8::MAX).take(scores.dim().0);
        let best = best_class(classes, self.crop_shape, |class| {
            self.uncrop_scale(scores.index_axis(Axis(0), class.into()))
        });
        let map = ClassMap::new(labels);
        let values = best.mapv(|class| map.value(class.into()).unwrap_or(0));
        Ok(LabelMap { voxels: self.place(&values, 0), affine: self.affine })
    }

    /// Class probabilities on the image's own grid, from those on the preprocessed one (both
    /// `[classes, depth, height, width]`). Outside the crop the background (class 0) has
    /// probability 1.
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

    /// The image's own spacing in mm, in canonical orientation.
    pub(crate) fn original_spacing(&self) -> [f64; 3] {
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
    pub(crate) fn way_back(&self) -> Resampling {
        Resampling::new(
            self.grid_shape(),
            self.spacing_mm,
            self.crop_shape,
            self.original_spacing(),
        )
    }

    fn uncrop_scale(&self, scores: ArrayView3<f32>) -> Array3<f32> {
        self.way_back().block(&whole(self.crop_shape), |all| cut(scores, all))
    }

    /// The crop, in canonical orientation, of a volume on the image's own grid; its voxels stay
    /// where they are in memory.
    ///
    /// # Panics
    /// If the volume does not have the image's shape.
    pub fn crop<S: RawData>(&self, volume: ArrayBase<S, Ix3>) -> ArrayBase<S, Ix3> {
        let [k, j, i] = [0, 1, 2]
            .map(|axis| self.crop_start[axis]..self.crop_start[axis] + self.crop_shape[axis]);
        Orientation::of(&self.affine).canonical(volume).slice_move(s![k, j, i])
    }

    /// Puts the crop back to its place in the whole volume, in the original orientation.
    fn place<T: Copy>(&self, crop: &Array3<T>, outside: T) -> Array3<T> {
        let mut whole = Array3::from_elem(self.shape, outside);
        self.crop(whole.view_mut()).assign(crop);
        whole
    }
}
