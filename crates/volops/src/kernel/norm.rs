//! Instance normalisation (Ulyanov et al. 2016): every channel of every batch entry is brought to mean 0 and variance 1
//! over its voxels, then scaled and shifted by learned `gamma` and `beta`.
//!
//! Statistics are exact to about single precision whatever the offset of the data: the mean and the sum of squared
//! deviations are taken over short blocks, in two sweeps while a block is in the first-level cache, and combined in `f64`
//! (Chan, Golub and LeVeque 1983). Blocks are cut by the shape alone, so the bits never depend on the threads.

use pulp::{Simd, WithSimd};

use super::parallel::{collect_slabs, map_indices};
use super::simd::dispatch;
use super::vectorize::vectorize;
use super::{Shape, numel};

/// Added to the variance before its root is taken.
pub const EPSILON: f64 = 1e-5;

/// Elements of a block: 8 KiB, so that it and a block of gradients stay in the first-level cache.
const BLOCK: usize = 2048;

/// Normalises each channel of `x` (shape `xs = [b, c, d, h, w]`): `gamma * (x - mean) / sqrt(variance + EPSILON) + beta`,
/// with the biased variance; `gamma` and `beta` have `c` elements.
pub fn instance_norm(x: &[f32], xs: Shape, gamma: &[f32], beta: &[f32]) -> Vec<f32> {
    let [batch, channels, d, h, w] = xs;
    let voxels = d * h * w;
    // SAFETY: the loop writes every element of the volume.
    unsafe {
        collect_slabs([batch * channels, 1, voxels], 0, numel(xs) / 4, |slab, out| {
            let c = slab.volume % channels;
            let x = &x[slab.volume * voxels..][..voxels];
            let moments = dispatch(VolumeSums { g: x, x }).x;
            let scale = moments.inverse_deviation() * f64::from(gamma[c]);
            let (mean, scale, beta) = (moments.mean as f32, scale as f32, beta[c]);
            vectorize(
                #[inline(always)]
                || {
                    for (out, &x) in out.iter_mut().zip(x) {
                        out.write((x - mean) * scale + beta);
                    }
                },
            );
        })
    }
}

/// Gradients of [`instance_norm`] with respect to `x`, `gamma` and `beta`, from the gradient `g` of its output.
/// Recomputes the statistics of `x`.
pub fn instance_norm_grad(g: &[f32], x: &[f32], xs: Shape, gamma: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let [batch, channels, d, h, w] = xs;
    let voxels = d * h * w;
    let volume = |i: usize| (&g[i * voxels..][..voxels], &x[i * voxels..][..voxels]);
    let sums = map_indices(batch * channels, numel(xs) / 4, |i| {
        let (g, x) = volume(i);
        dispatch(VolumeSums { g, x })
    });
    // SAFETY: the loop writes every element of the volume.
    let gx = unsafe {
        collect_slabs([batch * channels, 1, voxels], 0, numel(xs) / 4, |slab, out| {
            let (g, x) = volume(slab.volume);
            let Sums { x: moments, g_sum, g_normal } = sums[slab.volume];
            let inverse = moments.inverse_deviation();
            let count = voxels as f64;
            // gx = gamma / deviation * (g - mean(g) - normal * mean(g * normal)), with normal = (x - mean) / deviation.
            let scale = inverse * f64::from(gamma[slab.volume % channels]);
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
        })
    };
    let total = |of: fn(&Sums) -> f64| -> Vec<f32> {
        (0..channels).map(|c| sums[c..].iter().step_by(channels).map(of).sum::<f64>() as f32).collect()
    };
    (gx, total(|sums| sums.g_normal), total(|sums| sums.g_sum))
}

/// What the backward pass needs of a volume.
#[derive(Clone, Copy)]
struct Sums {
    x: Moments,
    /// Sum of `g`.
    g_sum: f64,
    /// Sum of `g * (x - mean) / deviation`.
    g_normal: f64,
}

/// Count, mean and sum of squared deviations from the mean.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn join(self, other: Self) -> Self {
        let count = self.count + other.count;
        let ahead = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + ahead * other.count / count,
            squares: self.squares + other.squares + ahead * ahead * self.count * other.count / count,
        }
    }

    fn inverse_deviation(&self) -> f64 {
        1.0 / (self.squares / self.count + EPSILON).sqrt()
    }
}

/// Computes the [`Sums`] of one volume. (The forward pass, which needs no gradient, gives `x` for `g`.)
struct VolumeSums<'a> {
    g: &'a [f32],
    x: &'a [f32],
}

impl WithSimd for VolumeSums<'_> {
    type Output = Sums;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Sums {
        let mut all = Moments::default();
        // Sum of g, and of g * (x - mean so far).
        let (mut g_sum, mut g_x) = (0.0, 0.0);
        for (g, x) in self.g.chunks(BLOCK).zip(self.x.chunks(BLOCK)) {
            let count = x.len() as f64;
            let [x_sum, block_g] = sweep(simd, g, x, 0.0, |g, x| [x, g]);
            let about = (x_sum / count) as f32;
            let center = simd.splat_f32s(about);
            let [left, squares, block_g_x] = sweep(simd, g, x, about, |g, x| {
                let x = simd.sub_f32s(x, center);
                [x, simd.mul_f32s(x, x), simd.mul_f32s(g, x)]
            });
            // `left` is what rounding left of the mean.
            let mean = f64::from(about) + left / count;
            let block = Moments { count, mean, squares: (squares - left * left / count).max(0.0) };
            let joined = all.join(block);
            g_x += g_sum * (all.mean - joined.mean) + block_g_x + block_g * (f64::from(about) - joined.mean);
            g_sum += block_g;
            all = joined;
        }
        Sums { x: all, g_sum, g_normal: g_x * all.inverse_deviation() }
    }
}

/// Independent sums kept for each term, so that additions need not wait for each other.
const UNROLL: usize = 4;

/// Sums `terms(g[i], x[i])` over a block, which is continued with `g = 0`, `x = padding` to whole vectors.
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
