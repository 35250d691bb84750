//! An architecture by what it is called: a run, a genotype, a model, `random:SEED`, one
//! operation everywhere, cells that have a name, or a network of the U family.

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use crate::data::files::name_of_folder;
use crate::data::plan::Plan;
use crate::error::{ArchitectureFault, Result};
use crate::network::architecture::{Architecture, DESIGNED};
use crate::network::size::Size;
use crate::settings::Config;
use crate::space::builtin;
use crate::space::genotype::Genotype;
use crate::space::operation::Kind;
use crate::space::topology::Space;
use crate::space::u_design::UDesign;
use crate::store::model::Model;
use crate::store::run_folder::settings_file;

/// A named architecture.
#[derive(Debug)]
pub struct Named {
    /// Short, without folders.
    pub name: String,
    /// What it is.
    pub architecture: Architecture,
    /// The network it was found or trained for, where that is known.
    pub made_for: Option<MadeFor>,
}

/// A network, and what it was made for.
#[derive(Clone, Debug)]
pub struct MadeFor {
    /// Its size.
    pub size: Size,
    /// Patch, labels and what is predicted of them.
    pub plan: Plan,
}

impl Named {
    /// Finds the architecture that `text` names. `space` is that of random ones, of single operations
    /// and of cells that have a name; `seed` is for random ones.
    ///
    /// # Errors
    /// A name of nothing; cells of other operations than those of `space`; files that cannot be read.
    pub fn resolve(text: &str, space: &Space, seed: u64, device: &Device) -> Result<Self> {
        let path = Path::new(text);
        let made = |name: String, architecture| Ok(Self { name, architecture, made_for: None });
        // First, as a folder of results is easily called so.
        if let Some(designed) = Architecture::designed(text) {
            return made(text.into(), designed);
        }
        if let Some(cells) = builtin::named(text, space) {
            let other = |missing| ArchitectureFault::OtherOperations { name: text.into(), missing };
            return made(text.into(), cells.map_err(other)?.into());
        }
        if path.is_dir() {
            return Self::of_run(path);
        }
        match text.split_once(':') {
            None if text == "random" => {
                return made(format!("random:{seed}"), Genotype::random(space, seed).into());
            }
            Some(("u", channels)) => {
                let design = UDesign::parse(channels);
                let design =
                    design.ok_or_else(|| ArchitectureFault::UChannels { name: text.into() })?;
                return made(text.into(), Architecture::U(design));
            }
            Some(("random", number)) => {
                let seed = number
                    .parse()
                    .map_err(|_| ArchitectureFault::RandomSeed { name: text.into() })?;
                return made(text.into(), Genotype::random(space, seed).into());
            }
            _ => {}
        }
        let named = space.operations.iter().find(|operation| operation.name == text);
        if named.is_some_and(|operation| operation.kind == Kind::Zero) {
            return Err(ArchitectureFault::Unconnected { name: text.into() }.into());
        }
        if let Some(genotype) = Genotype::uniform(space, text) {
            return made(text.into(), genotype.into());
        }
        match path.extension().and_then(|e| e.to_str()) {
            Some("json") => made(name_of_file(path), Architecture::read(path)?),
            Some("safetensors") => {
                let card = Model::read(path, device)?.card;
                Ok(Self {
                    name: name_of_file(path),
                    architecture: card.architecture,
                    made_for: Some(MadeFor { size: card.size, plan: card.plan }),
                })
            }
            _ => Err(ArchitectureFault::NoArchitecture {
                name: text.into(),
                designed: built_in().map(String::from).collect(),
                operations: space.operations.iter().map(|o| o.name.clone()).collect(),
            }
            .into()),
        }
    }

    /// The architecture of a run.
    ///
    /// # Errors
    /// [`ArchitectureFault::NoGenotype`]; files that cannot be read.
    pub fn of_run(folder: &Path) -> Result<Self> {
        let genotype = folder.join("genotype.json");
        if !genotype.exists() {
            return Err(ArchitectureFault::NoGenotype { path: folder.into() }.into());
        }
        let made_for = match (settings_file(folder), folder.join("plan.json")) {
            (config, plan) if config.exists() && plan.exists() => {
                let (config, plan) =
                    (Config::load("default", Some(&config), &[])?, Plan::read(&plan)?);
                Some(MadeFor { size: plan.size(config.network.width), plan })
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

/// Names of the networks that people designed and of the cells that have one.
pub fn built_in() -> impl Iterator<Item = &'static str> {
    DESIGNED.iter().map(|(name, _)| *name).chain(builtin::names())
}

/// The settings of the run that `text` names, if it names one.
pub fn settings_of(text: &str) -> Option<PathBuf> {
    let path = settings_file(Path::new(text));
    (built_in().all(|name| name != text) && path.exists()).then_some(path)
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
