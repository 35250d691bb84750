//! A small synthetic task in the layout of the Medical Segmentation Decathlon, for demonstrations
//! and tests.
//!
//! Each case is one synthetic patient with two foreground classes: an *organ*, a bent ellipsoid,
//! and a *nodule* at its front. A look-alike of the nodule at the organ's back is background, so
//! that only its place tells the two apart: whoever loses track of axes and flips cannot tell them
//! apart (and whoever mirrors front to back when training teaches the wrong thing). Blobs as bright
//! as either class, texture, noise and a smooth bias field make thresholds useless.
//!
//! Shapes are defined in mm; the grids that sample them differ from case to case in spacing, slice
//! direction, axis order, flips and obliqueness. Every case draws from its own numbered random
//! stream, so that a case depends on the seed and its number only, not on the number of cases or
//! threads.

mod anatomy;

use std::f64::consts::TAU;
use std::fs;
use std::path::Path;

use ndarray::{Array3, Axis};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};
use rayon::prelude::*;
use serde_json::json;

use crate::affine::Affine;
use crate::atomic::atomic_write;
use crate::error::{Error, Result};
use crate::io::create;
use crate::new_folder::write_folder;
use crate::volume::{Image, LabelMap};

use anatomy::{Anatomy, Sample, draw_rotation};

/// Label of the organ, the large class.
pub const ORGAN: u16 = 1;
/// Label of the nodule, the small class.
pub const NODULE: u16 = 2;

/// Standard deviation of the noise; the organ is 50 brighter than its surroundings and the nodule
/// 60 brighter than the organ.
const NOISE: f64 = 12.0;

/// Which task to write.
#[derive(Clone, Debug, PartialEq)]
pub struct PhantomTask {
    /// Seed of everything.
    pub seed: u64,
    /// Number of cases with labels (`imagesTr`, `labelsTr`).
    pub cases: usize,
    /// Number of cases without (`imagesTs`).
    pub test_cases: usize,
    /// Factor on the voxel size, see [`phantom`].
    pub coarseness: f64,
}

impl Default for PhantomTask {
    fn default() -> Self {
        Self { seed: 0, cases: 24, test_cases: 3, coarseness: 1.0 }
    }
}

/// Writes a task: `dataset.json`, `imagesTr`, `labelsTr` and `imagesTs`, with files called
/// `phantom_001.nii.gz` and so on.
///
/// The folder appears only when it is complete.
///
/// # Errors
/// [`Error::Write`] where `folder` exists and is not an empty folder, or where something cannot be
/// written.
pub fn write_task(folder: impl AsRef<Path>, task: &PhantomTask) -> Result<()> {
    write_folder(folder.as_ref(), |partial| {
        for name in ["imagesTr", "labelsTr", "imagesTs"] {
            let path = partial.join(name);
            fs::create_dir(&path).map_err(|source| Error::Write { path, source })?;
        }
        (0..task.cases + task.test_cases).into_par_iter().try_for_each(|case| {
            let (image, labels) = phantom(task.seed, case as u64, task.coarseness);
            if case < task.cases {
                create(partial.join("labelsTr").join(file_name(case)))?.labels(&labels)?;
                create(partial.join("imagesTr").join(file_name(case)))?.image(&image)
            } else {
                create(partial.join("imagesTs").join(file_name(case)))?.image(&image)
            }
        })?;
        atomic_write(partial.join("dataset.json"), dataset_json(task).as_bytes())?;
        Ok(true)
    })
}

fn file_name(case: usize) -> String {
    format!("phantom_{:03}.nii.gz", case + 1)
}

fn dataset_json(task: &PhantomTask) -> String {
    let path = |folder, case| format!("./{folder}/{}", file_name(case));
    let training: Vec<_> = (0..task.cases)
        .map(|case| json!({ "image": path("imagesTr", case), "label": path("labelsTr", case) }))
        .collect();
    let test: Vec<_> =
        (task.cases..task.cases + task.test_cases).map(|case| path("imagesTs", case)).collect();
    let dataset = json!({
        "name": "Phantom",
        "description": "Synthetic organ with a nodule at its front",
        "reference": format!("generated with seed {}", task.seed),
        "licence": "CC0",
        "release": "1.0",
        "tensorImageSize": "3D",
        "modality": { "0": "MRI" },
        "labels": { "0": "background", (ORGAN.to_string()): "organ", (NODULE.to_string()): "nodule" },
        "numTraining": training.len(),
        "numTest": test.len(),
        "training": training,
        "test": test,
    });
    format!("{dataset:#}\n")
}

/// One case: an image of one channel and its labels, a pure function of the arguments.
///
/// The voxels measure 0.85 to 1.4 mm times `coarseness`, and there are about 50×50×40 of them, each
/// number divided by it. The patient of a seed and a case number is the same at every coarseness.
/// Values outside 0.5 to 4 are clamped: beyond them the nodule would be lost between voxels, or the
/// image would no longer be small.
pub fn phantom(seed: u64, case: u64, coarseness: f64) -> (Image, LabelMap) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(case);
    let anatomy = Anatomy::draw(&mut rng);
    let centre: [f64; 3] = std::array::from_fn(|_| rng.random_range(-40.0..40.0));
    let (shape, affine) = draw_grid(centre, coarseness.clamp(0.5, 4.0), &mut rng);

    let mut labels = Array3::zeros(shape);
    let voxels = Array3::from_shape_fn(shape, |(k, j, i)| {
        let place = affine.apply([i, j, k].map(|index| index as f64));
        let Sample { intensity, label } =
            anatomy.sample(std::array::from_fn(|axis| place[axis] - centre[axis]));
        labels[[k, j, i]] = label;
        // Whole numbers above 0, as from a scanner; they also compress.
        (anatomy.gain * (intensity + NOISE * draw_normal(&mut rng))).round().max(1.0) as f32
    });
    (Image { voxels: voxels.insert_axis(Axis(0)), affine }, LabelMap { voxels: labels, affine })
}

/// A grid around the patient at `centre` (mm): fine pixels in slices of any direction, thicker
/// slices, all a little oblique.
fn draw_grid(centre: [f64; 3], coarseness: f64, rng: &mut impl Rng) -> ([usize; 3], Affine) {
    let pixel = rng.random_range(0.85..1.05);
    let slice = rng.random_range(1.1..1.4);
    let spacing = [pixel, pixel, slice].map(|mm| mm * coarseness);
    let axes = AXIS_ORDERS[rng.random_range(0..AXIS_ORDERS.len())];
    let rotation = draw_rotation(rng);
    let mut matrix = Affine::IDENTITY.0;
    let mut counts = [0; 3];
    let mut corner: [f64; 3] = centre.map(|mm| mm + rng.random_range(-1.5..1.5));
    for (column, axis) in axes.into_iter().enumerate() {
        let sign = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        let field_of_view = rng.random_range(44.0..50.0);
        counts[column] = (field_of_view / spacing[column]).round() as usize;
        for row in 0..3 {
            let step = rotation[row][axis] * sign * spacing[column];
            corner[row] -= step * (counts[column] as f64 - 1.0) / 2.0;
            matrix[row][column] = step;
        }
    }
    for row in 0..3 {
        matrix[row][3] = corner[row];
        // NIfTI stores f32: what is in memory is what will be in the file.
        matrix[row] = matrix[row].map(|value| f64::from(value as f32));
    }
    let [width, height, depth] = counts;
    ([depth, height, width], Affine(matrix))
}

/// Which axis of space the voxel axes i, j and k follow.
const AXIS_ORDERS: [[usize; 3]; 6] =
    [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// A standard normal number, by Box and Muller.
fn draw_normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (TAU * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests;
