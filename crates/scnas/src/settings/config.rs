//! The configuration of a run: one TOML file, presets `default` and `paper`, `key=value` overrides;
//! unknown keys are refused.
//!
//! Keys where METHOD leaves a choice are all here. `paper` follows the paper to the letter;
//! `default` departs from it where a measurement says it is better (see `ARCHITECTURE.md`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use medvol::Label;
use medvol::augment::AugmentSettings;
use medvol::stitch::Blend;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::learn::loss::LossTerms;
use crate::learn::optimiser::AdamConfig;
use crate::learn::relaxation::Relaxation;
use crate::learn::schedule::Schedule;
use crate::space::operation::OperationTable;
use crate::space::topology::{DEPTH, DecoderOrder, NODES, Share, Space, Upsample};

/// All settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seed of every random stream.
    pub seed: u64,
    pub data: DataConfig,
    /// How training patches are varied where `search.augment` or `train.augment` says so; absent:
    /// not at all.
    #[serde(default)]
    pub augment: AugmentSettings,
    pub network: NetworkConfig,
    pub search: SearchConfig,
    pub train: TrainConfig,
    pub predict: PredictConfig,
}

/// How cases become patches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Folds the cases are split into, seeded.
    pub folds: usize,
    /// The fold held out for evaluation, 0-based; never seen by search or training.
    pub fold: usize,
    /// File that says who is held out in each fold, in the form of nnU-Net's `splits_final.json`,
    /// instead of `folds` seeded ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub splits: Option<PathBuf>,
    /// Voxel spacing `[depth, height, width]` in mm that every case is resampled to; absent:
    /// median of the training cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing: Option<[f64; 3]>,
    /// Patch `[depth, height, width]` in voxels, each divisible by 8; absent: median case, at most
    /// `max_patch_voxels`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<[usize; 3]>,
    /// Limit of a derived patch, in voxels.
    pub max_patch_voxels: usize,
    /// Share of patches that are forced to contain foreground, 0 to 1.
    pub foreground: f64,
}

/// Size and space of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Channels of the stem, divisible by 4 (paper: 32).
    pub width: usize,
    /// Candidate operations of every edge.
    pub operations: OperationTable,
    /// Order of the decoder's cells.
    pub decoder_order: DecoderOrder,
    /// How coarse inputs are upsampled.
    pub upsample: Upsample,
    /// Which cells share an architecture.
    pub share: Share,
    /// Run every cell a second time in the backward pass instead of keeping what it computed: less
    /// memory, more time.
    #[serde(default)]
    pub recompute: bool,
}

impl NetworkConfig {
    /// The search space.
    pub fn space(&self) -> Space {
        let Self { operations, decoder_order, upsample, share, .. } = self.clone();
        Space { operations, decoder_order, upsample, share }
    }
}

/// The bi-level search (paper Algorithm 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// How the architecture is made differentiable.
    pub relaxation: Relaxation,
    /// Epochs; one patch per case of each half an epoch (paper: 400).
    pub epochs: usize,
    /// Epochs at the start that train Θ only.
    pub warmup_epochs: usize,
    /// Temperature τ at the first and last epoch.
    pub tau: [f64; 2],
    /// How τ falls between them.
    pub tau_schedule: TauSchedule,
    /// Draw a new architecture for the α step instead of using the Θ step's.
    pub resample_for_alpha: bool,
    /// Adam for Θ.
    pub weights: AdamConfig,
    /// Adam for α.
    pub alpha: AdamConfig,
    /// Learning rates over the epochs.
    pub schedule: Schedule,
    /// Patches per step (paper: 1).
    pub batch: usize,
    /// Vary the patches of both halves as `[augment]` says.
    #[serde(default)]
    pub augment: bool,
    /// Loss of both levels.
    pub loss: LossTerms,
    /// Gradients of Θ with a larger global norm are scaled down to it; 0: never.
    pub clip: f64,
    /// Where the found network's weights come from.
    pub then: Then,
}

/// Weights of the found network (METHOD "Weights").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// As the search left them (paper).
    Inherit,
    /// Inherited, then trained on with all training data.
    #[default]
    Finetune,
    /// Trained from scratch with all training data.
    Retrain,
}

/// How τ goes from its first to its last value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TauSchedule {
    #[default]
    Exponential,
    Linear,
    Constant,
}

/// Training of a fixed architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Epochs of one patch per training case.
    pub epochs: usize,
    /// Adam for Θ.
    pub weights: AdamConfig,
    /// Learning rate over the epochs.
    pub schedule: Schedule,
    /// Patches per step.
    pub batch: usize,
    /// Vary the patches as `[augment]` says.
    #[serde(default)]
    pub augment: bool,
    /// Epochs at the start over which the learning rate rises from 0; the schedule's factor is
    /// applied on top.
    #[serde(default)]
    pub warmup_epochs: usize,
    /// Loss.
    pub loss: LossTerms,
    /// Train also by class scores from the decoder's outputs at 1/2 and 1/4 of the size (networks
    /// of cells only).
    #[serde(default)]
    pub deep_supervision: bool,
    /// Probability with which a step leaves out an operation of an edge, identities apart
    /// (networks of cells only).
    #[serde(default)]
    pub drop_path: f64,
    /// Gradients with a larger global norm are scaled down to it; 0: never.
    pub clip: f64,
    /// Decay of a moving average of the weights, which is what is validated and saved; 0: the
    /// weights themselves.
    #[serde(default)]
    pub ema: f64,
    /// Validate on the held-out fold every this many epochs (and after the last); 0: only after
    /// the last.
    pub validate_every: usize,
}

/// Sliding-window prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictConfig {
    /// Overlap of neighbouring windows, 0 to less than 1.
    pub overlap: f64,
    /// Weights of a window's voxels.
    pub blend: Blend,
    /// Predict each window mirrored too, along the axes that training mirrored patches along, and
    /// take the mean: two to eight times the work.
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
    Value(u16),
    Name(String),
}

impl PredictConfig {
    /// The classes of [`Self::largest_component`] among a data set's labels.
    ///
    /// # Errors
    /// A label that is not among them, or the background.
    pub fn largest_component_classes(&self, labels: &[Label]) -> Result<Vec<u8>> {
        let class = |key: &LabelKey| {
            let named = |label: &Label| match key {
                LabelKey::Value(value) => label.value == *value,
                LabelKey::Name(name) => label.name == *name || name.parse() == Ok(label.value),
            };
            labels
                .iter()
                .position(named)
                .and_then(|class| u8::try_from(class).ok())
                .filter(|&class| class > 0)
                .ok_or_else(|| {
                    let known: Vec<String> = labels
                        .iter()
                        .skip(1)
                        .map(|label| format!("{} ({})", label.name, label.value))
                        .collect();
                    config_error(
                        "predict.largest_component",
                        format!("names or values out of {}", known.join(", ")),
                        key.to_string(),
                        "correct it",
                    )
                })
        };
        self.largest_component.iter().map(class).collect()
    }
}

impl std::fmt::Display for LabelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            LabelKey::Value(value) => value.fmt(f),
            LabelKey::Name(name) => write!(f, "\"{name}\""),
        }
    }
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
        other => Err(config_error(
            "preset",
            PRESETS.join(" or "),
            format!("\"{other}\""),
            "choose one of these",
        )),
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
        let mut table: toml::Table =
            toml::from_str(self::preset(preset)?).map_err(|e| bad_toml("preset", &e))?;
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|e| Error::file("read", path, e))?;
            merge(
                &mut table,
                toml::from_str(&text).map_err(|e| bad_toml(&path.display().to_string(), &e))?,
            );
        }
        for line in overrides {
            merge(&mut table, parse_override(line)?);
        }
        let origin = file
            .map_or_else(|| format!("preset {preset} with overrides"), |p| p.display().to_string());
        let config: Self = table.try_into().map_err(|e: toml::de::Error| bad_toml(&origin, &e))?;
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

    fn validate(&self) -> Result<()> {
        let check = |ok: bool, key: &str, expected: &str, found: String| {
            if ok {
                Ok(())
            } else {
                Err(config_error(
                    key,
                    expected.into(),
                    found,
                    "change it in the config or with --set",
                ))
            }
        };
        let Self { data, augment, network, search, train, predict, .. } = self;
        check(data.folds >= 2, "data.folds", "2 or more", data.folds.to_string())?;
        // How many a file of splits has is not known yet.
        check(
            data.splits.is_some() || data.fold < data.folds,
            "data.fold",
            &format!("0 to {}", data.folds - 1),
            data.fold.to_string(),
        )?;
        if let Some(patch) = data.patch {
            let step = 1 << DEPTH;
            // 512 per axis is beyond any memory, and products of more could overflow.
            let ok = patch.iter().all(|&n| (step..=512).contains(&n) && n % step == 0);
            check(
                ok,
                "data.patch",
                &format!(
                    "three multiples of {step} from {step} to 512 (the grid is halved {DEPTH} \
                     times)"
                ),
                format!("{patch:?}"),
            )?;
        }
        if let Some(spacing) = data.spacing {
            let ok = spacing.iter().all(|&s| s.is_finite() && s > 0.0);
            check(ok, "data.spacing", "three positive numbers in mm", format!("{spacing:?}"))?;
        }
        check(
            data.max_patch_voxels >= 512,
            "data.max_patch_voxels",
            "512 or more",
            data.max_patch_voxels.to_string(),
        )?;
        check(
            (0.0..=1.0).contains(&data.foreground),
            "data.foreground",
            "0 to 1",
            data.foreground.to_string(),
        )?;
        let width = network.width;
        let expected = &format!("a multiple of {NODES} from {NODES} to 1024");
        check(
            (NODES..=1024).contains(&width) && width.is_multiple_of(NODES),
            "network.width",
            expected,
            width.to_string(),
        )?;
        check(search.epochs > 0, "search.epochs", "1 or more", search.epochs.to_string())?;
        let taus = search.tau.iter().all(|&t| t.is_finite() && t > 0.0);
        check(taus, "search.tau", "two positive numbers", format!("{:?}", search.tau))?;
        check(search.batch > 0, "search.batch", "1 or more", "0".into())?;
        check(train.batch > 0, "train.batch", "1 or more", "0".into())?;
        check(train.epochs > 0, "train.epochs", "1 or more", "0".into())?;
        for (key, adam) in [
            ("search.weights", search.weights),
            ("search.alpha", search.alpha),
            ("train.weights", train.weights),
        ] {
            let betas = adam.betas.iter().all(|b| (0.0..1.0).contains(b));
            check(
                betas,
                &format!("{key}.betas"),
                "two numbers from 0 to less than 1",
                format!("{:?}", adam.betas),
            )?;
            let rates = adam.lr.is_finite()
                && adam.lr > 0.0
                && adam.weight_decay.is_finite()
                && adam.weight_decay >= 0.0;
            check(
                rates,
                key,
                "lr > 0 and weight_decay ≥ 0",
                format!("lr {}, weight_decay {}", adam.lr, adam.weight_decay),
            )?;
        }
        for (key, clip) in [("search.clip", search.clip), ("train.clip", train.clip)] {
            check(
                clip.is_finite() && clip >= 0.0,
                key,
                "0 (off) or a positive number",
                clip.to_string(),
            )?;
        }
        for (key, share) in [("train.ema", train.ema), ("train.drop_path", train.drop_path)] {
            check((0.0..1.0).contains(&share), key, "0 (off) to less than 1", share.to_string())?;
        }
        augment.check().or_else(|bad| {
            check(false, &format!("augment.{}", bad.key), bad.expected, bad.found)
        })?;
        check(
            (0.0..1.0).contains(&predict.overlap),
            "predict.overlap",
            "0 to less than 1",
            predict.overlap.to_string(),
        )
    }
}

impl SearchConfig {
    /// Temperature in `epoch`.
    pub fn tau_at(&self, epoch: usize) -> f64 {
        let [first, last] = self.tau;
        let progress = if self.epochs > 1 { epoch as f64 / (self.epochs - 1) as f64 } else { 0.0 };
        match self.tau_schedule {
            TauSchedule::Exponential => first * (last / first).powf(progress),
            TauSchedule::Linear => first + (last - first) * progress,
            TauSchedule::Constant => first,
        }
    }
}

fn config_error(key: &str, expected: String, found: String, remedy: &str) -> Error {
    Error::Config { key: key.into(), expected, found, remedy: remedy.into() }
}

fn bad_toml(origin: &str, error: &toml::de::Error) -> Error {
    let found = error.to_string().trim_end().replace('\n', "\n  ");
    config_error(
        origin,
        "known keys with values of the right type".into(),
        found,
        "`scnas config` prints every key with its meaning",
    )
}

/// `a.b=value` as a table; the value is TOML, or a bare word taken as a string.
fn parse_override(line: &str) -> Result<toml::Table> {
    let bad = |found: String| {
        config_error("--set", "key=value, like search.epochs=10".into(), found, "write it so")
    };
    let (key, value) = line.split_once('=').ok_or_else(|| bad(format!("\"{line}\"")))?;
    let (key, value) = (key.trim(), value.trim());
    toml::from_str(&format!("{key} = {value}"))
        .or_else(|_| toml::from_str(&format!("{key} = {}", toml::Value::String(value.into()))))
        .map_err(|e| bad(format!("\"{line}\" ({})", e.message())))
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
            ("data.patch=[30, 40, 40]", "data.patch"),
            ("data.fold=5", "data.fold"),
            ("search.tau=[0, 1]", "search.tau"),
            ("predict.overlap=1", "predict.overlap"),
            ("train.ema=1.0", "train.ema"),
            ("train.drop_path=1.0", "train.drop_path"),
            ("augment.blurr.probability=0.5", "blurr"),
            ("augment.blur.range=[2.0, 1.0]", "augment.blur"),
            ("network.operations=[\"conv3\", \"conv4\"]", "conv4"),
            ("epochs", "--set"),
        ] {
            let message = load(&[line]).expect_err(line).to_string();
            assert!(message.contains(named), "{line}: {message}");
        }
    }

    #[test]
    fn tau_goes_from_its_first_to_its_last_value() {
        let mut search = load(&[]).unwrap().search;
        search.epochs = 11;
        for schedule in [TauSchedule::Exponential, TauSchedule::Linear] {
            search.tau_schedule = schedule;
            assert!((search.tau_at(0) - search.tau[0]).abs() < 1e-12);
            assert!((search.tau_at(10) - search.tau[1]).abs() < 1e-12);
            assert!((1..11).all(|e| search.tau_at(e) < search.tau_at(e - 1)));
        }
    }
}
