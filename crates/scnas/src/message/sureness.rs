//! How sure a search is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether two halves of what was seen say the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Correlation of the halves' effects, over all edges and operations.
    pub r: f64,
    /// Edges on which both choose the same operation.
    pub same: usize,
    /// As many would be so by chance, where both choose each operation as often as they do.
    pub by_chance: f64,
    /// Edges.
    pub edges: usize,
}

/// How sure a deciding search is of what it found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sureness {
    /// Whether two halves of what was seen say the same; `None` where nothing was.
    pub agreement: Option<Agreement>,
    /// Operations that were dropped.
    pub dropped: usize,
    /// Of these, so many as they were shown to be worse, and not as time was over.
    pub shown: usize,
    /// What "shown" means: by so many standard errors.
    pub errors: f64,
}

impl fmt::Display for Sureness {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { agreement, dropped, shown, errors } = self;
        write!(
            f,
            "decided: {shown} of {dropped} dropped operations were worse by {errors} standard errors"
        )?;
        agreement.map_or(Ok(()), |agreement| write!(f, "; {agreement}"))
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { r, same, by_chance, edges } = self;
        write!(
            f,
            "two halves of the gradients correlate by {r:.2} and choose the same operation on \
             {same} of {edges} edges (by chance {by_chance:.1})"
        )
    }
}
