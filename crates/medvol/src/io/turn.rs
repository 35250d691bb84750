//! Label maps that are stored along other axes than their image, voxel for voxel on its grid:
//! mirrored and permuted as programs do that store everything in an orientation of their own.

use super::grid::{Grid, Header, tolerance_mm};
use crate::orient::Orientation;
use crate::volume::{Image, LabelMap};

/// The axes of a file that are those of another grid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    axes: Orientation,
    /// The grid that it is brought to.
    pub grid: Grid,
}

impl Turn {
    /// None if `part` lies on `image` as it is, or if its voxels are not those of it.
    pub(super) fn of(part: &Header, image: &Header) -> Option<Self> {
        let whole = &image.grid;
        if part.grid.shape == whole.shape && image.lies_on(part) {
            return None;
        }
        let axes = Orientation::of(&whole.affine.inverse()?.compose(&part.grid.affine));
        let shape = axes.canonical_axes(part.grid.shape);
        let affine = axes.canonical_affine(&part.grid.affine, part.grid.shape);
        let fits = shape == whole.shape
            && whole.affine.max_displacement(&affine, shape) <= tolerance_mm(&whole.affine);
        fits.then_some(Self { axes, grid: Grid { channels: part.grid.channels, ..*whole } })
    }

    /// The image along the axes of the grid.
    pub(super) fn image(&self, image: &Image) -> Image {
        let turned = self.axes.canonical_channels(image.voxels.view());
        Image { voxels: turned.as_standard_layout().into_owned(), affine: self.grid.affine }
    }

    /// The label map along the axes of the grid.
    pub(super) fn labels(&self, labels: &LabelMap) -> LabelMap {
        let turned = self.axes.canonical(labels.voxels.view());
        LabelMap { voxels: turned.as_standard_layout().into_owned(), affine: self.grid.affine }
    }
}
