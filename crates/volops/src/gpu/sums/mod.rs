//! Sums of norms and of volumes as they are, each with its weight, in as few launches as one term
//! alone would take; and the gradients of the norms.
//!
//! Small volumes are bound by launches. So the statistics of all norms of a sum are made together,
//! then factor and shift of every channel of every term, and then the sum: every volume is read once
//! for it, and the result is written once. The backward pass does the same the other way round.

mod gradients;

use cubecl::prelude::*;

use super::{Buffer, UNITS, buffer::optional, cube_sum, cubes, group_len, row, voxels};
use crate::kernel::norm::EPSILON;

pub use gradients::{Gradients, gradients};

/// A norm in a sum.
#[derive(Clone, Debug)]
pub struct Norm {
    /// What is normalised.
    pub x: Buffer,
    /// Factors of the channels.
    pub gamma: Buffer,
    /// Shifts of the channels.
    pub beta: Buffer,
    /// The weight of the term; 1 if there is none.
    pub z: Option<Buffer>,
}

/// A volume as it is, in a sum.
#[derive(Clone, Debug)]
pub struct Plain {
    /// The volume.
    pub x: Buffer,
    /// Its weight; 1 if there is none.
    pub z: Option<Buffer>,
}

/// Voxels that a unit visits.
const VISITS: usize = 8;

/// Most shares of a channel: one for each unit of the cube that adds them up.
const MOST_SHARES: usize = 256;

/// Numbers of a share of the statistics: the channel's first voxel, and the sums of what is left of
/// `x` without it and of its square, so that a large mean does not hide a small variance.
const STATISTICS: usize = 3;
/// Mean of a channel, and one over its deviation.
const MOMENTS: usize = 2;
/// What is subtracted from a channel of a term, its factor, and what is added then.
const FACTORS: usize = 3;

/// Shares of the sums over a channel of a volume shaped `xs`.
fn shares(xs: [usize; 5]) -> usize {
    voxels(xs).div_ceil(VISITS * UNITS as usize).clamp(1, MOST_SHARES)
}

/// Buffers as an argument.
fn all<'a>(buffers: impl Iterator<Item = &'a Buffer>) -> SequenceArg<&'static [f32]> {
    buffers.map(Buffer::arg).collect()
}

/// Weights as an argument, those that there are, and which there are.
fn weights<'a>(
    zs: impl Iterator<Item = &'a Option<Buffer>> + Clone,
) -> (SequenceArg<&'static [f32]>, Vec<bool>) {
    (all(zs.clone().flatten()), zs.map(Option::is_some).collect())
}

/// The weight of this of several terms, 1 if it has none.
#[cube]
fn weight_among(
    term: usize,
    zs: &Sequence<&'static [f32]>,
    #[comptime] weighted: Vec<bool>,
) -> f32 {
    let mut weight = 1.0f32;
    #[unroll]
    for i in 0..comptime!(weighted.len()) {
        if comptime!(weighted[i]) {
            if term == i {
                weight = zs[comptime!(weighted[..i].iter().filter(|&&z| z).count())][0];
            }
        }
    }
    weight
}

/// The sum of norms and other volumes, all shaped `xs`, and the moments of the norms, `[norm, batch ·
/// channels, 2]`, if there is a norm.
///
/// # Panics
/// If there is no term.
pub fn sum(norms: &[Norm], plain: &[Plain], xs: [usize; 5]) -> (Buffer, Option<Buffer>) {
    let mut volumes = norms.iter().map(|norm| &norm.x).chain(plain.iter().map(|plain| &plain.x));
    let like = volumes.clone().next().expect("a sum has at least one term");
    let (rows, terms) = (xs[0] * xs[1], norms.len() + plain.len());
    let is_one_share = shares(xs) == 1;
    let statistics = (!norms.is_empty() && !is_one_share).then(|| statistics(norms, xs));
    let moments = (!norms.is_empty()).then(|| like.empty(norms.len() * rows * MOMENTS));
    // Of volumes as they are nothing is to be known.
    let as_they_are = norms.is_empty() && plain.iter().all(|plain| plain.z.is_none());
    let factors = (!as_they_are).then(|| like.empty(terms * rows * FACTORS));
    let group = group_len(like, if is_one_share { 4 } else { 3 }, 3);
    for (first, factors) in (0..terms).step_by(group).zip(factors.iter().cycle()) {
        let of = |range: std::ops::Range<usize>, before: usize, len: usize| {
            let within = |i: usize| i.saturating_sub(before).min(len);
            within(range.start)..within(range.end)
        };
        let norms = &norms[of(first..first + group, 0, norms.len())];
        let plain = &plain[of(first..first + group, terms - plain.len(), plain.len())];
        let zs = norms.iter().map(|norm| &norm.z).chain(plain.iter().map(|plain| &plain.z));
        let (zs, weighted) = weights(zs);
        // SAFETY: the kernel stays within the shares, voxels, channels and rows of the terms; without
        // a norm it has no use for statistics and moments.
        unsafe {
            factors_kernel::launch_unchecked(
                like.client(),
                CubeCount::Static(rows as u32, (norms.len() + plain.len()) as u32, 1),
                CubeDim::new_1d(UNITS),
                optional(statistics.as_ref()),
                all(norms.iter().map(|norm| &norm.x).filter(|_| is_one_share)),
                all(norms.iter().map(|norm| &norm.gamma)),
                all(norms.iter().map(|norm| &norm.beta)),
                zs,
                moments.as_ref().map(Buffer::arg).into(),
                factors.arg(),
                voxels(xs),
                xs[1],
                shares(xs),
                first,
                weighted,
            );
        }
    }
    let out = like.empty(xs.iter().product());
    // SAFETY: the kernel stays within the voxels and rows of `xs`.
    unsafe {
        sum_kernel::launch_unchecked(
            like.client(),
            cubes(voxels(xs), UNITS * VISITS as u32, rows),
            CubeDim::new_1d(UNITS),
            all(volumes.by_ref()),
            optional(factors.as_ref()),
            out.arg(),
            voxels(xs),
            rows,
        );
    }
    (out, moments)
}

/// Shares of the statistics of norms, `[norm, batch · channels, share, 3]`.
fn statistics(norms: &[Norm], xs: [usize; 5]) -> Buffer {
    let (rows, shares) = (xs[0] * xs[1], shares(xs));
    let out = norms[0].x.empty(norms.len() * rows * shares * STATISTICS);
    // SAFETY: the kernel stays within the voxels of `xs`, and each cube has a share of its own.
    unsafe {
        statistics_kernel::launch_unchecked(
            out.client(),
            CubeCount::Static(shares as u32, (rows * norms.len()) as u32, 1),
            CubeDim::new_1d(UNITS),
            all(norms.iter().map(|norm| &norm.x)),
            out.arg(),
            voxels(xs),
            rows,
        );
    }
    out
}

#[cube(launch_unchecked)]
fn statistics_kernel(xs: Sequence<&'static [f32]>, out: &mut [f32], count: usize, rows: usize) {
    let (norm, row_of_norm) = (row() / rows, row() % rows);
    let (origin, sum, squares) =
        share_of(&xs, norm, row_of_norm, count, CUBE_POS_X as usize, CUBE_COUNT_X as usize);
    if UNIT_POS == 0 {
        let at = (row() * CUBE_COUNT_X as usize + CUBE_POS_X as usize) * STATISTICS;
        out[at] = origin;
        out[at + 1] = sum;
        out[at + 2] = squares;
    }
}

/// One of the `shares` of the statistics of a row of one of `xs`, which a cube makes; every unit gets
/// it.
#[cube]
fn share_of(
    xs: &Sequence<&'static [f32]>,
    norm: usize,
    row: usize,
    count: usize,
    share: usize,
    shares: usize,
) -> (f32, f32, f32) {
    let base = row * count;
    let mut origin = 0.0f32;
    let mut sum = 0.0f32;
    let mut squares = 0.0f32;
    #[unroll]
    for i in 0..xs.len() {
        if norm == i {
            origin = xs[i][base];
            let mut place = share * comptime!(UNITS as usize) + UNIT_POS as usize;
            let step = shares * comptime!(UNITS as usize);
            while place < count {
                let value = xs[i][base + place] - origin;
                sum += value;
                squares += value * value;
                place += step;
            }
        }
    }
    (origin, cube_sum(sum, UNITS), cube_sum(squares, UNITS))
}

/// What the terms do to every row, and the moments of the norms, which come first: a cube for each
/// row of each. Where there are no `statistics` it makes them itself, of the volumes `xs`.
#[cube(launch_unchecked)]
fn factors_kernel(
    statistics: ComptimeOption<&[f32]>,
    xs: Sequence<&'static [f32]>,
    gammas: Sequence<&'static [f32]>,
    betas: Sequence<&'static [f32]>,
    zs: Sequence<&'static [f32]>,
    moments: ComptimeOption<&mut [f32]>,
    factors: &mut [f32],
    count: usize,
    channels: usize,
    shares: usize,
    first: usize,
    #[comptime] weighted: Vec<bool>,
) {
    let row = CUBE_POS_X as usize;
    let term = CUBE_POS_Y as usize;
    let at = (first + term) * CUBE_COUNT_X as usize + row;
    let weight = weight_among(term, &zs, weighted);
    let mut mean = 0.0f32;
    let mut scale = 1.0f32;
    let mut shift = 0.0f32;
    #[unroll]
    for i in 0..gammas.len() {
        if term == i {
            shift = betas[i][row % channels];
            scale = gammas[i][row % channels];
        }
    }
    if term < gammas.len() {
        let mut sum = 0.0f32;
        let mut squares = 0.0f32;
        #[comptime]
        match statistics {
            ComptimeOption::Some(statistics) => {
                let mut share = UNIT_POS as usize;
                while share < shares {
                    let from = (at * shares + share) * STATISTICS;
                    sum += statistics[from + 1];
                    squares += statistics[from + 2];
                    share += comptime!(UNITS as usize);
                }
                mean = statistics[at * shares * STATISTICS];
                sum = cube_sum(sum, UNITS);
                squares = cube_sum(squares, UNITS);
            }
            ComptimeOption::None => {
                let (origin, total, of_squares) = share_of(&xs, term, row, count, 0usize, 1usize);
                mean = origin;
                sum = total;
                squares = of_squares;
            }
        }
        let voxels = count as f32;
        let rest = sum / voxels;
        mean += rest;
        let variance = max(squares / voxels - rest * rest, 0.0f32);
        let inverse = 1.0f32 / (variance + comptime!(EPSILON as f32)).sqrt();
        scale *= inverse;
        #[comptime]
        match moments {
            ComptimeOption::Some(moments) => {
                if UNIT_POS == 0 {
                    moments[at * MOMENTS] = mean;
                    moments[at * MOMENTS + 1] = inverse;
                }
            }
            ComptimeOption::None => {}
        }
    }
    if UNIT_POS == 0 {
        factors[at * FACTORS] = mean;
        factors[at * FACTORS + 1] = weight * scale;
        factors[at * FACTORS + 2] = weight * shift;
    }
}

#[cube(launch_unchecked)]
fn sum_kernel(
    xs: Sequence<&'static [f32]>,
    factors: ComptimeOption<&[f32]>,
    out: &mut [f32],
    count: usize,
    rows: usize,
) {
    let base = row() * count;
    let first = first_visit();
    let mut sums = Array::<f32>::new(VISITS);
    #[unroll]
    for i in 0..VISITS {
        sums[i] = 0.0f32;
    }
    #[unroll]
    for term in 0..xs.len() {
        let mut origin = 0.0f32;
        let mut factor = 1.0f32;
        let mut shift = 0.0f32;
        #[comptime]
        match factors {
            ComptimeOption::Some(factors) => {
                let at = (term * rows + row()) * FACTORS;
                origin = factors[at];
                factor = factors[at + 1];
                shift = factors[at + 2];
            }
            ComptimeOption::None => {}
        }
        #[unroll]
        for i in 0..VISITS {
            let place = first + comptime!(i * UNITS as usize);
            if place < count {
                sums[i] += (xs[term][base + place] - origin) * factor + shift;
            }
        }
    }
    #[unroll]
    for i in 0..VISITS {
        let place = first + comptime!(i * UNITS as usize);
        if place < count {
            out[base + place] = sums[i];
        }
    }
}

/// The first of the voxels that a unit visits, each a cube's width behind the one before.
#[cube]
fn first_visit() -> usize {
    let cube = (CUBE_POS_Z * CUBE_COUNT_X + CUBE_POS_X) as usize;
    cube * comptime!(UNITS as usize * VISITS) + UNIT_POS as usize
}
