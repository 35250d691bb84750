//! Surfaces of masks and the distances between them.

use ndarray::{Array3, ArrayView3, Axis, Slice, Zip, s};

use crate::distance::each_distance_to;

/// A distance counts as within a tolerance up to this part above it: spacings come from affines in
/// single precision, and one voxel of 1.0000001 mm must not be further than 1 mm.
const SLACK: f64 = 1e-5;

/// The distances in mm of every surface voxel of either mask to the nearest one of the other,
/// sorted; at least one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SurfaceDistances(Vec<f64>);

/// The axes along which a map of this shape has edges: where there is one voxel there is no beside
/// it, and the surface of a two-dimensional mask is its contour. A single voxel has edges on all
/// sides.
pub(super) fn axes_with_edges(shape: [usize; 3]) -> [bool; 3] {
    let long = shape.map(|extent| extent > 1);
    if long == [false; 3] { [true; 3] } else { long }
}

/// The distances between the surfaces of two masks of one shape, which have edges along these axes;
/// `None` where one of them is empty.
pub(super) fn surface_distances(
    a: ArrayView3<bool>,
    b: ArrayView3<bool>,
    edges: [bool; 3],
    spacing_mm: [f64; 3],
) -> Option<SurfaceDistances> {
    let (a, b) = (surface(a, edges), surface(b, edges));
    let mut distances = Vec::new();
    for (from, to) in [(&a, &b), (&b, &a)] {
        let before = distances.len();
        each_distance_to(to.view(), spacing_mm, |columns, some| {
            let from = from.slice(s![.., .., columns]);
            distances.extend(
                some.iter().zip(from).filter(|(_, on_surface)| **on_surface).map(|(mm, _)| *mm),
            );
        });
        if distances.len() == before {
            return None;
        }
    }
    // Sorted, their sum does not depend on the order of the axes either.
    distances.sort_unstable_by(f64::total_cmp);
    Some(SurfaceDistances(distances))
}

impl SurfaceDistances {
    /// The mean: the average symmetric surface distance.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// The percentile (0 to 100), linear between ranks; the 100th is the Hausdorff distance.
    pub fn percentile(&self, percent: f64) -> f64 {
        let last = self.0.len() - 1;
        let rank = percent / 100.0 * last as f64;
        let below = (rank as usize).min(last);
        let (low, high) = (self.0[below], self.0[(below + 1).min(last)]);
        low + (high - low) * (rank - below as f64)
    }

    /// The part that is no longer than the tolerance: the normalised surface Dice.
    pub fn surface_dice(&self, tolerance_mm: f64) -> f64 {
        let limit = tolerance_mm * (1.0 + SLACK);
        self.0.partition_point(|&mm| mm <= limit) as f64 / self.0.len() as f64
    }
}

/// The voxels of a mask with one of their neighbours, two along each of the axes with edges, outside
/// the mask. Outside the array all is outside.
fn surface(mask: ArrayView3<bool>, edges: [bool; 3]) -> Array3<bool> {
    let mut inner = mask.to_owned();
    for axis in (0..3).filter(|&axis| edges[axis]).map(Axis) {
        let Some(last) = mask.len_of(axis).checked_sub(1) else { break };
        for (here, neighbour) in
            [(Slice::from(1..), Slice::from(..last)), (Slice::from(..last), Slice::from(1..))]
        {
            inner
                .slice_axis_mut(axis, here)
                .zip_mut_with(&mask.slice_axis(axis, neighbour), |inner, &inside| *inner &= inside);
        }
        inner.index_axis_mut(axis, 0).fill(false);
        inner.index_axis_mut(axis, last).fill(false);
    }
    Zip::from(&mut inner).and(mask).for_each(|inner, &inside| *inner = inside && !*inner);
    inner
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EDGES: [bool; 3] = [true; 3];

    fn any_mask([d, h, w]: [usize; 3]) -> impl Strategy<Value = Array3<bool>> {
        let voxels = prop::collection::vec(prop::bool::weighted(0.4), d * h * w);
        voxels.prop_map(move |voxels| Array3::from_shape_vec((d, h, w), voxels).unwrap())
    }

    fn any_two_masks() -> impl Strategy<Value = (Array3<bool>, Array3<bool>, [f64; 3])> {
        prop::array::uniform3(1_usize..7).prop_flat_map(|shape| {
            (any_mask(shape), any_mask(shape), prop::array::uniform3(0.2..5.0_f64))
        })
    }

    proptest! {
        #[test]
        fn a_surface_voxel_has_a_neighbour_outside((mask, _, _) in any_two_masks(), edges in prop::array::uniform3(any::<bool>())) {
            let inside = |at: [isize; 3]| {
                let [k, j, i] = at.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
                mask.get([k, j, i]).copied().unwrap_or(false)
            };
            let expected = Array3::from_shape_fn(mask.dim(), |(k, j, i)| {
                let at = [k as isize, j as isize, i as isize];
                let neighbour = |axis: usize, step: isize| {
                    let mut at = at;
                    at[axis] += step;
                    at
                };
                inside(at) && (0..3).filter(|&axis| edges[axis]).any(|axis| !inside(neighbour(axis, -1)) || !inside(neighbour(axis, 1)))
            });
            prop_assert_eq!(surface(mask.view(), edges), expected);
        }

        #[test]
        fn distances_are_symmetric_and_mean_and_95th_percentile_are_at_most_the_hausdorff_distance((a, b, spacing) in any_two_masks()) {
            let distances = surface_distances(a.view(), b.view(), EDGES, spacing);
            prop_assert_eq!(&surface_distances(b.view(), a.view(), EDGES, spacing), &distances);
            let empty = [&a, &b].iter().any(|mask| mask.iter().all(|inside| !inside));
            prop_assert_eq!(distances.is_none(), empty);
            if let Some(distances) = distances {
                let hausdorff = distances.percentile(100.0);
                prop_assert!(distances.percentile(95.0) <= hausdorff && distances.mean() <= hausdorff + 1e-12);
                prop_assert!(distances.percentile(0.0) <= distances.mean() + 1e-12);
                prop_assert_eq!(distances.surface_dice(hausdorff), 1.0);
            }
        }

        #[test]
        fn a_mask_is_at_no_distance_from_itself((mask, _, spacing) in any_two_masks()) {
            if let Some(distances) = surface_distances(mask.view(), mask.view(), EDGES, spacing) {
                prop_assert_eq!((distances.percentile(100.0), distances.mean(), distances.surface_dice(0.0)), (0.0, 0.0, 1.0));
            }
        }
    }

    #[test]
    fn percentiles_are_linear_between_ranks() {
        let distances = SurfaceDistances(vec![0.0, 1.0, 2.0, 4.0]);
        let percentiles = [0.0, 50.0, 95.0, 100.0].map(|p| distances.percentile(p));
        for (found, expected) in percentiles.into_iter().zip([0.0, 1.5, 3.7, 4.0]) {
            assert!((found - expected).abs() < 1e-12, "{percentiles:?}");
        }
        assert_eq!(SurfaceDistances(vec![3.0]).percentile(95.0), 3.0);
    }

    #[test]
    fn a_voxel_counts_as_one_voxel_away_though_its_spacing_was_rounded() {
        let distances = SurfaceDistances(vec![0.0, f64::from(1.000_000_1_f32), 1.1]);
        assert_eq!(distances.surface_dice(1.0), 2.0 / 3.0);
    }
}
