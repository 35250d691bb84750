//! Folds held against the cases: nobody twice, and nobody on both sides.

use std::collections::{BTreeMap, BTreeSet};

use super::examine::Facts;
use super::{Finding, Fold, Kind, Severity};
use crate::dataset::Dataset;

pub(super) fn hold_against(dataset: &Dataset, folds: &[Fold], facts: &[Facts]) -> Vec<Finding> {
    let labelled = dataset.labelled();
    let mut findings = Vec::new();
    for (number, fold) in folds.iter().enumerate() {
        findings.extend(misplaced(number, fold, &labelled));
        findings.extend(on_no_side(number, fold, &labelled));
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
    findings.extend(unevenly_held_out(folds, &labelled));
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

/// Cases that several folds do not hold out once, as a cross-validation does.
fn unevenly_held_out(folds: &[Fold], labelled: &BTreeSet<&str>) -> Vec<Finding> {
    if folds.len() < 2 {
        return Vec::new();
    }
    let times = |name: &str| {
        folds.iter().filter(|fold| fold.held_out.iter().any(|held_out| held_out == name)).count()
    };
    let of = |wanted: fn(usize) -> bool| {
        labelled.iter().copied().filter(|name| wanted(times(name))).collect::<Vec<_>>()
    };
    let finding = |names: Vec<&str>, text: &str| {
        let message = format!("{} case(s), such as {}, are {text}", names.len(), names.first()?);
        let remedy = "hold each case out once if the folds are to be those of a cross-validation";
        Some(Finding::warning(Kind::Folds, message, remedy))
    };
    let never = finding(of(|times| times == 0), "held out in no fold: they are never scored");
    let often =
        finding(of(|times| times > 1), "held out in several folds, and are scored as often");
    never.into_iter().chain(often).collect()
}

/// Labels that are only in held-out cases, fold by fold: they are scored and cannot be learnt.
pub(super) fn unlearnable<'a>(
    dataset: &Dataset,
    folds: impl IntoIterator<Item = (usize, &'a Fold)>,
    facts: &[Facts],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, fold) in folds {
        let holding = |names: &[String], value: u16| {
            let side = facts.iter().filter(|case| case.labelled && names.contains(&case.name));
            side.filter(|case| {
                // What an unreadable label map holds is not known.
                case.labels.as_ref().is_none_or(|labels| labels.counts.contains_key(&value))
            })
            .count()
        };
        for label in dataset.labels.iter().filter(|label| label.value > 0) {
            let held_out = holding(&fold.held_out, label.value);
            if held_out > 0 && holding(&fold.training, label.value) == 0 {
                let message = format!(
                    "fold {number}: no training case holds label {} ({}), but {held_out} held-out \
                     case(s) do: it cannot be learnt there",
                    label.value, label.name
                );
                let remedy = "hold out others, so that a training case holds it";
                findings.push(Finding::warning(Kind::MissingLabel, message, remedy));
            }
        }
    }
    findings
}

/// What keeps a fold from being trained and scored.
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
}

impl Misplaced {
    /// What to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "use the names of the image files without ending",
            Self::OnBothSides { .. } | Self::Twice { .. } => "leave it on one side, once",
            Self::Empty { .. } => "put some there",
        }
    }
}

impl Fold {
    /// All that keeps it from placing cases of `labelled` once. Those that it does not list take no
    /// part in it, as in nnU-Net.
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
        found
    }
}

/// Labelled cases that a fold does not list: they are left out of it.
fn on_no_side(number: usize, fold: &Fold, labelled: &BTreeSet<&str>) -> Option<Finding> {
    let listed: BTreeSet<&str> =
        fold.training.iter().chain(&fold.held_out).map(String::as_str).collect();
    let missing: Vec<&str> = labelled.difference(&listed).copied().collect();
    let first = missing.first()?;
    let message = format!(
        "fold {number}: {} labelled case(s) on no side, such as {first}: they are left out of it",
        missing.len()
    );
    let remedy = "none needed if that is meant; otherwise put each on one side";
    Some(Finding::warning(Kind::Folds, message, remedy))
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
