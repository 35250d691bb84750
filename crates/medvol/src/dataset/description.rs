//! `dataset.json`: what channels and labels mean and who is held out, in the words of the
//! Decathlon, of nnU-Net and of MONAI's lists. Every key is understood by itself, so that all that
//! is wrong with a file is known at once.

use serde_json::{Map, Value};

use super::entry::{Entry, is_labelled};
use super::json::{count, document, kind, label_keys, shown, text};
use super::names::{self, Listed};
use super::said::Said;

/// Keys without a meaning for the data, in lower case.
const SILENT: &[&str] = &[
    "description",
    "reference",
    "licence",
    "license",
    "release",
    "relase",
    "tensorimagesize",
    "converted_by",
    "converted by",
    "citation",
    "author",
    "authors",
    "url",
    "version",
    "date",
    "contact",
    "numvalidation",
];

/// What the file says; empty where it says nothing or cannot be understood.
#[derive(Debug, Default)]
pub(super) struct Description {
    pub(super) name: Option<String>,
    /// `None`: it does not say.
    pub(super) channels: Option<Vec<String>>,
    /// `None`: it does not say.
    pub(super) labels: Option<Listed>,
    /// `numTraining`
    pub(super) announced: Option<usize>,
    /// `numTest`
    pub(super) announced_test: Option<usize>,
    /// `None`: there is no such list.
    pub(super) training: Option<Vec<Entry>>,
    /// Labelled cases that are held out.
    pub(super) validation: Option<Vec<Entry>>,
    pub(super) test: Option<Vec<Entry>>,
    /// Of nnU-Net, version 2: with its dot, in lower case.
    pub(super) file_ending: Option<String>,
    /// `dataset`, of nnU-Net, version 2: cases with their names.
    pub(super) mapping: Option<Vec<Entry>>,
    /// Keys that nobody here knows.
    pub(super) unknown: Vec<String>,
    /// Whether it is a list of cases and nothing else.
    is_list: bool,
}

impl Description {
    /// Understands a file as far as possible.
    pub(super) fn parse(text: &str, said: &mut Said) -> Self {
        let (mut object, is_list) = match document(text).and_then(described) {
            Ok(described) => described,
            Err(problem) => {
                said.problem(problem);
                return Self::default();
            }
        };
        if object.contains_key("target_class") {
            said.problem(
                "this is nnDetection's (it has a \"target_class\"): its label maps number \
                 objects, not classes. Give each class one value in the label maps, and list \
                 \"channel_names\" and \"labels\" as nnU-Net does",
            );
        }
        let channels = channels(&mut object, said);
        let labels = take(&mut object, "labels");
        let order = take(&mut object, "regions_class_order");
        let mut list = |keys: &[&str], said: &mut Said| {
            let mut lists = keys.iter().filter_map(|key| Some((*key, take(&mut object, key)?)));
            let (mut key, mut value) = lists.next()?;
            for (other, list) in lists {
                let in_vain = if is_empty(&value) {
                    (key, value) = (other, list);
                    continue;
                } else {
                    !is_empty(&list)
                };
                if in_vain {
                    said.notice(
                        format!("{other:?} is not used, as there is {key:?} too"),
                        "put all cases into one list",
                    );
                }
            }
            Some(entries(key, &value, said))
        };
        let training = list(&["training", "train"], said);
        let validation = list(&["validation", "val", "valid"], said);
        let test = list(&["test", "testing"], said);
        let mapping = match take(&mut object, "dataset") {
            Some(Value::Object(cases)) => Some(mapped(&cases, said)),
            // A name, most likely.
            _ => None,
        };
        let announced = number(&mut object, "numTraining", said);
        let announced_test = number(&mut object, "numTest", said);
        let mut word = |key: &str| {
            let value = take(&mut object, key)?;
            let word = self::text(&value);
            if word.is_none() {
                said.problem(format!("{key:?}: expected a text, found {}", shown(&value)));
            }
            word
        };
        let name = word("name").filter(|name| !name.is_empty());
        let file_ending = word("file_ending")
            .map(|ending| ending.trim_start_matches(['*', '.']).to_lowercase())
            .filter(|ending| !ending.is_empty())
            .map(|ending| format!(".{ending}"));
        if let Some(reader) = take(&mut object, "overwrite_image_reader_writer") {
            said.notice(
                format!("\"overwrite_image_reader_writer\": {} is not used", shown(&reader)),
                "nothing, where the files are what their endings say: each file is read by its \
                 own format",
            );
        }
        pass_over_others(&mut object, said);
        Self {
            name,
            channels,
            labels: labels
                .map(|value| names::labels(&value, &label_keys(text), order.as_ref(), said)),
            announced,
            announced_test,
            training,
            validation,
            test,
            file_ending,
            mapping,
            unknown: object
                .into_iter()
                .map(|(key, _)| key)
                .filter(|key| !SILENT.contains(&key.to_lowercase().as_str()))
                .chain(std::mem::take(&mut said.unknown))
                .collect(),
            is_list,
        }
    }

    /// Takes channels and labels from another file, as far as this one does not say them.
    pub(super) fn complete_with(&mut self, other: Self) {
        self.channels = self.channels.take().or(other.channels);
        self.labels = self.labels.take().or(other.labels);
    }

    /// Whether channels and labels are said.
    pub(super) fn is_complete(&self) -> bool {
        self.channels.is_some() && self.labels.is_some()
    }

    /// Number of channels, at least one.
    pub(super) fn channel_count(&self) -> usize {
        self.channels.as_ref().map_or(1, |names| names.len().max(1))
    }

    /// Says what is missing.
    pub(super) fn demand(&self, said: &mut Said) {
        for (missing, example) in [
            (self.channels.is_none(), "\"channel_names\": {\"0\": \"MRI\"}"),
            (self.labels.is_none(), "\"labels\": {\"background\": 0, \"tumour\": 1}"),
        ] {
            if missing {
                let (key, _) = example.split_once(':').unwrap_or((example, ""));
                said.problem(match self.is_list {
                    true => format!(
                        "{key} is missing, as the file is a list of cases: write \
                         {{{example}, …, \"training\": [ … ]}}"
                    ),
                    false => format!("{key} is missing; write for example {example}"),
                });
            }
        }
    }

    /// Says that another list of cases is the one that counts.
    pub(super) fn pass_over_lists(&mut self, instead: &str, said: &mut Said) {
        let lists = [
            ("training", self.training.take()),
            ("validation", self.validation.take()),
            ("test", self.test.take()),
            ("dataset", self.mapping.take()),
        ];
        for (key, list) in lists {
            if let Some(list) = list.filter(|list| !list.is_empty()) {
                said.notice(
                    format!("the {} case(s) under {key:?} are not used: {instead}", list.len()),
                    "take the list out, or make both say the same",
                );
            }
        }
    }
}

/// A description, or a list of labelled cases and nothing else, which can only be those to train
/// with; and whether it is that.
fn described(document: Value) -> Result<(Map<String, Value>, bool), String> {
    let is_labelled = |case: &Value| case.as_object().is_some_and(is_labelled);
    match document {
        Value::Object(object) => Ok((object, false)),
        Value::Array(cases) if !cases.is_empty() && cases.iter().all(is_labelled) => {
            Ok((Map::from_iter([("training".to_string(), Value::Array(cases))]), true))
        }
        other => Err(format!(
            "expected a JSON object {{…}}, or a list of cases, each {{\"image\": …, \"label\": …}}; \
             found {}",
            kind(&other)
        )),
    }
}

/// A key that may be left out, or be null; in other capitals, where it is not there as it is.
fn take(object: &mut Map<String, Value>, key: &str) -> Option<Value> {
    let alike = |object: &Map<String, Value>| {
        object.keys().find(|other| other.trim().eq_ignore_ascii_case(key)).cloned()
    };
    let own = if object.contains_key(key) { Some(key.to_string()) } else { alike(object) };
    object.remove(&own?).filter(|value| !value.is_null())
}

/// Says which lists of cases have another name than those that are read, and takes them out.
fn pass_over_others(object: &mut Map<String, Value>, said: &mut Said) {
    let is_case = |item: &Value| item.as_object().is_some_and(is_labelled);
    object.retain(|key, value| {
        let count = value.as_array().map_or(0, |items| items.iter().filter(|i| is_case(i)).count());
        if count > 0 {
            said.notice(
                format!("the {count} labelled case(s) under {key:?} are not used"),
                "list them under \"training\", \"validation\" or \"test\", if they should be used",
            );
        }
        count == 0
    });
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

/// The names of the channels, under the first of the keys that say them; another may not disagree.
fn channels(object: &mut Map<String, Value>, said: &mut Said) -> Option<Vec<String>> {
    let keys = ["channel_names", "modality", "modalities"];
    let mut found = keys.into_iter().filter_map(|key| Some((key, take(object, key)?)));
    let (key, value) = found.next()?;
    let names = names::channels(key, &value, said);
    let lower = |names: &[String]| names.iter().map(|n| n.to_lowercase()).collect::<Vec<_>>();
    for (other, value) in found {
        // What is wrong with names that are not used does no harm.
        let others = names::channels(other, &value, &mut said.apart());
        if lower(&others) != lower(&names) {
            said.notice(
                format!("{other:?} says {others:?}, but {key:?} {names:?}, which is used"),
                "make both say the same: images are normalised by these names",
            );
        }
    }
    Some(names)
}

fn number(object: &mut Map<String, Value>, key: &str, said: &mut Said) -> Option<usize> {
    let value = take(object, key)?;
    let number = count(&value);
    if number.is_none() {
        said.notice(
            format!("{key:?}: expected a number of cases, found {}; it is not used", shown(&value)),
            "correct the number",
        );
    }
    number
}

fn entries(key: &str, value: &Value, said: &mut Said) -> Vec<Entry> {
    let Value::Array(items) = value else {
        said.problem(format!("{key:?}: expected a list of cases, found {}", kind(value)));
        return Vec::new();
    };
    let entry = |(n, item)| {
        let parsed = Entry::parse(item, format!("{key}[{n}]"), said);
        parsed.map_err(|problem| said.problem(problem)).ok()
    };
    items.iter().enumerate().filter_map(entry).collect()
}

fn mapped(cases: &Map<String, Value>, said: &mut Said) -> Vec<Entry> {
    let entry = |(name, item): (&String, &Value)| match Entry::mapped(name, item) {
        Ok(entry) => Some(entry),
        Err(problem) => {
            said.problem(problem);
            None
        }
    };
    cases.iter().filter_map(entry).collect()
}
