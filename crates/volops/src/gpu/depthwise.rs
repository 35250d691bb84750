//! Depthwise convolution, its adjoint and the gradient of its weights.

use cubecl::prelude::*;

use super::{
    Buffer, CUBES, Extent, UNITS, activated, buffer::optional, cubes, extent, gated, item,
    reduce::reduce, row, tap, voxel, voxels, window_over,
};
use crate::DepthwiseSpec;

/// Convolution of `x`, shaped `xs`.
pub fn depthwise(x: &Buffer, xs: [usize; 5], weight: &Buffer, spec: DepthwiseSpec) -> Buffer {
    let ys = spec.out_shape(xs);
    let out = x.empty(ys.iter().product());
    // SAFETY: taps are inside `xs` and of the weights of their channel, results inside `ys`.
    unsafe {
        depthwise_kernel::launch_unchecked(
            x.client(),
            cubes(voxels(ys), UNITS, ys[0] * ys[1]),
            CubeDim::new_1d(UNITS),
            x.arg(),
            weight.arg(),
            out.arg(),
            extent(xs),
            extent(ys),
            xs[1],
            spec.slope.unwrap_or(1.0),
            spec.kernel,
            spec.stride,
            spec.dilation,
            spec.slope.is_some(),
        );
    }
    out
}

#[cube(launch_unchecked)]
fn depthwise_kernel(
    x: &[f32],
    weight: &[f32],
    out: &mut [f32],
    from: Extent,
    to: Extent,
    channels: usize,
    slope: f32,
    #[comptime] kernel: [usize; 3],
    #[comptime] stride: [usize; 3],
    #[comptime] dilation: usize,
    #[comptime] is_activated: bool,
) {
    let place = item();
    let count = to.d * to.h * to.w;
    if place >= count {
        terminate!();
    }
    let (d, h, w) = voxel(place, &to);
    let base = row() * from.d * from.h * from.w;
    let first = row() % channels * comptime!(kernel[0] * kernel[1] * kernel[2]);
    let mut sum = 0.0f32;
    #[unroll]
    for i in 0..comptime!(kernel[0]) {
        let (zd, in_d) =
            tap(d * comptime!(stride[0]), comptime!(offset(i, kernel[0], dilation)), from.d);
        #[unroll]
        for j in 0..comptime!(kernel[1]) {
            let (zh, in_h) =
                tap(h * comptime!(stride[1]), comptime!(offset(j, kernel[1], dilation)), from.h);
            let line = base + (zd * from.h + zh) * from.w;
            #[unroll]
            for k in 0..comptime!(kernel[2]) {
                let (zw, in_w) = tap(
                    w * comptime!(stride[2]),
                    comptime!(offset(k, kernel[2], dilation)),
                    from.w,
                );
                let value = select(in_d && in_h && in_w, x[line + zw], 0.0f32);
                let factor = weight[first + comptime!((i * kernel[1] + j) * kernel[2] + k)];
                sum += factor * activated(value, slope, is_activated);
            }
        }
    }
    out[row() * count + place] = sum;
}

/// Where tap `i` of a kernel is, seen from its centre.
fn offset(i: usize, kernel: usize, dilation: usize) -> i32 {
    (i as i32 - kernel as i32 / 2) * dilation as i32
}

/// The gradient of [`depthwise`] of `x`, given that of the result, `g`.
pub fn grad_input(
    g: &Buffer,
    x: &Buffer,
    xs: [usize; 5],
    weight: &Buffer,
    spec: DepthwiseSpec,
) -> Buffer {
    let out = g.empty(xs.iter().product());
    // SAFETY: taps are inside the result of `xs` and of the weights of their channel, the others
    // inside `xs`.
    unsafe {
        adjoint_kernel::launch_unchecked(
            g.client(),
            cubes(voxels(xs), UNITS, xs[0] * xs[1]),
            CubeDim::new_1d(UNITS),
            g.arg(),
            weight.arg(),
            optional(spec.slope.map(|_| x)),
            out.arg(),
            extent(xs),
            extent(spec.out_shape(xs)),
            xs[1],
            spec.slope.unwrap_or(1.0),
            spec.kernel,
            spec.stride,
            spec.dilation,
        );
    }
    out
}

/// A voxel of the input gathers from the results that it went into.
#[cube(launch_unchecked)]
fn adjoint_kernel(
    g: &[f32],
    weight: &[f32],
    x: ComptimeOption<&[f32]>,
    out: &mut [f32],
    from: Extent,
    to: Extent,
    channels: usize,
    slope: f32,
    #[comptime] kernel: [usize; 3],
    #[comptime] stride: [usize; 3],
    #[comptime] dilation: usize,
) {
    let place = item();
    let count = from.d * from.h * from.w;
    if place >= count {
        terminate!();
    }
    let (d, h, w) = voxel(place, &from);
    let base = row() * to.d * to.h * to.w;
    let first = row() % channels * comptime!(kernel[0] * kernel[1] * kernel[2]);
    let mut sum = 0.0f32;
    #[unroll]
    for i in 0..comptime!(kernel[0]) {
        let (zd, in_d) =
            window_over(d, comptime!(offset(i, kernel[0], dilation)), comptime!(stride[0]), to.d);
        #[unroll]
        for j in 0..comptime!(kernel[1]) {
            let (zh, in_h) = window_over(
                h,
                comptime!(offset(j, kernel[1], dilation)),
                comptime!(stride[1]),
                to.h,
            );
            let line = base + (zd * to.h + zh) * to.w;
            #[unroll]
            for k in 0..comptime!(kernel[2]) {
                let (zw, in_w) = window_over(
                    w,
                    comptime!(offset(k, kernel[2], dilation)),
                    comptime!(stride[2]),
                    to.w,
                );
                let value = select(in_d && in_h && in_w, g[line + zw], 0.0f32);
                sum += weight[first + comptime!((i * kernel[1] + j) * kernel[2] + k)] * value;
            }
        }
    }
    let at = row() * count + place;
    out[at] = gated(sum, x, slope, at);
}

/// Units of a cube that makes shares of the gradient of weights: what each has of 27 taps fits into
/// the 16 KiB that all devices have.
const TAP_UNITS: u32 = 128;

/// The gradient of [`depthwise`] of its weights.
pub fn grad_weight(g: &Buffer, x: &Buffer, xs: [usize; 5], spec: DepthwiseSpec) -> Buffer {
    let [batch, channels, ..] = xs;
    let taps: usize = spec.kernel.iter().product();
    let ys = spec.out_shape(xs);
    let shares =
        (batch * voxels(ys)).div_ceil(4 * TAP_UNITS as usize).clamp(1, (CUBES / channels).max(1));
    let out = g.empty(shares * channels * taps);
    // SAFETY: taps are inside `xs`, results inside `ys`, and each cube has a share of its own.
    unsafe {
        weight_kernel::launch_unchecked(
            g.client(),
            CubeCount::Static(shares as u32, channels as u32, 1),
            CubeDim::new_1d(TAP_UNITS),
            g.arg(),
            x.arg(),
            out.arg(),
            extent(xs),
            extent(ys),
            batch,
            channels,
            spec.slope.unwrap_or(1.0),
            spec.kernel,
            spec.stride,
            spec.dilation,
            spec.slope.is_some(),
        );
    }
    if shares == 1 { out } else { reduce(&out, channels * taps) }
}

#[cube(launch_unchecked)]
fn weight_kernel(
    g: &[f32],
    x: &[f32],
    out: &mut [f32],
    from: Extent,
    to: Extent,
    batch: usize,
    channels: usize,
    slope: f32,
    #[comptime] kernel: [usize; 3],
    #[comptime] stride: [usize; 3],
    #[comptime] dilation: usize,
    #[comptime] is_activated: bool,
) {
    let taps = comptime!(kernel[0] * kernel[1] * kernel[2]);
    let mut sums = Array::<f32>::new(taps);
    #[unroll]
    for i in 0..taps {
        sums[i] = 0.0f32;
    }
    let count = to.d * to.h * to.w;
    let unit = UNIT_POS as usize;
    let mut at = CUBE_POS_X as usize * comptime!(TAP_UNITS as usize) + unit;
    let step = CUBE_COUNT_X as usize * comptime!(TAP_UNITS as usize);
    while at < batch * count {
        let (d, h, w) = voxel(at % count, &to);
        let channel = at / count * channels + row();
        let base = channel * from.d * from.h * from.w;
        let value = g[channel * count + at % count];
        #[unroll]
        for i in 0..comptime!(kernel[0]) {
            let (zd, in_d) =
                tap(d * comptime!(stride[0]), comptime!(offset(i, kernel[0], dilation)), from.d);
            #[unroll]
            for j in 0..comptime!(kernel[1]) {
                let (zh, in_h) = tap(
                    h * comptime!(stride[1]),
                    comptime!(offset(j, kernel[1], dilation)),
                    from.h,
                );
                let line = base + (zd * from.h + zh) * from.w;
                #[unroll]
                for k in 0..comptime!(kernel[2]) {
                    let (zw, in_w) = tap(
                        w * comptime!(stride[2]),
                        comptime!(offset(k, kernel[2], dilation)),
                        from.w,
                    );
                    let read = select(in_d && in_h && in_w, x[line + zw], 0.0f32);
                    sums[comptime!((i * kernel[1] + j) * kernel[2] + k)] +=
                        value * activated(read, slope, is_activated);
                }
            }
        }
        at += step;
    }
    let mut parts = Shared::<[f32]>::new_slice(comptime!(TAP_UNITS as usize * taps));
    #[unroll]
    for i in 0..taps {
        parts[unit * taps + i] = sums[i];
    }
    sync_cube();
    if unit < taps {
        let mut sum = 0.0f32;
        for i in 0..comptime!(TAP_UNITS as usize) {
            sum += parts[i * taps + unit];
        }
        out[(CUBE_POS_X as usize * channels + row()) * taps + unit] = sum;
    }
}
