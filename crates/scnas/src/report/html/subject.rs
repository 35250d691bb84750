//! What is known of a run, a cross-validation or a table of scores that the page is about.

use std::path::{Path, PathBuf};

use medvol::check;

use crate::data::files::name_of_folder;
use crate::data::plan::Plan;
use crate::error::Result;
use crate::network::architecture::Architecture;
use crate::observer::EpochLine;
use crate::report::against_random::AgainstRandom;
use crate::report::document::read;
use crate::report::evaluation::Evaluation;
use crate::report::finished::{Finished, Results, fold_folders};
use crate::report::held_out::HeldOut;
use crate::report::race::Race;
use crate::report::result::{RunResult, read_run};
use crate::settings::Config;
use crate::store::run_folder::{FINDINGS, read_log, settings_file};

/// What the page is about, or one of several such.
#[derive(Debug)]
pub struct Subject {
    /// Of the folder or file, without its parents.
    pub name: String,
    /// Its folder or file.
    pub path: PathBuf,
    /// Once there are results.
    pub finished: Option<Finished>,
    /// One, or one a fold: also those under way.
    pub networks: Vec<Network>,
    /// Of all complete folds.
    pub evaluation: Option<Evaluation>,
    /// A race, over or not.
    pub race: Option<Race>,
    /// What the check of the data found.
    pub findings: Option<check::Report>,
    /// Random networks beside it.
    pub random: Option<AgainstRandom>,
}

/// A network and how it was made.
#[derive(Debug)]
pub struct Network {
    /// Such as `fold 2`; empty where there is one only.
    pub of: String,
    /// Its run folder.
    pub folder: PathBuf,
    /// Its log so far.
    pub lines: Vec<EpochLine>,
    /// What was found or given.
    pub architecture: Option<Architecture>,
    /// Its settings, where this version understands them.
    pub config: Option<Config>,
    /// What was derived from its data.
    pub plan: Option<Plan>,
    /// Once it is complete.
    pub results: Option<(RunResult, Evaluation)>,
    /// Where the cases lie that it was scored on.
    pub held_out: Option<HeldOut>,
}

impl Subject {
    /// Reads a folder or file: results as far as there are some, otherwise how far it has come.
    ///
    /// # Errors
    /// Files that cannot be read or understood; nothing of a run.
    pub fn read(path: &Path) -> Result<Self> {
        let folds = match path.join("result.json").exists() {
            true => Default::default(),
            false => fold_folders(path),
        };
        let networks: Vec<Network> = match folds.is_empty() {
            true if path.is_file() => Vec::new(),
            true => vec![Network::read(path, String::new())?],
            false => folds
                .iter()
                .map(|(fold, folder)| Network::read(folder, format!("fold {fold}")))
                .collect::<Result<_>>()?,
        };
        let race = Race::read(path)?;
        let complete = path.is_file() || networks.iter().any(|network| network.results.is_some());
        // Settings are written before the first epoch.
        let begun = |network: &Network| {
            !network.lines.is_empty() || network.folder.join("config.toml").exists()
        };
        let under_way = race.is_some() || networks.iter().any(begun);
        let finished = match complete || !under_way {
            true => Some(Finished::read(path)?),
            false => None,
        };
        // Folds have theirs beside them, and of several seeds beside these.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
        let findings = absolute.ancestors().take(3).map(|folder| folder.join(FINDINGS));
        let findings = findings.into_iter().find(|file| path.is_dir() && file.exists());
        let evaluation = match finished.as_ref().map(|finished| &finished.results) {
            Some(Results::Scores(evaluation)) => Some(evaluation.clone()),
            _ => pooled(&networks),
        };
        let found = networks.iter().any(|network| network.folder.join("alpha.json").exists());
        Ok(Self {
            name: name_of_folder(path),
            path: path.into(),
            finished,
            evaluation,
            race,
            findings: findings.map(|file| read(&file)).transpose()?,
            random: if found { AgainstRandom::of(path) } else { None },
            networks,
        })
    }

    /// The first network's settings: folds differ in the fold only.
    pub fn config(&self) -> Option<&Config> {
        self.networks.iter().find_map(|network| network.config.as_ref())
    }

    /// The first network's plan.
    pub fn plan(&self) -> Option<&Plan> {
        self.networks.iter().find_map(|network| network.plan.as_ref())
    }

    /// Names of what is scored.
    pub fn classes(&self) -> Vec<String> {
        let scored = self.evaluation.as_ref().map(|evaluation| evaluation.classes.clone());
        scored.or_else(|| self.plan().map(Plan::foreground)).unwrap_or_default()
    }
}

impl Network {
    fn read(folder: &Path, of: String) -> Result<Self> {
        let existing = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
        Ok(Self {
            of,
            lines: read_log(&folder.join("log.jsonl"))?,
            architecture: existing("genotype.json")
                .map(|path| Architecture::read(&path))
                .transpose()?,
            // Another version may have had other settings.
            config: Config::load("default", Some(&settings_file(folder)), &[]).ok(),
            plan: existing("plan.json").map(|path| Plan::read(&path)).transpose()?,
            results: existing("result.json").map(|_| read_run(folder)).transpose()?,
            held_out: HeldOut::read(folder)?,
            folder: folder.into(),
        })
    }
}

/// The cases of all networks together, by name.
fn pooled(networks: &[Network]) -> Option<Evaluation> {
    let evaluations = || networks.iter().filter_map(|network| Some(&network.results.as_ref()?.1));
    let first = evaluations().next()?;
    let mut cases: Vec<_> = evaluations().flat_map(|evaluation| evaluation.cases.clone()).collect();
    cases.sort_by(|a, b| a.case.cmp(&b.case));
    Some(Evaluation { cases, ..first.clone() })
}
