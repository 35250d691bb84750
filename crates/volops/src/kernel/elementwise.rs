//! Operations that look at one element at a time: LeakyReLU, scaled sums, dot product, the Adam
//! step.
//!
//! All of them are bound by memory, so each reads and writes every element once.

use std::ops::Range;

use crate::kernel::parallel::threads::for_each;
use crate::kernel::parallel::{collect_slabs, map_indices, worth_forking};
use crate::kernel::simd::SharedOut;
use crate::kernel::simd::vectorize::vectorize;

/// Elements one piece of work handles; also the partition of [`dot`], which therefore never depends
/// on the threads.
const BLOCK: usize = 1 << 13;

/// Partial sums kept by [`dot`]: enough independent additions to fill the vector units.
const SUMS: usize = 32;

/// Calls `f` for ranges that cover `0..len` once, on several threads if `nanoseconds` of work are
/// worth it.
fn blocks(len: usize, nanoseconds: usize, f: impl Fn(Range<usize>) + Sync) {
    if worth_forking(nanoseconds) {
        for_each(len.div_ceil(BLOCK), |i| f(i * BLOCK..len.min((i + 1) * BLOCK)));
    } else {
        f(0..len);
    }
}

/// # Safety
/// The range must be inside the slice that begins at `start`, and nobody else may use that part of
/// it.
unsafe fn part<'a>(start: SharedOut, range: &Range<usize>) -> &'a mut [f32] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(start.ptr().add(range.start), range.len()) }
}

/// `out[i] = f(x[i], y[i])`.
fn zip_map(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32 + Copy + Sync) -> Vec<f32> {
    assert_eq!(x.len(), y.len(), "operands differ in length");
    // SAFETY: the loop writes every element, as x and y are as long as the output.
    unsafe {
        collect_slabs([1, x.len(), 1], BLOCK / 2, x.len() / 8, |slab, out| {
            let (x, y) = (&x[slab.start..slab.end], &y[slab.start..slab.end]);
            vectorize(
                #[inline(always)]
                || {
                    for ((out, &x), &y) in out.iter_mut().zip(x).zip(y) {
                        out.write(f(x, y));
                    }
                },
            );
        })
    }
}

/// `out[i] = x[i]` where positive, `slope * x[i]` elsewhere.
pub fn leaky_relu(x: &[f32], slope: f32) -> Vec<f32> {
    zip_map(x, x, move |x, _| if x > 0.0 { x } else { x * slope })
}

/// Gradient of [`leaky_relu`]: `g` where the input `x` was positive, `slope * g` elsewhere.
pub fn leaky_relu_grad(g: &[f32], x: &[f32], slope: f32) -> Vec<f32> {
    zip_map(g, x, move |g, x| if x > 0.0 { g } else { g * slope })
}

/// `z * y`.
pub fn scaled(y: &[f32], z: f32) -> Vec<f32> {
    zip_map(y, y, move |y, _| z * y)
}

/// `acc += z * y`.
pub fn add_scaled(acc: &mut [f32], y: &[f32], z: f32) {
    assert_eq!(acc.len(), y.len(), "operands differ in length");
    let acc_start = SharedOut::new(acc.as_mut_ptr());
    blocks(acc.len(), acc.len() / 8, |range| {
        // SAFETY: the ranges are inside the slice and disjoint.
        let acc = unsafe { part(acc_start, &range) };
        let y = &y[range];
        vectorize(
            #[inline(always)]
            || acc.iter_mut().zip(y).for_each(|(acc, &y)| *acc += z * y),
        );
    });
}

/// `sum of a[i] * b[i]`, accumulated in `f64`.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "operands differ in length");
    let blocks = a.len().div_ceil(BLOCK);
    let sums = map_indices(blocks, a.len() / 8, |i| {
        let range = i * BLOCK..((i + 1) * BLOCK).min(a.len());
        let (a, b) = (&a[range.clone()], &b[range]);
        vectorize(
            #[inline(always)]
            || dot_block(a, b),
        )
    });
    sums.iter().sum::<f64>() as f32
}

/// A block of [`dot`].
#[inline(always)]
pub(super) fn dot_block(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0; SUMS];
    let (a, a_rest) = a.as_chunks::<SUMS>();
    let (b, b_rest) = b.as_chunks::<SUMS>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..SUMS {
            sums[i] += f64::from(a[i]) * f64::from(b[i]);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    sums.iter().sum::<f64>() + rest
}

/// One step of Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate: what a step of a gradient that never changes moves a parameter by.
    pub lr: f32,
    /// Decay of the running mean of the gradient.
    pub beta1: f32,
    /// Decay of the running mean of its square.
    pub beta2: f32,
    /// Added to the root of the mean square, so that it never divides by 0.
    pub eps: f32,
    /// Fraction `lr * weight_decay` of the parameter that is subtracted, outside of the adaptive
    /// step.
    pub weight_decay: f32,
    /// `1 - beta1^t` at step `t`, counted from 1.
    pub bias1: f32,
    /// `1 - beta2^t`.
    pub bias2: f32,
}

/// What is smaller in a gradient or its running mean is taken for 0: with a gradient of 1e-15 the
/// parameter moves by less than a millionth of the learning rate (`eps` is 1e-8, as usual), and
/// squares of less would leave the normal range of `f32`, where many processors take a
/// hundred times as long.
pub(crate) const LEAST: f32 = 1e-15;

/// Updates parameters `p` and the running means `m`, `v` in place from the gradient `g`.
pub fn adam(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], step: &AdamStep) {
    let n = p.len();
    assert_eq!([g.len(), m.len(), v.len()], [n; 3], "operands differ in length");
    let [p, m, v] = [p, m, v].map(|tensor| SharedOut::new(tensor.as_mut_ptr()));
    blocks(n, n / 3, |range| {
        // SAFETY: the ranges are inside the slices and disjoint.
        let [p, m, v] = [p, m, v].map(|tensor| unsafe { part(tensor, &range) });
        let g = &g[range];
        vectorize(
            #[inline(always)]
            || adam_block(p, g, m, v, step),
        );
    });
}

#[inline(always)]
fn adam_block(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], step: &AdamStep) {
    let AdamStep { lr, beta1, beta2, eps, weight_decay, bias1, bias2 } = *step;
    let (keep, rate, unbias2) = (1.0 - lr * weight_decay, lr / bias1, 1.0 / bias2);
    let unless_below = |least: f32, x: f32| if x.abs() < least { 0.0 } else { x };
    for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        let g = unless_below(LEAST, g);
        *m = unless_below(LEAST, beta1 * *m + (1.0 - beta1) * g);
        *v = unless_below(LEAST * LEAST, beta2 * *v + (1.0 - beta2) * g * g);
        *p = keep * *p - rate * *m / ((*v * unbias2).sqrt() + eps);
    }
}
