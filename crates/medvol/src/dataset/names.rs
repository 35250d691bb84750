//! What channels and labels are called, in every way in which the neighbours write it.

use serde_json::Value;

use super::json::{integer, kind, shown, text};
use super::said::Said;
use crate::class_map::{ClassMap, Label};

/// What programs call the voxels outside of all structures.
const BACKGROUND: &[&str] = &[
    "background",
    "bg",
    "back",
    "backgrd",
    "unlabeled",
    "unlabelled",
    "clear label",
    "void",
    "none",
    "nothing",
    "other",
    "others",
    "outside",
    "exterior",
    "rest",
    "air",
    "zero",
    "0",
    "",
    "hintergrund",
];

/// `{"0": "T1", "1": "T2"}`, `{"T1": 0, "T2": 1}`, `["T1", "T2"]` or `"T1"`, in the order of the
/// numbers; empty if there is any problem.
pub(super) fn channels(key: &str, value: &Value, said: &mut Said) -> Vec<String> {
    let before = said.problems.len();
    let mut pairs: Vec<(i64, String)> = Vec::new();
    match value {
        Value::String(name) => pairs.push((0, name.trim().to_string())),
        Value::Array(names) => {
            for (n, name) in (0..).zip(names) {
                match text(name) {
                    Some(name) => pairs.push((n, name)),
                    None => said.problem(format!(
                        "{key:?}: expected a list of names, found {} in it",
                        shown(name)
                    )),
                }
            }
        }
        Value::Object(names) => {
            for (left, right) in names {
                match (number(left), text(right)) {
                    (Some(n), Some(name)) => pairs.push((n, name)),
                    (None, Some(_)) if integer(right).is_some() => {
                        pairs.extend(integer(right).map(|n| (n, left.trim().to_string())));
                    }
                    _ => said.problem(format!(
                        "{key:?}: expected a number and a name, as in \"0\": \"MRI\"; found \
                         {left:?}: {}",
                        shown(right)
                    )),
                }
            }
        }
        other => said.problem(format!(
            "{key:?}: expected {{\"0\": \"MRI\"}} with a number for each channel, found {}",
            kind(other)
        )),
    }
    if said.problems.len() > before {
        return Vec::new();
    }
    pairs.sort();
    if pairs.is_empty() || !pairs.iter().map(|(n, _)| *n).eq(0..pairs.len() as i64) {
        let found = pairs.iter().map(|(n, _)| n.to_string()).collect::<Vec<_>>();
        said.problem(format!(
            "{key:?}: the channels must be numbered \"0\", \"1\", … without gaps; found {found:?}"
        ));
        return Vec::new();
    }
    pairs.into_iter().map(|(_, name)| name).collect()
}

/// `{"0": "background", "1": "tumour"}` (Decathlon), `{"background": 0, "tumour": 1}` (nnU-Net),
/// the numbers also as text, or `["background", "tumour"]`; sorted by value, empty if there is any
/// problem.
pub(super) fn labels(value: &Value, said: &mut Said) -> Vec<Label> {
    let before = said.problems.len();
    let mut labels = Vec::new();
    let mut add = |label: Result<Label, String>, said: &mut Said| match label {
        Ok(label) => labels.push(label),
        Err(problem) => said.problem(problem),
    };
    match value {
        Value::Object(entries) => {
            entries.iter().for_each(|(key, entry)| add(label(key, entry), said));
        }
        Value::Array(names) => {
            // Without the background in it, nobody can know whether the first name is 0 or 1.
            if names.first().and_then(text).is_none_or(|name| !is_background(&name)) {
                said.problem(format!(
                    "\"labels\": a list of names must begin with \"background\"; found {}. Write \
                     for example {{\"background\": 0, \"tumour\": 1}}",
                    shown(value)
                ));
            }
            for (n, name) in names.iter().enumerate() {
                add(label(&n.to_string(), name), said);
            }
        }
        other => said.problem(format!(
            "\"labels\": expected {{\"background\": 0, \"tumour\": 1}}, found {}",
            kind(other)
        )),
    }
    labels.sort_by_key(|label| label.value);
    if said.problems.len() == before || value.is_object() {
        judge(&labels, said);
    }
    if said.problems.len() > before { Vec::new() } else { labels }
}

fn judge(labels: &[Label], said: &mut Said) {
    match labels.first() {
        Some(first) if first.value == 0 => {
            if !is_background(&first.name) {
                said.notice(
                    format!(
                        "label 0 is called {:?}, but voxels of 0 are always the background",
                        first.name
                    ),
                    "if it is a structure, give it another number in the label maps and here",
                );
            }
        }
        _ => said.problem("the labels must include 0, the background"),
    }
    for pair in labels.windows(2).filter(|pair| pair[0].value == pair[1].value) {
        said.problem(format!(
            "label {} is listed twice, as {:?} and as {:?}",
            pair[0].value, pair[0].name, pair[1].name
        ));
    }
    if labels.len() > ClassMap::MAX_CLASSES {
        said.problem(format!(
            "lists {} labels; at most {} are supported",
            labels.len(),
            ClassMap::MAX_CLASSES
        ));
    }
}

fn is_background(name: &str) -> bool {
    BACKGROUND.contains(&name.trim().to_lowercase().as_str())
}

fn label(key: &str, entry: &Value) -> Result<Label, String> {
    let pair = || format!("{key:?}: {}", shown(entry));
    if key == "ignore" && integer(entry).is_some() {
        return Err("the label \"ignore\" is not supported: nothing can be left out of the loss; \
                    give these voxels another label, or leave the cases out"
            .into());
    }
    if entry.is_array() {
        return Err(format!(
            "label {key:?} stands for several values; such regions are not supported: list each \
             value under a name of its own"
        ));
    }
    let (name, value) = match (number(key), integer(entry)) {
        (Some(left), Some(right)) if left != right => {
            return Err(format!(
                "labels: {} are two numbers; which of them is the value in the label maps? Write \
                 a name, as in \"tumour\": 1",
                pair()
            ));
        }
        (Some(value), _) => (text(entry), Some(value)),
        (None, value) => (Some(key.trim().to_string()), value),
    };
    match (name, value.and_then(|value| u16::try_from(value).ok())) {
        (Some(name), Some(value)) => Ok(Label { value, name }),
        _ => Err(format!(
            "labels: expected one integer from 0 to 65535 and a name, as in \"tumour\": 1; found {}",
            pair()
        )),
    }
}

/// The number that a key is.
fn number(key: &str) -> Option<i64> {
    key.trim().parse().ok()
}
