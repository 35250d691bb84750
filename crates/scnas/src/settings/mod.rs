//! The settings of a run: one section a file, each with what its keys mean, in which unit, and what
//! they must not be.
//!
//! Presets, files and `key=value` overrides become a [`Config`] in `config.rs`; `reference.rs`
//! writes all keys down as a table. The preset `paper` follows the paper to the letter; `default`
//! departs from it where a measurement says it is better.

mod config;
mod data;
mod decide;
mod log;
mod network;
mod predict;
mod quantity;
mod race;
mod reference;
mod search;
mod train;

pub use config::{Config, PRESETS, preset};
pub(crate) use data::EXTENTS;
pub use data::{DataConfig, Keep, Numbers};
pub use decide::DecideConfig;
pub use log::LogConfig;
pub use network::NetworkConfig;
pub use predict::{LabelKey, PredictConfig};
pub use quantity::{Bytes, Count};
pub use race::RaceConfig;
pub use reference::reference;
pub use search::{SearchConfig, Strategy, TauSchedule, Then};
pub use train::TrainConfig;

use serde::{Deserialize, Deserializer};

use crate::error::{Error, Expected, Result};
use crate::learn::optimiser::AdamConfig;

/// The setting `key` must be as it is `expected` to.
fn check(ok: bool, key: &str, expected: impl Into<Expected>, found: impl ToString) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::setting(key, expected, found)) }
}

/// Settings of the optimiser at `key`.
fn check_adam(key: &str, AdamConfig { lr, betas, weight_decay }: AdamConfig) -> Result<()> {
    check(
        betas.iter().all(|beta| (0.0..1.0).contains(beta)),
        &format!("{key}.betas"),
        "two numbers from 0 to less than 1",
        format!("{betas:?}"),
    )?;
    check(
        lr.is_finite() && lr > 0.0 && weight_decay.is_finite() && weight_decay >= 0.0,
        key,
        "lr > 0 and weight_decay ≥ 0",
        format!("lr {lr}, weight_decay {weight_decay}"),
    )
}

/// A limit of the norm of gradients.
fn check_clip(key: &str, clip: f64) -> Result<()> {
    check(clip.is_finite() && clip >= 0.0, key, "0 (off) or a positive number", clip)
}

/// The limit that a setting of 0 switches off.
fn limit(clip: f64) -> Option<f64> {
    (clip > 0.0).then_some(clip)
}

/// A list, or the one item that it would have.
fn one_or_several<'de, D, T>(deserializer: D) -> std::result::Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "neither a list, such as [\"a\", \"b\"], nor one item of it")]
    enum Listed<T> {
        Several(Vec<T>),
        One(T),
    }
    Ok(match Listed::deserialize(deserializer)? {
        Listed::Several(items) => items,
        Listed::One(item) => vec![item],
    })
}
