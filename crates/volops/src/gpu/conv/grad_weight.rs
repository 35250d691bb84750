//! The gradient of the weights of a convolution, or of a transposed one.

use cubecl::prelude::*;

use super::{Operand, coarse};
use crate::{
    ConvSpec,
    gpu::{Buffer, CUBES, Extent, activated, extent, reduce::reduce, row},
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
    let (channels, [batch, _, d, h, w]) =
        ([coarse_side.shape[1], fine.shape[1]], coarse_side.shape);
    debug_assert_eq!(coarse_side.shape, coarse(fine.shape, channels[0], spec));
    let pairs: usize = channels.map(|channels| channels.div_ceil(SIDE)).iter().product();
    let segments = batch * d * h * w.div_ceil(segment(spec.stride));
    let shares = (CUBES / pairs).clamp(1, segments.div_ceil(4));
    let len = channels[0] * channels[1] * spec.kernel.iter().product::<usize>();
    let out = fine.data.empty(shares * len);
    let activated = match (fine.slope, coarse_side.slope) {
        (Some(_), _) => Activated::Fine,
        (_, Some(_)) => Activated::Coarse,
        _ => Activated::None,
    };
    // SAFETY: only voxels and channels that are there are read, and each cube has a share of its
    // own.
    unsafe {
        grad_weight_kernel::launch_unchecked(
            out.client(),
            CubeCount::Static(shares as u32, pairs as u32, 1),
            CubeDim::new_1d(PAIRS),
            fine.data.arg(),
            coarse_side.data.arg(),
            out.arg(),
            extent(fine.shape),
            extent(coarse_side.shape),
            batch,
            channels[1],
            channels[0],
            fine.slope.or(coarse_side.slope).unwrap_or(1.0),
            spec.kernel,
            spec.stride,
            activated,
        );
    }
    if shares == 1 { out } else { reduce(&out, len) }
}

#[cube(launch_unchecked)]
fn grad_weight_kernel(
    fine: &[f32],
    coarse: &[f32],
    out: &mut [f32],
    from: Extent,
    to: Extent,
    batch: usize,
    fine_channels: usize,
    coarse_channels: usize,
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
    let (fine_first, coarse_first) = (row() % fine_blocks * SIDE, row() / fine_blocks * SIDE);
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
                value = fine[(plane * from.h + zh as usize) * from.w + zw as usize];
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
                value = coarse[(plane * to.h + h) * to.w + zw];
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
        for i in 0..taps {
            out[first + i] = sums[i];
        }
    }
}
