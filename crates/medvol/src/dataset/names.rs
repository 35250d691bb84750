//! What channels and labels are called, in every way in which the neighbours write it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::json::{integer, kind, shown, text};
use super::regions::{self, Named};
use super::said::Said;
use crate::class_map::{ClassMap, Label};
use crate::target::Target;

/// What the voxels are called that are left out of loss and scores.
pub(crate) const IGNORE: &str = "ignore";

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

/// What label maps hold, and what is learnt of it.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Sorted by value; empty if there is any problem.
    pub(super) labels: Vec<Label>,
    pub(super) target: Target,
    /// The value of voxels that are left out.
    pub(super) ignore: Option<u16>,
}

/// `{"0": "background", "1": "tumour"}` (Decathlon), `{"background": 0, "tumour": 1}` (nnU-Net),
/// the numbers also as text, or `["background", "tumour"]`. With nnU-Net's, a label may stand for
/// several values: `{"background": 0, "tumour": [1, 2], "core": 2}` with `regions_class_order`,
/// where `keys` are the names in the order in which they stand there. The name `ignore` is that of
/// voxels that are left out.
pub(super) fn labels(
    value: &Value,
    keys: &[String],
    order: Option<&Value>,
    said: &mut Said,
) -> Listed {
    let before = said.problems.len();
    let entries: Vec<(String, &Value)> = match value {
        Value::Object(entries) => {
            keys.iter().filter_map(|key| Some((key.clone(), entries.get(key)?))).collect()
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
            names.iter().enumerate().map(|(n, name)| (n.to_string(), name)).collect()
        }
        other => {
            said.problem(format!(
                "\"labels\": expected {{\"background\": 0, \"tumour\": 1}}, found {}",
                kind(other)
            ));
            Vec::new()
        }
    };
    let mut named: Vec<Named> = Vec::new();
    for (key, entry) in entries {
        match label(&key, entry) {
            Ok(label) => named.push(label),
            Err(problem) => said.problem(problem),
        }
    }
    let ignore = ignored(&mut named, said);
    let has_regions = named.iter().any(|(_, values)| values.len() > 1);
    if !has_regions {
        named.sort_by_key(|(_, values)| values.first().copied());
    }
    if said.problems.len() == before || value.is_object() {
        judge(&named, has_regions, said);
    }
    if said.problems.len() > before {
        return Listed::default();
    }
    let written = match order {
        order if has_regions => regions::order(&named, order, said),
        Some(order) => {
            said.notice(
                format!(
                    "\"regions_class_order\": {} is not used: no label stands for several values",
                    shown(order)
                ),
                "take it out, or list the values of each region, as in \"tumour\": [1, 2]",
            );
            Vec::new()
        }
        None => Vec::new(),
    };
    if said.problems.len() > before {
        return Listed::default();
    }
    let labels = regions::values(&named, &written);
    let target = match has_regions {
        true => regions::target(&named, &written, &labels, said),
        false => Target::Classes,
    };
    Listed { labels, target, ignore }
}

/// Takes the label of voxels that are left out.
fn ignored(named: &mut Vec<Named>, said: &mut Said) -> Option<u16> {
    for (name, _) in named.iter() {
        if name != IGNORE && name.eq_ignore_ascii_case(IGNORE) {
            said.notice(
                format!("label {name:?} is learnt as any other: voxels to leave out are called {IGNORE:?}"),
                "write it in small letters if these voxels should be left out",
            );
        }
    }
    let (_, values) = named.remove(named.iter().position(|(name, _)| name == IGNORE)?);
    let highest = named.iter().flat_map(|(_, values)| values.last()).max().copied().unwrap_or(0);
    match values.first() {
        Some(&value) if values.len() == 1 && value > highest => Some(value),
        _ => {
            said.problem(format!(
                "\"labels\": {IGNORE:?} must have one value, above all others, which go up to \
                 {highest}; found {values:?}; give the voxels to ignore the value {} in the label \
                 maps and here",
                highest.saturating_add(1)
            ));
            None
        }
    }
}

fn judge(named: &[Named], has_regions: bool, said: &mut Said) {
    let alone = named.iter().find(|(_, values)| values.len() == 1 && values.contains(&0));
    let background = alone.or_else(|| named.iter().find(|(_, values)| values.contains(&0)));
    match background {
        Some((name, values)) if values.len() > 1 => said.problem(format!(
            "label {name:?} stands for {values:?}; voxels of 0 are always the background, which is \
             part of no region"
        )),
        Some((name, _)) if !is_background(name) && is_called_background(named) => {
            said.problem(format!(
                "label 0 is called {name:?} and another one \"background\", but voxels of 0 are \
                 always the background: give the background 0, and each structure another number, \
                 in the label maps and here"
            ));
        }
        Some((name, _)) if !is_background(name) => said.notice(
            format!("label 0 is called {name:?}, but voxels of 0 are always the background"),
            "if it is a structure, give it another number in the label maps and here",
        ),
        Some(_) => {}
        None => said.problem("the labels must include 0, the background"),
    }
    let first = background.map(|(name, _)| name);
    for (name, values) in named.iter().filter(|(name, _)| Some(name) != first) {
        if values.contains(&0) && has_regions {
            said.problem(format!(
                "label {name:?} stands for {values:?}; voxels of 0 are always the background, \
                 which is part of no region: take the 0 out of it"
            ));
        }
    }
    if !has_regions {
        for [(first, values), (second, _)] in named.array_windows().filter(|[a, b]| a.1 == b.1) {
            said.problem(format!(
                "label {} is listed twice, as {first:?} and as {second:?}",
                values.first().copied().unwrap_or(0)
            ));
        }
    }
    let values: BTreeSet<u16> =
        named.iter().flat_map(|(_, values)| values.iter().copied()).collect();
    let count = named.len().max(values.len());
    if count > ClassMap::MAX_CLASSES {
        said.problem(format!(
            "lists {count} labels; at most {} are supported",
            ClassMap::MAX_CLASSES
        ));
    }
}

/// Whether one of the labels has the very name of the background.
fn is_called_background(named: &[Named]) -> bool {
    named.iter().any(|(name, _)| name.trim().eq_ignore_ascii_case(BACKGROUND[0]))
}

fn is_background(name: &str) -> bool {
    BACKGROUND.contains(&name.trim().to_lowercase().as_str())
}

fn label(key: &str, entry: &Value) -> Result<Named, String> {
    let pair = || format!("{key:?}: {}", shown(entry));
    if let Value::Array(items) = entry {
        let value = |item: &Value| u16::try_from(integer(item)?).ok();
        let values: Option<BTreeSet<u16>> = items.iter().map(value).collect();
        return match values.filter(|values| !values.is_empty() && number(key).is_none()) {
            Some(values) => Ok((key.trim().to_string(), values)),
            None => Err(format!(
                "labels: expected a name and a list of integers from 0 to 65535, as in \"tumour\": \
                 [1, 2]; found {}",
                pair()
            )),
        };
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
        (Some(name), Some(value)) => Ok((name, BTreeSet::from([value]))),
        _ => Err(format!(
            "labels: expected one integer from 0 to 65535 and a name, as in \"tumour\": 1; found {}",
            pair()
        )),
    }
}

/// The number that a key is, also one that is written as `1.0`.
fn number(key: &str) -> Option<i64> {
    integer(&Value::from(key))
}
