//! How often and how strongly to augment: probabilities and ranges.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::spatial::Elastic;

/// Probabilities and ranges of everything that can be done to a patch. The default does nothing.
///
/// Ranges of factors are drawn uniformly in their logarithm (half as large is as likely as twice as
/// large), other ranges uniformly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentSettings {
    /// Mirroring.
    pub flip: Flip,
    /// Rotation.
    pub rotation: RotationSettings,
    /// Isotropic magnification, a factor.
    pub scale: Ranged,
    /// Smooth deformation.
    pub elastic: ElasticSettings,
    /// Gaussian noise; its standard deviation, where 1 is that of the image.
    pub noise: Ranged,
    /// Gaussian blur; its standard deviation in voxels.
    pub blur: Ranged,
    /// Multiplication of all intensities, a factor.
    pub brightness: Ranged,
    /// Stretching about the mean within the range of the patch, a factor.
    pub contrast: Ranged,
    /// Sampling on a coarser grid and back; the coarser grid's share of voxels along each axis, a
    /// factor up to 1.
    pub low_resolution: Ranged,
    /// Gamma curve; its exponent, a factor.
    pub gamma: GammaSettings,
}

/// Probabilities of mirroring along (depth, height, width).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "something else than \"auto\" or three probabilities, as in [0.5, 0.5, 0.0]"
)]
pub enum Flip {
    /// These.
    Probabilities([f64; 3]),
    /// To be seen from the training cases: 0.5 along the axes that
    /// [`mirror_axes`](crate::mirror_axes) finds, 0 along the others.
    FromCases(FromCases),
}

/// The word for it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FromCases {
    /// `"auto"`
    Auto,
}

impl Default for Flip {
    fn default() -> Self {
        Self::Probabilities([0.0; 3])
    }
}

impl Flip {
    /// The probabilities; none where they are still to be seen.
    pub fn probabilities(self) -> [f64; 3] {
        match self {
            Self::Probabilities(probabilities) => probabilities,
            Self::FromCases(_) => [0.0; 3],
        }
    }
}

/// A probability, and the range of the parameter when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranged {
    /// From 0 to 1.
    pub probability: f64,
    /// Lowest and highest value of the parameter.
    pub range: [f64; 2],
}

/// Rotation about all three axes at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotationSettings {
    /// From 0 to 1.
    pub probability: f64,
    /// Largest angle about the axes (depth, height, width), in degrees, to either side.
    pub degrees: [f64; 3],
}

/// Elastic deformation: random displacements on a coarse grid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElasticSettings {
    /// From 0 to 1.
    pub probability: f64,
    /// Range of the largest displacement, in mm.
    pub displacement_mm: [f64; 2],
    /// Distance of the grid's points, in mm.
    pub spacing_mm: f64,
}

/// A gamma curve, of the image or of its negative.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GammaSettings {
    /// From 0 to 1.
    pub probability: f64,
    /// Lowest and highest exponent.
    pub range: [f64; 2],
    /// Share of the curves that are of the negative.
    pub inverted: f64,
}

impl Default for Ranged {
    fn default() -> Self {
        Self { probability: 0.0, range: [1.0; 2] }
    }
}

impl Default for ElasticSettings {
    fn default() -> Self {
        Self { probability: 0.0, displacement_mm: [0.0; 2], spacing_mm: 16.0 }
    }
}

impl Default for GammaSettings {
    fn default() -> Self {
        Self { probability: 0.0, range: [1.0; 2], inverted: 0.0 }
    }
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{key}: expected {expected}; found {found}")]
pub struct BadSetting {
    /// Name of the setting, such as `blur`.
    pub key: &'static str,
    /// What it may be.
    pub expected: &'static str,
    /// What it is.
    pub found: String,
}

/// Displacements up to this part of the grid's spacing cannot fold a cubic B-spline deformation
/// (Choi & Lee 2000).
const NO_FOLD: f64 = 0.4;

impl AugmentSettings {
    /// With what was to be seen from the cases, which may be mirrored along `axes` (depth, height,
    /// width).
    pub fn for_cases(&self, axes: [bool; 3]) -> Self {
        let flip = match self.flip {
            Flip::Probabilities(_) => self.flip,
            Flip::FromCases(_) => {
                Flip::Probabilities(axes.map(|axis| if axis { 0.5 } else { 0.0 }))
            }
        };
        Self { flip, ..self.clone() }
    }

    /// Whether all settings make sense.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), BadSetting> {
        let check = |ok: bool, key, expected, found: String| {
            if ok { Ok(()) } else { Err(BadSetting { key, expected, found }) }
        };
        let Self {
            flip,
            rotation,
            scale,
            elastic,
            noise,
            blur,
            brightness,
            contrast,
            low_resolution,
            gamma,
        } = self;
        let share = |p: &f64| (0.0..=1.0).contains(p);
        check(
            flip.probabilities().iter().all(share),
            "flip",
            "\"auto\" or three probabilities",
            format!("{flip:?}"),
        )?;
        let probabilities = [
            ("rotation", rotation.probability),
            ("scale", scale.probability),
            ("elastic", elastic.probability),
            ("noise", noise.probability),
            ("blur", blur.probability),
            ("brightness", brightness.probability),
            ("contrast", contrast.probability),
            ("low_resolution", low_resolution.probability),
            ("gamma", gamma.probability),
            ("gamma", gamma.inverted),
        ];
        for (key, p) in probabilities {
            check(share(&p), key, "a probability from 0 to 1", p.to_string())?;
        }
        let within = |[low, high]: [f64; 2], least: f64, most: f64| {
            low >= least && low <= high && high <= most
        };
        let factors = [
            ("scale", scale.range),
            ("brightness", brightness.range),
            ("contrast", contrast.range),
            ("gamma", gamma.range),
        ];
        for (key, range) in factors {
            check(
                within(range, 0.1, 10.0),
                key,
                "a range of factors from 0.1 to 10, the lower first",
                format!("{range:?}"),
            )?;
        }
        for (key, range) in [("noise", noise.range), ("blur", blur.range)] {
            check(
                within(range, 0.0, 10.0),
                key,
                "a range of standard deviations from 0 to 10, the lower first",
                format!("{range:?}"),
            )?;
        }
        let range = low_resolution.range;
        check(
            within(range, 0.1, 1.0),
            "low_resolution",
            "a range of factors from 0.1 to 1, the lower first",
            format!("{range:?}"),
        )?;
        let degrees = rotation.degrees;
        check(
            degrees.iter().all(|d| (0.0..=180.0).contains(d)),
            "rotation",
            "three angles from 0 to 180",
            format!("{degrees:?}"),
        )?;
        let ElasticSettings { displacement_mm, spacing_mm, .. } = *elastic;
        check(
            (1.0..=1000.0).contains(&spacing_mm),
            "elastic",
            "a spacing_mm from 1 to 1000",
            spacing_mm.to_string(),
        )?;
        let expected = "a range of displacement_mm from 0 to 0.4 of spacing_mm (more could fold \
                        space), the lower first";
        check(
            within(displacement_mm, 0.0, NO_FOLD * spacing_mm),
            "elastic",
            expected,
            format!("{displacement_mm:?}"),
        )
    }
}

impl Ranged {
    /// A factor from the range, if it happens.
    pub(super) fn draw_factor(&self, rng: &mut impl Rng) -> Option<f64> {
        happens(self.probability, rng).then(|| factor(self.range, rng))
    }

    /// A value from the range, if it happens.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Option<f64> {
        happens(self.probability, rng).then(|| uniform(self.range, rng))
    }
}

impl RotationSettings {
    /// Degrees about each axis, 0 if it does not happen.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> [f64; 3] {
        if !happens(self.probability, rng) {
            return [0.0; 3];
        }
        self.degrees.map(|most| uniform([-most, most], rng))
    }
}

impl ElasticSettings {
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Option<Elastic> {
        let Self { probability, displacement_mm, spacing_mm } = *self;
        happens(probability, rng).then(|| Elastic {
            displacement_mm: uniform(displacement_mm, rng),
            spacing_mm,
            seed: rng.random(),
        })
    }
}

/// Whether something of this probability happens.
pub(super) fn happens(probability: f64, rng: &mut impl Rng) -> bool {
    rng.random::<f64>() < probability
}

pub(super) fn factor(range: [f64; 2], rng: &mut impl Rng) -> f64 {
    uniform(range.map(f64::ln), rng).exp()
}

fn uniform([low, high]: [f64; 2], rng: &mut impl Rng) -> f64 {
    low + (high - low) * rng.random::<f64>()
}
