//! A corrected copy of a data set, in the Decathlon's layout: what can be put right safely is,
//! cases that cannot be are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ndarray::Axis;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

use super::finding::shown;
use super::{Finding, Fix, Fold, Kind, Report};
use crate::atomic::atomic_write;
use crate::dataset::{CaseFiles, Dataset, IGNORE};
use crate::error::{Error, Result};
use crate::io::{self, Source, default_ending, ending_like, writes_images};
use crate::new_folder::write_folder;
use crate::target::Target;
use crate::volume::LabelMap;

/// What became of the cases, which are told apart as [`Finding::subject`] does it.
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
/// [`Error::DescriptionNotFixable`]; [`Error::NothingFixable`] where no labelled training case would
/// be left; [`Error::Write`], and those of reading files that have changed since.
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
    let [training, test] = [(&dataset.cases, false), (&dataset.test, true)]
        .map(|(cases, test)| kept(cases, test, report, &mut fixed));
    if training.iter().all(|case| case.label.is_none()) {
        return Err(Error::NothingFixable { path: dataset.root.clone() });
    }
    let mut go_on = true;
    write_folder(folder, |partial| {
        for name in ["imagesTr", "labelsTr", "imagesTs"] {
            let path = partial.join(name);
            fs::create_dir(&path).map_err(|source| Error::Write { path, source })?;
        }
        let mut lists = Lists::default();
        let cases =
            training.iter().map(|case| (*case, false)).chain(test.iter().map(|case| (*case, true)));
        for (done, (case, test)) in cases.enumerate() {
            go_on = progress(done);
            if !go_on {
                return Ok(false);
            }
            let fixes: BTreeSet<Fix> =
                of_case(report, case, test).filter_map(|finding| finding.fix).collect();
            let images = if test { "imagesTs" } else { "imagesTr" };
            let entry = write_case(case, partial, images, &fixes)?;
            lists.add(dataset, case, test, entry);
            if fixes.is_empty() {
                fixed.unchanged += 1;
            } else {
                fixed.corrected.insert(shown(&case.name, test), fixes);
            }
        }
        let path = partial.join("dataset.json");
        let mut text = serde_json::to_string_pretty(&Description::of(dataset, &lists))
            .map_err(|error| Error::Write { path: path.clone(), source: error.into() })?;
        text.push('\n');
        atomic_write(path, text.as_bytes())?;
        Ok(true)
    })?;
    Ok(go_on.then_some(fixed))
}

fn of_case<'a>(
    report: &'a Report,
    case: &'a CaseFiles,
    test: bool,
) -> impl Iterator<Item = &'a Finding> {
    let findings = report.findings.iter();
    findings
        .filter(move |finding| finding.case.as_ref() == Some(&case.name) && finding.test == test)
}

/// The cases that will be in the copy.
fn kept<'a>(
    cases: &'a [CaseFiles],
    test: bool,
    report: &Report,
    fixed: &mut Fixed,
) -> Vec<&'a CaseFiles> {
    let keep = |case: &&CaseFiles| {
        let reasons: BTreeSet<&str> = of_case(report, case, test)
            .filter(|finding| finding.fix == Some(Fix::LeaveOut))
            .map(|finding| finding.kind.name())
            .collect();
        let keep = reasons.is_empty();
        if !keep {
            fixed.left_out.insert(shown(&case.name, test), reasons);
        }
        keep
    };
    cases.iter().filter(keep).collect()
}

/// The lists of `dataset.json`.
#[derive(Default)]
struct Lists {
    training: Vec<Value>,
    validation: Vec<Value>,
    test: Vec<Value>,
}

impl Lists {
    /// Adds a case where it belongs: the copy holds out whom the original does.
    fn add(&mut self, dataset: &Dataset, case: &CaseFiles, test: bool, mut entry: Value) {
        let holds_out = |fold: &Fold| fold.held_out.contains(&case.name);
        let list = match (test, dataset.folds.as_slice()) {
            (true, _) => &mut self.test,
            (false, [fold]) if holds_out(fold) => &mut self.validation,
            (false, folds) => {
                if let Some(number) = folds.iter().position(holds_out) {
                    entry["fold"] = json!(number);
                }
                &mut self.training
            }
        };
        list.push(entry);
    }
}

/// Writes a case and returns how `dataset.json` lists it.
fn write_case(
    case: &CaseFiles,
    folder: &Path,
    images: &str,
    fixes: &BTreeSet<Fix>,
) -> Result<Value> {
    let named = |original: &Source, below: &str, copied: bool| {
        let ending = match original.stem_and_ending() {
            (_, "") if copied => ending_like(original),
            (_, ending) if copied || writes_images(ending) => ending,
            _ => default_ending(),
        };
        format!("{below}/{}{ending}", case.name)
    };
    let copied = case.images.len() == 1
        && case.images[0].path().is_file()
        && !fixes.contains(&Fix::ZeroVoxels);
    let image = named(&case.images[0], images, copied);
    match case.images.as_slice() {
        [source] if copied => copy(source, &folder.join(&image))?,
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
        let copied = fixes.is_empty() && source.path().is_file();
        let label = named(source, "labelsTr", copied);
        if copied {
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

/// `dataset.json`.
#[derive(Serialize)]
struct Description<'a> {
    labels: Labels<'a>,
    modality: BTreeMap<String, &'a str>,
    name: &'a str,
    #[serde(rename = "numTest")]
    announced_test: usize,
    #[serde(rename = "numTraining")]
    announced: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    regions_class_order: Option<Vec<u16>>,
    test: &'a [Value],
    training: &'a [Value],
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    validation: &'a [Value],
}

impl<'a> Description<'a> {
    fn of(dataset: &'a Dataset, Lists { training, validation, test }: &'a Lists) -> Self {
        let channels = dataset.channels.iter().enumerate();
        let value = |class: u8| dataset.labels.get(usize::from(class)).map_or(0, |l| l.value);
        let order = match &dataset.target {
            Target::Classes => None,
            Target::Regions(regions) => {
                Some(regions.iter().map(|region| value(region.written)).collect())
            }
        };
        Self {
            labels: Labels(dataset),
            modality: channels.map(|(n, name)| (n.to_string(), name.as_str())).collect(),
            name: &dataset.name,
            announced_test: test.len(),
            announced: training.len(),
            regions_class_order: order,
            test,
            training,
            validation,
        }
    }
}

/// The labels of a data set: name by value as the Decathlon has it; values by name as nnU-Net has
/// it, in the order of the regions, where there are any.
struct Labels<'a>(&'a Dataset);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Dataset { labels, target, ignore, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        if target.is_classes() {
            for label in labels {
                map.serialize_entry(&label.value.to_string(), &label.name)?;
            }
            if let Some(value) = ignore {
                map.serialize_entry(&value.to_string(), IGNORE)?;
            }
            return map.end();
        }
        map.serialize_entry(labels.first().map_or("background", |label| &label.name), &0)?;
        let structures = target.scored(labels, *ignore).values;
        for (name, values) in target.names(labels).iter().zip(&structures) {
            match values.as_slice() {
                [value] => map.serialize_entry(name, value)?,
                values => map.serialize_entry(name, values)?,
            }
        }
        if let Some(value) = ignore {
            map.serialize_entry(IGNORE, value)?;
        }
        map.end()
    }
}
