//! The geometry of convolutions: which source element belongs to which output position, and how a
//! tile of them is stored.
//!
//! A tile is stored row after row with a fixed pitch, zeros where the source ends. Output position
//! `(d, h, w)` is the flat index `(d * pitch_h + h) * pitch_w + w`, and the source element a tap
//! needs for it lies a constant number of elements further on, whatever the position. So a kernel
//! may walk over flat indices in whole vectors: it computes the few positions that lie between rows
//! too, and nobody reads those. A width of 5 is then as good as one of 64.
//!
//! With stride 2 the source is first split by the parity of its padded index into up to eight
//! sub-grids; a tap picks a sub-grid and a shift, and everything else is as for stride 1.

use std::ops::Range;

use crate::kernel::simd::MAX_LANES;

/// How output positions of one axis address the source: position `p`, tap `t` reads `p * stride + t
/// - lead`.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Extent of the source.
    pub source: usize,
    /// Number of output positions; equal to `source` when `stride` is 1.
    pub positions: usize,
    /// 1 or 2.
    pub stride: usize,
    /// Zeros before the source.
    pub lead: usize,
    /// Number of taps, at least 1.
    pub taps: usize,
}

impl Axis {
    /// Sub-grids the source is split into.
    pub fn phases(&self) -> usize {
        self.stride.min(self.taps)
    }

    /// Largest shift of a tap inside its sub-grid.
    fn shifts(&self) -> usize {
        (self.taps - 1) / self.stride
    }

    /// Elements stored per row (or rows per plane) for `len` positions.
    fn pitch(&self, len: usize) -> usize {
        if self.stride == 1 && len == self.positions {
            // The zeros after one row double as those before the next.
            len + self.lead.max(self.taps - 1 - self.lead)
        } else {
            len + self.shifts()
        }
    }

    /// Source index of stored index `i` of a sub-grid, if that is inside the source.
    #[inline(always)]
    pub fn source_index(&self, i: usize, phase: usize) -> Option<usize> {
        match (i * self.stride + phase).checked_sub(self.lead) {
            Some(index) if index < self.source => Some(index),
            _ => None,
        }
    }

    fn spans(&self, len: usize) -> usize {
        self.positions.div_ceil(len)
    }
}

/// The axes of a correlation: depth, height, width.
pub type Axes = [Axis; 3];

/// Whether every position reads the source element at its own place only. A gathered volume is one
/// long row then (see `gather_axes`).
pub fn is_pointwise(axes: &Axes) -> bool {
    axes.iter().all(|a| (a.taps, a.stride) == (1, 1))
}

/// Elements by which a row written, or positions read, in whole vectors may run past their end.
const SLACK: usize = MAX_LANES;

/// A box of output positions and the memory layout of the source elements it needs.
#[derive(Clone, Debug)]
pub struct Tile {
    /// First position along each axis.
    pub start: [usize; 3],
    /// Positions along each axis.
    pub len: [usize; 3],
    /// Rows per plane and elements per row, as stored.
    pub pitch: [usize; 2],
    /// Planes stored of each sub-grid.
    pub planes: usize,
    /// Elements of one sub-grid.
    pub sub_grid: usize,
    /// Elements of one channel.
    pub channel: usize,
}

impl Tile {
    /// The tile that holds positions `start .. start + len`.
    pub fn new(axes: &Axes, start: [usize; 3], len: [usize; 3]) -> Self {
        let pitch = [axes[1].pitch(len[1]), axes[2].pitch(len[2])];
        let planes = len[0] + axes[0].shifts();
        // Shifted reads of the last row may run past the last plane and find zeros there; reads in
        // whole vectors go a vector further.
        let overrun = axes[1].shifts() * pitch[1] + axes[2].shifts() + SLACK;
        let sub_grid = planes * pitch[0] * pitch[1] + overrun;
        let channel = sub_grid * axes.iter().map(Axis::phases).product::<usize>();
        Self { start, len, pitch, planes, sub_grid, channel }
    }

    /// Offset, from a position's flat index, of the source element that `tap` reads.
    pub fn tap_offset(&self, axes: &Axes, tap: [usize; 3]) -> usize {
        let mut sub_grid = 0;
        let mut shift = [0; 3];
        for a in 0..3 {
            sub_grid = sub_grid * axes[a].phases() + tap[a] % axes[a].stride;
            shift[a] = tap[a] / axes[a].stride;
        }
        sub_grid * self.sub_grid + (shift[0] * self.pitch[0] + shift[1]) * self.pitch[1] + shift[2]
    }

    /// Flat index of the first position of row `h` of plane `d`, both counted from the tile's
    /// start.
    pub fn row(&self, d: usize, h: usize) -> usize {
        (d * self.pitch[0] + h) * self.pitch[1]
    }

    /// One past the largest flat index of a position.
    pub fn flat_len(&self) -> usize {
        self.row(self.len[0] - 1, self.len[1] - 1) + self.len[2]
    }

    /// The flat indices to compute, as few whole vectors of `lanes` as possible.
    pub fn runs(&self, lanes: usize) -> Vec<Range<usize>> {
        let plane = (self.len[1] - 1) * self.pitch[1] + self.len[2];
        if self.len[0] * plane.div_ceil(lanes) < self.flat_len().div_ceil(lanes) {
            (0..self.len[0]).map(|d| self.row(d, 0)..self.row(d, 0) + plane).collect()
        } else {
            std::iter::once(0..self.flat_len()).collect()
        }
    }
}

/// The order in which a volume's tiles are numbered.
#[derive(Clone, Copy, Debug)]
pub struct Tiling {
    len: [usize; 3],
    count: [usize; 3],
}

impl Tiling {
    /// Cuts the positions into tiles that take about `budget` floats, if possible without cutting
    /// rows: `channels` packed channels of the source, and `per_position` floats for every
    /// position.
    pub fn new(axes: &Axes, channels: usize, per_position: usize, budget: usize) -> Self {
        let size = |len: [usize; 3]| {
            channels * Tile::new(axes, [0; 3], len).channel
                + per_position * len.iter().product::<usize>()
        };
        let mut best = axes.map(|a| a.positions);
        // Rows are cut only when one of them is by itself too long: always true of flattened
        // volumes (kernel 1).
        while best[2] > 64 && size([1, 1, best[2]]) > budget {
            best[2] = best[2].div_ceil(2);
        }
        let (mut chosen, mut lowest) = ([1, 1, best[2]], f64::INFINITY);
        let mut d = 1;
        while d <= best[0] {
            let mut h = best[1];
            while h > 1 && size([d, h, best[2]]) > budget {
                h -= h.div_ceil(8);
            }
            // Even cuts: the last tile should not be a sliver.
            let len = [d, axes[1].positions.div_ceil(axes[1].spans(h)), best[2]];
            if d == 1 || size(len) <= budget {
                // Floats per position.
                let cost = size(len) as f64 / (len[0] * len[1] * len[2]) as f64;
                if cost < lowest {
                    (chosen, lowest) = (len, cost);
                }
            }
            d += d.div_ceil(4);
        }
        Self::evenly(axes, chosen)
    }

    /// The same, but in at least `tiles` tiles, as far as there are planes (of a flattened volume:
    /// positions) to cut between.
    pub fn at_least(&self, axes: &Axes, tiles: usize) -> Self {
        let mut len = self.len;
        let along = if axes[0].positions == 1 && axes[1].positions == 1 { 2 } else { 0 };
        let others = self.tiles() / self.count[along];
        len[along] = len[along].min(axes[along].positions.div_ceil(tiles.div_ceil(others)));
        Self::evenly(axes, len)
    }

    /// As many tiles as with `len`, but the last one no sliver.
    fn evenly(axes: &Axes, len: [usize; 3]) -> Self {
        let len = [0, 1, 2].map(|a| axes[a].positions.div_ceil(axes[a].spans(len[a])));
        Self { len, count: [0, 1, 2].map(|a| axes[a].spans(len[a])) }
    }

    /// Number of tiles.
    pub fn tiles(&self) -> usize {
        self.count.iter().product()
    }

    /// The `index`-th tile.
    pub fn tile(&self, axes: &Axes, index: usize) -> Tile {
        let at = [
            index / (self.count[1] * self.count[2]),
            index / self.count[2] % self.count[1],
            index % self.count[2],
        ];
        let start = [0, 1, 2].map(|a| at[a] * self.len[a]);
        let len = [0, 1, 2].map(|a| self.len[a].min(axes[a].positions - start[a]));
        Tile::new(axes, start, len)
    }
}
