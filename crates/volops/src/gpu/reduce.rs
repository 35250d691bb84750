//! Sums of the shares that cubes left, and of products.

use cubecl::prelude::*;

use super::{Buffer, CUBES, UNITS, cube_sum};

/// Sums that a cube makes side by side, if there are as many: the units read whole lines of memory.
const SIDE_BY_SIDE: usize = 16;

/// The sums of `shares`, `[share, len]`, over their first axis.
pub fn reduce(shares: &Buffer, len: usize) -> Buffer {
    let out = shares.empty(len);
    let sums = if len == 1 { 1 } else { SIDE_BY_SIDE };
    // SAFETY: the kernel stays within `len` sums of `shares.len() / len` shares.
    unsafe {
        reduce_kernel::launch_unchecked(
            shares.client(),
            CubeCount::Static(len.div_ceil(sums) as u32, 1, 1),
            CubeDim::new_1d(UNITS),
            shares.arg(),
            out.arg(),
            len,
            shares.len() / len,
            sums,
        );
    }
    out
}

/// Several units share in each of the `sums` that a cube makes.
#[cube(launch_unchecked)]
fn reduce_kernel(
    shares: &[f32],
    out: &mut [f32],
    len: usize,
    count: usize,
    #[comptime] sums: usize,
) {
    let slices = comptime!(UNITS as usize / sums);
    let mut parts = Shared::<[f32]>::new_slice(comptime!(UNITS as usize));
    let unit = UNIT_POS as usize;
    let slice = unit / sums;
    let at = CUBE_POS_X as usize * sums + unit % sums;
    let mut part = 0.0f32;
    if at < len {
        let mut share = slice;
        while share < count {
            part += shares[share * len + at];
            share += slices;
        }
    }
    parts[unit] = part;
    sync_cube();
    if slice == 0 && at < len {
        let mut sum = 0.0f32;
        for i in 0..slices {
            sum += parts[unit + i * sums];
        }
        out[at] = sum;
    }
}

/// The sum of the products of the elements.
pub fn dot(a: &Buffer, b: &Buffer) -> Buffer {
    let len = a.len();
    let shares = len.div_ceil(8 * UNITS as usize).clamp(1, CUBES);
    let out = a.empty(shares);
    // SAFETY: the kernel stays within `len` elements and as many shares as cubes.
    unsafe {
        dot_kernel::launch_unchecked(
            a.client(),
            CubeCount::Static(shares as u32, 1, 1),
            CubeDim::new_1d(UNITS),
            a.arg(),
            b.arg(),
            out.arg(),
            len,
        );
    }
    if shares == 1 { out } else { reduce(&out, 1) }
}

#[cube(launch_unchecked)]
fn dot_kernel(a: &[f32], b: &[f32], out: &mut [f32], len: usize) {
    let mut at = CUBE_POS_X as usize * comptime!(UNITS as usize) + UNIT_POS as usize;
    let step = CUBE_COUNT_X as usize * comptime!(UNITS as usize);
    let mut sum = 0.0f32;
    while at < len {
        sum += a[at] * b[at];
        at += step;
    }
    let sum = cube_sum(sum, UNITS);
    if UNIT_POS == 0 {
        out[CUBE_POS_X as usize] = sum;
    }
}
