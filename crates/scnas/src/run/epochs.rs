//! The one loop over epochs that every phase of a run goes through: resume, patches prepared
//! ahead of the steps, stop and save, validation, the line of the log, the checkpoint.
//!
//! A phase says what is drawn for an epoch and what a step does with it ([`Phase`]).

use std::time::Instant;

use medvol::ClassMap;
use medvol::metrics::mean_sd;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::data::patches::{Draw, Patches};
use crate::data::prefetch::ahead;
use crate::error::{Error, Result};
use crate::learn::batch::Batch;
use crate::learn::optimiser::WeightAdam;
use crate::learn::schedule::Plateau;
use crate::network::weights::Weights;
use crate::observer::{EpochLine, Observer, SearchLine};
use crate::ranks::Ranks;
use crate::run::course::Course;
use crate::run::setup::Run;
use crate::run::validate::{Judged, validate};
use crate::store::{checkpoint, events};

/// A phase of a run: what is drawn for an epoch, what a step does, what is kept between two steps.
pub(crate) trait Phase {
    /// Its name in log, checkpoint and settings.
    const NAME: &'static str;

    /// What is kept between two steps besides place, weights and their moments.
    type State: Serialize + DeserializeOwned;

    /// How long it is, and how its learning rate goes.
    fn course(&self) -> Course;

    /// The patches of an epoch, step by step.
    ///
    /// # Errors
    /// Those of [`Patches::draw`].
    fn draw(&self, patches: &Patches, epoch: usize) -> Result<Vec<Levels<Vec<Draw>>>>;

    /// Does one step on this rank's share of the batches that were drawn for it; returns the losses
    /// of all of them. What changes does so on all `ranks` alike.
    ///
    /// # Errors
    /// A loss or gradients that are no finite numbers.
    fn step(
        &mut self,
        batches: &Levels<Batch>,
        at: At,
        ranks: &dyn Ranks,
    ) -> Result<Levels<f64>, NotFinite>;

    /// What a checkpoint holds.
    fn kept(&mut self) -> Kept<'_, Self::State>;

    /// The network to validate, as it stands.
    fn judged(&self) -> Judged<'_>;

    /// What it adds to the line of an epoch; `alpha_loss` is the mean loss of its α steps.
    fn search_line(&self, _epoch: usize, _alpha_loss: Option<f64>) -> Option<SearchLine> {
        None
    }
}

/// Where in a phase a step is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    /// From 0.
    pub epoch: usize,
    /// Steps before it, of all epochs.
    pub index: usize,
    /// Factor on the learning rates.
    pub rate: f64,
}

/// What a step has on the two levels of a search; any other phase has the first only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Levels<T> {
    /// For or of Θ.
    pub weights: T,
    /// For or of α.
    pub alpha: Option<T>,
}

/// A loss, or the norm of its gradients, that is no finite number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotFinite {
    loss: f64,
    norm: f64,
}

/// The loss, if it and the norm of its gradients are finite.
pub(crate) fn finite(loss: f64, norm: f64) -> Result<f64, NotFinite> {
    if loss.is_finite() && norm.is_finite() { Ok(loss) } else { Err(NotFinite { loss, norm }) }
}

/// What a checkpoint of a phase holds besides its place.
pub(crate) struct Kept<'a, S> {
    /// The phase's own.
    pub state: &'a mut S,
    /// Θ.
    pub weights: &'a mut Weights,
    /// With the moments of Θ.
    pub adam: &'a mut WeightAdam,
    /// Averaged weights, where there are any.
    pub average: Option<&'a mut Weights>,
}

/// Where a phase stands between two steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Place {
    epoch: usize,
    step: usize,
    plateau: Plateau,
    tally: Tally,
}

/// The document of a checkpoint.
#[derive(Serialize, Deserialize)]
struct State<P, S> {
    #[serde(flatten)]
    place: P,
    #[serde(flatten)]
    own: S,
}

/// Loss sums of an epoch that may be resumed in its middle, and the time spent in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    loss: f64,
    alpha_loss: f64,
    steps: usize,
    alpha_steps: usize,
    seconds: f64,
    /// Of these, waiting for patches.
    waited: f64,
}

impl Tally {
    fn add(&mut self, losses: Levels<f64>) {
        self.loss += losses.weights;
        self.steps += 1;
        if let Some(loss) = losses.alpha {
            self.alpha_loss += loss;
            self.alpha_steps += 1;
        }
    }

    /// Adds the time since `start`, which becomes now.
    fn add_time(&mut self, start: &mut Instant) {
        let now = Instant::now();
        self.seconds += now.duration_since(std::mem::replace(start, now)).as_secs_f64();
    }

    fn mean(&self) -> f64 {
        self.loss / self.steps.max(1) as f64
    }

    fn alpha_mean(&self) -> Option<f64> {
        (self.alpha_steps > 0).then(|| self.alpha_loss / self.alpha_steps as f64)
    }
}

/// Runs a phase, or what is left of it, to its end.
///
/// # Errors
/// [`Error::Stopped`] on request, with everything saved; [`Error::Diverged`]; files that cannot be
/// read or written.
pub(crate) fn run<P: Phase>(run: &mut Run, phase: &mut P, observer: &dyn Observer) -> Result<()> {
    run_until(run, phase, usize::MAX, observer)
}

/// Runs a phase until so many of its epochs are over, from where it goes on as if it had never
/// waited there.
///
/// # Errors
/// Those of [`run`].
pub(crate) fn run_until<P: Phase>(
    run: &mut Run,
    phase: &mut P,
    epochs: usize,
    observer: &dyn Observer,
) -> Result<()> {
    let course = phase.course();
    let last = epochs.min(course.epochs());
    let mut place = resume(run, phase, observer)?;
    run.dir.rewind(P::NAME, place.epoch);
    observer.begin(P::NAME, course.before(place.epoch) + place.step, course.before(last));
    while place.epoch < last {
        let mut start = Instant::now();
        let rate = steps(run, phase, &mut place, &mut start, observer)?;

        let ranks = run.ranks;
        if !ranks.is_alone() && !ranks.agree(phase.kept().weights.checksum().into()) {
            return Err(Error::RanksDiffer);
        }
        run.say_what_was_remade(observer);
        let done = place.epoch + 1;
        let due = course.validates_after(done);
        let dice = due.then(|| validate(run, &phase.judged())).transpose()?;
        place.tally.add_time(&mut start);
        let tally = std::mem::take(&mut place.tally);
        let line = EpochLine {
            phase: P::NAME.into(),
            epoch: place.epoch,
            epochs: course.epochs(),
            loss: tally.mean(),
            mean_dice: dice.as_deref().and_then(mean_of),
            dice,
            learning_rate: rate * course.lr,
            seconds: tally.seconds,
            waited_seconds: tally.waited,
            search: phase.search_line(place.epoch, tally.alpha_mean()),
        };
        place.plateau.observe(tally.mean());
        (place.epoch, place.step) = (done, 0);
        // The line first: killed in between, the epoch is run again and its line rewritten; the
        // other way round it would be lost.
        let classes = run.plan.foreground();
        observer.epoch(&line, &classes);
        run.dir.log(line)?;
        if run.config.log.tensorboard && ranks.is_first() {
            events::write(run.dir.path(), run.dir.lines(), &classes)?;
        }
        save(run, phase, &place)?;
    }
    Ok(())
}

/// The steps of an epoch from its place on; returns the last factor on the learning rates.
fn steps<P: Phase>(
    run: &Run,
    phase: &mut P,
    place: &mut Place,
    start: &mut Instant,
    observer: &dyn Observer,
) -> Result<f64> {
    let course = phase.course();
    let patches = run.patches(course.augment);
    let (epoch, before, ranks) = (place.epoch, course.before(place.epoch), run.ranks);
    let waiting = Instant::now();
    let draws = phase.draw(&patches, epoch)?;
    place.tally.waited += waiting.elapsed().as_secs_f64();
    let batches = draws.iter().skip(place.step).map(|Levels { weights, alpha }| -> Result<_> {
        let alpha = alpha.as_deref().map(|draws| share(&patches, draws, ranks)).transpose()?;
        Ok(Levels { weights: share(&patches, weights, ranks)?, alpha })
    });
    let mut rate = 1.0;
    ahead(batches, |batches| {
        for step in place.step..course.steps[epoch] {
            let stop = ranks.any(observer.stop());
            if stop || observer.save() {
                place.tally.add_time(start);
                save(run, phase, place)?;
            }
            if stop {
                ranks.stopping();
                return Err(Error::Stopped);
            }
            let waiting = Instant::now();
            // No batch: the other thread panicked, and so will this one when it joins it.
            let Ok(batches) = batches.recv() else { break };
            place.tally.waited += waiting.elapsed().as_secs_f64();
            let index = before + step;
            rate = course.rate(index, &place.plateau);
            let losses = phase.step(&batches?, At { epoch, index, rate }, ranks).map_err(
                |NotFinite { loss, norm }| Error::Diverged {
                    phase: P::NAME,
                    epoch,
                    loss,
                    norm,
                    lr: course.lr,
                },
            )?;
            place.tally.add(losses);
            place.step = step + 1;
            place.tally.add_time(start);
            observer.advance(index + 1);
        }
        Ok(())
    })?;
    Ok(rate)
}

/// The share of a rank in the patches of a step. A rank that has none takes the first with all its
/// voxels ignored: it goes the way of the others, and adds nothing to it.
fn share(patches: &Patches, draws: &[Draw], ranks: &dyn Ranks) -> Result<Batch> {
    let own = &draws[ranks.share(draws.len())];
    if !own.is_empty() {
        return patches.batch(own);
    }
    let mut batch = patches.batch(draws.get(..1).unwrap_or_default())?;
    batch.classes.fill(ClassMap::IGNORED);
    Ok(batch)
}

/// The place of the latest checkpoint, from which the phase is restored; the beginning without one.
fn resume<P: Phase>(run: &Run, phase: &mut P, observer: &dyn Observer) -> Result<Place> {
    let Kept { state, weights, adam, average } = phase.kept();
    let path = run.dir.checkpoint(P::NAME);
    let saved = checkpoint::load(&path, weights, adam, average, observer)?;
    let place = saved.map_or_else(Place::default, |State { place, own }| {
        *state = own;
        place
    });
    // Nor is the next one written before all have read this one.
    match run.ranks.agree((place.epoch as u64) << 32 | place.step as u64) {
        true => Ok(place),
        false => Err(Error::RanksDiffer),
    }
}

/// All ranks have the same, and the first writes it.
fn save<P: Phase>(run: &Run, phase: &mut P, place: &Place) -> Result<()> {
    if !run.ranks.is_first() {
        return Ok(());
    }
    let Kept { state, weights, adam, average } = phase.kept();
    let path = run.dir.checkpoint(P::NAME);
    checkpoint::save(&path, &State { place, own: state }, weights, adam, average.as_deref())
}

/// Mean of what is scored.
fn mean_of(dice: &[Option<f64>]) -> Option<f64> {
    mean_sd(dice.iter().flatten().copied()).map(|(mean, _)| mean)
}
