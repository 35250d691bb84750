//! A race of candidates (successive halving; Jamieson & Talwalkar 2016): all are trained for some
//! epochs on a part of the training cases and judged by the others, the better ones go on, and the
//! winner is trained on all of them. The held-out fold takes no part before that.
//!
//! Each candidate is one ordinary training, planned from its start for all epochs of the last rung;
//! a rung is where it waits. So its learning rate falls as the schedule says and is never raised
//! again, which would undo what was learnt; a candidate that goes all the way is judged at the end
//! of its schedule, as the network that is handed over will be; and those of one rung are at the
//! same place of the same schedule, judged by the moving average of their weights.
//!
//! There is no conductor: what is to be done follows from what the candidates' folders hold, and any
//! number of processes do what nobody has locked.

use std::path::{Path, PathBuf};

use crate::data::plan::{Plan, to_json};
use crate::error::{Error, Result};
use crate::memory;
use crate::message::{Message, RaceMessage};
use crate::network::size::Size;
use crate::observer::{Observer, Silent};
use crate::ranks::Ranks;
use crate::report::evaluation::Evaluation;
use crate::report::race::cleaned::cleaned;
use crate::report::race::{Candidate, Entrants, Race, Score, candidates_folder};
use crate::report::result::{Origin, RunResult};
use crate::run::bench::Bench;
use crate::run::candidates::enter;
use crate::run::course::Course;
use crate::run::phases::{train, train_until};
use crate::run::pipeline::{claim, pause};
use crate::run::preflight::{Prospect, foresee};
use crate::run::setup::{Job, Run, Stage};
use crate::run::start::prepare;
use crate::run::teachers::Teachers;
use crate::run::validate::{Judged, scores};
use crate::settings::{Config, LabelKey};
use crate::store::model::{MODEL, Model};
use crate::store::run_folder::{RunDir, WINNER};

/// How the network of a race comes to be.
const NETWORK: &str = "race";

/// What all candidates have in common.
pub(super) struct Track<'a> {
    /// The run folder of the race.
    pub(super) folder: PathBuf,
    pub(super) config: Config,
    /// That of the training cases alone.
    inner: Plan,
    pub(super) entrants: Entrants,
    observer: &'a dyn Observer,
}

impl<'j> Job<'j> {
    /// Races, or goes on with a race, to the evaluated model of the winner.
    ///
    /// # Errors
    /// [`Error::InUse`] where another process begins the race or trains its winner, besides those
    /// of a run.
    pub(super) fn race(self, observer: &dyn Observer) -> Result<(RunResult, Evaluation)> {
        if let Some(before) = self.completed(NETWORK, observer)? {
            return Ok(before);
        }
        let (track, run) = self.track(observer)?;
        let plan = run.plan.clone();
        let (race, stage) = track.run(run.leave())?;
        track.crown(&race, stage, plan)
    }

    /// Begins a race, or opens one that has begun.
    pub(super) fn track<'o>(self, observer: &'o dyn Observer) -> Result<(Track<'o>, Run<'j>)> {
        let program = memory::in_use();
        let (folder, config) = (self.folder.clone(), self.config.clone());
        let check = self.check;
        let mut run = Run::without_cases(self, observer)?;
        run.load_cases(check, observer)?;
        let inner = run.plan.inner(run.cohort, config.race.validation, config.seed)?;
        let ranks = run.ranks;
        let entrants = ranks.of_first(|| begin(&mut run, &inner, &folder, program, observer))?;
        if !ranks.is_first() {
            volops::memory::keep_pages();
        }
        Ok((Track { folder, config, inner, entrants, observer }, run))
    }
}

/// Who takes part: as it was settled when the race began, which is now if nobody did.
fn begin(
    run: &mut Run,
    inner: &Plan,
    folder: &Path,
    program: Option<u64>,
    observer: &dyn Observer,
) -> Result<Entrants> {
    if let Some(entrants) = Entrants::read(folder)? {
        volops::memory::keep_pages();
        run.begin()?;
        return Ok(entrants);
    }
    let entrants = enter(run, program, observer)?;
    // Not before: what a network takes would not be seen.
    volops::memory::keep_pages();
    for remark in &entrants.remarks {
        say(observer, RaceMessage::Budget(remark.clone()));
    }
    predict_effort(run, inner, &entrants, observer)?;
    // Not before: where nothing meets the budgets, the same folder serves for others.
    run.begin()?;
    claim(&run.dir, NETWORK)?;
    let candidates = candidates_folder(folder);
    std::fs::create_dir_all(&candidates).map_err(|e| Error::file("create", &candidates, e))?;
    medvol::remove_leftovers(&candidates);
    medvol::atomic_write(Entrants::file(folder), &to_json(&entrants)?)?;
    Ok(entrants)
}

/// Says how long the race will take, and refuses one whose largest candidate could not be trained.
fn predict_effort(
    run: &mut Run,
    inner: &Plan,
    Entrants { candidates, .. }: &Entrants,
    observer: &dyn Observer,
) -> Result<()> {
    let largest = candidates.iter().max_by_key(|candidate| candidate.cost.multiply_adds);
    let Some(Candidate { width, architecture, .. }) = largest else { return Ok(()) };
    let own = std::mem::replace(&mut run.config.network.width, *width);
    // First, as it begins with small steps, and ends where there is no memory for larger ones.
    let prospect = Prospect::of(run, false, architecture);
    run.config.network.width = own;
    let winner_s = prospect?.estimate.train_s;

    let own = run.config_of_a_rank();
    let step_s = |Candidate { width, architecture, .. }: &Candidate| {
        let size = Size { width: *width, ..run.size() };
        let (config, patch, device) = (&own, run.plan.patch, &run.device);
        let (warm_up, repetitions) = (1, 1);
        let (target, observer) = (&run.plan.target, &Silent);
        Bench { config, size, target, patch, device, warm_up, repetitions, observer }
            .train(architecture)
            .median_s
    };
    let mut steps: Vec<f64> = candidates.iter().map(step_s).collect();
    steps.sort_by(|a, b| b.total_cmp(a));
    let race = &run.config.race;
    let inner_cases = inner.training_names().len();
    let an_epoch = Course::of_training(&run.config.train, inner_cases).before(1) as f64;
    let (mut running, mut before, mut race_s) = (steps.len(), 0, 0.0);
    for &epochs in &race.epochs {
        // As if the slowest went on.
        let epoch_s = an_epoch * steps[..running].iter().sum::<f64>();
        race_s += (epochs - before) as f64 * epoch_s;
        running = (race.keep * running as f64).ceil() as usize;
        before = epochs;
    }
    let (candidates, rungs) = (candidates.len(), race.epochs.len());
    say(observer, RaceMessage::Foreseen { candidates, rungs, race_s, winner_s });
    Ok(())
}

impl Track<'_> {
    /// Does what is due, or waits for others who do, until there is a winner.
    fn run<'c>(&self, mut stage: Stage<'c>) -> Result<(Race, Stage<'c>)> {
        let mut waiting = false;
        loop {
            // What the first rank wrote is there for the others.
            stage.ranks.wait();
            let race = Race::in_folder(&self.folder, self.entrants.clone(), &self.config.race)?;
            let due = stage.ranks.of_first(|| Ok(race.due()))?;
            let Some((rung, due)) = due else { return Ok((race, stage)) };
            let done;
            (stage, done) = self.judge_one(rung, &due, stage)?;
            if !done {
                if !stage.ranks.is_alone() {
                    return Err(Error::InUse { path: candidates_folder(&self.folder) });
                }
                if !std::mem::replace(&mut waiting, true) {
                    say(self.observer, RaceMessage::WaitingForCandidates);
                }
                pause(self.observer)?;
            } else {
                waiting = false;
            }
        }
    }

    /// Trains and judges the first of the candidates at the places `due` that nobody else works
    /// on; false where there is none.
    pub(super) fn judge_one<'c>(
        &self,
        rung: usize,
        due: &[usize],
        stage: Stage<'c>,
    ) -> Result<(Stage<'c>, bool)> {
        let (observer, ranks) = (self.observer, stage.ranks);
        let mut taken = None;
        let place = ranks.of_first(|| {
            taken = self.take(due, ranks)?;
            Ok(taken.as_ref().map(|(place, _)| *place))
        })?;
        let Some(place) = place else { return Ok((stage, false)) };
        let dir = match taken {
            Some((_, dir)) => dir,
            None => self.open(place, ranks)?,
        };
        // Since it was found due, another process may have come and gone.
        let file = Score::file(rung);
        if ranks.of_first(|| Ok(dir.file(&file).exists()))? {
            return Ok((stage, true));
        }
        let candidate = &self.entrants.candidates[place];
        let config = own_config(&self.config, candidate);
        let (epochs, of) = (config.race.epochs[rung], config.race.epochs.len());
        let name = candidate.name.clone();
        say(observer, RaceMessage::Rung { rung, of, candidate: name.clone(), epochs });
        let mut run = stage.run(dir, config, self.inner.clone())?;
        run.begin()?;
        let score = judge(&mut run, candidate, epochs, observer)?;
        run.dir.write_json(&file, &score)?;
        if let Some(dice) = score.mean() {
            let cases = score.dice.len();
            say(observer, RaceMessage::Judged { candidate: name, dice, cases });
        }
        Ok((run.leave(), true))
    }

    /// The first of the candidates at the places `due` that nobody else works on, with its folder.
    fn take(&self, due: &[usize], ranks: &dyn Ranks) -> Result<Option<(usize, RunDir)>> {
        for &place in due {
            match self.open(place, ranks) {
                Err(Error::InUse { .. }) => {}
                dir => return Ok(Some((place, dir?))),
            }
        }
        Ok(None)
    }

    fn open(&self, place: usize, ranks: &dyn Ranks) -> Result<RunDir> {
        let candidate = &self.entrants.candidates[place];
        let (folder, config) =
            (candidate.folder(&self.folder), own_config(&self.config, candidate));
        RunDir::open(&folder, &config, &self.inner, ranks, self.observer)
    }

    /// The candidates that went all the way, the winner among them.
    fn teachers(&self, race: &Race, run: &Run) -> Result<Teachers> {
        let last = race.rungs.last().filter(|rung| rung.epochs == self.config.race.last_epoch());
        let finalists = last.into_iter().flat_map(|rung| &rung.standings);
        let models = finalists.filter(|standing| standing.dice.is_some()).map(|standing| {
            let candidate = &self.entrants.candidates[standing.place];
            Model::read(&candidate.folder(&self.folder).join(MODEL), &run.device)
        });
        Teachers::new(models.collect::<Result<Vec<Model>>>()?, &run.plan)
    }

    /// Has only the largest component kept of the structures for which the winner's last rung says so.
    fn clean(&self, race: &Race, winner: &Candidate, run: &mut Run) -> Result<()> {
        let Some(last) = race.rungs.len().checked_sub(1) else { return Ok(()) };
        let score = Score::read(&winner.folder(&self.folder), last)?;
        let cleaned = score.as_ref().map_or_else(Vec::new, cleaned);
        let names = run.plan.foreground();
        let structures: Vec<String> =
            cleaned.iter().filter_map(|&structure| names.get(structure).cloned()).collect();
        if !structures.is_empty() {
            let keys = structures.iter().cloned().map(LabelKey::Name);
            run.config.predict.largest_component.extend(keys);
            say(self.observer, RaceMessage::Cleaned { structures });
        }
        Ok(())
    }

    /// Trains the winner on all training cases, and scores it on those held out.
    fn crown(&self, race: &Race, stage: Stage, plan: Plan) -> Result<(RunResult, Evaluation)> {
        let Self { folder, config, observer, .. } = self;
        let Some(winner) = race.winner() else { return Err(Error::AllDiverged) };
        let Candidate { name, width, architecture, .. } = winner;
        say(*observer, RaceMessage::Winner { candidate: name.clone() });
        let dir = RunDir::open(folder, config, &plan, stage.ranks, *observer)?;
        let mut run = stage.run(dir, config.clone(), plan)?;
        run.begin()?;
        run.config.network.width = *width;
        self.clean(race, winner, &mut run)?;
        run.dir.write_json("race.json", race)?;
        run.dir.write(WINNER, run.config.to_toml().as_bytes())?;
        run.dir.same_or_new("genotype.json", &to_json(architecture)?)?;
        if config.race.distill {
            run.teachers = self.teachers(race, &run)?;
        }
        let mut model = prepare(&run, architecture.clone(), None)?;
        foresee(&run, [false, true], architecture, *observer)?;
        train(&mut run, &mut model, *observer)?;
        let seconds = race.seconds();
        let origin = Origin { network: NETWORK.into(), seconds, race: race.verdict.clone() };
        run.finish(origin, &model, *observer)
    }
}

/// The settings of a candidate's training.
fn own_config(config: &Config, candidate: &Candidate) -> Config {
    let mut own = config.clone();
    own.network.width = candidate.width;
    own.train.epochs = config.race.last_epoch();
    // Its rungs judge it.
    own.train.validate_every = 0;
    own
}

/// Trains a candidate up to so many epochs, and has it judged.
fn judge(
    run: &mut Run,
    candidate: &Candidate,
    epochs: usize,
    observer: &dyn Observer,
) -> Result<Score> {
    claim(&run.dir, &candidate.name)?;
    run.dir.same_or_new("genotype.json", &to_json(&candidate.architecture)?)?;
    let mut model = prepare(run, candidate.architecture.clone(), None)?;
    let mut score = Score { epochs, ..Score::default() };
    match train_until(run, &mut model, epochs, observer) {
        Ok(()) => {
            if epochs == run.config.race.last_epoch() && run.ranks.is_first() {
                model.write(&run.dir.file(MODEL))?;
            }
            let (network, weights) = (model.network.as_ref(), &model.weights);
            let judged = Judged { network, weights, mixture: model.mixture() };
            let both =
                scores(run, &judged, |predictor, case, memory| predictor.judge(case, memory))?;
            for (case, both) in run.held_out.iter().zip(both) {
                let name = case.facts().name.clone();
                let scored = both.iter().filter_map(|[dice, _]| dice.as_ref());
                let classes = scored.clone().count();
                if classes > 0 {
                    let mean = scored.sum::<f64>() / classes as f64;
                    score.dice.insert(name.clone(), mean);
                    score.structures.insert(name, both);
                }
            }
        }
        Err(error @ Error::Diverged { .. }) => {
            say(observer, RaceMessage::DropsOut { candidate: candidate.name.clone(), error });
        }
        Err(error) => return Err(error),
    }
    score.seconds = run.dir.lines().iter().map(|line| line.seconds).sum();
    Ok(score)
}

fn say(observer: &dyn Observer, message: RaceMessage) {
    observer.message(&Message::Race(message));
}
