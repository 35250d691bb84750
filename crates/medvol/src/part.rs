//! A box of a preprocessed case, or all of it: what patches are cut from. Whoever keeps a case where
//! it is slow to read needs to read no more of it than a patch is made of.

use ndarray::{ArrayView3, ArrayView4};

use crate::patch::{extract, extract_classes};
use crate::preprocess::Case;

/// Voxels of a preprocessed case within a box, each in its place in the whole case.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Shape of the whole case (depth, height, width).
    pub shape: [usize; 3],
    /// Spacing in mm of its voxels (depth, height, width).
    pub spacing_mm: [f64; 3],
    /// The box's first voxel (depth, height, width) in the case.
    pub start: [usize; 3],
    /// `[channels, depth, height, width]` of the box.
    pub image: ArrayView4<'a, f32>,
    /// `[depth, height, width]` of the box; `None` where the case has no label map.
    pub classes: Option<ArrayView3<'a, u8>>,
}

impl Case {
    /// All of it.
    pub fn part(&self) -> Part<'_> {
        let [_, depth, height, width]: [usize; 4] = self.image.dim().into();
        Part {
            shape: [depth, height, width],
            spacing_mm: self.geometry.spacing_mm,
            start: [0; 3],
            image: self.image.view(),
            classes: self.classes.as_ref().map(|classes| classes.view()),
        }
    }
}

impl Part<'_> {
    /// The patch whose first voxel is `corner` of the case, padded with 0 outside the case: see
    /// [`extract`]. The box must hold all voxels of the patch that lie in the case.
    pub fn image_at(&self, corner: [isize; 3], patch: [usize; 3]) -> Vec<f32> {
        extract(self.image, self.within(corner), patch)
    }

    /// The classes of a patch, as [`Self::image_at`]; see [`extract_classes`].
    pub fn classes_at(&self, corner: [isize; 3], patch: [usize; 3]) -> Option<Vec<u8>> {
        self.classes.map(|classes| extract_classes(classes, self.within(corner), patch))
    }

    /// A voxel of the case, counted from the box's first.
    fn within(&self, corner: [isize; 3]) -> [isize; 3] {
        [0, 1, 2].map(|axis| corner[axis].saturating_sub_unsigned(self.start[axis]))
    }
}
