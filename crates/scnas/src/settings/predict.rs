//! `[predict]`: prediction by sliding windows.

use std::fmt;

use medvol::stitch::Blend;
use medvol::{Label, Target};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Expected, Result};
use crate::settings::{check, one_or_several};

/// Prediction by sliding windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictConfig {
    /// Overlap of neighbouring windows, 0 to less than 1.
    pub overlap: f64,
    /// Weights of a window's voxels.
    pub blend: Blend,
    /// Test-time augmentation: predict each window mirrored too, along the axes that training
    /// mirrored patches along, and take the mean: two to eight times the work.
    #[serde(default)]
    pub flips: bool,
    /// Labels or regions, by name or value, of which only the largest connected component is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_several")]
    pub largest_component: Vec<LabelKey>,
}

/// A label as a user may call it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LabelKey {
    /// By its value in label maps.
    Value(u16),
    /// By its name, or its value as text.
    Name(String),
}

impl LabelKey {
    /// Whether it calls the structure of this name that has this value in label maps.
    fn calls(&self, own_name: &str, own_value: u16) -> bool {
        match self {
            Self::Value(value) => own_value == *value,
            Self::Name(name) => own_name == name || name.parse() == Ok(own_value),
        }
    }
}

impl fmt::Display for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Name(name) => write!(f, "\"{name}\""),
        }
    }
}

impl PredictConfig {
    /// The numbers of the structures of [`Self::largest_component`] among a data set's foreground
    /// classes or regions; a region has the value that it is written as.
    ///
    /// # Errors
    /// One that is not among them, or the background.
    pub fn largest_component_structures(
        &self,
        labels: &[Label],
        target: &Target,
    ) -> Result<Vec<usize>> {
        let value = |class: usize| labels.get(class).map_or(0, |label| label.value);
        let values: Vec<u16> = match target {
            Target::Classes => (1..labels.len()).map(value).collect(),
            Target::Regions(regions) => regions.iter().map(|r| value(r.written.into())).collect(),
        };
        let known: Vec<(String, u16)> = target.names(labels).into_iter().zip(values).collect();
        let structure = |key: &LabelKey| {
            known.iter().position(|(name, value)| key.calls(name, *value)).ok_or_else(|| {
                let known = known.iter().map(|(name, value)| format!("{name} ({value})"));
                let expected = Expected::OneOf(known.collect());
                Error::setting("predict.largest_component", expected, key)
            })
        };
        self.largest_component.iter().map(structure).collect()
    }

    /// Refuses what cannot be.
    pub(super) fn check(&self) -> Result<()> {
        let overlap = self.overlap;
        check((0.0..1.0).contains(&overlap), "predict.overlap", "0 to less than 1", overlap)
    }
}
