//! Training patches: drawing where a patch lies, and cutting it out.
//!
//! Drawing is apart from applying: a draw yields a `corner`, the voxel index of the patch's first
//! voxel, and cutting is a pure function of image and corner, so that an image and its classes are
//! cut alike and a drawn patch can be repeated.
//!
//! A corner obeys one rule per axis: where the image is at least as long as the patch, the patch
//! lies inside the image; where it is shorter, the image lies inside the patch, so the corner is
//! zero or negative. What lies outside the image is filled with 0: the mean of a z-scored image,
//! and the background class.

use std::ops::{Range, RangeInclusive};

use ndarray::{Array4, ArrayView3, ArrayView4, Axis, s};
use rand::{Rng, RngExt};

/// Draws the corner of a patch uniformly from all corners the module's rule allows.
///
/// `shape` and `patch` are `[depth, height, width]` in voxels.
pub fn draw_corner(shape: [usize; 3], patch: [usize; 3], rng: &mut impl Rng) -> [isize; 3] {
    std::array::from_fn(|axis| draw(allowed(shape[axis], patch[axis]), rng))
}

/// Draws the corner of a patch that contains `voxel`, uniformly from all corners the module's rule
/// allows.
///
/// `voxel`, `shape` and `patch` are `[depth, height, width]` in voxels; `voxel` must lie inside
/// `shape`.
pub fn draw_corner_containing(
    voxel: [usize; 3],
    shape: [usize; 3],
    patch: [usize; 3],
    rng: &mut impl Rng,
) -> [isize; 3] {
    std::array::from_fn(|axis| {
        let (first, last) = allowed(shape[axis], patch[axis]).into_inner();
        let voxel = voxel[axis] as i64;
        let first = first.max(voxel + 1 - patch[axis] as i64);
        draw(first..=last.min(voxel), rng)
    })
}

/// Cuts a patch out of an image, padding with 0.
///
/// # Shapes
/// - image: `[channels, depth, height, width]`
/// - result: `[channels, patch depth, patch height, patch width]`, flattened, width fastest
pub fn extract(image: ArrayView4<f32>, corner: [isize; 3], patch: [usize; 3]) -> Vec<f32> {
    cut(image, corner, patch)
}

/// Cuts a patch out of a class map, padding with 0, the background.
///
/// # Shapes
/// - classes: `[depth, height, width]`
/// - result: `[patch depth, patch height, patch width]`, flattened, width fastest
pub fn extract_classes(classes: ArrayView3<u8>, corner: [isize; 3], patch: [usize; 3]) -> Vec<u8> {
    cut(classes.insert_axis(Axis(0)), corner, patch)
}

/// All corners one axis allows.
fn allowed(length: usize, patch: usize) -> RangeInclusive<i64> {
    let slack = length as i64 - patch as i64;
    slack.min(0)..=slack.max(0)
}

fn draw(corners: RangeInclusive<i64>, rng: &mut impl Rng) -> isize {
    rng.random_range(corners) as isize
}

fn cut<T: Copy + Default>(image: ArrayView4<T>, corner: [isize; 3], patch: [usize; 3]) -> Vec<T> {
    let (channels, depth, height, width) = image.dim();
    let shared = Overlap::new(corner, patch, [depth, height, width]);
    let mut result = Array4::from_elem((channels, patch[0], patch[1], patch[2]), T::default());
    let ([z, y, x], [from_z, from_y, from_x]) = (shared.in_patch, shared.in_image);
    result.slice_mut(s![.., z, y, x]).assign(&image.slice(s![.., from_z, from_y, from_x]));
    result.into_raw_vec_and_offset().0
}

/// The voxels a patch and its image have in common, as index ranges into either.
pub(crate) struct Overlap {
    /// Of the patch.
    pub in_patch: [Range<usize>; 3],
    /// Of the image.
    pub in_image: [Range<usize>; 3],
}

impl Overlap {
    /// All arguments are in voxels; a patch wholly outside the image yields empty ranges.
    pub fn new(corner: [isize; 3], patch: [usize; 3], shape: [usize; 3]) -> Self {
        let in_image = std::array::from_fn(|axis| {
            let end = corner[axis].saturating_add_unsigned(patch[axis]);
            let inside = |index: isize| (index.max(0) as usize).min(shape[axis]);
            inside(corner[axis])..inside(end)
        });
        let in_patch = std::array::from_fn(|axis| {
            let Range { start, end } = in_image[axis];
            if start == end {
                return 0..0;
            }
            let shift = |index: usize| (index as isize - corner[axis]) as usize;
            shift(start)..shift(end)
        });
        Self { in_patch, in_image }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::ChaCha8Rng};
    use std::collections::BTreeSet;

    /// Voxels all different and none 0, so that every voxel tells where it came from and padding
    /// shows.
    fn numbered(channels: usize, shape: [usize; 3]) -> Array4<f32> {
        let mut next = 0.0;
        Array4::from_shape_simple_fn((channels, shape[0], shape[1], shape[2]), || {
            next += 1.0;
            next
        })
    }

    fn inside(corner: [isize; 3], offset: [usize; 3], shape: [usize; 3]) -> Option<[usize; 3]> {
        let mut voxel = [0; 3];
        for axis in 0..3 {
            let index = corner[axis] + offset[axis] as isize;
            if index < 0 || index >= shape[axis] as isize {
                return None;
            }
            voxel[axis] = index as usize;
        }
        Some(voxel)
    }

    proptest! {
        #[test]
        fn a_patch_holds_the_image_at_its_corner_and_zeros_elsewhere(
            shape in prop::array::uniform3(1_usize..7),
            patch in prop::array::uniform3(1_usize..9),
            corner in prop::array::uniform3(-10_isize..10),
        ) {
            let image = numbered(2, shape);
            let cut = extract(image.view(), corner, patch);
            let classes = image.index_axis(Axis(0), 0).mapv(|v| (v as usize % 255) as u8 + 1);
            let cut_classes = extract_classes(classes.view(), corner, patch);
            prop_assert_eq!(cut.len(), 2 * patch.iter().product::<usize>());
            prop_assert_eq!(cut_classes.len(), patch.iter().product::<usize>());
            let mut at = 0;
            for z in 0..patch[0] {
                for y in 0..patch[1] {
                    for x in 0..patch[2] {
                        let voxel = inside(corner, [z, y, x], shape);
                        for channel in 0..2 {
                            let expected = voxel.map_or(0.0, |[k, j, i]| image[[channel, k, j, i]]);
                            prop_assert_eq!(cut[channel * cut_classes.len() + at], expected);
                        }
                        prop_assert_eq!(cut_classes[at], voxel.map_or(0, |voxel| classes[voxel]));
                        at += 1;
                    }
                }
            }
        }

        #[test]
        fn a_drawn_patch_lies_in_the_image_or_the_image_in_it_and_holds_the_voxel_asked_for(
            shape in prop::array::uniform3(1_usize..12),
            patch in prop::array::uniform3(1_usize..12),
            seed in any::<u64>(),
        ) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let voxel = shape.map(|length| rng.random_range(0..length));
            let free = draw_corner(shape, patch, &mut rng);
            let forced = draw_corner_containing(voxel, shape, patch, &mut rng);
            for axis in 0..3 {
                let [length, size, voxel] = [shape[axis], patch[axis], voxel[axis]].map(|n| n as isize);
                for start in [free[axis], forced[axis]] {
                    let end = start + size;
                    let lawful = if length >= size { start >= 0 && end <= length } else { start <= 0 && end >= length };
                    prop_assert!(lawful, "{start}..{end} of {length}");
                }
                prop_assert!((forced[axis]..forced[axis] + size).contains(&voxel));
            }
        }
    }

    #[test]
    fn every_allowed_corner_is_drawn() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (shape, patch) = ([5, 3, 4], [3, 5, 4]);
        let free: BTreeSet<_> = (0..400).map(|_| draw_corner(shape, patch, &mut rng)).collect();
        let all: BTreeSet<_> = (0..=2).flat_map(|z| (-2..=0).map(move |y| [z, y, 0])).collect();
        assert_eq!(free, all);

        let forced: BTreeSet<_> =
            (0..400).map(|_| draw_corner_containing([1, 0, 0], shape, patch, &mut rng)).collect();
        let containing: BTreeSet<_> = all.into_iter().filter(|corner| corner[0] <= 1).collect();
        assert_eq!(forced, containing);
    }

    #[test]
    fn the_same_seed_draws_the_same_corner() {
        let draw = |seed| draw_corner([90; 3], [10; 3], &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
