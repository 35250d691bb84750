//! From an image as it stands on disk to what a network sees: canonical orientation, crop to the
//! non-zero region, common spacing, z-score of each channel. The crop comes before the resampling,
//! where zero is still exactly zero and the volume is still small.

use std::path::PathBuf;

use ndarray::{Array3, Array4, ArrayView3, Zip, s};

use crate::affine::Affine;
use crate::class_map::{ClassMap, Label};
use crate::error::{Error, Result};
use crate::geometry::Geometry;
use crate::orient::Orientation;
use crate::patch::Overlap;
use crate::raw::{RawImage, View};
use crate::resample::{Block, Resampling, resample_classes, whole};
use crate::volume::{Image, LabelMap};

/// Most voxels a resampled channel may have; beyond it the spacing is a mistake (a mixed-up unit,
/// for example).
pub(crate) const MAX_VOXELS: f64 = (1_u64 << 31) as f64;

/// A channel whose standard deviation is below this part of its largest value is constant up to
/// rounding.
const CONSTANT: f64 = 1e-6;

/// Planes that are measured at a time: enough that whole cache lines are read where the image's own
/// depth runs along another axis.
const SLAB: usize = 16;

/// A case ready for training or prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The case's name.
    pub name: String,
    /// `[channels, depth, height, width]`, each channel with mean 0 and standard deviation 1 (or
    /// all 0 if it was constant).
    pub image: Array4<f32>,
    /// `[depth, height, width]`, class indices; `None` where the case has no label map.
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
/// `labels` are the data set's, in the order of the classes.
///
/// # Errors
/// [`Error::Preprocess`] for a spacing, an affine or shapes that make no sense,
/// [`Error::NotFinite`], [`Error::UnlistedLabel`]; the last two carry the case's name in the place
/// of a path.
pub fn preprocess(
    name: &str,
    image: &Image,
    label_map: Option<&LabelMap>,
    labels: &[Label],
    spacing_mm: [f64; 3],
) -> Result<Case> {
    let resampled = Resampled::new(name, image.raw_view(), image.affine, spacing_mm)?;
    let geometry = resampled.geometry.clone();
    let shape = resampled.grid.shape();

    let classes = match label_map {
        None => None,
        Some(map) => {
            check_shape(name, image, map)?;
            let classes = to_classes(name, map, labels)?;
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
        let score = ZScore::measure(|visit| visit(out.view()));
        out.mapv_inplace(|v| score.of(v));
    }
    Ok(Case { name: name.to_string(), image: voxels, classes, geometry })
}

/// An image as [`preprocess`] gives it, of which only what is asked for is computed: for images too
/// large to be held twice.
#[derive(Debug)]
pub struct Preprocessed<'a> {
    resampled: Resampled<'a>,
    /// Of each channel.
    scores: Vec<ZScore>,
}

impl<'a> Preprocessed<'a> {
    /// Measures each channel's mean and standard deviation on the grid of `spacing_mm`, some planes
    /// at a time.
    ///
    /// # Errors
    /// As [`preprocess`].
    pub fn new(name: &str, image: &'a RawImage, spacing_mm: [f64; 3]) -> Result<Self> {
        let resampled = Resampled::new(name, image.view(), image.affine, spacing_mm)?;
        let scores = (0..image.channels())
            .map(|channel| ZScore::measure(|visit| resampled.each_slab(channel, visit)))
            .collect();
        Ok(Self { resampled, scores })
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
        let mut window = Array4::zeros((self.scores.len(), patch[0], patch[1], patch[2]));
        if in_image.iter().all(|range| !range.is_empty()) {
            for (channel, score) in self.scores.iter().enumerate() {
                let block = self.resampled.block(channel, &in_image);
                let inside = window.slice_mut(s![channel, z.clone(), y.clone(), x.clone()]);
                Zip::from(inside).and(&block).for_each(|out, &value| *out = score.of(value));
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
        4 * (self.scores.len() * patch.iter().product::<usize>()) as u64
            + self.resampled.grid.bytes(&inside)
    }
}

/// An image on the network's grid, before the z-score.
#[derive(Debug)]
struct Resampled<'a> {
    /// In canonical orientation, not resampled.
    crop: View<'a>,
    grid: Resampling,
    geometry: Geometry,
}

impl<'a> Resampled<'a> {
    fn new(name: &str, voxels: View<'a>, affine: Affine, spacing_mm: [f64; 3]) -> Result<Self> {
        check(name, &voxels, &affine, spacing_mm)?;
        let canonical = voxels.canonical(&Orientation::of(&affine));
        let (crop_start, crop_shape) = non_zero_region(&canonical);
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

/// Start and size of the smallest box that holds every voxel that is not 0 in all channels; the
/// whole volume if all are 0.
fn non_zero_region(image: &View) -> ([usize; 3], [usize; 3]) {
    let mut start = [0; 3];
    let mut size = [0; 3];
    for axis in 0..3 {
        let planes = image.dim()[axis + 1];
        let first = (0..planes).find(|&plane| image.occupied(axis, plane)).unwrap_or(0);
        let last = (0..planes).rfind(|&plane| image.occupied(axis, plane)).unwrap_or(planes - 1);
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

fn to_classes(name: &str, map: &LabelMap, labels: &[Label]) -> Result<Array3<u8>> {
    let class_map = ClassMap::new(labels);
    class_map.classes(map.voxels.view()).map_err(|(voxel, value)| Error::UnlistedLabel {
        path: PathBuf::from(name),
        voxel,
        value,
        listed: class_map.values().to_vec(),
    })
}

/// Mean and standard deviation of a channel.
#[derive(Debug)]
struct ZScore {
    mean: f64,
    /// `None` if the channel is constant.
    deviation: Option<f64>,
}

impl ZScore {
    /// `each_slab` hands all voxels, always in the same order, to the function that it is given.
    fn measure(each_slab: impl Fn(&mut dyn FnMut(ArrayView3<f32>))) -> Self {
        let (mut count, mut sum, mut largest) = (0, 0.0, 0.0_f64);
        each_slab(&mut |slab| {
            count += slab.len();
            sum = slab.iter().fold(sum, |sum, &v| sum + f64::from(v));
            largest = slab.iter().fold(largest, |largest, &v| largest.max(f64::from(v).abs()));
        });
        let mean = sum / count as f64;
        let mut squares = 0.0;
        each_slab(&mut |slab| {
            squares = slab.iter().fold(squares, |sum, &v| sum + (f64::from(v) - mean).powi(2))
        });
        let deviation = (squares / count as f64).sqrt();
        Self { mean, deviation: (deviation > CONSTANT * largest).then_some(deviation) }
    }

    /// The value less the mean, in standard deviations; 0 in a constant channel.
    fn of(&self, value: f32) -> f32 {
        self.deviation.map_or(0.0, |deviation| ((f64::from(value) - self.mean) / deviation) as f32)
    }
}
