//! What is wrong with the files that describe a data set, and what of them is not used.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why a description cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The file at fault.
    pub path: PathBuf,
    /// What was expected, what was found.
    pub text: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.text)
    }
}

/// What a description says that is not used, or was read otherwise than it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What was found.
    pub text: String,
    /// What to do.
    pub remedy: &'static str,
}

/// What is found about one file while it is read.
#[derive(Debug)]
pub(super) struct Said {
    path: PathBuf,
    pub(super) problems: Vec<Flaw>,
    pub(super) notices: Vec<Notice>,
    /// Words that nobody here knows.
    pub(super) unknown: BTreeSet<String>,
}

impl Said {
    pub(super) fn of(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            problems: Vec::new(),
            notices: Vec::new(),
            unknown: BTreeSet::new(),
        }
    }

    /// What is found about the same file and kept apart.
    pub(super) fn apart(&self) -> Self {
        Self::of(&self.path)
    }

    pub(super) fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(Flaw { path: self.path.clone(), text: text.into() });
    }

    pub(super) fn notice(&mut self, text: impl Into<String>, remedy: &'static str) {
        self.notices.push(Notice { text: text.into(), remedy });
    }
}
