//! `[predict]`: prediction by sliding windows.

use std::fmt;

use medvol::Label;
use medvol::stitch::Blend;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Expected, Result};
use crate::settings::check;

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
    /// Labels, by name or value, of which only the largest connected component is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
    fn names(&self, label: &Label) -> bool {
        match self {
            Self::Value(value) => label.value == *value,
            Self::Name(name) => label.name == *name || name.parse() == Ok(label.value),
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
    /// The classes of [`Self::largest_component`] among a data set's labels.
    ///
    /// # Errors
    /// A label that is not among them, or the background.
    pub fn largest_component_classes(&self, labels: &[Label]) -> Result<Vec<u8>> {
        let class = |key: &LabelKey| {
            let class = labels.iter().position(|label| key.names(label));
            class.and_then(|class| u8::try_from(class).ok()).filter(|&class| class > 0).ok_or_else(
                || {
                    let known = labels.iter().skip(1);
                    let known = known.map(|label| format!("{} ({})", label.name, label.value));
                    let expected = Expected::OneOf(known.collect());
                    Error::setting("predict.largest_component", expected, key)
                },
            )
        };
        self.largest_component.iter().map(class).collect()
    }

    /// Refuses what cannot be.
    pub(super) fn check(&self) -> Result<()> {
        let overlap = self.overlap;
        check((0.0..1.0).contains(&overlap), "predict.overlap", "0 to less than 1", overlap)
    }
}
