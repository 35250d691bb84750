//! Sliding-window inference: where the windows lie, and the weighted mean of what the network says
//! in them.
//!
//! The windows overlap, so that every voxel is also seen away from a window's border, where a
//! network knows least of its surroundings. [`Blend::Gaussian`] trusts a window's middle more (as
//! nnU-Net does, Isensee et al. 2021); [`Blend::Uniform`] trusts all of it alike (as the paper
//! does).

use std::ops::Range;

use ndarray::{Array3, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::resample::Block;

/// The corners of all windows needed to cover a volume, evenly spread, in a fixed order (width
/// fastest).
///
/// `shape` and `patch` are `[depth, height, width]` in voxels. Neighbours share at least the
/// fraction `overlap` of a window along each axis (0.5 is usual; values outside 0 to 1 are clamped,
/// and windows are at least one voxel apart). Where the volume is shorter than the window there is
/// one window, at 0, which reaches beyond the volume: cut it with [`crate::patch::extract`], which
/// pads.
pub fn windows(shape: [usize; 3], patch: [usize; 3], overlap: f64) -> Vec<[usize; 3]> {
    let [depths, heights, widths]: [Vec<usize>; 3] =
        std::array::from_fn(|axis| spread(shape[axis], patch[axis], overlap));
    let mut corners = Vec::with_capacity(depths.len() * heights.len() * widths.len());
    for &z in &depths {
        for &y in &heights {
            corners.extend(widths.iter().map(|&x| [z, y, x]));
        }
    }
    corners
}

/// Window starts along one axis: the fewest that keep the overlap, the first at the beginning and
/// the last at the end.
pub(crate) fn spread(length: usize, patch: usize, overlap: f64) -> Vec<usize> {
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
    /// A Gaussian around the window's centre, with a standard deviation of an eighth of the window
    /// along each axis.
    Gaussian,
    /// Every voxel alike.
    Uniform,
}

impl Blend {
    /// The weights along one axis of a window. A window's weight is their product over the three
    /// axes, at least `exp(-24)` in a corner (four standard deviations away along each axis),
    /// so never 0 in `f32`.
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

/// The sums of overlapping windows, row by row along the width. A row takes memory from the first
/// window that touches it until it is dropped, so that what is held is what is still unfinished.
#[derive(Debug)]
pub(crate) struct Rows {
    /// For row `(k, j)` at `k * height + j`: the weighted sums of the classes, then the sums of
    /// weights, `columns` of each.
    rows: Vec<Option<Box<[f32]>>>,
    height: usize,
    /// The part of the width that is summed up.
    columns: Range<usize>,
    classes: usize,
    patch: [usize; 3],
    /// Weights of one window, `[patch depth, patch height, patch width]`, flattened.
    weights: Vec<f32>,
}

impl Rows {
    /// Nothing yet, for windows of size `patch` in a volume of `shape`, both `[depth, height,
    /// width]` in voxels.
    pub fn new(
        classes: usize,
        shape: [usize; 3],
        columns: Range<usize>,
        patch: [usize; 3],
        blend: Blend,
    ) -> Self {
        let [depth, height, width] = patch.map(|length| blend.profile(length));
        let weights = Array3::from_shape_fn(patch, |(z, y, x)| depth[z] * height[y] * width[x])
            .into_raw_vec_and_offset()
            .0;
        Self {
            rows: vec![None; shape[0] * shape[1]],
            height: shape[1],
            columns,
            classes,
            patch,
            weights,
        }
    }

    /// Classes of every window.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Bytes of one row.
    pub fn row_bytes(classes: usize, columns: usize) -> u64 {
        (4 * (classes + 1) * columns) as u64
    }

    /// Adds the scores of the window at `corner`; what lies outside the volume or its columns is
    /// dropped.
    ///
    /// Windows must be added in a fixed order for the result to be the same to the last bit.
    ///
    /// # Shapes
    /// - scores: `[classes, patch depth, patch height, patch width]`, flattened, width fastest
    ///
    /// # Panics
    /// If `scores` has not that length: the caller mixed up two windows or networks.
    pub fn add(&mut self, corner: [usize; 3], scores: &[f32]) {
        let Self { height, classes, patch: [_, patch_height, patch_width], .. } = *self;
        assert_eq!(
            scores.len(),
            classes * self.weights.len(),
            "the scores of a window have the length classes * patch"
        );
        let columns = self.columns.len();
        let first = corner[2].max(self.columns.start);
        let count = (corner[2] + patch_width).min(self.columns.end).saturating_sub(first);
        let (in_row, in_patch) = (first - self.columns.start, first - corner[2]);

        let planes = self.rows.par_chunks_mut(height).skip(corner[0]).take(self.patch[0]);
        planes.enumerate().for_each(|(z, plane)| {
            for (y, row) in plane.iter_mut().skip(corner[1]).take(patch_height).enumerate() {
                let row = row.get_or_insert_with(|| vec![0.0; (classes + 1) * columns].into());
                let start = (z * patch_height + y) * patch_width + in_patch;
                let weights = &self.weights[start..start + count];
                for (class, scores) in scores.chunks_exact(self.weights.len()).enumerate() {
                    let sums = row[class * columns + in_row..][..count].iter_mut();
                    sums.zip(&scores[start..start + count])
                        .zip(weights)
                        .for_each(|((sum, &score), &weight)| *sum += score * weight);
                }
                row[classes * columns + in_row..][..count]
                    .iter_mut()
                    .zip(weights)
                    .for_each(|(total, &weight)| *total += weight);
            }
        });
    }

    /// The weighted means of a class in a block of the volume. A voxel that no window covered has
    /// 0; [`windows`] leaves none.
    pub fn means(&self, class: usize, [depth, height, width]: Block) -> Array3<f32> {
        let columns = self.columns.len();
        let (from, to) = (width.start - self.columns.start, width.end - self.columns.start);
        let mut means = Array3::zeros((depth.len(), height.len(), width.len()));
        for (k, mut plane) in depth.zip(means.axis_iter_mut(Axis(0))) {
            for (j, mut means) in height.clone().zip(plane.axis_iter_mut(Axis(0))) {
                let Some(row) = &self.rows[k * self.height + j] else { continue };
                let (sums, totals) =
                    (&row[class * columns..][from..to], &row[self.classes * columns..][from..to]);
                for ((mean, &sum), &total) in means.iter_mut().zip(sums).zip(totals) {
                    *mean = if total > 0.0 { sum / total } else { sum };
                }
            }
        }
        means
    }

    /// Forgets the rows of these planes and heights.
    pub fn drop(&mut self, depth: Range<usize>, height: Range<usize>) {
        for k in depth {
            self.rows[k * self.height..][height.clone()].fill(None);
        }
    }

    /// How many rows are in memory.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.rows.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::extract;
    use crate::sliding::Sliding;
    use ndarray::{Array4, s};
    use proptest::prelude::*;

    const BLENDS: [Blend; 2] = [Blend::Gaussian, Blend::Uniform];

    fn stitched(
        volume: &Array4<f32>,
        patch: [usize; 3],
        overlap: f64,
        blend: Blend,
    ) -> Array4<f32> {
        let (classes, depth, height, width) = volume.dim();
        let shape = [depth, height, width];
        let mut whole = Array4::zeros(volume.dim());
        let score = |corner: [usize; 3]| {
            Ok::<_, ()>(extract(volume.view(), corner.map(|index| index as isize), patch))
        };
        Sliding::new(classes, shape, patch, overlap, blend)
            .run(1, score, |finished| {
                let [k, j, i] = finished.block.clone();
                for class in 0..classes {
                    whole
                        .slice_mut(s![class, k.clone(), j.clone(), i.clone()])
                        .assign(&finished.scores(class));
                }
            })
            .unwrap();
        whole
    }

    /// The means of windows along the width, of one class.
    fn means(width: usize, patch: usize, blend: Blend, windows: &[(usize, &[f32])]) -> Vec<f32> {
        let mut rows = Rows::new(1, [1, 1, width], 0..width, [1, 1, patch], blend);
        windows.iter().for_each(|(x, scores)| rows.add([0, 0, *x], scores));
        rows.means(0, [0..1, 0..1, 0..width]).into_raw_vec_and_offset().0
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
            // The rounding errors of n products, two sums of n and a division add up to at most n
            // epsilon.
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
        // Two windows of length 2 share the middle voxel: the first's last voxel and the second's
        // first, equal by symmetry.
        assert_eq!(
            means(3, 2, Blend::Gaussian, &[(0, &[1.0, 1.0]), (1, &[5.0, 5.0])]),
            [1.0, 3.0, 5.0]
        );

        // Of two windows of length 4 one voxel apart, each shared voxel follows the window it is
        // more central in.
        let inner = (-0.5_f32).exp(); // half a voxel from the centre, with a standard deviation of half a voxel
        let outer = (-4.5_f32).exp(); // a voxel and a half
        let expected = [0.0, outer / (inner + outer), 0.5, inner / (inner + outer), 1.0];
        for (found, expected) in means(5, 4, Blend::Gaussian, &[(0, &[0.0; 4]), (1, &[1.0; 4])])
            .into_iter()
            .zip(expected)
        {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn a_voxel_no_window_covers_is_zero() {
        assert_eq!(means(3, 2, Blend::Uniform, &[(0, &[1.0, 1.0])]), [1.0, 1.0, 0.0]);
    }
}
