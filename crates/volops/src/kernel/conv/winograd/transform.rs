//! The transforms of Winograd's minimal filtering (see [`super`]): `F(2, 3)` along depth
//! and height, `F(4, 3)` along the width.
//!
//! With the matrices of Lavin and Gray (2016, sections 4.1 and 4.3) one axis of a convolution is
//! `A^T [(G g) * (B^T d)]`: `g` are 3 weights, `d` are 4 or 6 source elements, `*` multiplies
//! element by element, and the result are 2 or 4 outputs. All work on whole vectors whose lanes are
//! tiles (of weights: pairs of channels).
//!
//! Accuracy: `F(2, 3)` adds and halves only. `F(4, 3)` multiplies by up to 8, so the error is that
//! of sums a few times larger, but the sums are shorter: over source channels only, not over 27
//! times as many products. On normal data the root mean square error is 2.1 times that of the
//! direct kernel with 4 channels, 1.4 times with 16, 1.0 times with 128. What is not finite spoils
//! all outputs of the tiles that read it.

// Indices in lockstep over several arrays that must stay in registers: iterators would hide that.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::kernel::conv::correlate::{KernelTap, Weights};
use crate::kernel::simd::shuffle::{even, interleave, odd};
use crate::kernel::simd::{MAX_LANES, SharedOut, dispatch, load, store, store_first};

/// Outputs of a tile along the width.
pub const OUTPUTS: usize = 4;

/// Points along the width: of each the products are summed over the source channels.
pub const POINTS: usize = OUTPUTS + 2;

/// Points of depth and height together.
pub const PLANE_POINTS: usize = 16;

/// `G` of `F(4, 3)`.
pub const WEIGHTS: [[f32; 3]; POINTS] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// `A` of `F(4, 3)`.
const OUTPUT: [[f32; OUTPUTS]; POINTS] = [
    [1.0, 0.0, 0.0, 0.0],
    [1.0, 1.0, 1.0, 1.0],
    [1.0, -1.0, 1.0, -1.0],
    [1.0, 2.0, 4.0, 8.0],
    [1.0, -2.0, 4.0, -8.0],
    [0.0, 0.0, 0.0, 1.0],
];

/// `B^T` of `F(2, 3)`.
#[inline(always)]
pub fn input<S: Simd>(simd: S, d: [S::f32s; 4]) -> [S::f32s; 4] {
    [
        simd.sub_f32s(d[0], d[2]),
        simd.add_f32s(d[1], d[2]),
        simd.sub_f32s(d[2], d[1]),
        simd.sub_f32s(d[1], d[3]),
    ]
}

/// `A^T` of `F(2, 3)`.
#[inline(always)]
fn output<S: Simd>(simd: S, m: [S::f32s; 4]) -> [S::f32s; 2] {
    [simd.add_f32s(simd.add_f32s(m[0], m[1]), m[2]), simd.sub_f32s(simd.sub_f32s(m[1], m[2]), m[3])]
}

/// `G` of `F(2, 3)`.
#[inline(always)]
fn weights<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; 4] {
    let half = simd.splat_f32s(0.5);
    let outer = simd.mul_f32s(half, simd.add_f32s(g[0], g[2]));
    let inner = simd.mul_f32s(half, g[1]);
    [g[0], simd.add_f32s(outer, inner), simd.sub_f32s(outer, inner), g[2]]
}

/// `B^T` of `F(4, 3)` at tiles that follow each other in memory, four elements each, row after row.
pub struct TransformWidth {
    /// At least a vector.
    pub tiles: usize,
    /// The first element of the first tile. Read from one element before it to one tile after the
    /// last one.
    pub from: *const f32,
    /// Zero for the first tile of a row, else positive.
    pub left: *const f32,
    /// Zero for the last tile of a row, else positive.
    pub right: *const f32,
    /// The first point of the first tile.
    pub to: *mut f32,
    /// Elements of `to` between points.
    pub point: usize,
}

impl WithSimd for TransformWidth {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiles, from, left, right, to, point } = self;
        let zero = simd.splat_f32s(0.0);
        let lanes = S::F32_LANES;
        let last = tiles - lanes;
        for t in (0..last).step_by(lanes).chain([last]) {
            // SAFETY: `winograd::pack`, the only maker of this type, has room around the row, and
            // rows of `point` elements.
            unsafe {
                let (from, left, right, to) =
                    (from.add(OUTPUTS * t), left.add(t), right.add(t), to.add(t));
                let four = |from: *const f32| [0, 1, 2, 3].map(|i| load(simd, from.add(i * lanes)));
                let [a, b, c, d] = four(from);
                let (e, o) =
                    ([even(simd, a, b), even(simd, c, d)], [odd(simd, a, b), odd(simd, c, d)]);
                let (d1, d3) = (even(simd, e[0], e[1]), odd(simd, e[0], e[1]));
                let (d2, d4) = (even(simd, o[0], o[1]), odd(simd, o[0], o[1]));
                // The neighbours' elements, unless they belong to another row.
                let first =
                    |[a, b, c, d]: [S::f32s; 4]| even(simd, even(simd, a, b), even(simd, c, d));
                let keep = |mask: *const f32, x| {
                    simd.select_f32s(simd.greater_than_f32s(load(simd, mask), zero), x, zero)
                };
                let d0 = keep(left, first(four(from.sub(1))));
                let d5 = keep(right, first(four(from.add(OUTPUTS))));

                let times = |factor: f32, x, y| simd.mul_add_e_f32s(simd.splat_f32s(factor), x, y);
                let twice = simd.sub_f32s(d3, d1);
                let twice = simd.add_f32s(twice, twice);
                let (a, b) = (times(-4.0, d2, d4), times(-4.0, d1, d3));
                let c = simd.sub_f32s(d4, d2);
                store(simd, to, times(4.0, d0, times(-5.0, d2, d4)));
                store(simd, to.add(point), simd.add_f32s(a, b));
                store(simd, to.add(2 * point), simd.sub_f32s(a, b));
                store(simd, to.add(3 * point), simd.add_f32s(c, twice));
                store(simd, to.add(4 * point), simd.sub_f32s(c, twice));
                store(simd, to.add(5 * point), times(4.0, d1, times(-5.0, d3, d5)));
            }
        }
    }
}

/// `B^T` of depth and height, at vectors of tiles.
pub struct TransformInput<'a> {
    /// Where the 4 x 4 elements are.
    pub offsets: &'a [[usize; 4]; 4],
    /// Where the vectors start.
    pub starts: &'a [usize],
    /// What offsets and starts are counted from.
    pub from: *const f32,
    /// One vector after the other.
    pub to: *mut f32,
    /// Elements of `to` between points.
    pub point: usize,
}

impl WithSimd for TransformInput<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { offsets, starts, from, to, point } = self;
        let mut planes = [[simd.splat_f32s(0.0); 4]; 4];
        for (i, &start) in starts.iter().enumerate() {
            // SAFETY: `winograd::Item`, the only maker of this type, says why the pointers are
            // valid.
            unsafe {
                let (from, to) = (from.add(start), to.add(i * S::F32_LANES));
                for d in 0..4 {
                    let mut x = planes[d];
                    for h in 0..4 {
                        x[h] = load(simd, from.add(offsets[d][h]));
                    }
                    planes[d] = input(simd, x);
                }
                for h in 0..4 {
                    let x = input(simd, [planes[0][h], planes[1][h], planes[2][h], planes[3][h]]);
                    for d in 0..4 {
                        store(simd, to.add((d * 4 + h) * point), x[d]);
                    }
                }
            }
        }
    }
}

/// `A^T`, at consecutive vectors of tiles: adds what one point of the width contributes to the
/// outputs, and with the last point brings these in order.
pub struct TransformBack {
    /// Vectors of tiles.
    pub vectors: usize,
    /// The first point of the first tile.
    pub from: *const f32,
    /// Elements of `from` between points.
    pub point: usize,
    /// `[2 * 2, .., OUTPUTS, lanes]`; with the last point `[2 * 2, .., lanes, OUTPUTS]`.
    pub to: *mut f32,
    /// Elements of `to` between parities of depth and height.
    pub volume: usize,
    /// The point of the width. They must come in order.
    pub index: usize,
}

impl WithSimd for TransformBack {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { vectors, from, point, to, volume, index } = self;
        let lanes = S::F32_LANES;
        let mut half = [[simd.splat_f32s(0.0); 4]; 2];
        for v in 0..vectors {
            // SAFETY: `winograd::Item`, the only maker of this type, says why the pointers are
            // valid.
            unsafe {
                let (from, to) = (from.add(v * lanes), to.add(v * OUTPUTS * lanes));
                for h in 0..4 {
                    let mut m = half[0];
                    for d in 0..4 {
                        m[d] = load(simd, from.add((d * 4 + h) * point));
                    }
                    [half[0][h], half[1][h]] = output(simd, m);
                }
                let parities = [output(simd, half[0]), output(simd, half[1])];
                for (i, &y) in parities.as_flattened().iter().enumerate() {
                    let at = |w: usize| to.add(i * volume + w * lanes);
                    match index {
                        0 => store(simd, at(0), y),
                        1 => {
                            store(simd, at(0), simd.add_f32s(load(simd, at(0)), y));
                            for w in 1..OUTPUTS {
                                store(simd, at(w), y);
                            }
                        }
                        5 => {
                            let last = simd.add_f32s(load(simd, at(3)), y);
                            let [a, c] = interleave(simd, load(simd, at(0)), load(simd, at(2)));
                            let [b, d] = interleave(simd, load(simd, at(1)), last);
                            for (i, pair) in [interleave(simd, a, b), interleave(simd, c, d)]
                                .into_iter()
                                .enumerate()
                            {
                                store(simd, at(2 * i), pair[0]);
                                store(simd, at(2 * i + 1), pair[1]);
                            }
                        }
                        _ => {
                            for w in 0..OUTPUTS {
                                store(
                                    simd,
                                    at(w),
                                    simd.mul_add_e_f32s(
                                        simd.splat_f32s(OUTPUT[index][w]),
                                        y,
                                        load(simd, at(w)),
                                    ),
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `G`: transforms weights to `[POINTS, PLANE_POINTS, blocks, channels, rows of the block]`.
#[derive(Clone, Copy)]
pub struct TransformWeights<'a> {
    /// What is transformed.
    pub weights: Weights<'a>,
    /// Where the kernel's 27 elements are, depth slowest.
    pub taps: &'a [KernelTap],
    /// Of the source.
    pub channels: usize,
    /// Of the result of the convolution.
    pub out_channels: usize,
}

impl TransformWeights<'_> {
    /// Elements between points.
    pub fn point(&self) -> usize {
        self.channels * self.out_channels
    }

    /// Elements of the result.
    pub fn len(&self) -> usize {
        POINTS * PLANE_POINTS * self.point()
    }

    /// Writes one block: consecutive output channels.
    ///
    /// # Safety
    /// `to` must be writable for [`Self::len`] elements. Nobody else may write the same block.
    pub unsafe fn block(&self, rows: &Range<usize>, to: SharedOut) {
        dispatch(WeightBlock { of: *self, rows: rows.clone(), to });
    }
}

struct WeightBlock<'a> {
    of: TransformWeights<'a>,
    rows: Range<usize>,
    to: SharedOut,
}

impl WithSimd for WeightBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, rows, to } = self;
        let (lanes, count) = (S::F32_LANES, of.channels * rows.len());
        let zero = simd.splat_f32s(0.0);
        for first in (0..count).step_by(lanes) {
            let filled = lanes.min(count - first);
            let mut kernel = [0.0; 27 * MAX_LANES];
            for lane in 0..filled {
                let (channel, row) = ((first + lane) / rows.len(), (first + lane) % rows.len());
                let from = &of.weights.data[(rows.start + row) * of.weights.out_channel
                    + channel * of.weights.source_channel..];
                for (i, tap) in of.taps.iter().enumerate() {
                    kernel[i * lanes + lane] = from[tap.weight];
                }
            }
            // SAFETY: `i < 27`, and `kernel` has place for 27 vectors.
            let g = |i: usize| unsafe { load(simd, kernel[i * lanes..].as_ptr()) };
            for (point, factors) in WEIGHTS.iter().enumerate() {
                let factors = factors.map(|f| simd.splat_f32s(f));
                let mut planes = [[zero; 4]; 3];
                for d in 0..3 {
                    let mut rows = [zero; 3];
                    for h in 0..3 {
                        let i = 9 * d + 3 * h;
                        let sum = simd.mul_add_e_f32s(
                            factors[1],
                            g(i + 1),
                            simd.mul_f32s(factors[2], g(i + 2)),
                        );
                        rows[h] = simd.mul_add_e_f32s(factors[0], g(i), sum);
                    }
                    planes[d] = weights(simd, rows);
                }
                for h in 0..4 {
                    let transformed = weights(simd, [planes[0][h], planes[1][h], planes[2][h]]);
                    for d in 0..4 {
                        let at = (point * PLANE_POINTS + d * 4 + h) * of.point()
                            + rows.start * of.channels
                            + first;
                        // SAFETY: `TransformWeights::block`'s caller has promised the room; the
                        // block ends at `count`.
                        unsafe { store_first(simd, to.ptr().add(at), transformed[d], filled) };
                    }
                }
            }
        }
    }
}
