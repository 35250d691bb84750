//! Training of a fixed architecture: `finetune` and `retrain` of a found network, random and written architectures.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::backprop::Backprop;
use crate::checkpoint;
use crate::data::{batch, draw_epoch};
use crate::error::{Error, Result};
use crate::genotype::Genotype;
use crate::model::Model;
use crate::network::Network;
use crate::optimiser::{Plateau, WeightAdam};
use crate::predict::Predictor;
use crate::random::{Stream, rng};
use crate::run::{Observer, Run, Tally, mean_of};
use crate::run_dir::EpochLine;
use crate::weights::{Tape, Weights};

/// Name of the phase in log and checkpoint.
pub const PHASE: &str = "train";

/// The state between two steps, apart from weights and their moments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    epoch: usize,
    step: usize,
    plateau: Plateau,
    tally: Tally,
}

/// The network of `genotype` with new weights, or those of the same name in `inherited`.
///
/// # Errors
/// When `inherited` is of another size.
pub fn prepare(run: &Run, genotype: Genotype, inherited: Option<&Weights>) -> Result<Model> {
    let mut model = Model::new(run.card(genotype), &run.device, run.config.seed);
    if let Some(weights) = inherited {
        let missing = model.weights.inherit(weights);
        if let Some(name) = missing.first() {
            return Err(Error::Config {
                key: "weights to inherit".into(),
                expected: format!("a weight {name} of the same shape"),
                found: "none".into(),
                remedy: "inherit only from a run with the same width, channels, classes and operations".into(),
            });
        }
    }
    Ok(model)
}

/// Trains `model`, or resumes its training, with all training cases.
///
/// # Errors
/// [`Error::Stopped`] on request, with everything saved; [`Error::Diverged`]; files that cannot be read or written.
pub fn train(run: &mut Run, model: &mut Model, observer: &dyn Observer) -> Result<()> {
    let config = run.config.train.clone();
    let mut adam = WeightAdam::new(config.weights, &model.weights);
    let path = run.dir.checkpoint(PHASE);
    let mut state: State = checkpoint::load(&path, &mut model.weights, &mut adam)?.unwrap_or_default();
    run.dir.rewind(PHASE, state.epoch);
    let members: Vec<usize> = (0..run.training.len()).collect();
    let steps = members.len().div_ceil(config.batch);
    let mixture = Network::mixture_of(&model.card.genotype);
    observer.begin(PHASE, state.epoch * steps + state.step, config.epochs * steps);

    while state.epoch < config.epochs {
        let epoch = state.epoch;
        let mut start = Instant::now();
        let rng = rng(run.config.seed, Stream::TrainPatches, epoch as u64);
        let draws = draw_epoch(&run.training, &members, run.plan.patch, run.config.data.foreground, rng);
        let mut rate = 1.0;
        for (step, draws) in draws.chunks(config.batch).enumerate().skip(state.step) {
            if observer.stop() {
                state.tally.add_time(start);
                checkpoint::save(&path, &state, &model.weights, &adam)?;
                return Err(Error::Stopped);
            }
            let progress = (epoch * steps + step) as f64 / (config.epochs * steps) as f64;
            rate = config.schedule.factor(progress, &state.plateau);
            let batch = batch(&run.training, draws, run.plan.patch);
            let backprop =
                Backprop { network: &model.network, weights: &model.weights, loss: config.loss, recompute: run.config.network.recompute };
            let found = backprop.gradients(Tape::Weights, &batch, &mixture);
            if !found.loss.is_finite() {
                return Err(Error::Diverged { epoch, loss: found.loss });
            }
            state.tally.add(found.loss);
            let clip = (config.clip > 0.0).then_some(config.clip);
            adam.step(&mut model.weights, found.weights, rate * config.weights.lr, clip);
            state.step = step + 1;
            state.tally.add_time(std::mem::replace(&mut start, Instant::now()));
            observer.advance(epoch * steps + step + 1);
        }

        let last = epoch + 1 == config.epochs;
        let due = config.validate_every > 0 && (epoch + 1).is_multiple_of(config.validate_every);
        let dice = (last || due).then(|| {
            run.validate(&Predictor {
                network: &model.network,
                weights: &model.weights,
                mixture: &mixture,
                patch: run.plan.patch,
                classes: run.size().classes,
                settings: run.config.predict,
            })
        });
        state.tally.add_time(start);
        let tally = std::mem::take(&mut state.tally);
        let line = EpochLine {
            phase: PHASE.into(),
            epoch,
            epochs: config.epochs,
            loss: tally.mean(),
            mean_dice: dice.as_deref().and_then(mean_of),
            dice,
            learning_rate: rate * config.weights.lr,
            seconds: tally.seconds(),
            search: None,
        };
        state.plateau.observe(tally.mean());
        (state.epoch, state.step) = (epoch + 1, 0);
        // The line first: killed in between, the epoch is run again and its line rewritten; the other way round it would be lost.
        observer.epoch(&line, &run.plan.foreground());
        run.dir.log(line)?;
        checkpoint::save(&path, &state, &model.weights, &adam)?;
    }
    Ok(())
}
