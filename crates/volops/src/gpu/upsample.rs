//! Linear resampling to twice the grid, along all axes or some, and its transpose.

use cubecl::prelude::*;

use super::{Buffer, Extent, UNITS, cubes, extent, item, row, voxel, voxels};

/// `x`, shaped `xs`, with its axes `factor` times as long.
pub fn upsample(x: &Buffer, xs: [usize; 5], factor: [usize; 3]) -> Buffer {
    let ys = longer(xs, factor);
    let out = x.empty(ys.iter().product());
    // SAFETY: neighbours are inside `xs`, results inside `ys`.
    unsafe {
        upsample_kernel::launch_unchecked(
            x.client(),
            cubes(voxels(ys), UNITS, ys[0] * ys[1]),
            CubeDim::new_1d(UNITS),
            x.arg(),
            out.arg(),
            extent(xs),
            extent(ys),
            factor,
        );
    }
    out
}

/// The shape whose axes are `factor` times as long.
fn longer([batch, channels, d, h, w]: [usize; 5], factor: [usize; 3]) -> [usize; 5] {
    [batch, channels, factor[0] * d, factor[1] * h, factor[2] * w]
}

#[cube(launch_unchecked)]
fn upsample_kernel(
    x: &[f32],
    out: &mut [f32],
    from: Extent,
    to: Extent,
    #[comptime] factor: [usize; 3],
) {
    let place = item();
    let count = to.d * to.h * to.w;
    if place >= count {
        terminate!();
    }
    let (d, h, w) = voxel(place, &to);
    let base = row() * from.d * from.h * from.w;
    let mut sum = 0.0f32;
    #[unroll]
    for i in 0..comptime!(factor[0]) {
        let (zd, part_d) = neighbour(d, i, from.d, comptime!(factor[0]));
        #[unroll]
        for j in 0..comptime!(factor[1]) {
            let (zh, part_h) = neighbour(h, j, from.h, comptime!(factor[1]));
            let line = base + (zd * from.h + zh) * from.w;
            #[unroll]
            for k in 0..comptime!(factor[2]) {
                let (zw, part_w) = neighbour(w, k, from.w, comptime!(factor[2]));
                sum += x[line + zw] * (part_d * part_h * part_w);
            }
        }
    }
    out[row() * count + place] = sum;
}

/// The voxel that voxel `at` of the longer axis lies in, if `which` is 0, or the nearest other one,
/// and how much of it goes into `at`.
#[cube]
fn neighbour(
    at: usize,
    #[comptime] which: usize,
    extent: usize,
    #[comptime] factor: usize,
) -> (usize, f32) {
    if comptime!(factor == 1) {
        (at, 1.0f32)
    } else if comptime!(which == 0) {
        (at / 2, 0.75f32)
    } else {
        let other = (at / 2) as i32 + 2 * (at % 2) as i32 - 1;
        (clamp(other, 0, extent as i32 - 1) as usize, 0.25f32)
    }
}

/// The gradient of [`upsample`] for an input shaped `xs`.
pub fn upsample_gradient(g: &Buffer, xs: [usize; 5], factor: [usize; 3]) -> Buffer {
    let out = g.empty(xs.iter().product());
    // SAFETY: readers are inside the longer shape, results inside `xs`.
    unsafe {
        gradient_kernel::launch_unchecked(
            g.client(),
            cubes(voxels(xs), UNITS, xs[0] * xs[1]),
            CubeDim::new_1d(UNITS),
            g.arg(),
            out.arg(),
            extent(xs),
            extent(longer(xs, factor)),
            factor,
        );
    }
    out
}

#[cube(launch_unchecked)]
fn gradient_kernel(
    g: &[f32],
    out: &mut [f32],
    from: Extent,
    to: Extent,
    #[comptime] factor: [usize; 3],
) {
    let place = item();
    let count = from.d * from.h * from.w;
    if place >= count {
        terminate!();
    }
    let (d, h, w) = voxel(place, &from);
    let base = row() * to.d * to.h * to.w;
    let mut sum = 0.0f32;
    #[unroll]
    for i in 0..comptime!(readers(factor[0])) {
        let (zd, part_d) = reader(d, i, to.d, comptime!(factor[0]));
        #[unroll]
        for j in 0..comptime!(readers(factor[1])) {
            let (zh, part_h) = reader(h, j, to.h, comptime!(factor[1]));
            let line = base + (zd * to.h + zh) * to.w;
            #[unroll]
            for k in 0..comptime!(readers(factor[2])) {
                let (zw, part_w) = reader(w, k, to.w, comptime!(factor[2]));
                sum += g[line + zw] * (part_d * part_h * part_w);
            }
        }
    }
    out[row() * count + place] = sum;
}

/// Voxels of the longer axis that a voxel goes into.
fn readers(factor: usize) -> usize {
    if factor == 1 { 1 } else { 4 }
}

/// A voxel of the longer axis that voxel `at` goes into, and how much of it. Beyond the border the
/// last voxel goes on, so that what would be out there is one more share of the outermost voxel.
#[cube]
fn reader(
    at: usize,
    #[comptime] which: usize,
    longer: usize,
    #[comptime] factor: usize,
) -> (usize, f32) {
    if comptime!(factor == 1) {
        (at, 1.0f32)
    } else {
        let found = 2 * at as i32 + comptime!(which as i32 - 1);
        let part = comptime!(if which == 1 || which == 2 { 0.75f32 } else { 0.25f32 });
        (clamp(found, 0, longer as i32 - 1) as usize, part)
    }
}
