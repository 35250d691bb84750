//! A model card in Markdown: what a model is, what it was made of, how good it was found to be, and
//! what is not known.

use std::fmt::Write as _;
use std::path::Path;

use medvol::Normalisation;

use crate::error::Result;
use crate::message::duration;
use crate::network::architecture::Architecture;
use crate::report::evaluation::{Evaluation, Metric};
use crate::report::portrait::Portrait;
use crate::report::result::{RunResult, read_run};

/// The card of what a portrait is of; `of` is its run folder or file, where its scores are looked
/// for, `licence` the terms under which it may be used.
///
/// # Errors
/// Results that cannot be read.
pub fn markdown(portrait: &Portrait, of: &Path, licence: Option<&str>) -> Result<String> {
    let folder = if of.is_dir() { of } else { of.parent().unwrap_or(Path::new("")) };
    let results = match folder.join("result.json").exists() {
        true => Some(read_run(folder)?),
        false => None,
    };
    let parts = [
        head(portrait, results.as_ref(), licence),
        network(portrait),
        data(portrait),
        scores(results.as_ref()),
        limits(portrait, results.as_ref()),
    ];
    Ok(parts.join("\n"))
}

type Results = (RunResult, Evaluation);

fn head(portrait: &Portrait, results: Option<&Results>, licence: Option<&str>) -> String {
    let predicted = portrait.plan.as_ref().map(|plan| {
        format!("Segments {} in images of {}.", plan.foreground().join(", "), plan.dataset)
    });
    let origin = results.map(|(result, _)| format!("Made by `{}`.", result.network));
    let said: Vec<String> = predicted.into_iter().chain(origin).collect();
    let licence = licence.unwrap_or("not stated");
    format!(
        "# {}\n\n{}\n\n- Licence: {licence}\n- Use: `scnas predict IMAGES --model \
         model.safetensors --out predictions`\n",
        portrait.name,
        said.join(" ")
    )
}

fn network(portrait: &Portrait) -> String {
    let Portrait { architecture, size, patch: [d, h, w], cost, .. } = portrait;
    let kind = match architecture {
        Architecture::Cells(_) => "A 3-D U-Net of searched cells",
        Architecture::UResNet | Architecture::UResNetHalf | Architecture::U(_) => {
            "A 3-D U-Net designed by hand"
        }
    };
    let shape = match architecture.design(*size) {
        Some(design) => design.to_string(),
        None => format!("channels of the stem: {}", size.width),
    };
    format!(
        "## Network\n\n{kind}: {:.3} M parameters, {:.2} GFLOPs for a patch of {d} × {h} × {w} \
         voxels.\n\n{shape}\n",
        cost.millions(),
        cost.gflops(),
    )
}

fn data(portrait: &Portrait) -> String {
    let Some(plan) = &portrait.plan else { return "## Data\n\nMade for no data yet.\n".into() };
    let [z, y, x] = plan.spacing;
    let mut text = format!(
        "## Data\n\n- Data set: {}; {} training cases, {} held out (fold {} of {})\n- Channels: \
         {}\n- Grid: {z:.2} × {y:.2} × {x:.2} mm (depth, height, width); other spacings are \
         resampled\n",
        plan.dataset,
        plan.training_names().len(),
        plan.held_out().len(),
        plan.fold,
        plan.folds.len(),
        plan.channels.join(", "),
    );
    let schemes: Vec<&str> = plan.normalisation.iter().map(Normalisation::name).collect();
    let schemes =
        if schemes.is_empty() { "z-score of each image".into() } else { schemes.join(", ") };
    let _ = writeln!(text, "- Normalisation: {schemes}\n\n| value | label |\n|---|---|");
    for label in &plan.labels {
        let _ = writeln!(text, "| {} | {} |", label.value, label.name.replace('|', "\\|"));
    }
    if let Some(value) = plan.ignore {
        let _ = writeln!(text, "| {value} | ignored |");
    }
    text
}

fn scores(results: Option<&Results>) -> String {
    let Some((result, evaluation)) = results else {
        return "## Scores\n\nNone are known: no result lies beside it.\n".into();
    };
    let mut text = format!(
        "## Scores\n\nMean ± SD over {} held-out cases of fold {}; seed {}, {} of search and \
         training.\n\n",
        result.cases,
        result.fold,
        result.seed,
        duration(result.seconds)
    );
    for (n, row) in evaluation.mean_rows().iter().enumerate() {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if n == 0 {
            let _ = writeln!(text, "|{}", "---|".repeat(cells.len()));
        }
    }
    text
}

fn limits(portrait: &Portrait, results: Option<&Results>) -> String {
    let mut limits = Vec::new();
    if let Some(plan) = &portrait.plan {
        limits.push(format!(
            "It has seen images of one data set, {}, only: how good it is on images of other \
             scanners, protocols or patients is not known.",
            plan.dataset
        ));
        limits.push(format!(
            "It labels {} and nothing else, also in images that hold none of these.",
            plan.foreground().join(", ")
        ));
    }
    let worst = results.and_then(|(_, evaluation)| {
        let scored =
            evaluation.cases.iter().filter_map(|case| Some((case, case.mean(Metric::Dice)?)));
        scored.min_by(|(_, a), (_, b)| a.total_cmp(b))
    });
    limits.extend(worst.map(|(case, dice)| {
        format!("Its worst held-out case is {}, with a mean Dice of {dice:.3}.", case.case)
    }));
    limits.push("It is not a medical device. A person has to look at what it predicts.".into());
    let list: String = limits.iter().map(|limit| format!("- {limit}\n")).collect();
    format!("## Limits\n\n{list}")
}
