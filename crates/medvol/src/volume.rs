//! Voxels with a place in space. Arrays are indexed `[depth, height, width]` = `[k, j, i]`, the
//! order of a NIfTI file.

use ndarray::{Array3, Array4};

use crate::affine::Affine;
use crate::io::Grid;

/// An image with one or more channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// `[channels, depth, height, width]`
    pub voxels: Array4<f32>,
    /// From voxel `(i, j, k)` to mm in RAS+.
    pub affine: Affine,
}

impl Image {
    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.voxels.dim().0
    }

    /// (depth, height, width)
    pub fn shape(&self) -> [usize; 3] {
        let (_, depth, height, width) = self.voxels.dim();
        [depth, height, width]
    }

    /// Its grid.
    pub fn grid(&self) -> Grid {
        Grid { channels: self.channels(), shape: self.shape(), affine: self.affine }
    }

    /// The first voxel (channel, depth, height, width) that is NaN or infinite, with its value.
    pub fn first_non_finite(&self) -> Option<([usize; 4], f32)> {
        self.raw_view().first_non_finite()
    }
}

/// A map of label values, as they stand in the file (not class indices: see
/// [`ClassMap`](crate::ClassMap)).
#[derive(Clone, Debug, PartialEq)]
pub struct LabelMap {
    /// `[depth, height, width]`
    pub voxels: Array3<u16>,
    /// From voxel `(i, j, k)` to mm in RAS+.
    pub affine: Affine,
}

impl LabelMap {
    /// (depth, height, width)
    pub fn shape(&self) -> [usize; 3] {
        self.voxels.dim().into()
    }

    /// Its grid.
    pub fn grid(&self) -> Grid {
        Grid { channels: 1, shape: self.shape(), affine: self.affine }
    }
}
