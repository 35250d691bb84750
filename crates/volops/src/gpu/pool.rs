//! Maximum and mean over windows of 3 or 1 along each axis, added to a sum, and their gradients.

use cubecl::prelude::*;

use super::{
    Buffer, Extent, Sum, UNITS, buffer::optional, cube_sum, cubes, extent, item, reduce::reduce,
    row, summed, tap, voxel, voxels, weight_of, window_over,
};
use crate::PoolSpec;

/// What is taken of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The largest value.
    Max,
    /// The mean of the voxels that are inside the volume.
    Mean,
}

/// `sum + z · pooling(x)`, `x` shaped `xs`.
pub fn pool(
    sum: Sum,
    x: &Buffer,
    xs: [usize; 5],
    spec: PoolSpec,
    z: Option<&Buffer>,
    pooling: Pooling,
) -> Buffer {
    let ys = spec.out_shape(xs);
    let out = sum.out(x, ys.iter().product());
    // SAFETY: places in the window are inside `xs`, and the others inside `ys`.
    unsafe {
        pool_kernel::launch_unchecked(
            x.client(),
            cubes(voxels(ys), UNITS, ys[0] * ys[1]),
            CubeDim::new_1d(UNITS),
            x.arg(),
            optional(z),
            optional(sum.other()),
            out.arg(),
            extent(xs),
            extent(ys),
            spec.window,
            spec.stride,
            pooling,
            sum.is_in_place(),
        );
    }
    out
}

#[cube(launch_unchecked)]
fn pool_kernel(
    x: &[f32],
    z: ComptimeOption<&[f32]>,
    sum: ComptimeOption<&[f32]>,
    out: &mut [f32],
    from: Extent,
    to: Extent,
    #[comptime] window: [usize; 3],
    #[comptime] stride: [usize; 3],
    #[comptime] pooling: Pooling,
    #[comptime] in_place: bool,
) {
    let place = item();
    let count = to.d * to.h * to.w;
    if place >= count {
        terminate!();
    }
    let (d, h, w) = voxel(place, &to);
    let base = row() * from.d * from.h * from.w;
    let (cd, ch, cw) =
        (d * comptime!(stride[0]), h * comptime!(stride[1]), w * comptime!(stride[2]));
    let y = if comptime!(pooling == Pooling::Max) {
        let mut largest = x[base + (cd * from.h + ch) * from.w + cw];
        #[unroll]
        for i in 0..comptime!(window[0]) {
            let (zd, _) = tap(cd, comptime!(i as i32 - window[0] as i32 / 2), from.d);
            #[unroll]
            for j in 0..comptime!(window[1]) {
                let (zh, _) = tap(ch, comptime!(j as i32 - window[1] as i32 / 2), from.h);
                let line = base + (zd * from.h + zh) * from.w;
                #[unroll]
                for k in 0..comptime!(window[2]) {
                    let (zw, _) = tap(cw, comptime!(k as i32 - window[2] as i32 / 2), from.w);
                    largest = max(largest, x[line + zw]);
                }
            }
        }
        largest
    } else {
        let mut total = 0.0f32;
        #[unroll]
        for i in 0..comptime!(window[0]) {
            let (zd, in_d) = tap(cd, comptime!(i as i32 - window[0] as i32 / 2), from.d);
            #[unroll]
            for j in 0..comptime!(window[1]) {
                let (zh, in_h) = tap(ch, comptime!(j as i32 - window[1] as i32 / 2), from.h);
                let line = base + (zd * from.h + zh) * from.w;
                #[unroll]
                for k in 0..comptime!(window[2]) {
                    let (zw, in_w) = tap(cw, comptime!(k as i32 - window[2] as i32 / 2), from.w);
                    total += select(in_d && in_h && in_w, x[line + zw], 0.0f32);
                }
            }
        }
        total
            * share(cd, from.d, comptime!(window[0]))
            * share(ch, from.h, comptime!(window[1]))
            * share(cw, from.w, comptime!(window[2]))
    };
    let at = row() * count + place;
    let before = summed(sum, out, at, in_place);
    out[at] = before + weight_of(z) * y;
}

/// One over the voxels of a window centred on `at` that are on the axis.
#[cube]
fn share(at: usize, extent: usize, #[comptime] window: usize) -> f32 {
    if comptime!(window == 1) {
        1.0f32.runtime()
    } else {
        let below = select(at > 0, 1.0f32, 0.0f32);
        let above = select(at + 1 < extent, 1.0f32, 0.0f32);
        1.0f32 / (1.0f32 + below + above)
    }
}

/// The gradients of [`pool`] of `x`, given that of the result, `g`, and of `z` if `x` is given for
/// it. Of a maximum `x` is needed in any case; its gradient goes to the first of equal ones.
pub fn pool_gradients(
    g: &Buffer,
    x: Option<&Buffer>,
    xs: [usize; 5],
    spec: PoolSpec,
    z: Option<&Buffer>,
    pooling: Pooling,
    of_z: bool,
) -> (Buffer, Option<Buffer>) {
    let maxima = match (pooling, x) {
        (Pooling::Max, Some(x)) => Some(maxima(x, xs, spec)),
        _ => None,
    };
    let (out, rows) = (g.empty(xs.iter().product()), xs[0] * xs[1]);
    let count = cubes(voxels(xs), UNITS, rows);
    let shares = of_z.then(|| g.empty(number(&count)));
    // SAFETY: places of windows are inside their volume, those of `x` inside `xs`.
    unsafe {
        gradient_kernel::launch_unchecked(
            g.client(),
            count,
            CubeDim::new_1d(UNITS),
            g.arg(),
            optional(x.filter(|_| of_z)),
            optional(z),
            maxima.as_ref().map(Buffer::arg).into(),
            out.arg(),
            shares.as_ref().map(Buffer::arg).into(),
            extent(xs),
            extent(spec.out_shape(xs)),
            spec.window,
            spec.stride,
        );
    }
    (out, shares.map(|shares| reduce(&shares, 1)))
}

fn number(count: &CubeCount) -> usize {
    match count {
        CubeCount::Static(x, y, z) => *x as usize * *y as usize * *z as usize,
        _ => unreachable!("counted here"),
    }
}

/// The gradient of a voxel is gathered from the windows over it.
#[cube(launch_unchecked)]
fn gradient_kernel(
    g: &[f32],
    x: ComptimeOption<&[f32]>,
    z: ComptimeOption<&[f32]>,
    maxima: ComptimeOption<&[u32]>,
    out: &mut [f32],
    shares: ComptimeOption<&mut [f32]>,
    from: Extent,
    to: Extent,
    #[comptime] window: [usize; 3],
    #[comptime] stride: [usize; 3],
) {
    let place = item();
    let count = from.d * from.h * from.w;
    let at = row() * count + place;
    let mut total = 0.0f32;
    if place < count {
        let (d, h, w) = voxel(place, &from);
        let base = row() * to.d * to.h * to.w;
        #[unroll]
        for i in 0..comptime!(window[0]) {
            let offset = comptime!(i as i32 - window[0] as i32 / 2);
            let (zd, in_d) = window_over(d, offset, comptime!(stride[0]), to.d);
            #[unroll]
            for j in 0..comptime!(window[1]) {
                let offset = comptime!(j as i32 - window[1] as i32 / 2);
                let (zh, in_h) = window_over(h, offset, comptime!(stride[1]), to.h);
                let line = base + (zd * to.h + zh) * to.w;
                #[unroll]
                for k in 0..comptime!(window[2]) {
                    let offset = comptime!(k as i32 - window[2] as i32 / 2);
                    let (zw, in_w) = window_over(w, offset, comptime!(stride[2]), to.w);
                    let inside = in_d && in_h && in_w;
                    #[comptime]
                    match maxima {
                        ComptimeOption::Some(maxima) => {
                            let is_first = maxima[line + zw] as usize == place;
                            total += select(inside && is_first, g[line + zw], 0.0f32);
                        }
                        ComptimeOption::None => {
                            let part =
                                share(zd * comptime!(stride[0]), from.d, comptime!(window[0]))
                                    * share(
                                        zh * comptime!(stride[1]),
                                        from.h,
                                        comptime!(window[1]),
                                    )
                                    * share(
                                        zw * comptime!(stride[2]),
                                        from.w,
                                        comptime!(window[2]),
                                    );
                            total += select(inside, g[line + zw] * part, 0.0f32);
                        }
                    }
                }
            }
        }
        out[at] = weight_of(z) * total;
    }
    // A pooling is linear where it has a gradient: ⟨g, pool(x)⟩ is ⟨gradient of x, x⟩.
    #[comptime]
    match shares {
        ComptimeOption::Some(shares) => {
            let mut product = 0.0f32;
            if place < count {
                #[comptime]
                match x {
                    ComptimeOption::Some(x) => product = total * x[at],
                    ComptimeOption::None => {}
                }
            }
            let sum = cube_sum(product, UNITS);
            if UNIT_POS == 0 {
                shares[CUBE_POS] = sum;
            }
        }
        ComptimeOption::None => {}
    }
}

/// The place in its channel of the first maximum of every window, as whole numbers.
fn maxima(x: &Buffer, xs: [usize; 5], spec: PoolSpec) -> Buffer {
    let ys = spec.out_shape(xs);
    let out = x.empty(ys.iter().product());
    // SAFETY: places in the window are inside `xs`, and the others inside `ys`.
    unsafe {
        maxima_kernel::launch_unchecked(
            x.client(),
            cubes(voxels(ys), UNITS, ys[0] * ys[1]),
            CubeDim::new_1d(UNITS),
            x.arg(),
            out.arg(),
            extent(xs),
            extent(ys),
            spec.window,
            spec.stride,
        );
    }
    out
}

#[cube(launch_unchecked)]
fn maxima_kernel(
    x: &[f32],
    out: &mut [u32],
    from: Extent,
    to: Extent,
    #[comptime] window: [usize; 3],
    #[comptime] stride: [usize; 3],
) {
    let place = item();
    let count = to.d * to.h * to.w;
    if place >= count {
        terminate!();
    }
    let (d, h, w) = voxel(place, &to);
    let base = row() * from.d * from.h * from.w;
    let (cd, ch, cw) =
        (d * comptime!(stride[0]), h * comptime!(stride[1]), w * comptime!(stride[2]));
    let (zd, _) = tap(cd, comptime!(-(window[0] as i32 / 2)), from.d);
    let (zh, _) = tap(ch, comptime!(-(window[1] as i32 / 2)), from.h);
    let (zw, _) = tap(cw, comptime!(-(window[2] as i32 / 2)), from.w);
    let mut first = (zd * from.h + zh) * from.w + zw;
    let mut largest = x[base + first];
    #[unroll]
    for i in 0..comptime!(window[0]) {
        let (zd, _) = tap(cd, comptime!(i as i32 - window[0] as i32 / 2), from.d);
        #[unroll]
        for j in 0..comptime!(window[1]) {
            let (zh, _) = tap(ch, comptime!(j as i32 - window[1] as i32 / 2), from.h);
            let line = (zd * from.h + zh) * from.w;
            #[unroll]
            for k in 0..comptime!(window[2]) {
                let (zw, _) = tap(cw, comptime!(k as i32 - window[2] as i32 / 2), from.w);
                let value = x[base + line + zw];
                let is_larger = value > largest;
                first = select(is_larger, line + zw, first);
                largest = select(is_larger, value, largest);
            }
        }
    }
    out[row() * count + place] = first as u32;
}
