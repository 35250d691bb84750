//! Depthwise convolution, its adjoint and the gradient of its weights.

mod grad_weight;

use cubecl::prelude::*;

use super::{
    Buffer, Extent, UNITS, activated, buffers, cubes, extent, gated, group_len, groups, item,
    numbers, optional_buffers, places, row, tap,
    together::{Task, launch},
    voxel, voxels, window_over,
};
use crate::DepthwiseSpec;

pub use grad_weight::grad_weight;

/// Convolution of `x`, shaped `xs`.
pub fn depthwise(x: &Buffer, xs: [usize; 5], weight: &Buffer, spec: DepthwiseSpec) -> Buffer {
    let out = x.empty(spec.out_shape(xs).iter().product());
    let (x, weight) = (x.clone(), weight.clone());
    launch(Convolution { x, weight, out: out.clone(), xs, spec });
    out
}

/// Whether two specs differ in no more than the dilation, which kernels are told.
fn are_alike(a: DepthwiseSpec, b: DepthwiseSpec) -> bool {
    a == DepthwiseSpec { dilation: a.dilation, ..b }
}

struct Convolution {
    x: Buffer,
    weight: Buffer,
    out: Buffer,
    xs: [usize; 5],
    spec: DepthwiseSpec,
}

impl Task for Convolution {
    fn reads(&self) -> Vec<&Buffer> {
        vec![&self.x, &self.weight]
    }

    fn fills(&self) -> Vec<&Buffer> {
        vec![&self.out]
    }

    fn is_like(&self, other: &Self) -> bool {
        self.xs == other.xs && are_alike(self.spec, other.spec)
    }

    fn launch(tasks: &[&Self]) {
        let Self { x, xs, spec, .. } = tasks[0];
        let (ys, most) = (spec.out_shape(*xs), group_len(x, 3, 0));
        let rows = ys[0] * ys[1];
        for tasks in groups(tasks, most, rows) {
            let places = places(tasks.len(), most);
            // SAFETY: taps are inside `xs` and of the weights of their channel, results inside `ys`.
            unsafe {
                depthwise_kernel::launch_unchecked(
                    x.client(),
                    cubes(voxels(ys), UNITS, rows * tasks.len()),
                    CubeDim::new_1d(UNITS),
                    buffers(tasks, places, |task| &task.x),
                    buffers(tasks, places, |task| &task.weight),
                    buffers(tasks, places, |task| &task.out),
                    numbers(tasks, places, |task| task.spec.dilation as i32),
                    extent(*xs),
                    extent(ys),
                    xs[1],
                    rows,
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
fn depthwise_kernel(
    xs: Sequence<&'static [f32]>,
    weights: Sequence<&'static [f32]>,
    mut outs: Sequence<&'static mut [f32]>,
    dilations: Sequence<i32>,
    from: Extent,
    to: Extent,
    channels: usize,
    rows: usize,
    slope: f32,
    #[comptime] kernel: [usize; 3],
    #[comptime] stride: [usize; 3],
    #[comptime] is_activated: bool,
) {
    let place = item();
    let count = to.d * to.h * to.w;
    if place >= count {
        terminate!();
    }
    let (d, h, w) = voxel(place, &to);
    let (task, row) = (row() / rows, row() % rows);
    let base = row * from.d * from.h * from.w;
    let first = row % channels * comptime!(kernel[0] * kernel[1] * kernel[2]);
    #[unroll]
    for n in 0..xs.len() {
        if task == n {
            let dilation = dilations[n];
            let mut sum = 0.0f32;
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
                        let value = select(in_d && in_h && in_w, xs[n][line + zw], 0.0f32);
                        let factor =
                            weights[n][first + comptime!((i * kernel[1] + j) * kernel[2] + k)];
                        sum += factor * activated(value, slope, is_activated);
                    }
                }
            }
            let out = &mut outs[n];
            out[row * count + place] = sum;
        }
    }
}

/// Where tap `i` of a kernel is without dilation, seen from its centre.
fn offset(i: usize, kernel: usize) -> i32 {
    i as i32 - kernel as i32 / 2
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
    let (g, weight, x) = (g.clone(), weight.clone(), spec.slope.map(|_| x.clone()));
    launch(Adjoint { g, weight, x, out: out.clone(), xs, spec });
    out
}

struct Adjoint {
    g: Buffer,
    weight: Buffer,
    /// What went through the LeakyReLU, if there is one.
    x: Option<Buffer>,
    out: Buffer,
    xs: [usize; 5],
    spec: DepthwiseSpec,
}

impl Task for Adjoint {
    fn reads(&self) -> Vec<&Buffer> {
        [&self.g, &self.weight].into_iter().chain(&self.x).collect()
    }

    fn fills(&self) -> Vec<&Buffer> {
        vec![&self.out]
    }

    fn is_like(&self, other: &Self) -> bool {
        self.xs == other.xs && are_alike(self.spec, other.spec)
    }

    fn launch(tasks: &[&Self]) {
        let Self { g, xs, spec, .. } = tasks[0];
        let (rows, most) = (xs[0] * xs[1], group_len(g, 4, 0));
        for tasks in groups(tasks, most, rows) {
            let places = places(tasks.len(), most);
            // SAFETY: taps are inside the result of `xs` and of the weights of their channel, the
            // others inside `xs`.
            unsafe {
                adjoint_kernel::launch_unchecked(
                    g.client(),
                    cubes(voxels(*xs), UNITS, rows * tasks.len()),
                    CubeDim::new_1d(UNITS),
                    buffers(tasks, places, |task| &task.g),
                    buffers(tasks, places, |task| &task.weight),
                    optional_buffers(tasks, places, |task| task.x.as_ref()),
                    buffers(tasks, places, |task| &task.out),
                    numbers(tasks, places, |task| task.spec.dilation as i32),
                    extent(*xs),
                    extent(spec.out_shape(*xs)),
                    xs[1],
                    rows,
                    spec.slope.unwrap_or(1.0),
                    spec.kernel,
                    spec.stride,
                );
            }
        }
    }
}

/// A voxel of the input gathers from the results that it went into.
#[cube(launch_unchecked)]
fn adjoint_kernel(
    gs: Sequence<&'static [f32]>,
    weights: Sequence<&'static [f32]>,
    gates: Sequence<&'static [f32]>,
    mut outs: Sequence<&'static mut [f32]>,
    dilations: Sequence<i32>,
    from: Extent,
    to: Extent,
    channels: usize,
    rows: usize,
    slope: f32,
    #[comptime] kernel: [usize; 3],
    #[comptime] stride: [usize; 3],
) {
    let place = item();
    let count = from.d * from.h * from.w;
    if place >= count {
        terminate!();
    }
    let (d, h, w) = voxel(place, &from);
    let (task, row) = (row() / rows, row() % rows);
    let base = row * to.d * to.h * to.w;
    let first = row % channels * comptime!(kernel[0] * kernel[1] * kernel[2]);
    let at = row * count + place;
    #[unroll]
    for n in 0..comptime!(gs.len()) {
        if task == n {
            let dilation = dilations[n];
            let mut sum = 0.0f32;
            #[unroll]
            for i in 0..comptime!(kernel[0]) {
                let (zd, in_d) = window_over(
                    d,
                    dilation * comptime!(offset(i, kernel[0])),
                    comptime!(stride[0]),
                    to.d,
                );
                #[unroll]
                for j in 0..comptime!(kernel[1]) {
                    let (zh, in_h) = window_over(
                        h,
                        dilation * comptime!(offset(j, kernel[1])),
                        comptime!(stride[1]),
                        to.h,
                    );
                    let line = base + (zd * to.h + zh) * to.w;
                    #[unroll]
                    for k in 0..comptime!(kernel[2]) {
                        let (zw, in_w) = window_over(
                            w,
                            dilation * comptime!(offset(k, kernel[2])),
                            comptime!(stride[2]),
                            to.w,
                        );
                        let value = select(in_d && in_h && in_w, gs[n][line + zw], 0.0f32);
                        sum += weights[n][first + comptime!((i * kernel[1] + j) * kernel[2] + k)]
                            * value;
                    }
                }
            }
            let out = &mut outs[n];
            out[at] = gated(sum, &gates, n, slope, at);
        }
    }
}
