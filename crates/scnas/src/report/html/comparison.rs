//! Several runs beside each other: results, differences case by case, settings.

use crate::report::comparison::Comparison;
use crate::report::html::markup::{note, table};
use crate::report::html::plot::{Axis, Plot};

/// Tables, and a plot of the differences from the first.
pub fn section(comparison: &Comparison) -> String {
    let left = Comparison::RESULTS_LEFT;
    let mut html = table("Results of all runs", &comparison.results(), left);
    if comparison.runs.len() < 2 {
        return html;
    }
    html += &differences(comparison);
    html += &table("Differences, cases being the sample", &comparison.paired(), 1);
    if let Some(rows) = comparison.procedures() {
        html += &table("Differences, networks being the sample", &rows, 1);
    }
    match comparison.settings() {
        Some(mut rows) => {
            let first = format!("in {}", comparison.runs[0].finished.name);
            rows[0] = ["run", "setting", "here", &first].map(String::from).to_vec();
            html + "<h3>Settings that differ</h3>" + &table("Settings that differ", &rows, 4)
        }
        None => html + &note("No setting differs, as far as settings are known."),
    }
}

/// Mean differences with their intervals, a column a run.
fn differences(comparison: &Comparison) -> String {
    let Some((first, others)) = comparison.runs.split_first() else { return String::new() };
    let paired: Vec<_> = others
        .iter()
        .filter_map(|run| Some((run.finished.name.as_str(), run.against_first.as_ref()?)))
        .collect();
    let ends = paired.iter().flat_map(|(_, paired)| paired.interval_95);
    let Some(y) = Axis::of("difference of mean Dice", ends) else { return String::new() };
    let x = Axis { label: String::new(), range: [0.0, paired.len() as f64] };
    let title =
        format!("Difference from {}, case by case, with its 95 % interval", first.finished.name);
    let mut plot = Plot::new(&title, x, y.with(&[0.0]));
    plot.rule(0.0, &format!("as {}", first.finished.name), "zero");
    for (n, (name, paired)) in paired.iter().enumerate() {
        let middle = n as f64 + 0.5;
        let [low, high] = paired.interval_95;
        plot.column(middle, name);
        plot.line(n, name, "", &[[middle, low], [middle, high]]);
        let text = format!("{name}: {:+.4}, from {low:+.4} to {high:+.4}", paired.mean_difference);
        plot.point(n, &text, [middle, paired.mean_difference], false);
    }
    format!("<div class=\"plots\">{}</div>\n", plot.without_ticks().figure(false))
}
