//! What a header says of an image.

use std::any::Any;
use std::sync::Arc;

use super::format::Format;
use super::place::Place;
use super::remark::Weight;
use super::source::Source;
use crate::affine::Affine;
use crate::class_map::Label;
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
}

/// What is known of an image once its header is read. Cheap to copy and to keep.
#[derive(Clone, Debug)]
pub struct Header {
    /// The grid; of an image in several files, with the channels of all.
    pub grid: Grid,
    /// What else it says of where the voxels lie (the first, of several files).
    pub place: Place,
    /// The format of the file (the first, of several).
    pub format: &'static dyn Format,
    /// What only the format itself understands of its header, for files that are to have the same
    /// ([`Destination::like`](super::Destination::like)).
    pub own: Arc<dyn Any + Send + Sync>,
}

impl Header {
    /// What a label map says by itself that its values mean, as far as it says so.
    pub fn labels(&self) -> Vec<Label> {
        self.format.labels(self)
    }

    /// Whether another volume on a grid of the same shape lies where this one does, by any reading
    /// of both headers.
    pub fn lies_on(&self, other: &Self) -> bool {
        let near = |a: &Affine, b| a.max_displacement(b, self.grid.shape) <= tolerance_mm(a);
        self.readings().any(|a| other.readings().any(|b| near(a, b)))
    }

    /// All affines by which it can be read, the one that is taken first.
    pub(crate) fn readings(&self) -> impl Iterator<Item = &Affine> {
        std::iter::once(&self.grid.affine).chain(&self.place.others)
    }

    /// Refuses a volume of the same case that lies elsewhere, whatever its channels. The sources
    /// are for the message.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::PlaceMismatch`].
    pub fn check_same_place(
        &self,
        source: &Source,
        other_source: &Source,
        other: &Self,
    ) -> Result<()> {
        let (image, path) = (source.path().to_path_buf(), other_source.path().to_path_buf());
        let (image_shape, other_shape) = (self.grid.shape, other.grid.shape);
        if image_shape != other_shape {
            return Err(Error::ShapeMismatch { image, other: path, image_shape, other_shape });
        }
        if !self.lies_on(other) {
            let distance_mm = self.grid.affine.max_displacement(&other.grid.affine, image_shape);
            let tolerance_mm = tolerance_mm(&self.grid.affine);
            return Err(Error::PlaceMismatch { image, other: path, distance_mm, tolerance_mm });
        }
        Ok(())
    }

    /// Refuses an image of which it is a question where its voxels lie.
    ///
    /// # Errors
    /// [`Error::UncertainPlace`].
    pub(crate) fn check_certain(&self, source: &Source) -> Result<()> {
        match self.place.remarks.iter().find(|remark| remark.weight() == Weight::Question) {
            Some(question) => Err(Error::UncertainPlace {
                path: source.path().to_path_buf(),
                question: Box::new(question.clone()),
            }),
            None => Ok(()),
        }
    }
}

/// How far volumes that belong together may lie apart, in mm.
pub(super) fn tolerance_mm(affine: &Affine) -> f64 {
    PLACE_TOLERANCE * affine.spacing().into_iter().fold(f64::INFINITY, f64::min)
}
