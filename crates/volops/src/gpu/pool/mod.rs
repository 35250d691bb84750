//! Maximum and mean over windows of 3 or 1 along each axis, added to a sum, and their gradients.

mod gradients;

use cubecl::prelude::*;

use super::{
    Buffer, Extent, Sum, UNITS, buffer::optional, buffers, cubes, extent, group_len, item, numbers,
    optional_buffers, places, row, summed, tap, voxel, voxels,
};
use crate::PoolSpec;

pub use gradients::pool_gradients;

/// What is taken of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The largest value.
    Max,
    /// The mean of the voxels that are inside the volume.
    Mean,
}

/// A pooled volume, in a sum.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// What is pooled.
    pub x: Buffer,
    /// Its weight; 1 if there is none. Either all of a sum have one or none does.
    pub z: Option<Buffer>,
    /// How it is pooled.
    pub pooling: Pooling,
}

/// `sum`, and `z · pooling(x)` of each of `terms`, all shaped `xs`.
pub fn pool(mut sum: Sum, terms: &[Pooled], xs: [usize; 5], spec: PoolSpec) -> Buffer {
    let (like, ys) = (&terms[0].x, spec.out_shape(xs));
    let most = group_len(like, 2, 2);
    for terms in terms.chunks(most) {
        let terms: Vec<&Pooled> = terms.iter().collect();
        let places = places(terms.len(), most);
        let out = sum.out(like, ys.iter().product());
        // SAFETY: places in the window are inside `xs`, and the others inside `ys`.
        unsafe {
            pool_kernel::launch_unchecked(
                like.client(),
                cubes(voxels(ys), UNITS, ys[0] * ys[1]),
                CubeDim::new_1d(UNITS),
                buffers(&terms, places, |term| &term.x),
                optional_buffers(&terms, places, |term| term.z.as_ref()),
                numbers(&terms, places, |term| u32::from(term.pooling == Pooling::Max)),
                optional(sum.other()),
                out.arg(),
                terms.len(),
                extent(xs),
                extent(ys),
                spec.window,
                spec.stride,
                sum.is_in_place(),
            );
        }
        sum = Sum::InPlace(out);
    }
    sum.out(like, ys.iter().product())
}

#[cube(launch_unchecked)]
fn pool_kernel(
    xs: Sequence<&'static [f32]>,
    zs: Sequence<&'static [f32]>,
    are_maxima: Sequence<u32>,
    sum: ComptimeOption<&[f32]>,
    out: &mut [f32],
    terms: usize,
    from: Extent,
    to: Extent,
    #[comptime] window: [usize; 3],
    #[comptime] stride: [usize; 3],
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
    let part = share(cd, from.d, comptime!(window[0]))
        * share(ch, from.h, comptime!(window[1]))
        * share(cw, from.w, comptime!(window[2]));
    let at = row() * count + place;
    let mut result = summed(sum, out, at, in_place);
    #[unroll]
    for n in 0..xs.len() {
        if terms > n {
            let mut largest = xs[n][base + (cd * from.h + ch) * from.w + cw];
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
                        let (zw, in_w) =
                            tap(cw, comptime!(k as i32 - window[2] as i32 / 2), from.w);
                        let value = xs[n][line + zw];
                        largest = max(largest, value);
                        total += select(in_d && in_h && in_w, value, 0.0f32);
                    }
                }
            }
            let y = select(are_maxima[n] == 1, largest, total * part);
            if comptime!(zs.len() > 0) {
                result += zs[n][0] * y;
            } else {
                result += y;
            }
        }
    }
    out[at] = result;
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
