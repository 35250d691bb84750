//! The loss of a batch with its gradients: those of the weights Θ, or those of the operation
//! weights ẑ, which α's follow from.
//!
//! Either one pass forward and one backward over the whole network, with every activation kept in
//! between; or cell by cell (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"):
//! forward keeps the outputs of the cells only, and each cell runs a second time when the backward
//! pass reaches it.

use std::collections::BTreeMap;
use std::iter;

use burn::tensor::{Gradients, Tensor};
use medvol::Target;

use crate::learn::batch::Batch;
use crate::learn::deep_supervision::{DeepSupervision, coarse_classes};
use crate::learn::loss::{Attached, Lesson, LossTerms, through};
use crate::network::Head;
use crate::network::architecture::Segmenter;
use crate::network::cells::Network;
use crate::network::layout::WeightId;
use crate::network::mixture::{Mixture, MixtureGradients};
use crate::network::weights::{Pass, Tape, Weights};
use crate::ranks::Ranks;

/// Where gradients are taken.
#[derive(Clone, Copy, Debug)]
pub struct Backprop<'a> {
    /// The network.
    pub network: &'a dyn Segmenter,
    /// Its weights, those of the additional heads included.
    pub weights: &'a Weights,
    /// What is to become small.
    pub loss: LossTerms,
    /// What the logits say.
    pub target: &'a Target,
    /// What teachers say of the batch.
    pub lesson: Option<Lesson<'a>>,
    /// More heads to judge, of a network of cells.
    pub supervision: Option<&'a DeepSupervision>,
    /// Cell by cell, where the network has cells: less memory, one more forward pass.
    pub recompute: bool,
    /// Who has the other parts of the batch.
    pub ranks: &'a dyn Ranks,
}

/// A loss and its gradients.
#[derive(Debug)]
pub struct LossGradients {
    /// The loss.
    pub loss: f64,
    /// Of the weights that ran; empty unless the tape was [`Tape::Weights`].
    pub weights: BTreeMap<WeightId, Tensor<5>>,
    /// Of the operation weights.
    pub mixture: MixtureGradients,
}

impl Backprop<'_> {
    /// Loss and gradients of `batch`, and of its other parts, with the operations of `mixture` on
    /// the edges.
    pub fn gradients(&self, tape: Tape, batch: &Batch, mixture: &Mixture) -> LossGradients {
        self.own_gradients(tape, batch, mixture).of_all(self.ranks, self.weights.device())
    }

    /// The loss of all of the batch, and the share of `batch` in its gradients.
    fn own_gradients(&self, tape: Tape, batch: &Batch, mixture: &Mixture) -> LossGradients {
        match self.network.cells() {
            Some(network) if self.recompute => self.by_cell(network, tape, batch, mixture),
            Some(network) => self.whole(tape, batch, mixture, |pass, x| {
                let heads: Vec<&Head> = self.heads(network).collect();
                let read = network.outputs_for(&heads, pass, x, mixture);
                let logits = |head: &&Head| {
                    let outputs = head.reads().map(|output| read[&output].clone());
                    (head.forward(pass, outputs), head.level())
                };
                heads.iter().map(logits).collect()
            }),
            None => self.whole(tape, batch, mixture, |pass, x| {
                vec![(self.network.forward(pass, x, mixture), 0)]
            }),
        }
    }

    /// The network's own head, then those that only training has.
    fn heads<'a>(&'a self, network: &'a Network) -> impl Iterator<Item = &'a Head> {
        let more = self.supervision.map_or(&[][..], |supervision| &supervision.heads);
        iter::once(network.head()).chain(more)
    }

    /// In one pass, by the `logits` of the image, each with its level.
    fn whole(
        &self,
        tape: Tape,
        batch: &Batch,
        mixture: &Mixture,
        logits: impl FnOnce(&Pass, Tensor<5>) -> Vec<(Tensor<5>, usize)>,
    ) -> LossGradients {
        let pass = Pass::new(self.weights, tape);
        let x = pass.input(batch.image.clone(), batch.shape);
        let judged = logits(&pass, x).into_iter().map(|(y, level)| self.judge(y, batch, level));
        let (values, scalars): (Vec<_>, Vec<_>) = judged
            .map(|(share, loss)| ((share, loss.value), loss.scalar.mul_scalar(share)))
            .unzip();
        let mut found = LossGradients::none(mixture);
        if let Some(scalar) = scalars.into_iter().reduce(|sum, more| sum + more) {
            let mut gradients = scalar.backward();
            found.loss = values.into_iter().map(|(share, value)| share * value.read()).sum();
            found.collect(pass, mixture, &mut gradients);
        }
        found
    }

    /// The loss of logits at `level`, and its share in the whole.
    fn judge(&self, logits: Tensor<5>, batch: &Batch, level: usize) -> (f64, Attached) {
        let [.., d, h, w] = batch.shape;
        let factor = self.network.layout().grid().factor(level);
        let coarse = (level > 0).then(|| coarse_classes(&batch.classes, [d, h, w], factor));
        let classes = coarse.as_ref().unwrap_or(&batch.classes);
        let lesson = self.lesson.filter(|_| level == 0);
        let share = self.supervision.map_or(1.0, |supervision| supervision.share(level));
        (share, Attached::new(self.loss, self.target, logits, classes, lesson, self.ranks))
    }

    fn by_cell(
        &self,
        network: &Network,
        tape: Tape,
        batch: &Batch,
        mixture: &Mixture,
    ) -> LossGradients {
        let image = |pass: &Pass| pass.input(batch.image.clone(), batch.shape);
        let off = Pass::new(self.weights, Tape::Off);
        let mut outputs = Vec::new();
        network.outputs(&off, image(&off), &mixture.untracked(), |_, y| outputs.push(y.clone()));

        let leaf = |output: &Tensor<5>| Tensor::from_inner(output.clone()).require_grad();
        let mut found = LossGradients::none(mixture);
        let mut by_output: Vec<Option<Tensor<5>>> = vec![None; outputs.len()];
        for head in self.heads(network) {
            let pass = Pass::new(self.weights, tape);
            let read: Vec<_> = head.reads().map(|output| leaf(&outputs[output])).collect();
            let (share, loss) = self.judge(head.forward(&pass, read.clone()), batch, head.level());
            let mut gradients = loss.scalar.mul_scalar(share).backward();
            found.loss += share * loss.value.read();
            add_gradients(&mut by_output, head.reads().zip(read), &mut gradients);
            found.collect(pass, mixture, &mut gradients);
        }

        for cell in (0..outputs.len() - 1).rev() {
            // Whoever reads it has run already.
            outputs.truncate(cell + 1);
            let Some(g) = by_output[cell + 1].take() else { continue };
            let pass = Pass::new(self.weights, tape);
            let inputs: Vec<_> = network.reads(cell).map(|output| leaf(&outputs[output])).collect();
            let y = network.cell(cell, &pass, inputs.clone(), mixture);
            let mut gradients = through(y, g).backward();
            add_gradients(&mut by_output, network.reads(cell).zip(inputs), &mut gradients);
            found.collect(pass, mixture, &mut gradients);
        }

        if let Some(g) = by_output[0].take().filter(|_| tape == Tape::Weights) {
            let pass = Pass::new(self.weights, tape);
            let y = network.stem(&pass, image(&pass));
            found.collect(pass, mixture, &mut through(y, g).backward());
        }
        found
    }
}

/// Adds the gradients of leaves, each with the number of the output that it stands for, to those of
/// the outputs.
fn add_gradients(
    by_output: &mut [Option<Tensor<5>>],
    leaves: impl Iterator<Item = (usize, Tensor<5>)>,
    gradients: &mut Gradients,
) {
    for (output, leaf) in leaves {
        if let Some(g) = leaf.grad_remove(gradients) {
            by_output[output] = Some(volops::add_scaled(by_output[output].take(), g, None));
        }
    }
}

impl LossGradients {
    /// Those of no patch.
    pub(crate) fn none(mixture: &Mixture) -> Self {
        Self { loss: 0.0, weights: BTreeMap::new(), mixture: mixture.no_gradients() }
    }

    /// Adds what one backward pass has found.
    fn collect(&mut self, pass: Pass, mixture: &Mixture, gradients: &mut Gradients) {
        for (id, leaf) in pass.into_leaves() {
            if let Some(g) = leaf.grad_remove(gradients) {
                self.weights.insert(id, g);
            }
        }
        self.mixture.add(&mixture.take_gradients(gradients));
    }
}
