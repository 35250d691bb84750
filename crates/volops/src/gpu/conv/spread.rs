//! The adjoint of a convolution: every voxel of the operand goes into a window of the result. A
//! voxel of the result gathers from the windows over it.

use cubecl::prelude::*;

use super::{
    BLOCK, CONV_UNITS, Gate, LANES, Operand, Order, VECTORS, Window, chunk, correlate, stage,
};
use crate::{
    ConvSpec,
    gpu::{
        Buffer, Extent, activated, buffers, cubes, extent, gated, groups, item, optional_buffers,
        places, row,
        together::{Task, launch},
        voxel, voxels, window_over,
    },
};

/// The adjoint of the convolution of this spec, whose slope is not looked at, for `x` and a result
/// shaped `ys`. The weights are `[sources, results, taps]`.
pub fn spread(
    x: Operand,
    weight: &Buffer,
    ys: [usize; 5],
    spec: &ConvSpec,
    gate: Option<Gate>,
) -> Buffer {
    if spec.stride == [1; 3] {
        return correlate(x, weight, Order::Mirrored, ys[1], spec, gate);
    }
    let window = Window::new(x, weight, ys, spec, gate);
    let out = window.out.clone();
    launch(Spread { window });
    out
}

struct Spread {
    window: Window,
}

impl Task for Spread {
    fn reads(&self) -> Vec<&Buffer> {
        self.window.reads()
    }

    fn fills(&self) -> Vec<&Buffer> {
        vec![&self.window.out]
    }

    fn is_like(&self, other: &Self) -> bool {
        self.window.is_like(&other.window)
    }

    fn launch(tasks: &[&Self]) {
        let Window { x, xs, ys, spec, .. } = &tasks[0].window;
        let [batch, results, ..] = *ys;
        let rows = batch * results.div_ceil(BLOCK);
        let windows: Vec<&Window> = tasks.iter().map(|task| &task.window).collect();
        let most = tasks[0].window.most();
        for windows in groups(&windows, most, rows) {
            let places = places(windows.len(), most);
            // SAFETY: taps are inside the shape of `x`, results inside `ys`; weights of channels
            // that are not there are not read.
            unsafe {
                spread_kernel::launch_unchecked(
                    x.client(),
                    cubes(voxels(*ys), CONV_UNITS, rows * windows.len()),
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
                    windows[0].is_activated(),
                );
            }
        }
    }
}

#[cube(launch_unchecked)]
fn spread_kernel(
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
    #[comptime] is_activated: bool,
) {
    let taps = comptime!(kernel[0] * kernel[1] * kernel[2]);
    let chunk = comptime!(chunk(kernel));
    let mut staged =
        Shared::<[Vector<f32, Const<4>>]>::new_slice(comptime!(chunk * taps * VECTORS));
    let mut sums = Array::<Vector<f32, Const<4>>>::new(VECTORS);
    #[unroll]
    for i in 0..VECTORS {
        sums[i] = Vector::new(0.0f32);
    }
    let blocks = results.div_ceil(BLOCK);
    let (task, row) = (row() / rows, row() % rows);
    let (entry, block) = (row / blocks, row % blocks);
    let place = item();
    let count = to.d * to.h * to.w;
    let is_there = place < count;
    let (d, h, w) = voxel(place, &to);
    let volume = from.d * from.h * from.w;
    let mut first = 0usize;
    while first < sources {
        sync_cube();
        #[unroll]
        for n in 0..comptime!(weights.len()) {
            if task == n {
                stage(
                    &mut staged,
                    &weights,
                    n,
                    first,
                    block,
                    sources,
                    results,
                    taps,
                    chunk,
                    comptime!(Order::Sources),
                );
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
                            let offset = comptime!(i as i32 - kernel[0] as i32 / 2);
                            let (zd, in_d) = window_over(d, offset, comptime!(stride[0]), from.d);
                            #[unroll]
                            for j in 0..comptime!(kernel[1]) {
                                let offset = comptime!(j as i32 - kernel[1] as i32 / 2);
                                let (zh, in_h) =
                                    window_over(h, offset, comptime!(stride[1]), from.h);
                                if in_d && in_h {
                                    let line = base + (zd * from.h + zh) * from.w;
                                    #[unroll]
                                    for k in 0..comptime!(kernel[2]) {
                                        let offset = comptime!(k as i32 - kernel[2] as i32 / 2);
                                        let (zw, in_w) =
                                            window_over(w, offset, comptime!(stride[2]), from.w);
                                        let read = select(in_w, xs[n][line + zw], 0.0f32);
                                        let value =
                                            Vector::new(activated(read, slope, is_activated));
                                        let tap = comptime!((i * kernel[1] + j) * kernel[2] + k);
                                        #[unroll]
                                        for v in 0..VECTORS {
                                            sums[v] += value
                                                * staged[(channel * taps + tap) * VECTORS + v];
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
        #[unroll]
        for n in 0..comptime!(outs.len()) {
            if task == n {
                #[unroll]
                for i in 0..BLOCK {
                    let result = block * BLOCK + i;
                    if result < results {
                        let at = (entry * results + result) * count + place;
                        let sum = sums[comptime!(i / LANES)].extract(comptime!(i % LANES));
                        let out = &mut outs[n];
                        out[at] = gated(sum, &gates, n, slope, at);
                    }
                }
            }
        }
    }
}
