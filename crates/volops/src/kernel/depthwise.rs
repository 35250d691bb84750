//! Depthwise 3-D convolution (every channel has its own kernel), dilated and strided, with its two gradients.
//!
//! The planes that the kernel covers are packed into a ring: without padding between rows, but with rows of zeros above
//! and below, and with stride 2 split by the parity of row and column. So each row of the kernel meets one run of floats,
//! and what is left to do at the ends of rows is done once per column of the kernel (see `stencil`).

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use super::parallel::{Slab, collect_slabs, map_indices, with_floats};
use super::rows::{join_row, split_row};
use super::simd::dispatch;
use super::stencil::{ColumnRuns, LANES, Shifted, Tap, add_dots, column_sums, join_columns};
use super::{Shape, numel};

/// What a depthwise convolution does besides its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DepthwiseSpec {
    /// Taps along depth, height, width; odd.
    pub kernel: [usize; 3],
    /// Distance between taps, in voxels; the padding is `dilation * (kernel - 1) / 2`.
    pub dilation: usize,
    /// 1 or 2.
    pub stride: usize,
    /// Negative slope of a LeakyReLU applied to the input first.
    pub slope: Option<f32>,
}

impl DepthwiseSpec {
    fn padding(&self) -> [usize; 3] {
        self.kernel.map(|k| self.dilation * (k - 1) / 2)
    }

    fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    fn activate(&self) -> impl Fn(f32) -> f32 + Copy + use<> {
        let slope = self.slope.unwrap_or(1.0);
        #[inline(always)]
        move |v| if v > 0.0 { v } else { v * slope }
    }

    /// Shape of the output for an input of shape `xs`: every spatial axis becomes `ceil(n / stride)`.
    pub fn out_shape(&self, [b, c, d, h, w]: Shape) -> Shape {
        let s = self.stride;
        [b, c, d.div_ceil(s), h.div_ceil(s), w.div_ceil(s)]
    }
}

/// Depthwise convolution of `x` (shape `xs = [b, c, d, h, w]`) with `w` `[c, 1, kd, kh, kw]`.
/// Returns `[b, c, ceil(d / stride), ceil(h / stride), ceil(w / stride)]`.
pub fn depthwise3d(x: &[f32], xs: Shape, w: &[f32], spec: DepthwiseSpec) -> Vec<f32> {
    correlate(x, xs, w, spec, |_, _| {})
}

/// Gradient with respect to the input, `[b, c, d, h, w] = xs`, from the gradient `g` of the output.
/// `x`, the forward input, is only read where the spec has a LeakyReLU.
pub fn depthwise3d_grad_input(g: &[f32], w: &[f32], x: &[f32], xs: Shape, spec: DepthwiseSpec) -> Vec<f32> {
    if spec.stride == 1 {
        // The transpose of a correlation that keeps the size is the correlation with the mirrored kernel.
        let mirrored: Vec<f32> = w.chunks_exact(spec.taps()).flat_map(|kernel| kernel.iter().rev().copied()).collect();
        correlate(
            g,
            xs,
            &mirrored,
            DepthwiseSpec { slope: None, ..spec },
            #[inline(always)]
            |out, start| deactivate(out, x, start, spec.slope),
        )
    } else {
        spread(
            g,
            xs,
            w,
            spec,
            #[inline(always)]
            |out, start| deactivate(out, x, start, spec.slope),
        )
    }
}

/// The gradient before the LeakyReLU of `x` from the one behind it.
#[inline(always)]
fn deactivate(gradient: &mut [f32], x: &[f32], start: usize, slope: Option<f32>) {
    if let Some(slope) = slope {
        for (gradient, &x) in gradient.iter_mut().zip(&x[start..]) {
            *gradient *= if x > 0.0 { 1.0 } else { slope };
        }
    }
}

/// Gradient with respect to the weights, `[c, 1, kd, kh, kw]`, from the gradient `g` of the output.
pub fn depthwise3d_grad_weight(x: &[f32], xs: Shape, g: &[f32], spec: DepthwiseSpec) -> Vec<f32> {
    let stencil = Stencil::new(xs, spec);
    let [batch, channels, depth, ..] = spec.out_shape(xs);
    let parts = depth.div_ceil(GRAD_WEIGHT_PLANES);
    let thickness = depth.div_ceil(parts.max(1));
    // The gradients are shifted instead of the inputs, the other way.
    let [_, height, width] = stencil.out;
    let columns = Columns::new(stencil.shifts.iter().map(|shift| -shift).collect(), width, height);
    let scratch_len = stencil.ring.len() + columns.len() + columns.runs.pitch;
    let partial = map_indices(batch * channels * parts, numel(xs), |index| {
        let (volume, start) = (index / parts, index % parts * thickness);
        let slab = Slab { volume, start, end: (start + thickness).min(depth) };
        with_aligned(scratch_len, |scratch| dispatch(GradWeight { stencil: &stencil, columns: &columns, x, g, slab, scratch }))
    });
    let mut out = Vec::with_capacity(channels * spec.taps());
    for c in 0..channels {
        let of_channel = || (0..batch).flat_map(|b| &partial[(b * channels + c) * parts..][..parts]);
        out.extend((0..spec.taps()).map(|k| of_channel().map(|sums| sums[k]).sum::<f64>() as f32));
    }
    out
}

/// The forward convolution; `finish` sees every finished output plane with the index of its first element.
fn correlate(x: &[f32], xs: Shape, w: &[f32], spec: DepthwiseSpec, finish: impl Fn(&mut [f32], usize) + Sync) -> Vec<f32> {
    let stencil = Stencil::new(xs, spec);
    let [batch, channels, depth, height, width] = spec.out_shape(xs);
    let columns = Columns::new(stencil.shifts.clone(), width, height);
    let shifted = columns.shifted(stencil.shifts.iter().map(|_| true));
    let fill = |slab: Slab, out: &mut [MaybeUninit<f32>]| {
        let kernel = &w[slab.volume % channels * spec.taps()..][..spec.taps()];
        with_aligned(stencil.ring.len() + columns.len(), |scratch| {
            let (stencil, columns, shifted, finish) = (&stencil, &columns, &shifted[..], &finish);
            dispatch(Correlate { stencil, columns, shifted, kernel, x, slab, out, scratch, finish });
        });
    };
    // SAFETY: every row of the slab is joined from columns.
    unsafe { collect_slabs([batch * channels, depth, height * width], spec.padding()[0], numel(xs), fill) }
}

/// The taps of a strided, dilated kernel, and the ring of input planes that they meet.
struct Stencil {
    spec: DepthwiseSpec,
    depth: usize,
    plane: usize,
    out: [usize; 3],
    ring: Ring,
    /// For each row of taps: where the row of a packed plane begins that it meets for the first row of the output.
    rows: Vec<usize>,
    /// For each column of taps: how far it is shifted along the width of the output, and which part of a plane it meets.
    shifts: Vec<isize>,
    parts: Vec<usize>,
}

impl Stencil {
    fn new(xs: Shape, spec: DepthwiseSpec) -> Self {
        assert!(spec.kernel.iter().all(|k| k % 2 == 1), "kernel extents must be odd, found {:?}", spec.kernel);
        assert!(matches!(spec.stride, 1 | 2), "stride must be 1 or 2, found {}", spec.stride);
        let [.., depth, height, width] = xs;
        let [.., od, oh, ow] = spec.out_shape(xs);
        let [pd, ph, pw] = spec.padding();
        let ring = Ring::new([height, width], [oh, ow], spec.stride, ph, depth.min(2 * pd + 1));
        let stride = spec.stride as isize;
        let columns = || (0..spec.kernel[2]).map(|k| (k * spec.dilation) as isize - pw as isize);
        let shifts = columns().map(|column| column.div_euclid(stride)).collect();
        let parts = columns().map(|column| column.rem_euclid(stride) as usize * ring.part).collect();
        let rows = (0..spec.kernel[1]).map(|k| ring.row(k * spec.dilation)).collect();
        Self { spec, depth, plane: height * width, out: [od, oh, ow], ring, rows, shifts, parts }
    }

    /// Packs the planes under the kernel of output plane `d` and finds the rows of taps that meet them.
    #[inline(always)]
    fn load(&self, taps: &mut Vec<Tap>, ring: &mut [f32], holds: &mut [usize], volume: &[f32], d: usize) {
        let [kd, kh, kw] = self.spec.kernel;
        let (stride, dilation) = (self.spec.stride, self.spec.dilation);
        let activate = self.spec.activate();
        taps.clear();
        for k in 0..kd {
            let source = (d * stride + k * dilation).checked_sub(self.spec.padding()[0]);
            let Some(source) = source.filter(|&source| source < self.depth) else { continue };
            let plane = &volume[source * self.plane..][..self.plane];
            let start = self.ring.load(ring, holds, source, plane, activate);
            for (i, &row) in self.rows.iter().enumerate() {
                taps.push(Tap { weights: (k * kh + i) * kw, source: start + row });
            }
        }
    }

    fn buffers(&self) -> (Vec<Tap>, Vec<usize>) {
        let [kd, kh, _] = self.spec.kernel;
        (Vec::with_capacity(kd * kh), vec![usize::MAX; self.ring.slots])
    }
}

/// One slab of the forward convolution.
struct Correlate<'a, F> {
    stencil: &'a Stencil,
    columns: &'a Columns,
    shifted: &'a [Shifted<'a>],
    kernel: &'a [f32],
    x: &'a [f32],
    slab: Slab,
    out: &'a mut [MaybeUninit<f32>],
    scratch: &'a mut [f32],
    finish: &'a F,
}

impl<F: Fn(&mut [f32], usize)> WithSimd for Correlate<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { stencil, columns, shifted, kernel, x, slab, out, scratch, finish } = self;
        let [depth, height, width] = stencil.out;
        let volume = &x[slab.volume * stencil.depth * stencil.plane..];
        let (mut taps, mut holds) = stencil.buffers();
        let (ring, sums) = scratch.split_at_mut(stencil.ring.len());
        let run = columns.rows * width;
        for (d, out) in (slab.start..slab.end).zip(out.chunks_exact_mut(height * width)) {
            stencil.load(&mut taps, ring, &mut holds, volume, d);
            for (i, out) in out.chunks_mut(run).enumerate() {
                column_sums(
                    simd,
                    (sums, columns.runs, out.len()),
                    (&taps, kernel),
                    (&ring[i * run..], &stencil.parts),
                    #[inline(always)]
                    |sums, range| join_columns(simd, out, sums, shifted, range),
                );
            }
            // SAFETY: columns were joined to every element.
            finish(unsafe { out.assume_init_mut() }, (slab.volume * depth + d) * height * width);
        }
    }
}

/// One part of the gradient of the weights.
struct GradWeight<'a> {
    stencil: &'a Stencil,
    columns: &'a Columns,
    x: &'a [f32],
    g: &'a [f32],
    slab: Slab,
    scratch: &'a mut [f32],
}

impl WithSimd for GradWeight<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f64> {
        let Self { stencil, columns, x, g, slab, scratch } = self;
        let [depth, height, width] = stencil.out;
        let volume = &x[slab.volume * stencil.depth * stencil.plane..];
        let (mut taps, mut holds) = stencil.buffers();
        let mut totals = vec![0.0; stencil.spec.taps()];
        let mut sums = vec![[0.0; LANES]; stencil.spec.taps()];
        let mut products = 0;
        let (ring, scratch) = scratch.split_at_mut(stencil.ring.len());
        let (factors, padded) = scratch.split_at_mut(columns.len());
        padded[..columns.runs.margin].fill(0.0);
        let run = columns.rows * width;
        for d in slab.start..slab.end {
            stencil.load(&mut taps, ring, &mut holds, volume, d);
            let g = &g[(slab.volume * depth + d) * height * width..][..height * width];
            for (i, g) in g.chunks(run).enumerate() {
                let (gradients, behind) = padded[columns.runs.margin..].split_at_mut(g.len());
                gradients.copy_from_slice(g);
                behind.fill(0.0);
                columns.shift_apart(simd, factors, padded, g.len());
                add_dots(simd, (&mut sums, &taps), (factors, columns.runs, g.len()), (&ring[i * run..], &stencil.parts));
                products += g.len();
                if products >= GRAD_WEIGHT_PRODUCTS {
                    drain(&mut totals, &mut sums);
                    products = 0;
                }
            }
        }
        drain(&mut totals, &mut sums);
        totals
    }
}

/// Moves the sums of each weight's lanes to the totals.
#[inline(always)]
fn drain(totals: &mut [f64], sums: &mut [[f32; LANES]]) {
    for (total, sums) in totals.iter_mut().zip(sums) {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                sums[i] += sums[i + half];
            }
        }
        *total += f64::from(sums[0]);
        *sums = [0.0; LANES];
    }
}

/// The transpose of the stride-2 convolution. The elements of the input with one parity of (depth, height, width) are a
/// correlation of `g` with the taps that reach them; eight such correlations are interleaved.
fn spread(g: &[f32], xs: Shape, w: &[f32], spec: DepthwiseSpec, finish: impl Fn(&mut [f32], usize) + Sync) -> Vec<f32> {
    let [batch, channels, depth, height, width] = xs;
    let [.., oh, ow] = spec.out_shape(xs);
    let [pd, ph, pw] = spec.padding();
    let offsets = || (0..spec.kernel[2]).map(|k| k * spec.dilation);
    // Each column of taps reaches columns of one parity.
    let reached = |parity: usize| offsets().map(move |offset| reach(parity, pw, offset));
    let shifts = reached(0).zip(reached(1)).map(|(even, odd)| even.or(odd).unwrap_or(0)).collect();
    let columns = Columns::new(shifts, ow, oh);
    let shifted = [0, 1].map(|parity| columns.shifted(reached(parity).map(|reach| reach.is_some())));
    let layout = Ring::new([oh, ow], [oh, ow], 1, ph.div_ceil(2), pd + 1);
    let scratch_len = layout.len() + columns.len() + 4 * columns.runs.pitch;
    let fill = |slab: Slab, out: &mut [MaybeUninit<f32>]| {
        let kernel = &w[slab.volume % channels * spec.taps()..][..spec.taps()];
        with_aligned(scratch_len, |scratch| {
            let (layout, columns, shifted, finish) = (&layout, &columns, &shifted, &finish);
            dispatch(Spread { spec, shape: xs, layout, columns, shifted, kernel, g, slab, out, scratch, finish });
        });
    };
    // SAFETY: every row of the slab is written.
    unsafe { collect_slabs([batch * channels, depth, height * width], pd, numel(xs), fill) }
}

/// One slab of [`spread`].
struct Spread<'a, F> {
    spec: DepthwiseSpec,
    shape: Shape,
    /// Planes of the gradient.
    layout: &'a Ring,
    columns: &'a Columns,
    /// The columns of taps that reach even and odd columns of the output.
    shifted: &'a [Vec<Shifted<'a>>; 2],
    kernel: &'a [f32],
    g: &'a [f32],
    slab: Slab,
    out: &'a mut [MaybeUninit<f32>],
    scratch: &'a mut [f32],
    finish: &'a F,
}

impl<F: Fn(&mut [f32], usize)> WithSimd for Spread<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { spec, shape, layout, columns, shifted, kernel, g, slab, out, scratch, finish } = self;
        let [.., depth, height, width] = shape;
        let [.., od, oh, ow] = spec.out_shape(shape);
        let ([pd, ph, _], [kd, kh, kw]) = (spec.padding(), spec.kernel);
        let (rows, parts) = (columns.rows, vec![0; kw]);
        let mut taps = [const { vec![] }; 2];
        let mut holds = vec![usize::MAX; layout.slots];
        let (ring, scratch) = scratch.split_at_mut(layout.len());
        let (sums, quarters) = scratch.split_at_mut(columns.len());
        let quarter = quarters.len() / 4;
        for (d, out) in (slab.start..slab.end).zip(out.chunks_exact_mut(height * width)) {
            taps.iter_mut().for_each(Vec::clear);
            for k in 0..kd {
                let source = reach(d % 2, pd, k * spec.dilation).and_then(|ahead| (d / 2).checked_add_signed(ahead));
                let Some(source) = source.filter(|&source| source < od) else { continue };
                let plane = &g[(slab.volume * od + source) * oh * ow..][..oh * ow];
                let start = layout.load(ring, &mut holds, source, plane, |v| v);
                for (parity, taps) in taps.iter_mut().enumerate() {
                    for i in 0..kh {
                        if let Some(row) = reach(parity, ph + 2 * layout.padding, i * spec.dilation) {
                            taps.push(Tap { weights: (k * kh + i) * kw, source: start + row.unsigned_abs() * ow });
                        }
                    }
                }
            }
            for (i, out) in out.chunks_mut(2 * rows * width).enumerate() {
                let len = rows.min(oh - i * rows) * ow;
                for (taps, halves) in taps.iter().zip(quarters.chunks_exact_mut(2 * quarter)) {
                    if taps.is_empty() {
                        halves.fill(0.0);
                        continue;
                    }
                    let [even, odd] = shifted;
                    let (to_even, to_odd) = halves.split_at_mut(quarter);
                    column_sums(
                        simd,
                        (sums, columns.runs, len),
                        (taps, kernel),
                        (&ring[i * rows * ow..], &parts),
                        #[inline(always)]
                        |sums, range| {
                            join_columns(simd, uninit(&mut to_even[..len]), sums, even, range.clone());
                            join_columns(simd, uninit(&mut to_odd[..len]), sums, odd, range);
                        },
                    );
                }
                for r in 0..out.len() / width {
                    let (even, odd) = quarters[r % 2 * 2 * quarter..][..2 * quarter].split_at(quarter);
                    join_row(&mut out[r * width..], width, &even[r / 2 * ow..], &odd[r / 2 * ow..]);
                }
            }
            // SAFETY: every row was joined.
            finish(unsafe { out.assume_init_mut() }, (slab.volume * depth + d) * height * width);
        }
    }
}

/// Along one axis, the element of this parity of pair `i` is reached by the tap at `offset` from output `i + reach`, if at all.
fn reach(parity: usize, padding: usize, offset: usize) -> Option<isize> {
    let twice = (parity + padding) as isize - offset as isize;
    (twice % 2 == 0).then_some(twice / 2)
}

fn uninit(floats: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: the same layout; nobody writes anything uninitialised to it.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len()) }
}

/// [`with_floats`] at the beginning of a cache line, so that vectors do not cross two.
fn with_aligned<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    with_floats(len + LANES, |scratch| {
        let start = scratch.as_ptr().align_offset(LANES * size_of::<f32>()).min(LANES);
        f(&mut scratch[start..][..len])
    })
}

/// Most output planes whose products one thread sums: a constant, so that the order of summation depends on the shape only.
const GRAD_WEIGHT_PLANES: usize = 64;

/// Products that are added up in single precision, over all lanes.
const GRAD_WEIGHT_PRODUCTS: usize = 4096;

/// Floats of a run that are worked on at a time: its column sums stay in the first-level cache.
const RUN: usize = 1024;

/// A ring of planes of one volume, packed when they are first needed: activated, with rows of zeros above and below.
/// With stride 2 a plane has four parts, by the parity of (padded row, column); else one.
struct Ring {
    stride: usize,
    /// Rows of zeros above and below.
    padding: usize,
    height: usize,
    width: usize,
    /// Length of the rows of a part.
    pitch: usize,
    /// Length of a part.
    part: usize,
    slots: usize,
}

impl Ring {
    /// `out` is the height and width of the planes that are computed from those of the ring.
    fn new([height, width]: [usize; 2], out: [usize; 2], stride: usize, padding: usize, slots: usize) -> Self {
        let rows = if stride == 1 { height.max(out[0]) + 2 * padding } else { out[0] + padding };
        let part = (rows * out[1]).next_multiple_of(LANES) + LANES;
        Self { stride, padding, height, width, pitch: out[1], part, slots }
    }

    fn slot_len(&self) -> usize {
        self.part * self.stride * self.stride
    }

    fn len(&self) -> usize {
        self.slots * self.slot_len()
    }

    /// Where the plane `index` is; `plane` is packed if it is not there yet. `holds` is the index in each slot.
    #[inline(always)]
    fn load(&self, ring: &mut [f32], holds: &mut [usize], index: usize, plane: &[f32], f: impl Fn(f32) -> f32 + Copy) -> usize {
        let slot = index % self.slots;
        let start = slot * self.slot_len();
        if holds[slot] != index {
            holds[slot] = index;
            let to = &mut ring[start..][..self.slot_len()];
            if self.stride == 1 {
                let (above, rest) = to.split_at_mut(self.padding * self.pitch);
                let (rows, below) = rest.split_at_mut(plane.len());
                above.fill(0.0);
                rows.iter_mut().zip(plane).for_each(|(to, &from)| *to = f(from));
                below.fill(0.0);
            } else {
                self.split(to, plane, f);
            }
        }
        start
    }

    #[inline(always)]
    fn split(&self, to: &mut [f32], plane: &[f32], f: impl Fn(f32) -> f32 + Copy) {
        for (parity, to) in to.chunks_exact_mut(2 * self.part).enumerate() {
            let (even, odd) = to.split_at_mut(self.part);
            let first = (self.padding + parity) % 2;
            let mut at = (self.padding + first) / 2 * self.pitch;
            even[..at].fill(0.0);
            odd[..at].fill(0.0);
            for row in (first..self.height).step_by(2) {
                split_row(&mut even[at..], &mut odd[at..], &plane[row * self.width..], self.width, 1, f);
                at += self.pitch;
            }
            even[at..].fill(0.0);
            odd[at..].fill(0.0);
        }
    }

    /// Where, in a packed plane, the row of taps begins that is `row` padded rows below the first one of the first output.
    fn row(&self, row: usize) -> usize {
        row % self.stride * 2 * self.part + row / self.stride * self.pitch
    }
}

/// Columns of taps, and what keeps a run of rows shifted by them from mixing its rows.
struct Columns {
    shifts: Vec<isize>,
    masks: Vec<Vec<u32>>,
    /// Rows that are worked on at a time.
    rows: usize,
    runs: ColumnRuns,
}

impl Columns {
    /// For planes of `height` rows of `width`.
    fn new(shifts: Vec<isize>, width: usize, height: usize) -> Self {
        let rows = (RUN / width).min(height).max(1);
        let len = (rows * width).next_multiple_of(LANES);
        let mask = |&shift: &isize| {
            let inside = |column: usize| column.checked_add_signed(shift).is_some_and(|column| column < width);
            let row: Vec<u32> = (0..width).map(|column| if inside(column) { u32::MAX } else { 0 }).collect();
            let mut mask = vec![0; len];
            mask.chunks_mut(width).for_each(|to| to.copy_from_slice(&row[..to.len()]));
            mask
        };
        let masks = shifts.iter().map(mask).collect();
        let margin = shifts.iter().map(|shift| shift.unsigned_abs()).max().unwrap_or(0).next_multiple_of(LANES);
        Self { shifts, masks, rows, runs: ColumnRuns { margin, pitch: margin + len + margin } }
    }

    fn len(&self) -> usize {
        self.shifts.len() * self.runs.pitch
    }

    /// The shifted runs of the columns that are wanted.
    fn shifted(&self, wanted: impl Iterator<Item = bool>) -> Vec<Shifted<'_>> {
        let start = |k: usize| (self.runs.margin + k * self.runs.pitch).wrapping_add_signed(self.shifts[k]);
        let all = self.masks.iter().enumerate().map(|(k, mask)| Shifted { start: start(k), mask });
        all.zip(wanted).filter_map(|(shifted, wanted)| wanted.then_some(shifted)).collect()
    }

    /// One copy of a padded run for each column, shifted. (The transpose of joining them.)
    #[inline(always)]
    fn shift_apart<S: Simd>(&self, simd: S, to: &mut [f32], from: &[f32], len: usize) {
        for (k, (mask, &shift)) in self.masks.iter().zip(&self.shifts).enumerate() {
            let to = &mut to[self.runs.margin + k * self.runs.pitch..][..len.next_multiple_of(LANES)];
            let start = self.runs.margin.wrapping_add_signed(shift);
            join_columns(simd, uninit(to), from, &[Shifted { start, mask }], 0..len.next_multiple_of(LANES));
        }
    }
}
