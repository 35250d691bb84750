//! Data sets: which files belong to which case, and what channels and labels mean. No image is read
//! before [`Dataset::load`]. Four layouts are told apart by what is there, and read without
//! conversion:
//!
//! - the Medical Segmentation Decathlon's (<http://medicaldecathlon.com>): a folder with a
//!   `dataset.json` that lists the cases (`listed.rs`), each in a file of its own, in files of one
//!   channel each, or in a folder of its own (`naming.rs`);
//! - MONAI's lists: the same in a JSON file of any name, with `validation` and `testing` lists or the
//!   fold of each case;
//! - nnU-Net's raw folders: of version 1, where `dataset.json` lists `CASE.nii.gz` and the files
//!   are `CASE_0000.nii.gz` for channel 0 and so on (`listed.rs`); of version 2, where the cases
//!   are what lies in `imagesTr`, `labelsTr` and `imagesTs` (`numbered.rs`), or what the key
//!   `dataset` says;
//! - a CSV file of images and label maps, with channels and labels in a JSON file beside it
//!   (`table.rs`).
//!
//! What is written becomes cases ([`entry`]), and names of files become files that are there
//! (`locate.rs`).

mod description;
mod entry;
mod fold;
mod json;
mod listed;
mod locate;
mod names;
mod naming;
mod numbered;
mod regions;
mod said;
mod table;
mod words;

use std::path::{Path, PathBuf};

use crate::class_map::{ClassMap, Label};
use crate::error::{Error, Instead, Result};
use crate::io::{self, Header, Reading, Source, default_ending};
use crate::target::Target;
use crate::text::read_text;
use crate::volume::{Image, LabelMap};

use description::Description;
use entry::{Found, locate};
pub use fold::Fold;
use locate::Locator;
pub(crate) use names::IGNORE;
use names::Listed;
use said::Said;
pub use said::{Flaw, Notice};
pub use words::case_of_label_map;

/// The files of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseFiles {
    /// Unique among the training cases, and among the test cases; fit to be a file's name.
    pub name: String,
    /// One or more, each with one or more channels, in the order of the channels.
    pub images: Vec<Source>,
    /// `None` for a case that is only to be predicted.
    pub label: Option<Source>,
    /// Whose images these are, where the data set says so.
    pub subject: Option<String>,
}

impl CaseFiles {
    /// All that the case is read from.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.images.iter().chain(&self.label)
    }
}

/// A data set's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The folder, or that of the file that was given.
    pub root: PathBuf,
    /// The file that says what channels and labels mean.
    pub description: PathBuf,
    /// The CSV file that lists the cases, where one does.
    pub table: Option<PathBuf>,
    /// Its name; by default that of the folder or file.
    pub name: String,
    /// Names of the image channels, in the order of a case's files and of their fourth dimension.
    pub channels: Vec<String>,
    /// Sorted by value, the background (0) first: class `n` is `labels[n]`.
    pub labels: Vec<Label>,
    /// What is learnt and scored of these.
    pub target: Target,
    /// The value, above all others, of voxels that are left out of the loss and of all scores.
    pub ignore: Option<u16>,
    /// Training cases, sorted by name.
    pub cases: Vec<CaseFiles>,
    /// Test cases, sorted by name.
    pub test: Vec<CaseFiles>,
    /// Whether the cases are listed; otherwise they are what lies in the folders.
    pub listed: bool,
    /// Number of training cases that the description announces, where it does.
    pub announced: Option<usize>,
    /// Number of test cases that it announces, where it does.
    pub announced_test: Option<usize>,
    /// Who is held out, where the description says so; each fold has every labelled case.
    pub folds: Vec<Fold>,
    /// What the description says that is not used, or was read otherwise than it stands there.
    pub notices: Vec<Notice>,
    /// Keys of the description that nobody here knows.
    pub unknown_keys: Vec<String>,
}

/// A data set as far as its description can be understood, and what cannot.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Channels, or labels, are empty where they cannot be understood.
    pub(crate) dataset: Dataset,
    pub(crate) problems: Vec<Flaw>,
}

impl Dataset {
    /// Opens a data set: a folder with `dataset.json` (Decathlon or nnU-Net), a JSON file with lists
    /// of cases (MONAI), or a CSV file.
    ///
    /// A CSV file has a header and one line a case. Columns: `image`, or `image_0`, `image_1`, …
    /// for channels in several files; `label`, empty for images that are only to be predicted;
    /// `case`, by default the (first) image's name; `subject`, whose images these are; `fold`, which
    /// holds the case out. Other columns are ignored; paths are relative to the file's folder.
    /// Channels and labels are read from `dataset.json` beside it, or from the JSON file of the same
    /// name (`pairs.json` for `pairs.csv`), with the keys `channel_names` and `labels`; so they are
    /// for a JSON file with lists that says nothing of them.
    ///
    /// # Errors
    /// [`Error::NoDataSet`] if there is no description, [`Error::Read`] if it cannot be read,
    /// [`Error::Description`] with all that cannot be understood in it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let Survey { dataset, problems } = survey(path.as_ref())?;
        match problems.is_empty() {
            true => Ok(dataset),
            false => Err(Error::Description { problems }),
        }
    }

    /// The same, whose headers are read so where they contradict themselves.
    pub fn read_by(mut self, reading: Option<Reading>) -> Self {
        for case in self.cases.iter_mut().chain(&mut self.test) {
            for source in case.images.iter_mut().chain(&mut case.label) {
                *source = source.clone().read_by(reading);
            }
        }
        self
    }

    /// Whether `path` looks like a data set that [`Self::open`] can be asked to open.
    pub fn is_at(path: &Path) -> bool {
        is_table(path) || is_list(path) || is_folder(path)
    }

    /// The classes of the values that label maps hold.
    pub fn class_map(&self) -> ClassMap {
        ClassMap::new(&self.labels).ignoring(self.ignore)
    }

    /// The file that lists the cases, or the description of those that lie in folders.
    pub fn list(&self) -> &Path {
        self.table.as_ref().unwrap_or(&self.description)
    }

    /// Reads and checks one case.
    ///
    /// # Errors
    /// Those of [`io::open`] and [`Opened::image`](io::Opened::image) of a
    /// [`checked`](io::Opened::checked) image, and those of [`Self::load_labels`].
    pub fn load(&self, case: &CaseFiles) -> Result<(Image, Option<LabelMap>)> {
        let opened = io::open(&case.images)?.checked(self.channels.len())?;
        let header = opened.header().clone();
        Ok((opened.image()?, self.labels_on(&header, case)?))
    }

    /// Reads and checks a case's label map, if it has one; of its images only the headers.
    ///
    /// # Errors
    /// Those of [`io::open`] and [`Opened::labels`](io::Opened::labels); [`Error::ShapeMismatch`]
    /// or [`Error::PlaceMismatch`] if image and label map do not lie on the same grid,
    /// [`Error::UnlistedLabel`].
    pub fn load_labels(&self, case: &CaseFiles) -> Result<Option<LabelMap>> {
        if case.label.is_none() {
            return Ok(None);
        }
        self.labels_on(io::open(&case.images)?.header(), case)
    }

    /// The label map of a case whose image has this header.
    fn labels_on(&self, image: &Header, case: &CaseFiles) -> Result<Option<LabelMap>> {
        let Some(source) = &case.label else { return Ok(None) };
        let opened = source.open()?.on_grid_of(image);
        image.check_same_place(&case.images[0], source, opened.header())?;
        let label_map = opened.labels()?;
        let class_map = self.class_map();
        class_map.classes(label_map.voxels.view()).map_err(|(voxel, value)| {
            Error::UnlistedLabel {
                path: source.path().to_path_buf(),
                voxel,
                value,
                listed: class_map.listed(),
            }
        })?;
        Ok(Some(label_map))
    }
}

/// Opens a data set as far as it can be understood.
pub(crate) fn survey(path: &Path) -> Result<Survey> {
    let (table, list) = (is_table(path), is_list(path));
    if !table && !list && !is_folder(path) {
        return Err(none_at(path));
    }
    let root = if table || list { path.parent().unwrap_or(Path::new("")) } else { path };
    let (own, beside) = (path.with_extension("json"), root.join("dataset.json"));
    let description_path = if list {
        path.to_path_buf()
    } else if table && own.exists() {
        own
    } else {
        beside.clone()
    };
    if table && !description_path.exists() {
        let problem = Flaw { path: path.to_path_buf(), text: table::no_description(path) };
        return Err(Error::Description { problems: vec![problem] });
    }
    let mut said = Said::of(&description_path);
    let mut description = Description::parse(&text_of(&description_path)?, &mut said);
    let (mut problems, mut notices) = (Vec::new(), Vec::new());
    if list && !description.is_complete() && said.problems.is_empty() && beside.exists() {
        let mut of_other = Said::of(&beside);
        description.complete_with(Description::parse(&text_of(&beside)?, &mut of_other));
        problems.append(&mut of_other.problems);
    }
    if said.problems.is_empty() && problems.is_empty() {
        description.demand(&mut said);
    }
    let mut of_table = Said::of(path);
    let said_of_cases = if table { &mut of_table } else { &mut said };
    let locator = Locator::new(root);
    let mut by_folder = false;
    let [training, validation, test] = if table {
        let passed_over = "the table lists the cases";
        description.pass_over_lists(passed_over, said_of_cases);
        let [with, without] = locate(table::cases(&text_of(path)?, said_of_cases), &locator);
        [with, Vec::new(), without]
    } else {
        match cases_in_folders(root, &mut description, said_of_cases) {
            Some([training, test]) => {
                by_folder = true;
                [training, Vec::new(), test]
            }
            None => listed_cases(root, &mut description, &locator, said_of_cases),
        }
    };
    locator.report(said_of_cases);
    if said_of_cases.problems.is_empty()
        && [&training, &validation, &test].iter().all(|l| l.is_empty())
    {
        said_of_cases.problem(match &description.file_ending {
            _ if table => "no cases found".into(),
            Some(ending) => format!(
                "no cases found: expected files such as imagesTr/case_0000{ending}, as nnU-Net \
                 names them"
            ),
            None => "lists no cases under \"training\" or \"test\" (and is not nnU-Net's either, \
                     which has a \"file_ending\")"
                .into(),
        });
    }
    let folds = fold::said(&training, &validation, said_of_cases);
    // MONAI counts the cases under "training" only.
    let of_validation = validation.len();
    let announced = description.announced.map(|announced| match announced == training.len() {
        true => announced + of_validation,
        false => announced,
    });
    let cases = unique(training.into_iter().chain(validation).collect(), said_of_cases);
    let test = unique(test, said_of_cases);
    for Said { problems: of_file, notices: others, .. } in [&mut said, &mut of_table] {
        problems.append(of_file);
        notices.append(others);
    }
    let Listed { labels, target, ignore } = description.labels.unwrap_or_default();
    let dataset = Dataset {
        root: root.to_path_buf(),
        description: description_path,
        table: table.then(|| path.to_path_buf()),
        name: description.name.unwrap_or_else(|| own_name(path)),
        channels: description.channels.unwrap_or_default(),
        labels,
        target,
        ignore,
        cases,
        test,
        listed: !by_folder,
        announced,
        announced_test: description.announced_test,
        folds,
        notices,
        unknown_keys: description.unknown.into_iter().chain(of_table.unknown).collect(),
    };
    Ok(Survey { dataset, problems })
}

/// Training and test cases of nnU-Net's folders, if that is what there is.
fn cases_in_folders(
    root: &Path,
    description: &mut Description,
    said: &mut Said,
) -> Option<[Vec<Found>; 2]> {
    let ending = description.file_ending.clone().filter(|_| description.mapping.is_none())?;
    let found = numbered::cases(root, &ending, description.channel_count(), said);
    // A list of as many cases is what nnU-Net's first version left behind.
    let [training, _] = &found;
    let is_there = |case: &Found| case.files.images.iter().any(|image| image.path().exists());
    if description.training.is_some() && !training.iter().any(is_there) {
        return None;
    }
    let alike = description.training.as_ref().is_some_and(|list| list.len() == training.len());
    if !alike || description.validation.is_some() {
        let instead = "a \"file_ending\" means nnU-Net's folders, whose files are the cases";
        description.pass_over_lists(instead, said);
    }
    Some(found)
}

/// Training, validation and test cases that are listed; nnU-Net's mapping says nothing of test
/// cases, which are those in their folder.
fn listed_cases(
    root: &Path,
    description: &mut Description,
    locator: &Locator,
    said: &mut Said,
) -> [Vec<Found>; 3] {
    let Some(mapping) = description.mapping.take() else {
        return listed::cases(description, locator);
    };
    description.pass_over_lists("\"dataset\" lists the cases", said);
    let ending = description.file_ending.as_deref().unwrap_or(default_ending());
    let [_, test] = numbered::cases(root, ending, description.channel_count(), said);
    let [training] = locate([mapping], locator);
    [training, Vec::new(), test]
}

/// Why there is no data set.
fn none_at(path: &Path) -> Error {
    let instead = || {
        if !path.metadata()?.is_dir() {
            return Ok(Instead::File);
        }
        let entries = std::fs::read_dir(path)?.flatten().map(|entry| entry.path());
        let mut within = entries.filter(|folder| is_folder(folder));
        Ok(match (within.next(), within.next()) {
            (Some(only), None) => Instead::Around(only),
            _ => Instead::Folder,
        })
    };
    let path = path.to_path_buf();
    match instead() {
        Ok(instead) => Error::NoDataSet { path, instead },
        Err(source) => Error::Read { path, source },
    }
}

/// Whether it is a folder with a description.
fn is_folder(path: &Path) -> bool {
    path.join("dataset.json").exists()
}

fn is_table(path: &Path) -> bool {
    is_file(path, "csv") || is_file(path, "tsv")
}

/// Whether it is a description with lists of cases by itself.
fn is_list(path: &Path) -> bool {
    is_file(path, "json")
}

fn is_file(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension)) && path.is_file()
}

/// The name of a data set that does not say its own, however the way to it is spelled.
fn own_name(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = if full.is_dir() {
        full.file_name()
    } else if full.ends_with("dataset.json") {
        full.parent().and_then(Path::file_name)
    } else {
        full.file_stem()
    };
    name.unwrap_or_default().to_string_lossy().into_owned()
}

fn text_of(path: &Path) -> Result<String> {
    read_text(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })
}

/// Sorts cases by name; names that cannot be a file's or that occur twice are problems.
fn unique(mut cases: Vec<Found>, said: &mut Said) -> Vec<CaseFiles> {
    cases.sort_by(|a, b| a.files.name.cmp(&b.files.name));
    for Found { place, files: CaseFiles { name, .. }, .. } in &cases {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            said.problem(format!(
                "{place}: the name {name:?} of a case must be able to name a file"
            ));
        }
    }
    cases.dedup_by(|b, a| {
        let twice = a.files.name == b.files.name;
        if twice {
            said.problem(format!(
                "case {:?} is listed twice, at {} and {}; remove one, or give each its own name",
                a.files.name, a.place, b.place
            ));
        }
        twice
    });
    cases.into_iter().map(|case| case.files).collect()
}

/// nnU-Net's name of the file that holds a channel: `CASE_0000.nii.gz`.
fn channel_file(case: &str, channel: usize, ending: &str) -> String {
    format!("{case}_{channel:04}{ending}")
}
