//! A race of candidates as its folder tells it: who runs, what the rungs say, who wins.
//!
//! All of it follows from `candidates/candidates.json` and from what each candidate's folder holds
//! of its rungs. So every process that works on the race, and whoever looks at it, comes to the
//! same.

pub mod cleaned;
mod entrants;
pub mod schedule;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
pub use crate::report::race::entrants::{Candidate, Entrants, Family, Score, candidates_folder};
use crate::report::race::schedule::{Difference, Runner, front, survivors, winner};
use crate::report::table::with_error;
use crate::settings::{Config, RaceConfig};

/// A candidate in a rung.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Whether it was trained and judged.
    pub judged: bool,
    /// Mean Dice over the cases that judge; `None` where it is not judged yet or diverged.
    pub dice: Option<f64>,
    /// Case by case against the prior; `None` of itself.
    pub against_prior: Option<Difference>,
    /// Whether no other of the rung is as fast and better, or as good and faster.
    pub on_front: bool,
    /// Whether it goes on, or wins.
    pub goes_on: bool,
    /// Time of its training so far.
    pub train_seconds: f64,
    /// Its place among the candidates.
    #[serde(skip)]
    pub place: usize,
}

/// A rung that has begun.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rung {
    /// Epochs of training at its end.
    pub epochs: usize,
    /// Whether all were judged.
    pub over: bool,
    /// In the order of the candidates.
    pub standings: Vec<Standing>,
}

/// Who won, and what that is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Name of the winner.
    pub winner: String,
    /// Name of the prior, which wins unless another is shown to be better.
    pub prior: String,
    /// Candidates that began.
    pub candidates: usize,
    /// The finalist that is best besides the prior: the winner, or what did not beat the prior.
    pub challenger: Option<Challenger>,
    /// The place of the winner among the candidates.
    #[serde(skip)]
    pub place: usize,
}

/// A finalist against the prior.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Challenger {
    /// Its name.
    pub name: String,
    /// Over the cases that judge, which chose it: too good, if anything.
    pub against_prior: Difference,
}

/// What was gained over the prior, in one line.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { winner, prior, candidates, challenger, .. } = self;
        let Some(Challenger { name, against_prior }) = challenger else {
            return write!(f, "{winner} wins: of {candidates} candidates no other reached the end");
        };
        match winner == prior {
            true => write!(
                f,
                "gain over the prior: none; {prior} is kept, as no other is better by more than \
                 two standard errors: the best other, {name}, "
            )?,
            false => write!(f, "gain over the prior: {winner} instead of {prior}, ")?,
        }
        write!(
            f,
            "{} Dice (standard error over the {} training cases that judged, and chose it out of \
             {candidates} candidates)",
            with_error(against_prior.mean, against_prior.standard_error),
            against_prior.cases
        )
    }
}

/// A race: over, or as far as it has come.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Race {
    /// Budgets that were set.
    pub budgets: Vec<String>,
    /// Who takes part.
    #[serde(flatten)]
    pub entrants: Entrants,
    /// Those that have begun.
    pub rungs: Vec<Rung>,
    /// Once it is over.
    pub verdict: Option<Verdict>,
}

impl Race {
    /// How far the race in the folder of a run has come; `None` where there is none.
    ///
    /// # Errors
    /// Files that cannot be read or understood; [`Error::AllDiverged`].
    pub fn read(run: &Path) -> Result<Option<Self>> {
        let Some(entrants) = Entrants::read(run)? else { return Ok(None) };
        let config = Config::load("default", Some(&run.join("config.toml")), &[])?;
        Self::in_folder(run, entrants, &config.race).map(Some)
    }

    /// As [`Race::read`], of these candidates under these settings.
    ///
    /// # Errors
    /// Those of [`Race::read`].
    pub fn in_folder(run: &Path, entrants: Entrants, config: &RaceConfig) -> Result<Self> {
        Self::of(entrants, config, |candidate, rung| Score::read(&candidate.folder(run), rung))
    }

    /// How far a race has come, where `score` knows what its candidates reached in the rungs,
    /// counted from 0.
    ///
    /// # Errors
    /// Those of `score`; [`Error::AllDiverged`].
    pub fn of(
        entrants: Entrants,
        config: &RaceConfig,
        score: impl Fn(&Candidate, usize) -> Result<Option<Score>>,
    ) -> Result<Self> {
        let candidates = &entrants.candidates;
        let (mut running, mut rungs): (Vec<usize>, Vec<Rung>) =
            ((0..candidates.len()).collect(), Vec::new());
        let mut verdict = None;
        for (number, &epochs) in config.epochs.iter().enumerate() {
            // Nothing is left to be decided.
            if running.len() == 1 {
                break;
            }
            let scores = running.iter().map(|&place| score(&candidates[place], number));
            let scores = scores.collect::<Result<Vec<Option<Score>>>>()?;
            let mut rung = Rung::new(epochs, candidates, &running, &scores);
            if rung.over {
                let last = number + 1 == config.epochs.len();
                let goes_on = match last {
                    true => {
                        let (winner, decided) = rung.verdict(candidates)?;
                        verdict = Some(decided);
                        vec![winner]
                    }
                    false => rung.survivors(candidates, config.keep),
                };
                for &standing in &goes_on {
                    rung.standings[standing].goes_on = true;
                }
                running = goes_on.into_iter().map(|n| rung.standings[n].place).collect();
            }
            let over = rung.over;
            rungs.push(rung);
            if !over {
                return Ok(Self { budgets: config.budgets(), entrants, rungs, verdict: None });
            }
        }
        let &place = running.first().ok_or(Error::AllDiverged)?;
        let alone = || Verdict {
            winner: candidates[place].name.clone(),
            prior: candidates[place].name.clone(),
            candidates: candidates.len(),
            challenger: None,
            place,
        };
        let verdict = Some(verdict.unwrap_or_else(alone));
        Ok(Self { budgets: config.budgets(), entrants, rungs, verdict })
    }

    /// The winner, once there is one.
    pub fn winner(&self) -> Option<&Candidate> {
        self.verdict.as_ref().map(|verdict| &self.entrants.candidates[verdict.place])
    }

    /// The rung under way, counted from 0, with the places of the candidates it has still to judge;
    /// `None` once there is a winner.
    pub fn due(&self) -> Option<(usize, Vec<usize>)> {
        let rung = self.rungs.last().filter(|rung| !rung.over)?;
        let due = rung.standings.iter().filter(|standing| !standing.judged);
        Some((self.rungs.len() - 1, due.map(|standing| standing.place).collect()))
    }

    /// The candidate at a place of a rung, both counted from 0, that is still to be judged there;
    /// `None` where it was, or where no candidate has that place.
    ///
    /// # Errors
    /// [`Error::RungOpen`] where the rung has not begun.
    pub fn share(&self, rung: usize, place: usize) -> Result<Option<usize>> {
        let Some(at) = self.rungs.get(rung) else {
            // One that is alone runs in no further rung.
            if self.verdict.is_some() {
                return Ok(None);
            }
            let missing = self.due().map_or_else(Vec::new, |(_, due)| due);
            let missing =
                missing.iter().map(|&place| self.entrants.candidates[place].name.clone()).collect();
            return Err(Error::RungOpen { rung: self.rungs.len(), missing });
        };
        let standing = at.standings.get(place).filter(|standing| !standing.judged);
        Ok(standing.map(|standing| standing.place))
    }

    /// Time that the candidates were trained for, all together.
    pub fn seconds(&self) -> f64 {
        let mut last = BTreeMap::new();
        for standing in self.rungs.iter().flat_map(|rung| &rung.standings) {
            if standing.judged {
                last.insert(standing.place, standing.train_seconds);
            }
        }
        last.into_values().fold(0.0, |sum, seconds| sum + seconds)
    }
}

impl Rung {
    fn new(
        epochs: usize,
        candidates: &[Candidate],
        running: &[usize],
        scores: &[Option<Score>],
    ) -> Self {
        // The prior: the first that did not diverge, once all before it are judged.
        let prior = scores
            .iter()
            .map_while(Option::as_ref)
            .enumerate()
            .find(|(_, score)| !score.dice.is_empty());
        let mut standings: Vec<Standing> = running
            .iter()
            .zip(scores)
            .enumerate()
            .map(|(n, (&place, score))| {
                let (prior, dice) = (prior.filter(|(prior, _)| *prior != n), score.as_ref());
                let against =
                    |(_, prior): (usize, &Score)| Difference::of(&dice?.dice, &prior.dice);
                Standing {
                    name: candidates[place].name.clone(),
                    judged: score.is_some(),
                    dice: score.as_ref().and_then(Score::mean),
                    against_prior: prior.and_then(against),
                    on_front: false,
                    goes_on: false,
                    train_seconds: score.as_ref().map_or(0.0, |score| score.seconds),
                    place,
                }
            })
            .collect();
        let scored: Vec<usize> =
            (0..standings.len()).filter(|&n| standings[n].dice.is_some()).collect();
        let points: Vec<(f64, f64)> = scored
            .iter()
            .filter_map(|&n| Some((candidates[standings[n].place].seconds, standings[n].dice?)))
            .collect();
        for (&n, on_front) in scored.iter().zip(front(&points)) {
            standings[n].on_front = on_front;
        }
        Self { epochs, over: standings.iter().all(|standing| standing.judged), standings }
    }

    fn survivors(&self, candidates: &[Candidate], keep: f64) -> Vec<usize> {
        let runner = |standing: &Standing| {
            let Candidate { family, cost, .. } = &candidates[standing.place];
            Runner { family: *family, dice: standing.dice, cost: cost.multiply_adds }
        };
        survivors(&self.standings.iter().map(runner).collect::<Vec<_>>(), keep)
    }

    /// The standing that wins, and what that is worth.
    fn verdict(&self, candidates: &[Candidate]) -> Result<(usize, Verdict)> {
        let mut finalists = (0..self.standings.len()).filter(|&n| self.standings[n].dice.is_some());
        let prior = finalists.next().ok_or(Error::AllDiverged)?;
        let others: Vec<usize> = finalists.collect();
        let against = |&n: &usize| {
            let standing = &self.standings[n];
            (candidates[standing.place].cost.multiply_adds, standing.against_prior.clone())
        };
        let (won, challenger) = winner(&others.iter().map(against).collect::<Vec<_>>());
        let standing = |place: usize| if place == 0 { prior } else { others[place - 1] };
        let challenger = challenger.and_then(|place| {
            let Standing { name, against_prior, .. } = &self.standings[standing(place)];
            Some(Challenger { name: name.clone(), against_prior: against_prior.clone()? })
        });
        let won = standing(won);
        let name = |n: usize| self.standings[n].name.clone();
        let verdict = Verdict {
            winner: name(won),
            prior: name(prior),
            candidates: candidates.len(),
            challenger,
            place: self.standings[won].place,
        };
        Ok((won, verdict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::architecture::Architecture;
    use crate::network::cost::Cost;

    /// Candidates of these families, each as costly as its place says.
    fn entrants(families: &[Family]) -> Entrants {
        let candidate = |(place, &family): (usize, &Family)| Candidate {
            name: format!("c{place}"),
            family,
            width: 4,
            cost: Cost { parameters: 1, multiply_adds: place as u64 },
            seconds: place as f64,
            memory: None,
            architecture: Architecture::UResNet,
        };
        let candidates = families.iter().enumerate().map(candidate).collect();
        Entrants { candidates, remarks: Vec::new() }
    }

    /// Scores of three cases around `mean`; none where that is `None`.
    fn score(mean: Option<f64>, seconds: f64) -> Score {
        let cases = [("x", -0.1), ("y", 0.0), ("z", 0.1)];
        let dice = mean.map_or_else(BTreeMap::new, |mean| {
            cases.iter().map(|(case, off)| (case.to_string(), mean + off)).collect()
        });
        Score { dice, seconds, ..Score::default() }
    }

    fn config() -> RaceConfig {
        RaceConfig { epochs: vec![1, 2], ..RaceConfig::default() }
    }

    const FAMILIES: [Family; 4] =
        [Family::UResNet, Family::UResNet, Family::Random, Family::Random];

    #[test]
    fn what_is_due_follows_from_the_scores_there_are() {
        let means = [[0.5, 0.6], [0.4, 0.0], [0.1, 0.0], [0.3, 0.7]];
        let place = |candidate: &Candidate| candidate.name[1..].parse::<usize>().unwrap();
        let judged = |done: &[(usize, usize)]| {
            let done = done.to_vec();
            Race::of(entrants(&FAMILIES), &config(), move |candidate, rung| {
                let place = place(candidate);
                let found = done.contains(&(place, rung));
                Ok(found.then(|| score(Some(means[place][rung]), 10.0 * (rung + 1) as f64)))
            })
            .unwrap()
        };
        assert_eq!(judged(&[]).due(), Some((0, vec![0, 1, 2, 3])));
        let begun = judged(&[(0, 0), (2, 0)]);
        assert_eq!(begun.due(), Some((0, vec![1, 3])));
        assert_eq!((begun.verdict.as_ref(), begun.rungs.len()), (None, 1));
        assert_eq!(begun.share(0, 1).unwrap(), Some(1));
        assert_eq!((begun.share(0, 2).unwrap(), begun.share(0, 4).unwrap()), (None, None));
        let Err(Error::RungOpen { rung, missing }) = begun.share(1, 0) else { panic!() };
        assert_eq!((rung, missing), (1, vec!["c1".to_string(), "c3".to_string()]));
        // The prior and the better one of the other family go on.
        let first = [(0, 0), (1, 0), (2, 0), (3, 0)];
        assert_eq!(judged(&first).due(), Some((1, vec![0, 3])));
        assert_eq!(
            [0, 1, 2].map(|place| judged(&first).share(1, place).unwrap()),
            [Some(0), Some(3), None]
        );
        let over = judged(&[&first[..], &[(0, 1), (3, 1)]].concat());
        assert_eq!(over.due(), None);
        let verdict = over.verdict.as_ref().unwrap();
        assert_eq!((verdict.winner.as_str(), verdict.prior.as_str()), ("c3", "c0"));
        assert_eq!(over.winner().unwrap().name, "c3");
        // Two were trained for one rung, two for two.
        assert_eq!(over.seconds(), 60.0);
        // The cheapest, and what is better than all that are cheaper.
        let front =
            |rung: usize| over.rungs[rung].standings.iter().map(|s| s.on_front).collect::<Vec<_>>();
        assert_eq!((front(0), front(1)), (vec![true, false, false, false], vec![true, true]));
    }

    #[test]
    fn what_diverges_drops_out_and_of_a_prior_that_does_the_next_takes_the_place() {
        let race = |diverged: &[usize]| {
            Race::of(entrants(&FAMILIES), &config(), |candidate, _| {
                let place: usize = candidate.name[1..].parse().unwrap();
                Ok(Some(score((!diverged.contains(&place)).then_some(0.5), 1.0)))
            })
        };
        let verdict = |diverged: &[usize]| race(diverged).unwrap().verdict.unwrap();
        assert_eq!(verdict(&[]).winner, "c0");
        let next = verdict(&[0]);
        assert_eq!((next.winner.as_str(), next.prior.as_str()), ("c1", "c1"));
        let alone = verdict(&[0, 1, 2]);
        assert_eq!((alone.winner.as_str(), alone.challenger), ("c3", None));
        assert!(matches!(race(&[0, 1, 2, 3]), Err(Error::AllDiverged)));
    }

    #[test]
    fn a_single_candidate_wins_without_a_race() {
        let race = Race::of(entrants(&FAMILIES[..1]), &config(), |_, _| unreachable!()).unwrap();
        assert_eq!((race.rungs.len(), race.winner().unwrap().name.as_str()), (0, "c0"));
    }
}
