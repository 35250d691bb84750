//! What changes while a run goes on: its first words, its race, its cells, its curves, its scored
//! cases.

use std::sync::PoisonError;

use serde_json::{Value, json};

use super::{Shown, View};
use crate::error::Result;
use crate::report::evaluation::{CaseScore, Evaluation, Metric};
use crate::report::finished::Results;
use crate::report::html::markup::number;
use crate::report::html::pictures::{facts, place};
use crate::report::html::subject::Subject;
use crate::report::html::{cells, curves, race, words};

impl View {
    /// The state as the page reads it: HTML of its parts; the cases, the worst first; whether
    /// nothing more will happen.
    ///
    /// # Errors
    /// Files that cannot be read or understood.
    pub(super) fn state(&self) -> Result<Value> {
        let Shown::Run { path, cases, .. } = &self.shown else {
            let case = json!({ "number": 0, "name": self.name, "dice": null, "facts": "" });
            return Ok(json!({ "over": true, "cases": [case] }));
        };
        let subject = Subject::read(path)?;
        let mut numbers = cases.lock().unwrap_or_else(PoisonError::into_inner);
        let mut listed = Vec::new();
        if let Some(evaluation) = &subject.evaluation {
            for case in ranked(evaluation) {
                let name = &case.case;
                let known = numbers.iter().position(|known| known == name);
                let number_of = known.unwrap_or(numbers.len());
                if known.is_none() {
                    numbers.push(name.clone());
                }
                let of = place(&subject, name, None).map_or("", |(network, _)| network.of.as_str());
                let dice = number(case.mean(Metric::Dice), 3);
                listed.push(json!({
                    "number": number_of, "name": name, "dice": dice,
                    "facts": facts(case, evaluation, of),
                }));
            }
        }
        Ok(json!({
            "over": is_over(&subject),
            "lead": words::headline(&subject),
            "race": subject.race.as_ref().map(race::section).unwrap_or_default(),
            "cells": cells::section(&subject, "r0"),
            "curves": curves::section(&subject),
            "cases": listed,
        }))
    }
}

/// The cases by their Dice, those without one last.
fn ranked(evaluation: &Evaluation) -> Vec<&CaseScore> {
    let mut cases: Vec<&CaseScore> = evaluation.cases.iter().collect();
    let key = |case: &CaseScore| case.mean(Metric::Dice).unwrap_or(f64::INFINITY);
    cases.sort_by(|a, b| key(a).total_cmp(&key(b)).then_with(|| a.case.cmp(&b.case)));
    cases
}

/// Whether a run is complete, or all folds of a cross-validation are.
fn is_over(subject: &Subject) -> bool {
    match subject.finished.as_ref().map(|finished| &finished.results) {
        Some(Results::Folds(all)) => all.folds.len() == all.of,
        Some(_) => true,
        None => false,
    }
}
