//! The exact Euclidean distance transform of a grid with unequal spacing, in time linear in the
//! number of voxels.
//!
//! Felzenszwalb & Huttenlocher, *Distance Transforms of Sampled Functions* (Theory of Computing,
//! 2012): a squared distance is a sum over axes, so one axis after the other replaces every line of
//! voxels by the lower envelope of the parabolas that stand on it. Lines do not depend on each
//! other: they run in parallel, and the result is the same for any number of threads. Along the
//! width, where sites are all there is, it is a count of voxels; the other axes follow for some
//! columns at a time, as f64 for all would take much memory.

use std::ops::Range;

use ndarray::{Array3, ArrayView3, ArrayViewMut1, Axis, s};
use rayon::prelude::*;

/// Columns at a time.
const COLUMNS: usize = 16;

/// In the place of a number of voxels: there is no site in this row. Images are not that wide
/// (NIfTI: 32767).
const NONE: u16 = u16::MAX;

/// The distance in mm of every voxel `[depth, height, width]` to the nearest voxel of `sites`;
/// infinite where there are none.
///
/// Distances are between the centres of voxels, `spacing_mm` apart along (depth, height, width):
/// finite, positive, at right angles.
pub fn distance_to(sites: ArrayView3<bool>, spacing_mm: [f64; 3]) -> Array3<f64> {
    let mut distances = Array3::zeros(sites.dim());
    each_distance_to(sites, spacing_mm, |columns, some| {
        distances.slice_mut(s![.., .., columns]).assign(&some)
    });
    distances
}

/// Hands [`distance_to`] to `visit`, some columns at a time, in 2 bytes a voxel.
pub fn each_distance_to(
    sites: ArrayView3<bool>,
    spacing_mm: [f64; 3],
    mut visit: impl FnMut(Range<usize>, ArrayView3<f64>),
) {
    let width = sites.dim().2;
    let along_width = voxels_to_sites(sites);
    for start in (0..width).step_by(COLUMNS) {
        let columns = start..(start + COLUMNS).min(width);
        let mm = |voxels: u16| spacing_mm[2] * f64::from(voxels);
        let mut squared = along_width
            .slice(s![.., .., columns.clone()])
            .map(|&n| if n == NONE { f64::INFINITY } else { mm(n) * mm(n) });
        // The axis of a pass's lines, and one to cut the volume across into slabs, of which the
        // former is then the first.
        for (along, across) in [(1, 0), (0, 1)] {
            let slabs: Vec<_> = squared.axis_iter_mut(Axis(across)).collect();
            slabs.into_par_iter().for_each(|mut slab| {
                let mut parabolas = Vec::new();
                for line in slab.lanes_mut(Axis(0)) {
                    lower_envelope(line, spacing_mm[along], &mut parabolas);
                }
            });
        }
        squared.mapv_inplace(f64::sqrt);
        visit(columns, squared.view());
    }
}

/// Of every voxel, how many voxels along its row the nearest site is away.
fn voxels_to_sites(sites: ArrayView3<bool>) -> Array3<u16> {
    let mut found = sites.map(|&site| if site { 0 } else { NONE });
    let rows: Vec<_> = found.lanes_mut(Axis(2)).into_iter().collect();
    rows.into_par_iter().for_each(|mut row| {
        let mut voxels = NONE;
        let mut count = |here: &mut u16| {
            voxels = (*here).min(voxels.saturating_add(1));
            *here = voxels;
        };
        row.iter_mut().for_each(&mut count);
        row.iter_mut().rev().for_each(count);
    });
    found
}

/// One parabola of an envelope.
struct Parabola {
    /// The sample it stands on.
    foot: usize,
    /// Its value there, in mm².
    value: f64,
    /// From where on, in voxels, it is the lowest.
    from: f64,
}

/// Replaces the samples `f(p)` of a line, in mm², by the minimum over `p` of `f(p) + (spacing · (q
/// - p))²`. `parabolas` is working memory.
fn lower_envelope(mut line: ArrayViewMut1<f64>, spacing: f64, parabolas: &mut Vec<Parabola>) {
    parabolas.clear();
    for (foot, &value) in line.iter().enumerate() {
        // An infinite sample is the lowest nowhere.
        if value.is_infinite() {
            continue;
        }
        let mut from = f64::NEG_INFINITY;
        while let Some(last) = parabolas.last() {
            let (p, q) = (last.foot as f64, foot as f64);
            from = 0.5 * (p + q + (value - last.value) / (spacing * spacing * (q - p)));
            if from > last.from {
                break;
            }
            parabolas.pop();
            from = f64::NEG_INFINITY;
        }
        parabolas.push(Parabola { foot, value, from });
    }
    let mut envelope = parabolas.iter().peekable();
    let Some(mut lowest) = envelope.next() else { return };
    for (q, out) in line.iter_mut().enumerate() {
        while let Some(next) = envelope.next_if(|next| next.from < q as f64) {
            lowest = next;
        }
        let mm = spacing * q.abs_diff(lowest.foot) as f64;
        *out = lowest.value + mm * mm;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_sites() -> impl Strategy<Value = (Array3<bool>, [f64; 3])> {
        let shape = prop::array::uniform3(1_usize..8);
        let sites = shape.prop_flat_map(|[d, h, w]| {
            let sites = prop::collection::vec(prop::bool::weighted(0.1), d * h * w);
            sites.prop_map(move |sites| Array3::from_shape_vec((d, h, w), sites).unwrap())
        });
        (sites, prop::array::uniform3(0.2..5.0_f64))
    }

    /// Every voxel against every site.
    fn by_definition(sites: &Array3<bool>, spacing: [f64; 3]) -> Array3<f64> {
        Array3::from_shape_fn(sites.dim(), |(k, j, i)| {
            let to = |(z, y, x): (usize, usize, usize)| {
                let mm = [
                    k.abs_diff(z) as f64 * spacing[0],
                    j.abs_diff(y) as f64 * spacing[1],
                    i.abs_diff(x) as f64 * spacing[2],
                ];
                mm.iter().map(|v| v * v).sum::<f64>().sqrt()
            };
            sites
                .indexed_iter()
                .filter(|(_, site)| **site)
                .map(|(at, _)| to(at))
                .fold(f64::INFINITY, f64::min)
        })
    }

    fn close(a: &Array3<f64>, b: &Array3<f64>) -> bool {
        a.dim() == b.dim()
            && a.iter().zip(b).all(|(a, b)| a == b || (a - b).abs() < 1e-12 * a.max(1.0))
    }

    proptest! {
        #[test]
        fn it_is_the_distance_to_the_nearest_site((sites, spacing) in any_sites()) {
            let found = distance_to(sites.view(), spacing);
            let expected = by_definition(&sites, spacing);
            prop_assert!(close(&found, &expected), "{found:?} is not {expected:?}");
        }

        #[test]
        fn it_turns_with_the_axes_and_their_spacing((sites, spacing) in any_sites()) {
            let found = distance_to(sites.view(), spacing);
            let axes = [2, 0, 1];
            let turned = distance_to(sites.view().permuted_axes(axes), axes.map(|a| spacing[a]));
            prop_assert!(close(&turned, &found.permuted_axes(axes)));
        }
    }

    #[test]
    fn one_thread_and_two_give_the_same_bits() {
        let sites =
            Array3::from_shape_fn((9, 20, 30), |(k, j, i)| (k * 131 + j * 37 + i * 17) % 101 == 0);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| distance_to(sites.view(), [2.5, 0.7, 0.9]))
        };
        assert_eq!(on(1), on(2));
    }

    #[test]
    fn an_array_without_voxels_has_no_distances() {
        assert!(distance_to(Array3::from_elem((3, 0, 2), true).view(), [1.0; 3]).is_empty());
    }
}
