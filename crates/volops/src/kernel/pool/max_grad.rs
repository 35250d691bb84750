//! Gradient of the maximum.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use super::frames::{Frames, Grid, Run, zip};
use super::weighting::{Weighting, collect_weighted};
use super::{Edges, Max, Reduction, across};
use crate::kernel::parallel::{Slab, with_floats};
use crate::kernel::simd::dispatch;
use crate::kernel::{Shape, numel};

/// Gradient of `z * max_pool3d(x)` with respect to `x`, `[b, c, d, h, w] = xs`, from `g`, shaped as
/// [`max_pool3d`](super::max_pool3d)'s output, and, if `of_z`, that with respect to `z`, which is
/// else 0. The first goes to the first maximum of each window in (depth, height, width) order: to
/// the first plane that holds the maximum, in it to the first such row, in it to the first such
/// voxel. So it is sent back through the three one-dimensional reductions in turn.
pub fn max_pool3d_grad(
    g: &[f32],
    x: &[f32],
    xs: Shape,
    stride: usize,
    z: f32,
    of_z: bool,
) -> (Vec<f32>, f32) {
    let grid = Grid::new(xs, stride);
    let edges = Edges::new(&grid);
    let far = far_edges(&grid);
    let fill = |slab: Slab, out: &mut [MaybeUninit<f32>], weighting: Weighting| {
        with_floats(FRAMES[stride - 1] * grid.pitch(), |scratch| {
            let windows =
                Windows { grid: &grid, edges: &edges, far: &far, g, x, volume: slab.volume };
            dispatch(MaxGrad { windows, slab, out, weighting, scratch });
        });
    };
    // SAFETY: every plane of the slab is written.
    unsafe { collect_weighted(xs, (z, of_z.then_some(x)), (2, numel(xs) * 2), fill) }
}

/// What is added to the elements two columns before, and behind, the elements of a dense plane:
/// where there is none, it never wins, but the window between is never won where that is not there.
fn far_edges(grid: &Grid) -> [Vec<f32>; 2] {
    let width = grid.out[2];
    let edge = |columns: usize| match columns {
        0 => f32::INFINITY,
        1 => f32::NEG_INFINITY,
        _ => 0.0,
    };
    let before = (0..grid.part()).map(|i| edge(i % width)).collect();
    let behind = (0..grid.part()).map(|i| edge(width - 1 - i % width)).collect();
    [before, behind]
}

/// Frames of both strides: what is outside of the volume, and no gradient.
const OUTSIDE: usize = 0;
const NOTHING: usize = 1;
/// Maxima of the windows in a plane, for five planes.
const MAXIMA: usize = 2;
/// Gradients of those maxima.
const GRADIENT: usize = 7;
/// With stride 1: gradients of the maxima along the width; three planes of these maxima, and of the
/// input.
const ROW_GRADIENT: usize = 8;
const ROWS: usize = 9;
const INPUT: usize = 12;
/// With stride 2: the same for the rows of either parity, and for quarters of the input; and
/// quarters of the result.
const QUARTER_GRADIENT: usize = 8;
const QUARTER_ROWS: usize = 10;
const QUARTER_INPUT: usize = 16;
const RESULT: usize = 28;
/// How many frames there are for stride 1, 2.
const FRAMES: [usize; 2] = [15, 32];

/// One slab of the gradient.
struct MaxGrad<'a> {
    windows: Windows<'a>,
    slab: Slab,
    out: &'a mut [MaybeUninit<f32>],
    weighting: Weighting<'a>,
    scratch: &'a mut [f32],
}

impl WithSimd for MaxGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { windows, slab, out, weighting, scratch } = self;
        let grid = windows.grid;
        let frames = grid.frames(scratch);
        (GRADIENT + 1..FRAMES[grid.stride - 1])
            .for_each(|index| frames.fill_margins(index, Max::PADDING));
        frames.fill(OUTSIDE, Max::PADDING);
        frames.fill(NOTHING, 0.0);
        frames.fill_margins(GRADIENT, 0.0);
        let mut reduced = slab.start.saturating_sub(2);
        for (d, out) in (slab.start..slab.end).zip(out.chunks_exact_mut(grid.plane())) {
            while reduced < grid.depth.min(d + 3) {
                if grid.stride == 1 {
                    windows.reduce(simd, frames, reduced);
                } else {
                    windows.reduce_quarters(simd, frames, reduced);
                }
                reduced += 1;
            }
            if grid.stride == 1 {
                windows.route(simd, frames, d, out);
            } else {
                windows.route_quarters(simd, frames, d, out);
            }
            // SAFETY: every element was written.
            weighting.finish(unsafe { out.assume_init_mut() }, slab.volume * grid.depth + d);
        }
    }
}

/// The windows of one volume.
#[derive(Clone, Copy)]
struct Windows<'a> {
    grid: &'a Grid,
    edges: &'a Edges<Max>,
    far: &'a [Vec<f32>; 2],
    g: &'a [f32],
    x: &'a [f32],
    volume: usize,
}

impl<'a> Windows<'a> {
    /// The maxima in plane `d + ahead - back`.
    #[inline(always)]
    fn maxima(self, frames: Frames<'a>, d: usize, ahead: usize, back: usize) -> Run<'a> {
        let inside = (d + ahead).checked_sub(back).filter(|&d| d < self.grid.depth);
        frames.get(inside.map_or(OUTSIDE, |d| MAXIMA + d % 5))
    }

    /// The gradients of the windows centred in plane `d + ahead - back`.
    #[inline(always)]
    fn arriving(self, frames: Frames<'a>, d: usize, ahead: usize, back: usize) -> Run<'a> {
        match (d + ahead).checked_sub(back).filter(|&d| d < self.grid.depth) {
            Some(d) => Run::from(self.grid.part_of(self.g, self.volume, d / self.grid.stride)),
            None => frames.get(NOTHING),
        }
    }

    /// The first two reductions of plane `d`.
    #[inline(always)]
    fn reduce<S: Simd>(self, simd: S, frames: Frames, d: usize) {
        let (input, rows, width) = (INPUT + d % 3, ROWS + d % 3, self.grid.width as isize);
        let (left, right) = (Run::from(&self.edges.left[..]), Run::from(&self.edges.right[..]));
        let plane = Run::from(self.grid.plane_of(self.x, self.volume, d));
        zip(
            simd,
            frames.out(input),
            [plane],
            #[inline(always)]
            |[x]| x,
        );
        zip(
            simd,
            frames.out(rows),
            [frames.at(input, -1), frames.get(input), frames.at(input, 1), left, right],
            #[inline(always)]
            |[before, at, after, left, right]| {
                simd.max_f32s(
                    simd.max_f32s(Max::keep(simd, before, left), at),
                    Max::keep(simd, after, right),
                )
            },
        );
        max3(
            simd,
            frames,
            MAXIMA + d % 5,
            [frames.at(rows, -width), frames.get(rows), frames.at(rows, width)],
        );
    }

    /// Sends the gradients back to plane `d`.
    #[inline(always)]
    fn route<S: Simd>(self, simd: S, frames: Frames, d: usize, out: &mut [MaybeUninit<f32>]) {
        let (input, rows, width) = (INPUT + d % 3, ROWS + d % 3, self.grid.width as isize);
        let (left, right) = (Run::from(&self.edges.left[..]), Run::from(&self.edges.right[..]));
        let maxima = |ahead, back| self.maxima(frames, d, ahead, back);
        let arriving = |ahead, back| self.arriving(frames, d, ahead, back);
        zip(
            simd,
            frames.out(GRADIENT),
            [
                maxima(0, 2),
                maxima(0, 1),
                maxima(0, 0),
                maxima(1, 0),
                maxima(2, 0),
                arriving(0, 1),
                arriving(0, 0),
                arriving(1, 0),
            ],
            #[inline(always)]
            |[b2, b, at, a, a2, from_before, from_at, from_after]| {
                routed(simd, [b2, b, at, a, a2], [from_before, from_at, from_after])
            },
        );
        let (row, gradient) =
            (|n: isize| frames.at(rows, n * width), |n: isize| frames.at(GRADIENT, n * width));
        zip(
            simd,
            frames.out(ROW_GRADIENT),
            [row(-2), row(-1), row(0), row(1), row(2), gradient(-1), gradient(0), gradient(1)],
            #[inline(always)]
            |[b2, b, at, a, a2, from_before, from_at, from_after]| {
                routed(simd, [b2, b, at, a, a2], [from_before, from_at, from_after])
            },
        );
        let (x, gradient) = (|n| frames.at(input, n), |n| frames.at(ROW_GRADIENT, n));
        let [far_left, far_right] = self.far.each_ref().map(|edges| Run::from(&edges[..]));
        zip(
            simd,
            out,
            [
                x(-2),
                x(-1),
                x(0),
                x(1),
                x(2),
                far_left,
                left,
                right,
                far_right,
                gradient(-1),
                gradient(0),
                gradient(1),
            ],
            #[inline(always)]
            |[
                b2,
                b,
                at,
                a,
                a2,
                far_left,
                left,
                right,
                far_right,
                from_before,
                from_at,
                from_after,
            ]| {
                let values = [
                    Max::keep(simd, b2, far_left),
                    Max::keep(simd, b, left),
                    at,
                    Max::keep(simd, a, right),
                    Max::keep(simd, a2, far_right),
                ];
                routed(simd, values, [from_before, from_at, from_after])
            },
        );
    }

    /// [`Windows::reduce`] for stride 2.
    #[inline(always)]
    fn reduce_quarters<S: Simd>(self, simd: S, frames: Frames, d: usize) {
        let (input, rows, width) =
            (QUARTER_INPUT + d % 3 * 4, QUARTER_ROWS + d % 3 * 2, self.grid.out[2] as isize);
        self.grid.split(
            simd,
            frames,
            input,
            self.grid.plane_of(self.x, self.volume, d),
            Max::PADDING,
        );
        for parity in 0..2 {
            across(simd, frames, rows + parity, input + 2 * parity, self.edges);
        }
        max3(
            simd,
            frames,
            MAXIMA + d % 5,
            [frames.at(rows + 1, -width), frames.get(rows), frames.get(rows + 1)],
        );
    }

    /// [`Windows::route`] for stride 2: what is at an even place gets the gradient of the window
    /// around it, what is at an odd place those of the windows before and behind.
    #[inline(always)]
    fn route_quarters<S: Simd>(
        self,
        simd: S,
        frames: Frames,
        d: usize,
        out: &mut [MaybeUninit<f32>],
    ) {
        let (input, rows, width) =
            (QUARTER_INPUT + d % 3 * 4, QUARTER_ROWS + d % 3 * 2, self.grid.out[2] as isize);
        let (left, right) = (Run::from(&self.edges.left[..]), Run::from(&self.edges.right[..]));
        let maxima = |ahead, back| self.maxima(frames, d, ahead, back);
        let arriving = |ahead, back| self.arriving(frames, d, ahead, back);
        if d.is_multiple_of(2) {
            route_even(
                simd,
                frames,
                GRADIENT,
                [maxima(0, 1), maxima(0, 0), maxima(1, 0), arriving(0, 0)],
            );
        } else {
            let values = [maxima(0, 2), maxima(0, 1), maxima(0, 0), maxima(1, 0), maxima(2, 0)];
            route_odd(simd, frames, GRADIENT, values, [arriving(0, 1), arriving(1, 0)]);
        }
        let (even, odd) =
            (|n: isize| frames.at(rows, n * width), |n: isize| frames.at(rows + 1, n * width));
        let gradients = [frames.get(GRADIENT), frames.at(GRADIENT, width)];
        route_even(simd, frames, QUARTER_GRADIENT, [odd(-1), even(0), odd(0), gradients[0]]);
        route_odd(
            simd,
            frames,
            QUARTER_GRADIENT + 1,
            [odd(-1), even(0), odd(0), even(1), odd(1)],
            gradients,
        );
        for parity in 0..2 {
            let (even, odd) =
                (|n| frames.at(input + 2 * parity, n), |n| frames.at(input + 2 * parity + 1, n));
            let gradient = |n| frames.at(QUARTER_GRADIENT + parity, n);
            zip(
                simd,
                frames.out(RESULT + 2 * parity),
                [odd(-1), even(0), odd(0), gradient(0), left],
                #[inline(always)]
                |[b, at, a, from_at, left]| {
                    routed_even(simd, [Max::keep(simd, b, left), at, a], from_at)
                },
            );
            zip(
                simd,
                frames.out(RESULT + 2 * parity + 1),
                [odd(-1), even(0), odd(0), even(1), odd(1), gradient(0), gradient(1), left, right],
                #[inline(always)]
                |[b2, b, at, a, a2, from_before, from_after, left, right]| {
                    let values = [Max::keep(simd, b2, left), b, at, simd.sub_f32s(a, right), a2];
                    routed_odd(simd, values, [from_before, from_after])
                },
            );
        }
        self.grid.join(simd, out, frames, [[RESULT, RESULT + 1], [RESULT + 2, RESULT + 3]]);
    }
}

#[inline(always)]
fn max3<S: Simd>(simd: S, frames: Frames, to: usize, from: [Run; 3]) {
    zip(
        simd,
        frames.out(to),
        from,
        #[inline(always)]
        |[a, b, c]| simd.max_f32s(simd.max_f32s(a, b), c),
    );
}

#[inline(always)]
fn route_even<S: Simd>(simd: S, frames: Frames, to: usize, from: [Run; 4]) {
    zip(
        simd,
        frames.out(to),
        from,
        #[inline(always)]
        |[b, at, a, from_at]| routed_even(simd, [b, at, a], from_at),
    );
}

#[inline(always)]
fn route_odd<S: Simd>(
    simd: S,
    frames: Frames,
    to: usize,
    [b2, b, at, a, a2]: [Run; 5],
    [from_before, from_after]: [Run; 2],
) {
    zip(
        simd,
        frames.out(to),
        [b2, b, at, a, a2, from_before, from_after],
        #[inline(always)]
        |[b2, b, at, a, a2, from_before, from_after]| {
            routed_odd(simd, [b2, b, at, a, a2], [from_before, from_after])
        },
    );
}

/// What comes back to a place from the windows before, around and behind it: their gradients, where
/// the place is their first maximum. `values` are those at distance -2 to 2.
#[inline(always)]
fn routed<S: Simd>(
    simd: S,
    values: [S::f32s; 5],
    [from_before, from_at, from_after]: [S::f32s; 3],
) -> S::f32s {
    let [_, b, at, a, _] = values;
    simd.add_f32s(
        routed_odd(simd, values, [from_before, from_after]),
        routed_even(simd, [b, at, a], from_at),
    )
}

/// What comes from the window around.
#[inline(always)]
fn routed_even<S: Simd>(simd: S, [b, at, a]: [S::f32s; 3], from_at: S::f32s) -> S::f32s {
    let wins = simd.and_m32s(simd.greater_than_f32s(at, b), simd.greater_than_or_equal_f32s(at, a));
    simd.select_f32s(wins, from_at, simd.splat_f32s(0.0))
}

/// What comes from the windows before and behind.
#[inline(always)]
fn routed_odd<S: Simd>(
    simd: S,
    [b2, b, at, a, a2]: [S::f32s; 5],
    [from_before, from_after]: [S::f32s; 2],
) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    let before = simd.and_m32s(simd.greater_than_f32s(at, b), simd.greater_than_f32s(at, b2));
    let after = simd
        .and_m32s(simd.greater_than_or_equal_f32s(at, a), simd.greater_than_or_equal_f32s(at, a2));
    simd.add_f32s(
        simd.select_f32s(before, from_before, zero),
        simd.select_f32s(after, from_after, zero),
    )
}
