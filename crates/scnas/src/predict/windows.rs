//! Sliding-window prediction (paper section 4) of windows and of preprocessed cases:
//! windows with overlap, probabilities stitched with weights.

use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{DataError, Tensor};
use medvol::augment::flip;
use medvol::metrics::{ShapeMismatch, Structures, dice_per_structure, dice_with_largest};
use medvol::sliding::Sliding;
use medvol::{ClassMap, Target};
use ndarray::{Array3, ArrayView3, s};

use crate::data::kept::KeptCase;
use crate::error::{CasesFault, Error, Result};
use crate::network::architecture::Segmenter;
use crate::network::mixture::Mixture;
use crate::network::weights::{Pass, Tape, Weights};
use crate::settings::PredictConfig;

/// A network with what it takes to run it over volumes.
#[derive(Clone, Debug)]
pub struct Predictor<'a> {
    /// Its structure.
    pub network: &'a dyn Segmenter,
    /// Its weights.
    pub weights: &'a Weights,
    /// The operations of its edges.
    pub mixture: &'a Mixture,
    /// Patch `[depth, height, width]`.
    pub patch: [usize; 3],
    /// Classes of the labels, background included.
    pub classes: usize,
    /// What the network's outputs say of them.
    pub target: &'a Target,
    /// Overlap, blending, test-time augmentation.
    pub settings: PredictConfig,
    /// The axes (depth, height, width) that `settings.flips` mirrors along.
    pub mirror: [bool; 3],
}

/// Probabilities `[batch, outputs, depth, height, width]` by the `logits` of an image of `shape`
/// `[batch, channels, depth, height, width]`, both flattened.
///
/// # Errors
/// When the device does not hand them out.
pub(crate) fn probabilities(
    weights: &Weights,
    target: &Target,
    image: Vec<f32>,
    shape: [usize; 5],
    logits: impl FnOnce(&Pass, Tensor<5>) -> Tensor<5>,
) -> Result<Vec<f32>, DataError> {
    let pass = Pass::new(weights, Tape::Off);
    let logits = logits(&pass, pass.input(image, shape));
    let probabilities = match target {
        Target::Classes => softmax(logits, 1),
        Target::Regions(_) => sigmoid(logits),
    };
    probabilities.into_data().try_into_vec::<f32>()
}

impl Predictor<'_> {
    /// Probabilities `[outputs, depth, height, width]` of the classes, or of the regions, in one
    /// window `[channels, depth, height, width]`, both flattened; the mean over all mirrorings if
    /// the settings say so.
    ///
    /// # Errors
    /// [`Error::Values`] when the device does not hand them out.
    pub fn score(&self, window: Vec<f32>) -> Result<Vec<f32>> {
        let mirrorings = (1..1 << 3).map(|flips| [0, 1, 2].map(|axis| flips >> axis & 1 == 1));
        let wanted = |axes: &[bool; 3]| {
            self.settings.flips && axes.iter().zip(self.mirror).all(|(&flip, may)| may || !flip)
        };
        let mirrorings: Vec<[bool; 3]> = mirrorings.filter(wanted).collect();
        if mirrorings.is_empty() {
            return self.forward(window);
        }
        let mut mean = self.forward(window.clone())?;
        for &axes in &mirrorings {
            let mut mirrored = window.clone();
            flip(&mut mirrored, self.patch, axes);
            let mut probabilities = self.forward(mirrored)?;
            flip(&mut probabilities, self.patch, axes);
            mean.iter_mut().zip(probabilities).for_each(|(sum, p)| *sum += p);
        }
        let count = (mirrorings.len() + 1) as f32;
        mean.iter_mut().for_each(|sum| *sum /= count);
        Ok(mean)
    }

    fn forward(&self, window: Vec<f32>) -> Result<Vec<f32>> {
        let [d, h, w] = self.patch;
        let shape = [1, window.len() / (d * h * w), d, h, w];
        let logits = |pass: &Pass, x| self.network.forward(pass, x, self.mixture);
        probabilities(self.weights, self.target, window, shape, logits)
            .map_err(|source| Error::Values { what: "probabilities of a window", source })
    }

    /// The class of every voxel of a preprocessed case: the most probable one, the lower one in a
    /// tie; or that of the last region it lies in. Sums of windows take no more than `memory`
    /// bytes, as far as strips can make them smaller.
    ///
    /// # Errors
    /// Those of [`Self::score`]; windows that cannot be read back from the disk.
    pub fn classes(&self, case: &KeptCase, memory: Option<u64>) -> Result<Array3<u8>> {
        let shape = case.facts().shape;
        let mut classes = Array3::zeros(shape);
        let Self { settings: PredictConfig { overlap, blend, .. }, patch, .. } = self;
        let sliding =
            Sliding::new(self.target.outputs(self.classes), shape, *patch, *overlap, *blend);
        let most = sliding.most_strips();
        let fits = |strips: &usize| memory.is_none_or(|memory| sliding.bytes(*strips) <= memory);
        sliding.run(
            (1..most).find(fits).unwrap_or(most),
            |corner| self.score(case.window(corner.map(|c| c as isize), *patch)?),
            |finished| {
                let [k, j, i] = finished.block.clone();
                classes.slice_mut(s![k, j, i]).assign(&finished.classes(self.target, |_, _| {}));
            },
        )?;
        Ok(classes)
    }

    /// Dice of each foreground class, or region, on a preprocessed, labelled case, on the
    /// preprocessed grid; `None` for one in neither map. `memory` is as for [`Self::classes`].
    ///
    /// # Errors
    /// [`CasesFault::NoLabels`], [`CasesFault::Shapes`], and those of [`Self::score`].
    pub fn validate(&self, case: &KeptCase, memory: Option<u64>) -> Result<Vec<Option<f64>>> {
        self.compared(case, memory, dice_per_structure)
    }

    /// As [`Self::validate`], each with the Dice where only its largest connected component is
    /// kept.
    ///
    /// # Errors
    /// Those of [`Self::validate`].
    pub fn judge(&self, case: &KeptCase, memory: Option<u64>) -> Result<Vec<[Option<f64>; 2]>> {
        self.compared(case, memory, dice_with_largest)
    }

    /// What `compare` makes of prediction and reference of a case.
    fn compared<T>(
        &self,
        case: &KeptCase,
        memory: Option<u64>,
        compare: impl Fn(ArrayView3<u16>, ArrayView3<u16>, &Structures) -> Result<T, ShapeMismatch>,
    ) -> Result<T> {
        let reference = case.classes()?.mapv(u16::from);
        let predicted = self.classes(case, memory)?.mapv(u16::from);
        let structures = self.target.structures(self.classes).into_iter();
        let scored = Structures {
            values: structures
                .map(|classes| classes.into_iter().map(u16::from).collect())
                .collect(),
            ignore: Some(ClassMap::IGNORED.into()),
        };
        let name = &case.facts().name;
        Ok(compare(predicted.view(), reference.view(), &scored)
            .map_err(|source| CasesFault::Shapes { case: name.clone(), source })?)
    }
}
