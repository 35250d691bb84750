//! Folds held against the cases: everyone placed once, and nobody on both sides.

use std::collections::{BTreeMap, BTreeSet};

use super::examine::Facts;
use super::{Finding, Fold, Kind, Severity};
use crate::dataset::Dataset;

pub(super) fn hold_against(dataset: &Dataset, folds: &[Fold], facts: &[Facts]) -> Vec<Finding> {
    let labelled: BTreeSet<&str> = dataset
        .cases
        .iter()
        .filter(|case| case.label.is_some())
        .map(|case| case.name.as_str())
        .collect();
    let mut findings = Vec::new();
    for (number, fold) in folds.iter().enumerate() {
        findings.extend(misplaced(number, fold, &labelled));
        let side = |names: &[String]| {
            facts
                .iter()
                .filter(|case| case.labelled && names.contains(&case.name))
                .collect::<Vec<_>>()
        };
        findings.extend(leaks(
            &format!("fold {number}"),
            &side(&fold.training),
            &side(&fold.held_out),
            Severity::Error,
        ));
    }
    let (training, test): (Vec<&Facts>, Vec<&Facts>) = facts.iter().partition(|case| case.labelled);
    let subjects_only = |case: &Facts| Facts { digest: None, ..case.clone() };
    let test: Vec<Facts> = test.into_iter().map(subjects_only).collect();
    findings.extend(leaks(
        "training and test",
        &training,
        &test.iter().collect::<Vec<_>>(),
        Severity::Warning,
    ));
    findings
}

/// What keeps a fold from placing every labelled case once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misplaced {
    /// A case that the data set has not, or not labelled.
    #[error("the case {case}, which the data set has not, or not labelled")]
    Unknown {
        /// Its name in the fold.
        case: String,
    },
    /// A case that is trained with and held out.
    #[error("the case {case} on both sides")]
    OnBothSides {
        /// Its name.
        case: String,
    },
    /// A case that is listed twice.
    #[error("the case {case} twice on one side")]
    Twice {
        /// Its name.
        case: String,
    },
    /// No case to train with, or none that is held out.
    #[error("no case under {side:?}")]
    Empty {
        /// `train` or `val`.
        side: &'static str,
    },
    /// Labelled cases that the fold does not list.
    #[error("{count} labelled case(s) on no side, such as {first}")]
    OnNoSide {
        /// Number of them.
        count: usize,
        /// The name of one.
        first: String,
    },
}

impl Misplaced {
    /// What to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "use the names of the image files without ending",
            Self::OnBothSides { .. } | Self::Twice { .. } => "leave it on one side, once",
            Self::Empty { .. } => "put some there",
            Self::OnNoSide { .. } => "add them, or take them out of the data set",
        }
    }
}

impl Fold {
    /// All that keeps it from placing each of the cases `labelled` once.
    pub fn misplaced(&self, labelled: &BTreeSet<&str>) -> Vec<Misplaced> {
        let mut found = Vec::new();
        let mut placed: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
        for (side, names) in [&self.training, &self.held_out].into_iter().enumerate() {
            names.iter().for_each(|name| placed.entry(name).or_default()[side] += 1);
        }
        for (name, times) in &placed {
            let case = name.to_string();
            match times {
                _ if !labelled.contains(name) => found.push(Misplaced::Unknown { case }),
                [0, 1] | [1, 0] => {}
                [0, _] | [_, 0] => found.push(Misplaced::Twice { case }),
                _ => found.push(Misplaced::OnBothSides { case }),
            }
        }
        for (side, names) in [("train", &self.training), ("val", &self.held_out)] {
            if names.is_empty() {
                found.push(Misplaced::Empty { side });
            }
        }
        let missing: Vec<&str> =
            labelled.iter().copied().filter(|name| !placed.contains_key(name)).collect();
        if let Some(first) = missing.first() {
            found.push(Misplaced::OnNoSide { count: missing.len(), first: first.to_string() });
        }
        found
    }
}

fn misplaced(number: usize, fold: &Fold, labelled: &BTreeSet<&str>) -> Vec<Finding> {
    let finding = |misplaced: Misplaced| {
        let (message, remedy) = (format!("fold {number}: {misplaced}"), misplaced.remedy());
        match misplaced {
            Misplaced::OnBothSides { case } => Finding {
                case: Some(case),
                ..Finding::new(Severity::Error, Kind::SplitLeak, message, remedy)
            },
            _ => Finding::new(Severity::Error, Kind::Folds, message, remedy),
        }
    };
    fold.misplaced(labelled).into_iter().map(finding).collect()
}

/// Held-out cases whose subject or image is also among the training cases.
fn leaks(what: &str, training: &[&Facts], held_out: &[&Facts], severity: Severity) -> Vec<Finding> {
    let subjects: BTreeMap<&str, String> =
        training.iter().filter_map(|case| Some((case.subject.as_deref()?, case.shown()))).collect();
    let images: BTreeMap<u64, String> =
        training.iter().filter_map(|case| Some((case.digest?, case.shown()))).collect();
    let mut findings = Vec::new();
    for case in held_out {
        let itself = case.shown();
        let mut add = |shared: String, other: &str| {
            let message = format!("{what}: {shared} as {other} on the other side");
            let remedy = "keep all cases of a patient on one side; scores are too good otherwise";
            findings.push(Finding::new(severity, Kind::SplitLeak, message, remedy).of(case));
        };
        if let Some(subject) = &case.subject
            && let Some(other) = subjects.get(subject.as_str()).filter(|other| **other != itself)
        {
            add(format!("the same subject ({subject})"), other);
        }
        if let Some(other) =
            case.digest.and_then(|digest| images.get(&digest)).filter(|other| **other != itself)
        {
            add("the same voxels".into(), other);
        }
    }
    findings
}
