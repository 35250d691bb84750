//! Sliding-window inference: where the windows lie, and the weighted mean of what the network says in them.
//!
//! The windows overlap, so that every voxel is also seen away from a window's border, where a network knows least of its
//! surroundings. [`Blend::Gaussian`] trusts a window's middle more (as nnU-Net does, Isensee et al. 2021);
//! [`Blend::Uniform`] trusts all of it alike (as the paper does).

use ndarray::{Array3, Array4, ArrayView4, Axis, Zip, s};
use serde::{Deserialize, Serialize};

use crate::patch::Overlap;

/// The corners of all windows needed to cover a volume, evenly spread, in a fixed order (width fastest).
///
/// `shape` and `patch` are `[depth, height, width]` in voxels. Neighbours share at least the fraction `overlap` of a
/// window along each axis (0.5 is usual; values outside 0 to 1 are clamped, and windows are at least one voxel apart).
/// Where the volume is shorter than the window there is one window, at 0, which reaches beyond the volume: cut it with
/// [`crate::patch::extract`], which pads.
pub fn windows(shape: [usize; 3], patch: [usize; 3], overlap: f64) -> Vec<[usize; 3]> {
    let [depths, heights, widths]: [Vec<usize>; 3] = std::array::from_fn(|axis| spread(shape[axis], patch[axis], overlap));
    let mut corners = Vec::with_capacity(depths.len() * heights.len() * widths.len());
    for &z in &depths {
        for &y in &heights {
            corners.extend(widths.iter().map(|&x| [z, y, x]));
        }
    }
    corners
}

/// Window starts along one axis: the fewest that keep the overlap, the first at the beginning and the last at the end.
fn spread(length: usize, patch: usize, overlap: f64) -> Vec<usize> {
    if length <= patch {
        return vec![0];
    }
    let span = length - patch;
    let furthest = (patch as f64 * (1.0 - overlap.clamp(0.0, 1.0))).max(1.0);
    let steps = (span as f64 / furthest).ceil() as usize;
    (0..=steps).map(|step| step * span / steps).collect()
}

/// How much a window's voxels count where windows overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blend {
    /// A Gaussian around the window's centre, with a standard deviation of an eighth of the window along each axis.
    Gaussian,
    /// Every voxel alike.
    Uniform,
}

impl Blend {
    /// The weights along one axis of a window. A window's weight is their product over the three axes, at least
    /// `exp(-24)` in a corner (four standard deviations away along each axis), so never 0 in `f32`.
    fn profile(self, patch: usize) -> Vec<f32> {
        let centre = (patch as f64 - 1.0) / 2.0;
        let sigma = patch as f64 / 8.0;
        let weight = |voxel: usize| match self {
            Blend::Gaussian => (-0.5 * ((voxel as f64 - centre) / sigma).powi(2)).exp() as f32,
            Blend::Uniform => 1.0,
        };
        (0..patch).map(weight).collect()
    }
}

/// Gathers the scores of overlapping windows into one volume.
pub struct Stitcher {
    /// Weighted sums, `[classes, depth, height, width]`.
    sums: Array4<f32>,
    /// Sums of weights, `[depth, height, width]`.
    totals: Array3<f32>,
    /// Weights of one window, `[patch depth, patch height, patch width]`.
    window: Array3<f32>,
}

impl Stitcher {
    /// An empty volume of `shape` for windows of size `patch`, both `[depth, height, width]` in voxels.
    ///
    /// Holds `4 * (classes + 1)` bytes a voxel.
    pub fn new(classes: usize, shape: [usize; 3], patch: [usize; 3], blend: Blend) -> Self {
        let [depth, height, width] = patch.map(|length| blend.profile(length));
        Self {
            sums: Array4::zeros((classes, shape[0], shape[1], shape[2])),
            totals: Array3::zeros(shape),
            window: Array3::from_shape_fn(patch, |(z, y, x)| depth[z] * height[y] * width[x]),
        }
    }

    /// Adds the scores of the window at `corner`; what lies outside the volume is dropped.
    ///
    /// Windows must be added in a fixed order for the result to be the same to the last bit.
    ///
    /// # Shapes
    /// - scores: `[classes, patch depth, patch height, patch width]`, flattened, width fastest
    ///
    /// # Panics
    /// If `scores` has not that length: the caller mixed up two windows or networks.
    pub fn add(&mut self, corner: [usize; 3], scores: &[f32]) {
        let (classes, depth, height, width) = self.sums.dim();
        let patch = self.window.dim();
        let scores = ArrayView4::from_shape((classes, patch.0, patch.1, patch.2), scores)
            .expect("the scores of a window have the length classes * patch");
        let shared = Overlap::new(corner.map(|index| index as isize), [patch.0, patch.1, patch.2], [depth, height, width]);
        let ([z, y, x], [to_z, to_y, to_x]) = (shared.in_patch, shared.in_image);
        let weights = self.window.slice(s![z.clone(), y.clone(), x.clone()]);
        let scores = scores.slice(s![.., z, y, x]);
        let mut totals = self.totals.slice_mut(s![to_z.clone(), to_y.clone(), to_x.clone()]);
        let mut sums = self.sums.slice_mut(s![.., to_z, to_y, to_x]);
        totals += &weights;
        for (mut sums, scores) in sums.outer_iter_mut().zip(scores.outer_iter()) {
            Zip::from(&mut sums).and(&scores).and(&weights).for_each(|sum, &score, &weight| *sum += score * weight);
        }
    }

    /// The weighted mean of all windows, `[classes, depth, height, width]`.
    ///
    /// A voxel that no window covered has score 0 in every class; [`windows`] leaves none.
    pub fn finish(self) -> Array4<f32> {
        let Self { mut sums, totals, .. } = self;
        for mut class in sums.axis_iter_mut(Axis(0)) {
            Zip::from(&mut class).and(&totals).for_each(|sum, &total| {
                if total > 0.0 {
                    *sum /= total;
                }
            });
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::extract;
    use proptest::prelude::*;

    const BLENDS: [Blend; 2] = [Blend::Gaussian, Blend::Uniform];

    fn stitched(volume: &Array4<f32>, patch: [usize; 3], overlap: f64, blend: Blend) -> Array4<f32> {
        let (classes, depth, height, width) = volume.dim();
        let shape = [depth, height, width];
        let mut stitcher = Stitcher::new(classes, shape, patch, blend);
        for corner in windows(shape, patch, overlap) {
            let window = extract(volume.view(), corner.map(|index| index as isize), patch);
            stitcher.add(corner, &window);
        }
        stitcher.finish()
    }

    proptest! {
        #[test]
        fn stitching_the_windows_cut_from_a_volume_gives_the_volume_back(
            shape in prop::array::uniform3(1_usize..14),
            patch in prop::array::uniform3(1_usize..9),
            overlap in 0.0..0.9,
        ) {
            let dim = (2, shape[0], shape[1], shape[2]);
            let varied = Array4::from_shape_fn(dim, |(c, z, y, x)| ((c * 7 + z * 31 + y * 17 + x * 5) % 23) as f32 - 11.0);
            let constant = Array4::from_elem(dim, 0.3);
            // The rounding errors of n products, two sums of n and a division add up to at most n epsilon.
            let windows_a_voxel: usize = (0..3).map(|axis| spread(shape[axis], patch[axis], overlap).len().min(patch[axis])).product();
            let tolerance = windows_a_voxel as f32 * f32::EPSILON;
            for (volume, blend) in [&varied, &constant].into_iter().flat_map(|volume| BLENDS.map(|blend| (volume, blend))) {
                for (found, &expected) in stitched(volume, patch, overlap, blend).iter().zip(volume) {
                    prop_assert!((found - expected).abs() <= tolerance * expected.abs(), "{blend:?}: {found} for {expected}");
                }
            }
        }

        #[test]
        fn windows_lie_inside_cover_everything_and_keep_their_overlap(
            length in 1_usize..200,
            patch in 1_usize..70,
            overlap in -0.5..1.5,
        ) {
            let starts = spread(length, patch, overlap);
            prop_assert_eq!(starts[0], 0);
            prop_assert!(starts.last().unwrap() + patch >= length);
            prop_assert!(length < patch || starts.last().unwrap() + patch == length);
            let furthest = (patch as f64 * (1.0 - overlap.clamp(0.0, 1.0))).max(1.0).ceil() as usize;
            for pair in starts.windows(2) {
                prop_assert!(pair[0] < pair[1] && pair[1] - pair[0] <= furthest, "{starts:?}");
            }
        }
    }

    #[test]
    fn half_overlap_places_the_windows_half_a_window_apart() {
        assert_eq!(spread(128, 64, 0.5), [0, 32, 64]);
        assert_eq!(spread(129, 64, 0.5), [0, 21, 43, 65]);
        assert_eq!(windows([8, 3, 4], [4, 4, 4], 0.5), [[0, 0, 0], [2, 0, 0], [4, 0, 0]]);
    }

    #[test]
    fn weights_are_positive_symmetric_and_highest_in_the_middle() {
        for patch in 1..=256 {
            let profile = Blend::Gaussian.profile(patch);
            assert!(profile.iter().all(|&w| w >= (-8.0_f32).exp() && w <= 1.0));
            assert!(profile.iter().rev().eq(profile.iter()));
            assert!(profile[..patch.div_ceil(2)].is_sorted());
        }
        let corner = Blend::Gaussian.profile(256)[0].powi(3);
        assert!(corner.is_normal());
    }

    #[test]
    fn a_voxel_is_the_mean_of_its_windows_weighted_by_their_profiles() {
        // Two windows of length 2 share the middle voxel: the first's last voxel and the second's first, equal by symmetry.
        let mut stitcher = Stitcher::new(1, [1, 1, 3], [1, 1, 2], Blend::Gaussian);
        stitcher.add([0, 0, 0], &[1.0, 1.0]);
        stitcher.add([0, 0, 1], &[5.0, 5.0]);
        assert_eq!(stitcher.finish().as_slice().unwrap(), [1.0, 3.0, 5.0]);

        // Of two windows of length 4 one voxel apart, each shared voxel follows the window it is more central in.
        let mut stitcher = Stitcher::new(1, [1, 1, 5], [1, 1, 4], Blend::Gaussian);
        stitcher.add([0, 0, 0], &[0.0; 4]);
        stitcher.add([0, 0, 1], &[1.0; 4]);
        let inner = (-0.5_f32).exp(); // half a voxel from the centre, with a standard deviation of half a voxel
        let outer = (-4.5_f32).exp(); // a voxel and a half
        let expected = [0.0, outer / (inner + outer), 0.5, inner / (inner + outer), 1.0];
        for (found, expected) in stitcher.finish().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn a_voxel_no_window_covers_is_zero() {
        let mut stitcher = Stitcher::new(1, [1, 1, 3], [1, 1, 2], Blend::Uniform);
        stitcher.add([0, 0, 0], &[1.0, 1.0]);
        assert_eq!(stitcher.finish().as_slice().unwrap(), [1.0, 1.0, 0.0]);
    }
}
