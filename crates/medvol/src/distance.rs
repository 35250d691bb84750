//! The exact Euclidean distance transform of a grid with unequal spacing, in time linear in the number of voxels.
//!
//! Felzenszwalb & Huttenlocher, *Distance Transforms of Sampled Functions* (Theory of Computing, 2012): a squared distance is a sum
//! over axes, so one axis after the other replaces every line of voxels by the lower envelope of the parabolas that stand on it.
//! Lines do not depend on each other: they run in parallel, and the result is the same for any number of threads.

use ndarray::{Array3, ArrayView3, ArrayViewMut1, Axis};
use rayon::prelude::*;

/// The distance in mm of every voxel `[depth, height, width]` to the nearest voxel of `sites`; infinite where there are none.
///
/// Distances are between the centres of voxels, `spacing_mm` apart along (depth, height, width): finite, positive, at right angles.
pub fn distance_to(sites: ArrayView3<bool>, spacing_mm: [f64; 3]) -> Array3<f64> {
    let mut squared = sites.map(|&site| if site { 0.0 } else { f64::INFINITY });
    // The axis of a pass's lines, one to cut the volume across into slabs, and the former's place among the two axes of a slab.
    for (along, across, within) in [(2, 0, 1), (1, 0, 0), (0, 1, 0)] {
        let slabs: Vec<_> = squared.axis_iter_mut(Axis(across)).collect();
        slabs.into_par_iter().for_each(|mut slab| {
            let mut parabolas = Vec::new();
            for line in slab.lanes_mut(Axis(within)) {
                lower_envelope(line, spacing_mm[along], &mut parabolas);
            }
        });
    }
    squared.mapv_inplace(f64::sqrt);
    squared
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

/// Replaces the samples `f(p)` of a line, in mm², by the minimum over `p` of `f(p) + (spacing · (q - p))²`. `parabolas` is working memory.
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
