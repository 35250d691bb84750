//! From an image as it stands on disk to what a network sees: canonical orientation, crop to the
//! region where there is something, common spacing, normalisation of each channel. The crop comes
//! before the resampling, where zero is still exactly zero and the volume is still small.

use std::path::PathBuf;

use ndarray::{Array3, Array4, ArrayView3, Zip, s};

use crate::affine::Affine;
use crate::class_map::ClassMap;
use crate::error::{Error, Result};
use crate::geometry::Geometry;
use crate::normalisation::{Normalisation, Scale};
use crate::orient::Orientation;
use crate::patch::Overlap;
use crate::raw::{RawImage, View};
use crate::resample::{Block, Resampling, resample_classes, whole};
use crate::volume::{Image, LabelMap};

/// Most voxels a resampled channel may have; beyond it the spacing is a mistake (a mixed-up unit,
/// for example).
pub const MAX_VOXELS: f64 = (1_u64 << 31) as f64;

/// Planes that are measured at a time: enough that whole cache lines are read where the image's own
/// depth runs along another axis.
const SLAB: usize = 16;

/// A case ready for training or prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The case's name.
    pub name: String,
    /// `[channels, depth, height, width]`, each channel normalised; with a z-score it has mean 0
    /// and standard deviation 1 (or is all 0 if it was constant).
    pub image: Array4<f32>,
    /// `[depth, height, width]`, class indices, or [`ClassMap::IGNORED`]; `None` where the case has
    /// no label map.
    pub classes: Option<Array3<u8>>,
    /// How predictions get back to the image's own grid.
    pub geometry: Geometry,
}

/// Why a case cannot be preprocessed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PreprocessFault {
    /// A spacing that is none.
    #[error("cannot resample to a spacing of {spacing_mm:?} mm; expected three positive numbers")]
    Spacing {
        /// (depth, height, width)
        spacing_mm: [f64; 3],
    },
    /// An affine whose axes do not span space.
    #[error("its affine is singular: {:?}", affine.0)]
    Singular {
        /// The image's.
        affine: Affine,
    },
    /// An image of nothing.
    #[error("its image has no voxels: shape {shape:?}")]
    NoVoxels {
        /// (channels, depth, height, width)
        shape: [usize; 4],
    },
    /// Units that are mixed up, most likely.
    #[error(
        "resampling {shape:?} voxels of {from_mm:?} mm to {to_mm:?} mm would give {resampled:?} \
         voxels; check the units of both spacings"
    )]
    TooManyVoxels {
        /// (depth, height, width) of what is resampled.
        shape: [usize; 3],
        /// Its spacing.
        from_mm: [f64; 3],
        /// The spacing it is resampled to.
        to_mm: [f64; 3],
        /// (depth, height, width) that it would then have.
        resampled: [usize; 3],
    },
}

/// Preprocesses one case to `spacing_mm` (depth, height, width in canonical orientation).
/// `class_map` is the data set's; `normalisation` is each channel's, the z-score where there is none.
///
/// # Errors
/// [`Error::Preprocess`] for a spacing, an affine or shapes that make no sense,
/// [`Error::NotFinite`], [`Error::UnlistedLabel`]; the last two carry the case's name in the place
/// of a path.
pub fn preprocess(
    name: &str,
    image: &Image,
    label_map: Option<&LabelMap>,
    class_map: &ClassMap,
    spacing_mm: [f64; 3],
    normalisation: &[Normalisation],
) -> Result<Case> {
    let normalisation = of_channels(normalisation, image.channels());
    let resampled =
        Resampled::new(name, image.raw_view(), image.affine, spacing_mm, &normalisation)?;
    let geometry = resampled.geometry.clone();
    let shape = resampled.grid.shape();

    let classes = match label_map {
        None => None,
        Some(map) => {
            check_shape(name, image, map)?;
            let classes = to_classes(name, map, class_map)?;
            Some(resample_classes(
                geometry.crop(classes.view()),
                geometry.original_spacing(),
                spacing_mm,
                shape,
            ))
        }
    };

    let mut voxels = Array4::zeros((image.channels(), shape[0], shape[1], shape[2]));
    for (channel, mut out) in voxels.outer_iter_mut().enumerate() {
        out.assign(&resampled.block(channel, &whole(shape)));
        let scale = normalisation[channel].measure(|visit| visit(out.view()));
        out.mapv_inplace(|v| scale.of(v));
    }
    Ok(Case { name: name.to_string(), image: voxels, classes, geometry })
}

/// An image as [`preprocess`] gives it, of which only what is asked for is computed: for images too
/// large to be held twice.
#[derive(Debug)]
pub struct Preprocessed<'a> {
    resampled: Resampled<'a>,
    /// Of each channel.
    scales: Vec<Scale>,
}

impl<'a> Preprocessed<'a> {
    /// Measures each channel, where its normalisation asks for that, on the grid of `spacing_mm`,
    /// some planes at a time.
    ///
    /// # Errors
    /// As [`preprocess`].
    pub fn new(
        name: &str,
        image: &'a RawImage,
        spacing_mm: [f64; 3],
        normalisation: &[Normalisation],
    ) -> Result<Self> {
        let normalisation = of_channels(normalisation, image.channels());
        let resampled =
            Resampled::new(name, image.view(), image.affine, spacing_mm, &normalisation)?;
        let channels = normalisation.iter().enumerate();
        let scales = channels
            .map(|(n, channel)| channel.measure(|visit| resampled.each_slab(n, visit)))
            .collect();
        Ok(Self { resampled, scales })
    }

    /// How predictions get back to the image's own grid; it also knows this grid's shape.
    pub fn geometry(&self) -> &Geometry {
        &self.resampled.geometry
    }

    /// The window at `corner`, padded with 0: the same bits as [`extract`](crate::patch::extract)
    /// cuts from the whole preprocessed image.
    ///
    /// # Shapes
    /// - result: `[channels, patch depth, patch height, patch width]`, flattened, width fastest
    pub fn window(&self, corner: [isize; 3], patch: [usize; 3]) -> Vec<f32> {
        let Overlap { in_patch: [z, y, x], in_image } =
            Overlap::new(corner, patch, self.resampled.grid.shape());
        let mut window = Array4::zeros((self.scales.len(), patch[0], patch[1], patch[2]));
        if in_image.iter().all(|range| !range.is_empty()) {
            for (channel, scale) in self.scales.iter().enumerate() {
                let block = self.resampled.block(channel, &in_image);
                let inside = window.slice_mut(s![channel, z.clone(), y.clone(), x.clone()]);
                Zip::from(inside).and(&block).for_each(|out, &value| *out = scale.of(value));
            }
        }
        window.into_raw_vec_and_offset().0
    }

    /// Most bytes that are held at once to compute a window of size `patch`, itself included.
    pub fn bytes(&self, patch: [usize; 3]) -> u64 {
        let shape = self.resampled.grid.shape();
        // In the middle, where no tap is cut off.
        let inside = [0, 1, 2].map(|axis| {
            let slack = shape[axis].saturating_sub(patch[axis]);
            slack / 2..shape[axis] - slack.div_ceil(2)
        });
        4 * (self.scales.len() * patch.iter().product::<usize>()) as u64
            + self.resampled.grid.bytes(&inside)
    }
}

/// An image on the network's grid, before the normalisation.
#[derive(Debug)]
struct Resampled<'a> {
    /// In canonical orientation, not resampled.
    crop: View<'a>,
    grid: Resampling,
    geometry: Geometry,
}

impl<'a> Resampled<'a> {
    fn new(
        name: &str,
        voxels: View<'a>,
        affine: Affine,
        spacing_mm: [f64; 3],
        normalisation: &[Normalisation],
    ) -> Result<Self> {
        check(name, &voxels, &affine, spacing_mm)?;
        let canonical = voxels.canonical(&Orientation::of(&affine));
        let (crop_start, crop_shape) = occupied_region(&canonical, normalisation);
        let [_, depth, height, width] = voxels.dim();
        let geometry =
            Geometry { shape: [depth, height, width], affine, crop_start, crop_shape, spacing_mm };
        let crop = canonical
            .crop([0, 1, 2].map(|axis| crop_start[axis]..crop_start[axis] + crop_shape[axis]));
        let from = geometry.original_spacing();
        let shape = grid_shape(name, &geometry, from)?;
        Ok(Self { crop, grid: Resampling::new(crop_shape, from, shape, spacing_mm), geometry })
    }

    /// A block of a channel.
    fn block(&self, channel: usize, block: &Block) -> Array3<f32> {
        self.grid.block(block, |needed| self.crop.block(channel, needed))
    }

    /// Hands a channel's planes to `visit`, in order, some at a time.
    fn each_slab(&self, channel: usize, visit: &mut dyn FnMut(ArrayView3<f32>)) {
        let [depth, height, width] = self.grid.shape();
        for start in (0..depth).step_by(SLAB) {
            visit(
                self.block(channel, &[start..(start + SLAB).min(depth), 0..height, 0..width])
                    .view(),
            );
        }
    }
}

fn check(name: &str, voxels: &View, affine: &Affine, spacing_mm: [f64; 3]) -> Result<()> {
    let refuse = |fault| Err(Error::Preprocess { case: name.to_string(), fault: Box::new(fault) });
    if !spacing_mm.iter().all(|mm| mm.is_finite() && *mm > 0.0) {
        return refuse(PreprocessFault::Spacing { spacing_mm });
    }
    if !affine.is_invertible() {
        return refuse(PreprocessFault::Singular { affine: *affine });
    }
    if voxels.dim().contains(&0) {
        return refuse(PreprocessFault::NoVoxels { shape: voxels.dim() });
    }
    match voxels.first_non_finite() {
        Some((voxel, value)) => Err(Error::NotFinite { path: PathBuf::from(name), voxel, value }),
        None => Ok(()),
    }
}

fn check_shape(name: &str, image: &Image, label_map: &LabelMap) -> Result<()> {
    if label_map.shape() == image.shape() {
        return Ok(());
    }
    Err(Error::ShapeMismatch {
        image: PathBuf::from(name),
        other: PathBuf::from(name),
        image_shape: image.shape(),
        other_shape: label_map.shape(),
    })
}

/// One of each channel.
fn of_channels(normalisation: &[Normalisation], channels: usize) -> Vec<Normalisation> {
    (0..channels).map(|n| normalisation.get(n).copied().unwrap_or_default()).collect()
}

/// Start and size of the smallest box that holds every voxel where there is something in any
/// channel: not 0, and not air in a CT; the whole volume if there is nothing.
fn occupied_region(image: &View, channels: &[Normalisation]) -> ([usize; 3], [usize; 3]) {
    let nothing: Vec<f32> = channels.iter().map(|channel| channel.nothing()).collect();
    let mut start = [0; 3];
    let mut size = [0; 3];
    for axis in 0..3 {
        let planes = image.dim()[axis + 1];
        let first = (0..planes).find(|&plane| image.occupied(axis, plane, &nothing)).unwrap_or(0);
        let last =
            (0..planes).rfind(|&plane| image.occupied(axis, plane, &nothing)).unwrap_or(planes - 1);
        (start[axis], size[axis]) = (first, last - first + 1);
    }
    (start, size)
}

fn grid_shape(name: &str, geometry: &Geometry, from: [f64; 3]) -> Result<[usize; 3]> {
    let shape = geometry.grid_shape();
    if shape.iter().map(|&n| n as f64).product::<f64>() > MAX_VOXELS {
        let fault = PreprocessFault::TooManyVoxels {
            shape: geometry.crop_shape,
            from_mm: from,
            to_mm: geometry.spacing_mm,
            resampled: shape,
        };
        return Err(Error::Preprocess { case: name.to_string(), fault: Box::new(fault) });
    }
    Ok(shape)
}

fn to_classes(name: &str, map: &LabelMap, class_map: &ClassMap) -> Result<Array3<u8>> {
    class_map.classes(map.voxels.view()).map_err(|(voxel, value)| Error::UnlistedLabel {
        path: PathBuf::from(name),
        voxel,
        value,
        listed: class_map.listed(),
    })
}
