//! Dense 3x3x3 convolution of stride 1 by minimal filtering, after Lavin and Gray, "Fast Algorithms
//! for Convolutional Neural Networks" (CVPR 2016): a tile of `2 x 2 x 4` outputs of one channel
//! costs 96 multiplications for every source channel instead of 432.
//!
//! A work item is a box of tiles. Its source is packed and transformed along the width; then, for a
//! few vectors of tiles at a time and one point of the width at a time, it is transformed along
//! depth and height (16 points), multiplied with the transformed weights (16 products of small
//! matrices), and transformed back, into sums that stay in the cache until the last point. The
//! layout is that of [`super::tile`], with tiles in place of positions, in depth and height with a
//! stride of 2.
//!
//! The transforms are in [`transform`], with what they cost in accuracy.

mod adjoint;
pub(super) mod grad_weight;
mod pack;
mod transform;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::kernel::conv::ConvSpec;
use crate::kernel::conv::correlate::{KernelTap, Operand, Weights, write_row};
use crate::kernel::conv::microkernel::{Correlate, MAX_ROWS, Tap, next_rows};
use crate::kernel::conv::tile::{Axes, Tile};
use crate::kernel::conv::winograd::pack::{even_cuts, pack, pack_scratch, tile_axes};
use crate::kernel::conv::winograd::transform::{
    OUTPUTS, PLANE_POINTS, POINTS, TransformBack, TransformInput, TransformWeights,
};
use crate::kernel::parallel::threads::for_each;
use crate::kernel::parallel::{makespan, with_floats, worth_forking};
use crate::kernel::simd::{MAX_LANES, SharedOut, dispatch};
use crate::kernel::{Shape, numel};

/// Floats of an item's packed source and results: more than that spill from the level-2 cache.
const TILE_BUDGET: usize = 192 * 1024;

/// Least pairs of channels, least volume, and least number of multiplications per kernel element,
/// at which this is faster.
const LEAST_PAIRS: usize = 32;
const LEAST_VOLUME: usize = 512;
const LEAST_PRODUCTS: usize = 1 << 17;

/// Whether this does such a convolution, of a source of this shape, and is faster at it and its
/// input's gradient than the direct kernels.
///
/// From measurements: few channels leave too little to multiply for what the transforms cost, small
/// volumes do not fill vectors with tiles, and of an axis of one element a tile wastes half or
/// more.
pub fn worth(source: Shape, out_channels: usize, spec: &ConvSpec) -> bool {
    source[1] * out_channels >= LEAST_PAIRS && suits(source, out_channels, spec)
}

/// [`worth`] for the gradient of the weights. Where the direct kernel has 16 registers only, this
/// is faster with 4 x 4 channels too: it then takes 0.75 times as long, with 32 registers 1.3 to
/// 1.6 times.
pub fn worth_for_weights(source: Shape, out_channels: usize, spec: &ConvSpec) -> bool {
    suits(source, out_channels, spec)
        && (source[1] * out_channels >= LEAST_PAIRS || dispatch(MostRows) < MAX_ROWS)
}

fn suits([_, channels, depth, height, width]: Shape, out_channels: usize, spec: &ConvSpec) -> bool {
    let volume = depth * height * width;
    spec.kernel == [3, 3, 3]
        && spec.stride == [1; 3]
        && channels.min(out_channels) >= 4
        && depth.min(height).min(width) >= 2
        && volume >= LEAST_VOLUME
        && channels * out_channels * volume >= LEAST_PRODUCTS
}

/// Convolution of stride 1 with all 27 `taps` of a 3x3x3 kernel, which say where in the kernel's
/// weights each of its elements is, depth slowest. The result, `[batch, out_channels, depth,
/// height, width]`, is multiplied by the derivative of a LeakyReLU of the given slope at the given
/// values (shaped like the result).
pub fn correlate(
    source: Operand,
    weights: Weights,
    taps: &[KernelTap],
    out_channels: usize,
    derivative: Option<(&[f32], f32)>,
) -> Vec<f32> {
    let [batch, channels, depth, height, width] = source.shape;
    assert_eq!(
        source.data.len(),
        numel(source.shape),
        "a source must have the shape {:?}",
        source.shape
    );
    let len = batch * out_channels * depth * height * width;
    if source.data.is_empty() || len == 0 {
        return vec![0.0; len];
    }
    let most = dispatch(MostRows);
    let mut blocks = Vec::new();
    let mut first = 0;
    while first < out_channels {
        let rows = next_rows(out_channels - first, most);
        blocks.push(first..first + rows);
        first += rows;
    }
    let transform = TransformWeights { weights, taps, channels, out_channels };
    let mut transformed = Vec::with_capacity(transform.len());
    let to = SharedOut::new(transformed.as_mut_ptr());
    // SAFETY: the capacity is that asked for; each block is written once.
    let work = |i: usize| unsafe { transform.block(&blocks[i], to) };
    // At about 8 nanoseconds for a pair of channels.
    if worth_forking(8 * channels * out_channels) {
        for_each(blocks.len(), work)
    } else {
        (0..blocks.len()).for_each(work)
    }
    // SAFETY: the blocks are all the output channels.
    unsafe { transformed.set_len(transform.len()) };

    let mut out = Vec::with_capacity(len);
    Winograd {
        source,
        axes: tile_axes(source.shape),
        weights: &transformed,
        point: transform.point(),
        blocks,
        out_channels,
        derivative,
    }
    .fill(SharedOut::new(out.as_mut_ptr()));
    // SAFETY: the work items of `fill` write every row of every channel of every batch entry.
    unsafe { out.set_len(len) };
    out
}

/// Finds the register tile's number of rows, by which the weights are laid out.
struct MostRows;

impl WithSimd for MostRows {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        Correlate::max_rows::<S>()
    }
}

struct Winograd<'a> {
    source: Operand<'a>,
    /// Of tiles.
    axes: Axes,
    /// Transformed; see [`TransformWeights`].
    weights: &'a [f32],
    /// Floats between the weights of two points.
    point: usize,
    /// Output channels that are computed together.
    blocks: Vec<Range<usize>>,
    out_channels: usize,
    derivative: Option<(&'a [f32], f32)>,
}

/// How the work is divided: boxes of tiles times chunks of blocks.
#[derive(Clone, Copy)]
struct Division {
    /// Tiles of a box along depth and height; rows are not cut.
    len: [usize; 2],
    /// Blocks of a chunk.
    blocks: usize,
    threads: usize,
}

impl Winograd<'_> {
    fn fill(&self, out: SharedOut) {
        let [batch, channels, ..] = self.source.shape;
        let division = self.divide();
        let count = [0, 1].map(|a| self.axes[a].positions.div_ceil(division.len[a]));
        let chunks = self.blocks.len().div_ceil(division.blocks);
        let work = |item: usize| {
            let (chunk, index) = (item % chunks, item / chunks);
            let at = [index / count[1] % count[0], index % count[1]];
            let start = [0, 1].map(|a| at[a] * division.len[a]);
            let len = [0, 1].map(|a| division.len[a].min(self.axes[a].positions - start[a]));
            let width = self.axes[2].positions;
            let tile = Tile::new(&self.axes, [start[0], start[1], 0], [len[0], len[1], width]);
            let blocks = &self.blocks
                [chunk * division.blocks..((chunk + 1) * division.blocks).min(self.blocks.len())];
            let sizes = Sizes::new(&tile, channels, blocks);
            with_floats(sizes.total(), |scratch| {
                dispatch(Item {
                    of: self,
                    tile,
                    batch: index / (count[0] * count[1]),
                    blocks,
                    sizes,
                    scratch,
                    out,
                });
            });
        };
        let items = batch * count[0] * count[1] * chunks;
        if division.threads == 1 { (0..items).for_each(work) } else { for_each(items, work) }
    }

    /// Finds the division that should be done first. It does not influence the results.
    fn divide(&self) -> Division {
        let [batch, channels, ..] = self.source.shape;
        let threads = rayon::current_num_threads();
        let mut chunkings = vec![self.blocks.len(), self.blocks.len().div_ceil(threads)];
        chunkings.dedup();
        let mut best = (usize::MAX, Division { len: [1, 1], blocks: self.blocks.len(), threads });
        for d in even_cuts(self.axes[0].positions) {
            for h in even_cuts(self.axes[1].positions) {
                let tile = Tile::new(&self.axes, [0; 3], [d, h, self.axes[2].positions]);
                let boxes =
                    batch * self.axes[0].positions.div_ceil(d) * self.axes[1].positions.div_ceil(h);
                for &blocks in &chunkings {
                    let rows = (blocks * self.blocks[0].len()).min(self.out_channels);
                    let sizes = Sizes::new(&tile, channels, &self.blocks[..blocks]);
                    // Nanoseconds of an item, from measured rates.
                    let products = sizes.vectors * PLANE_POINTS * POINTS * channels * rows / 3;
                    let transforms = sizes.vectors * (190 * channels + 140 * rows)
                        + OUTPUTS * tile.channel * channels / 2;
                    let spilled = (sizes.packed + sizes.results).saturating_sub(TILE_BUDGET);
                    let item = 1000 + products + transforms + spilled;
                    let items = boxes * self.blocks.len().div_ceil(blocks);
                    let time = makespan(items, threads, item);
                    if time < best.0 {
                        best = (time, Division { len: [d, h], blocks, threads });
                    }
                }
            }
        }
        best.1
    }
}

/// Floats of the parts of an item's scratch memory, and what determines them.
#[derive(Clone, Copy)]
struct Sizes {
    /// Vectors of tiles, of [`MAX_LANES`] lanes.
    vectors: usize,
    /// Vectors that are taken through all steps together.
    group: usize,
    /// The source, transformed along the width: `[channels, POINTS, tile.channel]`.
    packed: usize,
    /// Outputs, `[out_channels, 2 * 2, vectors, OUTPUTS, lanes]`, and a vector of slack after each
    /// volume.
    results: usize,
    /// Transformed source of one group and one point of the width: `[PLANE_POINTS, channels,
    /// group, lanes]`.
    source: usize,
    /// Products with it: `[PLANE_POINTS, MAX_ROWS, group, lanes]`.
    product: usize,
    /// For [`pack`].
    pack: usize,
}

impl Sizes {
    fn new(tile: &Tile, channels: usize, blocks: &[Range<usize>]) -> Self {
        let vectors =
            tile.runs(MAX_LANES).iter().map(|run| run.len().div_ceil(MAX_LANES)).sum::<usize>();
        // With more channels, half a level-2 cache holds fewer vectors.
        let group = if channels <= 64 { 6 } else { 3 };
        let rows = blocks.last().map_or(0, |b| b.end) - blocks.first().map_or(0, |b| b.start);
        Self {
            vectors,
            group,
            packed: channels * POINTS * tile.channel,
            results: rows * 4 * (vectors * OUTPUTS + 1) * MAX_LANES,
            source: PLANE_POINTS * (channels * group + 1) * MAX_LANES,
            product: PLANE_POINTS * (MAX_ROWS * group + 1) * MAX_LANES,
            pack: pack_scratch(tile),
        }
    }

    fn total(&self) -> usize {
        self.packed + self.results + self.source + self.product + self.pack
    }
}

/// One box of tiles of one batch entry, for some of the output channels.
struct Item<'a> {
    of: &'a Winograd<'a>,
    tile: Tile,
    batch: usize,
    blocks: &'a [Range<usize>],
    sizes: Sizes,
    scratch: &'a mut [f32],
    out: SharedOut,
}

impl WithSimd for Item<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, tile, batch, blocks, sizes, scratch, out } = self;
        let (tile, lanes) = (&tile, S::F32_LANES);
        let channels = of.source.shape[1];
        let (packed, scratch) = scratch.split_at_mut(sizes.packed);
        let (results, scratch) = scratch.split_at_mut(sizes.results);
        let (source, scratch) = scratch.split_at_mut(sizes.source);
        let (product, scratch) = scratch.split_at_mut(sizes.product);
        pack(simd, of.source, of.source.entry(batch), &of.axes, tile, scratch, packed);
        // Runs are stored one after the other, rounded up to whole vectors.
        let runs = tile.runs(lanes);
        let run = runs[0].len().next_multiple_of(lanes);
        let starts: Vec<usize> = runs.iter().cloned().flat_map(|r| r.step_by(lanes)).collect();
        let volume = OUTPUTS * starts.len() * lanes + MAX_LANES;
        let row = sizes.group * lanes;
        // A vector more, lest all points meet in the same sets of the cache.
        let (source_point, product_point) =
            (channels * row + MAX_LANES, MAX_ROWS * row + MAX_LANES);
        let columns: Vec<usize> = (0..sizes.group).map(|i| i * lanes).collect();
        let offsets =
            [0, 1, 2, 3].map(|d| [0, 1, 2, 3].map(|h| tile.tap_offset(&of.axes, [d, h, 0])));
        let first_channel = blocks[0].start;
        for (group, starts) in starts.chunks(sizes.group).enumerate() {
            for point in 0..POINTS {
                // SAFETY of the pointers below: all parts of the scratch memory have the sizes that
                // `Sizes` gives them. Whole vectors from positions plus tap offsets
                // stay inside a packed channel (see `Tile::new`); the products of a point take
                // `product_point` floats, and its transformed source takes
                // `source_point`; a volume has place for the outputs of every vector of tiles.
                for c in 0..channels {
                    let from = packed[(c * POINTS + point) * tile.channel..].as_ptr();
                    let to = source[c * row..].as_mut_ptr();
                    simd.vectorize(TransformInput {
                        offsets: &offsets,
                        starts,
                        from,
                        to,
                        point: source_point,
                    });
                }
                for block in blocks {
                    let rows = block.len();
                    for p in 0..PLANE_POINTS {
                        let kernel = Correlate {
                            source: source[p * source_point..].as_ptr(),
                            source_channel: row,
                            channels,
                            weight: of.weights
                                [(point * PLANE_POINTS + p) * of.point + block.start * channels..]
                                .as_ptr(),
                            weight_row: 1,
                            weight_channel: rows,
                            taps: &[Tap { source: 0, weight: 0 }],
                            out: product[p * product_point..].as_mut_ptr(),
                            out_row: row,
                            derivative: None,
                        };
                        // SAFETY: as said above; the weights are as `TransformWeights` has laid
                        // them out.
                        unsafe { kernel.run(simd, rows, &columns[..starts.len()]) };
                    }
                    for r in 0..rows {
                        let results = &mut results
                            [(block.start - first_channel + r) * 4 * volume..][..4 * volume];
                        let to = results[group * sizes.group * OUTPUTS * lanes..].as_mut_ptr();
                        let (vectors, from) = (starts.len(), product[r * row..].as_ptr());
                        simd.vectorize(TransformBack {
                            vectors,
                            from,
                            point: product_point,
                            to,
                            volume,
                            index: point,
                        });
                    }
                }
            }
        }
        let plane = if runs.len() == 1 { tile.pitch[0] * tile.pitch[1] } else { run };
        let volumes = 4 * blocks.iter().map(Range::len).sum::<usize>();
        for (i, results) in results.chunks_exact(volume).enumerate().take(volumes) {
            let channel = batch * of.out_channels + first_channel + i / 4;
            write_volume(simd, of, tile, channel, [i / 2 % 2, i % 2], results, plane, out);
        }
    }
}

/// Copies one channel of the box to the output, for one parity of depth and height; `channel`
/// counts through the batch.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn write_volume<S: Simd>(
    simd: S,
    of: &Winograd,
    tile: &Tile,
    channel: usize,
    phase: [usize; 2],
    results: &[f32],
    plane: usize,
    out: SharedOut,
) {
    let [_, _, depth, height, width] = of.source.shape;
    for d in 0..tile.len[0] {
        for h in 0..tile.len[1] {
            let at = [2 * (tile.start[0] + d) + phase[0], 2 * (tile.start[1] + h) + phase[1]];
            if at[0] >= depth || at[1] >= height {
                continue;
            }
            let first = ((channel * depth + at[0]) * height + at[1]) * width;
            let derivative = of.derivative.map(|(x, slope)| (&x[first..first + width], slope));
            // SAFETY: the row lies inside the output; no other work item has this box and channel
            // of this batch entry.
            let to = unsafe { std::slice::from_raw_parts_mut(out.ptr().add(first), width) };
            write_row(simd, to, &results[OUTPUTS * (d * plane + h * tile.pitch[1])..], derivative);
        }
    }
}
