//! Stochastic bi-level search (paper Algorithm 1): every iteration samples an architecture, takes
//! one step of Θ on a batch of the weights half and one of α on a batch of the architecture half; τ
//! falls from epoch to epoch.

use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::data::patches::halves;
use crate::data::prefetch::ahead;
use crate::error::{Error, Result};
use crate::learn::backprop::{Backprop, LossGradients};
use crate::learn::batch::Batch;
use crate::learn::optimiser::{AlphaAdam, WeightAdam};
use crate::learn::relaxation::{Alpha, Sample};
use crate::learn::schedule::Plateau;
use crate::network::cells::Network;
use crate::network::mixture::Mixture;
use crate::network::size::Size;
use crate::network::weights::{Tape, Weights};
use crate::predict::windows::Predictor;
use crate::random::{Stream, rng};
use crate::run::pipeline::{Observer, Run, Tally, mean_of};
use crate::settings::config::{NetworkConfig, SearchConfig};
use crate::space::genotype::{EdgeShares, Genotype, Repair};
use crate::store::checkpoint;
use crate::store::run_folder::{EpochLine, RunDir, SearchLine};

/// Name of the phase in log and checkpoint.
pub const PHASE: &str = "search";

/// The state of a search between two iterations, apart from weights and their moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    epoch: usize,
    step: usize,
    alpha: Alpha,
    alpha_adam: AlphaAdam,
    plateau: Plateau,
    tally: Tally,
}

/// What a search ends with.
#[derive(Debug)]
pub struct Found {
    pub genotype: Genotype,
    /// Edges that had to be repaired.
    pub repairs: Vec<Repair>,
    /// Weights of the whole search network, to inherit from.
    pub weights: Weights,
}

/// A search network in training.
#[derive(Debug)]
pub struct Searcher {
    config: SearchConfig,
    seed: u64,
    network: Network,
    weights: Weights,
    adam: WeightAdam,
    state: State,
    recompute: bool,
}

impl Searcher {
    /// A search at its beginning.
    pub fn new(
        network: &NetworkConfig,
        size: Size,
        config: SearchConfig,
        seed: u64,
        device: &Device,
    ) -> Self {
        let space = &network.space();
        let recompute = network.recompute;
        let network = Network::supernet(space, size);
        let weights = Weights::new(device, seed, network.layout());
        let adam = WeightAdam::new(config.weights, &weights);
        let alpha = Alpha::new(space, seed);
        let alpha_adam = AlphaAdam::new(alpha.len());
        let state = State {
            epoch: 0,
            step: 0,
            alpha,
            alpha_adam,
            plateau: Plateau::default(),
            tally: Tally::default(),
        };
        Self { config, seed, network, weights, adam, state, recompute }
    }

    /// One iteration: the Θ step on `for_weights`, then, unless `for_alpha` is `None` (warm-up),
    /// the α step. `iteration` numbers the random draws, `rate` scales the learning rates.
    /// Returns both losses.
    ///
    /// # Errors
    /// [`Error::Diverged`].
    pub fn iterate(
        &mut self,
        iteration: u64,
        rate: f64,
        for_weights: &Batch,
        for_alpha: Option<&Batch>,
    ) -> Result<(f64, Option<f64>)> {
        let sample = self.sample(2 * iteration);
        let mixture = sample.mixture(self.weights.device(), false);
        let found = self.gradients(Tape::Weights, for_weights, &mixture);
        let clip = (self.config.clip > 0.0).then_some(self.config.clip);
        let norm =
            self.adam.step(&mut self.weights, found.weights, rate * self.config.weights.lr, clip);
        let loss = self.finite(found.loss, norm)?;

        let Some(batch) = for_alpha else { return Ok((loss, None)) };
        let sample =
            if self.config.resample_for_alpha { self.sample(2 * iteration + 1) } else { sample };
        let mixture = sample.mixture(self.weights.device(), true);
        let found = self.gradients(Tape::Architecture, batch, &mixture);
        let gradient = sample.gradient(&found.mixture, self.network.space().operations.len());
        let alpha_loss =
            self.finite(found.loss, gradient.iter().map(|g| g * g).sum::<f64>().sqrt())?;
        let rate = rate * self.config.alpha.lr;
        self.state.alpha_adam.step(
            &self.config.alpha,
            rate,
            self.state.alpha.values_mut(),
            &gradient,
        );
        Ok((loss, Some(alpha_loss)))
    }

    /// The loss, if it and the norm of its gradients are numbers.
    fn finite(&self, loss: f64, norm: f64) -> Result<f64> {
        let diverged = Error::Diverged {
            phase: PHASE,
            epoch: self.state.epoch,
            loss,
            norm,
            lr: self.config.weights.lr,
        };
        if loss.is_finite() && norm.is_finite() { Ok(loss) } else { Err(diverged) }
    }

    /// GumbelSoftmaxSample(α, τ) at the current epoch's τ.
    fn sample(&self, draw: u64) -> Sample {
        let tau = self.config.tau_at(self.state.epoch);
        self.state.alpha.sample(
            self.config.relaxation,
            tau,
            &mut rng(self.seed, Stream::Sampling, draw),
        )
    }

    fn gradients(&self, tape: Tape, batch: &Batch, mixture: &Mixture) -> LossGradients {
        let Self { network, weights, config, recompute, .. } = self;
        Backprop { network, weights, loss: config.loss, supervision: None, recompute: *recompute }
            .gradients(tape, batch, mixture)
    }

    /// The architecture as α stands.
    pub fn genotype(&self) -> (Genotype, Vec<Repair>) {
        Genotype::from_alpha(self.network.space(), &self.state.alpha.0)
    }

    /// α as it stands.
    pub fn alpha(&self) -> &Alpha {
        &self.state.alpha
    }

    fn save(&self, run: &Run) -> Result<()> {
        checkpoint::save(&run.dir.checkpoint(PHASE), &self.state, &self.weights, &self.adam, None)
    }

    /// Held-out Dice of the architecture as α stands, with the search's weights: what `inherit`
    /// would give.
    fn validate(&self, run: &Run, genotype: &Genotype) -> Vec<Option<f64>> {
        run.validate(&Predictor {
            network: &self.network,
            weights: &self.weights,
            mixture: &Mixture::of(genotype),
            patch: run.plan.patch,
            classes: run.size().classes,
            settings: run.config.predict.clone(),
            mirror: Run::UNMIRRORED,
        })
    }
}

/// The weights that the search of another run ended with, to inherit from.
///
/// # Errors
/// When there is no checkpoint of a search in `run_folder`, or it cannot be read.
pub fn weights_of(run_folder: &Path, device: &Device) -> Result<Weights> {
    checkpoint::weights(&RunDir::checkpoint_in(run_folder, PHASE), device)
}

/// Runs or resumes a search to its end.
///
/// # Errors
/// [`Error::Stopped`] on request, with everything saved; [`Error::Diverged`]; files that cannot be
/// read or written.
pub fn search(run: &mut Run, observer: &dyn Observer) -> Result<Found> {
    let config = run.config.search.clone();
    let mut searcher = Searcher::new(
        &run.config.network,
        run.size(),
        config.clone(),
        run.config.seed,
        &run.device,
    );
    let path = run.dir.checkpoint(PHASE);
    if let Some(state) =
        checkpoint::load(&path, &mut searcher.weights, &mut searcher.adam, None, |text| {
            observer.message(text)
        })?
    {
        searcher.state = state;
    }
    run.dir.rewind(PHASE, searcher.state.epoch);
    let (weights_half, alpha_half) = halves(run.training.len(), run.config.seed, run.plan.fold);
    let steps = weights_half.len().div_ceil(config.batch);
    observer.begin(
        PHASE,
        searcher.state.epoch * steps + searcher.state.step,
        config.epochs * steps,
    );

    while searcher.state.epoch < config.epochs {
        let epoch = searcher.state.epoch;
        let mut start = Instant::now();
        let patches = run.patches(config.augment);
        // The halves have no case in common, so one stream of augmentations serves both.
        let draw = |members: &[usize], places| {
            patches.draw(members, epoch, places, Stream::SearchAugmentation)
        };
        let (for_weights, for_alpha) =
            (draw(&weights_half, Stream::WeightPatches), draw(&alpha_half, Stream::AlphaPatches));
        let alpha_steps: Vec<&[_]> = for_alpha.chunks(config.batch).collect();
        let batches = for_weights.chunks(config.batch).enumerate().skip(searcher.state.step).map(
            |(step, draws)| {
                // The halves differ by one case at most: the last α batch may serve twice.
                let for_alpha = (epoch >= config.warmup_epochs)
                    .then(|| patches.batch(alpha_steps[step.min(alpha_steps.len() - 1)]));
                (patches.batch(draws), for_alpha)
            },
        );
        let mut rate = 1.0;
        ahead(batches, |batches| {
            for step in searcher.state.step..steps {
                let stop = observer.stop();
                if stop || observer.save() {
                    searcher.state.tally.add_time(&mut start);
                    searcher.save(run)?;
                }
                if stop {
                    return Err(Error::Stopped);
                }
                let waiting = Instant::now();
                // No batch: the other thread panicked, and so will this one when it joins it.
                let Ok((for_weights, for_alpha)) = batches.recv() else { break };
                searcher.state.tally.add_wait(waiting);
                let progress = (epoch * steps + step) as f64 / (config.epochs * steps) as f64;
                rate = config.schedule.factor(progress, &searcher.state.plateau);
                let iteration = (epoch * steps + step) as u64;
                let (loss, alpha_loss) =
                    searcher.iterate(iteration, rate, &for_weights, for_alpha.as_ref())?;
                searcher.state.tally.add(loss);
                alpha_loss.into_iter().for_each(|loss| searcher.state.tally.add_alpha(loss));
                searcher.state.step = step + 1;
                searcher.state.tally.add_time(&mut start);
                observer.advance(epoch * steps + step + 1);
            }
            Ok(())
        })?;

        let (genotype, _) = searcher.genotype();
        let dice = searcher.validate(run, &genotype);
        searcher.state.tally.add_time(&mut start);
        let tally = std::mem::take(&mut searcher.state.tally);
        let EdgeShares { zero, identity, pool } = EdgeShares::of(&genotype);
        let line = EpochLine {
            phase: PHASE.into(),
            epoch,
            epochs: config.epochs,
            loss: tally.mean(),
            mean_dice: mean_of(&dice),
            dice: Some(dice),
            learning_rate: rate * config.weights.lr,
            seconds: tally.seconds(),
            waited_seconds: tally.waited_seconds(),
            search: Some(SearchLine {
                alpha_loss: tally.alpha_mean(),
                tau: config.tau_at(epoch),
                entropy: searcher.state.alpha.mean_entropy(),
                zero,
                identity,
                pool,
            }),
        };
        searcher.state.plateau.observe(tally.mean());
        (searcher.state.epoch, searcher.state.step) = (epoch + 1, 0);
        // The line first: killed in between, the epoch is run again and its line rewritten; the
        // other way round it would be lost.
        observer.epoch(&line, &run.plan.foreground());
        run.dir.log(line)?;
        searcher.save(run)?;
    }

    let (genotype, repairs) = searcher.genotype();
    run.dir.write_json("genotype.json", &genotype)?;
    run.dir.write_json("alpha.json", searcher.alpha())?;
    Ok(Found { genotype, repairs, weights: searcher.weights })
}
