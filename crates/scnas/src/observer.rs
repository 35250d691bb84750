//! Who watches a piece of work, and what is said to them.

use std::collections::BTreeMap;
use std::path::Path;

use medvol::check::Report;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::message::{Agreement, Message};
use crate::space::genotype::EdgeShares;

/// Who watches a piece of work: the command line, or a test. By default, nobody does.
pub trait Observer: Sync {
    /// A piece of work of `total` steps begins, `done` of which were done before.
    fn begin(&self, _what: &str, _done: usize, _total: usize) {}
    /// `done` steps of the current piece are done.
    fn advance(&self, _done: usize) {}
    /// The data set at `data` was looked at, and this was found.
    fn checked(&self, _data: &Path, _report: &Report) {}
    /// An epoch is over; `classes` are the names of the foreground classes.
    fn epoch(&self, _line: &EpochLine, _classes: &[String]) {}
    /// Something worth reading.
    fn message(&self, _message: &Message) {}
    /// One of several images could not be done; the others are.
    fn failed(&self, _error: &Error) {}
    /// True when it is time to save in the middle of an epoch.
    fn save(&self) -> bool {
        false
    }
    /// True when the user asked to stop: the work saves after the current step and ends with
    /// [`Error::Stopped`].
    fn stop(&self) -> bool {
        false
    }
}

/// Watches what nobody needs to hear of.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Observer for Silent {}

/// A piece of work inside another, whose steps are not shown.
pub struct Within<'a>(pub &'a dyn Observer);

impl Observer for Within<'_> {
    fn checked(&self, data: &Path, report: &Report) {
        self.0.checked(data, report);
    }
    fn epoch(&self, line: &EpochLine, classes: &[String]) {
        self.0.epoch(line, classes);
    }
    fn message(&self, message: &Message) {
        self.0.message(message);
    }
    fn failed(&self, error: &Error) {
        self.0.failed(error);
    }
    fn save(&self) -> bool {
        self.0.save()
    }
    fn stop(&self) -> bool {
        self.0.stop()
    }
}

/// What is known of an epoch that is over: one line of a run's `log.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLine {
    /// `search` or `train`.
    pub phase: String,
    /// 0-based.
    pub epoch: usize,
    /// Epochs of the phase in all.
    pub epochs: usize,
    /// Mean loss of the Θ steps.
    pub loss: f64,
    /// Dice per foreground class over the held-out cases, on the preprocessed grid; `None` in
    /// epochs without validation.
    pub dice: Option<Vec<Option<f64>>>,
    /// Mean of `dice`.
    pub mean_dice: Option<f64>,
    /// Learning rate of Θ in the last step.
    pub learning_rate: f64,
    /// Time of the epoch, validation included.
    pub seconds: f64,
    /// Of these, spent waiting for patches.
    #[serde(default)]
    pub waited_seconds: f64,
    /// Only in a search.
    #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
    pub search: Option<SearchLine>,
}

/// What a search adds to its lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchLine {
    /// Mean loss of the α steps; `None` in epochs that had none.
    pub alpha_loss: Option<f64>,
    /// Temperature τ.
    pub tau: f64,
    /// Mean entropy of softmax(α), in nats.
    pub entropy: f64,
    /// What the edges of the current architecture are.
    #[serde(flatten)]
    pub edges: EdgeShares,
    /// The current architecture: the operations on the edges of each cell, as in `genotype.json`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cells: BTreeMap<String, Vec<String>>,
    /// Whether two halves of what the gradients said say the same; `None` while nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// Only in a search that drops operations when it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide: Option<DecideLine>,
}

/// What a search that drops operations when it knows adds to its lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecideLine {
    /// Operations that are left on an edge, on the mean.
    pub left: f64,
}
