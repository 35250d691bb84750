//! From an image as it stands on disk to what a network sees: canonical orientation, crop to the non-zero region, common spacing,
//! z-score of each channel. The crop comes before the resampling, where zero is still exactly zero and the volume is still small.

use std::path::PathBuf;

use ndarray::{Array3, Array4, ArrayView4, ArrayViewMut3, Axis, s};

use crate::class_map::{ClassMap, Label};
use crate::error::{Error, Result};
use crate::geometry::Geometry;
use crate::orient::Orientation;
use crate::resample::{resample, resample_classes};
use crate::volume::{Image, LabelMap};

/// Most voxels a resampled channel may have; beyond it the spacing is a mistake (a mixed-up unit, for example).
pub(crate) const MAX_VOXELS: f64 = (1_u64 << 31) as f64;

/// A channel whose standard deviation is below this part of its largest value is constant up to rounding.
const CONSTANT: f64 = 1e-6;

/// A case ready for training or prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    pub name: String,
    /// `[channels, depth, height, width]`, each channel with mean 0 and standard deviation 1 (or all 0 if it was constant).
    pub image: Array4<f32>,
    /// `[depth, height, width]`, class indices; `None` where the case has no label map.
    pub classes: Option<Array3<u8>>,
    /// How predictions get back to the image's own grid.
    pub geometry: Geometry,
}

/// Preprocesses one case to `spacing_mm` (depth, height, width in canonical orientation).
/// `labels` are the data set's, in the order of the classes.
///
/// # Errors
/// [`Error::Preprocess`] for a spacing, an affine or shapes that make no sense, [`Error::NotFinite`], [`Error::UnlistedLabel`]; the
/// last two carry the case's name in the place of a path.
pub fn preprocess(name: &str, image: &Image, label_map: Option<&LabelMap>, labels: &[Label], spacing_mm: [f64; 3]) -> Result<Case> {
    check(name, image, label_map, spacing_mm)?;
    let orientation = Orientation::of(&image.affine);
    let canonical = orientation.canonical_channels(image.voxels.view());
    let (start, size) = non_zero_region(canonical);
    let geometry = Geometry { shape: image.shape(), affine: image.affine, crop_start: start, crop_shape: size, spacing_mm };
    let from = orientation.canonical_axes(image.affine.spacing());
    let shape = grid_shape(name, &geometry, from)?;
    let [k, j, i] = [0, 1, 2].map(|axis| start[axis]..start[axis] + size[axis]);

    let classes = match label_map {
        None => None,
        Some(map) => {
            let classes = to_classes(name, map, labels)?;
            let crop = orientation.canonical(classes.view());
            let crop = crop.slice(s![k.clone(), j.clone(), i.clone()]);
            Some(resample_classes(crop, from, spacing_mm, shape))
        }
    };

    let crop = canonical.slice(s![.., k, j, i]);
    let mut voxels = Array4::zeros((image.channels(), shape[0], shape[1], shape[2]));
    for (channel, mut out) in crop.outer_iter().zip(voxels.outer_iter_mut()) {
        out.assign(&resample(channel, from, spacing_mm, shape));
        z_score(out);
    }
    Ok(Case { name: name.to_string(), image: voxels, classes, geometry })
}

fn check(name: &str, image: &Image, label_map: Option<&LabelMap>, spacing_mm: [f64; 3]) -> Result<()> {
    let refuse = |reason| Err(Error::Preprocess { case: name.to_string(), reason });
    if !spacing_mm.iter().all(|mm| mm.is_finite() && *mm > 0.0) {
        return refuse(format!("cannot resample to a spacing of {spacing_mm:?} mm; expected three positive numbers"));
    }
    if !image.affine.is_invertible() {
        return refuse(format!("its affine is singular: {:?}", image.affine.0));
    }
    if image.voxels.is_empty() {
        return refuse(format!("its image has no voxels: shape {:?}", image.voxels.dim()));
    }
    if let Some((voxel, value)) = image.first_non_finite() {
        return Err(Error::NotFinite { path: PathBuf::from(name), voxel, value });
    }
    match label_map {
        Some(map) if map.shape() != image.shape() => Err(Error::ShapeMismatch {
            image: PathBuf::from(name),
            other: PathBuf::from(name),
            image_shape: image.shape(),
            other_shape: map.shape(),
        }),
        _ => Ok(()),
    }
}

/// Start and size of the smallest box that holds every voxel that is not 0 in all channels; the whole volume if all are 0.
fn non_zero_region(image: ArrayView4<f32>) -> ([usize; 3], [usize; 3]) {
    let mut start = [0; 3];
    let mut size = [0; 3];
    for axis in 0..3 {
        let occupied = |plane: usize| image.index_axis(Axis(axis + 1), plane).iter().any(|v| *v != 0.0);
        let planes = image.shape()[axis + 1];
        let first = (0..planes).find(|&plane| occupied(plane)).unwrap_or(0);
        let last = (0..planes).rfind(|&plane| occupied(plane)).unwrap_or(planes - 1);
        (start[axis], size[axis]) = (first, last - first + 1);
    }
    (start, size)
}

fn grid_shape(name: &str, geometry: &Geometry, from: [f64; 3]) -> Result<[usize; 3]> {
    let shape = geometry.grid_shape();
    if shape.iter().map(|&n| n as f64).product::<f64>() > MAX_VOXELS {
        return Err(Error::Preprocess {
            case: name.to_string(),
            reason: format!(
                "resampling {:?} voxels of {from:?} mm to {:?} mm would give {shape:?} voxels; check the units of both spacings",
                geometry.crop_shape, geometry.spacing_mm
            ),
        });
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

/// Subtracts the mean and divides by the standard deviation; a constant channel becomes 0.
fn z_score(mut channel: ArrayViewMut3<f32>) {
    let count = channel.len() as f64;
    let mean = channel.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let variance = channel.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
    let deviation = variance.sqrt();
    let largest = channel.iter().fold(0.0, |largest: f64, &v| largest.max(f64::from(v).abs()));
    if deviation <= CONSTANT * largest {
        channel.fill(0.0);
    } else {
        channel.mapv_inplace(|v| ((f64::from(v) - mean) / deviation) as f32);
    }
}
