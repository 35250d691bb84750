//! Cells of tables about comparisons.

use crate::report::procedures::Procedures;
use crate::report::statistics::Paired;
use crate::report::table::with_error;

/// Cells of a comparison of networks, cases being the sample.
pub fn paired_cells(comparison: Option<&Paired>) -> Vec<String> {
    let Some(paired) = comparison else { return vec!["0".into()] };
    let Paired { cases, mean_difference, standard_error, interval_95, better, worse, wilcoxon } =
        paired;
    vec![
        cases.to_string(),
        with_error(*mean_difference, *standard_error),
        interval(*interval_95),
        better.to_string(),
        worse.to_string(),
        wilcoxon.map_or_else(|| "–".into(), |test| p_value(test.p)),
    ]
}

/// Heads of [`paired_cells`].
pub const PAIRED_HEAD: [&str; 6] =
    ["cases", "difference ± SE", "95 % interval", "better", "worse", "Wilcoxon p"];

/// Cells of a comparison of procedures, networks being the sample.
pub fn procedure_cells(found: &Procedures) -> Vec<String> {
    let Procedures { networks: [a, b], folds, difference, error } = found;
    let error = error.as_ref();
    vec![
        format!("{a} + {b}"),
        folds.to_string(),
        with_error(*difference, error.map(|error| error.standard_error)),
        error.map_or_else(|| "–".into(), |error| interval(error.interval_95)),
        error.map_or_else(|| "–".into(), |error| p_value(error.p)),
    ]
}

/// Heads of [`procedure_cells`].
pub const PROCEDURE_HEAD: [&str; 5] =
    ["networks", "folds", "difference ± SE", "95 % interval", "Student p"];

fn interval([low, high]: [f64; 2]) -> String {
    format!("{low:+.4} to {high:+.4}")
}

fn p_value(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".into() } else { format!("{p:.4}") }
}
