//! Sliding-window prediction (METHOD "Data"; paper section 4): windows with overlap, class probabilities stitched with weights, brought back
//! to the image's own grid.

use burn::tensor::activation::softmax;
use medvol::patch::extract;
use medvol::stitch::{Stitcher, windows};
use medvol::{Case, Image, LabelMap, preprocess};
use ndarray::{Array3, Array4, ArrayView4, Axis};

use crate::config::PredictConfig;
use crate::error::Result;
use crate::model::Model;
use crate::network::{Mixture, Network};
use crate::weights::{Pass, Tape, Weights};

/// A network with what it takes to run it over volumes.
#[derive(Clone, Copy, Debug)]
pub struct Predictor<'a> {
    pub network: &'a Network,
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
            let pass = Pass::new(self.weights, Tape::Off);
            let [pd, ph, pw] = self.patch;
            let x = pass.input(window, [1, channels, pd, ph, pw]);
            let scores = self.network.forward(&pass, x, self.mixture);
            let probabilities = softmax(scores, 1).into_data();
            // The network's output is f32 by construction; an empty slice would only leave this window out.
            stitcher.add(corner, probabilities.as_slice::<f32>().unwrap_or(&[]));
        }
        stitcher.finish()
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
    let mixture = Network::mixture_of(&model.card.genotype);
    let predictor = Predictor {
        network: &model.network,
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
