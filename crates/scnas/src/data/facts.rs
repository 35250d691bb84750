//! What is always in memory of a preprocessed case, wherever its voxels are.

use std::ops::Range;

use medvol::{Case, ClassPlaces, Label, Part};
use serde::{Deserialize, Serialize};

/// Fewer voxels than these, about five along each axis, say little of a shape.
const FEW: u64 = 100;

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

/// The foreground classes `labels[1..]` that have few voxels in the median case with any, and how
/// many they are.
pub fn few_voxels(cases: &[&Facts], labels: &[Label]) -> Vec<(String, u64)> {
    let median = |class: usize| {
        let places = cases.iter().filter_map(|facts| facts.places.as_ref());
        let mut found: Vec<u64> =
            places.map(|places| places.voxels(class)).filter(|&voxels| voxels > 0).collect();
        found.sort_unstable();
        found.get(found.len() / 2).copied()
    };
    let few = |(class, label): (usize, &Label)| {
        Some((label.name.clone(), median(class).filter(|&voxels| voxels < FEW)?))
    };
    labels.iter().enumerate().skip(1).filter_map(few).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    #[test]
    fn classes_with_few_voxels_are_found_by_the_cases_that_hold_them() {
        let case = |counts: [usize; 3]| {
            let mut voxels = counts.iter().zip(1..).flat_map(|(&n, class)| vec![class; n]);
            let map = Array3::from_shape_fn((8, 8, 8), |_| voxels.next().unwrap_or(0));
            Facts {
                name: String::new(),
                channels: 1,
                shape: [8; 3],
                spacing_mm: [1.0; 3],
                checksum: 0,
                places: Some(ClassPlaces::of(map.view())),
            }
        };
        let label = |value: u16| Label { value, name: value.to_string() };
        let labels: Vec<Label> = (0..4).map(label).collect();
        let cases = [case([99, 100, 0]), case([5, 300, 0]), case([200, 8, 7]), case([0, 150, 0])];
        let found = few_voxels(&cases.each_ref(), &labels);
        assert_eq!(found, [("1".to_string(), 99), ("3".to_string(), 7)]);
        assert!(few_voxels(&[], &labels).is_empty());
    }
}
