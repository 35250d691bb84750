//! Large numbers as people write them: `100k`, `0.5M`, `1GiB`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of things, such as `100k` parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Count(pub u64);

/// A size in bytes, such as `800MB` or `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Bytes(pub u64);

/// Units of a [`Count`].
const THOUSANDS: [(&str, f64); 4] = [("", 1.0), ("k", 1e3), ("m", 1e6), ("g", 1e9)];

/// Units of [`Bytes`].
const BYTES: [(&str, f64); 11] = [
    ("", 1.0),
    ("b", 1.0),
    ("k", 1e3),
    ("kb", 1e3),
    ("m", 1e6),
    ("mb", 1e6),
    ("g", 1e9),
    ("gb", 1e9),
    ("kib", 1024.0),
    ("mib", 1024.0 * 1024.0),
    ("gib", 1024.0 * 1024.0 * 1024.0),
];

/// The whole number, at least 1, that `text` says in one of `units`, whose names are in small
/// letters.
fn parse(text: &str, units: &[(&str, f64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let value = number.parse::<f64>().ok()? * factor;
    (value >= 1.0).then_some(value.round() as u64)
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = parse(text, &THOUSANDS).map(Self);
        found.ok_or_else(|| "expected a number like 250000, 100k or 0.5M".into())
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = parse(text, &BYTES).map(Self);
        found.ok_or_else(|| "expected a size like 1GiB or 800MB".into())
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 as f64 {
            n @ ..1e3 => write!(f, "{n}"),
            n @ ..1e6 => write!(f, "{:.1}k", n / 1e3),
            n => write!(f, "{:.2}M", n / 1e6),
        }
    }
}

/// As it stands in a file of settings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl TryFrom<Written> for Count {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(number) => number.to_string().parse(),
            Written::Text(text) => text.parse(),
        }
    }
}

impl TryFrom<Written> for Bytes {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(number) => number.to_string().parse(),
            Written::Text(text) => text.parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_multiply_and_nonsense_is_refused() {
        for (text, expected) in
            [("100k", 100_000), ("0.5M", 500_000), (" 7 ", 7), ("2 G", 2_000_000_000)]
        {
            assert_eq!(text.parse(), Ok(Count(expected)), "{text}");
        }
        for (text, expected) in [("1GiB", 1 << 30), ("800MB", 800_000_000), ("1.5k", 1500)] {
            assert_eq!(text.parse(), Ok(Bytes(expected)), "{text}");
        }
        for text in ["", "k", "-1", "0", "1e3", "1x", "1..2", "1GiB"] {
            assert!(text.parse::<Count>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_count_is_shown_in_the_unit_that_reads_best() {
        let shown = [999, 99_950, 480_000, 2_000_000].map(|n| Count(n).to_string());
        assert_eq!(shown, ["999", "100.0k", "480.0k", "2.00M"]);
    }
}
