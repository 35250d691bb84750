//! JSON that people write: no key twice, numbers as text and text as numbers, and what is wrong
//! with it in words.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A value in which no object has a key twice: of two, one would be lost in silence.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {key:?} stands there twice")));
            }
            let Strict(value) = entries.next_value()?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// The value that a text is.
///
/// # Errors
/// What is wrong with it, with line and column.
pub(super) fn document(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Err("expected a JSON object, found an empty file".into());
    }
    match serde_json::from_str(text) {
        Ok(Strict(value)) => Ok(value),
        Err(error) => {
            let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or("");
            let rest: String = line.chars().skip(error.column().saturating_sub(1)).collect();
            // Where a word begins that is wrong in its second letter.
            let before: String = line.chars().skip(error.column().saturating_sub(2)).collect();
            let begins = |marks: &[&str]| {
                [&rest, &before]
                    .iter()
                    .any(|text| marks.iter().any(|mark| text.trim_start().starts_with(mark)))
            };
            let hint = if begins(&["//", "/*", "#"]) {
                "; JSON knows no comments: take them out"
            } else if begins(&["'"]) {
                "; JSON wants double quotes, as in \"name\""
            } else if begins(&["None", "True", "False", "NaN", "nan", "Infinity", "-Infinity"]) {
                "; JSON writes null, true and false, and has no NaN: write it with json.dump of \
                 Python"
            } else {
                ""
            };
            Err(format!(
                "expected a JSON object: {error}, in `{}`{hint}",
                around(line, error.column())
            ))
        }
    }
}

/// The keys of the object under "labels" in the order in which they stand in a text, which a [`Map`]
/// does not keep; none where there is no such object.
pub(super) fn label_keys(text: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct Labelled {
        #[serde(alias = "Labels", alias = "LABELS")]
        labels: Keys,
    }
    serde_json::from_str(text).map(|Labelled { labels: Keys(keys) }| keys).unwrap_or_default()
}

/// The keys of an object in their order.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeysVisitor).map(Self)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Vec<String>, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, _)) = entries.next_entry::<String, IgnoredAny>()? {
            keys.push(key);
        }
        Ok(keys)
    }
}

/// What stands about a column of a line, from 1.
fn around(line: &str, column: usize) -> String {
    const MOST: usize = 40;
    // Columns are counted in bytes.
    let before = line.char_indices().filter(|(at, _)| *at + 1 < column).count();
    let from = if before + 1 < MOST { 0 } else { before - MOST / 2 };
    let text: String = line.chars().skip(from).take(MOST).collect();
    text.trim().to_string()
}

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list [...]",
        Value::Object(_) => "an object {...}",
    }
}

/// A value as it stands there, or its beginning.
pub(super) fn shown(value: &Value) -> String {
    const MOST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A text, or a number as text.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// An integer, also one that is written as `"3"` or `3.0`.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| whole(text.parse().ok()?))
        }
        _ => None,
    }
}

fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < 1e15).then_some(value as i64)
}

/// A count, also one that is written as text.
pub(super) fn count(value: &Value) -> Option<usize> {
    integer(value)?.try_into().ok()
}
