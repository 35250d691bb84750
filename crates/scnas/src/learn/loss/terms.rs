//! The loss as the settings name it: a weighted sum of terms.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use volops::ClassLoss;

use super::Term;
use super::cross_entropy::CrossEntropy;
use super::dice::{Dice, SMOOTH};

/// Every term, by its name in settings. A new one is a file beside these and a line here.
const TERMS: [(&str, &dyn Term); 2] = [("dice", &Dice), ("cross-entropy", &CrossEntropy)];

/// A loss: the sum of its terms, each with its weight. In settings the names of terms that all weigh
/// 1, joined by `-` (`"dice"`, `"dice-cross-entropy"`), or a weight a term
/// (`{ dice = 1.0, cross-entropy = 0.5 }`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Setting", into = "Setting")]
pub struct LossTerms {
    /// Of every term; 0: it is left out.
    weights: [f64; TERMS.len()],
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Setting {
    Names(String),
    Weights(BTreeMap<String, f64>),
}

impl LossTerms {
    /// The same for kernels that know classes.
    pub(super) fn of_classes(&self, least: f32) -> ClassLoss {
        let [dice, cross_entropy] = self.weights.map(|weight| weight as f32);
        ClassLoss { dice, cross_entropy, smooth: SMOOTH as f32, least }
    }

    /// The terms that are not left out, with their weights.
    pub(super) fn active(&self) -> impl Iterator<Item = (f64, &'static dyn Term)> {
        let terms = self.weights.into_iter().zip(TERMS);
        terms.filter(|(weight, _)| *weight > 0.0).map(|(weight, (_, term))| (weight, term))
    }
}

impl FromStr for LossTerms {
    type Err = String;

    /// Terms that all weigh 1.
    fn from_str(names: &str) -> Result<Self, String> {
        let mut rest = Some(names);
        let weights = TERMS.map(|(name, _)| {
            let after = rest.and_then(|rest| rest.strip_prefix(name));
            let after = after.and_then(|rest| match rest {
                "" => Some(None),
                rest => rest.strip_prefix('-').map(Some),
            });
            match after {
                Some(after) => {
                    rest = after;
                    1.0
                }
                None => 0.0,
            }
        });
        match rest {
            None => Ok(Self { weights }),
            Some(_) => Err(format!("unknown loss \"{names}\": {}", known())),
        }
    }
}

/// What could be written.
fn known() -> String {
    let names = TERMS.map(|(name, _)| name).join(", ");
    format!(
        "use {names}, several of them in this order, joined by -, or a table of them with positive \
         weights"
    )
}

impl TryFrom<Setting> for LossTerms {
    type Error = String;

    fn try_from(setting: Setting) -> Result<Self, String> {
        match setting {
            Setting::Names(names) => names.parse(),
            Setting::Weights(mut by_name) => {
                let weights = TERMS.map(|(name, _)| by_name.remove(name).unwrap_or(0.0));
                if let Some(name) = by_name.keys().next() {
                    return Err(format!("unknown term \"{name}\" of a loss: {}", known()));
                }
                let possible = weights.iter().all(|w| w.is_finite() && *w >= 0.0);
                if possible && weights.iter().any(|w| *w > 0.0) {
                    Ok(Self { weights })
                } else {
                    Err(format!("a loss with weights {weights:?}: {}", known()))
                }
            }
        }
    }
}

impl From<LossTerms> for Setting {
    fn from(LossTerms { weights }: LossTerms) -> Self {
        let active = weights.into_iter().zip(TERMS).filter(|(weight, _)| *weight > 0.0);
        if weights.iter().all(|w| [0.0, 1.0].contains(w)) {
            let names: Vec<&str> = active.map(|(_, (name, _))| name).collect();
            Self::Names(names.join("-"))
        } else {
            Self::Weights(active.map(|(weight, (name, _))| (name.to_string(), weight)).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Section {
        loss: LossTerms,
        clip: f64,
    }

    fn read(loss: &str) -> Result<Section, String> {
        toml::from_str(&format!("loss = {loss}\nclip = 1.0")).map_err(|e| e.to_string())
    }

    #[test]
    fn names_and_weights_are_read_and_written_back_as_they_were() {
        for (loss, weights) in [
            ("\"dice\"", [1.0, 0.0]),
            ("\"cross-entropy\"", [0.0, 1.0]),
            ("\"dice-cross-entropy\"", [1.0, 1.0]),
            ("{ dice = 1, cross-entropy = 0.5 }", [1.0, 0.5]),
            ("{ cross-entropy = 2.0 }", [0.0, 2.0]),
        ] {
            let section = read(loss).unwrap();
            assert_eq!(section.loss.weights[..2], weights, "{loss}");
            let text = toml::to_string(&section).unwrap();
            assert_eq!(text.contains(&format!("loss = {loss}")), loss.starts_with('"'), "{text}");
            assert_eq!(toml::from_str::<Section>(&text).unwrap(), section);
        }
    }

    #[test]
    fn a_loss_of_unknown_terms_or_none_or_with_impossible_weights_is_refused_by_name() {
        for (loss, named) in [
            ("\"dicey\"", "dicey"),
            ("\"dice-\"", "dice-"),
            ("\"\"", "cross-entropy"),
            ("\"cross-entropy-dice\"", "in this order"),
            ("{ dise = 1.0 }", "dise"),
            ("{ dice = -1.0 }", "-1.0"),
            ("{ dice = nan }", "NaN"),
            ("{ dice = 0.0 }", "positive weights"),
        ] {
            let message = read(loss).expect_err(loss);
            assert!(message.contains(named), "{loss}: {message}");
        }
    }
}
