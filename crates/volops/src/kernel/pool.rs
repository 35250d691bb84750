//! Maximum and average pooling over 3x3x3 windows, padding 1, stride 1 or 2, and their gradients.
//!
//! A window is reduced along one axis after the other, over whole padded planes (see `rows`): width, then height, then
//! depth with a ring of reduced planes. Strided outputs are picked from the unstrided plane at the end, and a strided
//! gradient is the unstrided one of a gradient spread out with zeros. Inputs are taken to be finite.

use super::parallel::{Slab, collect_slabs, with_floats};
use super::rows::{Rows, SLACK, pack, pack_spread, unpack, unpack_even};
use super::vectorize::vectorize;
use super::{Shape, numel};

/// Maximum over the 3x3x3 window (padding never wins) at every `stride`-th voxel of `x` (shape `xs = [b, c, d, h, w]`):
/// returns `[b, c, ceil(d / stride), ceil(h / stride), ceil(w / stride)]`.
pub fn max_pool3d(x: &[f32], xs: Shape, stride: usize) -> Vec<f32> {
    pool::<Max>(x, xs, stride, |_, _| {})
}

/// Mean over the voxels of the 3x3x3 window that are inside the volume; shapes as [`max_pool3d`].
pub fn avg_pool3d(x: &[f32], xs: Shape, stride: usize) -> Vec<f32> {
    let weights = MeanWeights::new(Grid::new(xs, stride));
    pool::<Sum>(
        x,
        xs,
        stride,
        #[inline(always)]
        |d, plane| weights.apply(d, plane),
    )
}

/// Gradient of [`avg_pool3d`] (its transpose): from `g`, shaped as its output, to `[b, c, d, h, w] = xs`.
pub fn avg_pool3d_grad(g: &[f32], xs: Shape, stride: usize) -> Vec<f32> {
    let grid = Grid::new(xs, stride);
    let weights = MeanWeights::new(grid);
    let fill = |slab: Slab, out: &mut [_]| {
        let mut out = out.chunks_exact_mut(grid.plane());
        windows::<Sum>(
            grid,
            (slab.start..slab.end).step_by(1),
            stride,
            #[inline(always)]
            |d, to| {
                grid.pack_gradient(to, g, slab.volume, d, stride);
                weights.apply(d, &mut to[grid.origin()..][..grid.rows_len()]);
            },
            #[inline(always)]
            |_, sums| {
                if let Some(out) = out.next() {
                    unpack(out, sums, grid.pitch(), grid.width);
                }
            },
        );
    };
    // SAFETY: `windows` emits every plane of the slab.
    unsafe { collect_slabs([xs[0] * xs[1], grid.depth, grid.plane()], 1, numel(xs), fill) }
}

/// Gradient of [`max_pool3d`]: from `g`, shaped as its output, to `[b, c, d, h, w] = xs`. It goes to the first maximum of
/// each window in (depth, height, width) order: to the first plane that holds the maximum, in it to the first such row,
/// in it to the first such voxel. So it is sent back through the three one-dimensional reductions in turn.
pub fn max_pool3d_grad(g: &[f32], x: &[f32], xs: Shape, stride: usize) -> Vec<f32> {
    let grid = Grid::new(xs, stride);
    let fill = |slab: Slab, out: &mut [_]| {
        let (rows, frame, origin, pitch) = (grid.rows_len(), grid.frame_len(), grid.origin(), grid.pitch());
        with_floats(11 * frame + 8 * rows + SLACK, |scratch| {
            scratch.fill(0.0);
            // Packed x and its maxima along the width, and the packed g: three planes are in use at a time.
            let (packed, rest) = scratch.split_at_mut(3 * frame);
            let (across, rest) = rest.split_at_mut(3 * frame);
            let (incoming, rest) = rest.split_at_mut(3 * frame);
            // Gradients of the maxima along width and height, and of those along the width.
            let (gradient, rest) = rest.split_at_mut(frame);
            let (row_gradient, rest) = rest.split_at_mut(frame);
            // Maxima along width and height, of five planes; and what there is outside of the volume.
            let (maxima, rest) = rest.split_at_mut(5 * rows);
            let (outside, rest) = rest.split_at_mut(rows);
            let (zero, plain) = rest.split_at_mut(rows);
            packed.fill(Max::PADDING);
            across.fill(Max::PADDING);
            outside.fill(Max::PADDING);
            let mut packed_until = slab.start.saturating_sub(2);
            let mut incoming_until = slab.start.saturating_sub(1);
            vectorize(
                #[inline(always)]
                || {
                    for (d, out) in (slab.start..slab.end).zip(out.chunks_exact_mut(grid.plane())) {
                        while packed_until < grid.depth.min(d + 3) {
                            let to = &mut packed[packed_until % 3 * frame..][..frame];
                            let across = &mut across[packed_until % 3 * frame..][..frame];
                            grid.pack(to, x, slab.volume, packed_until, Max::PADDING);
                            grid.reduce_plane::<Max>(to, across, &mut maxima[packed_until % 5 * rows..][..rows]);
                            packed_until += 1;
                        }
                        while incoming_until < grid.depth.min(d + 2) {
                            if incoming_until.is_multiple_of(stride) {
                                let to = &mut incoming[incoming_until % 3 * frame..][..frame];
                                grid.pack_gradient(to, g, slab.volume, incoming_until, stride);
                            }
                            incoming_until += 1;
                        }
                        let inside = |ahead: usize, back: usize| (d + ahead).checked_sub(back).filter(|&i| i < grid.depth);
                        let value = |ahead: usize, back: usize| match inside(ahead, back) {
                            Some(i) => &maxima[i % 5 * rows..][..rows],
                            None => &*outside,
                        };
                        let arriving = |ahead: usize, back: usize| match inside(ahead, back) {
                            Some(i) if i.is_multiple_of(stride) => &incoming[i % 3 * frame + origin..][..rows],
                            _ => &*zero,
                        };
                        let values = [value(0, 2), value(0, 1), value(0, 0), value(1, 0), value(2, 0)];
                        let arriving = [arriving(0, 1), arriving(0, 0), arriving(1, 0)];
                        route(&mut gradient[origin..][..rows], values, arriving);
                        let across = &across[d % 3 * frame..][..frame];
                        route_in_plane(&mut row_gradient[origin..][..rows], across, gradient, origin, pitch);
                        let packed = &packed[d % 3 * frame..][..frame];
                        route_in_plane(&mut plain[..rows], packed, row_gradient, origin, 1);
                        unpack(out, plain, pitch, grid.width);
                    }
                },
            );
        });
    };
    // SAFETY: every plane of the slab is unpacked to.
    unsafe { collect_slabs([xs[0] * xs[1], grid.depth, grid.plane()], 2, numel(xs) * 2, fill) }
}

/// Sends gradients of the outputs before, at and after a place back to it, where it is the first maximum of the window.
/// `values` are the window's inputs at distance -2 to 2, `incoming` the gradients at distance -1 to 1.
#[inline(always)]
fn route(to: &mut [f32], values: [&[f32]; 5], incoming: [&[f32]; 3]) {
    let n = to.len();
    let [before2, before, at, after, after2] = values;
    let (before2, before, at, after, after2) = (&before2[..n], &before[..n], &at[..n], &after[..n], &after2[..n]);
    let [from_before, from_at, from_after] = incoming;
    let (from_before, from_at, from_after) = (&from_before[..n], &from_at[..n], &from_after[..n]);
    for i in 0..n {
        let rises = at[i] > before[i];
        let holds = at[i] >= after[i];
        let when = |wins: bool, gradient: f32| if wins { gradient } else { 0.0 };
        to[i] = when(rises & (at[i] > before2[i]), from_before[i])
            + when(rises & holds, from_at[i])
            + when(holds & (at[i] >= after2[i]), from_after[i]);
    }
}

/// [`route`] between rows (`step` = pitch) or columns (`step` = 1) of a frame.
#[inline(always)]
fn route_in_plane(to: &mut [f32], values: &[f32], incoming: &[f32], origin: usize, step: usize) {
    let value = |i: usize| &values[origin + i * step - 2 * step..];
    let gradient = |i: usize| &incoming[origin + i * step - step..];
    let values = [value(0), value(1), value(2), value(3), value(4)];
    route(to, values, [gradient(0), gradient(1), gradient(2)]);
}

/// An associative, commutative operation and its neutral element.
trait Reduction {
    const PADDING: f32;
    fn join(a: f32, b: f32) -> f32;
}

struct Max;

impl Reduction for Max {
    const PADDING: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    fn join(a: f32, b: f32) -> f32 {
        if b > a { b } else { a }
    }
}

struct Sum;

impl Reduction for Sum {
    const PADDING: f32 = 0.0;

    #[inline(always)]
    fn join(a: f32, b: f32) -> f32 {
        a + b
    }
}

/// Geometry of a volume and of its padded planes. A frame is a padded plane with one column of padding between rows and
/// margins of two rows and two elements at either end.
#[derive(Clone, Copy)]
struct Grid {
    depth: usize,
    height: usize,
    width: usize,
}

impl Grid {
    fn new([.., depth, height, width]: Shape, stride: usize) -> Self {
        assert!(matches!(stride, 1 | 2), "stride must be 1 or 2, found {stride}");
        Self { depth, height, width }
    }

    fn plane(self) -> usize {
        self.height * self.width
    }

    fn pitch(self) -> usize {
        self.width + 1
    }

    /// Length of the padded rows, without margins.
    fn rows_len(self) -> usize {
        self.height * self.pitch()
    }

    fn origin(self) -> usize {
        2 * self.pitch() + 2
    }

    fn frame_len(self) -> usize {
        self.rows_len() + 2 * self.origin() + SLACK
    }

    fn rows(self) -> Rows {
        Rows { origin: self.origin(), pitch: self.pitch(), gap: 1 }
    }

    #[inline(always)]
    fn pack(self, to: &mut [f32], x: &[f32], volume: usize, d: usize, padding: f32) {
        let from = &x[(volume * self.depth + d) * self.plane()..][..self.plane()];
        pack(to, self.rows(), from, self.width, padding, |v| v);
    }

    /// Packs the gradients of the outputs whose windows are centred in plane `d`, a multiple of `stride`.
    #[inline(always)]
    fn pack_gradient(self, to: &mut [f32], g: &[f32], volume: usize, d: usize, stride: usize) {
        if stride == 1 {
            return self.pack(to, g, volume, d, 0.0);
        }
        let [depth, height, width] = [self.depth, self.height, self.width].map(|n| n.div_ceil(stride));
        let from = &g[(volume * depth + d / stride) * height * width..][..height * width];
        pack_spread(to, self.rows(), from, width, self.width);
    }

    /// Reduces 3x3 windows of the frame `packed` to `to`; `across` receives the reduction along the width.
    #[inline(always)]
    fn reduce_plane<R: Reduction>(self, packed: &[f32], across: &mut [f32], to: &mut [f32]) {
        let (origin, pitch) = (self.origin(), self.pitch());
        let from = origin - pitch;
        let tall = self.rows_len() + 2 * pitch;
        join3::<R>(&mut across[from..][..tall], [&packed[from - 1..], &packed[from..], &packed[from + 1..]]);
        let rows = self.rows_len();
        join3::<R>(&mut to[..rows], [&across[from..], &across[origin..], &across[origin + pitch..]]);
    }
}

#[inline(always)]
fn join3<R: Reduction>(to: &mut [f32], [a, b, c]: [&[f32]; 3]) {
    let n = to.len();
    let (a, b, c) = (&a[..n], &b[..n], &c[..n]);
    for i in 0..n {
        to[i] = R::join(R::join(a[i], b[i]), c[i]);
    }
}

/// Pools `x`; `finish` sees each reduced plane, unstrided and padded, with its index, before it is copied out.
fn pool<R: Reduction>(x: &[f32], xs: Shape, stride: usize, finish: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let grid = Grid::new(xs, stride);
    let [depth, height, width] = [grid.depth, grid.height, grid.width].map(|n| n.div_ceil(stride));
    let fill = |slab: Slab, out: &mut [_]| {
        let mut out = out.chunks_exact_mut(height * width);
        windows::<R>(
            grid,
            (slab.start * stride..slab.end * stride).step_by(stride),
            1,
            #[inline(always)]
            |d, to| grid.pack(to, x, slab.volume, d, R::PADDING),
            #[inline(always)]
            |d, reduced| {
                finish(d, reduced);
                match out.next() {
                    Some(out) if stride == 1 => unpack(out, reduced, grid.pitch(), grid.width),
                    Some(out) => unpack_even(out, reduced, grid.pitch(), width),
                    None => return,
                };
            },
        );
    };
    // SAFETY: `windows` emits every plane of the slab.
    unsafe { collect_slabs([xs[0] * xs[1], depth, height * width], 1, numel(xs), fill) }
}

/// Reduces the 3x3x3 windows around all voxels of each plane in `centers` (ascending) and hands the result to `emit`.
/// `load` packs an input plane; only planes whose index is a multiple of `source_step` exist, others are padding.
#[inline(always)]
fn windows<R: Reduction>(
    grid: Grid,
    mut centers: impl Iterator<Item = usize>,
    source_step: usize,
    load: impl Fn(usize, &mut [f32]),
    mut emit: impl FnMut(usize, &mut [f32]),
) {
    let (rows, frame) = (grid.rows_len(), grid.frame_len());
    with_floats(2 * frame + 5 * rows + SLACK, |scratch| {
        let (packed, rest) = scratch.split_at_mut(frame);
        let (across, rest) = rest.split_at_mut(frame);
        let (padding, rest) = rest.split_at_mut(rows);
        let (ring, reduced) = rest.split_at_mut(3 * rows);
        packed.fill(R::PADDING);
        padding.fill(R::PADDING);
        vectorize(
            #[inline(always)]
            || {
                let mut holds = [usize::MAX; 3];
                for center in &mut centers {
                    let exists = |d: usize| d < grid.depth && d.is_multiple_of(source_step);
                    for d in (center.saturating_sub(1)..=center + 1).filter(|&d| exists(d)) {
                        if holds[d % 3] != d {
                            load(d, packed);
                            grid.reduce_plane::<R>(packed, across, &mut ring[d % 3 * rows..][..rows]);
                            holds[d % 3] = d;
                        }
                    }
                    let plane = |i: usize| match (center + i).checked_sub(1) {
                        Some(d) if exists(d) => &ring[d % 3 * rows..][..rows],
                        _ => &*padding,
                    };
                    join3::<R>(&mut reduced[..rows], [plane(0), plane(1), plane(2)]);
                    emit(center, reduced);
                }
            },
        );
    });
}

/// Reciprocals of the number of voxels in each window of a volume.
struct MeanWeights {
    depth: Vec<f32>,
    /// For the padded rows of a plane.
    plane: Vec<f32>,
}

impl MeanWeights {
    fn new(grid: Grid) -> Self {
        let counts = |n: usize| (0..n).map(move |i| ((i + 1).min(n - 1) + 1 - i.saturating_sub(1)) as f32);
        let mut plane = vec![0.0; grid.rows_len()];
        for (row, rows) in plane.chunks_exact_mut(grid.pitch()).zip(counts(grid.height)) {
            row.iter_mut().zip(counts(grid.width)).for_each(|(weight, columns)| *weight = 1.0 / (rows * columns));
        }
        Self { depth: counts(grid.depth).map(|planes| 1.0 / planes).collect(), plane }
    }

    #[inline(always)]
    fn apply(&self, d: usize, values: &mut [f32]) {
        let planes = self.depth[d];
        for (value, weight) in values.iter_mut().zip(&self.plane) {
            *value *= planes * weight;
        }
    }
}
