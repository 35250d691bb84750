//! The gradient of the weights of a convolution, or of a transposed one.

use cubecl::prelude::*;

use super::{Operand, coarse};
use crate::{
    ConvSpec,
    gpu::{
        Buffer, CUBES, Extent, activated, buffers, extent, group_len, groups, places,
        reduce::reduce,
        row,
        together::{Task, launch},
    },
};

/// Channels of either side that a cube takes, a unit for each pair.
const SIDE: usize = 8;
const PAIRS: u32 = (SIDE * SIDE) as u32;
/// Voxels along the width that a unit multiplies at a time.
const STRIP: usize = 4;

/// Which side of the convolution goes through a LeakyReLU first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activated {
    /// Neither.
    None,
    /// What a convolution reads.
    Fine,
    /// What a transposed convolution reads.
    Coarse,
}

/// Voxels of the coarse side, along the width, that are in shared memory at a time: with the rows
/// of the fine side they fit into 16 KiB.
fn segment(stride: [usize; 3]) -> usize {
    32 / stride[2]
}

/// `[coarse, fine, taps]`: sums of the products of `coarse` with `fine` where a tap of the
/// convolution of `spec` leads to it. At most one of them has a slope.
pub fn grad_weight(fine: Operand, coarse_side: Operand, spec: &ConvSpec) -> Buffer {
    let activated = match (fine.slope, coarse_side.slope) {
        (Some(_), _) => Activated::Fine,
        (_, Some(_)) => Activated::Coarse,
        _ => Activated::None,
    };
    let (fs, cs) = (fine.shape, coarse_side.shape);
    debug_assert_eq!(cs, coarse(fs, cs[1], spec));
    let shares = shares(fs, cs, spec);
    let len = cs[1] * fs[1] * spec.kernel.iter().product::<usize>();
    let out = fine.data.empty(shares * len);
    launch(Products {
        fine: fine.data.clone(),
        coarse: coarse_side.data.clone(),
        out: out.clone(),
        fs,
        cs,
        spec: ConvSpec { slope: fine.slope.or(coarse_side.slope), ..*spec },
        activated,
    });
    if shares == 1 { out } else { reduce(&out, len) }
}

/// Blocks of channels of the fine side and the coarse one, shaped `fs` and `cs`.
fn pairs(fs: [usize; 5], cs: [usize; 5]) -> usize {
    fs[1].div_ceil(SIDE) * cs[1].div_ceil(SIDE)
}

fn shares(fs: [usize; 5], cs: [usize; 5], spec: &ConvSpec) -> usize {
    let [batch, _, d, h, w] = cs;
    let segments = batch * d * h * w.div_ceil(segment(spec.stride));
    (CUBES / pairs(fs, cs)).clamp(1, segments.div_ceil(4))
}

struct Products {
    fine: Buffer,
    coarse: Buffer,
    /// Shares.
    out: Buffer,
    /// Of the fine side.
    fs: [usize; 5],
    /// Of the coarse side.
    cs: [usize; 5],
    spec: ConvSpec,
    activated: Activated,
}

impl Task for Products {
    fn reads(&self) -> Vec<&Buffer> {
        vec![&self.fine, &self.coarse]
    }

    fn fills(&self) -> Vec<&Buffer> {
        vec![&self.out]
    }

    fn is_like(&self, other: &Self) -> bool {
        let of = |task: &Self| (task.fs, task.cs, task.spec, task.activated);
        of(self) == of(other)
    }

    fn launch(tasks: &[&Self]) {
        let Self { fine, fs, cs, spec, activated, .. } = tasks[0];
        let (shares, pairs, most) =
            (shares(*fs, *cs, spec), pairs(*fs, *cs), group_len(fine, 3, 0));
        for tasks in groups(tasks, most, pairs) {
            let places = places(tasks.len(), most);
            let rows = pairs * tasks.len();
            // SAFETY: only voxels and channels that are there are read, and each cube has a share of
            // its own.
            unsafe {
                grad_weight_kernel::launch_unchecked(
                    fine.client(),
                    CubeCount::Static(shares as u32, rows as u32, 1),
                    CubeDim::new_1d(PAIRS),
                    buffers(tasks, places, |task| &task.fine),
                    buffers(tasks, places, |task| &task.coarse),
                    buffers(tasks, places, |task| &task.out),
                    extent(*fs),
                    extent(*cs),
                    cs[0],
                    fs[1],
                    cs[1],
                    pairs,
                    spec.slope.unwrap_or(1.0),
                    spec.kernel,
                    spec.stride,
                    *activated,
                );
            }
        }
    }
}

#[cube(launch_unchecked)]
fn grad_weight_kernel(
    fines: Sequence<&'static [f32]>,
    coarses: Sequence<&'static [f32]>,
    mut outs: Sequence<&'static mut [f32]>,
    from: Extent,
    to: Extent,
    batch: usize,
    fine_channels: usize,
    coarse_channels: usize,
    pairs: usize,
    slope: f32,
    #[comptime] kernel: [usize; 3],
    #[comptime] stride: [usize; 3],
    #[comptime] which: Activated,
) {
    let taps = comptime!(kernel[0] * kernel[1] * kernel[2]);
    let segment = comptime!(segment(stride));
    // Rows of the fine side under a segment, and their length.
    let lines = comptime!(kernel[0] * kernel[1]);
    let reach = comptime!((segment - 1) * stride[2] + kernel[2]);
    let mut fine_rows = Shared::<[f32]>::new_slice(comptime!(SIDE * lines * reach));
    let mut coarse_rows = Shared::<[f32]>::new_slice(comptime!(SIDE * segment));
    let mut sums = Array::<f32>::new(taps);
    #[unroll]
    for i in 0..taps {
        sums[i] = 0.0f32;
    }

    let fine_blocks = fine_channels.div_ceil(SIDE);
    let (task, pair) = (row() / pairs, row() % pairs);
    let (fine_first, coarse_first) = (pair % fine_blocks * SIDE, pair / fine_blocks * SIDE);
    let unit = UNIT_POS as usize;
    let (of_coarse, of_fine) = (unit / SIDE, unit % SIDE);
    let across = to.w.div_ceil(segment);
    let mut at = CUBE_POS_X as usize;
    while at < batch * to.d * to.h * across {
        let w = at % across * segment;
        let h = at / across % to.h;
        let d = at / across / to.h % to.d;
        let entry = at / across / to.h / to.d;
        sync_cube();
        let mut i = unit;
        while i < comptime!(SIDE * lines * reach) {
            let line = i / reach % lines;
            let channel = fine_first + i / comptime!(lines * reach);
            let zd = (d * comptime!(stride[0]) + line / comptime!(kernel[1])) as i32
                - comptime!(kernel[0] as i32 / 2);
            let zh = (h * comptime!(stride[1]) + line % comptime!(kernel[1])) as i32
                - comptime!(kernel[1] as i32 / 2);
            let zw =
                (w * comptime!(stride[2]) + i % reach) as i32 - comptime!(kernel[2] as i32 / 2);
            let mut value = 0.0f32;
            if channel < fine_channels
                && zd >= 0
                && zh >= 0
                && zw >= 0
                && zd < from.d as i32
                && zh < from.h as i32
                && zw < from.w as i32
            {
                let plane = (entry * fine_channels + channel) * from.d + zd as usize;
                let place = (plane * from.h + zh as usize) * from.w + zw as usize;
                #[unroll]
                for n in 0..fines.len() {
                    if task == n {
                        value = fines[n][place];
                    }
                }
            }
            fine_rows[i] = activated(value, slope, comptime!(which == Activated::Fine));
            i += comptime!(PAIRS as usize);
        }
        let mut i = unit;
        while i < comptime!(SIDE * segment) {
            let channel = coarse_first + i / segment;
            let zw = w + i % segment;
            let mut value = 0.0f32;
            if channel < coarse_channels && zw < to.w {
                let plane = (entry * coarse_channels + channel) * to.d + d;
                let place = (plane * to.h + h) * to.w + zw;
                #[unroll]
                for n in 0..coarses.len() {
                    if task == n {
                        value = coarses[n][place];
                    }
                }
            }
            coarse_rows[i] = activated(value, slope, comptime!(which == Activated::Coarse));
            i += comptime!(PAIRS as usize);
        }
        sync_cube();
        for strip in 0..comptime!(segment / STRIP) {
            let mut factors = Array::<f32>::new(STRIP);
            #[unroll]
            for v in 0..STRIP {
                factors[v] = coarse_rows[of_coarse * segment + strip * STRIP + v];
            }
            #[unroll]
            for line in 0..lines {
                let start = (of_fine * lines + line) * reach + strip * comptime!(STRIP * stride[2]);
                #[unroll]
                for p in 0..comptime!((STRIP - 1) * stride[2] + kernel[2]) {
                    let value = fine_rows[start + p];
                    #[unroll]
                    for v in 0..STRIP {
                        if comptime!(p >= v * stride[2] && p < v * stride[2] + kernel[2]) {
                            sums[comptime!(line * kernel[2] + p - v * stride[2])] +=
                                factors[v] * value;
                        }
                    }
                }
            }
        }
        at += CUBE_COUNT_X as usize;
    }
    let (of_coarse, of_fine) = (coarse_first + of_coarse, fine_first + of_fine);
    if of_coarse < coarse_channels && of_fine < fine_channels {
        let share = CUBE_POS_X as usize * coarse_channels * fine_channels;
        let first = (share + of_coarse * fine_channels + of_fine) * taps;
        #[unroll]
        for n in 0..outs.len() {
            if task == n {
                let out = &mut outs[n];
                #[unroll]
                for i in 0..taps {
                    out[first + i] = sums[i];
                }
            }
        }
    }
}
