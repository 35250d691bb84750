//! The state of a phase between two steps: weights, the optimiser's moments, and whatever else the
//! phase counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Found, Result};
use crate::learn::optimiser::{Moments, WeightAdam};
use crate::message::Message;
use crate::network::weights::Weights;
use crate::observer::Observer;
use crate::store::tensors;

const VERSION: u32 = 1;

/// The JSON part of a checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<S> {
    version: u32,
    state: S,
    /// Updates of each weight that has moments.
    steps: BTreeMap<String, u32>,
}

/// Names of the tensors that are not weights begin so.
const FIRST: &str = "first.";
const SECOND: &str = "second.";
const AVERAGE: &str = "average.";

/// Where the checkpoint before the one at `path` is kept.
fn previous(path: &Path) -> PathBuf {
    path.with_extension("previous.safetensors")
}

/// Writes a checkpoint and keeps the one before beside it. `average` are averaged weights, where
/// there are any.
///
/// # Errors
/// When the file cannot be written; the one before is then still there, under its own name or as
/// the previous one.
pub fn save(
    path: &Path,
    state: &impl Serialize,
    weights: &Weights,
    adam: &WeightAdam,
    average: Option<&Weights>,
) -> Result<()> {
    let moments = || {
        weights
            .iter()
            .zip(adam.moments())
            .filter_map(|((_, w), m)| m.as_ref().map(|m| (&w.name, m)))
    };
    let document = Document {
        version: VERSION,
        state,
        steps: moments().map(|(name, m)| (name.clone(), m.steps)).collect(),
    };
    let values = weights.iter().map(|(_, w)| (w.name.clone(), &w.value));
    let first = moments().map(|(name, m)| (format!("{FIRST}{name}"), &m.first));
    let second = moments().map(|(name, m)| (format!("{SECOND}{name}"), &m.second));
    let average = average
        .into_iter()
        .flat_map(Weights::iter)
        .map(|(_, w)| (format!("{AVERAGE}{}", w.name), &w.value));
    let bytes = tensors::encode(path, &document, values.chain(first).chain(second).chain(average))?;
    Ok(medvol::atomic_write_keeping(path, previous(path), &bytes)?)
}

/// Reads the weights of a checkpoint, without the optimiser's moments.
///
/// # Errors
/// When the file cannot be read or is no checkpoint.
pub fn weights(path: &Path, device: &Device) -> Result<Weights> {
    let (_, tensors): (Document<serde_json::Value>, _) =
        tensors::read(path, "a checkpoint", device)?;
    let other = |name: &str| [FIRST, SECOND, AVERAGE].iter().any(|prefix| name.starts_with(prefix));
    Ok(Weights::from_tensors(device, tensors.into_iter().filter(|(name, _)| !other(name))))
}

/// What to do where no checkpoint can be read.
fn lost(mut error: Error) -> Error {
    if let Error::Invalid { remedy, .. } = &mut error {
        *remedy = "put a copy back, or remove the folder checkpoint to begin this phase anew";
    }
    error
}

/// Reads a checkpoint into weights, optimiser and averaged weights; `None` when there is none.
/// Where the latest one is damaged, the one before is taken, and the observer hears of it.
///
/// # Errors
/// When files are there but none can be read, or the one that can does not fit the network.
pub fn load<S: DeserializeOwned>(
    path: &Path,
    weights: &mut Weights,
    adam: &mut WeightAdam,
    average: Option<&mut Weights>,
    observer: &dyn Observer,
) -> Result<Option<S>> {
    let before = previous(path);
    // Between the two renames of a save the latest checkpoint is missing, and the one before is all
    // there is to know.
    let latest = if path.exists() || !before.exists() { path } else { &before };
    if !latest.exists() {
        return Ok(None);
    }
    let read = |path: &Path| tensors::read::<Document<S>>(path, "a checkpoint", weights.device());
    let (document, mut tensors) = match read(latest) {
        Err(damaged) if latest == path && before.exists() => {
            let older = read(&before).map_err(lost)?;
            observer.message(&Message::EarlierCheckpoint { damaged });
            older
        }
        read => read.map_err(lost)?,
    };
    let invalid = |found: Found| {
        let remedy = "remove the folder checkpoint to start again";
        Error::invalid(path, "a checkpoint of this run", found, remedy)
    };
    if document.version != VERSION {
        return Err(invalid(Found::Version { found: document.version, read: VERSION }));
    }
    let mut moments = Vec::new();
    for (_, weight) in weights.iter() {
        let (first, second) = (
            tensors.remove(&format!("{FIRST}{}", weight.name)),
            tensors.remove(&format!("{SECOND}{}", weight.name)),
        );
        moments.push(match (first, second, document.steps.get(&weight.name)) {
            (Some(first), Some(second), Some(&steps))
                if [&first, &second].iter().all(|m| m.dims() == weight.value.dims()) =>
            {
                Some(Moments { first, second, steps })
            }
            (None, None, None) => None,
            _ => return Err(invalid(Found::Moments { weight: weight.name.clone() })),
        });
    }
    if let Some(average) = average {
        let averages: Vec<String> =
            tensors.keys().filter(|name| name.starts_with(AVERAGE)).cloned().collect();
        let named = averages
            .into_iter()
            .filter_map(|name| Some((name[AVERAGE.len()..].to_string(), tensors.remove(&name)?)));
        average.assign(named.collect()).map_err(invalid)?;
    }
    weights.assign(tensors).map_err(invalid)?;
    adam.restore(moments);
    Ok(Some(document.state))
}
