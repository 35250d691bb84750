//! Tiles for Winograd's minimal filtering (see [`super`]): how a volume is cut into them,
//! and the packing of a box of them.

use pulp::Simd;

use crate::kernel::Shape;
use crate::kernel::conv::correlate::Operand;
use crate::kernel::conv::tile::{Axes, Axis, Tile};
use crate::kernel::conv::winograd::transform::{OUTPUTS, POINTS, TransformWidth};
use crate::kernel::simd::{MAX_LANES, copy};

/// Packs channels of the source of a box: rows one after the other, split by the parity of depth
/// and height, and transformed along the width. `source` is `[channels, depth, height, width]`,
/// `to` is `[channels, POINTS, tile.channel]`; `scratch` has the size [`pack_scratch`].
#[inline(always)]
pub fn pack<S: Simd>(
    simd: S,
    source: Operand,
    channels: &[f32],
    axes: &Axes,
    tile: &Tile,
    scratch: &mut [f32],
    to: &mut [f32],
) {
    let [_, _, depth, height, width] = source.shape;
    let (tiles, rows) = (tile.len[2], tile.pitch[0]);
    let (left, scratch) = scratch.split_at_mut(tile.channel);
    let (right, raw) = scratch.split_at_mut(tile.channel);
    left.fill(1.0);
    right.fill(1.0);
    for grid in left.chunks_exact_mut(tile.sub_grid) {
        grid.iter_mut().step_by(tiles).for_each(|m| *m = 0.0);
    }
    for grid in right.chunks_exact_mut(tile.sub_grid) {
        grid.iter_mut().skip(tiles - 1).step_by(tiles).for_each(|m| *m = 0.0);
    }
    // What no row covers stays zero.
    raw.fill(0.0);
    for (channel, to) in channels
        .chunks_exact(depth * height * width)
        .zip(to.chunks_exact_mut(POINTS * tile.channel))
    {
        for d in 0..2 * tile.planes {
            let plane = axes[0].source_index(tile.start[0] + d / 2, d % 2);
            for h in 0..2 * rows {
                let at = (2 * (d % 2) + h % 2) * tile.sub_grid + (d / 2 * rows + h / 2) * tiles;
                let raw = &mut raw[MAX_LANES + OUTPUTS * at..];
                match (plane, axes[1].source_index(tile.start[1] + h / 2, h % 2)) {
                    (Some(d), Some(h)) => {
                        copy(simd, &channel[(d * height + h) * width..][..width], source.slope, raw)
                    }
                    _ => raw[..OUTPUTS * tiles].fill(0.0),
                }
            }
        }
        assert!(raw.len() >= OUTPUTS * (tile.channel + 1) + MAX_LANES);
        simd.vectorize(TransformWidth {
            tiles: tile.channel,
            from: raw[MAX_LANES..].as_ptr(),
            left: left.as_ptr(),
            right: right.as_ptr(),
            to: to.as_mut_ptr(),
            point: tile.channel,
        });
    }
}

/// Floats [`pack`] needs: a channel before the transform along the width, and whether a tile has
/// neighbours to the left and right.
pub fn pack_scratch(tile: &Tile) -> usize {
    OUTPUTS * (tile.channel + 2 * MAX_LANES) + 2 * tile.channel
}

/// The axes of the tiles of a volume. In depth and height, tile `p` reads elements `2 p - 1 .. 2 p
/// + 3`; along the width that is the business of [`pack`].
pub fn tile_axes([_, _, depth, height, width]: Shape) -> Axes {
    let two = |n: usize| Axis { source: n, positions: n.div_ceil(2), stride: 2, lead: 1, taps: 4 };
    let tiles = width.div_ceil(OUTPUTS);
    [two(depth), two(height), Axis { source: tiles, positions: tiles, stride: 1, lead: 0, taps: 1 }]
}

/// All lengths of parts into which `n` can be cut evenly.
pub fn even_cuts(n: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = (1..=n).map(|parts| n.div_ceil(parts)).collect();
    cuts.dedup();
    cuts
}
