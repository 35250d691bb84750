//! What is no fault of predictions and may be a mistake all the same.

use std::fmt;
use std::path::PathBuf;

/// Something about what is predicted or scored that should be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Labels that predictions hold and no reference does: perhaps they are numbered otherwise.
    UnexpectedLabels {
        /// Their values.
        unexpected: Vec<u16>,
        /// The values that only references hold.
        missed: Vec<u16>,
    },
    /// A data set whose channels have other names than the model's.
    OtherChannels {
        /// The data set.
        data: PathBuf,
        /// Names of the model's channels.
        expected: Vec<String>,
        /// Names of the data set's.
        found: Vec<String>,
    },
    /// Predictions and references with other names, but for the same cases.
    MatchedByCase {
        /// How many pairs.
        pairs: usize,
        /// The prediction of one.
        prediction: PathBuf,
        /// Its reference.
        reference: PathBuf,
    },
    /// Predictions that are the very files of their references.
    ScoredAgainstThemselves {
        /// How many.
        same: usize,
        /// Of so many.
        of: usize,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::OtherChannels { data, expected, found } => write!(
                f,
                "{}: its channels are called {}, but the model was trained on {}: see whether they \
                 are the same",
                data.display(),
                found.join(", "),
                expected.join(", ")
            ),
            Self::MatchedByCase { pairs, prediction, reference } => write!(
                f,
                "{pairs} prediction(s) have another name than their references, such as {} for {}: \
                 scored all the same",
                prediction.display(),
                reference.display()
            ),
            Self::ScoredAgainstThemselves { same, of } => write!(
                f,
                "{same} of {of} predictions are the very files of their references: their scores \
                 say nothing"
            ),
            Self::UnexpectedLabels { unexpected, missed } => {
                let listed = |values: &[u16]| {
                    values.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
                };
                write!(f, "no reference holds the label(s) {}", listed(unexpected))?;
                if !missed.is_empty() {
                    write!(f, ", and no prediction holds {}", listed(missed))?;
                }
                write!(f, ": see whether both number their labels alike")
            }
        }
    }
}
