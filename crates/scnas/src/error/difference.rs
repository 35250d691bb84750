//! In what a run differs from the one that it should go on with.

use std::fmt;

/// What a run was begun with and what it is asked to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The setting; `None` where a line of a file is all that is known.
    pub key: Option<String>,
    /// Its value when the run began.
    pub before: String,
    /// Its value now.
    pub now: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { key, before, now } = self;
        match key {
            Some(key) => write!(f, "{key} = {before}, now {now}"),
            None => write!(f, "\"{before}\", now \"{now}\""),
        }
    }
}
