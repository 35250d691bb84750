//! An architecture as the command line names it: a run, a genotype, a model, `random:SEED` or one operation everywhere.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use scnas::Device;
use scnas::config::Config;
use scnas::genotype::Genotype;
use scnas::model::Model;
use scnas::network::Size;
use scnas::operation::Kind;
use scnas::plan::Plan;
use scnas::space::Space;
use serde_json::Value;

/// Help for an argument that names one.
pub const ARCHITECTURES: &str =
    "A run folder, a genotype.json, a model.safetensors, random, random:SEED, or an operation for all edges, such as conv3";

/// A named architecture.
#[derive(Debug)]
pub struct Architecture {
    /// Short, without folders.
    pub name: String,
    pub genotype: Genotype,
    /// Size and patch `[depth, height, width]` of the network it was found or trained for, where that is known.
    pub made_for: Option<(Size, [usize; 3])>,
}

impl Architecture {
    /// Finds the architecture that `text` names. `space` and `seed` are for random ones and single operations.
    pub fn resolve(text: &str, space: &Space, seed: u64, device: &Device) -> Result<Self> {
        let path = Path::new(text);
        if path.is_dir() {
            return Self::of_run(path);
        }
        let made = |name: String, genotype| Ok(Self { name, genotype, made_for: None });
        match text.split_once(':') {
            None if text == "random" => return made(format!("random:{seed}"), Genotype::random(space, seed)),
            Some(("random", number)) => {
                let seed = number.parse().with_context(|| format!("{text}: expected a number after random:"))?;
                return made(text.into(), Genotype::random(space, seed));
            }
            _ => {}
        }
        if let Some(op) = space.operations.index_of(text) {
            if space.operations.get(op).kind == Kind::Zero {
                bail!("{text}: a network without any connection computes nothing; name another operation");
            }
            return made(text.into(), Genotype::uniform(space, text).context("the operation is not in the table")?);
        }
        match path.extension().and_then(|e| e.to_str()) {
            Some("json") => made(name_of_file(path), Genotype::read(path)?),
            Some("safetensors") => {
                let card = Model::read(path, device)?.card;
                Ok(Self { name: name_of_file(path), genotype: card.genotype, made_for: Some((card.size, card.plan.patch)) })
            }
            _ => {
                let operations: Vec<&str> = space.operations.iter().map(|o| o.name.as_str()).collect();
                bail!(
                    "{text}: no such run folder; expected one, a genotype.json, a model.safetensors, random, random:SEED, or one of the \
                     operations {}",
                    operations.join(", ")
                );
            }
        }
    }

    /// The architecture of a run.
    pub fn of_run(folder: &Path) -> Result<Self> {
        let genotype = folder.join("genotype.json");
        if !genotype.exists() {
            bail!("{}: no genotype.json there; expected the folder of a run whose search is over", folder.display());
        }
        let made_for = match (folder.join("config.toml"), folder.join("plan.json")) {
            (config, plan) if config.exists() && plan.exists() => {
                let (config, plan) = (Config::load("default", Some(&config), &[])?, read_plan(&plan)?);
                let size = Size { channels: plan.channels.len(), classes: plan.labels.len(), width: config.network.width };
                Some((size, plan.patch))
            }
            _ => None,
        };
        Ok(Self { name: name_of_folder(folder), genotype: Genotype::read(&genotype)?, made_for })
    }
}

/// Reads a run's plan.
pub fn read_plan(path: &Path) -> Result<Plan> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let value: Value = serde_json::from_str(&text).with_context(|| format!("{}: expected the plan of a run", path.display()))?;
    serde_json::from_value(value).with_context(|| format!("{}: expected the plan of a run", path.display()))
}

/// The last part of a folder's full name.
pub fn name_of_folder(folder: &Path) -> String {
    let full = folder.canonicalize().unwrap_or_else(|_| folder.into());
    full.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned())
}

/// A file that has the name of its kind is told from others by its folder.
fn name_of_file(path: &Path) -> String {
    let stem = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    match (stem.as_str(), path.canonicalize().ok().as_deref().and_then(Path::parent)) {
        ("genotype" | "model", Some(folder)) => name_of_folder(folder),
        _ => stem,
    }
}
