//! What is done to many small buffers, several of them in one launch.

use cubecl::prelude::*;

use super::{Buffer, UNITS, cube_sum, group_len, reduce::reduce};
use crate::{AdamStep, kernel::elementwise::LEAST};

/// Shares of the sum over a buffer, a cube each.
const SHARES: usize = 4;

/// The sum of the squares of the elements of all `parts`, of which there is one at least.
pub fn squared_norm(parts: &[Buffer]) -> Buffer {
    let shares = parts[0].empty(parts.len() * SHARES);
    let group = group_len(&parts[0], 1, 2);
    for (i, parts) in parts.chunks(group).enumerate() {
        // SAFETY: the kernel stays within the parts, and each cube has a share of its own.
        unsafe {
            squares_kernel::launch_unchecked(
                parts[0].client(),
                CubeCount::Static(SHARES as u32, parts.len() as u32, 1),
                CubeDim::new_1d(UNITS),
                parts.iter().map(Buffer::arg).collect(),
                parts.iter().map(Buffer::len).collect(),
                shares.arg(),
                i * group * SHARES,
            );
        }
    }
    reduce(&shares, 1)
}

#[cube(launch_unchecked)]
fn squares_kernel(
    parts: Sequence<&'static [f32]>,
    lens: Sequence<usize>,
    out: &mut [f32],
    first: usize,
) {
    let mut sum = 0.0f32;
    #[unroll]
    for i in 0..parts.len() {
        if CUBE_POS_Y as usize == i {
            let mut at = CUBE_POS_X as usize * comptime!(UNITS as usize) + UNIT_POS as usize;
            while at < lens[i] {
                sum += parts[i][at] * parts[i][at];
                at += comptime!(SHARES * UNITS as usize);
            }
        }
    }
    let sum = cube_sum(sum, UNITS);
    if UNIT_POS == 0 {
        out[first + CUBE_POS_Y as usize * SHARES + CUBE_POS_X as usize] = sum;
    }
}

/// A run of parameters with its running means, which are updated in place, its gradient, and what
/// the update does.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Parameters.
    pub p: Buffer,
    /// Running mean of the gradient.
    pub m: Buffer,
    /// Running mean of its square.
    pub v: Buffer,
    /// Gradient.
    pub g: Buffer,
    /// What the update does.
    pub step: AdamStep,
}

/// One step of Adam of every part, gradients times `scale` first.
pub fn adam(parts: &[Parameters], scale: f32) {
    let alike = |a: &Parameters, b: &Parameters| {
        let common = |step: &AdamStep| AdamStep { bias1: 1.0, bias2: 1.0, ..*step };
        common(&a.step) == common(&b.step)
    };
    for parts in parts.chunk_by(alike) {
        for parts in parts.chunks(group_len(&parts[0].p, 4, 1)) {
            launch(parts, scale);
        }
    }
}

/// Of parts whose steps differ in the correction of the bias only, as those of weights that were
/// updated more or less often do.
fn launch(parts: &[Parameters], scale: f32) {
    let AdamStep { lr, beta1, beta2, eps, weight_decay, .. } = parts[0].step;
    let longest = parts.iter().map(|part| part.p.len()).max().unwrap_or(0);
    let buffers = |of: fn(&Parameters) -> &Buffer| {
        parts.iter().map(|part| of(part).arg()).collect::<Vec<_>>()
    };
    // SAFETY: the kernel stays within the parts, whose buffers are of equal length.
    unsafe {
        adam_kernel::launch_unchecked(
            parts[0].p.client(),
            CubeCount::Static(longest.div_ceil(UNITS as usize) as u32, parts.len() as u32, 1),
            CubeDim::new_1d(UNITS),
            buffers(|part| &part.p).into_iter().collect(),
            buffers(|part| &part.m).into_iter().collect(),
            buffers(|part| &part.v).into_iter().collect(),
            buffers(|part| &part.g).into_iter().collect(),
            parts.iter().map(|part| part.p.len()).collect(),
            parts.iter().map(|part| lr / part.step.bias1).collect(),
            parts.iter().map(|part| 1.0 / part.step.bias2).collect(),
            scale,
            1.0 - lr * weight_decay,
            beta1,
            beta2,
            eps,
        );
    }
}

#[cube(launch_unchecked)]
fn adam_kernel(
    mut ps: Sequence<&'static mut [f32]>,
    mut ms: Sequence<&'static mut [f32]>,
    mut vs: Sequence<&'static mut [f32]>,
    gradients: Sequence<&'static [f32]>,
    lens: Sequence<usize>,
    rates: Sequence<f32>,
    unbiases: Sequence<f32>,
    scale: f32,
    keep: f32,
    beta1: f32,
    beta2: f32,
    eps: f32,
) {
    let at = CUBE_POS_X as usize * comptime!(UNITS as usize) + UNIT_POS as usize;
    #[unroll]
    for i in 0..gradients.len() {
        if CUBE_POS_Y as usize == i && at < lens[i] {
            let p = &mut ps[i];
            let m = &mut ms[i];
            let v = &mut vs[i];
            let g = unless_below(LEAST, scale * gradients[i][at]);
            let mean = unless_below(LEAST, beta1 * m[at] + (1.0f32 - beta1) * g);
            let square = beta2 * v[at] + (1.0f32 - beta2) * g * g;
            let square = unless_below(LEAST * LEAST, square);
            let step = rates[i] * mean / ((square * unbiases[i]).sqrt() + eps);
            m[at] = mean;
            v[at] = square;
            p[at] = keep * p[at] - step;
        }
    }
}

/// `x`, or 0 if it is less.
#[cube]
fn unless_below(#[comptime] least: f32, x: f32) -> f32 {
    select(x.abs() < least, 0.0f32, x)
}
