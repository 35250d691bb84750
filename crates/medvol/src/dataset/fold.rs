//! Which cases are held out, where a description says so.

use std::collections::BTreeSet;

use super::entry::Found;
use super::said::Said;
use super::{CaseFiles, Dataset};
use crate::io::stem_and_ending;

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

    /// The same by the names of cases, where it names their files: with folder and ending, and
    /// perhaps with nnU-Net's number of the first channel. What names no case stays as it is.
    pub fn by_cases(mut self, cases: &BTreeSet<&str>) -> Self {
        for name in self.training.iter_mut().chain(&mut self.held_out) {
            if cases.contains(name.as_str()) {
                continue;
            }
            let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
            let (stem, _) = stem_and_ending(file);
            let unnumbered = stem.strip_suffix("_0000");
            let case = [Some(stem), unnumbered].into_iter().flatten().find(|n| cases.contains(n));
            if let Some(case) = case.map(str::to_string) {
                *name = case;
            }
        }
        self
    }
}

impl Dataset {
    /// The names of the training cases with label maps.
    pub(crate) fn labelled(&self) -> BTreeSet<&str> {
        let labelled = self.cases.iter().filter(|case| case.label.is_some());
        labelled.map(|case| case.name.as_str()).collect()
    }
}

/// The folds of a list of cases that are held out, or of the fold of each case.
pub(super) fn said(training: &[Found], validation: &[Found], said: &mut Said) -> Vec<Fold> {
    let files =
        |cases: &'_ [Found]| cases.iter().map(|case| case.files.clone()).collect::<Vec<_>>();
    let mut numbers: Vec<u32> = training.iter().filter_map(|case| case.fold).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let all = [files(training), files(validation)].concat();
    let unlabelled = validation.iter().filter(|case| case.files.label.is_none()).count();
    if unlabelled > 0 {
        said.notice(
            format!(
                "{unlabelled} of the cases under \"validation\" have no label map: they are not \
                     held out"
            ),
            "name their label maps, or list them as test cases",
        );
    }
    if validation.iter().any(|case| case.files.label.is_some()) {
        if !numbers.is_empty() {
            said.notice(
                "the cases under \"training\" have a \"fold\" each, which is not used, as \
                 \"validation\" says who is held out",
                "leave only one of the two",
            );
        }
        let held_out = files(validation);
        return vec![Fold::of(&all, |case| held_out.contains(case))];
    }
    if numbers.len() == 1 {
        said.notice(
            format!("all cases with a \"fold\" are in fold {}; it is not used", numbers[0]),
            "give the cases at least two folds",
        );
        return Vec::new();
    }
    let misnumbered = (0..).zip(&numbers).find(|(n, number)| n != *number);
    if let Some((n, number)) = misnumbered {
        said.notice(
            format!(
                "the folds of the cases are numbered {numbers:?}, and are counted from 0 here: fold \
                 {n} holds out the cases of {number}"
            ),
            "number the folds 0, 1, … so that both say the same",
        );
    }
    let in_fold = |number: u32| {
        let of_fold = training.iter().filter(move |case| case.fold == Some(number));
        of_fold.map(|case| case.files.name.as_str()).collect::<Vec<_>>()
    };
    let fold = |number: &u32| {
        let held_out = in_fold(*number);
        Fold::of(&all, |case| held_out.contains(&case.name.as_str()))
    };
    numbers.iter().map(fold).collect()
}
