//! What is always in memory of a preprocessed case, wherever its voxels are.

use std::ops::Range;

use medvol::{Case, ClassPlaces, Part};
use serde::{Deserialize, Serialize};

/// A box of voxels along (depth, height, width).
pub type Box3 = [Range<usize>; 3];

/// What is always in memory of a preprocessed case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The case's name.
    pub name: String,
    /// Channels of its image.
    pub channels: usize,
    /// (depth, height, width)
    pub shape: [usize; 3],
    /// (depth, height, width) in mm.
    pub spacing_mm: [f64; 3],
    /// Of all voxels and classes, before what is measured over all training cases is applied.
    pub checksum: u32,
    /// Where its classes lie; `None` without a label map.
    pub places: Option<ClassPlaces>,
}

impl Facts {
    /// Of a case that is in memory.
    pub fn of(case: &Case) -> Self {
        let Part { shape, spacing_mm, .. } = case.part();
        let classes = case.classes.as_ref();
        let mut hasher = crc32fast::Hasher::new();
        let image = case.image.as_slice().into_iter();
        image.for_each(|image| hasher.update(bytemuck::cast_slice(image)));
        let map = classes.and_then(|classes| classes.as_slice()).into_iter();
        map.for_each(|classes| hasher.update(classes));
        Self {
            name: case.name.clone(),
            channels: case.image.dim().0,
            shape,
            spacing_mm,
            checksum: hasher.finalize(),
            places: classes.map(|classes| ClassPlaces::of(classes.view())),
        }
    }
}
