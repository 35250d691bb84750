//! Label maps scored against reference label maps, matched by name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use medvol::io::{Header, Reading, Source, Weight};
use medvol::metrics::Structures;
use medvol::{ClassMap, Dataset, Label, LabelMap, Target};

use crate::data::files::{Protected, files_of};
use crate::error::{Error, Result, Unlike};
use crate::message::{Doubt, Message};
use crate::observer::Observer;
use crate::report::evaluation::{CaseScore, Evaluation, score};
use crate::report::pairs::{Maps, Matched, Pair, label_maps, matched};

/// What to score against what.
#[derive(Clone, Debug)]
pub struct Scoring {
    /// A folder of label maps, or one file.
    pub predictions: PathBuf,
    /// A folder of label maps, or one file; `None`: the training labels of `data`.
    pub references: Option<PathBuf>,
    /// The data set that names the labels; `None`: all values found, 0 is the background.
    pub data: Option<PathBuf>,
    /// How headers are read that contradict themselves; `None`: as far as their parts tell.
    pub reading: Option<Reading>,
    /// Distance in mm up to which surfaces agree.
    pub tolerance_mm: f64,
}

impl Scoring {
    /// Refuses to write to `path` where it is one of the files that are read.
    ///
    /// # Errors
    /// [`Place::Overwrites`]; folders that cannot be read.
    pub fn refuse_to_overwrite(&self, path: &Path) -> Result<()> {
        let mut protected = Protected::default();
        for maps in [Some(&self.predictions), self.references.as_ref()].into_iter().flatten() {
            protected.add(label_maps(maps)?.files.iter().map(|(_, path)| path.as_path()));
        }
        if let Some(data) = &self.data {
            let dataset = Dataset::open(data)?;
            protected.add(files_of(&dataset));
            protected.add([dataset.description.as_path(), dataset.list()]);
        }
        protected.check(path)
    }
}

/// What was scored, and what was not.
#[derive(Debug)]
pub struct Scored {
    /// Of the cases that could be scored: at least one.
    pub evaluation: Evaluation,
    /// Why each of the others could not.
    pub failures: Vec<Error>,
    /// Pairs of files in all.
    pub pairs: usize,
    /// Predictions that no reference has the name of.
    pub without_reference: Vec<String>,
    /// References that no prediction has the name of.
    pub without_prediction: Vec<String>,
}

/// Scores all that can be scored.
///
/// # Errors
/// Folders that cannot be read or hold no label maps; no pair of the same name
/// ([`Error::NoPairs`]); [`Error::AllFailed`].
pub fn evaluate(scoring: &Scoring, observer: &dyn Observer) -> Result<Scored> {
    let Scoring { predictions, references, data, reading, tolerance_mm } = scoring;
    let dataset = data.as_ref().map(Dataset::open).transpose()?;
    let mut predicted = label_maps(predictions)?;
    let of_data = |dataset: &Dataset| {
        let labelled = dataset.cases.iter();
        labelled
            .filter_map(|case| Some((case.name.clone(), case.label.as_ref()?.path().into())))
            .collect()
    };
    let mut expected = match references {
        Some(path) => label_maps(path)?,
        None => Maps::of(dataset.as_ref().map(of_data).unwrap_or_default()),
    };
    let mut failures = std::mem::take(&mut predicted.faults);
    failures.append(&mut expected.faults);
    let Matched { pairs, by_case, without_reference, without_prediction } =
        matched(predicted, expected);
    if pairs.is_empty() && !failures.is_empty() {
        return Err(Error::AllFailed { errors: failures });
    }
    if pairs.is_empty() {
        return Err(Error::NoPairs {
            path: predictions.clone(),
            predictions: without_reference,
            references: without_prediction,
        });
    }
    if let Some(Pair { prediction, reference, .. }) = pairs.first().filter(|_| by_case) {
        let [prediction, reference] = [prediction, reference].map(PathBuf::clone);
        let doubt = Doubt::MatchedByCase { pairs: pairs.len(), prediction, reference };
        observer.message(&Message::Doubt(doubt));
    }
    let same = pairs.iter().filter(|pair| is_one_file(&pair.prediction, &pair.reference)).count();
    if same > 0 {
        let doubt = Doubt::ScoredAgainstThemselves { same, of: pairs.len() };
        observer.message(&Message::Doubt(doubt));
    }
    let (labels, target, ignore) = match dataset {
        Some(Dataset { labels, target, ignore, .. }) => (labels, target, ignore),
        None => (labels_found(&pairs, *reading, observer), Target::Classes, None),
    };
    let judge = Judge {
        scored: target.scored(&labels, ignore),
        listed: ClassMap::new(&labels).ignoring(ignore),
        reading: *reading,
        tolerance_mm: *tolerance_mm,
        observer,
    };
    let mut evaluation = Evaluation::new(target.names(&labels), *tolerance_mm);
    let faults = failures.len();
    observer.begin("scoring cases", 0, pairs.len());
    for (done, pair) in pairs.iter().enumerate() {
        match judge.score(pair) {
            Ok(case) => evaluation.cases.push(case),
            Err(error) => failures.push(error),
        }
        observer.advance(done + 1);
    }
    if evaluation.cases.is_empty() {
        return Err(Error::AllFailed { errors: failures });
    }
    let pairs = pairs.len() + faults;
    Ok(Scored { evaluation, failures, pairs, without_reference, without_prediction })
}

/// Whether two paths lead to one file.
fn is_one_file(first: &Path, second: &Path) -> bool {
    first.canonicalize().is_ok_and(|first| second.canonicalize().is_ok_and(|it| it == first))
}

/// Every value in any readable map, named by itself. A value that only predictions hold may be a
/// structure under another number.
fn labels_found(pairs: &[Pair], reading: Option<Reading>, observer: &dyn Observer) -> Vec<Label> {
    let values = |file: fn(&Pair) -> &PathBuf| {
        let maps = pairs.iter().filter_map(|pair| read_labels(file(pair), None, reading).ok());
        let mut values = BTreeSet::from([0]);
        maps.for_each(|(_, map)| values.extend(map.voxels.iter().copied()));
        values
    };
    let [predicted, expected] = [values(|pair| &pair.prediction), values(|pair| &pair.reference)];
    let unexpected: Vec<u16> = predicted.difference(&expected).copied().collect();
    if !unexpected.is_empty() {
        let missed = expected.difference(&predicted).copied().collect();
        observer.message(&Message::Doubt(Doubt::UnexpectedLabels { unexpected, missed }));
    }
    let all = predicted.union(&expected);
    all.map(|&value| Label { value, name: value.to_string() }).collect()
}

/// How pairs are scored.
struct Judge<'a> {
    scored: Structures,
    /// Of the values that label maps may hold.
    listed: ClassMap,
    reading: Option<Reading>,
    tolerance_mm: f64,
    observer: &'a dyn Observer,
}

impl Judge<'_> {
    fn score(
        &self,
        Pair { name, prediction: predicted, reference: expected }: &Pair,
    ) -> Result<CaseScore> {
        let (expected_in, reference) = self.read(expected, None)?;
        let (predicted_in, prediction) = self.read(predicted, Some(&expected_in))?;
        let unlike = |problem| Error::Unlike {
            prediction: predicted.clone(),
            reference: expected.clone(),
            problem,
        };
        let case = score(name, &prediction, &reference, &self.scored, self.tolerance_mm)
            .map_err(|shapes| unlike(shapes.into()))?;
        if !expected_in.lies_on(&predicted_in) {
            let mm = reference.affine.max_displacement(&prediction.affine, reference.shape());
            return Err(unlike(Unlike::Apart { mm }));
        }
        // Distances and volumes are those of the reference's grid.
        for remark in expected_in.place.remarks {
            if remark.weight() > Weight::Note {
                self.observer.message(&Message::Header { file: expected.clone(), remark });
            }
        }
        Ok(case)
    }

    /// As [`read_labels`], of a map that holds no other values than those listed.
    fn read(&self, path: &Path, on: Option<&Header>) -> Result<(Header, LabelMap)> {
        let (header, map) = read_labels(path, on, self.reading)?;
        match self.listed.classes(map.voxels.view()) {
            Ok(_) => Ok((header, map)),
            Err((voxel, value)) => {
                let (path, listed) = (path.into(), self.listed.listed());
                Err(medvol::Error::UnlistedLabel { path, voxel, value, listed }.into())
            }
        }
    }
}

/// A label map, along the axes of another if it lies on the voxels of that, and its header.
fn read_labels(
    path: &Path,
    on: Option<&Header>,
    reading: Option<Reading>,
) -> medvol::Result<(Header, LabelMap)> {
    let mut opened = Source::from(path).read_by(reading).open()?.checked(1)?;
    if let Some(on) = on {
        opened = opened.on_grid_of(on);
    }
    Ok((opened.header().clone(), opened.labels()?))
}
