//! Data sets: which files belong to which case, and what channels and labels mean. No image is read
//! before [`Dataset::load`]. Three layouts are told apart by what is there, and read without
//! conversion:
//!
//! - the Medical Segmentation Decathlon's (<http://medicaldecathlon.com>): a folder with a
//!   `dataset.json` that lists the cases (`listed.rs`);
//! - nnU-Net's raw folders: of version 1, where `dataset.json` lists `CASE.nii.gz` and the files
//!   are `CASE_0000.nii.gz` for channel 0 and so on (`listed.rs`); of version 2, where the cases
//!   are what lies in `imagesTr`, `labelsTr` and `imagesTs` (`numbered.rs`);
//! - a CSV file of images and label maps, with channels and labels in a JSON file beside it
//!   (`table.rs`).

mod description;
mod listed;
mod numbered;
mod table;

use std::path::{Path, PathBuf};

use crate::class_map::{ClassMap, Label};
use crate::error::{Error, Result};
use crate::io::{self, Header, Source};
use crate::open::open_file;
use crate::volume::{Image, LabelMap};

use description::Description;

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
    /// The folder, or that of the CSV file.
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
    /// Training cases, sorted by name.
    pub cases: Vec<CaseFiles>,
    /// Test cases, sorted by name.
    pub test: Vec<CaseFiles>,
    /// Number of training cases that the description announces, where it does.
    pub announced: Option<usize>,
}

/// A data set as far as its description can be understood, and what cannot.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Channels, or labels, are empty where they cannot be understood.
    pub(crate) dataset: Dataset,
    pub(crate) problems: Vec<String>,
}

impl Dataset {
    /// Opens a data set: a folder with `dataset.json` (Decathlon or nnU-Net), or a CSV file.
    ///
    /// A CSV file has a header and one line a case. Columns: `image`, or `image_0`, `image_1`, …
    /// for channels in several files; `label`, empty for images that are only to be predicted;
    /// `case`, by default the (first) image's name; `subject`, whose images these are. Other
    /// columns are ignored; paths are relative to the CSV file's folder. Channels and labels are
    /// read from `dataset.json` beside it, or from the JSON file of the same name (`pairs.json`
    /// for `pairs.csv`), with the keys `channel_names` and `labels`.
    ///
    /// # Errors
    /// [`Error::Read`] if the description is missing or unreadable, [`Error::Description`] with all
    /// that cannot be understood in it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let Survey { dataset, problems } = survey(path.as_ref())?;
        match problems.is_empty() {
            true => Ok(dataset),
            false => Err(Error::Description { path: dataset.description, problems }),
        }
    }

    /// Whether `path` looks like a data set that [`Self::open`] can be asked to open.
    pub fn is_at(path: &Path) -> bool {
        is_table(path) || path.join("dataset.json").exists()
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
        let opened = source.open()?.on_grid_of(&image.grid);
        image.check_same_place(&case.images[0], source, opened.header())?;
        let label_map = opened.labels()?;
        let class_map = ClassMap::new(&self.labels);
        class_map.classes(label_map.voxels.view()).map_err(|(voxel, value)| {
            Error::UnlistedLabel {
                path: source.path().to_path_buf(),
                voxel,
                value,
                listed: class_map.values().to_vec(),
            }
        })?;
        Ok(Some(label_map))
    }
}

/// Opens a data set as far as it can be understood.
pub(crate) fn survey(path: &Path) -> Result<Survey> {
    let table = is_table(path);
    let root = if table { path.parent().unwrap_or(Path::new("")) } else { path };
    let own = path.with_extension("json");
    let description_path = if table && own.exists() { own } else { root.join("dataset.json") };
    if table && !description_path.exists() {
        return Err(Error::Description {
            path: path.to_path_buf(),
            problems: vec![table::no_description(path)],
        });
    }
    let text = read_text(&description_path)?;
    let mut problems = Vec::new();
    let mut description = Description::parse(&text, &mut problems);
    let own_name = if table { path.file_stem() } else { path.file_name() };
    let name =
        description.name.take().or_else(|| own_name.map(|name| name.to_string_lossy().into()));
    let (cases, test) = if table {
        table::cases(path, &mut problems)?
    } else if description.file_ending.is_some() || description.mapping.is_some() {
        numbered::cases(root, &mut description, &mut problems)
    } else {
        listed::cases(root, &mut description)
    };
    if problems.is_empty() && cases.is_empty() && test.is_empty() {
        problems.push(if table || description.file_ending.is_some() {
            "no cases found".into()
        } else {
            "lists no cases under \"training\" or \"test\" (and is not nnU-Net's either, which has \
             a \"file_ending\")"
                .to_string()
        });
    }
    let dataset = Dataset {
        root: root.to_path_buf(),
        description: description_path,
        table: table.then(|| path.to_path_buf()),
        name: name.unwrap_or_default(),
        channels: description.channels,
        labels: description.labels,
        cases: unique("training", cases, &mut problems),
        test: unique("test", test, &mut problems),
        announced: description.announced,
    };
    Ok(Survey { dataset, problems })
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
        && path.is_file()
}

fn read_text(path: &Path) -> Result<String> {
    open_file(path)
        .and_then(std::io::read_to_string)
        .map_err(|source| Error::Read { path: path.to_path_buf(), source })
}

/// Sorts cases by name; names that cannot be a file's or that occur twice are problems.
fn unique(what: &str, mut cases: Vec<CaseFiles>, problems: &mut Vec<String>) -> Vec<CaseFiles> {
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    for case in &cases {
        if case.name.is_empty()
            || case.name.starts_with('.')
            || case.name.contains(['/', '\\', '\0'])
        {
            problems.push(format!(
                "case {:?} under {what:?}: its name must be able to name a file",
                case.name
            ));
        }
    }
    cases.dedup_by(|b, a| {
        let twice = a.name == b.name;
        if twice {
            problems.push(format!(
                "case {:?} is listed twice under {what:?}; remove one, or give each its own name",
                a.name
            ));
        }
        twice
    });
    cases
}

/// nnU-Net's name of the file that holds a channel: `CASE_0000.nii.gz`.
fn channel_file(case: &str, channel: usize, ending: &str) -> String {
    format!("{case}_{channel:04}{ending}")
}
