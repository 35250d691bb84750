//! What scanners do to intensities, on one channel of a patch.
//!
//! The order and the ranges in use are those of nnU-Net (Isensee et al. 2021): noise, blur,
//! brightness, contrast, resolution, gamma.

use ndarray::Array3;
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};

use super::settings::{AugmentSettings, factor, happens};
use crate::resample::{Taps, along_axis, resample};

/// What is done to one channel, in the order of the fields. The default does nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Intensity {
    /// Noise on every voxel.
    pub noise: Option<Noise>,
    /// Standard deviation of a Gaussian blur, in voxels.
    pub blur: Option<f64>,
    /// Factor on every voxel.
    pub brightness: Option<f64>,
    /// Factor on the distance from the mean; the patch's range is kept by clamping.
    pub contrast: Option<f64>,
    /// The patch is sampled with this share of voxels along each axis, and back.
    pub low_resolution: Option<f64>,
    /// A curve that bends the range.
    pub gamma: Option<Gamma>,
}

/// Gaussian noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Standard deviation.
    pub deviation: f64,
    /// Of the noise itself.
    pub seed: u64,
}

/// A gamma curve over the patch's range, after which mean and standard deviation are what they
/// were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gamma {
    /// Of the voxels' place in the range, from 0 to 1.
    pub exponent: f64,
    /// Of the negative: bends the other end of the range.
    pub inverted: bool,
}

impl Intensity {
    pub(super) fn draw(settings: &AugmentSettings, rng: &mut impl Rng) -> Self {
        let AugmentSettings { noise, blur, brightness, contrast, low_resolution, gamma, .. } =
            settings;
        Self {
            noise: noise.draw(rng).map(|deviation| Noise { deviation, seed: rng.random() }),
            blur: blur.draw(rng),
            brightness: brightness.draw_factor(rng),
            contrast: contrast.draw_factor(rng),
            low_resolution: low_resolution.draw_factor(rng),
            gamma: happens(gamma.probability, rng).then(|| Gamma {
                exponent: factor(gamma.range, rng),
                inverted: happens(gamma.inverted, rng),
            }),
        }
    }

    /// Changes a channel `[depth, height, width]` of `shape`, flattened.
    pub fn apply(&self, channel: &mut [f32], shape: [usize; 3]) {
        if channel.is_empty() {
            return;
        }
        if let Some(noise) = self.noise {
            noise.add_to(channel);
        }
        if let Some(deviation) = self.blur {
            through_array(channel, shape, |volume| blur(volume, deviation));
        }
        if let Some(factor) = self.brightness {
            channel.iter_mut().for_each(|v| *v *= factor as f32);
        }
        if let Some(factor) = self.contrast {
            stretch(channel, factor);
        }
        if let Some(share) = self.low_resolution {
            through_array(channel, shape, |volume| coarsen(&volume, share));
        }
        if let Some(gamma) = self.gamma {
            gamma.bend(channel);
        }
    }
}

impl Noise {
    fn add_to(self, channel: &mut [f32]) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        // Box and Muller: two normal numbers from two uniform ones.
        for pair in channel.chunks_mut(2) {
            let (u, v): (f32, f32) = (rng.random(), rng.random());
            let radius = self.deviation as f32 * (-2.0 * (1.0 - u).ln()).sqrt();
            let (sine, cosine) = (std::f32::consts::TAU * v).sin_cos();
            pair.iter_mut()
                .zip([radius * cosine, radius * sine])
                .for_each(|(voxel, noise)| *voxel += noise);
        }
    }
}

impl Gamma {
    fn bend(self, channel: &mut [f32]) {
        let before = Moments::of(channel);
        let range = before.high - before.low;
        // A constant patch has no range to bend.
        if range <= 0.0 {
            return;
        }
        let exponent = self.exponent as f32;
        for v in channel.iter_mut() {
            let part = (*v - before.low) / range;
            *v =
                if self.inverted { 1.0 - (1.0 - part).powf(exponent) } else { part.powf(exponent) };
        }
        let after = Moments::of(channel);
        if after.deviation > 0.0 {
            let slope = (before.deviation / after.deviation) as f32;
            channel
                .iter_mut()
                .for_each(|v| *v = before.mean as f32 + slope * (*v - after.mean as f32));
        }
    }
}

fn stretch(channel: &mut [f32], factor: f64) {
    let Moments { low, high, mean, .. } = Moments::of(channel);
    let (mean, factor) = (mean as f32, factor as f32);
    channel.iter_mut().for_each(|v| *v = (mean + factor * (*v - mean)).clamp(low, high));
}

struct Moments {
    low: f32,
    high: f32,
    mean: f64,
    deviation: f64,
}

impl Moments {
    fn of(channel: &[f32]) -> Self {
        let (mut low, mut high, mut sum, mut squares) =
            (f32::INFINITY, f32::NEG_INFINITY, 0.0, 0.0);
        for &v in channel {
            low = low.min(v);
            high = high.max(v);
            sum += f64::from(v);
            squares += f64::from(v) * f64::from(v);
        }
        let mean = sum / channel.len() as f64;
        Self {
            low,
            high,
            mean,
            deviation: (squares / channel.len() as f64 - mean * mean).max(0.0).sqrt(),
        }
    }
}

fn through_array(
    channel: &mut [f32],
    shape: [usize; 3],
    f: impl FnOnce(Array3<f32>) -> Array3<f32>,
) {
    // The channel has the patch's shape by construction.
    if let Ok(volume) = Array3::from_shape_vec(shape, channel.to_vec()) {
        channel.iter_mut().zip(&f(volume)).for_each(|(voxel, new)| *voxel = *new);
    }
}

/// Gaussian blur, one axis after the other. Beyond the edge nothing is counted: what is inside
/// shares the whole weight.
fn blur(volume: Array3<f32>, deviation: f64) -> Array3<f32> {
    if deviation <= 0.0 {
        return volume;
    }
    let reach = (3.0 * deviation).ceil() as usize;
    (0..3).fold(volume, |volume, axis| {
        let size = volume.shape()[axis];
        let taps: Vec<Taps> = (0..size)
            .map(|index| {
                let (first, last) = (index.saturating_sub(reach), (index + reach).min(size - 1));
                let weight = |voxel: usize| {
                    (-0.5 * (voxel.abs_diff(index) as f64 / deviation).powi(2)).exp()
                };
                let sum: f64 = (first..=last).map(weight).sum();
                Taps {
                    first,
                    weights: (first..=last).map(|voxel| (weight(voxel) / sum) as f32).collect(),
                }
            })
            .collect();
        along_axis(&volume, axis, &taps, 0)
    })
}

/// Down to a share of the voxels along each axis and up again, as if the image had been taken so.
fn coarsen(volume: &Array3<f32>, share: f64) -> Array3<f32> {
    let shape: [usize; 3] = volume.dim().into();
    let coarse = shape.map(|size| ((size as f64 * share).round() as usize).max(1));
    let spacing = [0, 1, 2].map(|axis| shape[axis] as f64 / coarse[axis] as f64);
    resample(resample(volume.view(), [1.0; 3], spacing, coarse).view(), spacing, [1.0; 3], shape)
}
