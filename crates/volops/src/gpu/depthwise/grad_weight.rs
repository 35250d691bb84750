//! The gradient of the weights of a depthwise convolution.

use cubecl::prelude::*;

use super::{are_alike, offset};
use crate::{
    DepthwiseSpec,
    gpu::{
        Buffer, CUBES, Extent, activated, buffers, extent, group_len, groups, numbers, places,
        reduce::reduce,
        row, tap,
        together::{Task, launch},
        voxel, voxels,
    },
};

/// Units of a cube that makes shares of the gradient of weights: what each has of 27 taps fits into
/// the 16 KiB that all devices have.
const TAP_UNITS: u32 = 128;

/// The gradient of [`depthwise`](super::depthwise) of its weights.
pub fn grad_weight(g: &Buffer, x: &Buffer, xs: [usize; 5], spec: DepthwiseSpec) -> Buffer {
    let len = xs[1] * spec.kernel.iter().product::<usize>();
    let shares = shares(xs, spec);
    let out = g.empty(shares * len);
    launch(Weights { g: g.clone(), x: x.clone(), out: out.clone(), xs, spec });
    if shares == 1 { out } else { reduce(&out, len) }
}

/// Shares of the gradient of the weights.
fn shares(xs @ [batch, channels, ..]: [usize; 5], spec: DepthwiseSpec) -> usize {
    let visits = batch * voxels(spec.out_shape(xs));
    visits.div_ceil(4 * TAP_UNITS as usize).clamp(1, (CUBES / channels).max(1))
}

struct Weights {
    g: Buffer,
    x: Buffer,
    /// Shares.
    out: Buffer,
    xs: [usize; 5],
    spec: DepthwiseSpec,
}

impl Task for Weights {
    fn reads(&self) -> Vec<&Buffer> {
        vec![&self.g, &self.x]
    }

    fn fills(&self) -> Vec<&Buffer> {
        vec![&self.out]
    }

    fn is_like(&self, other: &Self) -> bool {
        self.xs == other.xs && are_alike(self.spec, other.spec)
    }

    fn launch(tasks: &[&Self]) {
        let Self { g, xs: xs @ [batch, channels, ..], spec, .. } = tasks[0];
        let most = group_len(g, 3, 0);
        for tasks in groups(tasks, most, *channels) {
            let places = places(tasks.len(), most);
            let rows = channels * tasks.len();
            // SAFETY: taps are inside `xs`, results inside its result, and each cube has a share of
            // its own.
            unsafe {
                weight_kernel::launch_unchecked(
                    g.client(),
                    CubeCount::Static(shares(*xs, *spec) as u32, rows as u32, 1),
                    CubeDim::new_1d(TAP_UNITS),
                    buffers(tasks, places, |task| &task.g),
                    buffers(tasks, places, |task| &task.x),
                    buffers(tasks, places, |task| &task.out),
                    numbers(tasks, places, |task| task.spec.dilation as i32),
                    extent(*xs),
                    extent(spec.out_shape(*xs)),
                    *batch,
                    *channels,
                    spec.slope.unwrap_or(1.0),
                    spec.kernel,
                    spec.stride,
                    spec.slope.is_some(),
                );
            }
        }
    }
}

#[cube(launch_unchecked)]
fn weight_kernel(
    gs: Sequence<&'static [f32]>,
    xs: Sequence<&'static [f32]>,
    mut outs: Sequence<&'static mut [f32]>,
    dilations: Sequence<i32>,
    from: Extent,
    to: Extent,
    batch: usize,
    channels: usize,
    slope: f32,
    #[comptime] kernel: [usize; 3],
    #[comptime] stride: [usize; 3],
    #[comptime] is_activated: bool,
) {
    let taps = comptime!(kernel[0] * kernel[1] * kernel[2]);
    let mut sums = Array::<f32>::new(taps);
    #[unroll]
    for i in 0..taps {
        sums[i] = 0.0f32;
    }
    let (task, own) = (row() / channels, row() % channels);
    let count = to.d * to.h * to.w;
    let unit = UNIT_POS as usize;
    let step = CUBE_COUNT_X as usize * comptime!(TAP_UNITS as usize);
    #[unroll]
    for n in 0..comptime!(gs.len()) {
        if task == n {
            let dilation = dilations[n];
            let mut at = CUBE_POS_X as usize * comptime!(TAP_UNITS as usize) + unit;
            while at < batch * count {
                let (d, h, w) = voxel(at % count, &to);
                let channel = at / count * channels + own;
                let base = channel * from.d * from.h * from.w;
                let value = gs[n][channel * count + at % count];
                #[unroll]
                for i in 0..comptime!(kernel[0]) {
                    let (zd, in_d) = tap(
                        d * comptime!(stride[0]),
                        dilation * comptime!(offset(i, kernel[0])),
                        from.d,
                    );
                    #[unroll]
                    for j in 0..comptime!(kernel[1]) {
                        let (zh, in_h) = tap(
                            h * comptime!(stride[1]),
                            dilation * comptime!(offset(j, kernel[1])),
                            from.h,
                        );
                        let line = base + (zd * from.h + zh) * from.w;
                        #[unroll]
                        for k in 0..comptime!(kernel[2]) {
                            let (zw, in_w) = tap(
                                w * comptime!(stride[2]),
                                dilation * comptime!(offset(k, kernel[2])),
                                from.w,
                            );
                            let read = select(in_d && in_h && in_w, xs[n][line + zw], 0.0f32);
                            sums[comptime!((i * kernel[1] + j) * kernel[2] + k)] +=
                                value * activated(read, slope, is_activated);
                        }
                    }
                }
                at += step;
            }
        }
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
        #[unroll]
        for n in 0..outs.len() {
            if task == n {
                let out = &mut outs[n];
                out[(CUBE_POS_X as usize * channels + own) * taps + unit] = sum;
            }
        }
    }
}
