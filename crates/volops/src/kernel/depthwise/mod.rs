//! Depthwise 3-D convolution (every channel has its own kernel), dilated and strided, with its two
//! gradients.
//!
//! The planes that the kernel covers are packed into a ring: without padding between rows, but with
//! rows of zeros above and below, and with stride 2 split by the parity of row and column. So each
//! row of the kernel meets one run of floats, and what is left to do at the ends of rows is done
//! once per column of the kernel (see `stencil`).

mod ring;
mod spread;
mod stencil;

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use crate::kernel::depthwise::stencil::{LANES, Shifted, Tap, add_dots, column_sums, join_columns};
use crate::kernel::parallel::{Slab, collect_slabs, map_indices, with_floats};
use crate::kernel::simd::{dispatch, load};
use crate::kernel::view::View;
use crate::kernel::{Shape, numel};
use ring::{Columns, Ring};
use spread::spread;

/// What a depthwise convolution does besides its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DepthwiseSpec {
    /// Taps along depth, height, width; odd.
    pub kernel: [usize; 3],
    /// Distance between taps, in voxels; the padding is `dilation * (kernel - 1) / 2`.
    pub dilation: usize,
    /// Along depth, height and width: 1 or 2 each.
    pub stride: [usize; 3],
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

    /// Shape of the output for an input of shape `xs`: every spatial axis becomes `ceil(n /
    /// stride)`.
    pub fn out_shape(&self, [b, c, d, h, w]: Shape) -> Shape {
        let [sd, sh, sw] = self.stride;
        [b, c, d.div_ceil(sd), h.div_ceil(sh), w.div_ceil(sw)]
    }

    /// The stride of all axes, if it is the same.
    fn even_stride(&self) -> Option<usize> {
        let [sd, sh, sw] = self.stride;
        (sd == sh && sh == sw).then_some(sd)
    }

    /// The convolution that keeps the grid, and which part of what it makes is the result: how one
    /// is done whose axes have different strides.
    fn thinned(&self, xs: Shape) -> (Self, View) {
        (Self { stride: [1; 3], ..*self }, View::thinned(xs, self.stride))
    }
}

/// Depthwise convolution of `x` (shape `xs = [b, c, d, h, w]`) with `w` `[c, 1, kd, kh, kw]`.
/// Returns `[b, c, ceil(d / stride), ceil(h / stride), ceil(w / stride)]`.
pub fn depthwise3d(x: &[f32], xs: Shape, w: &[f32], spec: DepthwiseSpec) -> Vec<f32> {
    if spec.even_stride().is_none() {
        let (whole, part) = spec.thinned(xs);
        return part.read(&depthwise3d(x, xs, w, whole));
    }
    correlate(x, xs, w, spec, None)
}

/// Gradient with respect to the input, `[b, c, d, h, w] = xs`, from the gradient `g` of the output.
/// `x`, the forward input, is only read where the spec has a LeakyReLU.
pub fn depthwise3d_grad_input(
    g: &[f32],
    w: &[f32],
    x: &[f32],
    xs: Shape,
    spec: DepthwiseSpec,
) -> Vec<f32> {
    if spec.even_stride().is_none() {
        let (whole, part) = spec.thinned(xs);
        return depthwise3d_grad_input(&part.write(g), w, x, xs, whole);
    }
    let derivative = spec.slope.map(|slope| (x, slope));
    if spec.stride == [1; 3] {
        // The transpose of a correlation that keeps the size is the correlation with the mirrored
        // kernel.
        let mirrored: Vec<f32> =
            w.chunks_exact(spec.taps()).flat_map(|kernel| kernel.iter().rev().copied()).collect();
        correlate(g, xs, &mirrored, DepthwiseSpec { slope: None, ..spec }, derivative)
    } else {
        spread(g, xs, w, spec, derivative)
    }
}

/// Gradient with respect to the weights, `[c, 1, kd, kh, kw]`, from the gradient `g` of the output.
pub fn depthwise3d_grad_weight(x: &[f32], xs: Shape, g: &[f32], spec: DepthwiseSpec) -> Vec<f32> {
    if spec.even_stride().is_none() {
        let (whole, part) = spec.thinned(xs);
        return depthwise3d_grad_weight(x, xs, &part.write(g), whole);
    }
    let stencil = Stencil::new(xs, spec);
    let [batch, channels, depth, ..] = spec.out_shape(xs);
    let parts = depth.div_ceil(GRAD_WEIGHT_PLANES);
    let thickness = depth.div_ceil(parts.max(1));
    // The gradients are shifted instead of the inputs, the other way.
    let [_, height, width] = stencil.out;
    let columns = Columns::new(stencil.shifts.iter().map(|shift| -shift).collect(), width, height);
    let scratch_len = stencil.ring.len() + columns.runs.pitch;
    let partial = map_indices(batch * channels * parts, numel(xs), |index| {
        let (volume, start) = (index / parts, index % parts * thickness);
        let slab = Slab { volume, start, end: (start + thickness).min(depth) };
        with_aligned(scratch_len, |scratch| {
            dispatch(GradWeight { stencil: &stencil, columns: &columns, x, g, slab, scratch })
        })
    });
    let mut out = Vec::with_capacity(channels * spec.taps());
    for c in 0..channels {
        let of_channel =
            || (0..batch).flat_map(|b| &partial[(b * channels + c) * parts..][..parts]);
        out.extend((0..spec.taps()).map(|k| of_channel().map(|sums| sums[k]).sum::<f64>() as f32));
    }
    out
}

/// The forward convolution, times the derivative of a LeakyReLU of some slope at given values.
fn correlate(
    x: &[f32],
    xs: Shape,
    w: &[f32],
    spec: DepthwiseSpec,
    derivative: Option<(&[f32], f32)>,
) -> Vec<f32> {
    let stencil = Stencil::new(xs, spec);
    let [batch, channels, depth, height, width] = spec.out_shape(xs);
    let columns = Columns::new(stencil.shifts.clone(), width, height);
    let shifted = columns.shifted(columns.runs.pitch);
    let fill = |slab: Slab, out: &mut [MaybeUninit<f32>]| {
        let kernel = &w[slab.volume % channels * spec.taps()..][..spec.taps()];
        with_aligned(stencil.ring.len() + columns.len(), |scratch| {
            let (stencil, columns, shifted) = (&stencil, &columns, &shifted[..]);
            dispatch(Correlate {
                stencil,
                columns,
                shifted,
                kernel,
                x,
                slab,
                out,
                scratch,
                derivative,
            });
        });
    };
    // SAFETY: every row of the slab is joined from columns.
    unsafe {
        collect_slabs([batch * channels, depth, height * width], spec.padding()[0], numel(xs), fill)
    }
}

/// The taps of a strided, dilated kernel, and the ring of input planes that they meet.
struct Stencil {
    spec: DepthwiseSpec,
    stride: usize,
    depth: usize,
    plane: usize,
    out: [usize; 3],
    ring: Ring,
    /// For each row of taps: where the row of a packed plane begins that it meets for the first
    /// row of the output.
    rows: Vec<usize>,
    /// For each column of taps: how far it is shifted along the width of the output, and which
    /// part of a plane it meets.
    shifts: Vec<isize>,
    parts: Vec<usize>,
}

impl Stencil {
    fn new(xs: Shape, spec: DepthwiseSpec) -> Self {
        assert!(
            spec.kernel.iter().all(|k| k % 2 == 1),
            "kernel extents must be odd, found {:?}",
            spec.kernel
        );
        let stride = spec.even_stride().filter(|stride| matches!(stride, 1 | 2));
        let Some(stride) = stride else {
            panic!("strides must be 1 or 2 each, found {:?}", spec.stride)
        };
        let [.., depth, height, width] = xs;
        let [.., od, oh, ow] = spec.out_shape(xs);
        let [pd, ph, pw] = spec.padding();
        let ring = Ring::new([height, width], [oh, ow], stride, ph, depth.min(2 * pd + 1));
        let step = stride as isize;
        let columns = || (0..spec.kernel[2]).map(|k| (k * spec.dilation) as isize - pw as isize);
        let shifts = columns().map(|column| column.div_euclid(step)).collect();
        let parts = columns().map(|column| column.rem_euclid(step) as usize * ring.part).collect();
        let rows = (0..spec.kernel[1]).map(|k| ring.row(k * spec.dilation)).collect();
        let (plane, out) = (height * width, [od, oh, ow]);
        Self { spec, stride, depth, plane, out, ring, rows, shifts, parts }
    }

    /// Packs the planes under the kernel of output plane `d` and finds the rows of taps that meet
    /// them.
    #[inline(always)]
    fn load<S: Simd>(
        &self,
        simd: S,
        taps: &mut Vec<Tap>,
        (ring, holds): (&mut [f32], &mut [usize]),
        volume: &[f32],
        d: usize,
    ) {
        let [kd, kh, kw] = self.spec.kernel;
        let (stride, dilation) = (self.stride, self.spec.dilation);
        taps.clear();
        for k in 0..kd {
            let source = (d * stride + k * dilation).checked_sub(self.spec.padding()[0]);
            let Some(source) = source.filter(|&source| source < self.depth) else { continue };
            let plane = &volume[source * self.plane..][..self.plane];
            let start = self.ring.load(simd, (ring, holds), source, plane, self.spec.slope);
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
struct Correlate<'a> {
    stencil: &'a Stencil,
    columns: &'a Columns,
    shifted: &'a [Shifted<'a>],
    kernel: &'a [f32],
    x: &'a [f32],
    slab: Slab,
    out: &'a mut [MaybeUninit<f32>],
    scratch: &'a mut [f32],
    derivative: Option<(&'a [f32], f32)>,
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { stencil, columns, shifted, kernel, x, slab, out, scratch, derivative } = self;
        let [depth, height, width] = stencil.out;
        let volume = &x[slab.volume * stencil.depth * stencil.plane..];
        let (mut taps, mut holds) = stencil.buffers();
        let (ring, sums) = scratch.split_at_mut(stencil.ring.len());
        let run = columns.rows * width;
        for (d, out) in (slab.start..slab.end).zip(out.chunks_exact_mut(height * width)) {
            stencil.load(simd, &mut taps, (ring, &mut holds), volume, d);
            let derivative = derivative
                .map(|(x, slope)| (&x[(slab.volume * depth + d) * height * width..], slope));
            let ahead =
                volume.get((d + 1 + stencil.spec.padding()[0]) * stencil.plane..).unwrap_or(&[]);
            for (i, out) in out.chunks_mut(run).enumerate() {
                let derivative = derivative.map(|(x, slope)| (&x[i * run..][..out.len()], slope));
                column_sums(
                    simd,
                    (sums, columns.runs, out.len()),
                    (&taps, kernel),
                    (&ring[i * run..], &stencil.parts),
                    &ahead[(i * run).min(ahead.len())..],
                    #[inline(always)]
                    |sums, range| join_columns(simd, out, (sums, shifted), range, derivative),
                );
            }
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
        let (ring, gradients) = scratch.split_at_mut(stencil.ring.len());
        let shifted = columns.shifted(0);
        gradients[..columns.runs.margin].fill(0.0);
        let run = columns.rows * width;
        for d in slab.start..slab.end {
            stencil.load(simd, &mut taps, (ring, &mut holds), volume, d);
            let g = &g[(slab.volume * depth + d) * height * width..][..height * width];
            for (i, g) in g.chunks(run).enumerate() {
                let (to, behind) = gradients[columns.runs.margin..].split_at_mut(g.len());
                to.copy_from_slice(g);
                behind.fill(0.0);
                add_dots(
                    simd,
                    (&mut sums, &taps),
                    (gradients, &shifted, g.len()),
                    (&ring[i * run..], &stencil.parts),
                );
                products += g.len();
                if products >= GRAD_WEIGHT_PRODUCTS {
                    drain(simd, &mut totals, &mut sums);
                    products = 0;
                }
            }
        }
        drain(simd, &mut totals, &mut sums);
        totals
    }
}

/// Moves the sums of each weight's lanes to the totals.
#[inline(always)]
fn drain<S: Simd>(simd: S, totals: &mut [f64], sums: &mut [[f32; LANES]]) {
    for (total, sums) in totals.iter_mut().zip(sums) {
        // SAFETY: no vector is longer than `LANES`, and the lanes behind a shorter one are not in
        // use.
        *total += f64::from(simd.reduce_sum_f32s(unsafe { load(simd, sums.as_ptr()) }));
        *sums = [0.0; LANES];
    }
}

/// [`with_floats`] at the beginning of a cache line, so that vectors do not cross two.
fn with_aligned<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    with_floats(len + LANES, |scratch| {
        let start = scratch.as_ptr().align_offset(LANES * size_of::<f32>()).min(LANES);
        f(&mut scratch[start..][..len])
    })
}

/// Most output planes whose products one thread sums: a constant, so that the order of summation
/// depends on the shape only.
const GRAD_WEIGHT_PLANES: usize = 64;

/// Products that are added up in single precision, over all lanes.
const GRAD_WEIGHT_PRODUCTS: usize = 4096;
