//! An architecture as the command line names it: a run, a genotype, a model, `random:SEED`, one
//! operation everywhere, or a U-ResNet.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use scnas::Device;
use scnas::data::plan::Plan;
use scnas::network::architecture::{Architecture, DESIGNED};
use scnas::network::size::Size;
use scnas::settings::config::Config;
use scnas::space::genotype::Genotype;
use scnas::space::operation::Kind;
use scnas::space::topology::Space;
use scnas::store::model::Model;
use serde_json::Value;

/// Help for an argument that names one.
pub const ARCHITECTURES: &str = "A run folder, a genotype.json, a model.safetensors, random, \
                                 random:SEED, an operation for all edges, such as conv3, or a \
                                 human-designed network: u-resnet, u-resnet-half";

/// A named architecture.
#[derive(Debug)]
pub struct Named {
    /// Short, without folders.
    pub name: String,
    pub architecture: Architecture,
    /// Size and patch `[depth, height, width]` of the network it was found or trained for, where
    /// that is known.
    pub made_for: Option<(Size, [usize; 3])>,
}

impl Named {
    /// Finds the architecture that `text` names. `space` and `seed` are for random ones and single
    /// operations.
    pub fn resolve(text: &str, space: &Space, seed: u64, device: &Device) -> Result<Self> {
        let path = Path::new(text);
        let made = |name: String, architecture| Ok(Self { name, architecture, made_for: None });
        // First, as a folder of results is easily called so.
        if let Some(designed) = Architecture::designed(text) {
            return made(text.into(), designed);
        }
        if path.is_dir() {
            return Self::of_run(path);
        }
        match text.split_once(':') {
            None if text == "random" => {
                return made(format!("random:{seed}"), Genotype::random(space, seed).into());
            }
            Some(("random", number)) => {
                let seed = number
                    .parse()
                    .with_context(|| format!("{text}: expected a number after random:"))?;
                return made(text.into(), Genotype::random(space, seed).into());
            }
            _ => {}
        }
        if let Some(op) = space.operations.index_of(text) {
            if space.operations.get(op).kind == Kind::Zero {
                bail!(
                    "{text}: a network without any connection computes nothing; name another \
                     operation"
                );
            }
            return made(
                text.into(),
                Genotype::uniform(space, text).context("the operation is not in the table")?.into(),
            );
        }
        match path.extension().and_then(|e| e.to_str()) {
            Some("json") => made(name_of_file(path), Architecture::read(path)?),
            Some("safetensors") => {
                let card = Model::read(path, device)?.card;
                Ok(Self {
                    name: name_of_file(path),
                    architecture: card.architecture,
                    made_for: Some((card.size, card.plan.patch)),
                })
            }
            _ => {
                let operations: Vec<&str> =
                    space.operations.iter().map(|o| o.name.as_str()).collect();
                bail!(
                    "{text}: no such run folder; expected one, a genotype.json, a \
                     model.safetensors, random, random:SEED, {}, or one of the operations {}",
                    DESIGNED.map(|(name, _)| name).join(", "),
                    operations.join(", ")
                );
            }
        }
    }

    /// The architecture of a run.
    pub fn of_run(folder: &Path) -> Result<Self> {
        let genotype = folder.join("genotype.json");
        if !genotype.exists() {
            bail!(
                "{}: no genotype.json there; expected the folder of a run whose search is over",
                folder.display()
            );
        }
        let made_for = match (folder.join("config.toml"), folder.join("plan.json")) {
            (config, plan) if config.exists() && plan.exists() => {
                let (config, plan) =
                    (Config::load("default", Some(&config), &[])?, read_plan(&plan)?);
                let size = Size {
                    channels: plan.channels.len(),
                    classes: plan.labels.len(),
                    width: config.network.width,
                };
                Some((size, plan.patch))
            }
            _ => None,
        };
        Ok(Self {
            name: name_of_folder(folder),
            architecture: Architecture::read(&genotype)?,
            made_for,
        })
    }
}

/// The settings of the run that `text` names, if it names one.
pub fn settings_of(text: &str) -> Option<PathBuf> {
    let path = Path::new(text).join("config.toml");
    (Architecture::designed(text).is_none() && path.exists()).then_some(path)
}

/// Reads a run's plan.
pub fn read_plan(path: &Path) -> Result<Plan> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let value: Value = serde_json::from_str(&text)
        .with_context(|| format!("{}: expected the plan of a run", path.display()))?;
    serde_json::from_value(value)
        .with_context(|| format!("{}: expected the plan of a run", path.display()))
}

/// The last part of a folder's full name; of a file (a data set can be one), without its ending.
pub fn name_of_folder(folder: &Path) -> String {
    let full = folder.canonicalize().unwrap_or_else(|_| folder.into());
    let name = if full.is_file() { full.file_stem() } else { full.file_name() };
    name.map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned())
}

/// A file that has the name of its kind is told from others by its folder.
fn name_of_file(path: &Path) -> String {
    let stem =
        path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    match (stem.as_str(), path.canonicalize().ok().as_deref().and_then(Path::parent)) {
        ("genotype" | "model", Some(folder)) => name_of_folder(folder),
        _ => stem,
    }
}
