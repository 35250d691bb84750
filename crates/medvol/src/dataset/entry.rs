//! A case as somebody wrote it down, and the files that it stands for.

use serde_json::{Map, Value};

use super::CaseFiles;
use super::json::{integer, kind, shown, text};
use super::locate::{Locator, without_scheme};
use super::naming::{names, names_of_files};
use super::said::Said;
use super::words::{self, Word};
use crate::io::{Source, stem_and_ending};
use crate::text::composed;

/// A case as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where it is listed, such as `training[3]` or `line 5`.
    pub(super) place: String,
    pub(super) name: Option<String>,
    /// One or more, as they are written.
    pub(super) images: Vec<String>,
    pub(super) label: Option<String>,
    pub(super) subject: Option<String>,
    /// The fold that holds it out.
    pub(super) fold: Option<u32>,
}

/// A case with its files.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) place: String,
    pub(super) files: CaseFiles,
    pub(super) fold: Option<u32>,
}

impl Entry {
    /// An entry of a list: a file's name, the names of the files of its channels, or an object with
    /// `image`, `label` and, if wanted, `case`, `subject` and `fold`, or what the neighbours call
    /// these ([`words`](super::words)).
    ///
    /// # Errors
    /// What was expected, what was found.
    pub(super) fn parse(item: &Value, place: String, said: &mut Said) -> Result<Self, String> {
        let mut entry =
            Self { place, name: None, images: Vec::new(), label: None, subject: None, fold: None };
        let place = &entry.place;
        match item {
            Value::String(_) | Value::Array(_) => entry.images = files(place, "image", item)?,
            Value::Object(case) => {
                let mut case = case.clone();
                let image = take(&mut case, Word::Image).or_else(|| numbered(&mut case));
                let Some((key, image)) = image else {
                    let keys = case.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                    return Err(format!("{place}: expected a key \"image\", found {keys:?}"));
                };
                entry.images = files(place, &key, &image)?;
                if let Some(channel) = case.keys().find(|key| is_numbered(key)) {
                    return Err(format!(
                        "{place}: {channel:?} cannot be used beside the others; number the channels \
                         image_0, image_1, … without gaps, or list their files under \"image\""
                    ));
                }
                entry.label = label(place, take(&mut case, Word::Label))?;
                let mut word = |word| match take(&mut case, word) {
                    Some((key, value)) => text(&value).map(Some).ok_or_else(|| {
                        format!("{place}: expected a text as {key:?}, found {}", shown(&value))
                    }),
                    None => Ok(None),
                };
                entry.name = word(Word::Case)?;
                entry.subject = word(Word::Subject)?;
                if let Some((key, fold)) = take(&mut case, Word::Fold) {
                    entry.fold = Some(self::fold(&fold).ok_or_else(|| {
                        format!(
                            "{place}: expected the number of a fold, 0 or more, as {key:?}; \
                             found {}",
                            shown(&fold)
                        )
                    })?);
                }
                case.keys().for_each(|key| words::unused(key, said));
            }
            other => {
                return Err(format!(
                    "{place}: expected a file's name or {{\"image\": …, \"label\": …}}, found {}",
                    kind(other)
                ));
            }
        }
        Ok(entry)
    }

    /// An entry of nnU-Net's mapping, under its name: an object with `images` and `label`.
    ///
    /// # Errors
    /// What was expected, what was found.
    pub(super) fn mapped(name: &str, item: &Value) -> Result<Self, String> {
        let place = format!("case {name:?} under \"dataset\"");
        let Some(case) = item.as_object() else {
            return Err(format!(
                "{place}: expected {{\"images\": […], \"label\": …}}, found {}",
                kind(item)
            ));
        };
        let mut case = case.clone();
        let Some((key, images)) = take(&mut case, Word::Image) else {
            return Err(format!("{place} has no \"images\""));
        };
        Ok(Self {
            images: files(&place, &key, &images)?,
            label: label(&place, take(&mut case, Word::Label))?,
            name: Some(name.to_string()),
            subject: None,
            fold: None,
            place,
        })
    }
}

/// Whether it is a case that names an image and a label map.
pub(super) fn is_labelled(case: &Map<String, Value>) -> bool {
    [Word::Image, Word::Label].into_iter().all(|word| take(&mut case.clone(), word).is_some())
}

/// What a case says under a word, with the key that it uses for it.
fn take(case: &mut Map<String, Value>, word: Word) -> Option<(String, Value)> {
    case.retain(|_, value| !value.is_null());
    let names: Vec<&str> = case.keys().map(String::as_str).collect();
    let key = names[word.position(&names)?].to_string();
    let value = case.remove(&key)?;
    Some((key, value))
}

/// The words before the number of a channel, as tables have them.
const NUMBERED: [&str; 2] = ["image_", "channel_"];

/// The files of channels that have a key each, `image_0`, `image_1`, …, as a list.
fn numbered(case: &mut Map<String, Value>) -> Option<(String, Value)> {
    NUMBERED.iter().find_map(|word| {
        let channel = |n| case.remove(&format!("{word}{n}"));
        let files: Vec<Value> = (0..).map_while(channel).collect();
        (!files.is_empty()).then(|| (format!("{word}0"), Value::Array(files)))
    })
}

fn is_numbered(key: &str) -> bool {
    let number = |word: &&str| Some(key.strip_prefix(*word)?.parse::<usize>().is_ok());
    NUMBERED.iter().find_map(number).unwrap_or(false)
}

/// The number of a fold, also one that is written as text, such as `fold_1`.
pub(super) fn fold(value: &Value) -> Option<u32> {
    let plain = || integer(value)?.try_into().ok();
    plain().or_else(|| {
        value
            .as_str()?
            .trim()
            .to_lowercase()
            .strip_prefix("fold")?
            .trim_start_matches(['_', '-', ' '])
            .parse()
            .ok()
    })
}

/// The files of an image: one, or a list of one a channel.
fn files(place: &str, key: &str, value: &Value) -> Result<Vec<String>, String> {
    let names: Option<Vec<String>> = match value {
        Value::String(name) => Some(vec![name.clone()]),
        Value::Array(names) => names.iter().map(|n| n.as_str().map(str::to_string)).collect(),
        _ => None,
    };
    let names = names.filter(|names| names.iter().all(|name| !name.trim().is_empty()));
    names.filter(|names| !names.is_empty()).ok_or_else(|| {
        format!(
            "{place}: expected the name of a file as {key:?}, or a list of names, one a channel; \
             found {}",
            shown(value)
        )
    })
}

fn label(place: &str, given: Option<(String, Value)>) -> Result<Option<String>, String> {
    let Some((key, value)) = given else { return Ok(None) };
    if value.as_str().is_some_and(|name| name.trim().is_empty()) {
        return Ok(None);
    }
    match files(place, &key, &value)?.as_slice() {
        [name] => Ok(Some(name.clone())),
        several => Err(format!(
            "{place}: expected one label map, found {} files; merge them into one map of integers",
            several.len()
        )),
    }
}

/// The files of each case of several lists, the last of which may be of test cases: they are named
/// alike, and a test case may have the name of a training case.
pub(super) fn locate<const N: usize>(
    mut lists: [Vec<Entry>; N],
    locator: &Locator,
) -> [Vec<Found>; N] {
    for Entry { images, label, .. } in lists.iter_mut().flatten() {
        for file in images.iter_mut().chain(label) {
            *file = without_scheme(file.trim()).into_owned();
        }
    }
    let images: Vec<&str> = lists.iter().flatten().map(first_image).collect();
    let tests = if N > 1 { lists[N - 1].len() } else { 0 };
    let (training, test) = images.split_at(images.len() - tests);
    let apart = names_of_files(training).zip(names_of_files(test));
    let named = apart.map_or_else(|| names(&images), |(training, test)| [training, test].concat());
    let mut named = named.into_iter();
    lists.map(|list| {
        list.into_iter()
            .map(|entry| {
                let found_name = named.next().unwrap_or_default();
                let source = |file: &String| Source::from(locator.find(file));
                let files = CaseFiles {
                    name: entry.name.as_deref().map_or(found_name, composed),
                    images: entry.images.iter().map(source).collect(),
                    label: entry.label.as_ref().map(source),
                    subject: entry.subject,
                };
                Found { place: entry.place, files, fold: entry.fold }
            })
            .collect()
    })
}

/// The file that names a case; without nnU-Net's number of the first channel where there are several,
/// or where the label map has none.
fn first_image(entry: &Entry) -> &str {
    let Some(first) = entry.images.first() else { return "" };
    let end = stem_and_ending(first).1;
    let stem = first.strip_suffix(end).unwrap_or(first);
    let name = |path: &str| {
        let file = path.trim().rsplit(['/', '\\']).next().unwrap_or("");
        stem_and_ending(file).0.to_string()
    };
    let of_label = |case: &&str| entry.label.as_deref().is_some_and(|l| name(l) == name(case));
    let unnumbered = stem.strip_suffix("_0000");
    unnumbered.filter(|case| entry.images.len() > 1 || of_label(case)).unwrap_or(first)
}
