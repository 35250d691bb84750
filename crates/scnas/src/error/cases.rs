//! Why the cases of a data set are not what a run needs.

use std::path::PathBuf;

/// Why the cases of a data set are not what a run needs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CasesFault {
    /// A data set has too few labelled cases of different subjects for its folds.
    #[error("{}: expected at least {folds} labelled cases (of different subjects) for {folds} folds; found {found}; add cases or set data.folds to fewer folds", path.display())]
    TooFewCases {
        /// The data set.
        path: PathBuf,
        /// Number of folds.
        folds: usize,
        /// Number of cases.
        found: usize,
    },
    /// Too few cases are left to train with.
    #[error("{}: expected at least 2 training cases outside the held-out fold; found {found}; add labelled cases or raise data.folds", path.display())]
    TooFewTrainingCases {
        /// The data set.
        path: PathBuf,
        /// Number of training cases.
        found: usize,
    },
    /// Too few training cases for some to judge the candidates of a race.
    #[error("{}: expected at least {needed} training cases, 2 of them left to train with; found {found}, and race.validation = {validation}; add labelled cases, or lower race.validation", path.display())]
    TooFewToJudge {
        /// The data set.
        path: PathBuf,
        /// Number of training cases.
        found: usize,
        /// Number of those that are needed at least.
        needed: usize,
        /// Share of them that is to judge.
        validation: f64,
    },
    /// A data set has no foreground label.
    #[error("{}: expected a background label and at least one foreground label; found {found} label(s); list every label value under \"labels\"", path.display())]
    NoForeground {
        /// The data set.
        path: PathBuf,
        /// Number of labels.
        found: usize,
    },
    /// What a channel is normalised by cannot be measured.
    #[error("channel {channel} is to be normalised by the training cases, which have no voxel")]
    NothingToMeasure {
        /// Its number, from 0.
        channel: usize,
    },
    /// A case of a run's plan is not in the data set any more.
    #[error("{}: expected the case {case} of this run's plan; found no such case; put it back, or start a new run in another folder", path.display())]
    CaseGone {
        /// The data set.
        path: PathBuf,
        /// Name of the case.
        case: String,
    },
    /// A case that is trained or scored with has no label map.
    #[error(
        "{case}: expected a label map; found none; give the case one, or take it out of the data set"
    )]
    NoLabels {
        /// Name of the case.
        case: String,
    },
    /// A case was not read for an error in it, which the check that found it should have told.
    #[error("a case could not be read; check the data set")]
    Unread,
    /// A case whose image and labels have different shapes.
    #[error("{case}: {source}; give image and label map the same grid")]
    Shapes {
        /// Name of the case.
        case: String,
        /// Both shapes.
        source: medvol::metrics::ShapeMismatch,
    },
    /// What is held of a case on disk is lost, and its files are not those it was made from.
    #[error(
        "{case}: expected the files that the run began with, as what was kept of them in {} is \
         damaged; found others; put them back",
        path.display()
    )]
    CaseChanged {
        /// Name of the case.
        case: String,
        /// The folder of the cache.
        path: PathBuf,
    },
}
