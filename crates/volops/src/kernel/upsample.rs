//! Trilinear upsampling by 2, along all axes or some (`align_corners = false`) and its transpose.
//!
//! Along each axis, output `2i` is `x[i-1]/4 + 3x[i]/4` and output `2i+1` is `3x[i]/4 + x[i+1]/4`,
//! the border repeated. Depth is done first, on the small planes; width last, because it writes the
//! large ones. Along the width a whole plane is one run of floats, as if its rows were one; the
//! outputs at the ends of each row are then put right.

use std::mem::MaybeUninit;

use crate::kernel::parallel::{collect_slabs, with_floats};
use crate::kernel::simd::rows::SLACK;
use crate::kernel::simd::vectorize::vectorize;
use crate::kernel::view::Alike;
use crate::kernel::{Shape, numel};

/// Rows are worked on in whole chunks of so many floats.
const CHUNK: usize = 8;

const NEAR: f32 = 0.75;
const FAR: f32 = 0.25;

/// The indices before and after `i` on an axis of `n`, the border repeated.
fn neighbours(i: usize, n: usize) -> [usize; 2] {
    [i.saturating_sub(1), (i + 1).min(n - 1)]
}

/// Doubles depth, height and width of `x` (shape `xs = [b, c, d, h, w]`): returns `[b, c, 2d, 2h,
/// 2w]`.
pub fn upsample2(x: &[f32], xs: Shape) -> Vec<f32> {
    let [batch, channels, depth, height, width] = xs;
    let plane = height * width;
    // SAFETY: `widen` writes every plane of the slab.
    unsafe {
        collect_slabs([batch * channels, 2 * depth, 4 * plane], 0, numel(xs) * 4, |slab, out| {
            with_floats(3 * plane + 2 * SLACK, |scratch| {
                let (blend, tall) = scratch.split_at_mut(plane + SLACK);
                for (d, out) in (slab.start..slab.end).zip(out.chunks_exact_mut(4 * plane)) {
                    let at = |d: usize| &x[(slab.volume * depth + d) * plane..][..plane];
                    let (near, far) = (at(d / 2), at(neighbours(d / 2, depth)[d % 2]));
                    vectorize(
                        #[inline(always)]
                        || {
                            mix(blend, near, far);
                            heighten(tall, blend, [height, width]);
                            widen(out, &tall[..2 * plane], width);
                        },
                    );
                }
            });
        })
    }
}

/// Makes the axes `factor` times as long, 1 or 2 each.
pub fn upsample(x: &[f32], xs: Shape, factor: [usize; 3]) -> Vec<f32> {
    let alike = alike(xs, factor);
    alike.leave(upsample2(&alike.enter(x), alike.shape))
}

/// Gradient of [`upsample`], of the shape `xs`.
pub fn upsample_grad(g: &[f32], xs: Shape, factor: [usize; 3]) -> Vec<f32> {
    let alike = alike(xs, factor);
    alike.leave_back(upsample2_grad(&alike.enter_back(g), alike.shape))
}

/// The upsampling by 2 that does one whose axes may differ.
fn alike(xs: Shape, factor: [usize; 3]) -> Alike {
    assert!(factor.iter().all(|n| matches!(n, 1 | 2)), "factors must be 1 or 2, found {factor:?}");
    Alike::new(xs, factor.map(|n| n == 2), [1; 3], |extent| 2 * extent)
}

/// Gradient of [`upsample2`] (its transpose): from `g` `[b, c, 2d, 2h, 2w]` to `[b, c, d, h, w] =
/// xs`.
pub fn upsample2_grad(g: &[f32], xs: Shape) -> Vec<f32> {
    let [batch, channels, depth, height, width] = xs;
    let plane = height * width;
    let slot_len = plane + SLACK;
    // SAFETY: the last loop writes every plane of the slab.
    unsafe {
        collect_slabs([batch * channels, depth, plane], 1, numel(xs) * 4, |slab, out| {
            with_floats(4 * slot_len + 2 * plane + SLACK, |scratch| {
                // Planes of g brought to the small grid; each serves two output planes.
                let (slots, narrow) = scratch.split_at_mut(4 * slot_len);
                let mut done = (2 * slab.start).saturating_sub(1);
                for (d, out) in (slab.start..slab.end).zip(out.chunks_exact_mut(plane)) {
                    let around = four_around(d, depth);
                    while done <= around[3] {
                        let g = &g[(slab.volume * 2 * depth + done) * 4 * plane..][..4 * plane];
                        let slot = &mut slots[done % 4 * slot_len..][..slot_len];
                        vectorize(
                            #[inline(always)]
                            || {
                                narrow_rows(narrow, g, width);
                                shorten(slot, narrow, [height, width]);
                            },
                        );
                        done += 1;
                    }
                    let slot = |i: usize| &slots[around[i] % 4 * slot_len..];
                    vectorize(
                        #[inline(always)]
                        || {
                            mix_four(out, [slot(0), slot(1), slot(2), slot(3)], |out, value| {
                                _ = out.write(value)
                            })
                        },
                    );
                }
            });
        })
    }
}

/// The four outputs that input `i` of an axis of `n` contributes to: the middle two with weight
/// [`NEAR`], the outer two (which repeat the middle ones at the border) with [`FAR`].
fn four_around(i: usize, n: usize) -> [usize; 4] {
    [(2 * i).saturating_sub(1), 2 * i, 2 * i + 1, (2 * i + 2).min(2 * n - 1)]
}

#[inline(always)]
fn mix(to: &mut [f32], near: &[f32], far: &[f32]) {
    for ((to, &near), &far) in to.iter_mut().zip(near).zip(far) {
        *to = NEAR * near + FAR * far;
    }
}

/// `[h, w]` to `[2h, w]`. All slices have slack for whole chunks.
#[inline(always)]
fn heighten(to: &mut [f32], from: &[f32], [height, width]: [usize; 2]) {
    let chunks = width.next_multiple_of(CHUNK);
    for y in 0..height {
        for (half, far) in neighbours(y, height).into_iter().enumerate() {
            let to = &mut to[(2 * y + half) * width..][..chunks];
            mix(to, &from[y * width..][..chunks], &from[far * width..][..chunks]);
        }
    }
}

/// `[2h, w]` to `[2h, 2w]`.
#[inline(always)]
fn widen(to: &mut [MaybeUninit<f32>], from: &[f32], width: usize) {
    let n = from.len();
    let pairs = to.as_chunks_mut::<2>().0;
    let pair = |before: f32, at: f32, after: f32| {
        [MaybeUninit::new(FAR * before + NEAR * at), MaybeUninit::new(NEAR * at + FAR * after)]
    };
    let inner = from[..n - 2].iter().zip(&from[1..n - 1]).zip(&from[2..]);
    for (pairs, ((&before, &at), &after)) in pairs[1..n - 1].iter_mut().zip(inner) {
        *pairs = pair(before, at, after);
    }
    pairs[0] = pair(from[0], from[0], from[1]);
    pairs[n - 1] = pair(from[n - 2], from[n - 1], from[n - 1]);
    for (to, from) in to.chunks_exact_mut(2 * width).zip(from.chunks_exact(width)) {
        to[0].write(from[0]);
        to[2 * width - 1].write(from[width - 1]);
    }
}

/// Transpose of [`widen`].
#[inline(always)]
fn narrow_rows(to: &mut [f32], from: &[f32], width: usize) {
    let pairs = from.as_chunks::<2>().0;
    let n = pairs.len();
    let inner = pairs[..n - 2].iter().zip(&pairs[1..n - 1]).zip(&pairs[2..]);
    for (to, ((before, at), after)) in to[1..n - 1].iter_mut().zip(inner) {
        *to = NEAR * (at[0] + at[1]) + FAR * (before[1] + after[0]);
    }
    for (to, pairs) in to.chunks_exact_mut(width).zip(pairs.chunks_exact(width)) {
        let row = pairs.as_flattened();
        for i in [0, width - 1] {
            let [a, b, c, e] = four_around(i, width).map(|i| row[i]);
            to[i] = NEAR * (b + c) + FAR * (a + e);
        }
    }
}

/// Transpose of [`heighten`].
#[inline(always)]
fn shorten(to: &mut [f32], from: &[f32], [height, width]: [usize; 2]) {
    let chunks = width.next_multiple_of(CHUNK);
    for y in 0..height {
        let around = four_around(y, height);
        let row = |i: usize| &from[around[i] * width..];
        let to = &mut to[y * width..][..chunks];
        mix_four(to, [row(0), row(1), row(2), row(3)], |to, value| *to = value);
    }
}

/// Weighted sum of the four planes or rows around a place.
#[inline(always)]
fn mix_four<T>(to: &mut [T], around: [&[f32]; 4], set: impl Fn(&mut T, f32)) {
    let n = to.len();
    let [a, b, c, e] = around;
    let (a, b, c, e) = (&a[..n], &b[..n], &c[..n], &e[..n]);
    for i in 0..n {
        set(&mut to[i], NEAR * (b[i] + c[i]) + FAR * (a[i] + e[i]));
    }
}
