//! Training of a fixed architecture: `finetune` and `retrain` of a found network, random and
//! written architectures.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::data::prefetch::ahead;
use crate::error::{Error, Result};
use crate::learn::average::Average;
use crate::learn::backprop::Backprop;
use crate::learn::deep_supervision::DeepSupervision;
use crate::learn::optimiser::WeightAdam;
use crate::learn::schedule::{Plateau, warmup};
use crate::network::architecture::Architecture;
use crate::network::mixture::Mixture;
use crate::network::weights::{Tape, Weights};
use crate::predict::windows::Predictor;
use crate::random::{Stream, rng};
use crate::run::pipeline::{Observer, Run, Tally, mean_of};
use crate::store::checkpoint;
use crate::store::model::Model;
use crate::store::run_folder::EpochLine;

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

/// The network of `architecture` with new weights, or those of the same name in `inherited`.
///
/// # Errors
/// When `inherited` is of another size.
pub fn prepare(
    run: &Run,
    architecture: impl Into<Architecture>,
    inherited: Option<&Weights>,
) -> Result<Model> {
    let mirrored = inherited.is_some() && run.config.search.augment;
    let mut model =
        Model::new(run.card(architecture.into(), mirrored), &run.device, run.config.seed);
    if let Some(weights) = inherited {
        let missing = model.weights.inherit(weights);
        if let Some(name) = missing.first() {
            return Err(Error::Config {
                key: "weights to inherit".into(),
                expected: format!("a weight {name} of the same shape"),
                found: "none".into(),
                remedy: "inherit only from a run with the same width, channels, classes and \
                         operations"
                    .into(),
            });
        }
    }
    Ok(model)
}

/// Trains `model`, or resumes its training, with all training cases. Its weights are then the
/// averages, where the settings ask for them.
///
/// # Errors
/// [`Error::Stopped`] on request, with everything saved; [`Error::Diverged`]; files that cannot be
/// read or written.
pub fn train(run: &mut Run, model: &mut Model, observer: &dyn Observer) -> Result<()> {
    let config = run.config.train.clone();
    if config.augment {
        model.card.mirror = run.mirror();
    }
    let cells = model.network.cells().filter(|_| config.deep_supervision);
    let supervision =
        cells.map(|network| DeepSupervision::new(network, model.card.size, &mut model.weights));
    let mut adam = WeightAdam::new(config.weights, &model.weights);
    let mut average = (config.ema > 0.0).then(|| Average::new(&model.weights, config.ema));
    let path = run.dir.checkpoint(PHASE);
    let averaged = average.as_mut().map(|average| &mut average.weights);
    let mut state: State =
        checkpoint::load(&path, &mut model.weights, &mut adam, averaged, |text| {
            observer.message(text)
        })?
        .unwrap_or_default();
    run.dir.rewind(PHASE, state.epoch);
    let members: Vec<usize> = (0..run.training.len()).collect();
    let steps = members.len().div_ceil(config.batch);
    let mixture = model.mixture();
    observer.begin(PHASE, state.epoch * steps + state.step, config.epochs * steps);

    while state.epoch < config.epochs {
        let epoch = state.epoch;
        let mut start = Instant::now();
        let patches = run.patches(config.augment);
        let draws = patches.draw(&members, epoch, Stream::TrainPatches, Stream::TrainAugmentation);
        let batches = draws.chunks(config.batch).skip(state.step).map(|draws| patches.batch(draws));
        let mut rate = 1.0;
        ahead(batches, |batches| {
            for step in state.step..steps {
                let stop = observer.stop();
                if stop || observer.save() {
                    state.tally.add_time(&mut start);
                    checkpoint::save(
                        &path,
                        &state,
                        &model.weights,
                        &adam,
                        average.as_ref().map(|average| &average.weights),
                    )?;
                }
                if stop {
                    return Err(Error::Stopped);
                }
                let waiting = Instant::now();
                // No batch: the other thread panicked, and so will this one when it joins it.
                let Ok(batch) = batches.recv() else { break };
                state.tally.add_wait(waiting);
                let done = epoch * steps + step;
                let progress = done as f64 / (config.epochs * steps) as f64;
                rate = warmup(done, config.warmup_epochs * steps)
                    * config.schedule.factor(progress, &state.plateau);
                let backprop = Backprop {
                    network: model.network.as_ref(),
                    weights: &model.weights,
                    loss: config.loss,
                    supervision: supervision.as_ref(),
                    recompute: run.config.network.recompute,
                };
                let genotype =
                    model.card.architecture.genotype().filter(|_| config.drop_path > 0.0);
                let dropped = genotype.map(|genotype| {
                    let mut rng = rng(run.config.seed, Stream::DropPath, done as u64);
                    Mixture::dropped(genotype, config.drop_path, &run.device, &mut rng)
                });
                let found =
                    backprop.gradients(Tape::Weights, &batch, dropped.as_ref().unwrap_or(&mixture));
                let clip = (config.clip > 0.0).then_some(config.clip);
                let norm =
                    adam.step(&mut model.weights, found.weights, rate * config.weights.lr, clip);
                if !(found.loss.is_finite() && norm.is_finite()) {
                    return Err(Error::Diverged {
                        phase: PHASE,
                        epoch,
                        loss: found.loss,
                        norm,
                        lr: config.weights.lr,
                    });
                }
                state.tally.add(found.loss);
                if let Some(average) = &mut average {
                    average.update(&model.weights, done + 1);
                }
                state.step = step + 1;
                state.tally.add_time(&mut start);
                observer.advance(done + 1);
            }
            Ok(())
        })?;

        let last = epoch + 1 == config.epochs;
        let due = config.validate_every > 0 && (epoch + 1).is_multiple_of(config.validate_every);
        let dice = (last || due).then(|| {
            run.validate(&Predictor {
                network: model.network.as_ref(),
                weights: average.as_ref().map_or(&model.weights, |average| &average.weights),
                mixture: &mixture,
                patch: run.plan.patch,
                classes: run.size().classes,
                settings: run.config.predict.clone(),
                mirror: Run::UNMIRRORED,
            })
        });
        state.tally.add_time(&mut start);
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
            waited_seconds: tally.waited_seconds(),
            search: None,
        };
        state.plateau.observe(tally.mean());
        (state.epoch, state.step) = (epoch + 1, 0);
        // The line first: killed in between, the epoch is run again and its line rewritten; the
        // other way round it would be lost.
        observer.epoch(&line, &run.plan.foreground());
        run.dir.log(line)?;
        checkpoint::save(
            &path,
            &state,
            &model.weights,
            &adam,
            average.as_ref().map(|average| &average.weights),
        )?;
    }
    if let Some(average) = average {
        model.weights = average.weights;
    }
    if let Some(supervision) = supervision {
        supervision.remove_from(&mut model.weights);
    }
    Ok(())
}
