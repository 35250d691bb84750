//! Gradient of the dense 3x3x3 convolution of stride 1 with respect to its weights by minimal
//! filtering: the adjoint of what [`super`] computes, `G^T [sum over tiles of (A g) *
//! (B^T x)]`.
//!
//! For each of the 96 points the sum over tiles is a product of two matrices, `[out_channels,
//! tiles]` and `[tiles, channels]`. The boxes of tiles are divided into parts by the shapes only;
//! each part is summed in order, then the parts are: the result does not depend on the number of
//! threads.

use pulp::{Simd, WithSimd};

use crate::kernel::conv::correlate::Operand;
use crate::kernel::conv::microkernel::{Reduce, Run, next_rows};
use crate::kernel::conv::tile::{Axes, Tile};
use crate::kernel::conv::winograd::adjoint::{
    CombineInput, CombineSpread, INPUT, SPREAD, SpreadWidth, weight_gradient,
};
use crate::kernel::conv::winograd::pack::{even_cuts, pack, pack_scratch, tile_axes};
use crate::kernel::conv::winograd::transform::{OUTPUTS, PLANE_POINTS, POINTS};
use crate::kernel::numel;
use crate::kernel::parallel::threads::for_each;
use crate::kernel::parallel::with_floats;
use crate::kernel::simd::{MAX_LANES, SharedOut, copy, dispatch, load_first};

/// Parts of the sum over all boxes, if there are as many and the gradient is small.
const PARTS: usize = 4;

/// Most floats of all parts' partial sums together.
const PARTIAL_BUDGET: usize = 4 << 20;

/// Most vectors of tiles that are summed at a time: a register tile's rows of them fit in the
/// level-1 cache.
const VECTORS: usize = 48;

/// Floats of transformed tensors at a time, for four points: they should stay in the level-2 cache.
const POINTS_BUDGET: usize = 192 * 1024;

/// Floats of a box's packed tensors: beyond that they take too much of a shared cache.
const BOX_BUDGET: usize = 1 << 20;

/// `[out_channels, channels, 3, 3, 3]`, given the input `x` and the gradient `g` with respect to
/// the output of the convolution. Faster than the direct kernel where
/// [`super::worth_for_weights`] says so.
pub fn grad_weight(x: Operand, g: Operand) -> Vec<f32> {
    for operand in [&x, &g] {
        assert_eq!(
            operand.data.len(),
            numel(operand.shape),
            "a gradient's operand must have the shape {:?}",
            operand.shape
        );
    }
    assert!(
        x.shape[0] == g.shape[0] && x.shape[2..] == g.shape[2..],
        "a convolution of stride 1 keeps the shape {:?}",
        x.shape
    );
    let [batch, channels, ..] = x.shape;
    if x.data.is_empty() || g.data.is_empty() {
        return vec![0.0; 27 * channels * g.shape[1]];
    }
    let axes = tile_axes(x.shape);
    let len = box_len(&axes, batch, channels, g.shape[1]);
    WeightGradient { x, g, axes, len }.compute()
}

struct WeightGradient<'a> {
    x: Operand<'a>,
    g: Operand<'a>,
    /// Of tiles.
    axes: Axes,
    /// Tiles of a box along depth and height.
    len: [usize; 2],
}

/// Finds the size of box that should be done first, for any number of threads.
fn box_len(axes: &Axes, batch: usize, channels: usize, out_channels: usize) -> [usize; 2] {
    let mut best = (usize::MAX, [1, 1]);
    for d in even_cuts(axes[0].positions) {
        for h in even_cuts(axes[1].positions) {
            let tile = Tile::new(axes, [0; 3], [d, h, axes[2].positions]);
            let boxes = batch * axes[0].positions.div_ceil(d) * axes[1].positions.div_ceil(h);
            let vectors = tile.flat_len().div_ceil(MAX_LANES);
            // Nanoseconds of a box, from measured rates; for each group of vectors the sums have to
            // be fetched.
            let products = (vectors + 8 * vectors.div_ceil(most_vectors(channels + out_channels)))
                * PLANE_POINTS
                * POINTS
                * channels
                * out_channels
                / 3;
            let transforms =
                vectors * 400 * (channels + out_channels) + OUTPUTS * tile.channel * channels / 2;
            let packed =
                POINTS * (channels * tile.channel + out_channels * gradient_channel(&tile));
            let time = boxes * (1000 + products + transforms + packed.saturating_sub(BOX_BUDGET));
            if time < best.0 {
                best = (time, [d, h]);
            }
        }
    }
    best.1
}

/// Elements of a channel of the packed gradient, per point.
fn gradient_channel(tile: &Tile) -> usize {
    4 * parity_len(tile)
}

/// Elements of it that have the same parity of depth and height: whole vectors.
fn parity_len(tile: &Tile) -> usize {
    tile.flat_len().next_multiple_of(MAX_LANES) + MAX_LANES
}

/// Most vectors of tiles that are summed at a time.
fn most_vectors(channels: usize) -> usize {
    (POINTS_BUDGET / (4 * channels * MAX_LANES)).clamp(1, VECTORS)
}

impl WeightGradient<'_> {
    fn compute(&self) -> Vec<f32> {
        let [batch, channels, ..] = self.x.shape;
        let out_channels = self.g.shape[1];
        let count = [0, 1].map(|a| self.axes[a].positions.div_ceil(self.len[a]));
        let boxes = batch * count[0] * count[1];
        let pairs = channels * out_channels;
        let len = PLANE_POINTS * POINTS * pairs;
        let parts = PARTS.min(boxes).min((PARTIAL_BUDGET / len).max(1));
        let mut partial = vec![0.0; parts * len];
        let out = SharedOut::new(partial.as_mut_ptr());
        // The division into chunks of channels changes no sum: it may follow the number of threads.
        let threads = rayon::current_num_threads();
        let chunk = channels.div_ceil(threads.div_ceil(parts).min(channels));
        let chunks = channels.div_ceil(chunk);
        let work = |item: usize| {
            let (part, first) = (item / chunks, item % chunks * chunk);
            for index in (part..boxes).step_by(parts) {
                let at = [index / count[1] % count[0], index % count[1]];
                let start = [0, 1].map(|a| at[a] * self.len[a]);
                let size = [0, 1].map(|a| self.len[a].min(self.axes[a].positions - start[a]));
                let tile = Tile::new(
                    &self.axes,
                    [start[0], start[1], 0],
                    [size[0], size[1], self.axes[2].positions],
                );
                let all = channels + out_channels;
                let channels = chunk.min(channels - first);
                let sizes = [
                    channels * POINTS * tile.channel,
                    out_channels * POINTS * gradient_channel(&tile),
                    4 * (channels * most_vectors(all) + 1) * MAX_LANES,
                    4 * (out_channels * most_vectors(all) + 1) * MAX_LANES,
                    pack_scratch(&tile).max(OUTPUTS * gradient_channel(&tile) + MAX_LANES),
                ];
                with_floats(sizes.iter().sum(), |scratch| {
                    // SAFETY: parts are `len` apart.
                    let out = SharedOut::new(unsafe { out.ptr().add(part * len) });
                    dispatch(BoxSum {
                        of: self,
                        tile,
                        batch: index / (count[0] * count[1]),
                        first,
                        channels,
                        sizes,
                        scratch,
                        out,
                    });
                });
            }
        };
        for_each(parts * chunks, work);
        let mut result = vec![0.0; pairs * 27];
        let to = SharedOut::new(result.as_mut_ptr());
        for_each(out_channels, |row| {
            dispatch(Finish { partial: &partial, parts, channels, out_channels, row, to })
        });
        result
    }
}

/// Adds the products of one box, for some of the channels, to a partial sum.
struct BoxSum<'a> {
    of: &'a WeightGradient<'a>,
    tile: Tile,
    batch: usize,
    first: usize,
    channels: usize,
    sizes: [usize; 5],
    scratch: &'a mut [f32],
    /// `[POINTS, PLANE_POINTS, out_channels, all channels]`
    out: SharedOut,
}

impl WithSimd for BoxSum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, tile, batch, first, channels, sizes, scratch, out } = self;
        let (tile, lanes) = (&tile, S::F32_LANES);
        let [_, all_channels, depth, height, width] = of.x.shape;
        let out_channels = of.g.shape[1];
        let (x, scratch) = scratch.split_at_mut(sizes[0]);
        let (g, scratch) = scratch.split_at_mut(sizes[1]);
        let (columns, scratch) = scratch.split_at_mut(sizes[2]);
        let (rows, scratch) = scratch.split_at_mut(sizes[3]);
        let volume = depth * height * width;
        pack(
            simd,
            of.x,
            &of.x.entry(batch)[first * volume..][..channels * volume],
            &of.axes,
            tile,
            scratch,
            x,
        );
        pack_gradient(simd, of.g, batch, tile, scratch, g);
        let vectors = tile.flat_len().div_ceil(lanes);
        let most = most_vectors(all_channels + out_channels) * MAX_LANES / lanes;
        let group = vectors.div_ceil(vectors.div_ceil(most));
        let parity = parity_len(tile);
        let places =
            [0, 1, 2, 3].map(|d| [0, 1, 2, 3].map(|h| tile.tap_offset(&of.axes, [d, h, 0])));
        for v in (0..vectors).step_by(group) {
            let vectors = group.min(vectors - v);
            let (start, stride) = (v * lanes, vectors * lanes);
            // A vector more, lest all points meet in the same sets of the cache.
            let (column_point, row_point) =
                (channels * stride + MAX_LANES, out_channels * stride + MAX_LANES);
            let offsets: Vec<usize> = (0..channels).map(|c| c * stride).collect();
            for (point, d) in (0..POINTS).flat_map(|point| (0..4).map(move |d| (point, d))) {
                // SAFETY of the pointers below: whole vectors from positions plus tap offsets stay
                // inside a packed channel (see `Tile::new`), those of the gradient
                // inside their parity; a point of `columns` and `rows` has place for all channels.
                let (planes, sign) = INPUT[d];
                for c in 0..channels {
                    let x = &x[(c * POINTS + point) * tile.channel + start..];
                    let from = planes.map(|d| places[d].map(|at| x[at..].as_ptr()));
                    simd.vectorize(CombineInput {
                        from,
                        sign,
                        vectors,
                        to: columns[c * stride..].as_mut_ptr(),
                        point: column_point,
                    });
                }
                for o in 0..out_channels {
                    let g = &g[(o * POINTS + point) * 4 * parity + start..];
                    let from =
                        [[0, 1], [2, 3]].map(|plane| plane.map(|i| g[i * parity..].as_ptr()));
                    let to = rows[o * stride..].as_mut_ptr();
                    simd.vectorize(CombineSpread {
                        from,
                        factors: SPREAD[d],
                        vectors,
                        to,
                        point: row_point,
                    });
                }
                for h in 0..4 {
                    let at =
                        (point * PLANE_POINTS + 4 * d + h) * out_channels * all_channels + first;
                    let mut o = 0;
                    while o < out_channels {
                        let count = next_rows(out_channels - o, Reduce::max_rows::<S>());
                        let kernel = Reduce {
                            row: rows[h * row_point + o * stride..].as_ptr(),
                            row_stride: stride,
                            column: columns[h * column_point..].as_ptr(),
                            runs: &[Run { column: 0, row: 0, vectors }],
                            // SAFETY: inside the partial sum.
                            out: unsafe { out.ptr().add(at + o * all_channels) },
                            out_row: all_channels,
                        };
                        // SAFETY: rows and columns have `stride` elements each; these channels of
                        // the partial sum belong to this item.
                        unsafe { kernel.run(simd, count, &offsets) };
                        o += count;
                    }
                }
            }
        }
    }
}

/// Packs the gradient in a box, `[out_channels, POINTS, 2 * 2, parity_len]`: split by the parity of
/// depth and height, in the flat order of tiles, zeros between rows, and transformed along the
/// width.
#[inline(always)]
fn pack_gradient<S: Simd>(
    simd: S,
    g: Operand,
    batch: usize,
    tile: &Tile,
    scratch: &mut [f32],
    to: &mut [f32],
) {
    let [_, _, depth, height, width] = g.shape;
    let parity = parity_len(tile);
    let raw = &mut scratch[..OUTPUTS * 4 * parity + MAX_LANES];
    // What no row covers stays zero.
    raw.fill(0.0);
    let end = [
        (2 * tile.len[0]).min(depth - 2 * tile.start[0]),
        (2 * tile.len[1]).min(height - 2 * tile.start[1]),
    ];
    for (channel, to) in g
        .entry(batch)
        .chunks_exact(depth * height * width)
        .zip(to.chunks_exact_mut(POINTS * 4 * parity))
    {
        for d in 0..end[0] {
            for h in 0..end[1] {
                let from = ((2 * tile.start[0] + d) * height + 2 * tile.start[1] + h) * width;
                let at = OUTPUTS * ((2 * (d % 2) + h % 2) * parity + tile.row(d / 2, h / 2));
                copy(simd, &channel[from..from + width], g.slope, &mut raw[at..]);
            }
        }
        simd.vectorize(SpreadWidth {
            tiles: 4 * parity,
            from: raw.as_ptr(),
            to: to.as_mut_ptr(),
            point: 4 * parity,
        });
    }
}

/// Sums the parts and transforms the sums, for one output channel.
struct Finish<'a> {
    partial: &'a [f32],
    parts: usize,
    channels: usize,
    out_channels: usize,
    row: usize,
    to: SharedOut,
}

impl WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { partial, parts, channels, out_channels, row, to } = self;
        let lanes = S::F32_LANES;
        let len = partial.len() / parts;
        // SAFETY: inside the gradient, whose rows have `27 * channels` elements; nobody else has
        // this row.
        let to = unsafe {
            std::slice::from_raw_parts_mut(to.ptr().add(row * channels * 27), channels * 27)
        };
        for (i, to) in to.chunks_mut(27 * lanes).enumerate() {
            let count = to.len() / 27;
            let mut sums = [simd.splat_f32s(0.0); POINTS * PLANE_POINTS];
            for (point, sum) in sums.iter_mut().enumerate() {
                for part in partial.chunks_exact(len) {
                    let from =
                        &part[(point * out_channels + row) * channels + i * lanes..][..count];
                    // SAFETY: `from` has `count` elements.
                    *sum = simd.add_f32s(*sum, unsafe { load_first(simd, from.as_ptr(), count) });
                }
            }
            let result = weight_gradient(simd, &sums);
            let result: &[f32] = bytemuck::cast_slice(&result);
            for (lane, to) in to.chunks_exact_mut(27).enumerate() {
                for (t, to) in to.iter_mut().enumerate() {
                    *to = result[t * lanes + lane];
                }
            }
        }
    }
}
