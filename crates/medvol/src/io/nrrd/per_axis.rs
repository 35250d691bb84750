//! The fields of an NRRD header that say something of each axis, and vectors in space.

use super::fields::Fields;
use crate::io::fault::HeaderFault;
use crate::io::lines::values;

/// A value, or what is wrong with its text.
pub(super) type Parsed<T> = std::result::Result<T, HeaderFault>;

/// What is written for an axis of which there is nothing to say.
const NOTHING: [&str; 2] = ["none", "???"];

/// What is known of each axis, the fastest first. A field that is not there knows nothing.
#[derive(Debug)]
pub(super) struct PerAxis {
    /// The step from a voxel to the next one in a space of 2 to 4 dimensions (the fourth is time).
    /// None where no axis has one.
    pub directions: Option<Vec<Option<Vec<f64>>>>,
    /// Size of a step.
    pub spacings: Vec<Option<f64>>,
    /// Where the axis begins.
    pub minima: Vec<Option<f64>>,
    /// Whether the first voxel stands where the axis begins, or half a step behind it.
    pub nodes: Vec<bool>,
    /// What the axis is, in lower case.
    pub kinds: Vec<Option<String>>,
    /// The unit of a step.
    pub units: Vec<Option<String>>,
}

impl PerAxis {
    /// Of `count` axes.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn of(fields: &Fields, count: usize) -> Parsed<Self> {
        let words = |name: &str| words(fields.get(name), name, count);
        let centers = match fields.get("centerings") {
            Some(_) => words("centerings")?,
            None => words("centers")?,
        };
        Ok(Self {
            directions: directions(fields, count)?,
            spacings: numbers(fields, "spacings", count)?,
            minima: numbers(fields, "axismins", count)?,
            nodes: centers.iter().map(|word| word.as_deref() == Some("node")).collect(),
            kinds: words("kinds")?,
            units: words("units")?,
        })
    }
}

/// A word for each axis, in lower case. Quotation marks are no part of it.
fn words(text: Option<&str>, name: &str, count: usize) -> Parsed<Vec<Option<String>>> {
    let Some(text) = text else { return Ok(vec![None; count]) };
    let words = split(text);
    if words.len() != count {
        return Err(HeaderFault::values(name, count, "words, one an axis", text));
    }
    let known = |word: &String| !word.is_empty() && !NOTHING.contains(&word.as_str());
    Ok(words.into_iter().map(|word| Some(word.to_ascii_lowercase()).filter(known)).collect())
}

/// Words apart by blanks, those in quotation marks as they are.
pub(super) fn split(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, behind) = match rest.strip_prefix('"') {
            Some(inside) => inside.split_once('"').unwrap_or((inside, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word);
        rest = behind.trim_start();
    }
    words
}

/// A number for each axis; NaN says nothing.
fn numbers(fields: &Fields, name: &str, count: usize) -> Parsed<Vec<Option<f64>>> {
    let Some(text) = fields.get(name) else { return Ok(vec![None; count]) };
    values(text)
        .filter(|numbers: &Vec<f64>| numbers.len() == count)
        .map(|numbers| numbers.into_iter().map(|n| Some(n).filter(|n| !n.is_nan())).collect())
        .ok_or_else(|| HeaderFault::values(name, count, "numbers, one an axis", text))
}

fn directions(fields: &Fields, count: usize) -> Parsed<Option<Vec<Option<Vec<f64>>>>> {
    let Some(text) = fields.get("spacedirections") else { return Ok(None) };
    let dimensions = dimensions(fields)?;
    vectors(text)
        .filter(|vectors| {
            let fits =
                |v: &Vec<f64>| dimensions.map_or((2..=4).contains(&v.len()), |n| v.len() == n);
            vectors.len() == count && vectors.iter().flatten().all(fits)
        })
        .map(Some)
        .ok_or_else(|| {
            HeaderFault::values("space directions", count, "vectors or none, one an axis", text)
        })
}

/// How many numbers a vector in space has, where something is said of space; four with time.
///
/// # Errors
/// What is wrong.
pub(super) fn dimensions(fields: &Fields) -> Parsed<Option<usize>> {
    if let Some(space) = fields.get("space") {
        let name = space.to_ascii_lowercase();
        let time = name.ends_with("-time") || ["rast", "last", "lpst"].contains(&name.as_str());
        return Ok(Some(if time { 4 } else { 3 }));
    }
    let Some(text) = fields.get("spacedimension") else { return Ok(None) };
    match text.parse() {
        Ok(n @ 2..=3) => Ok(Some(n)),
        _ => Err(HeaderFault::value("space dimension", "2 or 3", text)),
    }
}

/// Where the first voxel is.
///
/// # Errors
/// What is wrong.
pub(super) fn origin(fields: &Fields) -> Parsed<Option<[f64; 3]>> {
    let Some(text) = fields.get("spaceorigin") else { return Ok(None) };
    match vectors(text).as_deref() {
        // Known to be unknown.
        Some([None]) => Ok(None),
        Some([Some(origin)]) if (2..=4).contains(&origin.len()) => Ok(Some(in_three(origin))),
        _ => Err(HeaderFault::value("space origin", "one vector", text)),
    }
}

/// Without time; a vector of two numbers lies in a plane.
pub(super) fn in_three(vector: &[f64]) -> [f64; 3] {
    [0, 1, 2].map(|n| vector.get(n).copied().unwrap_or(0.0))
}

/// `(1,0,0) none (0, 1, 0)`; a vector of NaN is none, too. None if the text is something else.
fn vectors(text: &str) -> Option<Vec<Option<Vec<f64>>>> {
    let mut vectors = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let behind = if let Some(inside) = rest.strip_prefix('(') {
            let (inside, behind) = inside.split_once(')')?;
            let vector: Vec<f64> =
                inside.split(',').map(|v| v.trim().parse().ok()).collect::<Option<_>>()?;
            vectors.push(Some(vector).filter(|vector| !vector.iter().all(|v| v.is_nan())));
            behind
        } else {
            let (word, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            if !NOTHING.contains(&word.trim_matches('"')) {
                return None;
            }
            vectors.push(None);
            behind
        };
        rest = behind.trim_start();
    }
    Some(vectors)
}
