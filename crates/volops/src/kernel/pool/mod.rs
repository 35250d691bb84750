//! Maximum and average pooling over 3x3x3 windows, padding 1, stride 1 or 2, and their gradients.
//!
//! A window is reduced along one axis after the other. Planes keep their dense rows, so that each
//! step is one run of vectors however short the rows are: neighbouring planes and rows are shifted
//! runs, with rows of padding above and below, and neighbouring columns are shifted runs masked at
//! the ends of rows (see `frames`). With stride 2 a plane is split by the parity of row and column,
//! and every step works on such quarters. Inputs are taken to be finite.

mod by_axis;
mod frames;
mod max_grad;
mod reduction;
mod weighting;

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use crate::kernel::parallel::{Slab, collect_slabs, for_slabs, uninit, with_floats};
use crate::kernel::simd::dispatch;
use crate::kernel::{Shape, numel};
pub use by_axis::{PoolSpec, avg_pool, avg_pool_grad, max_pool, max_pool_grad};
use frames::{Frames, Grid, Run, zip};
pub use max_grad::max_pool3d_grad;
use reduction::{Edges, Max, Mean, MeanTranspose, Reduction, Weights};
use weighting::{Weighting, collect_weighted};

/// Maximum over the 3x3x3 window (padding never wins) at every `stride`-th voxel of `x` (shape `xs
/// = [b, c, d, h, w]`): returns `[b, c, ceil(d / stride), ceil(h / stride), ceil(w / stride)]`.
pub fn max_pool3d(x: &[f32], xs: Shape, stride: usize) -> Vec<f32> {
    Pooling::<Max>::new(xs, stride).of(x)
}

/// Mean over the voxels of the 3x3x3 window that are inside the volume; shapes as [`max_pool3d`].
pub fn avg_pool3d(x: &[f32], xs: Shape, stride: usize) -> Vec<f32> {
    Pooling::<Mean>::new(xs, stride).of(x)
}

/// `acc += z * max_pool3d(x)`, in one pass.
pub fn add_max_pool3d(acc: &mut [f32], x: &[f32], xs: Shape, stride: usize, z: f32) {
    Pooling::<Max>::new(xs, stride).add_to(acc, x, z);
}

/// `acc += z * avg_pool3d(x)`, in one pass.
pub fn add_avg_pool3d(acc: &mut [f32], x: &[f32], xs: Shape, stride: usize, z: f32) {
    Pooling::<Mean>::new(xs, stride).add_to(acc, x, z);
}

/// Gradient of `z * avg_pool3d(x)` with respect to `x`, `[b, c, d, h, w] = xs`: the transpose of
/// the average, from `g`, shaped as its output. Given `x`, also that with respect to `z`, which is
/// else 0.
pub fn avg_pool3d_grad(
    g: &[f32],
    xs: Shape,
    stride: usize,
    z: f32,
    x: Option<&[f32]>,
) -> (Vec<f32>, f32) {
    if stride == 1 {
        let pooling = Pooling::<MeanTranspose>::new(xs, 1);
        // SAFETY: every plane of the slab is written.
        return unsafe {
            collect_weighted(xs, (z, x), (1, numel(xs)), |slab, out, weighting| {
                pooling.fill(g, slab, out, None, weighting)
            })
        };
    }
    let grid = Grid::new(xs, stride);
    let (edges, weights) = (Edges::<MeanTranspose>::new(&grid), Weights::new(&grid));
    let fill = |slab: Slab, out: &mut [MaybeUninit<f32>], weighting: Weighting| {
        with_floats(MEAN_SPREAD_FRAMES * grid.pitch(), |scratch| {
            let (grid, edges, weights) = (&grid, &edges, &weights);
            dispatch(MeanSpread { grid, edges, weights, g, slab, out, scratch, weighting });
        });
    };
    // SAFETY: every row of the slab is written.
    unsafe { collect_weighted(xs, (z, x), (1, numel(xs)), fill) }
}

/// A pooling of tensors of one shape.
struct Pooling<R> {
    grid: Grid,
    edges: Edges<R>,
    weights: Weights,
}

impl<R: Reduction> Pooling<R> {
    fn new(xs: Shape, stride: usize) -> Self {
        let grid = Grid::new(xs, stride);
        Self { grid, edges: Edges::new(&grid), weights: Weights::new(&grid) }
    }

    fn out(&self) -> [usize; 3] {
        [self.grid.volumes, self.grid.out[0], self.grid.part()]
    }

    /// Serial time.
    fn nanoseconds(&self) -> usize {
        self.grid.volumes * self.grid.depth * self.grid.plane()
    }

    fn of(&self, x: &[f32]) -> Vec<f32> {
        // SAFETY: every plane of the slab is written.
        unsafe {
            collect_slabs(self.out(), 1, self.nanoseconds(), |slab, out| {
                self.fill(x, slab, out, None, Weighting::NONE)
            })
        }
    }

    fn add_to(&self, acc: &mut [f32], x: &[f32], z: f32) {
        for_slabs(uninit(acc), self.out(), 1, self.nanoseconds(), |slab, out| {
            self.fill(x, slab, out, Some(z), Weighting::NONE)
        });
    }

    /// One slab: what is pooled, or that times a weight and what is in `out` already.
    fn fill(
        &self,
        x: &[f32],
        slab: Slab,
        out: &mut [MaybeUninit<f32>],
        adds: Option<f32>,
        weighting: Weighting,
    ) {
        // A whole plane, before it is split.
        let whole = if self.grid.stride == 1 { 0 } else { self.grid.plane() };
        with_floats(POOL_FRAMES * self.grid.pitch() + whole, |scratch| {
            dispatch(Pool { of: self, x, slab, out, adds, weighting, scratch });
        });
    }
}

/// One slab of a pooled tensor.
struct Pool<'a, R> {
    of: &'a Pooling<R>,
    x: &'a [f32],
    slab: Slab,
    out: &'a mut [MaybeUninit<f32>],
    /// The weight with which it is added to what is in `out`.
    adds: Option<f32>,
    weighting: Weighting<'a>,
    scratch: &'a mut [f32],
}

/// Frame of zeros, for what is not added to anything.
const NOTHING: usize = 6;
const POOL_FRAMES: usize = 7;

impl<R: Reduction> WithSimd for Pool<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of: Pooling { grid, edges, weights }, x, slab, out, adds, weighting, scratch } =
            self;
        let (scratch, whole) = scratch.split_at_mut(POOL_FRAMES * grid.pitch());
        let frames = grid.frames(scratch);
        let width = grid.out[2] as isize;
        let (left, right, weight) = (
            Run::from(&edges.left[..]),
            Run::from(&edges.right[..]),
            Run::from(&weights.plane[..]),
        );
        (0..POOL_FRAMES).for_each(|index| frames.fill_margins(index, R::PADDING));
        frames.fill(NOTHING, 0.0);
        let z = simd.splat_f32s(adds.unwrap_or(1.0));
        for (d, out) in (slab.start..slab.end).zip(out.chunks_exact_mut(grid.part())) {
            let acc = if adds.is_some() {
                // SAFETY: what is added to has been written before.
                unsafe { Run::of(&&mut *out) }
            } else {
                frames.get(NOTHING)
            };
            let center = d * grid.stride;
            let around = [
                center.checked_sub(1),
                Some(center),
                (center + 1 < grid.depth).then_some(center + 1),
            ];
            // A plane that is not there is replaced by the one in the middle: it does no harm in a
            // maximum, nor with weight zero.
            let [a, b, c] =
                around.map(|d| Run::from(grid.plane_of(x, slab.volume, d.unwrap_or(center))));
            let planes = around.map(|d| d.map_or(0.0, |d| weights.depth[d / grid.stride]));
            if grid.stride == 1 {
                zip(
                    simd,
                    frames.out(0),
                    [a, b, c, weight],
                    #[inline(always)]
                    |[a, b, c, weight]| R::enter(simd, [a, b, c], planes, weight),
                );
                zip(
                    simd,
                    frames.out(1),
                    [frames.at(0, -width), frames.get(0), frames.at(0, width)],
                    #[inline(always)]
                    |[above, at, below]| R::join(simd, R::join(simd, above, at), below),
                );
                zip(
                    simd,
                    &mut *out,
                    [frames.at(1, -1), frames.get(1), frames.at(1, 1), left, right, weight, acc],
                    #[inline(always)]
                    |[before, at, after, left, right, weight, acc]| {
                        let sides =
                            R::join(simd, R::keep(simd, before, left), R::keep(simd, after, right));
                        let pooled =
                            R::finish(simd, R::join(simd, at, sides), weight, weights.depth[d]);
                        simd.add_f32s(acc, simd.mul_f32s(z, pooled))
                    },
                );
            } else {
                zip(
                    simd,
                    &mut *whole,
                    [a, b, c],
                    #[inline(always)]
                    |planes_around| R::enter(simd, planes_around, planes, simd.splat_f32s(1.0)),
                );
                grid.split(simd, frames, 0, whole, R::PADDING);
                for parity in 0..2 {
                    across(simd, frames, 4 + parity, 2 * parity, edges);
                }
                zip(
                    simd,
                    &mut *out,
                    [frames.at(5, -width), frames.get(4), frames.get(5), weight, acc],
                    #[inline(always)]
                    |[above, at, below, weight, acc]| {
                        let pooled = R::finish(
                            simd,
                            R::join(simd, R::join(simd, above, at), below),
                            weight,
                            weights.depth[d],
                        );
                        simd.add_f32s(acc, simd.mul_f32s(z, pooled))
                    },
                );
            }
            // SAFETY: every element was written.
            weighting.finish(unsafe { out.assume_init_mut() }, slab.volume * grid.out[0] + d);
        }
    }
}

/// Reduces the windows around the even columns of a frame along the width; the odd columns are in
/// the frame behind it.
#[inline(always)]
fn across<S: Simd, R: Reduction>(
    simd: S,
    frames: Frames,
    to: usize,
    even: usize,
    edges: &Edges<R>,
) {
    zip(
        simd,
        frames.out(to),
        [
            frames.at(even + 1, -1),
            frames.get(even),
            frames.get(even + 1),
            Run::from(&edges.left[..]),
        ],
        #[inline(always)]
        |[before, at, after, left]| {
            R::join(simd, R::join(simd, R::keep(simd, before, left), at), after)
        },
    );
}

/// One slab of the transpose of the stride-2 average. An even plane, row or column is in one
/// window, an odd one in two.
struct MeanSpread<'a> {
    grid: &'a Grid,
    edges: &'a Edges<MeanTranspose>,
    weights: &'a Weights,
    g: &'a [f32],
    slab: Slab,
    out: &'a mut [MaybeUninit<f32>],
    weighting: Weighting<'a>,
    scratch: &'a mut [f32],
}

const MEAN_SPREAD_FRAMES: usize = 4;

impl WithSimd for MeanSpread<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { grid, edges, weights, g, slab, out, weighting, scratch } = self;
        let frames = grid.frames(scratch);
        let width = grid.out[2] as isize;
        let (right, weight) = (Run::from(&edges.right[..]), Run::from(&weights.plane[..]));
        let [even_rows, odd_rows, even_ends, odd_ends] = [0, 1, 2, 3];
        frames.fill_margins(even_rows, 0.0);
        frames.fill_margins(odd_rows, 0.0);
        for (d, out) in (slab.start..slab.end).zip(out.chunks_exact_mut(grid.plane())) {
            let windows = [
                Some(d / 2),
                Some(d.div_ceil(2)).filter(|&after| d % 2 == 1 && after < grid.out[0]),
            ];
            let [before, after] =
                windows.map(|i| Run::from(grid.part_of(g, slab.volume, i.unwrap_or(d / 2))));
            let planes = windows.map(|i| simd.splat_f32s(i.map_or(0.0, |i| weights.depth[i])));
            zip(
                simd,
                frames.out(even_rows),
                [before, after, weight],
                #[inline(always)]
                |[before, after, weight]| {
                    simd.mul_f32s(
                        weight,
                        simd.mul_add_e_f32s(after, planes[1], simd.mul_f32s(before, planes[0])),
                    )
                },
            );
            zip(
                simd,
                frames.out(odd_rows),
                [frames.get(even_rows), frames.at(even_rows, width)],
                #[inline(always)]
                |[above, below]| simd.add_f32s(above, below),
            );
            for (rows, ends) in [(even_rows, even_ends), (odd_rows, odd_ends)] {
                zip(
                    simd,
                    frames.out(ends),
                    [frames.get(rows), frames.at(rows, 1), right],
                    #[inline(always)]
                    |[before, after, right]| simd.mul_add_e_f32s(after, right, before),
                );
            }
            grid.join(simd, out, frames, [[even_rows, even_ends], [odd_rows, odd_ends]]);
            // SAFETY: every row was joined.
            weighting.finish(unsafe { out.assume_init_mut() }, slab.volume * grid.depth + d);
        }
    }
}
