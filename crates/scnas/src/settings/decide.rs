//! `search.decide`: a search that drops operations when it knows.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::settings::check;

/// A search that drops an operation when it is shown to be worse, and ends in one network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecideConfig {
    /// Patches of the architecture's half a step, each with operations of its own.
    pub patches: usize,
    /// Standard errors by which an operation is worse than the edge's best when it is dropped.
    pub errors: f64,
    /// Share of the epochs, at the end, that train what is left on all training cases.
    pub settle: f64,
}

impl Default for DecideConfig {
    fn default() -> Self {
        Self { patches: 4, errors: 3.0, settle: 0.33 }
    }
}

impl DecideConfig {
    /// The epochs that train what is left, of so many in all.
    pub fn settling_epochs(&self, epochs: usize) -> usize {
        (self.settle * epochs as f64).round() as usize
    }

    /// Refuses what cannot be.
    pub(super) fn check(&self) -> Result<()> {
        let Self { patches, errors, settle } = *self;
        check(patches > 0, "search.decide.patches", "1 or more", patches)?;
        let positive = errors.is_finite() && errors > 0.0;
        check(positive, "search.decide.errors", "a positive number", errors)?;
        let share = (0.0..1.0).contains(&settle);
        check(share, "search.decide.settle", "0 to less than 1", settle)
    }
}
