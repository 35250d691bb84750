//! Data sets to bytes: explicit types, little-endian, sequences with their lengths.

use super::attributes::{self as tags, Attribute, Vr};
use super::data_set::{DataSet, Element, Value};
use super::object::START;
use super::parse::ITEM;
use super::problem::Problem;
use super::transfer_syntax::EXPLICIT_LITTLE;

/// The most characters of a long string (LO).
const LONG_STRING: usize = 64;

/// The most characters of a decimal string (DS).
const DECIMAL: usize = 16;

impl DataSet {
    /// Sets a value of bytes.
    pub fn put(&mut self, attribute: Attribute, bytes: Vec<u8>) {
        let element = Element { vr: attribute.vr, value: Value::Bytes(bytes) };
        self.elements.insert(attribute.tag, element);
    }

    /// Sets a text. What would end it or split it becomes a space.
    pub fn put_text(&mut self, attribute: Attribute, text: &str) {
        let clean = |c: char| if c.is_control() || c == '\\' { ' ' } else { c };
        let text: String = text.chars().map(clean).take(LONG_STRING).collect();
        self.put(attribute, text.into_bytes());
    }

    /// Sets short integers.
    pub fn put_short(&mut self, attribute: Attribute, number: u16) {
        self.put(attribute, number.to_le_bytes().to_vec());
    }

    /// Sets long integers.
    pub fn put_long(&mut self, attribute: Attribute, numbers: &[u32]) {
        self.put(attribute, numbers.iter().flat_map(|number| number.to_le_bytes()).collect());
    }

    /// Sets the tags of attributes.
    pub fn put_tag(&mut self, attribute: Attribute, of: Attribute) {
        let (group, element) = ((of.tag >> 16) as u16, of.tag as u16);
        self.put(attribute, [group.to_le_bytes(), element.to_le_bytes()].concat());
    }

    /// Sets decimal numbers.
    pub fn put_decimals(&mut self, attribute: Attribute, numbers: &[f64]) {
        let decimals: Vec<String> = numbers.iter().copied().map(decimal).collect();
        self.put(attribute, decimals.join("\\").into_bytes());
    }

    /// Sets the items of a sequence.
    pub fn put_items(&mut self, attribute: Attribute, items: Vec<DataSet>) {
        let element = Element { vr: Vr::SQ, value: Value::Items(items) };
        self.elements.insert(attribute.tag, element);
    }

    /// Takes a value over from another data set, if it has one.
    pub fn copy(&mut self, attribute: Attribute, from: &DataSet) {
        if let Some(element) = from.elements.get(&attribute.tag) {
            let value = element.value.clone();
            self.elements.insert(attribute.tag, Element { vr: attribute.vr, value });
        }
    }
}

/// The nearest number of at most 16 characters.
fn decimal(number: f64) -> String {
    // No minus before a zero.
    let number = number + 0.0;
    let shortest = number.to_string();
    if shortest.len() <= DECIMAL {
        return shortest;
    }
    let written = (0..DECIMAL).rev().map(|digits| format!("{number:.digits$e}"));
    let fixed = (0..DECIMAL).rev().map(|digits| format!("{number:.digits$}"));
    let fits = |text: &String| text.len() <= DECIMAL;
    let error = |text: &String| text.parse::<f64>().map_or(f64::MAX, |n| (n - number).abs());
    written
        .filter(fits)
        .take(1)
        .chain(fixed.filter(fits).take(1))
        .min_by(|a, b| error(a).total_cmp(&error(b)))
        .unwrap_or_else(|| "0".into())
}

/// A whole file.
///
/// # Errors
/// [`Problem::TooLong`] for a value that needs more bytes than a length can say.
pub(super) fn file(data: &DataSet, implementation: &str) -> Result<Vec<u8>, Problem> {
    let mut meta = DataSet::default();
    let text = |attribute| data.text(attribute).unwrap_or_default();
    meta.put(tags::FILE_META_VERSION, vec![0, 1]);
    meta.put_text(tags::MEDIA_SOP_CLASS, &text(tags::SOP_CLASS));
    meta.put_text(tags::MEDIA_SOP_INSTANCE, &text(tags::SOP_INSTANCE));
    meta.put_text(tags::TRANSFER_SYNTAX, EXPLICIT_LITTLE);
    meta.put_text(tags::IMPLEMENTATION_CLASS, implementation);
    let mut elements = Vec::new();
    set(&meta, &mut elements)?;
    let mut length = DataSet::default();
    length.put_long(tags::FILE_META_LENGTH, &[elements.len() as u32]);

    let mut bytes = vec![0; START as usize - 4];
    bytes.extend(b"DICM");
    set(&length, &mut bytes)?;
    bytes.extend(elements);
    set(data, &mut bytes)?;
    Ok(bytes)
}

fn set(data: &DataSet, to: &mut Vec<u8>) -> Result<(), Problem> {
    for (&tag, Element { vr, value }) in &data.elements {
        put_tag(tag, to);
        to.extend(vr.0);
        let too_long = || Problem::TooLong { tag };
        let length_at = to.len() + if vr.is_long() { 2 } else { 0 };
        to.extend(if vr.is_long() { &[0; 6][..] } else { &[0; 2] });
        let start = to.len();
        match value {
            Value::Bytes(bytes) => to.extend(bytes),
            Value::Items(items) => {
                for item in items {
                    put_tag(ITEM, to);
                    let item_start = to.len() + 4;
                    to.extend([0; 4]);
                    set(item, to)?;
                    let length = u32::try_from(to.len() - item_start).map_err(|_| too_long())?;
                    to[item_start - 4..item_start].copy_from_slice(&length.to_le_bytes());
                }
            }
            // Only what is read has pixels elsewhere.
            Value::Pixels(_) | Value::Fragments(_) => {}
        }
        if (to.len() - start) % 2 == 1 {
            to.push(vr.padding());
        }
        let length = to.len() - start;
        if vr.is_long() {
            // All bits set would mean that the length is not known.
            let length = u32::try_from(length).ok().filter(|&n| n < u32::MAX);
            let length = length.ok_or_else(too_long)?;
            to[length_at..start].copy_from_slice(&length.to_le_bytes());
        } else {
            let length = u16::try_from(length).map_err(|_| too_long())?;
            to[length_at..start].copy_from_slice(&length.to_le_bytes());
        }
    }
    Ok(())
}

fn put_tag(tag: u32, to: &mut Vec<u8>) {
    to.extend(((tag >> 16) as u16).to_le_bytes());
    to.extend((tag as u16).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_take_sixteen_characters_and_stay_as_near_as_these_allow() {
        for number in [0.0, -0.0, 1.0, -123.456, 1.0 / 3.0, -1e-17, -2e22, 1e300, -1234.56789012345]
        {
            let text = decimal(number);
            let read: f64 = text.parse().unwrap();
            assert!(text.len() <= 16, "{text}");
            assert!((read - number).abs() <= 1e-9 * number.abs() + 1e-15, "{number} {text}");
        }
        assert_eq!(decimal(-0.0), "0");
        assert_eq!(decimal(0.7), "0.7");
    }
}
