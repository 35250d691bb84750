//! Prediction of whole images on their own grids, in bounded memory (paper section 4).
//!
//! In memory are the image as its file stores it, the result as class indices, one window with what
//! its network computes, and the sums of windows that overlap. Of these only the sums can be made
//! smaller: by predicting the width in strips ([`medvol::sliding`]), which takes more windows. What
//! a window takes is measured on the first one. The result is the same bits for any number of
//! strips.

use std::cell::Cell;
use std::time::Instant;

use medvol::components::{Connectivity, keep_largest_of};
use medvol::io::Grid;
use medvol::sliding::Sliding;
use medvol::{
    Affine, ClassMap, Geometry, Image, Label, LabelMap, Normalisation, Orientation, Preprocessed,
    RawImage,
};
use ndarray::{Array3, Array4, Axis, s};

use crate::data::plan::Plan;
use crate::error::{Error, ModelFact, Purpose, Result};
use crate::memory;
use crate::message::Message;
use crate::network::mixture::Mixture;
use crate::network::size::Size;
use crate::observer::Observer;
use crate::predict::windows::Predictor;
use crate::settings::PredictConfig;
use crate::store::model::{Card, Model};

/// Seconds from which on it is said how long an image takes.
const LONG_S: f64 = 60.0;

/// How images are to be predicted.
#[derive(Clone, Debug)]
pub struct Options {
    /// Overlap, blending, test-time augmentation, classes to clean.
    pub settings: PredictConfig,
    /// Keep the probabilities of the classes, or of the regions, too.
    pub probabilities: bool,
    /// The most bytes this process may use; `None` where that is not known.
    pub memory: Option<u64>,
}

impl Options {
    /// A model's own settings, with the memory that the machine allows.
    pub fn of(model: &Model) -> Self {
        Self {
            settings: model.card.predict.clone(),
            probabilities: false,
            memory: memory::allowed(),
        }
    }
}

/// A prediction on an image's own grid.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// Class indices `[depth, height, width]`.
    pub classes: Array3<u8>,
    /// The image's.
    pub affine: Affine,
    /// Of classes or regions, `[outputs, depth, height, width]`, only if asked for.
    pub probabilities: Option<Image>,
}

impl Prediction {
    /// The label map, for the labels of the model.
    pub fn labels(&self, labels: &[Label]) -> LabelMap {
        let map = ClassMap::new(labels);
        LabelMap {
            voxels: self.classes.mapv(|class| map.value(class.into()).unwrap_or(0)),
            affine: self.affine,
        }
    }
}

/// Predicts images with one model, or with the mean of several, in bounded memory.
#[derive(Debug)]
pub struct ImagePredictor<'a> {
    models: Vec<(&'a Model, Mixture)>,
    /// Each that differs, as those of a cross-validation's folds do for CT.
    normalisations: Vec<&'a [Normalisation]>,
    plan: &'a Plan,
    /// Channels and outputs are those of all models.
    size: Size,
    options: Options,
    /// Structures of which only the largest component is kept, with their classes.
    largest_component: Vec<(usize, Vec<u8>)>,
    /// Bytes in use before the first image.
    base: u64,
    /// Bytes that scoring a window takes; known once one was scored.
    window: Cell<Option<u64>>,
}

/// What takes memory in a prediction, in bytes.
struct Need<'a> {
    name: &'a str,
    image: u64,
    /// Class indices and probabilities on the image's grid.
    result: u64,
    /// A window and all that its network computes.
    window: u64,
    /// Sums of windows that overlap.
    sums: u64,
}

impl<'a> ImagePredictor<'a> {
    /// At least one model; the probabilities of several are averaged window by window.
    ///
    /// # Errors
    /// Models that do not fit together, settings that do not fit their labels.
    pub fn new(models: &'a [Model], options: Options) -> Result<Self> {
        let Some(Card { plan, size, .. }) = models.first().map(|model| &model.card) else {
            return Err(Error::NoModel);
        };
        models[1..].iter().try_for_each(|model| alike(plan, &model.card.plan))?;
        let mut normalisations: Vec<&[Normalisation]> = Vec::new();
        for model in models {
            if !normalisations.contains(&&model.card.plan.normalisation[..]) {
                normalisations.push(&model.card.plan.normalisation);
            }
        }
        let structures = plan.target.structures(plan.labels.len());
        let cleaned = options.settings.largest_component_structures(&plan.labels, &plan.target)?;
        let largest_component =
            cleaned.into_iter().filter_map(|n| Some((n, structures.get(n)?.clone()))).collect();
        Ok(Self {
            normalisations,
            models: models.iter().map(|model| (model, model.mixture())).collect(),
            plan,
            size: *size,
            largest_component,
            options,
            base: memory::in_use().unwrap_or(0),
            window: Cell::new(None),
        })
    }

    /// Refuses an image of `shape` of which even the voxels (`bytes`) and the result do not fit
    /// into memory, before it is read.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn check(&self, name: &str, shape: [usize; 3], bytes: u64) -> Result<()> {
        self.fits(&Need { window: self.window.get().unwrap_or(0), ..self.need(name, shape, bytes) })
    }

    /// Scores a window of nothing, so that it is known what a window takes.
    ///
    /// # Errors
    /// Those of scoring.
    pub fn measure_window(&self) -> Result<()> {
        let window = vec![0.0; self.size.channels * self.plan.patch.iter().product::<usize>()];
        memory::forget_peak();
        let before = memory::in_use().unwrap_or(0);
        mean_score(&self.predictors(), vec![window; self.normalisations.len()])?;
        self.window.set(Some(memory::peak().unwrap_or(0).saturating_sub(before)));
        Ok(())
    }

    /// Refuses an image on this grid, whose voxels take so many bytes, that could not be predicted
    /// even in as many strips as there can be; as far as is known before it is read.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn foresee(&self, name: &str, grid: &Grid, bytes: u64) -> Result<()> {
        let PredictConfig { overlap, blend, .. } = self.options.settings;
        let geometry = Geometry {
            shape: grid.shape,
            affine: grid.affine,
            crop_start: [0; 3],
            crop_shape: Orientation::of(&grid.affine).canonical_axes(grid.shape),
            spacing_mm: self.plan.spacing,
        };
        let sliding =
            Sliding::restoring(&geometry, self.size.classes, self.plan.patch, overlap, blend);
        let window = self.window.get().unwrap_or(0);
        let need = Need { window, ..self.need(name, grid.shape, bytes) };
        self.strips(&sliding, need).map(drop)
    }

    /// Predicts one image; every window is a step for the observer.
    ///
    /// # Errors
    /// When the image cannot be preprocessed, memory does not suffice ([`Error::Memory`]), or the
    /// observer says to stop ([`Error::Stopped`]).
    pub fn predict(
        &self,
        name: &str,
        image: &RawImage,
        observer: &dyn Observer,
    ) -> Result<Prediction> {
        let Options { settings, probabilities, .. } = &self.options;
        let (plan, outputs) = (self.plan, self.size.classes);
        let normalised = self.normalisations.iter();
        let normalised = normalised
            .map(|channels| Preprocessed::new(name, image, plan.spacing, channels))
            .collect::<medvol::Result<Vec<_>>>()?;
        let preprocessed = &normalised[0];
        let geometry = preprocessed.geometry();
        let predictors = self.predictors();
        let score = |corner: [usize; 3]| match observer.stop() {
            true => Err(Error::Stopped),
            false => {
                let corner = corner.map(|c| c as isize);
                let windows = normalised.iter().map(|image| image.window(corner, plan.patch));
                mean_score(&predictors, windows.collect())
            }
        };

        // The first window is scored before it is known how much memory the others leave: that is
        // how it gets known.
        memory::forget_peak();
        let before = memory::in_use().unwrap_or(0);
        let start = Instant::now();
        let mut first = Some(score([0; 3])?);
        let first_s = start.elapsed().as_secs_f64();
        let window =
            self.window.get().unwrap_or_else(|| memory::peak().unwrap_or(0).saturating_sub(before));
        self.window.set(Some(window));
        let sliding =
            Sliding::restoring(geometry, outputs, plan.patch, settings.overlap, settings.blend);
        let strips = self.strips(
            &sliding,
            Need {
                window: window.max(preprocessed.bytes(plan.patch)),
                ..self.need(name, image.shape(), image.bytes())
            },
        )?;
        let total = sliding.windows(strips);
        if strips > 1 {
            let more = total - sliding.windows(1);
            let (image, windows) = (name.into(), total - more);
            observer.message(&Message::Strips { image, strips, windows, more });
        }

        let seconds = total as f64 * first_s;
        if seconds > LONG_S {
            let image = name.into();
            observer.message(&Message::Long { image, windows: total, seconds });
        }

        let [depth, height, width] = image.shape();
        let mut result = Array3::zeros(image.shape());
        let mut volumes = probabilities.then(|| {
            let mut volumes = Array4::zeros((outputs, depth, height, width));
            // Outside the crop all is background, which is no region.
            if plan.target.is_classes() {
                volumes.index_axis_mut(Axis(0), 0).fill(1.0);
            }
            volumes
        });
        observer.begin("predicting windows", 0, total);
        let mut done = 0;
        sliding.run(
            strips,
            |corner| {
                let scores = first.take().map_or_else(|| score(corner), Ok)?;
                done += 1;
                observer.advance(done);
                Ok::<_, Error>(scores)
            },
            |finished| {
                let [k, j, i] = finished.block.clone();
                let classes = finished.classes(&plan.target, |output, scores| {
                    if let Some(volumes) = &mut volumes {
                        let volume = volumes.index_axis_mut(Axis(0), output);
                        geometry
                            .crop(volume)
                            .slice_mut(s![k.clone(), j.clone(), i.clone()])
                            .assign(scores);
                    }
                });
                geometry.crop(result.view_mut()).slice_mut(s![k, j, i]).assign(&classes);
            },
        )?;
        for (structure, classes) in &self.largest_component {
            let inside = |class| classes.contains(&class);
            let outside = |class| plan.target.class_without(*structure, class);
            keep_largest_of(&mut result, inside, outside, Connectivity::Faces);
        }
        let probabilities = volumes.map(|voxels| Image { voxels, affine: image.affine });
        Ok(Prediction { classes: result, affine: image.affine, probabilities })
    }

    /// Each with the place of its normalisation.
    fn predictors(&self) -> Vec<(Predictor<'_>, usize)> {
        let models = self.models.iter();
        let predictors = models.map(|(model, mixture)| {
            let own = |other: &&[Normalisation]| *other == &model.card.plan.normalisation[..];
            let predictor = Predictor {
                network: model.network.as_ref(),
                weights: &model.weights,
                mixture,
                patch: self.plan.patch,
                classes: self.plan.labels.len(),
                target: &self.plan.target,
                settings: self.options.settings.clone(),
                mirror: model.card.mirror,
            };
            (predictor, self.normalisations.iter().position(own).unwrap_or(0))
        });
        predictors.collect()
    }

    /// The fewest strips that fit into memory.
    fn strips(&self, sliding: &Sliding, need: Need) -> Result<usize> {
        let most = sliding.most_strips();
        let with = |strips| Need { sums: sliding.bytes(strips), ..need };
        let fitting = (1..most).find(|&strips| self.fits(&with(strips)).is_ok());
        fitting.map_or_else(|| self.fits(&with(most)).map(|()| most), Ok)
    }

    fn need<'n>(&self, name: &'n str, shape: [usize; 3], image: u64) -> Need<'n> {
        let voxels = shape.iter().product::<usize>() as u64;
        let probabilities =
            if self.options.probabilities { 4 * self.size.classes as u64 } else { 0 };
        Need { name, image, result: (1 + probabilities) * voxels, window: 0, sums: 0 }
    }

    fn fits(&self, need: &Need) -> Result<()> {
        let (&Need { name, image, result, window, sums }, program) = (need, self.base);
        let needed = program + image + result + window + sums;
        match self.options.memory.filter(|&allowed| needed > allowed) {
            None => Ok(()),
            Some(allowed) => {
                let (name, probabilities) = (name.to_string(), self.options.probabilities);
                let purpose =
                    Purpose::Image { name, program, image, result, window, sums, probabilities };
                Err(Error::Memory { purpose, needed, allowed })
            }
        }
    }
}

/// Whether networks of these plans read the same patches and say the same of them.
///
/// # Errors
/// [`Error::UnlikeModels`].
pub(crate) fn alike(first: &Plan, other: &Plan) -> Result<()> {
    let facts = |plan: &Plan| {
        [
            ModelFact::Channels(plan.channels.len()),
            ModelFact::Labels(plan.labels.clone()),
            ModelFact::Target(plan.target.clone()),
            ModelFact::Spacing(plan.spacing),
            ModelFact::Patch(plan.patch),
            ModelFact::Normalisations(plan.schemes()),
        ]
    };
    match facts(first).into_iter().zip(facts(other)).find(|(first, other)| first != other) {
        None => Ok(()),
        Some((first, other)) => Err(Error::UnlikeModels { facts: Box::new([first, other]) }),
    }
}

/// Mean of what the networks say of a window, of which there is one for each normalisation.
fn mean_score(predictors: &[(Predictor, usize)], mut windows: Vec<Vec<f32>>) -> Result<Vec<f32>> {
    let [(first, own), others @ ..] = predictors else {
        return Err(Error::NoModel);
    };
    if others.is_empty() {
        return first.score(windows.swap_remove(*own));
    }
    let mut mean = first.score(windows[*own].clone())?;
    for (predictor, own) in others {
        let more = predictor.score(windows[*own].clone())?;
        mean.iter_mut().zip(more).for_each(|(sum, p)| *sum += p);
    }
    let count = predictors.len() as f32;
    mean.iter_mut().for_each(|sum| *sum /= count);
    Ok(mean)
}
