//! Cells of tables: numbers that may not be known, and paired comparisons.

use scnas::report::statistics::Paired;

/// Cells of a comparison: cases, difference, interval, better, worse, p.
pub fn paired_cells(comparison: Option<&Paired>) -> Vec<String> {
    let Some(Paired { cases, mean_difference, interval_95: [low, high], better, worse, wilcoxon }) =
        comparison
    else {
        return vec!["0".into()];
    };
    let p_value = |p: f64| if p < 1e-4 { "< 0.0001".into() } else { format!("{p:.4}") };
    vec![
        cases.to_string(),
        format!("{mean_difference:+.4}"),
        format!("{low:+.4} to {high:+.4}"),
        better.to_string(),
        worse.to_string(),
        wilcoxon.map_or_else(|| "–".into(), |test| p_value(test.p)),
    ]
}

/// Heads of [`paired_cells`].
pub const PAIRED_HEAD: [&str; 6] =
    ["cases", "difference", "95 % interval", "better", "worse", "Wilcoxon p"];

/// A number with so many decimals, – where it is not known.
pub fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.decimals$}"))
}
