//! What a candidate costs, and what budgets do to it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::memory;
use crate::network::cost::Cost;

/// What a network costs: what can be counted, and what was weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Channels of the stem.
    pub width: usize,
    /// Parameters and multiply-adds of a patch.
    pub cost: Cost,
    /// Only where all that can be counted is within the budgets.
    pub weighed: Option<Weighed>,
}

/// What the prediction of the largest training case takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighed {
    /// Seconds, without reading and writing of files.
    pub seconds: f64,
    /// Bytes of a process that does nothing else; where the system tells.
    pub memory: Option<u64>,
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { cost, weighed, .. } = self;
        write!(f, "{} parameters, {:.3} GFLOPs", cost.parameters, cost.gflops())?;
        let Some(Weighed { seconds, memory }) = weighed else { return Ok(()) };
        write!(f, ", {seconds:.2} s for the largest training case")?;
        memory.map_or(Ok(()), |bytes| write!(f, ", {}", memory::text(bytes)))
    }
}

/// What the budgets did to a candidate that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remark {
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

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Narrower { asked, instead } => {
                write!(f, "{asked} exceeds the budget: {instead} runs instead")
            }
            Self::LeftOut { asked } => write!(f, "{asked} exceeds the budget at any width"),
        }
    }
}
