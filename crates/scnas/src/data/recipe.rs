//! How the cases of a run are made from their files, and what that depends on.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use half::f16;
use medvol::io::{Reading, Source};
use medvol::{Case, CaseFiles, ClassMap, Dataset, Image, LabelMap, Normalisation, preprocess};

use crate::data::cohort::Cohort;
use crate::data::plan::Plan;
use crate::error::{Error, Result};
use crate::settings::Numbers;

/// Counts what changed in how cases are made, or in how they are written to the cache.
const VERSION: u32 = 1;

/// How the cases of a run are made from their files. What is measured over all training cases, as a
/// CT's intensities are, is not part of it: cases are the same in every fold.
#[derive(Clone, Debug)]
pub struct Recipe {
    dataset: Dataset,
    class_map: ClassMap,
    spacing: [f64; 3],
    /// Of each channel, nothing measured.
    schemes: Vec<Normalisation>,
    /// How headers are read that contradict themselves.
    geometry: Option<Reading>,
    /// What voxels are rounded to.
    pub numbers: Numbers,
}

impl Recipe {
    /// The recipe of a plan.
    pub fn new(cohort: &Cohort, plan: &Plan, numbers: Numbers) -> Self {
        Self {
            dataset: cohort.dataset.clone(),
            class_map: plan.class_map(),
            spacing: plan.spacing,
            schemes: plan.schemes(),
            geometry: plan.geometry,
            numbers,
        }
    }

    /// The data set of the cases.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Reads and preprocesses a case.
    ///
    /// # Errors
    /// Files that cannot be read or do not fit the data set.
    pub fn make(&self, files: &CaseFiles) -> Result<Case> {
        let (image, labels) = self.dataset.load(files)?;
        self.preprocess(&files.name, &image, labels.as_ref())
    }

    /// Preprocesses a case that is read.
    ///
    /// # Errors
    /// An image or labels that do not fit the data set.
    pub fn preprocess(&self, name: &str, image: &Image, labels: Option<&LabelMap>) -> Result<Case> {
        let Self { class_map, spacing, schemes, numbers, .. } = self;
        let mut case = preprocess(name, image, labels, class_map, *spacing, schemes)?;
        if *numbers == Numbers::F16 {
            case.image.mapv_inplace(rounded);
        }
        Ok(case)
    }

    /// Channels that stay in Hounsfield units until the training cases are measured.
    pub fn unmeasured(&self) -> impl Iterator<Item = usize> {
        let of_ct = |(_, scheme): &(usize, &Normalisation)| {
            matches!(scheme, Normalisation::Ct { statistics: None })
        };
        self.schemes.iter().enumerate().filter(of_ct).map(|(channel, _)| channel)
    }

    /// All that a case depends on, as a text: the settings of preprocessing, and path, size and time
    /// of change of its files. As for the check of the data, a file that none of these tell apart
    /// counts as unchanged: reading all voxels again, only to see that they are the same, would cost
    /// much of what a cache saves.
    ///
    /// # Errors
    /// Files that are not there.
    pub fn made_from(&self, files: &CaseFiles) -> Result<String> {
        let Self { class_map, spacing, schemes, numbers, .. } = self;
        let mut text = format!(
            "scnas {}, version {VERSION}\nspacing {spacing:?}\nlabels {:?}\n{schemes:?}\n\
             {numbers:?}\nbytes, time of change, file\n",
            env!("CARGO_PKG_VERSION"),
            class_map.named()
        );
        if let Some(reading) = self.geometry {
            let _ = writeln!(text, "headers by {reading}");
        }
        for source in files.sources() {
            for path in files_of(source).map_err(|e| Error::file("read", source.path(), e))? {
                // However the way to it is spelled.
                let path = path.canonicalize().map_err(|e| Error::file("read", &path, e))?;
                let metadata = path.metadata().map_err(|e| Error::file("read", &path, e))?;
                let changed = metadata.modified().map_err(|e| Error::file("read", &path, e))?;
                let changed = changed.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
                let _ = writeln!(text, "{} {changed} {}", metadata.len(), path.display());
            }
        }
        Ok(text)
    }
}

/// Endings of headers whose voxels stand in a file of the same name beside them.
const HEADERS: [&str; 4] = ["hdr", "img", "mhd", "nhdr"];

/// The files that are read from a source, sorted.
fn files_of(source: &Source) -> std::io::Result<Vec<PathBuf>> {
    let path = source.path();
    let all = |folder: &Path, belongs: &dyn Fn(&Path) -> bool| {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            files.push(entry?.path());
        }
        files.retain(|file| file.is_file() && belongs(file));
        files.sort();
        Ok(files)
    };
    if path.is_dir() {
        return all(path, &|_| true);
    }
    let (stem, ending) = source.stem_and_ending();
    if !HEADERS.iter().any(|header| ending.contains(header)) {
        return Ok(vec![path.into()]);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    all(folder.unwrap_or(Path::new(".")), &|file| {
        let name = file.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_prefix(stem)).is_some_and(|rest| rest.starts_with('.'))
    })
}

/// As half precision has it; what is too large for it becomes its largest number.
fn rounded(value: f32) -> f32 {
    let largest = f16::MAX.to_f32();
    f16::from_f32(value.clamp(-largest, largest)).to_f32()
}
