//! Sliding-window prediction (METHOD "Data"; paper section 4) of windows and of preprocessed cases:
//! windows with overlap, class probabilities stitched with weights.

use std::convert::Infallible;

use burn::tensor::activation::softmax;
use medvol::Case;
use medvol::augment::flip;
use medvol::patch::extract;
use medvol::sliding::Sliding;
use ndarray::{Array3, ArrayView4, s};

use crate::network::architecture::Segmenter;
use crate::network::mixture::Mixture;
use crate::network::weights::{Pass, Tape, Weights};
use crate::settings::config::PredictConfig;

/// A network with what it takes to run it over volumes.
#[derive(Clone, Debug)]
pub struct Predictor<'a> {
    pub network: &'a dyn Segmenter,
    pub weights: &'a Weights,
    pub mixture: &'a Mixture,
    /// Patch `[depth, height, width]`.
    pub patch: [usize; 3],
    /// Classes, background included.
    pub classes: usize,
    pub settings: PredictConfig,
    /// The axes that `settings.flips` mirrors along.
    pub mirror: [bool; 3],
}

impl Predictor<'_> {
    /// Class probabilities `[classes, depth, height, width]` of one window `[channels, depth,
    /// height, width]`, both flattened; the mean over all mirrorings if the settings say so.
    pub fn score(&self, window: Vec<f32>) -> Vec<f32> {
        let mirrorings = (1..1 << 3).map(|flips| [0, 1, 2].map(|axis| flips >> axis & 1 == 1));
        let wanted = |axes: &[bool; 3]| {
            self.settings.flips && axes.iter().zip(self.mirror).all(|(&flip, may)| may || !flip)
        };
        let mirrorings: Vec<[bool; 3]> = mirrorings.filter(wanted).collect();
        if mirrorings.is_empty() {
            return self.forward(window);
        }
        let mut mean = self.forward(window.clone());
        for &axes in &mirrorings {
            let mut mirrored = window.clone();
            flip(&mut mirrored, self.patch, axes);
            let mut probabilities = self.forward(mirrored);
            flip(&mut probabilities, self.patch, axes);
            mean.iter_mut().zip(probabilities).for_each(|(sum, p)| *sum += p);
        }
        let count = (mirrorings.len() + 1) as f32;
        mean.iter_mut().for_each(|sum| *sum /= count);
        mean
    }

    fn forward(&self, window: Vec<f32>) -> Vec<f32> {
        let pass = Pass::new(self.weights, Tape::Off);
        let [d, h, w] = self.patch;
        let channels = window.len() / (d * h * w);
        let x = pass.input(window, [1, channels, d, h, w]);
        let scores = self.network.forward(&pass, x, self.mixture);
        // The network's output is f32 by construction; an empty list would only leave this window
        // out.
        softmax(scores, 1).into_data().try_into_vec::<f32>().unwrap_or_default()
    }

    /// The most probable class of every voxel of a preprocessed image; the lower class in a tie.
    pub fn classes(&self, image: ArrayView4<f32>) -> Array3<u8> {
        let (_, d, h, w) = image.dim();
        let mut classes = Array3::zeros((d, h, w));
        let score = |corner: [usize; 3]| {
            Ok::<_, Infallible>(self.score(extract(image, corner.map(|c| c as isize), self.patch)))
        };
        let Ok(()) = Sliding::new(
            self.classes,
            [d, h, w],
            self.patch,
            self.settings.overlap,
            self.settings.blend,
        )
        .run(1, score, |finished| {
            let [k, j, i] = finished.block.clone();
            classes.slice_mut(s![k, j, i]).assign(&finished.best(|_, _| {}));
        });
        classes
    }

    /// Dice of each foreground class on a preprocessed, labelled case, on the preprocessed grid.
    pub fn validate(&self, case: &Case) -> Vec<Option<f64>> {
        let Some(reference) = &case.classes else { return vec![None; self.classes - 1] };
        let (predicted, reference) =
            (self.classes(case.image.view()).mapv(u16::from), reference.mapv(u16::from));
        let labels: Vec<u16> = (1..self.classes as u16).collect();
        // Both live on the case's grid, so their shapes agree.
        medvol::metrics::dice_per_label(predicted.view(), reference.view(), &labels)
            .unwrap_or_default()
    }
}
