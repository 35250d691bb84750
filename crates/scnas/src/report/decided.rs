//! What a deciding search found, and how sure it is of it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::learn::deciding::decisions::{Decisions, Dropped};
use crate::learn::deciding::effects::Effects;
use crate::message::Sureness;
use crate::report::document::read;
use crate::space::per_edge::PerEdge;
use crate::space::topology::Space;

/// What a deciding search found, edge by edge, and how sure it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// The short of it.
    #[serde(flatten)]
    pub sureness: Sureness,
    /// By how much the loss is higher with an operation than with the mean of all, on every edge.
    pub effects: PerEdge<Vec<f64>>,
    /// Standard errors of the effects.
    pub standard_errors: PerEdge<Vec<f64>>,
    /// When operations were dropped, and by how many standard errors they were then worse than the
    /// edge's best; `None` of the one that is left.
    pub drops: PerEdge<Vec<Option<Dropped>>>,
}

impl Decided {
    /// The file in the folder of a run.
    pub const FILE: &'static str = "decided.json";

    /// What there is to tell of `decisions`, whose effects are these, with this limit.
    pub fn of(decisions: &Decisions, effects: &Effects, space: &Space, errors: f64) -> Self {
        let drops = decisions.dropped().clone();
        let dropped = || drops.iter().flatten().flatten();
        let sureness = Sureness {
            agreement: decisions.agreement(space),
            dropped: dropped().count(),
            shown: dropped().filter(|dropped| dropped.errors >= errors).count(),
            errors,
        };
        Self {
            sureness,
            effects: effects.edges().map(|edge| edge.means().to_vec()),
            standard_errors: effects.edges().map(|edge| {
                (0..edge.means().len()).map(|operation| edge.standard_error(operation)).collect()
            }),
            drops,
        }
    }

    /// That of a run; `None` where its search is not over, or was another one.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn read(run: &Path) -> Result<Option<Self>> {
        let file = run.join(Self::FILE);
        file.exists().then(|| read(&file)).transpose()
    }
}
