//! Convolution: every voxel of the result from a window of the operand.

use cubecl::prelude::*;

use super::{
    BLOCK, CONV_UNITS, Gate, LANES, Operand, Order, VECTORS, Window, chunk, coarse, stage,
};
use crate::{
    ConvSpec,
    gpu::{
        Buffer, Extent, activated, buffers, cubes, extent, gated, groups, item, optional_buffers,
        places, row, tap,
        together::{Task, launch},
        voxel,
    },
};

/// Neighbouring voxels along the width that a unit makes.
const STRIP: usize = 4;

/// The convolution of `x` with `results` kernels, strides and kernel as in `spec`, whose slope is
/// not looked at.
pub fn correlate(
    x: Operand,
    weight: &Buffer,
    order: Order,
    results: usize,
    spec: &ConvSpec,
    gate: Option<Gate>,
) -> Buffer {
    let ys = coarse(x.shape, results, spec);
    let window = Window::new(x, weight, ys, spec, gate);
    let out = window.out.clone();
    launch(Correlation { window, order });
    out
}

struct Correlation {
    window: Window,
    order: Order,
}

impl Task for Correlation {
    fn reads(&self) -> Vec<&Buffer> {
        self.window.reads()
    }

    fn fills(&self) -> Vec<&Buffer> {
        vec![&self.window.out]
    }

    fn is_like(&self, other: &Self) -> bool {
        self.order == other.order && self.window.is_like(&other.window)
    }

    fn launch(tasks: &[&Self]) {
        let (order, Window { x, xs, ys, spec, .. }) = (tasks[0].order, &tasks[0].window);
        let [batch, results, d, h, w] = *ys;
        let rows = batch * results.div_ceil(BLOCK);
        let windows: Vec<&Window> = tasks.iter().map(|task| &task.window).collect();
        let most = tasks[0].window.most();
        for windows in groups(&windows, most, rows) {
            let places = places(windows.len(), most);
            // SAFETY: taps are inside the shape of `x`, results inside `ys`; weights of channels
            // that are not there are not read.
            unsafe {
                correlate_kernel::launch_unchecked(
                    x.client(),
                    cubes(d * h * w.div_ceil(STRIP), CONV_UNITS, rows * windows.len()),
                    CubeDim::new_1d(CONV_UNITS),
                    buffers(windows, places, |window| &window.x),
                    buffers(windows, places, |window| &window.weight),
                    optional_buffers(windows, places, |window| window.gate.as_ref()),
                    buffers(windows, places, |window| &window.out),
                    extent(*xs),
                    extent(*ys),
                    xs[1],
                    results,
                    rows,
                    windows[0].slope(),
                    spec.kernel,
                    spec.stride,
                    order,
                    windows[0].is_activated(),
                );
            }
        }
    }
}

#[cube(launch_unchecked)]
fn correlate_kernel(
    xs: Sequence<&'static [f32]>,
    weights: Sequence<&'static [f32]>,
    gates: Sequence<&'static [f32]>,
    mut outs: Sequence<&'static mut [f32]>,
    from: Extent,
    to: Extent,
    sources: usize,
    results: usize,
    rows: usize,
    slope: f32,
    #[comptime] kernel: [usize; 3],
    #[comptime] stride: [usize; 3],
    #[comptime] order: Order,
    #[comptime] is_activated: bool,
) {
    let taps = comptime!(kernel[0] * kernel[1] * kernel[2]);
    let chunk = comptime!(chunk(kernel));
    let mut staged =
        Shared::<[Vector<f32, Const<4>>]>::new_slice(comptime!(chunk * taps * VECTORS));
    let mut sums = Array::<Vector<f32, Const<4>>>::new(comptime!(STRIP * VECTORS));
    #[unroll]
    for i in 0..comptime!(STRIP * VECTORS) {
        sums[i] = Vector::new(0.0f32);
    }
    let blocks = results.div_ceil(BLOCK);
    let (task, row) = (row() / rows, row() % rows);
    let (entry, block) = (row / blocks, row % blocks);
    let strips = Extent { d: to.d, h: to.h, w: to.w.div_ceil(STRIP) };
    let is_there = item() < strips.d * strips.h * strips.w;
    let (d, h, strip) = voxel(item(), &strips);
    let w = strip * STRIP;
    let volume = from.d * from.h * from.w;
    let mut first = 0usize;
    while first < sources {
        sync_cube();
        #[unroll]
        for n in 0..comptime!(weights.len()) {
            if task == n {
                stage(&mut staged, &weights, n, first, block, sources, results, taps, chunk, order);
            }
        }
        sync_cube();
        let here = min(chunk, sources - first);
        if is_there {
            #[unroll]
            for n in 0..xs.len() {
                if task == n {
                    for channel in 0..here {
                        let base = (entry * sources + first + channel) * volume;
                        #[unroll]
                        for i in 0..comptime!(kernel[0]) {
                            let (zd, in_d) = tap(
                                d * comptime!(stride[0]),
                                comptime!(i as i32 - kernel[0] as i32 / 2),
                                from.d,
                            );
                            #[unroll]
                            for j in 0..comptime!(kernel[1]) {
                                let (zh, in_h) = tap(
                                    h * comptime!(stride[1]),
                                    comptime!(j as i32 - kernel[1] as i32 / 2),
                                    from.h,
                                );
                                if in_d && in_h {
                                    let line = base + (zd * from.h + zh) * from.w;
                                    let at = channel * comptime!(taps * VECTORS)
                                        + comptime!((i * kernel[1] + j) * kernel[2] * VECTORS);
                                    let mut factors = Array::<Vector<f32, Const<4>>>::new(
                                        comptime!(kernel[2] * VECTORS),
                                    );
                                    #[unroll]
                                    for k in 0..comptime!(kernel[2] * VECTORS) {
                                        factors[k] = staged[at + k];
                                    }
                                    #[unroll]
                                    for p in 0..comptime!((STRIP - 1) * stride[2] + kernel[2]) {
                                        let (zw, in_w) = tap(
                                            w * comptime!(stride[2]),
                                            comptime!(p as i32 - kernel[2] as i32 / 2),
                                            from.w,
                                        );
                                        let read = select(in_w, xs[n][line + zw], 0.0f32);
                                        let value =
                                            Vector::new(activated(read, slope, is_activated));
                                        #[unroll]
                                        for v in 0..STRIP {
                                            // The tap that is here for voxel `v` of the strip.
                                            if comptime!(
                                                p >= v * stride[2] && p < v * stride[2] + kernel[2]
                                            ) {
                                                let k = comptime!(p - v * stride[2]);
                                                #[unroll]
                                                for i in 0..VECTORS {
                                                    sums[comptime!(v * VECTORS + i)] +=
                                                        factors[comptime!(k * VECTORS + i)] * value;
                                                }
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        first += chunk;
    }
    if is_there {
        let volume = to.d * to.h * to.w;
        let place = (d * to.h + h) * to.w + w;
        #[unroll]
        for n in 0..comptime!(outs.len()) {
            if task == n {
                #[unroll]
                for i in 0..BLOCK {
                    let result = block * BLOCK + i;
                    #[unroll]
                    for v in 0..STRIP {
                        if result < results && w + v < to.w {
                            let at = (entry * results + result) * volume + place + v;
                            let sum = sums[comptime!(v * VECTORS + i / LANES)]
                                .extract(comptime!(i % LANES));
                            let out = &mut outs[n];
                            out[at] = gated(sum, &gates, n, slope, at);
                        }
                    }
                }
            }
        }
    }
}
