//! Augmentation of training patches: flips, rotation, scaling, elastic deformation, and what
//! scanners do to intensities.
//!
//! Drawing is apart from applying: [`Augmentation::draw`] yields plain data that says what will be
//! done, and [`Augmentation::apply`] is a pure function of it, the case and the patch's place, so
//! that a drawn patch can be repeated.
//!
//! All that moves voxels is composed into one map from the patch's grid to the case's, and the case
//! is interpolated once (`spatial.rs`): what turns into the patch from beyond its place is the
//! case's own data. What changes intensities (`intensity.rs`) works on the patch afterwards, each
//! channel by its own draw.

mod intensity;
mod interpolate;
mod settings;
mod spatial;
#[cfg(test)]
mod tests;

use std::ops::Range;

use rand::Rng;

use crate::part::Part;
use crate::patch::Overlap;

pub use intensity::{Gamma, Intensity, Noise};
pub use settings::{
    AugmentSettings, BadSetting, ElasticSettings, Flip, FromCases, GammaSettings, Ranged,
    RotationSettings,
};
pub use spatial::{Elastic, flip};

/// What is done to one patch. The default does nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmentation {
    /// Mirrored along (depth, height, width).
    pub flip: [bool; 3],
    /// Degrees about the axes (depth, height, width), applied one after the other.
    pub rotation: [f64; 3],
    /// Magnification: above 1, things get larger.
    pub scale: f64,
    /// A smooth deformation.
    pub elastic: Option<Elastic>,
    /// For each channel; channels without an entry are left as they are.
    pub intensity: Vec<Intensity>,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            flip: [false; 3],
            rotation: [0.0; 3],
            scale: 1.0,
            elastic: None,
            intensity: Vec::new(),
        }
    }
}

/// A patch, cut and augmented.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// `[channels, depth, height, width]`, flattened.
    pub image: Vec<f32>,
    /// `[depth, height, width]`, flattened; `None` where the case has no label map.
    pub classes: Option<Vec<u8>>,
}

impl Augmentation {
    /// Draws what to do to a patch of `channels` channels.
    pub fn draw(settings: &AugmentSettings, channels: usize, rng: &mut impl Rng) -> Self {
        Self {
            flip: settings
                .flip
                .probabilities()
                .map(|probability| settings::happens(probability, rng)),
            rotation: settings.rotation.draw(rng),
            scale: settings.scale.draw_factor(rng).unwrap_or(1.0),
            elastic: settings.elastic.draw(rng),
            intensity: (0..channels).map(|_| Intensity::draw(settings, rng)).collect(),
        }
    }

    /// The patch of `patch` voxels (depth, height, width) whose first voxel, before anything moves,
    /// is `corner` of the case.
    ///
    /// Rotation, scaling and deformation turn about the patch's centre and are true to the case's
    /// spacing in mm. Images are interpolated linearly; of the classes the one with the largest
    /// share of the same weights is taken. Outside the case the image is 0 and the class 0, as
    /// in [`patch`](crate::patch). Without rotation, scaling and deformation voxels are copied, bit
    /// for bit.
    ///
    /// Of the case, `part` must hold what the patch [reaches](Self::reach): any part that does gives
    /// the same bits.
    pub fn apply(&self, part: &Part, corner: [isize; 3], patch: [usize; 3]) -> Patch {
        let mut cut = if self.only_flips() {
            self.copy(part, corner, patch)
        } else {
            self.resample(part, corner, patch)
        };
        let voxels = patch.iter().product::<usize>().max(1);
        for (channel, intensity) in cut.image.chunks_exact_mut(voxels).zip(&self.intensity) {
            intensity.apply(channel, patch);
        }
        cut
    }

    /// The box of a case of `shape` and spacing that [`Self::apply`] looks at for a patch.
    pub fn reach(
        &self,
        shape: [usize; 3],
        spacing_mm: [f64; 3],
        corner: [isize; 3],
        patch: [usize; 3],
    ) -> [Range<usize>; 3] {
        match self.only_flips() {
            true => Overlap::new(corner, patch, shape).in_image,
            false => self.sources(shape, spacing_mm, corner, patch),
        }
    }

    fn only_flips(&self) -> bool {
        self.rotation == [0.0; 3] && self.scale == 1.0 && self.elastic.is_none()
    }

    fn copy(&self, part: &Part, corner: [isize; 3], patch: [usize; 3]) -> Patch {
        let mut image = part.image_at(corner, patch);
        flip(&mut image, patch, self.flip);
        let classes = part.classes_at(corner, patch).map(|mut classes| {
            flip(&mut classes, patch, self.flip);
            classes
        });
        Patch { image, classes }
    }
}
