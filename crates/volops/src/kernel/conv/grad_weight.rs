//! Gradients of dense convolutions with respect to their weights: for every pair of channels and
//! every kernel element the dot product, over all positions, of one tensor with a shifted other
//! one.
//!
//! Both tensors are packed tile by tile into the same flat order of positions (see
//! [`super::tile`]). The tiles are divided into a number of parts that depends on the shapes only;
//! each part is summed in order, then the parts are: the result does not depend on the number of
//! threads.

use pulp::{Simd, WithSimd};

use crate::kernel::conv::correlate::{KernelTap, Operand};
use crate::kernel::conv::microkernel::{Reduce, Run, next_rows};
use crate::kernel::conv::pack::{pack, pack_positions, positions_len};
use crate::kernel::conv::tile::{Axes, Tile, Tiling, is_pointwise};
use crate::kernel::conv::winograd::{self, grad_weight as winograd_grad_weight};
use crate::kernel::conv::{ConvSpec, all_taps, gather_axes, out_shape, out_shape_transpose};
use crate::kernel::parallel::threads::for_each;
use crate::kernel::parallel::{with_floats, worth_forking};
use crate::kernel::simd::{MAX_LANES, SharedOut, dispatch};
use crate::kernel::{Shape, numel};

/// Floats of both packed tiles: most of a level-2 cache.
const TILE_BUDGET: usize = 192 * 1024;

/// Column channels that are packed together when the kernel is large.
const COLUMN_CHANNELS: usize = 16;

/// Parts the tiles are divided into, if there are as many and the gradient is small.
const PARTS: usize = 16;

/// Most floats of all parts' partial gradients together.
const PARTIAL_BUDGET: usize = 4 << 20;

/// Vectors of positions a register tile sums before its row operand has to be fetched from beyond
/// the level-1 cache.
const VECTORS: usize = 48;

/// Gradient of [`conv3d`](super::conv3d) with respect to its weights, `[out_channels,
/// channels, kd, kh, kw]`, given the gradient `g` with respect to its output.
pub fn conv3d_grad_weight(
    x: &[f32],
    xs: Shape,
    g: &[f32],
    out_channels: usize,
    spec: ConvSpec,
) -> Vec<f32> {
    spec.check();
    let x = Operand { data: x, shape: xs, slope: spec.slope };
    let g = Operand { data: g, shape: out_shape(xs, out_channels, &spec), slope: None };
    if winograd::worth_for_weights(xs, out_channels, &spec) {
        return winograd_grad_weight::grad_weight(x, g);
    }
    WeightGradient { rows: g, columns: x, axes: gather_axes(xs, &spec), taps: all_taps(&spec) }
        .compute()
}

/// Gradient of [`conv_transpose3d`](super::conv_transpose3d) with respect to its weights,
/// `[channels, out_channels, kd, kh, kw]`.
pub fn conv_transpose3d_grad_weight(
    x: &[f32],
    xs: Shape,
    g: &[f32],
    out_channels: usize,
    spec: ConvSpec,
) -> Vec<f32> {
    spec.check();
    let gs = out_shape_transpose(xs, out_channels, &spec);
    WeightGradient {
        rows: Operand { data: x, shape: xs, slope: spec.slope },
        columns: Operand { data: g, shape: gs, slope: None },
        axes: gather_axes(gs, &spec),
        taps: all_taps(&spec),
    }
    .compute()
}

/// `[row channels, column channels, taps]`: sums over positions of a row channel times a shifted
/// column channel.
struct WeightGradient<'a> {
    /// The tensor that has one element per position.
    rows: Operand<'a>,
    /// The tensor that is read at every tap.
    columns: Operand<'a>,
    axes: Axes,
    taps: Vec<KernelTap>,
}

/// How the work is divided.
struct Plan {
    tiling: Tiling,
    /// Tiles of all batch entries.
    tiles: usize,
    parts: usize,
    /// Column channels of a work item.
    channels: usize,
}

impl WeightGradient<'_> {
    fn compute(&self) -> Vec<f32> {
        for operand in [&self.rows, &self.columns] {
            assert_eq!(
                operand.data.len(),
                numel(operand.shape),
                "a gradient's operand must have the shape {:?}",
                operand.shape
            );
        }
        let (row_channels, column_channels) = (self.rows.shape[1], self.columns.shape[1]);
        let len = row_channels * column_channels * self.taps.len();
        if self.rows.data.is_empty() || self.columns.data.is_empty() {
            return vec![0.0; len];
        }
        // At about 40 multiply-adds a nanosecond.
        let positions =
            self.axes.iter().map(|a| a.positions).product::<usize>() * self.rows.shape[0];
        let fork = worth_forking(len * positions / 40 + self.columns.data.len() / 2);
        let plan = self.plan(len, fork);
        let mut partial = vec![0.0; plan.parts * len];
        let out = SharedOut::new(partial.as_mut_ptr());
        let chunks = column_channels.div_ceil(plan.channels);
        let work = |item: usize| {
            let channels = item % chunks * plan.channels
                ..((item % chunks + 1) * plan.channels).min(column_channels);
            for index in (item / chunks..plan.tiles).step_by(plan.parts) {
                let tile = plan.tiling.tile(&self.axes, index % plan.tiling.tiles());
                let packed = channels.len() * tile.channel;
                // Every run is rounded up to whole vectors.
                let rows = positions_len(row_channels, tile.flat_len() + tile.len[0] * MAX_LANES);
                with_floats(packed + rows, |scratch| {
                    let (packed, rows) = scratch.split_at_mut(packed);
                    dispatch(TileSum {
                        of: self,
                        tile,
                        batch: index / plan.tiling.tiles(),
                        first: channels.start,
                        channels: channels.len(),
                        packed,
                        rows,
                        // SAFETY: parts are `len` apart, and `item / chunks < parts`.
                        out: SharedOut::new(unsafe { out.ptr().add(item / chunks * len) }),
                    });
                });
            }
        };
        if fork {
            for_each(plan.parts * chunks, work);
        } else {
            (0..plan.parts * chunks).for_each(work);
        }
        if plan.parts == 1 {
            return partial;
        }
        let mut sum = partial[..len].to_vec();
        for part in partial[len..].chunks_exact(len) {
            sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
        }
        sum
    }

    /// Adds the products of all row channels, `row_stride` floats apart, with the columns at these
    /// offsets, to the partial gradient `out`.
    ///
    /// # Safety
    /// All vectors of the runs must be inside `rows`, in every row, and inside `columns`, at every
    /// offset; nobody else may use the columns of `out`, of which there must be as many as
    /// offsets.
    #[inline(always)]
    unsafe fn add<S: Simd>(
        &self,
        simd: S,
        (rows, row_stride): (&[f32], usize),
        columns: &[f32],
        runs: &[Run],
        offsets: &[usize],
        out: SharedOut,
    ) {
        let row_channels = self.rows.shape[1];
        let out_row = self.columns.shape[1] * self.taps.len();
        let mut row = 0;
        while row < row_channels {
            let count = next_rows(row_channels - row, Reduce::max_rows::<S>());
            for runs in blocks(runs) {
                let kernel = Reduce {
                    row: rows[row * row_stride..].as_ptr(),
                    row_stride,
                    column: columns.as_ptr(),
                    runs,
                    // SAFETY: inside the partial gradient, which has `out_row` columns.
                    out: unsafe { out.ptr().add(row * out_row) },
                    out_row,
                };
                // SAFETY: the caller's promise.
                unsafe { kernel.run(simd, count, offsets) };
            }
            row += count;
        }
    }

    fn plan(&self, len: usize, fork: bool) -> Plan {
        let [row_channels, column_channels] = [self.rows.shape[1], self.columns.shape[1]];
        // With a large kernel it pays to pack the rows again for every few column channels, because
        // tiles can be larger then.
        let together = if self.taps.len() >= 9 {
            column_channels.min(COLUMN_CHANNELS)
        } else {
            column_channels
        };
        let tiling = Tiling::new(&self.axes, together, row_channels, TILE_BUDGET);
        let tiles = tiling.tiles() * self.rows.shape[0];
        let parts = PARTS.min(tiles).min((PARTIAL_BUDGET / len).max(1));
        // The division into chunks of column channels changes no sum: it may follow the number of
        // threads.
        let threads = if fork { rayon::current_num_threads() } else { 1 };
        let fewest = column_channels.div_ceil(together);
        // Time until the last thread is done, in units of all the work, with 4 % for packing the
        // rows once more.
        let time =
            |chunks: usize| (parts * chunks).div_ceil(threads) * (1000 + 40 * chunks) / chunks;
        let most = column_channels.min(fewest.max(2 * threads));
        let chunks = (fewest..=most).min_by_key(|&chunks| time(chunks)).unwrap_or(fewest);
        Plan { tiling, tiles, parts, channels: column_channels.div_ceil(chunks) }
    }
}

/// Adds the products of one tile, for some of the column channels, to a partial gradient.
struct TileSum<'a> {
    of: &'a WeightGradient<'a>,
    tile: Tile,
    batch: usize,
    first: usize,
    channels: usize,
    packed: &'a mut [f32],
    rows: &'a mut [f32],
    out: SharedOut,
}

impl WithSimd for TileSum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, mut tile, batch, first, channels, packed, rows, out } = self;
        let lanes = S::F32_LANES;
        let volume = of.columns.shape[2..].iter().product::<usize>();
        let columns = &of.columns.entry(batch)[first * volume..][..channels * volume];
        // SAFETY: inside the partial gradient.
        let out = SharedOut::new(unsafe { out.ptr().add(first * of.taps.len()) });

        // Runs of at most `VECTORS` vectors.
        let cut = |column: usize, row: usize, vectors: usize| {
            let run = move |v| Run {
                column: column + v * lanes,
                row: row + v * lanes,
                vectors: VECTORS.min(vectors - v),
            };
            (0..vectors).step_by(VECTORS).map(run)
        };

        if is_pointwise(&of.axes)
            && of.rows.slope.is_none()
            && of.columns.slope.is_none()
            && tile.len[2] >= lanes
        {
            // Straight from both tensors, up to what is less than a vector.
            let (start, vectors) = (tile.start[2], tile.len[2] / lanes);
            let runs: Vec<Run> = cut(0, 0, vectors).collect();
            let offsets: Vec<usize> = (0..channels).map(|c| c * volume).collect();
            // SAFETY: whole vectors of the tile's positions, in channels of both tensors; these
            // columns belong to this work item.
            unsafe {
                of.add(
                    simd,
                    (&of.rows.entry(batch)[start..], volume),
                    &columns[start..],
                    &runs,
                    &offsets,
                    out,
                )
            };
            let done = vectors * lanes;
            if done == tile.len[2] {
                return;
            }
            tile = Tile::new(&of.axes, [0, 0, start + done], [1, 1, tile.len[2] - done]);
        }
        let tile = &tile;

        // Runs are rounded up to whole vectors with zero rows.
        let mut runs: Vec<Run> = Vec::new();
        let mut row_stride = 0;
        let mut starts = Vec::new();
        for range in tile.runs(lanes) {
            starts.push((range.start, row_stride));
            let vectors = range.len().div_ceil(lanes);
            runs.extend(cut(range.start, row_stride, vectors));
            row_stride += vectors * lanes;
        }
        let offsets: Vec<usize> = (0..channels)
            .flat_map(|c| of.taps.iter().map(move |t| (c, t)))
            .map(|(c, t)| c * tile.channel + tile.tap_offset(&of.axes, t.at))
            .collect();

        pack(simd, columns, &of.axes, tile, of.columns.slope, packed);
        pack_positions(
            simd,
            of.rows.entry(batch),
            &of.axes,
            tile,
            of.rows.slope,
            &starts,
            row_stride,
            rows,
        );
        // SAFETY: runs cover the packed rows; runs and offsets together stay inside the packed
        // columns (see `Tile::new`); these columns belong to this work item.
        unsafe { of.add(simd, (rows, row_stride), packed, &runs, &offsets, out) };
    }
}

/// Consecutive runs, about [`VECTORS`] vectors at a time.
fn blocks(runs: &[Run]) -> impl Iterator<Item = &[Run]> {
    let mut rest = runs;
    std::iter::from_fn(move || {
        let mut vectors = 0;
        let count = rest.iter().take_while(|run| {
            vectors += run.vectors;
            vectors <= VECTORS
        });
        let (now, later) = rest.split_at(count.count());
        rest = later;
        (!now.is_empty()).then_some(now)
    })
}
