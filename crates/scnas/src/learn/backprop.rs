//! The loss of a batch with its gradients: those of the weights Θ, or those of the operation
//! weights ẑ, which α's follow from.
//!
//! Either one pass forward and one backward over the whole network, with every activation kept in
//! between; or cell by cell (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"):
//! forward keeps the outputs of the cells only, and each cell runs a second time when the backward
//! pass reaches it.

use std::collections::BTreeMap;

use burn::tensor::{Gradients, Tensor};

use crate::data::patches::Batch;
use crate::learn::loss::{Loss, LossKind};
use crate::network::architecture::Segmenter;
use crate::network::cells::{Mixture, Network};
use crate::network::deep_supervision::{DeepSupervision, Head, coarse_classes};
use crate::network::weights::{Pass, Tape, WeightId, Weights};

/// Where gradients are taken.
#[derive(Clone, Copy, Debug)]
pub struct Backprop<'a> {
    pub network: &'a dyn Segmenter,
    pub weights: &'a Weights,
    pub loss: LossKind,
    /// More outputs to judge, of a network of cells.
    pub supervision: Option<&'a DeepSupervision>,
    /// Cell by cell, where the network has cells: less memory, one more forward pass.
    pub recompute: bool,
}

/// A loss and its gradients.
#[derive(Debug)]
pub struct LossGradients {
    pub loss: f64,
    /// Of the weights that ran; empty unless the tape was [`Tape::Weights`].
    pub weights: BTreeMap<WeightId, Tensor<5>>,
    /// Of the operation weights, in the places they have in the mixture; 0 for those that are not
    /// tracked.
    pub mixture: MixtureGradients,
}

/// dL/dẑ: `[architecture][edge][entry]` as in [`Mixture`].
pub type MixtureGradients = Vec<Vec<Vec<f64>>>;

impl Backprop<'_> {
    /// Loss and gradients of `batch` with the operations of `mixture` on the edges.
    pub fn gradients(&self, tape: Tape, batch: &Batch, mixture: &Mixture) -> LossGradients {
        if let Some(network) = self.network.cells().filter(|_| self.recompute) {
            return self.by_cell(network, tape, batch, mixture);
        }
        let pass = Pass::new(self.weights, tape);
        let x = pass.input(batch.image.clone(), batch.shape);
        let heads = self.heads();
        let (loss, surrogate) = match self.network.cells().filter(|_| !heads.is_empty()) {
            None => self.judge(self.network.forward(&pass, x, mixture), batch, 0),
            Some(network) => {
                let judged = |output| heads.iter().any(|head| head.output == output);
                let outputs = network.outputs(&pass, x, mixture, |network, output, cell| {
                    judged(output) || network.is_read_after(output, cell)
                });
                let read = |output: usize| {
                    outputs[output]
                        .clone()
                        .unwrap_or_else(|| unreachable!("judged outputs are kept"))
                };
                let last = self.judge(network.head(&pass, read(network.cells())), batch, 0);
                heads.iter().fold(last, |(sum, surrogate), head| {
                    let (loss, more) =
                        self.judge(head.map.forward(&pass, read(head.output)), batch, head.level);
                    (sum + loss, surrogate + more)
                })
            }
        };
        let mut found = LossGradients::new(loss, mixture);
        found.collect(pass, mixture, &mut surrogate.backward());
        found
    }

    fn heads(&self) -> &[Head] {
        self.supervision.map_or(&[], |supervision| &supervision.heads)
    }

    /// The share in the loss of class scores at `level`, and a scalar with its gradient.
    fn judge(&self, scores: Tensor<5>, batch: &Batch, level: usize) -> (f64, Tensor<1>) {
        let [.., d, h, w] = batch.shape;
        let coarse = (level > 0).then(|| coarse_classes(&batch.classes, [d, h, w], level));
        let loss = Loss::of_tensor(self.loss, &scores, coarse.as_ref().unwrap_or(&batch.classes));
        match self.supervision {
            None => (loss.value, loss.attach(scores)),
            Some(supervision) => {
                let share = supervision.share(level);
                (share * loss.value, loss.attach(scores).mul_scalar(share))
            }
        }
    }

    fn by_cell(
        &self,
        network: &Network,
        tape: Tape,
        batch: &Batch,
        mixture: &Mixture,
    ) -> LossGradients {
        let off = Pass::new(self.weights, Tape::Off);
        let image = || (batch.image.clone(), batch.shape);
        let constant = constants(mixture);
        let (values, shape) = image();
        let mut outputs =
            network.outputs(&off, off.input(values, shape), &constant, |_, _, _| true);

        let leaf = |outputs: &[Option<Tensor<5>>], i: usize| {
            let output = outputs[i].clone().unwrap_or_else(|| unreachable!("all outputs are kept"));
            Tensor::from_inner(output).require_grad()
        };
        let mut found = LossGradients::new(0.0, mixture);
        let mut by_output: Vec<Option<Tensor<5>>> = vec![None; network.cells() + 1];
        let judged = self.heads().iter().map(|head| (head.output, Some(head)));
        for (output, head) in judged.chain([(network.cells(), None)]) {
            let pass = Pass::new(self.weights, tape);
            let y = leaf(&outputs, output);
            let (loss, surrogate) = match head {
                None => self.judge(network.head(&pass, y.clone()), batch, 0),
                Some(head) => self.judge(head.map.forward(&pass, y.clone()), batch, head.level),
            };
            found.loss += loss;
            let mut gradients = surrogate.backward();
            by_output[output] = y.grad_remove(&mut gradients);
            found.collect(pass, mixture, &mut gradients);
        }

        for cell in (0..network.cells()).rev() {
            let Some(g) = by_output[cell + 1].take() else { continue };
            let pass = Pass::new(self.weights, tape);
            // Whoever reads it has run already.
            outputs[cell + 1] = None;
            let inputs = network.inputs_of(cell).map(|i| leaf(&outputs, i));
            let y = network.cell(cell, &pass, inputs.clone(), mixture);
            let mut gradients = through(y, g.clone()).backward();
            let skip = network.skip_into(cell).map(|skip| (skip, g));
            let of_inputs = network
                .inputs_of(cell)
                .into_iter()
                .zip(inputs.map(|input| input.grad_remove(&mut gradients)));
            for (output, g) in of_inputs.filter_map(|(i, g)| Some((i, g?))).chain(skip) {
                by_output[output] = Some(volops::add_scaled(by_output[output].take(), g, None));
            }
            found.collect(pass, mixture, &mut gradients);
        }

        if let Some(g) = by_output[0].take().filter(|_| tape == Tape::Weights) {
            let pass = Pass::new(self.weights, tape);
            let (values, shape) = image();
            let y = network.stem(&pass, pass.input(values, shape));
            found.collect(pass, mixture, &mut through(y, g).backward());
        }
        found
    }
}

/// A scalar on the tape of `y` whose gradient with respect to `y` is `g`.
fn through(y: Tensor<5>, g: Tensor<5>) -> Tensor<1> {
    (y * Tensor::from_inner(g)).sum()
}

/// The same operation weights, off the tape.
fn constants(mixture: &Mixture) -> Mixture {
    let edge = |edge: &Vec<(usize, Option<Tensor<1>>)>| {
        edge.iter().map(|(op, z)| (*op, z.clone().map(Tensor::inner))).collect()
    };
    mixture.iter().map(|arch| arch.iter().map(edge).collect()).collect()
}

/// Takes the gradients of a tracked mixture.
pub fn mixture_gradients(mixture: &Mixture, gradients: &mut Gradients) -> MixtureGradients {
    let mut of = |z: &Option<Tensor<1>>| {
        let g = z.as_ref().and_then(|z| z.grad_remove(gradients));
        g.map_or(0.0, |g| f64::from(g.into_scalar::<f32>()))
    };
    mixture
        .iter()
        .map(|arch| arch.iter().map(|edge| edge.iter().map(|(_, z)| of(z)).collect()).collect())
        .collect()
}

impl LossGradients {
    fn new(loss: f64, mixture: &Mixture) -> Self {
        let zeros = mixture
            .iter()
            .map(|arch| arch.iter().map(|edge| vec![0.0; edge.len()]).collect())
            .collect();
        Self { loss, weights: BTreeMap::new(), mixture: zeros }
    }

    /// Adds what one backward pass has found.
    fn collect(&mut self, pass: Pass, mixture: &Mixture, gradients: &mut Gradients) {
        for (id, leaf) in pass.into_leaves() {
            if let Some(g) = leaf.grad_remove(gradients) {
                self.weights.insert(id, g);
            }
        }
        let more = mixture_gradients(mixture, gradients);
        let sums = self.mixture.iter_mut().flatten().flatten();
        sums.zip(more.into_iter().flatten().flatten()).for_each(|(sum, g)| *sum += g);
    }
}
