//! Data sets in the layout of the Medical Segmentation Decathlon: a folder with `dataset.json`, `imagesTr`, `labelsTr`, `imagesTs`
//! (<http://medicaldecathlon.com>). The key `channel_names` and labels as `name: value`, both of nnU-Net, are understood too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::class_map::{ClassMap, Label};
use crate::error::{Error, Result};
use crate::nifti_io::{read_image, read_labels, read_raw};
use crate::raw::{RawImage, View};
use crate::volume::{Image, LabelMap};

/// How far a label map may lie from its image, as a part of the image's smallest spacing.
const PLACE_TOLERANCE: f64 = 0.1;

/// The files of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseFiles {
    /// The image's file name without `.nii` or `.nii.gz`.
    pub name: String,
    pub image: PathBuf,
    /// `None` for a case that is only to be predicted.
    pub label: Option<PathBuf>,
}

/// A data set's description; no image is read before [`Dataset::load`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    pub root: PathBuf,
    pub name: String,
    /// Names of the image channels, in the order of the files' fourth dimension.
    pub channels: Vec<String>,
    /// Sorted by value, the background (0) first: class `n` is `labels[n]`.
    pub labels: Vec<Label>,
    /// Training cases, sorted by name.
    pub cases: Vec<CaseFiles>,
    /// Test cases, sorted by name.
    pub test: Vec<CaseFiles>,
}

impl Dataset {
    /// Reads `dataset.json` of a data set's folder.
    ///
    /// # Errors
    /// [`Error::Read`] if the file is missing or unreadable, [`Error::DatasetJson`] if it cannot be understood.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let root = folder.as_ref();
        let path = root.join("dataset.json");
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        parse(root, &text).map_err(|reason| Error::DatasetJson { path, reason })
    }

    /// Reads and checks one case.
    ///
    /// # Errors
    /// Those of [`load_image`] and [`read_labels`]; [`Error::ShapeMismatch`] or [`Error::PlaceMismatch`] if image and label map do not lie
    /// on the same grid, [`Error::UnlistedLabel`].
    pub fn load(&self, case: &CaseFiles) -> Result<(Image, Option<LabelMap>)> {
        let image = load_image(&case.image, self.channels.len())?;
        let Some(path) = &case.label else {
            return Ok((image, None));
        };
        let label_map = read_labels(path)?;
        check_same_grid(&case.image, &image, path, &label_map)?;
        let class_map = ClassMap::new(&self.labels);
        class_map.classes(label_map.voxels.view()).map_err(|(voxel, value)| Error::UnlistedLabel {
            path: path.clone(),
            voxel,
            value,
            listed: class_map.values().to_vec(),
        })?;
        Ok((image, Some(label_map)))
    }
}

/// Reads an image and checks that it has `channels` channels and only finite voxels.
///
/// # Errors
/// Those of [`read_image`], [`Error::ChannelCount`], [`Error::NotFinite`].
pub fn load_image(path: impl AsRef<Path>, channels: usize) -> Result<Image> {
    let path = path.as_ref();
    let image = read_image(path)?;
    check_voxels(path, &image.raw_view(), channels)?;
    Ok(image)
}

/// [`load_image`] in as little memory as the file's voxels need.
///
/// # Errors
/// As [`load_image`].
pub fn load_raw(path: impl AsRef<Path>, channels: usize) -> Result<RawImage> {
    let path = path.as_ref();
    let image = read_raw(path)?;
    check_voxels(path, &image.view(), channels)?;
    Ok(image)
}

fn check_voxels(path: &Path, voxels: &View, channels: usize) -> Result<()> {
    let found = voxels.dim()[0];
    if found != channels {
        return Err(Error::ChannelCount { path: path.to_path_buf(), expected: channels, found });
    }
    match voxels.first_non_finite() {
        Some((voxel, value)) => Err(Error::NotFinite { path: path.to_path_buf(), voxel, value }),
        None => Ok(()),
    }
}

fn check_same_grid(image_path: &Path, image: &Image, label_path: &Path, label_map: &LabelMap) -> Result<()> {
    if image.shape() != label_map.shape() {
        return Err(Error::ShapeMismatch {
            image: image_path.to_path_buf(),
            label: label_path.to_path_buf(),
            image_shape: image.shape(),
            label_shape: label_map.shape(),
        });
    }
    let smallest = image.affine.spacing().into_iter().fold(f64::INFINITY, f64::min);
    let tolerance_mm = PLACE_TOLERANCE * smallest;
    let distance_mm = image.affine.max_displacement(&label_map.affine, image.shape());
    if distance_mm > tolerance_mm {
        return Err(Error::PlaceMismatch { image: image_path.to_path_buf(), label: label_path.to_path_buf(), distance_mm, tolerance_mm });
    }
    Ok(())
}

/// The parts of `dataset.json` that matter here.
#[derive(Deserialize)]
struct Description {
    name: Option<String>,
    #[serde(alias = "modality")]
    channel_names: BTreeMap<String, String>,
    labels: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    training: Vec<Entry>,
    #[serde(default)]
    test: Vec<Entry>,
}

/// Training cases are objects; test cases are mostly bare file names.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Image(String),
    Pair { image: String, label: Option<String> },
}

fn parse(root: &Path, text: &str) -> std::result::Result<Dataset, String> {
    let description: Description = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let cases = case_files(root, "training", description.training)?;
    let test = case_files(root, "test", description.test)?;
    if cases.is_empty() && test.is_empty() {
        return Err("lists no cases under \"training\" or \"test\"".to_string());
    }
    let folder_name = || root.file_name().map_or_else(String::new, |n| n.to_string_lossy().into());
    Ok(Dataset {
        root: root.to_path_buf(),
        name: description.name.unwrap_or_else(folder_name),
        channels: channels(description.channel_names)?,
        labels: labels(description.labels)?,
        cases,
        test,
    })
}

/// `{"0": "T1", "1": "T2"}`, in the order of the numbers.
fn channels(names: BTreeMap<String, String>) -> std::result::Result<Vec<String>, String> {
    let wrong = || format!("the channels must be numbered \"0\", \"1\", … without gaps; found {:?}", names.keys().collect::<Vec<_>>());
    if names.is_empty() {
        return Err(wrong());
    }
    (0..names.len()).map(|n| names.get(&n.to_string()).cloned().ok_or_else(wrong)).collect()
}

/// `{"0": "background", "1": "tumour"}` (Decathlon) or `{"background": 0, "tumour": 1}` (nnU-Net), sorted by value.
fn labels(entries: BTreeMap<String, serde_json::Value>) -> std::result::Result<Vec<Label>, String> {
    let mut labels = Vec::new();
    for (key, entry) in entries {
        let (name, value) = match entry {
            serde_json::Value::String(name) => (name, key.parse().ok()),
            serde_json::Value::Number(value) => (key.clone(), value.as_u64()),
            _ => (key.clone(), None),
        };
        let value = value
            .and_then(|value| u16::try_from(value).ok())
            .ok_or_else(|| format!("label {key:?} must be one integer from 0 to 65535 with a name, as in \"1\": \"tumour\""))?;
        labels.push(Label { value, name });
    }
    labels.sort_by_key(|label| label.value);
    if labels.first().is_none_or(|label| label.value != 0) {
        return Err("the labels must include 0, the background".to_string());
    }
    if let Some(pair) = labels.windows(2).find(|pair| pair[0].value == pair[1].value) {
        return Err(format!("label {} is listed twice", pair[0].value));
    }
    if labels.len() > ClassMap::MAX_CLASSES {
        return Err(format!("lists {} labels; at most {} are supported", labels.len(), ClassMap::MAX_CLASSES));
    }
    Ok(labels)
}

fn case_files(root: &Path, key: &str, entries: Vec<Entry>) -> std::result::Result<Vec<CaseFiles>, String> {
    let locate = |file: &str| root.join(file.trim_start_matches("./"));
    let mut cases: Vec<CaseFiles> = entries
        .into_iter()
        .map(|entry| {
            let (image, label) = match entry {
                Entry::Image(image) => (image, None),
                Entry::Pair { image, label } => (image, label),
            };
            CaseFiles { name: case_name(&image), image: locate(&image), label: label.as_deref().map(locate) }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    match cases.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(format!("case {:?} is listed twice under {key:?}", pair[0].name)),
        None => Ok(cases),
    }
}

/// The file name without folders and without `.nii` or `.nii.gz`.
fn case_name(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    let name = name.strip_suffix(".gz").unwrap_or(name);
    name.strip_suffix(".nii").unwrap_or(name).to_string()
}
