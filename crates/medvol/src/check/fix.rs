//! A corrected copy of a data set, in the Decathlon's layout: what can be put right safely is,
//! cases that cannot be are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ndarray::Axis;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Finding, Fix, Kind, Report};
use crate::atomic::atomic_write;
use crate::dataset::{CaseFiles, Dataset};
use crate::error::{Error, Result};
use crate::io::{self, Source, default_ending};
use crate::new_folder::write_folder;
use crate::volume::LabelMap;

/// What became of the cases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fixed {
    /// Copied byte by byte (or, where channels were in several files, joined).
    pub unchanged: usize,
    /// Written anew, with what was done.
    pub corrected: BTreeMap<String, BTreeSet<Fix>>,
    /// Not in the copy, with the reasons.
    pub left_out: BTreeMap<String, BTreeSet<&'static str>>,
}

/// Writes a corrected copy of the data set of `report` into `folder`, which must be empty or not
/// exist; it appears only when it is complete. The original is only read. `progress` hears the
/// number of cases done and says whether to go on; `None` if it said no.
///
/// # Errors
/// [`Error::DescriptionNotFixable`], [`Error::NothingFixable`], [`Error::Write`], and those of reading files that have changed since.
pub fn fix(
    report: &Report,
    folder: &Path,
    mut progress: impl FnMut(usize) -> bool,
) -> Result<Option<Fixed>> {
    let mut at_fault = report.findings.iter().filter(|finding| finding.kind == Kind::Description);
    let (Some(dataset), None) = (&report.dataset, at_fault.next()) else {
        let path = report
            .dataset
            .as_ref()
            .map_or(Path::new("dataset.json"), |dataset| &dataset.description);
        return Err(Error::DescriptionNotFixable { path: path.to_path_buf() });
    };
    let mut fixed = Fixed::default();
    let (training, test) =
        (kept(&dataset.cases, report, &mut fixed), kept(&dataset.test, report, &mut fixed));
    let had_labels = dataset.cases.iter().any(|case| case.label.is_some());
    let none_left = training.iter().all(|case| case.label.is_none());
    if had_labels && none_left || training.is_empty() && test.is_empty() {
        return Err(Error::NothingFixable { path: dataset.root.clone() });
    }
    let mut go_on = true;
    write_folder(folder, |partial| {
        for name in ["imagesTr", "labelsTr", "imagesTs"] {
            let path = partial.join(name);
            fs::create_dir(&path).map_err(|source| Error::Write { path, source })?;
        }
        let mut lists = [Vec::new(), Vec::new()];
        let cases = training
            .iter()
            .map(|case| (*case, "imagesTr", 0))
            .chain(test.iter().map(|case| (*case, "imagesTs", 1)));
        for (done, (case, images, list)) in cases.enumerate() {
            go_on = progress(done);
            if !go_on {
                return Ok(false);
            }
            let fixes = fixes(&report.findings, &case.name);
            lists[list].push(write_case(case, partial, images, &fixes)?);
            if fixes.is_empty() {
                fixed.unchanged += 1;
            } else {
                fixed.corrected.insert(case.name.clone(), fixes);
            }
        }
        let description = describe(dataset, &lists);
        atomic_write(partial.join("dataset.json"), format!("{description:#}\n").as_bytes())?;
        Ok(true)
    })?;
    Ok(go_on.then_some(fixed))
}

/// The cases that will be in the copy.
fn kept<'a>(cases: &'a [CaseFiles], report: &Report, fixed: &mut Fixed) -> Vec<&'a CaseFiles> {
    let keep = |case: &&CaseFiles| {
        let of_case =
            report.findings.iter().filter(|finding| finding.case.as_ref() == Some(&case.name));
        let reasons: BTreeSet<&str> =
            of_case.filter(|f| f.fix == Some(Fix::LeaveOut)).map(|f| f.kind.name()).collect();
        let keep = reasons.is_empty();
        if !keep {
            fixed.left_out.insert(case.name.clone(), reasons);
        }
        keep
    };
    cases.iter().filter(keep).collect()
}

fn fixes(findings: &[Finding], case: &str) -> BTreeSet<Fix> {
    findings
        .iter()
        .filter(|finding| finding.case.as_deref() == Some(case))
        .filter_map(|finding| finding.fix)
        .collect()
}

/// Writes a case and returns how `dataset.json` lists it.
fn write_case(
    case: &CaseFiles,
    folder: &Path,
    images: &str,
    fixes: &BTreeSet<Fix>,
) -> Result<Value> {
    let named = |original: &Source, below: &str| {
        let (_, ending) = original.stem_and_ending();
        let ending = if ending.is_empty() { default_ending() } else { ending };
        format!("{below}/{}{ending}", case.name)
    };
    let image = named(&case.images[0], images);
    match case.images.as_slice() {
        [source] if !fixes.contains(&Fix::ZeroVoxels) => copy(source, &folder.join(&image))?,
        sources => {
            let opened = io::open(sources)?;
            let header = opened.header().clone();
            let mut joined = opened.image()?;
            joined.voxels.mapv_inplace(|value| if value.is_finite() { value } else { 0.0 });
            io::create(folder.join(&image))?.like(&header).image(&joined)?;
        }
    }
    let mut entry = json!({ "image": format!("./{image}") });
    if let Some(subject) = &case.subject {
        entry["subject"] = json!(subject);
    }
    if let Some(source) = &case.label {
        let label = named(source, "labelsTr");
        if fixes.is_empty() {
            copy(source, &folder.join(&label))?;
        } else {
            let opened = source.open()?;
            let header = match fixes.contains(&Fix::CopyAffine) {
                true => case.images[0].open()?.header().clone(),
                false => opened.header().clone(),
            };
            // NaN becomes 0, and all others were found to be near an integer in the range.
            let voxels = opened.image()?.voxels.index_axis_move(Axis(0), 0);
            let map = LabelMap {
                voxels: voxels.mapv(|value| value.round() as u16),
                affine: header.grid.affine,
            };
            io::create(folder.join(&label))?.like(&header).labels(&map)?;
        }
        entry["label"] = json!(format!("./{label}"));
    }
    Ok(entry)
}

fn copy(from: &Source, to: &Path) -> Result<()> {
    // A copy and no link: whoever writes into the copy must not write into the original.
    fs::copy(from, to).map(|_| ()).map_err(|source| Error::Write { path: to.to_path_buf(), source })
}

fn describe(dataset: &Dataset, [training, test]: &[Vec<Value>; 2]) -> Value {
    let channels =
        dataset.channels.iter().enumerate().map(|(n, name)| (n.to_string(), json!(name)));
    let labels = dataset.labels.iter().map(|label| (label.value.to_string(), json!(label.name)));
    json!({
        "name": dataset.name,
        "modality": Value::Object(channels.collect()),
        "labels": Value::Object(labels.collect()),
        "numTraining": training.len(),
        "numTest": test.len(),
        "training": training,
        "test": test,
    })
}
