//! `scnas evaluate`: Dice and other metrics of predictions against references.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use medvol::io::{Opened, Source};
use medvol::{ClassMap, Dataset, Label, LabelMap};
use scnas::report::evaluation::{CaseScore, Evaluation, TOLERANCE_MM, mean_and_sd, score};
use scnas::run::pipeline::Observer as _;
use serde_json::json;

use crate::files::{case_name, images_in, refuse_same_names};
use crate::output::{Output, chain, warn};
use crate::progress::Progress;

/// Two label maps of one case may lie this far apart, as a part of the smallest spacing.
const PLACE_TOLERANCE: f64 = 0.1;

/// Score label maps against reference label maps
///
/// Reads two folders (or two files) of label maps and matches them by file name. Prints per class
/// and case, and as mean ± SD over cases: Dice, Jaccard, sensitivity, precision, surface Dice
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
    /// Distance up to which surfaces agree, for surface Dice
    #[arg(long, value_name = "MM", default_value_t = TOLERANCE_MM, value_parser = tolerance)]
    pub tolerance: f64,
    /// Also write the scores of all cases as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

/// Files of one case.
struct Pair {
    name: String,
    prediction: PathBuf,
    reference: PathBuf,
}

pub fn run(args: &EvaluateArgs, output: Output) -> Result<ExitCode> {
    let dataset = args.data.as_ref().map(Dataset::open).transpose()?;
    let predictions = label_maps(&args.predictions)?;
    let references = match (&args.references, &dataset) {
        (Some(path), _) => label_maps(path)?,
        (None, Some(dataset)) => dataset
            .cases
            .iter()
            .filter_map(|case| Some((case.name.clone(), case.label.as_ref()?.path().into())))
            .collect(),
        (None, None) => bail!("give REFERENCES or --data"),
    };
    let (pairs, unmatched) = pair(predictions, references, args)?;

    let labels = match &dataset {
        Some(dataset) => dataset.labels.clone(),
        None => labels_found(&pairs),
    };
    let mut evaluation =
        Evaluation::new(labels.iter().skip(1).map(|l| l.name.clone()).collect(), args.tolerance);
    let mut failures = Vec::new();
    let progress = Progress::new(output);
    progress.begin("scoring cases", 0, pairs.len());
    for (done, pair) in pairs.iter().enumerate() {
        match score_pair(pair, &labels, args.tolerance) {
            Ok(case) => evaluation.cases.push(case),
            Err(error) => failures.push(chain(&error)),
        }
        progress.advance(done + 1);
    }
    drop(progress);
    if evaluation.cases.is_empty() {
        bail!("{}", failures.join("; "));
    }
    for (what, names) in &unmatched {
        if !names.is_empty() {
            warn(format_args!("{} {what} (not scored): {}", names.len(), shortened(names)));
        }
    }
    failures.iter().for_each(|reason| warn(format_args!("not scored: {reason}")));
    if let Some(path) = &args.csv {
        medvol::atomic_write(path, evaluation.csv().as_bytes())?;
    }
    output.result(text(&evaluation), || {
        let mut json = serde_json::to_value(evaluation.summary()).unwrap_or_default();
        json["failures"] = json!(failures);
        unmatched.iter().for_each(|(what, names)| json[what.replace(' ', "_")] = json!(names));
        json
    })?;
    match failures.first() {
        Some(first) => {
            bail!("{} of {} cases could not be scored: {first}", failures.len(), pairs.len())
        }
        None => Ok(ExitCode::SUCCESS),
    }
}

/// All scores, their means, and the headline last, where a terminal leaves the eye.
fn text(evaluation: &Evaluation) -> String {
    let (dice, cases) = (mean_and_sd(evaluation.foreground()), evaluation.cases.len());
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

/// The label maps at `path`; probabilities that `predict` wrote beside its label maps are not among
/// them.
fn label_maps(path: &Path) -> Result<Vec<(String, PathBuf)>> {
    if !path.is_dir() {
        let name = case_name(path).ok_or_else(|| {
            anyhow!("{}: expected a folder, or a file .nii or .nii.gz", path.display())
        })?;
        std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        return Ok(vec![(name, path.into())]);
    }
    let mut files = images_in(path)?;
    files.retain(|(name, _)| !name.ends_with("_probabilities"));
    refuse_same_names(files.iter().map(|(name, path)| (name.as_str(), path.as_path())))?;
    if files.is_empty() {
        bail!("{}: expected label maps (.nii or .nii.gz), found none", path.display());
    }
    Ok(files)
}

type Unmatched = [(&'static str, Vec<String>); 2];

/// Matches by name; two single files match whatever they are called.
fn pair(
    predictions: Vec<(String, PathBuf)>,
    references: Vec<(String, PathBuf)>,
    args: &EvaluateArgs,
) -> Result<(Vec<Pair>, Unmatched)> {
    let files_given =
        !args.predictions.is_dir() && args.references.as_ref().is_some_and(|path| !path.is_dir());
    let mut references: BTreeMap<String, PathBuf> = references.into_iter().collect();
    let mut pairs = Vec::new();
    let mut lonely = Vec::new();
    for (name, prediction) in predictions {
        let reference = if files_given {
            references.pop_first().map(|(_, path)| path)
        } else {
            references.remove(&name)
        };
        match reference {
            Some(reference) => pairs.push(Pair { name, prediction, reference }),
            None => lonely.push(name),
        }
    }
    if pairs.is_empty() {
        bail!(
            "{}: none of the predictions ({}) has the name of a reference ({})",
            args.predictions.display(),
            shortened(&lonely),
            shortened(&references.into_keys().collect::<Vec<_>>())
        );
    }
    let missing = references.into_keys().collect();
    Ok((
        pairs,
        [("predictions without reference", lonely), ("references without prediction", missing)],
    ))
}

fn shortened(names: &[String]) -> String {
    let more = names.len().saturating_sub(3);
    let first = names[..names.len() - more].join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

/// Every value in any readable map, named by itself.
fn labels_found(pairs: &[Pair]) -> Vec<Label> {
    let files = pairs.iter().flat_map(|pair| [&pair.prediction, &pair.reference]);
    let mut values = BTreeSet::from([0]);
    for map in files.filter_map(|path| read_labels(path).ok()) {
        values.extend(map.voxels.iter().copied());
    }
    values.into_iter().map(|value| Label { value, name: value.to_string() }).collect()
}

fn score_pair(pair: &Pair, labels: &[Label], tolerance_mm: f64) -> Result<CaseScore> {
    let (prediction, reference) =
        (read_listed(&pair.prediction, labels)?, read_listed(&pair.reference, labels)?);
    let files = || format!("{} against {}", pair.prediction.display(), pair.reference.display());
    let case =
        score(&pair.name, &prediction, &reference, labels, tolerance_mm).with_context(files)?;
    let smallest = reference.affine.spacing().into_iter().fold(f64::INFINITY, f64::min);
    let apart = reference.affine.max_displacement(&prediction.affine, reference.shape());
    if apart > PLACE_TOLERANCE * smallest {
        bail!("{}: the two maps lie up to {apart:.3} mm apart; expected the same affine", files());
    }
    Ok(case)
}

fn read_labels(path: &Path) -> medvol::Result<LabelMap> {
    Source::from(path).open().and_then(Opened::labels)
}

fn read_listed(path: &Path, labels: &[Label]) -> Result<LabelMap> {
    let map = read_labels(path)?;
    let classes = ClassMap::new(labels);
    match classes.classes(map.voxels.view()) {
        Ok(_) => Ok(map),
        Err((voxel, value)) => Err(medvol::Error::UnlistedLabel {
            path: path.into(),
            voxel,
            value,
            listed: classes.values().to_vec(),
        }
        .into()),
    }
}
