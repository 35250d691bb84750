//! Depthwise 3-D convolution (every channel has its own kernel), dilated and strided, with its two gradients.
//!
//! A channel is walked plane by plane. Each input plane is packed into a padded one (see `rows`), and its shifted, weighted
//! copies are added to all the output planes whose kernel covers it (see `stencil`), which wait in a ring until they are
//! complete. With stride 2 the packed plane is split by the parity of row and column, so that a shifted plane is again one
//! run of floats.

use std::mem::MaybeUninit;
use std::ops::{Range, RangeInclusive};

use super::parallel::{Slab, collect_slabs, map_indices, with_floats};
use super::rows::{Rows, SLACK, join_row, pack, split_row, unpack};
use super::stencil::{Reach, Stencil};
use super::vectorize::vectorize;
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
    let plane = xs[3] * xs[4];
    let deactivate = |out: &mut [f32], index: usize| {
        if let Some(slope) = spec.slope {
            for (out, &x) in out.iter_mut().zip(&x[index * plane..]) {
                *out *= if x > 0.0 { 1.0 } else { slope };
            }
        }
    };
    if spec.stride == 1 {
        // The transpose of a correlation that keeps the size is the correlation with the mirrored kernel.
        let taps = spec.taps();
        let mirrored: Vec<f32> = w.chunks_exact(taps).flat_map(|kernel| kernel.iter().rev().copied()).collect();
        correlate(g, xs, &mirrored, DepthwiseSpec { slope: None, ..spec }, deactivate)
    } else {
        spread(g, xs, w, spec, deactivate)
    }
}

/// Gradient with respect to the weights, `[c, 1, kd, kh, kw]`, from the gradient `g` of the output.
pub fn depthwise3d_grad_weight(x: &[f32], xs: Shape, g: &[f32], spec: DepthwiseSpec) -> Vec<f32> {
    let packed = Packed::new(xs, spec);
    let [batch, channels, depth, height, width] = spec.out_shape(xs);
    let parts = depth.div_ceil(GRAD_WEIGHT_PLANES);
    let thickness = depth.div_ceil(parts.max(1));
    let rows = Rows { origin: 0, pitch: packed.pitch, gap: packed.pitch - width };
    let sum_part = |index: usize| {
        let (volume, start) = (index / parts, index % parts * thickness);
        let end = (start + thickness).min(depth);
        let mut sums = vec![0.0; spec.taps()];
        let plane_len = packed.plane_len();
        with_floats(plane_len + packed.ring_len(), |scratch| {
            scratch.fill(0.0);
            let (plane, gradients) = scratch.split_at_mut(plane_len);
            let mut reached = Vec::with_capacity(spec.kernel[0]);
            let mut next = start;
            for i in packed.sources(start, end) {
                // An output plane's gradient is packed when the kernel first reaches it.
                while next < end && packed.first_source(next) <= i {
                    let slot = &mut gradients[next % packed.slots * packed.stencil.slot_len..];
                    vectorize(
                        #[inline(always)]
                        || pack(slot, rows, plane_of(g, [depth, height, width], volume, next), width, 0.0, |v| v),
                    );
                    next += 1;
                }
                packed.reached(i, start..end, &mut reached);
                if !reached.is_empty() {
                    packed.pack(plane, plane_of(x, packed.input, volume, i));
                    packed.stencil.add_dots(&mut sums, &reached, gradients, plane);
                }
            }
        });
        sums
    };
    let partial = map_indices(batch * channels * parts, 2 * numel(xs), sum_part);
    let mut out = Vec::with_capacity(channels * spec.taps());
    for c in 0..channels {
        let of_channel = || (0..batch).flat_map(|b| &partial[(b * channels + c) * parts..][..parts]);
        out.extend((0..spec.taps()).map(|k| of_channel().map(|sums| sums[k]).sum::<f64>() as f32));
    }
    out
}

/// Most output planes whose products one thread sums: a constant, so that the order of summation depends on the shape only.
const GRAD_WEIGHT_PLANES: usize = 64;

/// Plane `d` of a volume of a tensor.
fn plane_of(tensor: &[f32], [depth, height, width]: [usize; 3], volume: usize, d: usize) -> &[f32] {
    &tensor[(volume * depth + d) * height * width..][..height * width]
}

/// Layout of the packed input planes of a strided, dilated stencil.
struct Packed {
    spec: DepthwiseSpec,
    input: [usize; 3],
    out: [usize; 3],
    /// Distance between packed rows; also the distance between rows of the sums.
    pitch: usize,
    /// Distance between the parts of a plane with even and odd rows or columns (stride 2).
    part: usize,
    /// Whether the taps reach packed rows of even, odd index (stride 2).
    row_parity: [bool; 2],
    stencil: Stencil,
    /// Output planes that one input plane can contribute to, and those between them.
    slots: usize,
}

impl Packed {
    fn new(xs: Shape, spec: DepthwiseSpec) -> Self {
        assert!(spec.kernel.iter().all(|k| k % 2 == 1), "kernel extents must be odd, found {:?}", spec.kernel);
        assert!(matches!(spec.stride, 1 | 2), "stride must be 1 or 2, found {}", spec.stride);
        let [.., d, h, w] = xs;
        let [.., od, oh, ow] = spec.out_shape(xs);
        let [pd, ph, pw] = spec.padding();
        let pitch = ow + pw;
        let rows = if spec.stride == 1 { h + 2 * ph } else { oh + ph };
        let part = rows * pitch + SLACK;
        let [_, kh, kw] = spec.kernel;
        let offset = |i: usize| {
            let (r, c) = (i / kw * spec.dilation, i % kw * spec.dilation);
            match spec.stride {
                1 => r * pitch + c,
                _ => (r % 2 * 2 + c % 2) * part + r / 2 * pitch + c / 2,
            }
        };
        Self {
            spec,
            input: [d, h, w],
            out: [od, oh, ow],
            pitch,
            part,
            row_parity: [true, kh > 1 && spec.dilation % 2 == 1],
            stencil: Stencil::new((0..kh * kw).map(offset).collect(), oh * pitch, pitch + SLACK),
            slots: 2 * pd / spec.stride + 1,
        }
    }

    fn plane_len(&self) -> usize {
        let parts = if self.spec.stride == 1 { 1 } else { 4 };
        self.stencil.source_len().max(parts * self.part) + SLACK
    }

    fn ring_len(&self) -> usize {
        self.slots * self.stencil.slot_len
    }

    /// The first input plane under the kernel of output plane `d`.
    fn first_source(&self, d: usize) -> usize {
        (d * self.spec.stride).saturating_sub(self.spec.padding()[0])
    }

    /// The last input plane under the kernel of output plane `d`.
    fn last_source(&self, d: usize) -> usize {
        (d * self.spec.stride + self.spec.padding()[0]).min(self.input[0] - 1)
    }

    /// The input planes under the kernels of output planes `start..end`.
    fn sources(&self, start: usize, end: usize) -> RangeInclusive<usize> {
        self.first_source(start)..=self.last_source(end - 1)
    }

    /// Finds the layers of the kernel by which input plane `i` contributes to an output plane in `range`.
    fn reached(&self, i: usize, range: Range<usize>, reached: &mut Vec<Reach>) {
        let [padding, ..] = self.spec.padding();
        reached.clear();
        reached.extend((0..self.spec.kernel[0]).filter_map(|k| {
            let center = (i + padding).checked_sub(k * self.spec.dilation)?;
            let d = center / self.spec.stride;
            (center.is_multiple_of(self.spec.stride) && range.contains(&d)).then_some(Reach { k, slot: d % self.slots })
        }));
    }

    fn pack(&self, to: &mut [f32], from: &[f32]) {
        vectorize(
            #[inline(always)]
            || self.pack_inlined(to, from),
        );
    }

    #[inline(always)]
    fn pack_inlined(&self, to: &mut [f32], from: &[f32]) {
        let [_, _, width] = self.input;
        let [_, ph, pw] = self.spec.padding();
        let activate = self.spec.activate();
        if self.spec.stride == 1 {
            let rows = Rows { origin: ph * self.pitch + pw, pitch: self.pitch, gap: pw };
            return pack(to, rows, from, width, 0.0, activate);
        }
        for (r, start) in (0..from.len()).step_by(width).enumerate() {
            let r = r + ph;
            if !self.row_parity[r % 2] {
                continue;
            }
            let row = &mut to[r % 2 * 2 * self.part + r / 2 * self.pitch..];
            let (left, right) = row.split_at_mut(self.part);
            // Element 0 is at packed column `pw`; the columns of one parity follow each other.
            let (even, odd) = if pw % 2 == 0 { (left, right) } else { (right, left) };
            let gap = self.pitch - self.out[2];
            split_row(&mut even[pw / 2..], &mut odd[pw.div_ceil(2)..], &from[start..], width, gap, activate);
        }
    }
}

/// The forward convolution; `finish` sees every finished output plane with its index.
fn correlate(x: &[f32], xs: Shape, w: &[f32], spec: DepthwiseSpec, finish: impl Fn(&mut [f32], usize) + Sync) -> Vec<f32> {
    let packed = Packed::new(xs, spec);
    let [batch, channels, depth, height, width] = spec.out_shape(xs);
    let plane_len = packed.plane_len();
    let fill = |slab: Slab, out: &mut [MaybeUninit<f32>]| {
        let kernel = &w[slab.volume % channels * spec.taps()..][..spec.taps()];
        with_floats(plane_len + packed.ring_len(), |scratch| {
            scratch.fill(0.0);
            let (plane, sums) = scratch.split_at_mut(plane_len);
            let mut reached = Vec::with_capacity(spec.kernel[0]);
            let mut unfinished = (slab.start..slab.end).zip(out.chunks_exact_mut(height * width)).peekable();
            for i in packed.sources(slab.start, slab.end) {
                packed.reached(i, slab.start..slab.end, &mut reached);
                if !reached.is_empty() {
                    packed.pack(plane, plane_of(x, packed.input, slab.volume, i));
                    packed.stencil.add_weighted(sums, &reached, kernel, plane);
                }
                while let Some((d, out)) = unfinished.next_if(|&(d, _)| packed.last_source(d) <= i) {
                    let slot_len = packed.stencil.slot_len;
                    let sums = &mut sums[d % packed.slots * slot_len..][..slot_len];
                    vectorize(
                        #[inline(always)]
                        || {
                            finish(unpack(out, sums, packed.pitch, width), slab.volume * depth + d);
                            sums.fill(0.0);
                        },
                    );
                }
            }
        });
    };
    // SAFETY: every plane of the slab is finished when its last source has been added.
    unsafe { collect_slabs([batch * channels, depth, height * width], packed.slots / 2, 2 * numel(xs), fill) }
}

/// The transpose of the stride-2 convolution. The elements of the input with one parity of (depth, height, width) are a
/// correlation of `g` with the taps that reach them; eight such correlations are interleaved.
fn spread(g: &[f32], xs: Shape, w: &[f32], spec: DepthwiseSpec, finish: impl Fn(&mut [f32], usize) + Sync) -> Vec<f32> {
    let [batch, channels, depth, height, width] = xs;
    let [.., od, oh, ow] = spec.out_shape(xs);
    let padding = spec.padding();
    let [_, ph, pw] = padding;
    let pitch = ow + pw.div_ceil(2);
    let rows = Rows { origin: ph / 2 * pitch + pw / 2, pitch, gap: pitch - ow };
    // Along one axis, the element of `parity` in pair `i` is reached by tap `k` from output `i - padding / 2 + reach`.
    let reach = |axis: usize, parity: usize, k: usize| {
        let ahead = parity + padding[axis] + 2 * (padding[axis] / 2);
        ahead.checked_sub(k * spec.dilation).filter(|twice| twice.is_multiple_of(2)).map(|twice| twice / 2)
    };
    let [_, kh, kw] = spec.kernel;
    let taps = kh * kw;
    // For each parity of row and column, the taps that reach it and their stencil.
    let classes: [(Vec<usize>, Stencil); 4] = std::array::from_fn(|class| {
        let offset = |i: usize| Some(reach(1, class / 2, i / kw)? * pitch + reach(2, class % 2, i % kw)?);
        let (which, offsets) = (0..taps).filter_map(|i| Some((i, offset(i)?))).unzip();
        (which, Stencil::new(offsets, oh * pitch, pitch + SLACK))
    });
    let slot_len = classes[0].1.slot_len;
    let plane_len = (oh + ph) * pitch + pw + slot_len;
    let fill = |slab: Slab, out: &mut [MaybeUninit<f32>]| {
        let kernel = &w[slab.volume % channels * spec.taps()..][..spec.taps()];
        let kernels = classes
            .each_ref()
            .map(|(which, _)| -> Vec<f32> { kernel.chunks_exact(taps).flat_map(|layer| which.iter().map(|&i| layer[i])).collect() });
        with_floats(plane_len + 4 * slot_len, |scratch| {
            scratch.fill(0.0);
            let (plane, sums) = scratch.split_at_mut(plane_len);
            for (d, out) in (slab.start..slab.end).zip(out.chunks_exact_mut(height * width)) {
                sums.fill(0.0);
                for k in 0..spec.kernel[0] {
                    let source = reach(0, d % 2, k).and_then(|reach| (d / 2 + reach).checked_sub(padding[0] / 2));
                    let Some(source) = source.filter(|&source| source < od) else { continue };
                    vectorize(
                        #[inline(always)]
                        || pack(plane, rows, plane_of(g, [od, oh, ow], slab.volume, source), ow, 0.0, |v| v),
                    );
                    let sums = sums.chunks_exact_mut(slot_len);
                    for ((sums, (_, stencil)), kernel) in sums.zip(&classes).zip(&kernels) {
                        stencil.add_weighted(sums, &[Reach { k, slot: 0 }], kernel, plane);
                    }
                }
                vectorize(
                    #[inline(always)]
                    || {
                        for r in 0..height {
                            let (even, odd) = sums[r % 2 * 2 * slot_len..][..2 * slot_len].split_at(slot_len);
                            join_row(&mut out[r * width..], width, &even[r / 2 * pitch..], &odd[r / 2 * pitch..]);
                        }
                        // SAFETY: the loop wrote every row of the plane.
                        finish(unsafe { out.assume_init_mut() }, slab.volume * depth + d);
                    },
                );
            }
        });
    };
    // SAFETY: every plane of the slab is written by the loop over its rows.
    unsafe { collect_slabs([batch * channels, depth, height * width], padding[0], 2 * numel(xs), fill) }
}
