//! The driver shared by everything that is a correlation with few taps: the forward convolution,
//! its gradient with respect to the input, the transposed convolution and its gradient with respect
//! to the input.
//!
//! The output is cut into boxes of positions; a work item packs the source elements its box needs
//! (see [`super::pack`]), lets the microkernel fill a buffer laid out like the packed rows, and
//! copies the rows to the output.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::kernel::conv::microkernel::{Correlate, MAX_ROWS, Tap, next_rows};
use crate::kernel::conv::pack::pack;
use crate::kernel::conv::tile::{Axes, Tile, Tiling, is_pointwise};
use crate::kernel::parallel::threads::for_each;
use crate::kernel::parallel::{makespan, with_floats, worth_forking};
use crate::kernel::simd::shuffle::interleave;
use crate::kernel::simd::{
    MAX_LANES, SharedOut, dispatch, leaky_select, load, load_first, store, store_first,
};
use crate::kernel::{Shape, numel};

/// Floats of a packed tile and its results: half of a level-2 cache, the rest of which weights
/// need.
const TILE_BUDGET: usize = 128 * 1024;

/// The weights of a correlation, as views into the tensor the user holds: no copy is made.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    /// From the first weight on.
    pub data: &'a [f32],
    /// Elements between output channels.
    pub out_channel: usize,
    /// Elements between source channels.
    pub source_channel: usize,
}

/// One kernel element: the tap along each axis (see [`super::tile::Axis`]) and its place in the
/// kernel's weights.
#[derive(Clone, Copy, Debug)]
pub struct KernelTap {
    /// The tap along depth, height and width.
    pub at: [usize; 3],
    /// Index among the kernel's weights.
    pub weight: usize,
}

/// A tensor that is packed.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    /// All elements.
    pub data: &'a [f32],
    /// Of the tensor.
    pub shape: Shape,
    /// Slope of a LeakyReLU applied while packing.
    pub slope: Option<f32>,
}

impl<'a> Operand<'a> {
    /// One batch entry.
    pub fn entry(&self, index: usize) -> &'a [f32] {
        let len = self.shape[1..].iter().product::<usize>();
        &self.data[index * len..][..len]
    }
}

/// A correlation. Along an axis of `step` 1 the position `p` is the output index. Along one of
/// `step` 2 the output index is `2 p + phase`. Every combination of phases (depth slowest) has a set
/// of taps.
pub struct Correlation<'a> {
    /// What is correlated.
    pub source: Operand<'a>,
    /// Channels of the result.
    pub out_channels: usize,
    /// These may describe the source's volume as one long row.
    pub axes: Axes,
    /// What it is correlated with.
    pub weights: Weights<'a>,
    /// One set for each combination of phases.
    pub taps: Vec<Vec<KernelTap>>,
    /// 1 or 2 along each axis.
    pub step: [usize; 3],
    /// Extent of the output along each axis.
    pub out: [usize; 3],
    /// The output is multiplied by the derivative of a LeakyReLU of this slope at these values
    /// (shaped like the output).
    pub derivative: Option<(&'a [f32], f32)>,
}

impl Correlation<'_> {
    /// `[batch, out_channels, out...]`
    pub fn compute(&self) -> Vec<f32> {
        assert_eq!(
            self.source.data.len(),
            numel(self.source.shape),
            "a source must have the shape {:?}",
            self.source.shape
        );
        let len = self.source.shape[0] * self.out_channels * self.out.iter().product::<usize>();
        assert!(
            self.derivative.is_none_or(|(x, _)| x.len() == len),
            "a derivative must have the shape of the output"
        );
        if self.source.data.is_empty() {
            return vec![0.0; len];
        }
        let mut out = Vec::with_capacity(len);
        if len > 0 {
            self.fill(SharedOut::new(out.as_mut_ptr()));
        }
        // SAFETY: the work items of `fill` write every row of every channel of every batch entry.
        unsafe { out.set_len(len) };
        out
    }

    fn fill(&self, out: SharedOut) {
        let Division { tiling, chunks, threads } = self.divide();
        let blocks = self.out_channels.div_ceil(MAX_ROWS).div_ceil(chunks);
        let work = |item: usize| {
            let (chunk, tile) = (item % chunks, item / chunks % tiling.tiles());
            let tile = tiling.tile(&self.axes, tile);
            let channels =
                chunk * blocks * MAX_ROWS..((chunk + 1) * blocks * MAX_ROWS).min(self.out_channels);
            let packed = self.source.shape[1] * tile.channel;
            let results = self.step[2] * MAX_ROWS * (tile.flat_len() + MAX_LANES);
            with_floats(packed + results, |scratch| {
                let (packed, results) = scratch.split_at_mut(packed);
                let batch = item / chunks / tiling.tiles();
                dispatch(Item { of: self, tile, batch, channels, packed, results, out });
            });
        };
        let items = self.source.shape[0] * tiling.tiles() * chunks;
        if threads == 1 {
            (0..items).for_each(work);
        } else {
            for_each(items, work);
        }
    }

    /// Finds the division of the work that should be done first. It does not influence the results.
    fn divide(&self) -> Division {
        let [batch, channels, ..] = self.source.shape;
        let taps: usize = self.taps.iter().map(Vec::len).sum();
        let blocks = self.out_channels.div_ceil(MAX_ROWS);
        let results = if is_pointwise(&self.axes) {
            0
        } else {
            self.step[2] * MAX_ROWS.min(self.out_channels)
        };
        let tiling = Tiling::new(&self.axes, channels, results, TILE_BUDGET);
        // Nanoseconds of an item, from measured rates: 40 multiply-adds and 2 packed elements in a
        // nanosecond.
        let item = |tiling: &Tiling, chunks: usize| {
            let tile = tiling.tile(&self.axes, 0);
            let rows = (blocks.div_ceil(chunks) * MAX_ROWS).min(self.out_channels);
            1000 + tile.len.iter().product::<usize>() * taps * channels * rows / 40
                + tile.channel * channels / 2
        };
        let serial = Division { tiling, chunks: 1, threads: 1 };
        if !worth_forking(batch * tiling.tiles() * item(&tiling, 1)) {
            return serial;
        }
        let threads = rayon::current_num_threads();
        let tilings = [1, threads, 2 * threads, 4 * threads]
            .map(|n| tiling.at_least(&self.axes, n.div_ceil(batch)));
        let divisions = tilings.into_iter().flat_map(|tiling| {
            let counts = [1, 2, 4, 8].into_iter().filter(|&chunks| chunks <= blocks);
            // No chunk may be empty.
            let counts = counts.map(|chunks| blocks.div_ceil(blocks.div_ceil(chunks)));
            counts.map(move |chunks| Division { tiling, chunks, threads })
        });
        let time = |d: &Division| {
            makespan(batch * d.tiling.tiles() * d.chunks, threads, item(&d.tiling, d.chunks))
        };
        divisions.min_by_key(time).unwrap_or(serial)
    }
}

/// How the work is divided into items: tiles times chunks of output channels.
struct Division {
    tiling: Tiling,
    chunks: usize,
    threads: usize,
}

/// One tile of one batch entry, for some of the output channels.
struct Item<'a> {
    of: &'a Correlation<'a>,
    tile: Tile,
    batch: usize,
    channels: Range<usize>,
    packed: &'a mut [f32],
    results: &'a mut [f32],
    out: SharedOut,
}

impl WithSimd for Item<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, tile, batch, channels, packed, results, out } = self;
        let tile = &tile;
        let source_channels = of.source.shape[1];
        if is_pointwise(&of.axes) && of.step == [1; 3] && tile.len[2] >= S::F32_LANES {
            let source = of.source.entry(batch);
            let source = if of.source.slope.is_some() {
                pack(simd, source, &of.axes, tile, of.source.slope, packed);
                (&*packed, tile.channel)
            } else {
                (&source[tile.start[2]..], of.axes[2].positions)
            };
            return pointwise(simd, of, tile, source, batch, channels, out);
        }
        let starts: Vec<usize> =
            tile.runs(S::F32_LANES).into_iter().flat_map(|r| r.step_by(S::F32_LANES)).collect();
        let taps: Vec<Vec<Tap>> = of
            .taps
            .iter()
            .map(|set| {
                set.iter()
                    .map(|t| Tap { source: tile.tap_offset(&of.axes, t.at), weight: t.weight })
                    .collect()
            })
            .collect();
        let out_row = tile.flat_len() + MAX_LANES;
        pack(simd, of.source.entry(batch), &of.axes, tile, of.source.slope, packed);
        let mut first = channels.start;
        while first < channels.end {
            let rows = next_rows(channels.end - first, Correlate::max_rows::<S>());
            for (phase, sets) in taps.chunks(of.step[2]).enumerate() {
                for (set, results) in sets.iter().zip(results.chunks_exact_mut(MAX_ROWS * out_row))
                {
                    let kernel = Correlate {
                        source: packed.as_ptr(),
                        source_channel: tile.channel,
                        channels: source_channels,
                        weight: of.weights.data[first * of.weights.out_channel..].as_ptr(),
                        weight_row: of.weights.out_channel,
                        weight_channel: of.weights.source_channel,
                        taps: set,
                        out: results.as_mut_ptr(),
                        out_row,
                        derivative: None,
                    };
                    // SAFETY: whole vectors from positions plus tap offsets stay inside a packed
                    // channel (see `Tile::new`); weights were checked by
                    // `conv`; a row of results has room for one vector past the last position.
                    unsafe { kernel.run(simd, rows, &starts) };
                }
                for m in 0..rows {
                    let mut halves = results
                        .chunks_exact(MAX_ROWS * out_row)
                        .map(|r| &r[m * out_row..(m + 1) * out_row]);
                    let results = if sets.iter().all(Vec::is_empty) {
                        Results::Zero
                    } else if of.step[2] == 1 {
                        Results::Rows(halves.next().unwrap_or_default())
                    } else {
                        Results::Interleaved(
                            halves.next().unwrap_or_default(),
                            halves.next().unwrap_or_default(),
                        )
                    };
                    let channel = batch * of.out_channels + first + m;
                    let phase = [phase / of.step[1], phase % of.step[1]];
                    write_channel(simd, of, tile, channel, phase, results, out);
                }
            }
            first += rows;
        }
    }
}

/// The case of one tap, without neighbours: straight from the source, or its packed channels, to
/// the output.
#[inline(always)]
fn pointwise<S: Simd>(
    simd: S,
    of: &Correlation,
    tile: &Tile,
    (source, source_channel): (&[f32], usize),
    batch: usize,
    channels: Range<usize>,
    out: SharedOut,
) {
    let (lanes, len) = (S::F32_LANES, tile.len[2]);
    let volume = of.axes[2].positions;
    let taps = [Tap { source: 0, weight: 0 }];
    // The last vector ends with the tile: it computes some positions of the one before it again.
    let starts: Vec<usize> = (0..len - lanes).step_by(lanes).chain([len - lanes]).collect();
    let mut first = channels.start;
    while first < channels.end {
        let rows = next_rows(channels.end - first, Correlate::max_rows::<S>());
        let row = (batch * of.out_channels + first) * volume + tile.start[2];
        let kernel = Correlate {
            source: source.as_ptr(),
            source_channel,
            channels: of.source.shape[1],
            weight: of.weights.data[first * of.weights.out_channel..].as_ptr(),
            weight_row: of.weights.out_channel,
            weight_channel: of.weights.source_channel,
            taps: &taps,
            // SAFETY: this batch entry's row `first`, at the tile's first position.
            out: unsafe { out.ptr().add(row) },
            out_row: volume,
            derivative: of.derivative.map(|(x, slope)| (x[row..].as_ptr(), slope)),
        };
        // SAFETY: all vectors lie inside the tile's positions, which are inside the source and
        // belong to this work item in the output.
        unsafe { kernel.run(simd, rows, &starts) };
        first += rows;
    }
}

/// What the microkernel has left of one output channel and phase, in the flat order of positions.
#[derive(Clone, Copy)]
enum Results<'a> {
    /// Step 1 along the width.
    Rows(&'a [f32]),
    /// Step 2 along the width: even columns and odd columns of the output.
    Interleaved(&'a [f32], &'a [f32]),
    /// No taps.
    Zero,
}

/// Copies one channel of the tile to the output; `channel` counts through the batch, `phase` is
/// that of depth and height.
#[inline(always)]
fn write_channel<S: Simd>(
    simd: S,
    of: &Correlation,
    tile: &Tile,
    channel: usize,
    phase: [usize; 2],
    results: Results,
    out: SharedOut,
) {
    let [depth, height, width] = of.out;
    let step = of.step;
    let w0 = step[2] * tile.start[2];
    let count = (step[2] * tile.len[2]).min(width - w0);
    let len = tile.flat_len();
    for d in 0..tile.len[0] {
        for h in 0..tile.len[1] {
            let at = [
                step[0] * (tile.start[0] + d) + phase[0],
                step[1] * (tile.start[1] + h) + phase[1],
            ];
            if at[0] >= depth || at[1] >= height {
                continue;
            }
            let first = ((channel * depth + at[0]) * height + at[1]) * width + w0;
            let derivative = of.derivative.map(|(x, slope)| (&x[first..first + count], slope));
            let row = tile.row(d, h);
            // SAFETY: the row lies inside the output; no other work item has this tile of this
            // batch entry.
            let to = unsafe { std::slice::from_raw_parts_mut(out.ptr().add(first), count) };
            match results {
                Results::Zero => to.fill(0.0),
                Results::Rows(from) => write_row(simd, to, &from[row..len + MAX_LANES], derivative),
                Results::Interleaved(even, odd) => {
                    for i in (0..count).step_by(2 * S::F32_LANES) {
                        let (even, odd) = (
                            &even[row + i / 2..len + MAX_LANES],
                            &odd[row + i / 2..len + MAX_LANES],
                        );
                        assert!(even.len() >= S::F32_LANES);
                        // SAFETY: at least a vector is left, as the assertion says.
                        let pairs = unsafe {
                            interleave(simd, load(simd, even.as_ptr()), load(simd, odd.as_ptr()))
                        };
                        let end = count.min(i + 2 * S::F32_LANES);
                        let derivative = derivative.map(|(x, slope)| (&x[i..end], slope));
                        write_row(simd, &mut to[i..end], bytemuck::cast_slice(&pairs), derivative);
                    }
                }
            }
        }
    }
}

/// `to = from`, times the derivative of a LeakyReLU; `from` goes on to the end of `to`'s last
/// vector.
#[inline(always)]
pub fn write_row<S: Simd>(
    simd: S,
    to: &mut [f32],
    from: &[f32],
    derivative: Option<(&[f32], f32)>,
) {
    let (lanes, count) = (S::F32_LANES, to.len());
    assert!(count.next_multiple_of(lanes) <= from.len());
    assert!(derivative.is_none_or(|(x, _)| x.len() == count));
    let (from, to) = (from.as_ptr(), to.as_mut_ptr());
    let mut done = 0;
    // SAFETY: `from` is long enough for whole vectors; `to` and `x` are touched in whole vectors
    // only where `lanes` elements are left.
    unsafe {
        while done + lanes <= count {
            let mut value = load(simd, from.add(done));
            if let Some((x, slope)) = derivative {
                value = leaky_select(
                    simd,
                    load(simd, x.as_ptr().add(done)),
                    value,
                    simd.splat_f32s(slope),
                );
            }
            store(simd, to.add(done), value);
            done += lanes;
        }
        if done < count {
            let mut value = load(simd, from.add(done));
            if let Some((x, slope)) = derivative {
                let x = load_first(simd, x.as_ptr().add(done), count - done);
                value = leaky_select(simd, x, value, simd.splat_f32s(slope));
            }
            store_first(simd, to.add(done), value, count - done);
        }
    }
}
