//! Which cases are held out, where a description says so.

use super::CaseFiles;

/// The training and held-out cases of one fold, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Names of the training cases.
    pub training: Vec<String>,
    /// Names of the others.
    pub held_out: Vec<String>,
}

impl Fold {
    /// The fold that holds out those labelled cases for which `held_out` says so.
    pub(super) fn of<'a>(
        cases: impl IntoIterator<Item = &'a CaseFiles>,
        held_out: impl Fn(&CaseFiles) -> bool,
    ) -> Self {
        let labelled = cases.into_iter().filter(|case| case.label.is_some());
        let (out, training): (Vec<_>, Vec<_>) = labelled.partition(|case| held_out(case));
        let names = |cases: Vec<&CaseFiles>| cases.into_iter().map(|c| c.name.clone()).collect();
        Self { training: names(training), held_out: names(out) }
    }
}
