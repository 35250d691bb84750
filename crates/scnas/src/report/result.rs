//! What a finished run is known by: `result.json`, one row of a comparison.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::machine;
use crate::report::document::read;
use crate::report::evaluation::{Evaluation, MeanSd};
use crate::report::race::Verdict;
use crate::store::model::MODEL;

/// `result.json`: one row of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// How the network came to be, such as `search + finetune` or `random:0`.
    pub network: String,
    /// Name of the data set.
    pub dataset: String,
    /// The fold that was held out.
    pub fold: usize,
    /// Seed of every random stream.
    pub seed: u64,
    /// Convolution weights, in millions.
    pub parameters_m: f64,
    /// Of one patch.
    pub gflops: f64,
    /// Held-out cases scored.
    pub cases: usize,
    /// Names of the foreground classes.
    pub classes: Vec<String>,
    /// Dice of each of them over the cases.
    pub dice: Vec<Option<MeanSd>>,
    /// Over the cases, of a case's mean over the classes.
    pub mean_dice: Option<MeanSd>,
    /// Time in search and training epochs, validation included.
    pub seconds: f64,
    /// Of a race: what its winner is, and what is gained over the prior.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race: Option<Verdict>,
    /// What it ended on; `None` in results of versions that did not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<MadeWith>,
}

/// What a run ended on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeWith {
    /// Version of scnas.
    pub version: String,
    /// Processor and threads.
    pub machine: String,
}

impl MadeWith {
    /// This program on this machine.
    pub fn here() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").into(), machine: machine::described() }
    }
}

/// What a run's network comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// How the network came to be.
    pub network: String,
    /// Time that other run folders took for it.
    pub seconds: f64,
    /// Of a race.
    pub race: Option<Verdict>,
}

impl<T: Into<String>> From<T> for Origin {
    fn from(network: T) -> Self {
        Self { network: network.into(), seconds: 0.0, race: None }
    }
}

/// Whether the run in a folder is complete: scored, with its model.
pub fn is_complete(folder: &Path) -> bool {
    ["result.json", "evaluation.json", MODEL].iter().all(|name| folder.join(name).exists())
}

/// Reads the `result.json` and `evaluation.json` of the folder of a finished run.
///
/// # Errors
/// [`Error::NoResult`] where there is none; files that cannot be read or understood.
pub fn read_run(folder: &Path) -> Result<(RunResult, Evaluation)> {
    let path = folder.join("result.json");
    if !path.exists() {
        return Err(Error::NoResult { path: folder.into() });
    }
    Ok((read(&path)?, read(&folder.join("evaluation.json"))?))
}
