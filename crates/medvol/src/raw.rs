//! An image as compact as its file: integers stay as they are stored and become numbers where they
//! are looked at. For large volumes, of which there is to be no second copy.

use ndarray::{Array3, Array4, ArrayView4, Axis, Zip, s};

use crate::affine::Affine;
use crate::orient::Orientation;
use crate::resample::{Block, cut};
use crate::volume::Image;

/// An image whose voxels are kept as they are stored, as far as that saves memory.
#[derive(Clone, Debug, PartialEq)]
pub struct RawImage {
    voxels: Stored,
    /// From voxel `(i, j, k)` to mm in RAS+.
    pub affine: Affine,
}

/// `[channels, depth, height, width]`
#[derive(Clone, Debug, PartialEq)]
enum Stored {
    /// Value = stored · slope + intercept.
    Integers(Array4<i16>, (f64, f64)),
    Floats(Array4<f32>),
}

impl From<Image> for RawImage {
    fn from(image: Image) -> Self {
        Self { voxels: Stored::Floats(image.voxels), affine: image.affine }
    }
}

impl RawImage {
    /// Voxels whose value is stored · slope + intercept.
    pub(crate) fn of_integers(stored: Array4<i16>, scale: (f64, f64), affine: Affine) -> Self {
        Self { voxels: Stored::Integers(stored, scale), affine }
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.view().dim()[0]
    }

    /// (depth, height, width)
    pub fn shape(&self) -> [usize; 3] {
        let [_, depth, height, width] = self.view().dim();
        [depth, height, width]
    }

    /// Bytes that the voxels take.
    pub fn bytes(&self) -> u64 {
        let size = match self.voxels {
            Stored::Integers(..) => 2,
            Stored::Floats(_) => 4,
        };
        (size * self.view().dim().iter().product::<usize>()) as u64
    }

    pub(crate) fn view(&self) -> View<'_> {
        match &self.voxels {
            Stored::Integers(stored, scale) => View::Integers(stored.view(), *scale),
            Stored::Floats(values) => View::Floats(values.view()),
        }
    }
}

impl Image {
    pub(crate) fn raw_view(&self) -> View<'_> {
        View::Floats(self.voxels.view())
    }
}

/// A view of an image's voxels, `[channels, depth, height, width]`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    /// Value = stored · slope + intercept.
    Integers(ArrayView4<'a, i16>, (f64, f64)),
    Floats(ArrayView4<'a, f32>),
}

/// As a reader of floats would have it.
fn value(stored: i16, (slope, intercept): (f64, f64)) -> f32 {
    (f64::from(stored) * slope + intercept) as f32
}

impl View<'_> {
    /// `[channels, depth, height, width]`.
    pub fn dim(&self) -> [usize; 4] {
        match self {
            View::Integers(stored, _) => stored.dim().into(),
            View::Floats(values) => values.dim().into(),
        }
    }

    /// The same voxels in canonical orientation.
    pub fn canonical(self, orientation: &Orientation) -> Self {
        match self {
            View::Integers(stored, scale) => {
                View::Integers(orientation.canonical_channels(stored), scale)
            }
            View::Floats(values) => View::Floats(orientation.canonical_channels(values)),
        }
    }

    /// Of all channels, the voxels of a box.
    pub fn crop(self, [k, j, i]: Block) -> Self {
        match self {
            View::Integers(stored, scale) => {
                View::Integers(stored.slice_move(s![.., k, j, i]), scale)
            }
            View::Floats(values) => View::Floats(values.slice_move(s![.., k, j, i])),
        }
    }

    /// The values of a channel.
    pub fn values(&self, channel: usize) -> Box<dyn Iterator<Item = f32> + '_> {
        match self {
            View::Integers(stored, scale) => {
                let stored = stored.index_axis(Axis(0), channel);
                Box::new(stored.into_iter().map(|&stored| value(stored, *scale)))
            }
            View::Floats(values) => {
                Box::new(values.index_axis(Axis(0), channel).into_iter().copied())
            }
        }
    }

    /// The values of a box of a channel, in standard layout.
    pub fn block(&self, channel: usize, block: Block) -> Array3<f32> {
        match self {
            View::Integers(stored, scale) => {
                let [k, j, i] = block;
                let stored = stored.slice(s![channel, k, j, i]);
                let mut values = Array3::zeros(stored.dim());
                Zip::from(&mut values)
                    .and(&stored)
                    .for_each(|out, &stored| *out = value(stored, *scale));
                values
            }
            View::Floats(values) => cut(values.index_axis(Axis(0), channel), block),
        }
    }

    /// Whether any voxel of a plane across a spatial axis is neither 0 nor as good as nothing, in
    /// any channel; `nothing` is the greatest value of each channel that is.
    pub fn occupied(&self, axis: usize, plane: usize, nothing: &[f32]) -> bool {
        let some = |value: f32, nothing: f32| value != 0.0 && value > nothing;
        nothing.iter().enumerate().any(|(channel, &nothing)| match self {
            View::Integers(stored, scale) => {
                let stored = stored.index_axis(Axis(0), channel);
                let mut plane = stored.index_axis(Axis(axis), plane).into_iter();
                plane.any(|&stored| some(value(stored, *scale), nothing))
            }
            View::Floats(values) => {
                let values = values.index_axis(Axis(0), channel);
                values.index_axis(Axis(axis), plane).iter().any(|&value| some(value, nothing))
            }
        })
    }

    /// The first voxel (channel, depth, height, width) that is NaN or infinite, with its value.
    pub fn first_non_finite(&self) -> Option<([usize; 4], f32)> {
        match self {
            View::Integers(stored, scale) => {
                first_non_finite(stored, |stored| value(stored, *scale))
            }
            View::Floats(values) => first_non_finite(values, |value| value),
        }
    }
}

fn first_non_finite<T: Copy>(
    voxels: &ArrayView4<T>,
    value: impl Fn(T) -> f32,
) -> Option<([usize; 4], f32)> {
    // Almost always there is none, and without indices that is known much sooner.
    if voxels.iter().all(|&voxel| value(voxel).is_finite()) {
        return None;
    }
    let voxel = voxels.indexed_iter().find(|(_, voxel)| !value(**voxel).is_finite());
    voxel.map(|((c, k, j, i), &voxel)| ([c, k, j, i], value(voxel)))
}
