//! All settings of a run: a preset, changed by one TOML file and then by `key=value` overrides;
//! unknown keys are refused.

use std::collections::BTreeMap;
use std::path::Path;

use medvol::augment::AugmentSettings;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Expected, Origin, Result};
use crate::settings::{
    DataConfig, LogConfig, NetworkConfig, PredictConfig, RaceConfig, SearchConfig, Strategy,
    TrainConfig, check,
};

/// All settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seed of every random stream.
    pub seed: u64,
    /// How cases become patches.
    pub data: DataConfig,
    /// How training patches are varied where `search.augment` or `train.augment` says so; absent:
    /// not at all.
    #[serde(default)]
    pub augment: AugmentSettings,
    /// Size and space of the network.
    pub network: NetworkConfig,
    /// The bi-level search.
    pub search: SearchConfig,
    /// A race of candidates, where `search.strategy` asks for one.
    #[serde(default)]
    pub race: RaceConfig,
    /// Training of a fixed architecture.
    pub train: TrainConfig,
    /// Prediction by sliding windows.
    pub predict: PredictConfig,
    /// What is left to be looked at.
    #[serde(default)]
    pub log: LogConfig,
}

const DEFAULT: &str = include_str!("presets/default.toml");
const PAPER: &str = include_str!("presets/paper.toml");

/// Names of the presets.
pub const PRESETS: [&str; 2] = ["default", "paper"];

/// The text of a preset, with its comments.
///
/// # Errors
/// When there is no preset of that name.
pub fn preset(name: &str) -> Result<&'static str> {
    match name {
        "default" => Ok(DEFAULT),
        "paper" => Ok(PAPER),
        other => {
            let expected = Expected::OneOf(PRESETS.map(String::from).to_vec());
            Err(Error::setting("preset", expected, format!("\"{other}\"")))
        }
    }
}

impl Config {
    /// The settings of a preset, changed by a TOML file and then by `key=value` overrides
    /// (`search.epochs=10`).
    ///
    /// # Errors
    /// Unknown presets and keys, values of the wrong type, impossible combinations, unreadable
    /// files.
    pub fn load(preset: &str, file: Option<&Path>, overrides: &[String]) -> Result<Self> {
        let bad_toml = |e| {
            let origin =
                file.map_or_else(|| Origin::Preset(preset.into()), |p| Origin::File(p.into()));
            Error::Settings { origin, source: Box::new(e) }
        };
        let mut table: toml::Table = toml::from_str(self::preset(preset)?).map_err(bad_toml)?;
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|e| Error::file("read", path, e))?;
            merge(&mut table, toml::from_str(&text).map_err(bad_toml)?);
        }
        for line in overrides {
            merge(&mut table, parse_override(line)?);
        }
        let config: Self = table.try_into().map_err(bad_toml)?;
        config.validate()?;
        Ok(config)
    }

    /// The effective settings as TOML, as written to a run's `config.toml`.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|e| format!("# cannot be written as TOML: {e}\n"))
    }

    /// The settings that differ, such as `train.epochs`, with the value here and the one in `other`
    /// as TOML; – where there is none.
    pub fn differences(&self, other: &Self) -> Vec<(String, [String; 2])> {
        let [here, there] = [self, other].map(|config| {
            let mut values = BTreeMap::new();
            if let Ok(table) = toml::Table::try_from(config) {
                flatten("", &table, &mut values);
            }
            values
        });
        let keys = here.keys().chain(there.keys().filter(|key| !here.contains_key(*key)));
        let value = |of: &BTreeMap<String, String>, key: &String| {
            of.get(key).cloned().unwrap_or_else(|| "–".into())
        };
        let both = keys.map(|key| (key.clone(), [&here, &there].map(|of| value(of, key))));
        both.filter(|(_, [here, there])| here != there).collect()
    }

    /// These settings with another seed and the same folds.
    pub fn with_seed(&self, seed: u64) -> Self {
        let mut other = self.clone();
        if seed != self.seed {
            other.data.folds_seed = Some(self.data.folds_seed.unwrap_or(self.seed));
            other.seed = seed;
        }
        other
    }

    /// Refuses a search that would choose nothing.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn refuse_in_vain(&self) -> Result<()> {
        match self.search.strategy {
            Strategy::Race => self.race.refuse_in_vain(),
            Strategy::BiLevel => self.search.refuse_in_vain(),
        }
    }

    /// Refuses what cannot be.
    fn validate(&self) -> Result<()> {
        self.data.check()?;
        self.network.check()?;
        self.search.check()?;
        self.race.check()?;
        // A budget is a promise, not to be passed over in silence.
        let budgets = self.race.budgets();
        check(
            self.search.strategy == Strategy::Race || budgets.is_empty(),
            "search.strategy",
            "\"race\" where there are budgets, as no other search heeds them",
            format!("{:?} with {}", self.search.strategy.name(), budgets.join(", ")),
        )?;
        self.train.check()?;
        self.augment.check().or_else(|bad| {
            check(false, &format!("augment.{}", bad.key), bad.expected, bad.found)
        })?;
        self.predict.check()
    }
}

/// `a.b=value` as a table; the value is TOML, or a bare word taken as a string.
fn parse_override(line: &str) -> Result<toml::Table> {
    let bad = |reason| Error::Override { line: line.into(), reason };
    let (key, value) = line.split_once('=').ok_or_else(|| bad(None))?;
    let (key, value) = (key.trim(), value.trim());
    toml::from_str(&format!("{key} = {value}"))
        .or_else(|_| toml::from_str(&format!("{key} = {}", toml::Value::String(value.into()))))
        .map_err(|e| bad(Some(Box::new(e))))
}

/// Lays `over` on `base`, table by table.
fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The values of a table under their whole names.
fn flatten(prefix: &str, table: &toml::Table, values: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner, values),
            value => drop(values.insert(format!("{prefix}{key}"), value.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::schedule::Schedule;
    use crate::settings::Then;
    use crate::space::topology::Space;

    fn load(overrides: &[&str]) -> Result<Config> {
        let overrides: Vec<String> = overrides.iter().map(|s| s.to_string()).collect();
        Config::load("default", None, &overrides)
    }

    #[test]
    fn the_presets_load_and_survive_a_round_trip() {
        for preset in PRESETS {
            let config = Config::load(preset, None, &[]).unwrap();
            let again: Config = toml::from_str(&config.to_toml()).unwrap();
            assert_eq!(config, again);
        }
    }

    #[test]
    fn the_paper_preset_has_the_papers_numbers() {
        let c = Config::load("paper", None, &[]).unwrap();
        assert_eq!((c.network.width, c.search.epochs, c.search.batch), (32, 400, 1));
        assert_eq!((c.search.weights.lr, c.search.weights.betas), (0.025, [0.1, 0.001]));
        assert_eq!((c.search.alpha.lr, c.search.alpha.betas), (0.003, [0.5, 0.999]));
        assert_eq!(
            (c.search.schedule, c.search.then, c.search.loss),
            (Schedule::Plateau, Then::Inherit, "dice".parse().unwrap())
        );
        assert_eq!(c.network.space(), Space::paper());
    }

    #[test]
    fn overrides_change_single_keys() {
        let c =
            load(&["search.epochs=7", "network.share=cell", "data.patch=[32, 40, 48]"]).unwrap();
        assert_eq!((c.search.epochs, c.data.patch), (7, Some([32, 40, 48])));
    }

    #[test]
    fn a_list_of_one_may_go_without_brackets() {
        for key in ["data.normalisation=CT", "race.candidates=chain", "predict.largest_component=1"]
        {
            let (name, value) = key.split_once('=').unwrap();
            let quoted = if value == "1" { "1".into() } else { format!("{value:?}") };
            assert_eq!(load(&[key]).unwrap(), load(&[&format!("{name}=[{quoted}]")]).unwrap());
        }
        let said = load(&["data.normalisation={ a = 1 }"]).unwrap_err();
        assert!(std::error::Error::source(&said).unwrap().to_string().contains("a list"), "{said}");
    }

    #[test]
    fn two_configurations_differ_in_the_keys_that_were_changed_and_no_others() {
        let (plain, changed) = (
            load(&[]).unwrap(),
            load(&["train.weights.lr=0.001", "data.patch=[16, 16, 16]"]).unwrap(),
        );
        assert_eq!(plain.differences(&plain), []);
        let strings =
            |key: &str, here: &str, there: &str| (key.to_string(), [here, there].map(String::from));
        let expected = [
            strings("data.patch", "[16, 16, 16]", "–"),
            strings("train.weights.lr", "0.001", "0.003"),
        ];
        assert_eq!(changed.differences(&plain), expected);
        assert_eq!(plain.differences(&changed).len(), 2);
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused_by_name() {
        for (line, named) in [
            ("search.epoch=7", "epoch"),
            ("network.widht=8", "widht"),
            ("network.width=6", "network.width"),
            ("data.patch=[3, 40, 40]", "data.patch"),
            ("search.tau=[0, 1]", "search.tau"),
            ("predict.overlap=1", "predict.overlap"),
            ("train.ema=1.0", "train.ema"),
            ("train.drop_path=1.0", "train.drop_path"),
            ("train.warmup_epochs=40", "train.warmup_epochs"),
            ("augment.blurr.probability=0.5", "blurr"),
            ("augment.blur.range=[2.0, 1.0]", "augment.blur"),
            ("network.operations=[\"conv3\", \"conv4\"]", "conv4"),
            ("epochs", "key=value"),
        ] {
            let message = load(&[line]).expect_err(line).to_string();
            assert!(message.contains(named), "{line}: {message}");
        }
    }
}
