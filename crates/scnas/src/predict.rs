//! Sliding-window prediction (METHOD "Data"; paper section 4): windows with overlap, class probabilities stitched with weights, brought back
//! to the image's own grid. [`Predictor`] runs a network over windows and cases, [`ImagePredictor`] a model over images of any size.

use std::cell::Cell;
use std::convert::Infallible;

use burn::tensor::activation::softmax;
use medvol::augment::flip;
use medvol::patch::extract;
use medvol::sliding::Sliding;
use medvol::{Affine, Case, ClassMap, Image, Label, LabelMap, Preprocessed, RawImage};
use ndarray::{Array3, Array4, ArrayView4, s};

use crate::architecture::Segmenter;
use crate::config::PredictConfig;
use crate::error::{Error, Result};
use crate::memory;
use crate::model::Model;
use crate::network::Mixture;
use crate::run::Observer;
use crate::weights::{Pass, Tape, Weights};

/// A network with what it takes to run it over volumes.
#[derive(Clone, Copy, Debug)]
pub struct Predictor<'a> {
    pub network: &'a dyn Segmenter,
    pub weights: &'a Weights,
    pub mixture: &'a Mixture,
    /// Patch `[depth, height, width]`.
    pub patch: [usize; 3],
    /// Classes, background included.
    pub classes: usize,
    pub settings: PredictConfig,
}

impl Predictor<'_> {
    /// Class probabilities `[classes, depth, height, width]` of one window `[channels, depth, height, width]`, both flattened; the mean
    /// over all mirrorings if the settings say so.
    pub fn score(&self, window: Vec<f32>) -> Vec<f32> {
        if !self.settings.flips {
            return self.forward(window);
        }
        let mut mean = self.forward(window.clone());
        for flips in 1..1 << 3 {
            let axes = [0, 1, 2].map(|axis| flips >> axis & 1 == 1);
            let mut mirrored = window.clone();
            flip(&mut mirrored, self.patch, axes);
            let mut probabilities = self.forward(mirrored);
            flip(&mut probabilities, self.patch, axes);
            mean.iter_mut().zip(probabilities).for_each(|(sum, p)| *sum += p);
        }
        mean.iter_mut().for_each(|sum| *sum /= 8.0);
        mean
    }

    fn forward(&self, window: Vec<f32>) -> Vec<f32> {
        let pass = Pass::new(self.weights, Tape::Off);
        let [d, h, w] = self.patch;
        let channels = window.len() / (d * h * w);
        let x = pass.input(window, [1, channels, d, h, w]);
        let scores = self.network.forward(&pass, x, self.mixture);
        // The network's output is f32 by construction; an empty list would only leave this window out.
        softmax(scores, 1).into_data().try_into_vec::<f32>().unwrap_or_default()
    }

    /// The most probable class of every voxel of a preprocessed image; the lower class in a tie.
    pub fn classes(&self, image: ArrayView4<f32>) -> Array3<u8> {
        let (_, d, h, w) = image.dim();
        let mut classes = Array3::zeros((d, h, w));
        let score = |corner: [usize; 3]| Ok::<_, Infallible>(self.score(extract(image, corner.map(|c| c as isize), self.patch)));
        let Ok(()) =
            Sliding::new(self.classes, [d, h, w], self.patch, self.settings.overlap, self.settings.blend).run(1, score, |finished| {
                let [k, j, i] = finished.block.clone();
                classes.slice_mut(s![k, j, i]).assign(&finished.best(|_, _| {}));
            });
        classes
    }

    /// Dice of each foreground class on a preprocessed, labelled case, on the preprocessed grid.
    pub fn validate(&self, case: &Case) -> Vec<Option<f64>> {
        let Some(reference) = &case.classes else { return vec![None; self.classes - 1] };
        let (predicted, reference) = (self.classes(case.image.view()).mapv(u16::from), reference.mapv(u16::from));
        let labels: Vec<u16> = (1..self.classes as u16).collect();
        // Both live on the case's grid, so their shapes agree.
        medvol::metrics::dice_per_label(predicted.view(), reference.view(), &labels).unwrap_or_default()
    }
}

/// How images are to be predicted.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub settings: PredictConfig,
    /// Keep the class probabilities too.
    pub probabilities: bool,
    /// The most bytes this process may use; `None` where that is not known.
    pub memory: Option<u64>,
}

impl Options {
    /// A model's own settings, with the memory that the machine allows.
    pub fn of(model: &Model) -> Self {
        Self { settings: model.card.predict, probabilities: false, memory: memory::allowed() }
    }
}

/// A prediction on an image's own grid.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// Class indices `[depth, height, width]`.
    pub classes: Array3<u8>,
    /// The image's.
    pub affine: Affine,
    /// `[classes, depth, height, width]`, only if asked for.
    pub probabilities: Option<Image>,
}

impl Prediction {
    /// The label map, for the labels of the model.
    pub fn labels(&self, labels: &[Label]) -> LabelMap {
        let map = ClassMap::new(labels);
        LabelMap { voxels: self.classes.mapv(|class| map.value(class.into()).unwrap_or(0)), affine: self.affine }
    }
}

/// Predicts images with a model, in bounded memory.
#[derive(Debug)]
pub struct ImagePredictor<'a> {
    model: &'a Model,
    mixture: Mixture,
    options: Options,
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
    pub fn new(model: &'a Model, options: Options) -> Self {
        Self { model, mixture: model.mixture(), options, base: memory::in_use().unwrap_or(0), window: Cell::new(None) }
    }

    /// Refuses an image of `shape` of which even the voxels (`bytes`) and the result do not fit into memory, before it is read.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn check(&self, name: &str, shape: [usize; 3], bytes: u64) -> Result<()> {
        self.fits(&Need { window: self.window.get().unwrap_or(0), ..self.need(name, shape, bytes) })
    }

    /// Predicts one image; every window is a step for the observer.
    ///
    /// # Errors
    /// When the image cannot be preprocessed, memory does not suffice ([`Error::Memory`]), or the observer says to stop
    /// ([`Error::Stopped`]).
    pub fn predict(&self, name: &str, image: &RawImage, observer: &dyn Observer) -> Result<Prediction> {
        let Options { settings, probabilities, .. } = self.options;
        let (plan, classes) = (&self.model.card.plan, self.model.card.size.classes);
        let preprocessed = Preprocessed::new(name, image, plan.spacing)?;
        let geometry = preprocessed.geometry();
        let predictor = self.predictor();
        let score = |corner: [usize; 3]| match observer.stop() {
            true => Err(Error::Stopped),
            false => Ok(predictor.score(preprocessed.window(corner.map(|c| c as isize), plan.patch))),
        };

        // The first window is scored before it is known how much memory the others leave: that is how it gets known.
        let before = memory::in_use().unwrap_or(0);
        let mut first = Some(score([0; 3])?);
        let window = self.window.get().unwrap_or_else(|| memory::peak().unwrap_or(0).saturating_sub(before));
        self.window.set(Some(window));
        let sliding = Sliding::restoring(geometry, classes, plan.patch, settings.overlap, settings.blend);
        let strips = self.strips(
            &sliding,
            Need { window: window.max(preprocessed.bytes(plan.patch)), ..self.need(name, image.shape(), image.bytes()) },
        )?;
        let total = sliding.windows(strips);
        if strips > 1 {
            let more = total - sliding.windows(1);
            observer.message(&format!(
                "{name}: predicted in {strips} strips to save memory, which takes {more} windows more than {}",
                total - more
            ));
        }

        let [depth, height, width] = image.shape();
        let mut result = Array3::zeros(image.shape());
        let mut volumes = probabilities.then(|| {
            let mut volumes = Array4::zeros((classes, depth, height, width));
            // Outside the crop all is background.
            volumes.index_axis_mut(ndarray::Axis(0), 0).fill(1.0);
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
                let best = finished.best(|class, scores| {
                    if let Some(volumes) = &mut volumes {
                        let volume = volumes.index_axis_mut(ndarray::Axis(0), class);
                        geometry.crop(volume).slice_mut(s![k.clone(), j.clone(), i.clone()]).assign(scores);
                    }
                });
                geometry.crop(result.view_mut()).slice_mut(s![k, j, i]).assign(&best);
            },
        )?;
        let probabilities = volumes.map(|voxels| Image { voxels, affine: image.affine });
        Ok(Prediction { classes: result, affine: image.affine, probabilities })
    }

    fn predictor(&self) -> Predictor<'_> {
        Predictor {
            network: self.model.network.as_ref(),
            weights: &self.model.weights,
            mixture: &self.mixture,
            patch: self.model.card.plan.patch,
            classes: self.model.card.size.classes,
            settings: self.options.settings,
        }
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
        let probabilities = if self.options.probabilities { 4 * self.model.card.size.classes as u64 } else { 0 };
        Need { name, image, result: (1 + probabilities) * voxels, window: 0, sums: 0 }
    }

    fn fits(&self, need: &Need) -> Result<()> {
        let Need { name, image, result, window, sums } = need;
        let needed = self.base + image + result + window + sums;
        match self.options.memory.filter(|&allowed| needed > allowed) {
            None => Ok(()),
            Some(allowed) => Err(Error::Memory {
                name: name.to_string(),
                needed: memory::text(needed),
                parts: format!(
                    "program {}, image {}, result {}, one window {}, sums of windows {}",
                    memory::text(self.base),
                    memory::text(*image),
                    memory::text(*result),
                    memory::text(*window),
                    memory::text(*sums)
                ),
                allowed: memory::text(allowed),
                remedy: if self.options.probabilities {
                    "do without the probabilities, or give more memory (--memory)".into()
                } else {
                    "give more memory (--memory), or cut the image into parts".into()
                },
            }),
        }
    }
}
