//! Folds held against the cases: everyone placed once, and nobody on both sides.

use std::collections::{BTreeMap, BTreeSet};

use super::case::Facts;
use super::{Finding, Fold, Kind, Severity};
use crate::dataset::Dataset;

pub(super) fn hold_against(dataset: &Dataset, folds: &[Fold], facts: &[Facts]) -> Vec<Finding> {
    let labelled: BTreeSet<&str> = dataset.cases.iter().filter(|case| case.label.is_some()).map(|case| case.name.as_str()).collect();
    let mut findings = Vec::new();
    for (number, Fold { training, held_out }) in folds.iter().enumerate() {
        findings.extend(placed(number, training, held_out, &labelled));
        let side = |names: &[String]| facts.iter().filter(|case| case.labelled && names.contains(&case.name)).collect::<Vec<_>>();
        findings.extend(leaks(&format!("fold {number}"), &side(training), &side(held_out), Severity::Error));
    }
    let (training, test): (Vec<&Facts>, Vec<&Facts>) = facts.iter().partition(|case| case.labelled);
    let subjects_only = |case: &Facts| Facts { digest: None, ..case.clone() };
    let test: Vec<Facts> = test.into_iter().map(subjects_only).collect();
    findings.extend(leaks("training and test", &training, &test.iter().collect::<Vec<_>>(), Severity::Warning));
    findings
}

/// Each labelled case must stand once in a fold.
fn placed(number: usize, training: &[String], held_out: &[String], labelled: &BTreeSet<&str>) -> Vec<Finding> {
    let error = |message: String, remedy: &str| Finding::new(Severity::Error, Kind::Folds, format!("fold {number}: {message}"), remedy);
    let mut findings = Vec::new();
    let mut placed: BTreeMap<&str, usize> = BTreeMap::new();
    for name in training.iter().chain(held_out) {
        *placed.entry(name).or_default() += 1;
    }
    for (name, times) in &placed {
        if !labelled.contains(name) {
            let remedy = "use the names of the image files without ending";
            findings.push(error(format!("{name} is not a labelled case of the data set"), remedy));
        } else if training.iter().any(|n| n == name) && held_out.iter().any(|n| n == name) {
            let message = format!("fold {number}: {name} on both sides");
            findings.push(Finding::new(Severity::Error, Kind::SplitLeak, message, "leave it on one side").of(name));
        } else if *times > 1 {
            findings.push(error(format!("{name} stands {times} times on one side"), "leave it there once"));
        }
    }
    for (side, names) in [("train", training), ("val", held_out)] {
        if names.is_empty() {
            findings.push(error(format!("no case under {side:?}"), "put some there"));
        }
    }
    let missing: Vec<&str> = labelled.iter().copied().filter(|name| !placed.contains_key(name)).collect();
    if let Some(first) = missing.first() {
        let message = format!("{} labelled case(s) on no side, such as {first}", missing.len());
        findings.push(error(message, "add them, or take them out of the data set"));
    }
    findings
}

/// Held-out cases whose subject or image is also among the training cases.
fn leaks(what: &str, training: &[&Facts], held_out: &[&Facts], severity: Severity) -> Vec<Finding> {
    let subjects: BTreeMap<&str, &str> = training.iter().filter_map(|case| Some((case.subject.as_deref()?, case.name.as_str()))).collect();
    let images: BTreeMap<u64, &str> = training.iter().filter_map(|case| Some((case.digest?, case.name.as_str()))).collect();
    let mut findings = Vec::new();
    for case in held_out {
        let mut add = |shared: String, other: &str| {
            let message = format!("{what}: {shared} as {other} on the other side");
            let remedy = "keep all cases of a patient on one side; scores are too good otherwise";
            findings.push(Finding::new(severity, Kind::SplitLeak, message, remedy).of(&case.name));
        };
        if let Some(subject) = &case.subject
            && let Some(other) = subjects.get(subject.as_str()).filter(|other| **other != case.name)
        {
            add(format!("the same subject ({subject})"), other);
        }
        if let Some(other) = case.digest.and_then(|digest| images.get(&digest)).filter(|other| **other != case.name) {
            add("the same voxels".into(), other);
        }
    }
    findings
}
