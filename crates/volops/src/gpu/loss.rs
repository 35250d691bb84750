//! A loss of Dice and cross-entropy over the voxels of a batch, and its gradient.
//!
//! The first pass adds up what both need to know of all voxels, the second makes the gradient of each
//! from that: probabilities are computed twice and stored nowhere.

use cubecl::prelude::*;

use super::{Buffer, CUBES, UNITS, cube_sum, cubes, item, reduce::reduce, voxels};
use crate::ClassLoss;

/// Most outputs that a unit keeps the numbers of.
pub const MOST_OUTPUTS: usize = 16;

/// The gradient of `loss` of `logits`, shaped `shape`, with respect to them, and its value. Of each
/// voxel `classes` has the true class; what is no class is ignored.
pub fn class_loss(
    logits: &Buffer,
    shape: [usize; 5],
    classes: &Buffer,
    loss: &ClassLoss,
) -> (Buffer, Buffer) {
    let (outputs, voxels, all) = (shape[1], voxels(shape), classes.len());
    let len = sums(outputs);
    let count = all.div_ceil(8 * UNITS as usize).clamp(1, CUBES);
    let shares = logits.empty(count * len);
    // SAFETY: the kernel stays within the voxels of the batch, and each cube has shares of its own.
    unsafe {
        sums_kernel::launch_unchecked(
            logits.client(),
            CubeCount::Static(count as u32, 1, 1),
            CubeDim::new_1d(UNITS),
            logits.arg(),
            classes.arg(),
            shares.arg(),
            voxels,
            all,
            outputs,
        );
    }
    let totals = if count == 1 { shares } else { reduce(&shares, len) };
    let (gradient, value) = (logits.empty(logits.len()), logits.empty(1));
    // SAFETY: the kernel stays within the voxels of the batch.
    unsafe {
        gradient_kernel::launch_unchecked(
            logits.client(),
            cubes(all, UNITS, 1),
            CubeDim::new_1d(UNITS),
            logits.arg(),
            classes.arg(),
            totals.arg(),
            gradient.arg(),
            value.arg(),
            voxels,
            all,
            loss.dice,
            loss.cross_entropy,
            loss.smooth,
            loss.least,
            outputs,
        );
    }
    (gradient, value)
}

/// How many sums there are: of each output Σ p·t, Σ p and Σ t; Σ -ln p of what is true; the voxels
/// that are not ignored.
fn sums(outputs: usize) -> usize {
    3 * outputs + 2
}

#[cube(launch_unchecked)]
fn sums_kernel(
    logits: &[f32],
    classes: &[f32],
    shares: &mut [f32],
    voxels: usize,
    all: usize,
    #[comptime] outputs: usize,
) {
    let len = comptime!(sums(outputs));
    let mut sums = Array::<f32>::new(len);
    for i in 0..len {
        sums[i] = 0.0f32;
    }
    let mut probabilities = Array::<f32>::new(outputs);
    let mut at = CUBE_POS_X as usize * comptime!(UNITS as usize) + UNIT_POS as usize;
    while at < all {
        let class = classes[at];
        if class < f32::cast_from(outputs) {
            let first = at / voxels * outputs * voxels + at % voxels;
            let log_sum = softmax(logits, first, voxels, &mut probabilities, outputs);
            #[unroll]
            for c in 0..outputs {
                let p = probabilities[c];
                let is_true = select(class == f32::cast_from(c), 1.0f32, 0.0f32);
                sums[c] += p * is_true;
                sums[outputs + c] += p;
                sums[2 * outputs + c] += is_true;
                sums[3 * outputs] += is_true * (log_sum - logits[first + c * voxels]);
            }
            sums[3 * outputs + 1] += 1.0f32;
        }
        at += CUBE_COUNT_X as usize * comptime!(UNITS as usize);
    }
    for i in 0..len {
        let sum = cube_sum(sums[i], UNITS);
        if UNIT_POS == 0 {
            shares[CUBE_POS_X as usize * len + i] = sum;
        }
    }
}

/// The probabilities of the classes of the voxel whose logits stand at `first`, `voxels` apart; ln Σ
/// e^logit.
#[cube]
fn softmax(
    logits: &[f32],
    first: usize,
    voxels: usize,
    probabilities: &mut Array<f32>,
    #[comptime] outputs: usize,
) -> f32 {
    let mut largest = logits[first];
    #[unroll]
    for c in 1..outputs {
        largest = max(largest, logits[first + c * voxels]);
    }
    let mut sum = 0.0f32;
    #[unroll]
    for c in 0..outputs {
        let power = (logits[first + c * voxels] - largest).exp();
        probabilities[c] = power;
        sum += power;
    }
    #[unroll]
    for c in 0..outputs {
        probabilities[c] /= sum;
    }
    largest + sum.ln()
}

#[cube(launch_unchecked)]
fn gradient_kernel(
    logits: &[f32],
    classes: &[f32],
    totals: &[f32],
    gradient: &mut [f32],
    value: &mut [f32],
    voxels: usize,
    all: usize,
    dice: f32,
    cross_entropy: f32,
    smooth: f32,
    least: f32,
    #[comptime] outputs: usize,
) {
    let at = item();
    if at >= all {
        terminate!();
    }
    let mut scored = 0.0f32;
    #[unroll]
    for c in 1..outputs {
        scored += select(totals[2 * outputs + c] > 0.0, 1.0f32, 0.0f32);
    }
    let share = dice / max(scored, 1.0f32);
    // d Dice / d p of an output is on_true·t + everywhere; the background's is 0.
    let mut on_true = Array::<f32>::new(outputs);
    let mut everywhere = Array::<f32>::new(outputs);
    on_true[0] = 0.0f32;
    everywhere[0] = 0.0f32;
    let each = cross_entropy / max(totals[3 * outputs + 1], 1.0f32);
    let mut whole = each * totals[3 * outputs];
    #[unroll]
    for c in 1..outputs {
        let present = totals[2 * outputs + c];
        let top = 2.0f32 * totals[c] + smooth;
        let bottom = totals[outputs + c] + present + smooth;
        let weight = select(present > 0.0, share, 0.0f32);
        on_true[c] = weight * -2.0f32 / bottom;
        everywhere[c] = weight * top / (bottom * bottom);
        whole += weight * (1.0f32 - top / bottom);
    }
    if at == 0 {
        value[0] = whole;
    }

    let class = classes[at];
    let first = at / voxels * outputs * voxels + at % voxels;
    let known = select(class < f32::cast_from(outputs), 1.0f32, 0.0f32);
    let mut probabilities = Array::<f32>::new(outputs);
    softmax(logits, first, voxels, &mut probabilities, outputs);
    let mut mean = 0.0f32;
    #[unroll]
    for c in 0..outputs {
        let is_true = select(class == f32::cast_from(c), 1.0f32, 0.0f32);
        mean += probabilities[c] * (everywhere[c] + is_true * on_true[c]);
    }
    #[unroll]
    for c in 0..outputs {
        let p = probabilities[c];
        let is_true = select(class == f32::cast_from(c), 1.0f32, 0.0f32);
        let of_dice = p * (everywhere[c] + is_true * on_true[c] - mean);
        let g = known * (of_dice + each * (p - is_true));
        gradient[first + c * voxels] = select(g.abs() < least, 0.0f32, g);
    }
}
