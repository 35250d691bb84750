//! How good the predictions are: means, the spread over cases, every case with every metric.

use medvol::metrics::mean_sd;
use serde_json::json;

use crate::report::evaluation::{CaseScore, Evaluation, Metric};
use crate::report::finished::Results;
use crate::report::html::markup::{counted, data, escape, note, score, scrolled, table};
use crate::report::html::plot::{Axis, Plot};
use crate::report::html::subject::Subject;

/// Means of all metrics, a plot of the cases' Dice, and the folds of a cross-validation.
pub fn means(subject: &Subject, evaluation: &Evaluation) -> String {
    let folds = match subject.finished.as_ref().map(|finished| &finished.results) {
        Some(Results::Folds(all)) => {
            let clean_up = all.clean_up_text();
            let clean_up = if clean_up.is_empty() { clean_up } else { note(clean_up.trim_end()) };
            format!("<h3>Folds</h3>{}{clean_up}", table("Dice by fold", &all.rows(), 1))
        }
        _ => String::new(),
    };
    format!(
        "<div class=\"plots\">{}{}</div>\n<h3>All metrics, mean ± SD over cases</h3>{}{folds}",
        spread(evaluation),
        volumes(evaluation),
        table("Means of all metrics", &evaluation.mean_rows(), 1),
    )
}

/// The colour of a class: the same in all plots.
pub fn colour(class: usize) -> usize {
    1 + class % 7
}

/// Dice of every case, a column a class, with quartiles and median.
fn spread(evaluation: &Evaluation) -> String {
    let classes = evaluation.classes.len();
    let all = |class: usize| {
        evaluation.cases.iter().filter_map(move |case| Some((case, case.get(Metric::Dice, class)?)))
    };
    let values = (0..classes).flat_map(|class| all(class).map(|(_, dice)| dice));
    let Some(y) = Axis::of("Dice", values) else { return String::new() };
    let y = Axis { range: [y.range[0].max(0.0), 1.0], ..y };
    // Numbers below columns would mean nothing: the names of the classes stand there.
    let x = Axis { label: String::new(), range: [0.0, classes as f64] };
    let mut plot = Plot::new("Dice of each case", x, y);
    for class in 0..classes {
        let middle = class as f64 + 0.5;
        plot.column(middle, &evaluation.classes[class]);
        let mut sorted: Vec<f64> = all(class).map(|(_, dice)| dice).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted[(share * (sorted.len() - 1) as f64).round() as usize];
        if !sorted.is_empty() {
            plot.block("box", [middle - 0.3, at(0.25)], [middle + 0.3, at(0.75)]);
            plot.line(
                colour(class),
                &evaluation.classes[class],
                "median",
                &[[middle - 0.3, at(0.5)], [middle + 0.3, at(0.5)]],
            );
        }
        for (n, (case, dice)) in all(class).enumerate() {
            // Side by side, the same every time.
            let aside = ((n * 7919) % 101) as f64 / 100.0 - 0.5;
            let text = format!("{}: {} {dice:.4}", case.case, evaluation.classes[class]);
            plot.point(colour(class), &text, [middle + 0.5 * aside, dice], true);
        }
    }
    plot.without_ticks().figure(false)
}

/// Predicted against reference volumes (Bland & Altman 1986): the difference over their mean.
fn volumes(evaluation: &Evaluation) -> String {
    (0..evaluation.classes.len()).map(|class| bland_altman(evaluation, class)).collect()
}

/// Volumes in ml, predicted and of the reference; `None` where they cannot be told.
fn volume(case: &CaseScore, class: usize) -> Option<[f64; 2]> {
    let reference = case.reference_ml.get(class).copied().or_else(|| {
        // Files of versions that did not say it: a prediction as large as the reference tells
        // nothing.
        let (error, share) =
            (case.get(Metric::VolumeErrorMl, class)?, case.get(Metric::VolumeError, class)?);
        (share != 0.0).then(|| error / share)
    })?;
    Some([reference + case.get(Metric::VolumeErrorMl, class)?, reference])
}

fn bland_altman(evaluation: &Evaluation, class: usize) -> String {
    let points: Vec<(&str, [f64; 2])> = evaluation
        .cases
        .iter()
        .filter_map(|case| Some((case.case.as_str(), volume(case, class)?)))
        .map(|(case, [predicted, reference])| {
            (case, [(predicted + reference) / 2.0, predicted - reference])
        })
        .collect();
    let differences = points.iter().map(|(_, [_, difference])| *difference);
    let Some((bias, sd)) = mean_sd(differences.clone()) else { return String::new() };
    let limits = [bias - 1.96 * sd, bias + 1.96 * sd];
    let axes = (
        Axis::of("mean of predicted and reference volume, ml", points.iter().map(|(_, at)| at[0])),
        Axis::of("predicted − reference, ml", differences.chain(limits)),
    );
    let (Some(x), Some(y)) = axes else { return String::new() };
    let name = &evaluation.classes[class];
    let mut plot = Plot::new(&format!("Volumes of {name} (Bland–Altman)"), x, y.with(&[0.0]));
    plot.rule(0.0, "", "zero");
    plot.rule(bias, &format!("bias {}", signed(bias)), "");
    plot.rule(limits[0], &format!("−1.96 SD {}", signed(limits[0])), "soft");
    plot.rule(limits[1], &format!("+1.96 SD {}", signed(limits[1])), "soft");
    for (case, at) in &points {
        plot.point(colour(class), &format!("{case}: {} ml", signed(at[1])), *at, true);
    }
    plot.figure(false)
}

fn signed(value: f64) -> String {
    format!("{value:+.3}").replace('-', "−")
}

/// Every case with every metric: means over the classes, and each class by itself.
pub fn cases(subject: &Subject, evaluation: &Evaluation) -> String {
    let titles = Metric::ALL.map(|metric| metric.title(evaluation.tolerance_mm));
    let several = subject.networks.len() > 1;
    let fold = |case: &str| {
        let holds = |network: &&crate::report::html::subject::Network| {
            let cases = network.results.iter().flat_map(|(_, evaluation)| &evaluation.cases);
            cases.into_iter().any(|of| of.case == case)
        };
        let network = subject.networks.iter().find(holds);
        network.map_or("", |network| network.of.trim_start_matches("fold "))
    };
    let head = |title: &str, text: bool| {
        let class = if text { "" } else { " class=\"n\"" };
        format!("<th scope=\"col\"{class}><button type=\"button\">{}</button></th>", escape(title))
    };
    let mut heads = head("case", true);
    if several {
        heads += &head("fold", true);
    }
    heads.extend(titles.iter().map(|title| head(title, false)));
    let row = |case: &CaseScore| {
        let mut cells = format!("<th scope=\"row\">{}</th>", escape(&case.case));
        if several {
            cells += &format!("<td>{}</td>", escape(fold(&case.case)));
        }
        let value = |metric: Metric| format!("<td class=\"n\">{}</td>", score(case.mean(metric)));
        cells.extend(Metric::ALL.map(value));
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = evaluation.cases.iter().map(row).collect();
    let shown = "mean over the classes";
    let choice = match evaluation.classes.len() {
        0 | 1 => String::new(),
        _ => {
            let options: String = [shown]
                .into_iter()
                .chain(evaluation.classes.iter().map(String::as_str))
                .map(|class| format!("<option>{}</option>", escape(class)))
                .collect();
            let rounded = |value: f64| (value * 1e4).round() / 1e4;
            let of_class = |class: usize| -> Vec<Vec<Option<f64>>> {
                let of_case = |case: &CaseScore| {
                    Metric::ALL.map(|metric| case.get(metric, class).map(rounded)).to_vec()
                };
                evaluation.cases.iter().map(of_case).collect()
            };
            let by_class: Vec<_> = (0..evaluation.classes.len()).map(of_class).collect();
            format!(
                "<label>Show <select class=\"class\">{options}</select></label>{}",
                data("scores", &json!(by_class).to_string())
            )
        }
    };
    let cases = counted(evaluation.cases.len(), "case");
    let hint = format!("{cases}. Press the head of a column to sort by it.");
    format!(
        "<div class=\"cases\"><p class=\"controls\">{choice} <span class=\"note\">{}</span></p>{}</div>\n",
        escape(&hint),
        scrolled(
            "Scores of the cases",
            &format!(
                "<table class=\"sortable\"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
            )
        )
    )
}
