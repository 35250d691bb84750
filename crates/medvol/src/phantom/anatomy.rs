//! The synthetic patient: shapes and intensities as functions of a place in mm, whatever grid they
//! are sampled on.

use std::f64::consts::TAU;

use rand::{Rng, RngExt};

use super::{NODULE, ORGAN};
use crate::affine::{dot, norm};

/// Width in mm over which one tissue turns into the next, as the blur of a scanner would have it.
const EDGE_MM: f64 = 0.6;

const TISSUE_INTENSITY: f64 = 100.0;
const ORGAN_INTENSITY: f64 = 150.0;
const NODULE_INTENSITY: f64 = 210.0;

/// One synthetic patient. Coordinates are mm in RAS+, relative to the patient's centre.
pub(super) struct Anatomy {
    /// How the patient lies in the scanner.
    rotation: [[f64; 3]; 3],
    /// Bends every shape: the displacement in mm along each axis.
    bend: [Waves; 3],
    /// In the order in which they are painted: a later one covers an earlier one.
    blobs: Vec<Blob>,
    texture: Waves,
    /// Logarithm of the receive coil's smooth gain.
    bias: Waves,
    /// From the units of this file to the scanner's: images of one kind are comparable up to a
    /// factor only.
    pub gain: f64,
}

/// What there is at one place.
pub(super) struct Sample {
    /// Without noise and the scanner's gain.
    pub intensity: f64,
    /// Of what is there.
    pub label: u16,
}

impl Anatomy {
    /// A subject, drawn at random.
    pub fn draw(rng: &mut impl Rng) -> Self {
        let organ = Blob {
            centre: [0.0; 3],
            semi_axes: [11.0, 12.0, 9.0].map(|length| length * rng.random_range(0.85..1.1)),
            intensity: ORGAN_INTENSITY,
            label: ORGAN,
        };
        // A point of the organ's surface, at its front or (mirrored) at its back.
        let mut pole = |side: f64| {
            let direction = [rng.random_range(-0.3..0.3), side, rng.random_range(-0.3..0.3)];
            let length = norm(direction);
            [0, 1, 2].map(|axis| 0.95 * organ.semi_axes[axis] * direction[axis] / length)
        };
        let (front, back) = (pole(1.0), pole(-1.0));
        let mut small = |centre, label| Blob {
            centre,
            semi_axes: std::array::from_fn(|_| rng.random_range(4.0..6.0)),
            intensity: NODULE_INTENSITY,
            label,
        };
        let (nodule, lookalike) = (small(front, NODULE), small(back, 0));
        let mut blobs: Vec<Blob> =
            (0..6).map(|number| Blob::draw_distractor(number, rng)).collect();
        blobs.extend([organ, nodule, lookalike]);
        Self {
            rotation: draw_rotation(rng),
            bend: std::array::from_fn(|_| {
                Waves::draw(4, 14.0..40.0, |wavelength| 0.03 * wavelength, rng)
            }),
            blobs,
            texture: Waves::draw(8, 4.0..20.0, |_| 5.0, rng),
            bias: Waves::draw(3, 60.0..120.0, |_| 0.08, rng),
            gain: rng.random_range(0.7..1.4),
        }
    }

    /// What is at a place, in millimetres from the centre.
    pub fn sample(&self, place: [f64; 3]) -> Sample {
        let turned = self.rotation.map(|row| dot(row, place));
        let bent: [f64; 3] = std::array::from_fn(|axis| turned[axis] + self.bend[axis].at(turned));
        let mut label = 0;
        let mut intensity = TISSUE_INTENSITY;
        for blob in &self.blobs {
            let depth = blob.depth(bent);
            if depth > 0.0 {
                label = blob.label;
            }
            let share = 1.0 / (1.0 + (-depth / EDGE_MM).exp());
            intensity += share * (blob.intensity - intensity);
        }
        Sample {
            intensity: (intensity + self.texture.at(place)) * self.bias.at(place).exp(),
            label,
        }
    }
}

/// An ellipsoid along the patient's axes.
struct Blob {
    centre: [f64; 3],
    semi_axes: [f64; 3],
    intensity: f64,
    label: u16,
}

impl Blob {
    /// Background as bright as the organ (even numbers) or the nodule (odd ones), around the organ.
    fn draw_distractor(number: usize, rng: &mut impl Rng) -> Self {
        let direction = draw_direction(rng);
        let distance = rng.random_range(16.0..24.0);
        Self {
            centre: direction.map(|v| v * distance),
            semi_axes: std::array::from_fn(|_| rng.random_range(2.5..5.0)),
            intensity: [ORGAN_INTENSITY, NODULE_INTENSITY][number % 2],
            label: 0,
        }
    }

    /// Roughly how many mm a place lies below the surface; negative outside.
    fn depth(&self, place: [f64; 3]) -> f64 {
        let scaled =
            std::array::from_fn(|axis| (place[axis] - self.centre[axis]) / self.semi_axes[axis]);
        let [a, b, c] = self.semi_axes;
        (1.0 - norm(scaled)) * a.min(b).min(c)
    }
}

/// A smooth random function of space: a sum of plane waves.
struct Waves(Vec<Wave>);

struct Wave {
    amplitude: f64,
    /// Radians a mm along each axis.
    frequency: [f64; 3],
    phase: f64,
}

impl Waves {
    fn draw(
        count: usize,
        wavelengths_mm: std::ops::Range<f64>,
        amplitude: impl Fn(f64) -> f64,
        rng: &mut impl Rng,
    ) -> Self {
        let wave = |_| {
            let wavelength = rng.random_range(wavelengths_mm.clone());
            Wave {
                amplitude: amplitude(wavelength),
                frequency: draw_direction(rng).map(|v| v * TAU / wavelength),
                phase: rng.random_range(0.0..TAU),
            }
        };
        Self((0..count).map(wave).collect())
    }

    fn at(&self, place: [f64; 3]) -> f64 {
        self.0
            .iter()
            .map(|wave| wave.amplitude * (dot(wave.frequency, place) + wave.phase).sin())
            .sum()
    }
}

/// A unit vector, all directions alike.
fn draw_direction(rng: &mut impl Rng) -> [f64; 3] {
    let z = rng.random_range(-1.0..1.0_f64);
    let (sin, cos) = rng.random_range(0.0..TAU).sin_cos();
    let radius = (1.0 - z * z).sqrt();
    [radius * cos, radius * sin, z]
}

/// A turn by up to 0.25 radians (14 degrees) about each axis.
pub(super) fn draw_rotation(rng: &mut impl Rng) -> [[f64; 3]; 3] {
    let mut turn = || rng.random_range(-0.25..0.25_f64).sin_cos();
    let ((sx, cx), (sy, cy), (sz, cz)) = (turn(), turn(), turn());
    [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
}
