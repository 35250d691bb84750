//! Dense 3-D convolution and transposed convolution (cross-correlation, as everywhere in deep
//! learning), without bias, with an optional LeakyReLU on the input that costs no memory pass of
//! its own.
//!
//! Padding is "same": `(k - 1) / 2` zeros on both sides of an axis; the output has `ceil(input /
//! stride)` elements.

mod correlate;
pub mod grad_weight;
mod microkernel;
mod pack;
mod tile;
pub mod winograd;

use crate::kernel::conv::correlate::{Correlation, KernelTap, Operand, Weights};
use crate::kernel::conv::tile::{Axes, Axis};
use crate::kernel::{Shape, numel};

/// What kind of convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvSpec {
    /// Kernel extent along depth, height and width: 1 or 3 each.
    pub kernel: [usize; 3],
    /// Along depth, height and width: 1 or 2 each.
    pub stride: [usize; 3],
    /// Slope of a LeakyReLU applied to the input before the convolution; `None` for no activation.
    pub slope: Option<f32>,
}

impl ConvSpec {
    /// Panics on a kernel or stride that the kernels do not know.
    pub(super) fn check(&self) {
        assert!(
            self.kernel.iter().all(|&k| k == 1 || k == 3),
            "a kernel of {:?} is not supported: 1 or 3 per axis",
            self.kernel
        );
        assert!(
            self.stride.iter().all(|&s| s == 1 || s == 2),
            "a stride of {:?} is not supported: 1 or 2 per axis",
            self.stride
        );
    }
}

/// Shape of the output of [`conv3d`].
pub fn out_shape([batch, _, d, h, w]: Shape, out_channels: usize, spec: &ConvSpec) -> Shape {
    let [sd, sh, sw] = spec.stride;
    [batch, out_channels, d.div_ceil(sd), h.div_ceil(sh), w.div_ceil(sw)]
}

/// Shape of the output of [`conv_transpose3d`].
pub fn out_shape_transpose(
    [batch, _, d, h, w]: Shape,
    out_channels: usize,
    spec: &ConvSpec,
) -> Shape {
    let [sd, sh, sw] = spec.stride;
    [batch, out_channels, sd * d, sh * h, sw * w]
}

/// Convolution of `x` (shape `xs`) with `w` (`[out_channels, channels, kd, kh, kw]`); shape of the
/// result: [`out_shape`].
pub fn conv3d(x: &[f32], xs: Shape, w: &[f32], out_channels: usize, spec: ConvSpec) -> Vec<f32> {
    check(x, xs, w, out_channels, &spec);
    let taps = kernel_size(&spec);
    let weights = Weights { data: w, out_channel: xs[1] * taps, source_channel: taps };
    gather(
        Operand { data: x, shape: xs, slope: spec.slope },
        weights,
        all_taps(&spec),
        out_channels,
        &spec,
        None,
    )
}

/// Gradient of [`conv3d`] with respect to `x` (its result has shape `xs`), given the gradient `g`
/// with respect to its output.
pub fn conv3d_grad_input(
    g: &[f32],
    w: &[f32],
    x: &[f32],
    xs: Shape,
    out_channels: usize,
    spec: ConvSpec,
) -> Vec<f32> {
    check(x, xs, w, out_channels, &spec);
    let taps = kernel_size(&spec);
    let weights = Weights { data: w, out_channel: taps, source_channel: xs[1] * taps };
    let g = Operand { data: g, shape: out_shape(xs, out_channels, &spec), slope: None };
    scatter(g, weights, xs, &spec, spec.slope.map(|slope| (x, slope)))
}

/// Transposed convolution, the adjoint of the convolution of this spec but for its activation, which
/// is of `x` here: the output is `stride` times as large along every axis (see
/// [`out_shape_transpose`]). `w` is `[channels, out_channels, kd, kh, kw]`.
pub fn conv_transpose3d(
    x: &[f32],
    xs: Shape,
    w: &[f32],
    out_channels: usize,
    spec: ConvSpec,
) -> Vec<f32> {
    check(x, xs, w, out_channels, &spec);
    let taps = kernel_size(&spec);
    let weights = Weights { data: w, out_channel: taps, source_channel: out_channels * taps };
    let x = Operand { data: x, shape: xs, slope: spec.slope };
    scatter(x, weights, out_shape_transpose(xs, out_channels, &spec), &spec, None)
}

/// Gradient of [`conv_transpose3d`] with respect to `x` (its result has shape `xs`), given the
/// gradient `g` with respect to its output.
pub fn conv_transpose3d_grad_input(
    g: &[f32],
    w: &[f32],
    x: &[f32],
    xs: Shape,
    out_channels: usize,
    spec: ConvSpec,
) -> Vec<f32> {
    check(x, xs, w, out_channels, &spec);
    let taps = kernel_size(&spec);
    let weights = Weights { data: w, out_channel: out_channels * taps, source_channel: taps };
    let g = Operand { data: g, shape: out_shape_transpose(xs, out_channels, &spec), slope: None };
    gather(g, weights, all_taps(&spec), xs[1], &spec, spec.slope.map(|slope| (x, slope)))
}

/// Every output element is a weighted sum of the source elements around `stride` times its own
/// index.
fn gather(
    source: Operand,
    weights: Weights,
    taps: Vec<KernelTap>,
    out_channels: usize,
    spec: &ConvSpec,
    derivative: Option<(&[f32], f32)>,
) -> Vec<f32> {
    if winograd::worth(source.shape, out_channels, spec) {
        return winograd::correlate(source, weights, &taps, out_channels, derivative);
    }
    let axes = gather_axes(source.shape, spec);
    let out = axes.map(|a| a.positions);
    let (taps, step) = (vec![taps], [1; 3]);
    Correlation { source, out_channels, axes, weights, taps, step, out, derivative }.compute()
}

/// The adjoint of [`gather`]: every source element is spread over the output elements around
/// `stride` times its index.
fn scatter(
    source: Operand,
    weights: Weights,
    out: Shape,
    spec: &ConvSpec,
    derivative: Option<(&[f32], f32)>,
) -> Vec<f32> {
    if spec.stride == [1; 3] {
        // The kernel is symmetric about its centre but for its weights: gathering with these in
        // reverse is the adjoint.
        let mut taps = all_taps(spec);
        let last = taps.len() - 1;
        taps.iter_mut().for_each(|t| t.weight = last - t.weight);
        return gather(source, weights, taps, out[1], spec, derivative);
    }
    // Along an axis of stride 2, output element 2p + phase gets weight k of source element o where
    // 2o + k - (K - 1) / 2 = 2p + phase: (o, k) = (p, 1) for phase 0; (p, 2) and (p + 1, 0) for
    // phase 1; with a kernel of 1 only (p, 0) for phase 0. Along one of stride 1, element p gets
    // weight k of o = p + (K - 1) / 2 - k.
    let pairs = |a: usize, phase: usize| -> &[(usize, usize)] {
        match (spec.stride[a], spec.kernel[a], phase) {
            (1, 3, _) => &[(0, 2), (1, 1), (2, 0)],
            (1, ..) => &[(0, 0)],
            (_, 3, 0) => &[(0, 1)],
            (_, 3, _) => &[(0, 2), (1, 0)],
            (_, _, 0) => &[(0, 0)],
            _ => &[],
        }
    };
    let [_, sh, sw] = spec.stride;
    let taps = (0..spec.stride.iter().product()).map(|phase| {
        let mut taps = Vec::new();
        for &(d, kd) in pairs(0, phase / (sh * sw)) {
            for &(h, kh) in pairs(1, phase / sw % sh) {
                for &(w, kw) in pairs(2, phase % sw) {
                    taps.push(KernelTap {
                        at: [d, h, w],
                        weight: (kd * spec.kernel[1] + kh) * spec.kernel[2] + kw,
                    });
                }
            }
        }
        taps
    });
    let axes = [0, 1, 2].map(|a| {
        let extent = source.shape[2 + a];
        let (lead, taps) = match spec.stride[a] {
            1 => (spec.kernel[a] / 2, spec.kernel[a]),
            _ => (0, spec.kernel[a].div_ceil(2)),
        };
        Axis { source: extent, positions: extent, stride: 1, lead, taps }
    });
    Correlation {
        source,
        out_channels: out[1],
        axes,
        weights,
        taps: taps.collect(),
        step: spec.stride,
        out: [out[2], out[3], out[4]],
        derivative,
    }
    .compute()
}

/// The axes of a "same" convolution of a tensor of this shape.
pub(super) fn gather_axes(shape: Shape, spec: &ConvSpec) -> Axes {
    let mut extent = [shape[2], shape[3], shape[4]];
    if spec.kernel == [1, 1, 1] && spec.stride == [1; 3] {
        // No neighbours: the volume is one long row.
        extent = [1, 1, extent.iter().product()];
    }
    [0, 1, 2].map(|a| Axis {
        source: extent[a],
        positions: extent[a].div_ceil(spec.stride[a]),
        stride: spec.stride[a],
        lead: spec.kernel[a] / 2,
        taps: spec.kernel[a],
    })
}

/// All elements of the kernel, in memory order.
pub(super) fn all_taps(spec: &ConvSpec) -> Vec<KernelTap> {
    let [kd, kh, kw] = spec.kernel;
    (0..kd * kh * kw)
        .map(|i| KernelTap { at: [i / (kh * kw), i / kw % kh, i % kw], weight: i })
        .collect()
}

/// Number of elements of the kernel.
pub(super) fn kernel_size(spec: &ConvSpec) -> usize {
    spec.kernel.iter().product()
}

/// The unsafe code relies on these; a caller's mistake must not become undefined behaviour.
fn check(x: &[f32], xs: Shape, w: &[f32], out_channels: usize, spec: &ConvSpec) {
    spec.check();
    assert_eq!(x.len(), numel(xs), "the input of a convolution must have the shape {xs:?}");
    let weights = out_channels * xs[1] * kernel_size(spec);
    assert_eq!(
        w.len(),
        weights,
        "the weights of a convolution {} -> {out_channels}, kernel {:?}",
        xs[1],
        spec.kernel
    );
}
