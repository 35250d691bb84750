//! The files of a race: who takes part, and what each reached in its rungs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::message::BudgetRemark;
use crate::network::architecture::Architecture;
use crate::network::cost::Cost;
use crate::report::document::read;
use crate::report::evaluation::spread;

/// What a candidate is a kind of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// A U-ResNet.
    #[serde(rename = "u-resnet")]
    UResNet,
    /// Cells designed by hand.
    Designed,
    /// Cells from a file or an earlier run.
    Found,
    /// Cells drawn at random.
    Random,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::UResNet, Self::Designed, Self::Found, Self::Random];

    /// As files and tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UResNet => "u-resnet",
            Self::Designed => "designed",
            Self::Found => "found",
            Self::Random => "random",
        }
    }
}

/// A candidate and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// What it is called, with its width: `u-resnet-half@12`. Also the name of its folder, where a
    /// colon is a dash.
    pub name: String,
    /// What it is a kind of.
    pub family: Family,
    /// Channels of the stem.
    pub width: usize,
    /// Parameters and multiply-adds of a patch.
    #[serde(flatten)]
    pub cost: Cost,
    /// Seconds that the prediction of the largest training case took on the machine where the race
    /// began.
    pub seconds: f64,
    /// Bytes of a process that predicts it; where the system tells.
    pub memory: Option<u64>,
    /// What it is.
    pub architecture: Architecture,
}

/// `candidates.json`: who takes part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entrants {
    /// The prior first.
    pub candidates: Vec<Candidate>,
    /// What the budgets did to candidates that were asked for.
    pub remarks: Vec<BudgetRemark>,
}

/// What a candidate reached in a rung: `rung-1.json` in its folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Epochs it was trained for in all.
    pub epochs: usize,
    /// Mean foreground Dice by case that judges, on the preprocessed grid; none where the training
    /// diverged.
    pub dice: BTreeMap<String, f64>,
    /// Of each of these cases the Dice of every foreground class, or region, and that of its largest
    /// connected component.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub structures: BTreeMap<String, Vec<[Option<f64>; 2]>>,
    /// Time of its training so far.
    pub seconds: f64,
}

/// The folder of the candidates of a race.
pub fn candidates_folder(run: &Path) -> PathBuf {
    run.join("candidates")
}

impl Candidate {
    /// The candidate's run folder in that of the race.
    pub fn folder(&self, run: &Path) -> PathBuf {
        candidates_folder(run).join(self.name.replace(':', "-"))
    }
}

impl Entrants {
    /// The file that lists them.
    pub fn file(run: &Path) -> PathBuf {
        candidates_folder(run).join("candidates.json")
    }

    /// Reads them; `None` where there are none yet.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn read(run: &Path) -> Result<Option<Self>> {
        let file = Self::file(run);
        file.exists().then(|| read(&file)).transpose()
    }
}

impl Score {
    /// What a candidate reached in a rung, counted from 0, by its folder; `None` where it was not
    /// judged there.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn read(candidate: &Path, rung: usize) -> Result<Option<Self>> {
        let file = candidate.join(Self::file(rung));
        file.exists().then(|| read(&file)).transpose()
    }

    /// Name of the file of a rung, counted from 0.
    pub fn file(rung: usize) -> String {
        format!("rung-{}.json", rung + 1)
    }

    /// Mean over the cases.
    pub fn mean(&self) -> Option<f64> {
        spread(self.dice.values().copied()).map(|dice| dice.mean)
    }
}
