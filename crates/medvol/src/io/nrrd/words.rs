//! What a header says of space, word by word, for files on the same grid.

use super::fields::Fields;
use super::per_axis::{PerAxis, dimensions, split};
use super::space::Axes;
use crate::affine::Affine;

/// The lines of a header that say where voxels are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SpaceWords {
    /// Axes in space: two or three.
    pub axes: usize,
    /// Fields that stand before those of the axes, with their text.
    pub before: Vec<(&'static str, String)>,
    /// Fields with a word for each axis in space, and what they say of channels.
    pub each: Vec<(&'static str, Vec<String>, &'static str)>,
    /// Fields that stand behind.
    pub behind: Vec<(&'static str, String)>,
}

/// Fields with a word for each axis: as they are looked up and written, and what they say of
/// channels.
const EACH: [(&str, &str, &str); 7] = [
    ("spacings", "spacings", "nan"),
    ("thicknesses", "thicknesses", "nan"),
    ("axismins", "axis mins", "nan"),
    ("axismaxs", "axis maxs", "nan"),
    ("centerings", "centerings", "none"),
    ("centers", "centers", "none"),
    ("units", "units", "\"\""),
];

impl SpaceWords {
    /// Those of a header. None if it speaks of time, too.
    pub(super) fn of(fields: &Fields, each: &PerAxis, axes: &Axes) -> Option<Self> {
        if dimensions(fields) == Ok(Some(4)) {
            return None;
        }
        let whole = |name: &str, written: &'static str| {
            fields.get(name).map(|text| (written, text.to_string()))
        };
        let mut words = Self {
            axes: axes.in_space.len(),
            before: [("space", "space"), ("spacedimension", "space dimension")]
                .iter()
                .filter_map(|(name, written)| whole(name, written))
                .collect(),
            each: Vec::new(),
            behind: [
                ("spaceunits", "space units"),
                ("spaceorigin", "space origin"),
                ("measurementframe", "measurement frame"),
            ]
            .iter()
            .filter_map(|(name, written)| whole(name, written))
            .collect(),
        };
        if let Some(directions) = &each.directions {
            let steps: Vec<&Vec<f64>> =
                axes.in_space.iter().filter_map(|&axis| directions[axis].as_ref()).collect();
            words.each.push((
                "space directions",
                steps.into_iter().map(|step| vector(step)).collect(),
                "none",
            ));
        }
        for (name, written, of_channels) in EACH {
            let Some(text) = fields.get(name) else { continue };
            let all = split(text);
            let of_axis = |&axis: &usize| match (all.get(axis).copied()?, name) {
                // One that holds a mark was not within marks, and cannot be.
                (unit, "units") if !unit.contains('"') => Some(format!("\"{unit}\"")),
                (word, _) => Some(word.to_string()),
            };
            let in_space = axes.in_space.iter().map(of_axis).collect::<Option<_>>()?;
            words.each.push((written, in_space, of_channels));
        }
        Some(words)
    }

    /// Those of a grid of three dimensions: in left-posterior-superior, as most programs write it.
    pub(super) fn of_affine(affine: &Affine) -> Self {
        let lps = |column: usize| {
            let [x, y, z] = affine.column(column);
            // Without zeros of negative sign.
            vector(&[0.0 - x, 0.0 - y, z + 0.0])
        };
        Self {
            axes: 3,
            before: vec![("space", "left-posterior-superior".into())],
            each: vec![("space directions", (0..3).map(lps).collect(), "none")],
            behind: vec![("space origin", lps(3))],
        }
    }
}

fn vector(values: &[f64]) -> String {
    let words: Vec<String> = values.iter().map(f64::to_string).collect();
    format!("({})", words.join(","))
}
