//! What is said of a race.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::message::duration;

/// Something worth reading in a race; its text is one line.
#[derive(Debug)]
#[non_exhaustive]
pub enum RaceMessage {
    /// What the budgets did to a candidate.
    Budget(BudgetRemark),
    /// What a race that begins will take.
    Foreseen {
        /// Number of candidates.
        candidates: usize,
        /// Number of rungs.
        rungs: usize,
        /// Seconds of the rungs, at most.
        race_s: f64,
        /// Seconds of the winner's training, at most.
        winner_s: f64,
    },
    /// A candidate is trained.
    Rung {
        /// The rung, from 0.
        rung: usize,
        /// Number of rungs.
        of: usize,
        /// Name of the candidate.
        candidate: String,
        /// Epochs of training at the end of the rung.
        epochs: usize,
    },
    /// A candidate was judged.
    Judged {
        /// Name of the candidate.
        candidate: String,
        /// Mean over the cases.
        dice: f64,
        /// Number of cases.
        cases: usize,
    },
    /// The training of a candidate diverged.
    DropsOut {
        /// Name of the candidate.
        candidate: String,
        /// What was said of it.
        error: Error,
    },
    /// Other processes train all candidates that are still due.
    WaitingForCandidates,
    /// Another process begins the race or trains its winner.
    WaitingForRun {
        /// The run folder.
        folder: PathBuf,
    },
    /// The race is over.
    Winner {
        /// Name of the candidate.
        candidate: String,
    },
    /// Only the largest connected component is kept of some structures.
    Cleaned {
        /// Their names.
        structures: Vec<String>,
    },
    /// The search of a candidate has seen cases that are held out.
    SeenCases {
        /// Name of its run.
        source_run: String,
        /// How many it has seen.
        seen: usize,
        /// How many there are.
        held_out: usize,
    },
}

impl RaceMessage {
    /// Whether it needs attention. It ends nothing.
    pub(super) fn is_warning(&self) -> bool {
        matches!(self, Self::DropsOut { .. } | Self::SeenCases { .. })
    }
}

impl fmt::Display for RaceMessage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Budget(remark) => remark.fmt(f),
            Self::Foreseen { candidates, rungs, race_s, winner_s } => write!(
                f,
                "a race of {candidates} candidates in {rungs} rungs, which will take up to about \
                 {}, and then up to {} for its winner",
                duration(*race_s),
                duration(*winner_s)
            ),
            Self::Rung { rung, of, candidate, epochs } => {
                write!(f, "rung {} of {of}: {candidate}, up to epoch {epochs}", rung + 1)
            }
            Self::Judged { candidate, dice, cases } => {
                write!(f, "{candidate}: Dice {dice:.4} on {cases} cases that judge")
            }
            Self::DropsOut { candidate, error } => write!(f, "{candidate} drops out: {error}"),
            Self::WaitingForCandidates => {
                f.write_str("waiting for other processes, which train the last ones of this rung")
            }
            Self::WaitingForRun { folder } => {
                write!(f, "waiting for another process, which works on {}", folder.display())
            }
            Self::Winner { candidate } => {
                write!(f, "the winner is {candidate}; it is trained on all training cases")
            }
            Self::Cleaned { structures } => write!(
                f,
                "of {} the largest connected component is kept, as the cases that judge are better \
                 off so",
                structures.join(", ")
            ),
            Self::SeenCases { source_run, seen, held_out } => write!(
                f,
                "{source_run}: this architecture was found on {seen} of the {held_out} cases held \
                 out here; its score may be too good"
            ),
        }
    }
}

/// What the budgets did to a candidate that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BudgetRemark {
    /// It runs at another width.
    Narrower {
        /// What was asked for.
        asked: String,
        /// What runs.
        instead: String,
    },
    /// It exceeds a budget at any width.
    LeftOut {
        /// What was asked for.
        asked: String,
    },
}

impl fmt::Display for BudgetRemark {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Narrower { asked, instead } => {
                write!(f, "{asked} exceeds the budget: {instead} runs instead")
            }
            Self::LeftOut { asked } => write!(f, "{asked} exceeds the budget at any width"),
        }
    }
}
