//! `scnas evaluate`: Dice and other metrics of predictions against references.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use medvol::io::Reading;
use scnas::error::shortened;
use scnas::report::evaluation::{Evaluation, TOLERANCE_MM, mean_and_sd};
use scnas::report::scoring::{Scored, Scoring, evaluate};
use serde_json::json;

use crate::output::{Output, warn};
use crate::progress::Progress;
use crate::run_options::reading;
use crate::said::said;

/// Score label maps against reference label maps
///
/// Reads two folders (or two files) of label maps and matches them by file name; a folder may hold
/// a folder for each patient. Where no names match, endings such as _seg and _0000 are not heeded.
/// Prints per class and case, and as mean ± SD over cases: Dice, Jaccard, sensitivity, precision, surface Dice
/// within a tolerance, HD95 and average symmetric surface distance in mm, and the volume error
/// (predicted - expected) as a part of the expected volume and in ml.
///
/// A class in neither map of a case is not scored (–). One that is missed or made up scores 0 in
/// Dice, Jaccard and surface Dice, and has no distances: their means are over fewer cases, whose
/// number follows in brackets.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas evaluate predictions DATA/Task04_Hippocampus/labelsTr --data DATA/Task04_Hippocampus
  scnas evaluate predictions references --tolerance 2 --csv scores.csv --json")]
pub struct EvaluateArgs {
    /// Folder of predicted label maps, or one file
    pub predictions: PathBuf,
    /// Folder of reference label maps, or one file [default: the training labels of --data]
    #[arg(required_unless_present = "data")]
    pub references: Option<PathBuf>,
    /// Data set that names the labels [default: all values found, 0 is background]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What counts where a NIfTI header contradicts itself [default: what agrees with pixdim]
    #[arg(long, value_name = "sform|qform|pixdim", value_parser = reading)]
    pub geometry: Option<Reading>,
    /// Distance up to which surfaces agree, for surface Dice
    #[arg(long, value_name = "MM", default_value_t = TOLERANCE_MM, value_parser = tolerance)]
    pub tolerance: f64,
    /// Also write the scores of all cases as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

pub fn run(args: &EvaluateArgs, output: Output) -> Result<ExitCode> {
    let scoring = Scoring {
        predictions: args.predictions.clone(),
        references: args.references.clone(),
        data: args.data.clone(),
        reading: args.geometry,
        tolerance_mm: args.tolerance,
    };
    if let Some(path) = &args.csv {
        scoring.refuse_to_overwrite(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        medvol::can_write_in(folder.unwrap_or(Path::new(".")))?;
    }
    let progress = Progress::new(output);
    let scored = evaluate(&scoring, &progress)?;
    drop(progress);
    if let Some(path) = &args.csv {
        medvol::atomic_write(path, scored.evaluation.csv().as_bytes())?;
    }
    print(scored, output)
}

/// Prints scores and what was not scored.
pub fn print(scored: Scored, output: Output) -> Result<ExitCode> {
    let Scored { evaluation, mut failures, pairs, without_reference, without_prediction } = scored;
    let unmatched = [
        ("predictions without reference", without_reference),
        ("references without prediction", without_prediction),
    ];
    for (what, names) in unmatched.iter().filter(|(_, names)| !names.is_empty()) {
        warn(format_args!("{} {what} (not scored): {}", names.len(), shortened(names)));
    }
    let reasons: Vec<String> = failures.iter().map(said).collect();
    reasons.iter().for_each(|reason| warn(format_args!("not scored: {reason}")));
    output.result(text(&evaluation), || {
        let mut json = serde_json::to_value(evaluation.summary()).unwrap_or_default();
        json["failures"] = json!(reasons);
        unmatched.iter().for_each(|(what, names)| json[what.replace(' ', "_")] = json!(names));
        json
    })?;
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let (what, failed) = ("cases could not be scored", failures.len());
    let first = Box::new(failures.swap_remove(0));
    Err(scnas::Error::SomeFailed { what, failed, of: pairs, first }.into())
}

/// All scores, their means, and the headline last, where a terminal leaves the eye.
fn text(evaluation: &Evaluation) -> String {
    let (dice, all) = (mean_and_sd(evaluation.foreground()), evaluation.cases.len());
    let cases = match evaluation.scored() {
        scored if scored == all => all.to_string(),
        scored => format!("{scored} of {all}"),
    };
    format!(
        "{}\n{}\nmean foreground Dice {dice} over {cases} cases",
        evaluation.details(),
        evaluation.means()
    )
}

/// A distance in mm, finite and not negative.
fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(mm) if mm.is_finite() && mm >= 0.0 => Ok(mm),
        _ => Err("expected a distance in mm, such as 1 or 0.5".into()),
    }
}
