//! `dataset.json`: what channels and labels mean, in the words of the Decathlon and of nnU-Net.
//! Every key is understood by itself, so that all that is wrong with a file is known at once.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::class_map::{ClassMap, Label};

/// What the file says; empty where it says nothing or cannot be understood.
#[derive(Debug, Default)]
pub(super) struct Description {
    pub(super) name: Option<String>,
    pub(super) channels: Vec<String>,
    pub(super) labels: Vec<Label>,
    /// `numTraining`
    pub(super) announced: Option<usize>,
    pub(super) training: Vec<Entry>,
    pub(super) test: Vec<Entry>,
    /// Of nnU-Net, version 2.
    pub(super) file_ending: Option<String>,
    /// `dataset`, of nnU-Net, version 2: files by case.
    pub(super) mapping: Option<BTreeMap<String, Mapped>>,
}

/// A listed case. Training cases are objects; test cases are mostly bare file names.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Entry {
    Image(String),
    Pair { image: String, label: Option<String>, subject: Option<String> },
}

/// A mapped case.
#[derive(Debug, Deserialize)]
pub(super) struct Mapped {
    pub(super) images: Vec<String>,
    pub(super) label: Option<String>,
}

impl Description {
    pub(super) fn parse(text: &str, problems: &mut Vec<String>) -> Self {
        let mut object: Map<String, Value> = match serde_json::from_str(text) {
            Ok(object) => object,
            Err(error) => {
                problems.push(format!("expected a JSON object: {error}"));
                return Self::default();
            }
        };
        let channel_key =
            if object.contains_key("channel_names") { "channel_names" } else { "modality" };
        Self {
            name: field(&mut object, "name", problems),
            channels: required(
                &mut object,
                channel_key,
                "\"channel_names\": {\"0\": \"MRI\"}",
                problems,
            )
            .map_or_else(Vec::new, |names| channels(names, problems)),
            labels: required(
                &mut object,
                "labels",
                "\"labels\": {\"background\": 0, \"tumour\": 1}",
                problems,
            )
            .map_or_else(Vec::new, |entries| labels(entries, problems)),
            announced: object
                .get("numTraining")
                .and_then(Value::as_u64)
                .and_then(|n| n.try_into().ok()),
            training: field(&mut object, "training", problems).unwrap_or_default(),
            test: field(&mut object, "test", problems).unwrap_or_default(),
            file_ending: field(&mut object, "file_ending", problems),
            mapping: object
                .get("dataset")
                .is_some_and(Value::is_object)
                .then(|| field(&mut object, "dataset", problems))
                .flatten(),
        }
    }
}

/// A key that may be left out, or be null.
fn field<T: DeserializeOwned>(
    object: &mut Map<String, Value>,
    key: &str,
    problems: &mut Vec<String>,
) -> Option<T> {
    let value = object.remove(key).filter(|value| !value.is_null())?;
    serde_json::from_value(value).map_err(|error| problems.push(format!("{key:?}: {error}"))).ok()
}

fn required<T: DeserializeOwned>(
    object: &mut Map<String, Value>,
    key: &str,
    example: &str,
    problems: &mut Vec<String>,
) -> Option<T> {
    if !object.contains_key(key) {
        problems.push(format!("{key:?} is missing; write for example {example}"));
    }
    field(object, key, problems)
}

/// `{"0": "T1", "1": "T2"}`, in the order of the numbers.
fn channels(names: BTreeMap<String, String>, problems: &mut Vec<String>) -> Vec<String> {
    let ordered: Option<Vec<String>> =
        (0..names.len()).map(|n| names.get(&n.to_string()).cloned()).collect();
    ordered.filter(|names| !names.is_empty()).unwrap_or_else(|| {
        let found = names.keys().collect::<Vec<_>>();
        problems.push(format!(
            "the channels must be numbered \"0\", \"1\", … without gaps; found {found:?}"
        ));
        Vec::new()
    })
}

/// `{"0": "background", "1": "tumour"}` (Decathlon) or `{"background": 0, "tumour": 1}` (nnU-Net),
/// sorted by value; empty if there is any problem.
fn labels(entries: BTreeMap<String, Value>, problems: &mut Vec<String>) -> Vec<Label> {
    let before = problems.len();
    let mut labels = Vec::new();
    for (key, entry) in entries {
        match label(key, entry) {
            Ok(label) => labels.push(label),
            Err(problem) => problems.push(problem),
        }
    }
    labels.sort_by_key(|label| label.value);
    if labels.first().is_none_or(|label| label.value != 0) {
        problems.push("the labels must include 0, the background".to_string());
    }
    for pair in labels.windows(2).filter(|pair| pair[0].value == pair[1].value) {
        problems.push(format!("label {} is listed twice", pair[0].value));
    }
    if labels.len() > ClassMap::MAX_CLASSES {
        problems.push(format!(
            "lists {} labels; at most {} are supported",
            labels.len(),
            ClassMap::MAX_CLASSES
        ));
    }
    if problems.len() > before { Vec::new() } else { labels }
}

fn label(key: String, entry: Value) -> Result<Label, String> {
    let (name, value) = match entry {
        Value::String(name) => (name, key.parse().ok()),
        Value::Number(_) if key == "ignore" => {
            return Err("the label \"ignore\" is not supported: nothing can be left out of the \
                        loss; give these voxels another label, or leave the cases out"
                .to_string());
        }
        Value::Number(value) => (key.clone(), value.as_u64()),
        Value::Array(_) => {
            return Err(format!(
                "label {key:?} stands for several values; such regions are not supported: list \
                 each value under a name of its own"
            ));
        }
        _ => (key.clone(), None),
    };
    let value = value.and_then(|value| u16::try_from(value).ok());
    let value = value.ok_or_else(|| {
        format!(
            "label {key:?} must be one integer from 0 to 65535 with a name, as in \"1\": \
             \"tumour\""
        )
    })?;
    Ok(Label { value, name })
}
