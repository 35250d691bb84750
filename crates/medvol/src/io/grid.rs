//! What a header says of an image.

use std::any::Any;
use std::sync::Arc;

use super::format::Format;
use super::source::Source;
use crate::affine::Affine;
use crate::error::{Error, Result};

/// How far volumes that belong together may lie apart, as a part of the smallest spacing.
const PLACE_TOLERANCE: f64 = 0.1;

/// An image's voxels in space.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Number of channels.
    pub channels: usize,
    /// (depth, height, width) in voxels.
    pub shape: [usize; 3],
    /// From voxel `(i, j, k)` to mm in RAS+.
    pub affine: Affine,
}

impl Grid {
    /// Voxels of all channels.
    pub fn voxels(&self) -> u64 {
        self.shape
            .iter()
            .fold(self.channels as u64, |product, &extent| product.saturating_mul(extent as u64))
    }

    /// How far another volume of the same case may lie from this one, in mm.
    pub fn place_tolerance_mm(&self) -> f64 {
        PLACE_TOLERANCE * self.affine.spacing().into_iter().fold(f64::INFINITY, f64::min)
    }

    /// Refuses a volume of the same case that lies elsewhere, whatever its channels. The sources
    /// are for the message.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::PlaceMismatch`].
    pub(crate) fn check_same_place(
        &self,
        source: &Source,
        other_source: &Source,
        other: &Self,
    ) -> Result<()> {
        let (image, path) = (source.path(), other_source.path());
        if self.shape != other.shape {
            return Err(Error::ShapeMismatch {
                image: image.to_path_buf(),
                other: path.to_path_buf(),
                image_shape: self.shape,
                other_shape: other.shape,
            });
        }
        let tolerance_mm = self.place_tolerance_mm();
        let distance_mm = self.affine.max_displacement(&other.affine, self.shape);
        if distance_mm > tolerance_mm {
            return Err(Error::PlaceMismatch {
                image: image.to_path_buf(),
                other: path.to_path_buf(),
                distance_mm,
                tolerance_mm,
            });
        }
        Ok(())
    }
}

/// What is known of an image once its header is read. Cheap to copy and to keep.
#[derive(Clone, Debug)]
pub struct Header {
    /// The grid; of an image in several files, with the channels of all.
    pub grid: Grid,
    /// The format of the file (the first, of several).
    pub format: &'static dyn Format,
    /// What only the format itself understands of its header, for files that are to have the same
    /// ([`Destination::like`](super::Destination::like)).
    pub own: Arc<dyn Any + Send + Sync>,
}
