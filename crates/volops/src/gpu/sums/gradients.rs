//! The gradients of the norms of a sum.

use cubecl::prelude::*;

use super::{MOMENTS, Norm, VISITS, all, first_visit, shares, weight_among, weights};
use crate::gpu::{Buffer, UNITS, buffer::optional, cube_sum, cubes, group_len, row, voxels};

/// Numbers of a share: the sums of `g`, and of its product with what is normalised.
const PRODUCTS: usize = 2;
/// What the gradient of `x` is made of in a row: the factor of all, the mean of `g`, and the mean of
/// the products over the deviation.
const SLOPES: usize = 3;
/// Of a row of a single share: the gradients of its factor and of its shift, and what it adds to that
/// of the weight.
const TOTALS: usize = 3;
/// Channels whose sums a cube makes side by side, and the units that share in one.
const SIDE_BY_SIDE: usize = 16;

/// The gradients of a norm and of its weight.
#[derive(Clone, Debug)]
pub struct Gradients {
    /// Of what is normalised.
    pub x: Buffer,
    /// Of the factors.
    pub gamma: Buffer,
    /// Of the shifts.
    pub beta: Buffer,
    /// Of the weight.
    pub z: Buffer,
}

/// The gradients of all `norms` of a sum, of volumes shaped `xs`, given that of the sum, `g`, and the
/// `moments` of the norms.
pub fn gradients(g: &Buffer, norms: &[Norm], moments: &Buffer, xs: [usize; 5]) -> Vec<Gradients> {
    let ([batch, channels, ..], shares) = (xs, shares(xs));
    let (rows, blocks) = (batch * channels, channels.div_ceil(SIDE_BY_SIDE));
    let slopes = g.empty(norms.len() * rows * SLOPES);
    let (pitch, scale_pitch, z_pitch) =
        (g.padded(xs.iter().product()), g.padded(channels), g.padded(1));
    let by_x = g.empty(norms.len() * pitch);
    let by_scales = g.empty(2 * norms.len() * scale_pitch);
    let by_z = g.empty(norms.len() * z_pitch);
    let cube = CubeDim::new_1d(UNITS);
    let of_norms = |of: fn(&Norm) -> &Buffer, norms: &[Norm]| all(norms.iter().map(of));
    // What the gradients of factors, shifts and weights are sums of, in rows that are one share; and
    // of the weights alone, of every block of channels.
    let (mut of_rows, mut of_blocks) = (None, None);
    // SAFETY: the kernels stay within the voxels, channels, rows and shares of the norms, and each
    // cube writes what is its own.
    unsafe {
        if shares == 1 {
            let totals = g.empty(norms.len() * rows * TOTALS);
            let group = group_len(g, 4, 4);
            for (i, norms) in norms.chunks(group).enumerate() {
                let (zs, weighted) = weights(norms.iter().map(|norm| &norm.z));
                row_kernel::launch_unchecked(
                    g.client(),
                    CubeCount::Static(1, (rows * norms.len()) as u32, 1),
                    cube,
                    g.arg(),
                    of_norms(|norm| &norm.x, norms),
                    moments.arg(),
                    of_norms(|norm| &norm.gamma, norms),
                    of_norms(|norm| &norm.beta, norms),
                    zs,
                    slopes.arg(),
                    totals.arg(),
                    voxels(xs),
                    rows,
                    channels,
                    i * group,
                    weighted,
                );
            }
            of_rows = Some(totals);
        } else {
            let products = g.empty(norms.len() * rows * shares * PRODUCTS);
            let parts = g.empty(norms.len() * blocks);
            products_kernel::launch_unchecked(
                g.client(),
                CubeCount::Static(shares as u32, (rows * norms.len()) as u32, 1),
                cube,
                g.arg(),
                of_norms(|norm| &norm.x, norms),
                moments.arg(),
                products.arg(),
                voxels(xs),
                rows,
            );
            let group = group_len(g, 3, 5);
            for (i, norms) in norms.chunks(group).enumerate() {
                let (zs, weighted) = weights(norms.iter().map(|norm| &norm.z));
                slopes_kernel::launch_unchecked(
                    g.client(),
                    CubeCount::Static(blocks as u32, norms.len() as u32, 1),
                    cube,
                    products.arg(),
                    moments.arg(),
                    of_norms(|norm| &norm.gamma, norms),
                    of_norms(|norm| &norm.beta, norms),
                    zs,
                    slopes.arg(),
                    by_scales.arg(),
                    parts.arg(),
                    voxels(xs),
                    batch,
                    channels,
                    shares,
                    scale_pitch,
                    i * group,
                    weighted,
                );
            }
            of_blocks = Some(parts);
        }
        apply_kernel::launch_unchecked(
            g.client(),
            cubes(voxels(xs), UNITS * VISITS as u32, rows * norms.len()),
            cube,
            g.arg(),
            of_norms(|norm| &norm.x, norms),
            moments.arg(),
            slopes.arg(),
            optional(of_rows.as_ref()),
            optional(of_blocks.as_ref()),
            by_x.arg(),
            by_scales.arg(),
            by_z.arg(),
            voxels(xs),
            batch,
            channels,
            blocks,
            pitch,
            scale_pitch,
            z_pitch,
        );
    }
    let of = |i: usize| Gradients {
        x: by_x.part(i * pitch, xs.iter().product()),
        gamma: by_scales.part(2 * i * scale_pitch, channels),
        beta: by_scales.part((2 * i + 1) * scale_pitch, channels),
        z: by_z.part(i * z_pitch, 1),
    };
    (0..norms.len()).map(of).collect()
}

/// All of a row that is one share: what the gradient of the volume is made of, and its part in the
/// others.
#[cube(launch_unchecked)]
fn row_kernel(
    g: &[f32],
    xs: Sequence<&'static [f32]>,
    moments: &[f32],
    gammas: Sequence<&'static [f32]>,
    betas: Sequence<&'static [f32]>,
    zs: Sequence<&'static [f32]>,
    slopes: &mut [f32],
    totals: &mut [f32],
    count: usize,
    rows: usize,
    channels: usize,
    first: usize,
    #[comptime] weighted: Vec<bool>,
) {
    let (term, base, channel) = (row() / rows, row() % rows * count, row() % channels);
    let at = first * rows + row();
    let (mean, scale) = (moments[at * MOMENTS], moments[at * MOMENTS + 1]);
    let weight = weight_among(term, &zs, weighted);
    let mut gamma = 0.0f32;
    let mut beta = 0.0f32;
    let mut sum = 0.0f32;
    let mut product = 0.0f32;
    #[unroll]
    for i in 0..xs.len() {
        if term == i {
            gamma = gammas[i][channel];
            beta = betas[i][channel];
            let mut place = UNIT_POS as usize;
            while place < count {
                let value = g[base + place];
                sum += value;
                product += value * (xs[i][base + place] - mean);
                place += comptime!(UNITS as usize);
            }
        }
    }
    let sum = cube_sum(sum, UNITS);
    let total = cube_sum(product, UNITS) * scale;
    if UNIT_POS == 0 {
        let voxels = count as f32;
        slopes[at * SLOPES] = weight * gamma * scale;
        slopes[at * SLOPES + 1] = sum / voxels;
        slopes[at * SLOPES + 2] = total / voxels * scale;
        totals[at * TOTALS] = weight * total;
        totals[at * TOTALS + 1] = weight * sum;
        totals[at * TOTALS + 2] = gamma * total + beta * sum;
    }
}

/// Shares of the sums of `g`, and of its products with what is normalised, of every row.
#[cube(launch_unchecked)]
fn products_kernel(
    g: &[f32],
    xs: Sequence<&'static [f32]>,
    moments: &[f32],
    out: &mut [f32],
    count: usize,
    rows: usize,
) {
    let (norm, base) = (row() / rows, row() % rows * count);
    let mean = moments[row() * MOMENTS];
    let mut sum = 0.0f32;
    let mut product = 0.0f32;
    #[unroll]
    for i in 0..xs.len() {
        if norm == i {
            let mut place = CUBE_POS_X as usize * comptime!(UNITS as usize) + UNIT_POS as usize;
            let step = CUBE_COUNT_X as usize * comptime!(UNITS as usize);
            while place < count {
                let value = g[base + place];
                sum += value;
                product += value * (xs[i][base + place] - mean);
                place += step;
            }
        }
    }
    let sum = cube_sum(sum, UNITS);
    let product = cube_sum(product, UNITS);
    if UNIT_POS == 0 {
        let at = (row() * CUBE_COUNT_X as usize + CUBE_POS_X as usize) * PRODUCTS;
        out[at] = sum;
        out[at + 1] = product * moments[row() * MOMENTS + 1];
    }
}

/// The gradients of factors and shifts, what those of the volumes are made of, and the part of every
/// block of channels in that of the weight: a cube for each block of each norm.
#[cube(launch_unchecked)]
fn slopes_kernel(
    products: &[f32],
    moments: &[f32],
    gammas: Sequence<&'static [f32]>,
    betas: Sequence<&'static [f32]>,
    zs: Sequence<&'static [f32]>,
    slopes: &mut [f32],
    by_scales: &mut [f32],
    parts: &mut [f32],
    count: usize,
    batch: usize,
    channels: usize,
    shares: usize,
    scale_pitch: usize,
    first: usize,
    #[comptime] weighted: Vec<bool>,
) {
    let slices = comptime!(UNITS as usize / SIDE_BY_SIDE);
    let mut sums = Shared::<[f32]>::new_slice(comptime!(UNITS as usize));
    let mut totals = Shared::<[f32]>::new_slice(comptime!(UNITS as usize));
    let unit = UNIT_POS as usize;
    let slice = unit / SIDE_BY_SIDE;
    let channel = CUBE_POS_X as usize * SIDE_BY_SIDE + unit % SIDE_BY_SIDE;
    let norm = first + CUBE_POS_Y as usize;
    let is_there = channel < channels;
    let weight = weight_among(CUBE_POS_Y as usize, &zs, weighted);
    let mut gamma = 0.0f32;
    let mut beta = 0.0f32;
    #[unroll]
    for i in 0..gammas.len() {
        if CUBE_POS_Y as usize == i && is_there {
            gamma = gammas[i][channel];
            beta = betas[i][channel];
        }
    }
    let mut by_gamma = 0.0f32;
    let mut by_beta = 0.0f32;
    for entry in 0..batch {
        let row = (norm * batch + entry) * channels + channel;
        let mut sum = 0.0f32;
        let mut total = 0.0f32;
        if is_there {
            let mut share = slice;
            while share < shares {
                let at = (row * shares + share) * PRODUCTS;
                sum += products[at];
                total += products[at + 1];
                share += slices;
            }
        }
        sync_cube();
        sums[unit] = sum;
        totals[unit] = total;
        sync_cube();
        if slice == 0 && is_there {
            let mut sum = 0.0f32;
            let mut total = 0.0f32;
            for i in 0..slices {
                sum += sums[unit + i * SIDE_BY_SIDE];
                total += totals[unit + i * SIDE_BY_SIDE];
            }
            let (voxels, scale) = (count as f32, moments[row * MOMENTS + 1]);
            slopes[row * SLOPES] = weight * gamma * scale;
            slopes[row * SLOPES + 1] = sum / voxels;
            slopes[row * SLOPES + 2] = total / voxels * scale;
            by_beta += sum;
            by_gamma += total;
        }
    }
    if slice == 0 && is_there {
        by_scales[2 * norm * scale_pitch + channel] = weight * by_gamma;
        by_scales[(2 * norm + 1) * scale_pitch + channel] = weight * by_beta;
    }
    let part = cube_sum(gamma * by_gamma + beta * by_beta, UNITS);
    if unit == 0 {
        parts[norm * CUBE_COUNT_X as usize + CUBE_POS_X as usize] = part;
    }
}

/// The gradients of the volumes. The first cube of a norm also makes that of its weight, and, of
/// `totals`, those of the factors and shifts.
#[cube(launch_unchecked)]
fn apply_kernel(
    g: &[f32],
    xs: Sequence<&'static [f32]>,
    moments: &[f32],
    slopes: &[f32],
    totals: ComptimeOption<&[f32]>,
    parts: ComptimeOption<&[f32]>,
    by_x: &mut [f32],
    by_scales: &mut [f32],
    by_z: &mut [f32],
    count: usize,
    batch: usize,
    channels: usize,
    blocks: usize,
    pitch: usize,
    scale_pitch: usize,
    z_pitch: usize,
) {
    let rows = batch * channels;
    let (norm, base) = (row() / rows, row() % rows * count);
    let mean = moments[row() * MOMENTS];
    let at = row() * SLOPES;
    let (factor, mean_g, slope) = (slopes[at], slopes[at + 1], slopes[at + 2]);
    let first = first_visit();
    #[unroll]
    for i in 0..xs.len() {
        if norm == i {
            #[unroll]
            for visit in 0..VISITS {
                let place = first + comptime!(visit * UNITS as usize);
                if place < count {
                    let value = g[base + place] - mean_g - (xs[i][base + place] - mean) * slope;
                    by_x[norm * pitch + base + place] = factor * value;
                }
            }
        }
    }
    if row() % rows == 0 && CUBE_POS_X == 0 && CUBE_POS_Z == 0 {
        let mut part = 0.0f32;
        #[comptime]
        match totals {
            ComptimeOption::Some(totals) => {
                let mut channel = UNIT_POS as usize;
                while channel < channels {
                    let mut by_gamma = 0.0f32;
                    let mut by_beta = 0.0f32;
                    for entry in 0..batch {
                        let at = ((norm * batch + entry) * channels + channel) * TOTALS;
                        by_gamma += totals[at];
                        by_beta += totals[at + 1];
                        part += totals[at + 2];
                    }
                    by_scales[2 * norm * scale_pitch + channel] = by_gamma;
                    by_scales[(2 * norm + 1) * scale_pitch + channel] = by_beta;
                    channel += comptime!(UNITS as usize);
                }
            }
            ComptimeOption::None => {}
        }
        #[comptime]
        match parts {
            ComptimeOption::Some(parts) => {
                let mut block = UNIT_POS as usize;
                while block < blocks {
                    part += parts[norm * blocks + block];
                    block += comptime!(UNITS as usize);
                }
            }
            ComptimeOption::None => {}
        }
        let sum = cube_sum(part, UNITS);
        if UNIT_POS == 0 {
            by_z[norm * z_pitch] = sum;
        }
    }
}
