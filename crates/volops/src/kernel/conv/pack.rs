//! Packing a tile of a tensor for the convolution kernels: padding, stride and activation are all
//! dealt with here.
//!
//! The layout is that of [`super::tile`]. Rows are written in whole vectors: a row's last vector
//! may run into the next row, which is written after it.

use std::ops::Range;

use pulp::Simd;

use crate::kernel::conv::tile::{Axes, Axis, Tile};
use crate::kernel::simd::shuffle::{even, odd};
use crate::kernel::simd::{MAX_LANES, activate, copy, load_two, prefetch, store};

/// Packs channels of one batch entry, `tile.channel` elements each, all of which are written.
/// `source` is `[channels, depth, height, width]`.
#[inline(always)]
pub fn pack<S: Simd>(
    simd: S,
    source: &[f32],
    axes: &Axes,
    tile: &Tile,
    slope: Option<f32>,
    to: &mut [f32],
) {
    let volume = axes[0].source * axes[1].source * axes[2].source;
    let channels = source.len() / volume;
    assert!(to.len() >= channels * tile.channel);
    let [depths, heights, widths] = [axes[0].phases(), axes[1].phases(), axes[2].phases()];
    let step = widths * tile.sub_grid;
    for (channel, to) in source.chunks_exact(volume).zip(to.chunks_exact_mut(tile.channel)) {
        for (i, to) in to.chunks_exact_mut(step).enumerate().take(depths * heights) {
            pack_sub_grids(simd, channel, axes, tile, [i / heights, i % heights], slope, to);
        }
    }
}

/// Packs the sub-grid, or the two of even and odd columns, that have a phase in depth and height.
#[inline(always)]
fn pack_sub_grids<S: Simd>(
    simd: S,
    channel: &[f32],
    axes: &Axes,
    tile: &Tile,
    phase: [usize; 2],
    slope: Option<f32>,
    to: &mut [f32],
) {
    let [height, width] = tile.pitch;
    let [depth_axis, height_axis, width_axis] = axes;
    let row = RowPlan::new(width_axis, tile.start[2], width);
    let rows = tile.planes * height;
    let (first, second) = to.split_at_mut(tile.sub_grid);
    let source_row_of = |h: usize| height_axis.source_index(tile.start[1] + h, phase[1]);
    // Rows that the source has, one after the other; the others are zeros.
    let above = (0..height).take_while(|&h| source_row_of(h).is_none()).count();
    let inside = (above..height).take_while(|&h| source_row_of(h).is_some()).count();
    let first_row = source_row_of(above).unwrap_or(0);
    for d in 0..tile.planes {
        let at = d * height * width;
        let plane = depth_axis.source_index(tile.start[0] + d, phase[0]);
        let (above, inside) = if plane.is_some() { (above, inside) } else { (height, 0) };
        zero_both(simd, [first, second], at..at + above * width);
        for i in 0..inside {
            let at = at + (above + i) * width;
            let place = [plane.unwrap_or(0), first_row + i * height_axis.stride];
            let from = source_row(
                channel,
                [height_axis.source, width_axis.source],
                place,
                depth_axis.stride,
            );
            if second.is_empty() {
                row.write(simd, from, slope, &mut first[at..]);
            } else {
                split(simd, from, width_axis, tile, slope, &mut first[at..], &mut second[at..]);
            }
        }
        zero_both(simd, [first, second], at + (above + inside) * width..at + height * width);
    }
    first[rows * width..].fill(0.0);
    if !second.is_empty() {
        second[rows * width..].fill(0.0);
    }
}

/// [`zero`] in a sub-grid, and in the other one if there is one.
#[inline(always)]
fn zero_both<S: Simd>(simd: S, grids: [&mut [f32]; 2], range: Range<usize>) {
    for to in grids.into_iter().filter(|to| !to.is_empty()) {
        zero(simd, to, range.start, range.end);
    }
}

/// Row `h` of plane `d` of a channel, whose planes are `height` rows of `width`. The same row
/// `ahead` planes on is asked for: the rows that a tile has of a plane are too short a way for the
/// processor to guess which it needs of the next one.
#[inline(always)]
fn source_row(
    channel: &[f32],
    [height, width]: [usize; 2],
    [d, h]: [usize; 2],
    ahead: usize,
) -> &[f32] {
    let start = (d * height + h) * width;
    let next = start + ahead * height * width;
    if next < channel.len() {
        prefetch(channel, next..next + width);
    }
    &channel[start..start + width]
}

/// Elements [`pack_positions`] writes for `channels` channels.
pub fn positions_len(channels: usize, stride: usize) -> usize {
    channels * stride + MAX_LANES
}

/// Packs the values that belong to the positions themselves, in the flat order of the tile's
/// positions, zeros between.
///
/// `source` is `[channels, positions...]`. A run `(first, at)` begins with flat index `first`,
/// which is stored at `at`; a channel takes `stride` elements.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn pack_positions<S: Simd>(
    simd: S,
    source: &[f32],
    axes: &Axes,
    tile: &Tile,
    slope: Option<f32>,
    runs: &[(usize, usize)],
    stride: usize,
    to: &mut [f32],
) {
    let [depth, height, width] = [axes[0].positions, axes[1].positions, axes[2].positions];
    assert!(to.len() >= positions_len(source.len() / (depth * height * width), stride));
    for (c, channel) in source.chunks_exact(depth * height * width).enumerate() {
        let to = &mut to[c * stride..(c + 1) * stride + MAX_LANES];
        to.fill(0.0);
        let mut run = 0;
        for d in 0..tile.len[0] {
            for h in 0..tile.len[1] {
                let flat = tile.row(d, h);
                while run + 1 < runs.len() && runs[run + 1].0 <= flat {
                    run += 1;
                }
                let from =
                    source_row(channel, [height, width], [tile.start[0] + d, tile.start[1] + h], 1);
                copy(
                    simd,
                    &from[tile.start[2]..][..tile.len[2]],
                    slope,
                    &mut to[runs[run].1 + flat - runs[run].0..],
                );
            }
        }
    }
}

/// What a stored row of a single sub-grid is made of: zeros, source elements, zeros.
struct RowPlan {
    stride: usize,
    /// Stored indices that hold source elements.
    filled: Range<usize>,
    /// Source index of the first of them.
    first: usize,
    width: usize,
}

impl RowPlan {
    fn new(axis: &Axis, start: usize, width: usize) -> Self {
        let base = start * axis.stride;
        let begin = axis.lead.saturating_sub(base).div_ceil(axis.stride);
        let first = (base + begin * axis.stride).saturating_sub(axis.lead);
        let available = axis.source.saturating_sub(first).div_ceil(axis.stride);
        let end = (begin + available).min(width);
        if end <= begin {
            return Self { stride: axis.stride, filled: 0..0, first: 0, width };
        }
        Self { stride: axis.stride, filled: begin..end, first, width }
    }

    /// Writes the row, given the source's.
    #[inline(always)]
    fn write<S: Simd>(&self, simd: S, from: &[f32], slope: Option<f32>, to: &mut [f32]) {
        let count = self.filled.len();
        let from = &from[self.first..];
        zero(simd, to, 0, self.filled.start);
        if self.stride == 1 {
            copy(simd, &from[..count], slope, &mut to[self.filled.start..]);
        } else {
            copy_even(simd, from, count, slope, &mut to[self.filled.start..]);
        }
        // The last vector has gone on with zeros.
        zero(simd, to, self.filled.start + count.next_multiple_of(S::F32_LANES), self.width);
    }
}

/// Zeros `to[start..end]`, in whole vectors: up to a vector more.
#[inline(always)]
fn zero<S: Simd>(simd: S, to: &mut [f32], start: usize, end: usize) {
    assert!(end + S::F32_LANES <= to.len());
    for i in (start..end).step_by(S::F32_LANES) {
        // SAFETY: `i < end`, so a vector from there on ends inside `to`.
        unsafe { store(simd, to.as_mut_ptr().add(i), simd.splat_f32s(0.0)) };
    }
}

/// Packs a row with stride 2 and more than one tap: source elements of either parity into their
/// sub-grids.
#[inline(always)]
fn split<S: Simd>(
    simd: S,
    from: &[f32],
    axis: &Axis,
    tile: &Tile,
    slope: Option<f32>,
    first: &mut [f32],
    second: &mut [f32],
) {
    let (lanes, start, count) = (S::F32_LANES, tile.start[2] * axis.stride, tile.len[2]);
    // With one zero in front of the source, its even elements are the second sub-grid, its odd
    // ones, a place later, the first.
    assert!(axis.lead == 1 && start < from.len());
    assert!(count.next_multiple_of(lanes) < first.len().min(second.len()));
    first[0] = match start {
        0 => 0.0,
        _ if from[start - 1] > 0.0 => from[start - 1],
        _ => slope.unwrap_or(1.0) * from[start - 1],
    };
    second[count] = 0.0;
    for i in (0..count).step_by(lanes) {
        let [a, b] = load_two(simd, from, start + 2 * i);
        // SAFETY: `i + lanes` is less than the lengths of `first` and `second`.
        unsafe {
            store(simd, second.as_mut_ptr().add(i), activate(simd, even(simd, a, b), slope));
            store(simd, first.as_mut_ptr().add(i + 1), activate(simd, odd(simd, a, b), slope));
        }
    }
}

/// `to[i] = from[2 * i]`, activated, for `i < count`, and on to the end of the last vector, zeros
/// where the source ends.
#[inline(always)]
fn copy_even<S: Simd>(simd: S, from: &[f32], count: usize, slope: Option<f32>, to: &mut [f32]) {
    let lanes = S::F32_LANES;
    assert!(count.next_multiple_of(lanes) <= to.len());
    for done in (0..count).step_by(lanes) {
        let [first, second] = load_two(simd, from, 2 * done);
        // SAFETY: `to` is long enough for whole vectors.
        unsafe {
            store(simd, to.as_mut_ptr().add(done), activate(simd, even(simd, first, second), slope))
        };
    }
}
