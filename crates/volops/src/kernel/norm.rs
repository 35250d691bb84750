//! Instance normalisation (Ulyanov et al. 2016): every channel of every batch entry is brought to
//! mean 0 and variance 1 over its voxels, then scaled and shifted by learned `gamma` and `beta`.
//!
//! Statistics are exact to about single precision whatever the offset of the data: the mean and the
//! sum of squared deviations are taken over short blocks, in two sweeps while a block is in the
//! first-level cache, and combined in `f64` (Chan, Golub and LeVeque 1983). Blocks are cut by the
//! shape alone, so the bits never depend on the threads.

use pulp::{Simd, WithSimd};

use crate::kernel::parallel::map_indices;
use crate::kernel::simd::vectorize::vectorize;
use crate::kernel::simd::{SharedOut, dispatch};
use crate::kernel::{Shape, numel};

/// Added to the variance before its root is taken.
pub const EPSILON: f64 = 1e-5;

/// Elements of a block: 8 KiB, so that it and a block of gradients stay in the first-level cache.
const BLOCK: usize = 2048;

/// Normalises each channel of `x` (shape `xs = [b, c, d, h, w]`): `gamma * (x - mean) /
/// sqrt(variance + EPSILON) + beta`, with the biased variance; `gamma` and `beta` have `c`
/// elements. Also returns the moments of the `b * c` volumes.
pub fn instance_norm(
    x: &[f32],
    xs: Shape,
    gamma: &[f32],
    beta: &[f32],
) -> (Vec<f32>, Vec<Moments>) {
    let mut y = Vec::with_capacity(numel(xs));
    let to = &mut y.spare_capacity_mut()[..numel(xs)];
    let moments = normalise(
        x,
        xs,
        gamma,
        beta,
        to,
        #[inline(always)]
        |y, value| _ = y.write(value),
    );
    // SAFETY: `normalise` visits every element.
    unsafe { y.set_len(numel(xs)) };
    (y, moments)
}

/// Adds [`instance_norm`] of `x` to `acc`; returns the moments.
pub fn add_instance_norm(
    acc: &mut [f32],
    x: &[f32],
    xs: Shape,
    gamma: &[f32],
    beta: &[f32],
) -> Vec<Moments> {
    normalise(
        x,
        xs,
        gamma,
        beta,
        acc,
        #[inline(always)]
        |acc, value| *acc += value,
    )
}

/// Serial time of a pass, measured: half a nanosecond an element and something for every volume.
fn nanoseconds(xs: Shape) -> usize {
    numel(xs) / 2 + 100 * xs[0] * xs[1]
}

/// Gives every element of `to` its normalised value, volume by volume: the moments of one are taken
/// when it comes into the cache.
fn normalise<T: Send>(
    x: &[f32],
    xs: Shape,
    gamma: &[f32],
    beta: &[f32],
    to: &mut [T],
    set: impl Fn(&mut T, f32) + Sync,
) -> Vec<Moments> {
    let [batch, channels, d, h, w] = xs;
    let voxels = d * h * w;
    assert_eq!([x.len(), to.len()], [numel(xs); 2], "operands differ in length");
    let to = SharedOut::new(to.as_mut_ptr());
    map_indices(batch * channels, nanoseconds(xs), |volume| {
        let c = volume % channels;
        let x = &x[volume * voxels..][..voxels];
        // SAFETY: volumes are inside of `to` and apart from each other.
        let to = unsafe { std::slice::from_raw_parts_mut(to.ptr().add(volume * voxels), voxels) };
        let moments = dispatch(VolumeMoments(x));
        let scale = moments.inverse_deviation() * f64::from(gamma[c]);
        let (mean, scale, beta) = (moments.mean as f32, scale as f32, beta[c]);
        vectorize(
            #[inline(always)]
            || {
                for (to, &x) in to.iter_mut().zip(x) {
                    set(to, (x - mean) * scale + beta);
                }
            },
        );
        moments
    })
}

/// Gradients of [`instance_norm`] with respect to `x`, `gamma` and `beta`, from the gradient `g` of
/// its output and the moments it returned.
pub fn instance_norm_grad(
    g: &[f32],
    x: &[f32],
    xs: Shape,
    gamma: &[f32],
    moments: &[Moments],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let [batch, channels, d, h, w] = xs;
    let voxels = d * h * w;
    assert_eq!([x.len(), g.len()], [numel(xs); 2], "operands differ in length");
    let mut gx = Vec::with_capacity(numel(xs));
    let to = SharedOut::new(gx.spare_capacity_mut().as_mut_ptr());
    let sums = map_indices(batch * channels, nanoseconds(xs), |volume| {
        let (g, x) = (&g[volume * voxels..][..voxels], &x[volume * voxels..][..voxels]);
        // SAFETY: volumes are inside of the capacity and apart from each other.
        let out = unsafe { std::slice::from_raw_parts_mut(to.ptr().add(volume * voxels), voxels) };
        let moments = moments[volume];
        let [g_sum, g_normal] = dispatch(VolumeSums { g, x, moments });
        let inverse = moments.inverse_deviation();
        let count = voxels as f64;
        // gx = gamma / deviation * (g - mean(g) - normal * mean(g * normal)), with normal = (x -
        // mean) / deviation.
        let scale = inverse * f64::from(gamma[volume % channels]);
        let slope = (-scale * inverse * g_normal / count) as f32;
        let shift = (-scale * g_sum / count) as f32;
        let (mean, scale) = (moments.mean as f32, scale as f32);
        vectorize(
            #[inline(always)]
            || {
                for ((out, &g), &x) in out.iter_mut().zip(g).zip(x) {
                    out.write(scale * g + (slope * (x - mean) + shift));
                }
            },
        );
        [g_normal, g_sum]
    });
    // SAFETY: the loop above wrote every element of every volume.
    unsafe { gx.set_len(numel(xs)) };
    let total = |which: usize| -> Vec<f32> {
        (0..channels)
            .map(|c| sums[c..].iter().step_by(channels).map(|s| s[which]).sum::<f64>() as f32)
            .collect()
    };
    (gx, total(0), total(1))
}

/// Count, mean and sum of squared deviations from the mean of a volume.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl From<[f64; 3]> for Moments {
    fn from([count, mean, squares]: [f64; 3]) -> Self {
        Self { count, mean, squares }
    }
}

impl From<Moments> for [f64; 3] {
    fn from(Moments { count, mean, squares }: Moments) -> Self {
        [count, mean, squares]
    }
}

impl Moments {
    fn join(self, other: Self) -> Self {
        let count = self.count + other.count;
        let ahead = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + ahead * other.count / count,
            squares: self.squares
                + other.squares
                + ahead * ahead * self.count * other.count / count,
        }
    }

    fn inverse_deviation(&self) -> f64 {
        1.0 / (self.squares / self.count + EPSILON).sqrt()
    }
}

/// Computes the [`Moments`] of a volume.
struct VolumeMoments<'a>(&'a [f32]);

impl WithSimd for VolumeMoments<'_> {
    type Output = Moments;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Moments {
        let blocks = self.0.chunks(BLOCK).map(|x| {
            let count = x.len() as f64;
            let [sum] = sweep(simd, x, x, 0.0, |_, x| [x]);
            let about = (sum / count) as f32;
            let center = simd.splat_f32s(about);
            let [left, squares] = sweep(simd, x, x, about, |_, x| {
                let x = simd.sub_f32s(x, center);
                [x, simd.mul_f32s(x, x)]
            });
            // `left` is what rounding left of the mean.
            Moments {
                count,
                mean: f64::from(about) + left / count,
                squares: (squares - left * left / count).max(0.0),
            }
        });
        blocks.fold(Moments::default(), Moments::join)
    }
}

/// Computes the sums over a volume of `g` and of `g * (x - mean) / deviation`.
struct VolumeSums<'a> {
    g: &'a [f32],
    x: &'a [f32],
    moments: Moments,
}

impl WithSimd for VolumeSums<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [f64; 2] {
        let about = self.moments.mean as f32;
        let center = simd.splat_f32s(about);
        let (mut g_sum, mut g_x) = (0.0, 0.0);
        for (g, x) in self.g.chunks(BLOCK).zip(self.x.chunks(BLOCK)) {
            let [block_g, block_g_x] =
                sweep(simd, g, x, about, |g, x| [g, simd.mul_f32s(g, simd.sub_f32s(x, center))]);
            g_sum += block_g;
            g_x += block_g_x;
        }
        // The deviations were taken from the mean as rounded to f32.
        g_x -= g_sum * (self.moments.mean - f64::from(about));
        [g_sum, g_x * self.moments.inverse_deviation()]
    }
}

/// Independent sums kept for each term, so that additions need not wait for each other.
const UNROLL: usize = 4;

/// Sums `terms(g[i], x[i])` over a block, which is continued with `g = 0`, `x = padding` to whole
/// vectors.
#[inline(always)]
fn sweep<S: Simd, const K: usize>(
    simd: S,
    g: &[f32],
    x: &[f32],
    padding: f32,
    terms: impl Fn(S::f32s, S::f32s) -> [S::f32s; K],
) -> [f64; K] {
    let mut sums = [[simd.splat_f32s(0.0); K]; UNROLL];
    let add = |sums: &mut [S::f32s; K], g, x| {
        let terms = terms(g, x);
        for k in 0..K {
            sums[k] = simd.add_f32s(sums[k], terms[k]);
        }
    };
    let (g, g_rest) = S::as_simd_f32s(g);
    let (x, x_rest) = S::as_simd_f32s(x);
    let ((g_groups, g), (x_groups, x)) = (g.as_chunks::<UNROLL>(), x.as_chunks::<UNROLL>());
    for (g, x) in g_groups.iter().zip(x_groups) {
        for u in 0..UNROLL {
            add(&mut sums[u], g[u], x[u]);
        }
    }
    for (&g, &x) in g.iter().zip(x) {
        add(&mut sums[0], g, x);
    }
    if !x_rest.is_empty() {
        let mut last = [padding; 16];
        last[..x_rest.len()].copy_from_slice(x_rest);
        add(&mut sums[0], simd.partial_load_f32s(g_rest), S::as_simd_f32s(&last).0[0]);
    }
    let mut totals = [0.0; K];
    for sums in sums {
        for k in 0..K {
            totals[k] += f64::from(simd.reduce_sum_f32s(sums[k]));
        }
    }
    totals
}
