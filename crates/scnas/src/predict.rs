//! Sliding-window prediction (METHOD "Data"; paper section 4): windows with overlap, class probabilities stitched with weights, brought back
//! to the image's own grid.

use burn::tensor::activation::softmax;
use medvol::augment::flip;
use medvol::patch::extract;
use medvol::stitch::{Stitcher, windows};
use medvol::{Case, Image, LabelMap, preprocess};
use ndarray::{Array3, Array4, ArrayView4, Axis};

use crate::architecture::Segmenter;
use crate::config::PredictConfig;
use crate::error::Result;
use crate::model::Model;
use crate::network::Mixture;
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

/// A prediction on an image's own grid.
#[derive(Clone, Debug)]
pub struct Prediction {
    pub labels: LabelMap,
    /// `[classes, depth, height, width]`, only if asked for.
    pub probabilities: Option<Image>,
}

impl Predictor<'_> {
    /// Class probabilities `[classes, depth, height, width]` of a preprocessed image `[channels, depth, height, width]`.
    pub fn probabilities(&self, image: ArrayView4<f32>) -> Array4<f32> {
        let (channels, d, h, w) = image.dim();
        let shape = [d, h, w];
        let mut stitcher = Stitcher::new(self.classes, shape, self.patch, self.settings.blend);
        for corner in windows(shape, self.patch, self.settings.overlap) {
            let window = extract(image, corner.map(|c| c as isize), self.patch);
            let mut mean = self.window(window.clone(), channels);
            if self.settings.flips {
                for flips in 1..1 << 3 {
                    let axes = [0, 1, 2].map(|axis| flips >> axis & 1 == 1);
                    let mut mirrored = window.clone();
                    flip(&mut mirrored, self.patch, axes);
                    let mut probabilities = self.window(mirrored, channels);
                    flip(&mut probabilities, self.patch, axes);
                    mean.iter_mut().zip(probabilities).for_each(|(sum, p)| *sum += p);
                }
                mean.iter_mut().for_each(|sum| *sum /= 8.0);
            }
            stitcher.add(corner, &mean);
        }
        stitcher.finish()
    }

    /// Class probabilities `[classes, depth, height, width]` of one window `[channels, depth, height, width]`.
    fn window(&self, window: Vec<f32>, channels: usize) -> Vec<f32> {
        let pass = Pass::new(self.weights, Tape::Off);
        let [d, h, w] = self.patch;
        let x = pass.input(window, [1, channels, d, h, w]);
        let scores = self.network.forward(&pass, x, self.mixture);
        // The network's output is f32 by construction; an empty list would only leave this window out.
        softmax(scores, 1).into_data().try_into_vec::<f32>().unwrap_or_default()
    }

    /// The most probable class of every voxel of a preprocessed image; the lower class in a tie.
    pub fn classes(&self, image: ArrayView4<f32>) -> Array3<u8> {
        self.probabilities(image).map_axis(Axis(0), |p| {
            let best = (1..p.len()).fold(0, |best, c| if p[c] > p[best] { c } else { best });
            best as u8
        })
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

/// Predicts one image.
///
/// # Errors
/// When the image cannot be preprocessed.
pub fn predict(model: &Model, image: &Image, name: &str, settings: PredictConfig, probabilities: bool) -> Result<Prediction> {
    let plan = &model.card.plan;
    let case = preprocess(name, image, None, &plan.labels, plan.spacing)?;
    let mixture = model.mixture();
    let predictor = Predictor {
        network: model.network.as_ref(),
        weights: &model.weights,
        mixture: &mixture,
        patch: plan.patch,
        classes: model.card.size.classes,
        settings,
    };
    let scores = predictor.probabilities(case.image.view());
    Ok(Prediction {
        labels: case.geometry.restore_labels(&scores, &plan.labels)?,
        probabilities: if probabilities { Some(case.geometry.restore_probabilities(&scores)?) } else { None },
    })
}
