//! A data set: attributes and their values, as they stand in a file.

use std::collections::BTreeMap;
use std::ops::Range;

use super::attributes::{Attribute, Vr};
use super::problem::Problem;

/// The attributes of an object, or of an item of a sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DataSet {
    /// By tag.
    pub elements: BTreeMap<u32, Element>,
}

/// The type of a value and the value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Element {
    /// The type.
    pub vr: Vr,
    /// The value.
    pub value: Value,
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Text, or numbers in little-endian order.
    Bytes(Vec<u8>),
    /// The items of a sequence.
    Items(Vec<DataSet>),
    /// Pixels as they are, at these bytes of the file.
    Pixels(Range<u64>),
    /// Pixels in pieces, of which the first is the table of where frames begin.
    Fragments(Vec<Range<u64>>),
}

impl DataSet {
    fn bytes(&self, attribute: Attribute) -> Option<(Vr, &[u8])> {
        match self.elements.get(&attribute.tag)? {
            Element { vr, value: Value::Bytes(bytes) } => Some((*vr, bytes)),
            _ => None,
        }
    }

    /// A text without the blanks around it; none where it is empty or missing. What is not UTF-8
    /// is replaced: texts are compared and shown, no more.
    pub fn text(&self, attribute: Attribute) -> Option<String> {
        let (_, bytes) = self.bytes(attribute)?;
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// All numbers of a value, binary or text; none where it is empty, missing, or holds anything
    /// that is no finite number.
    pub fn numbers(&self, attribute: Attribute) -> Option<Vec<f64>> {
        let (vr, bytes) = self.bytes(attribute)?;
        // Implicit files and unknown types have the type of the table.
        let vr = if vr == Vr::UN { attribute.vr } else { vr };
        let numbers: Option<Vec<f64>> = match &vr.0 {
            b"US" => Some(words(bytes, |word| u16::from_le_bytes(word).into())),
            b"SS" => Some(words(bytes, |word| i16::from_le_bytes(word).into())),
            b"UL" => Some(words(bytes, |word| u32::from_le_bytes(word).into())),
            b"SL" => Some(words(bytes, |word| i32::from_le_bytes(word).into())),
            b"FL" => Some(words(bytes, |word| f32::from_le_bytes(word).into())),
            b"FD" => Some(words(bytes, f64::from_le_bytes)),
            _ => std::str::from_utf8(bytes).ok().and_then(|text| {
                text.split('\\')
                    .map(|part| part.trim_matches(|c: char| c.is_whitespace() || c == '\0'))
                    .map(|part| part.parse().ok())
                    .collect()
            }),
        };
        numbers.filter(|all| !all.is_empty() && all.iter().all(|number| number.is_finite()))
    }

    /// `N` numbers.
    pub fn vector<const N: usize>(&self, attribute: Attribute) -> Option<[f64; N]> {
        self.numbers(attribute)?.try_into().ok()
    }

    /// One number.
    pub fn number(&self, attribute: Attribute) -> Option<f64> {
        self.vector(attribute).map(|[number]| number)
    }

    /// One integer that is not negative.
    pub fn count(&self, attribute: Attribute) -> Option<u32> {
        self.number(attribute)
            .filter(|number| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number))
            .map(|number| number as u32)
    }

    /// One number, where there is a value.
    ///
    /// # Errors
    /// A value that is not one number: what it would have changed cannot be known.
    pub fn given(&self, attribute: Attribute) -> Result<Option<f64>, Problem> {
        self.checked(attribute, self.number(attribute), "one number")
    }

    /// One integer that is not negative, where there is a value.
    ///
    /// # Errors
    /// A value that is none.
    pub fn given_count(&self, attribute: Attribute) -> Result<Option<u32>, Problem> {
        self.checked(attribute, self.count(attribute), "one whole number, 0 or more")
    }

    fn checked<T>(
        &self,
        attribute: Attribute,
        number: Option<T>,
        expected: &'static str,
    ) -> Result<Option<T>, Problem> {
        match (number, self.shown(attribute)) {
            (None, Some(found)) => Err(Problem::Value { attribute, found, expected }),
            (number, _) => Ok(number),
        }
    }

    /// A value as messages show it; none where it is empty or missing.
    pub fn shown(&self, attribute: Attribute) -> Option<String> {
        match self.elements.get(&attribute.tag)?.vr.word() {
            1 => self.text(attribute).map(|text| format!("{text:?}")),
            _ => self.numbers(attribute).map(|numbers| format!("{numbers:?}")),
        }
    }

    /// The items of a sequence; none where it is missing.
    pub fn items(&self, attribute: Attribute) -> &[DataSet] {
        match self.elements.get(&attribute.tag) {
            Some(Element { value: Value::Items(items), .. }) => items,
            _ => &[],
        }
    }

    /// The value of an attribute here or in the first item of a sequence that has it, as text.
    pub fn anywhere(&self, attribute: Attribute) -> Option<String> {
        let here = || match attribute.vr.word() {
            1 => self.text(attribute),
            _ => self.numbers(attribute).map(|numbers| format!("{numbers:?}")),
        };
        here().or_else(|| {
            self.elements.values().find_map(|element| match &element.value {
                Value::Items(items) => items.iter().find_map(|item| item.anywhere(attribute)),
                _ => None,
            })
        })
    }

    /// Whether there is a value, even an empty one.
    pub fn has(&self, attribute: Attribute) -> bool {
        self.elements.contains_key(&attribute.tag)
    }
}

fn words<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|word| number(*word)).collect()
}
