//! What `search` and `train` have in common: data, settings, run folder, and what they print at the
//! end.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use medvol::io::Reading;
use scnas::data::files::name_of_folder;
use scnas::learn::relaxation::Relaxation;
use scnas::ranks::Ranks;
use scnas::report::against_random::AgainstRandom;
use scnas::report::evaluation::Evaluation;
use scnas::report::result::RunResult;
use scnas::settings::{Bytes, Config, Count, PRESETS, SearchConfig, Strategy};
use serde_json::json;

use crate::against_random;
use crate::output::{Output, warn};

/// Help for an argument that names an architecture.
pub const ARCHITECTURES: &str = "A run folder, a genotype.json, a model.safetensors, random, \
                                 random:SEED, an operation for all edges, such as conv3, cells \
                                 that have a name: chain, pairs, parallel, found-by-dropping, or \
                                 a network of the U family: u-resnet, u-resnet-half, u:CHANNELS \
                                 (as in u:8, or u:8,16,32,64)";

/// A patch in voxels: depth, height, width.
pub fn patch(text: &str) -> Result<[usize; 3], String> {
    let numbers: Option<Vec<usize>> = text
        .split([',', 'x'])
        .map(|n| n.trim().parse().ok().filter(|n| (1..=4096).contains(n)))
        .collect();
    let patch: Option<[usize; 3]> = numbers.and_then(|n| n.try_into().ok());
    patch.ok_or_else(|| "expected three numbers of voxels, such as 40,56,40".into())
}

/// Data and settings of a run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Data set: an MSD or nnU-Net raw folder, a JSON file with MONAI's lists,
    /// or a CSV file of image/label pairs
    pub data: PathBuf,
    /// Run folder to write; a run that was stopped there goes on
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Fold to hold out for evaluation; short for --set data.fold=K
    #[arg(long, value_name = "K")]
    pub fold: Option<usize>,
}

/// How a network is found, and what it may cost.
#[derive(Debug, Args)]
pub struct StrategyArgs {
    /// race: train candidates side by side, the better ones longer, and hand over the best;
    /// bi-level: learn weights and architecture together; short for --set search.strategy=NAME
    /// [default: race; with --preset paper, or where a setting of search is given, bi-level]
    #[arg(long, value_name = "race|bi-level")]
    pub strategy: Option<String>,
    /// One more candidate of a race, as --arch of train names it, with @WIDTH where it is to have
    /// another; may be repeated
    #[arg(long, value_name = "ARCH")]
    pub candidate: Vec<String>,
    /// Most convolution weights of a race's winner, such as 100k or 0.5M
    #[arg(long, value_name = "N")]
    pub max_params: Option<Count>,
    /// Most GFLOPs of a patch
    #[arg(long, value_name = "X")]
    pub max_gflops: Option<f64>,
    /// Most memory that predicting the largest training case takes, such as 1GiB
    #[arg(long, value_name = "SIZE")]
    pub max_memory: Option<Bytes>,
    /// Most seconds that predicting the largest training case takes on this machine
    #[arg(long, value_name = "S")]
    pub max_seconds: Option<f64>,
}

/// The part of a header that an option names.
pub fn reading(name: &str) -> Result<Reading, String> {
    let known = Reading::ALL.into_iter().find(|reading| reading.name() == name);
    known.ok_or_else(|| format!("expected one of {}", Reading::ALL.map(Reading::name).join(", ")))
}

impl StrategyArgs {
    /// The settings that these options are short for. Who sets something of the bi-level search, and
    /// names no strategy, means that one.
    pub fn overrides(&self, settings: &SettingsArgs) -> Vec<String> {
        let Self { strategy, max_params, max_gflops, max_memory, max_seconds, .. } = self;
        let implied = settings.of_section("search.").next().is_some() && !settings.names_strategy();
        let strategy = strategy.clone().or_else(|| implied.then(|| "bi-level".into()));
        let strategy = strategy.map(|name| format!("search.strategy={name}"));
        let params = max_params.map(|Count(most)| format!("race.max_params={most}"));
        let gflops = max_gflops.map(|most| format!("race.max_gflops={most:?}"));
        let memory = max_memory.map(|Bytes(most)| format!("race.max_memory={most}"));
        let seconds = max_seconds.map(|most| format!("race.max_seconds={most:?}"));
        [strategy, params, gflops, memory, seconds].into_iter().flatten().collect()
    }
}

/// Settings of a run.
#[derive(Debug, Args)]
pub struct SettingsArgs {
    /// Settings to start from
    #[arg(long, value_parser = PRESETS, value_name = "NAME")]
    pub preset: Option<String>,
    /// TOML file that changes settings (`scnas config` prints all of them)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Change one setting, such as search.epochs=10; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Seconds between two checkpoints within an epoch; there is one at the end of each anyway
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub save_every: u64,
}

impl SettingsArgs {
    /// Warns of settings of the training that are given where nothing is trained.
    pub fn warn_of_untrained(&self) {
        self.warn_in_vain("train.", "nothing is trained behind the search");
    }

    /// Warns of settings of the search that are given where nothing is searched.
    pub fn warn_of_unsearched(&self) {
        self.warn_in_vain("search.", "nothing is searched");
    }

    /// Refuses settings of the one strategy that are given to the other, and warns of those that a
    /// search which decides does not heed.
    pub fn refuse_other_search(&self, search: &SearchConfig) -> Result<()> {
        let (section, why) = match search.strategy {
            Strategy::Race => (
                "search.",
                "candidates race; --strategy bi-level learns an architecture, and settings of a \
                 race begin with race.",
            ),
            Strategy::BiLevel => ("race.", "nothing races; --strategy race does that"),
        };
        if let Some(line) = self.of_section(section).next() {
            bail!("--set {line} has no effect: {why}");
        }
        let of_alpha = ["search.alpha", "search.tau", "search.resample_for_alpha"];
        for key in of_alpha.into_iter().filter(|_| search.decide.is_some()) {
            self.warn_in_vain(key, "search.decide learns no α");
        }
        if search.relaxation != Relaxation::Scnas {
            let name = search.relaxation.name();
            self.warn_in_vain("search.tau", &format!("{name:?} has no temperature"));
        }
        Ok(())
    }

    /// Whether the strategy is among the settings.
    fn names_strategy(&self) -> bool {
        self.set.iter().any(|line| line.trim_start().starts_with("search.strategy"))
    }

    fn warn_in_vain(&self, section: &str, why: &str) {
        for line in self.of_section(section) {
            warn(format_args!("--set {line} has no effect: {why}"));
        }
    }

    /// The settings that are given of a section, but for the choice of the strategy.
    fn of_section<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.set.iter().map(|line| line.trim_start());
        lines.filter(move |line| line.starts_with(section) && !line.starts_with("search.strategy"))
    }

    /// The settings: preset, then the file (or, without one, `base`), then `--set` and `more`.
    pub fn load(&self, base: Option<&Path>, more: &[String]) -> Result<Config> {
        let preset = self.preset.as_deref().unwrap_or("default");
        let base = base.filter(|_| self.preset.is_none());
        let overrides: Vec<String> = self.set.iter().chain(more).cloned().collect();
        Ok(Config::load(preset, self.config.as_deref().or(base), &overrides)?)
    }

    /// What is said of a batch is that of each of `ranks`, and becomes that of all; only what another
    /// run says is that of all already.
    pub fn of_all(&self, key: &str, batch: &mut usize, base: Option<&Path>, ranks: &dyn Ranks) {
        let of_another = match &self.config {
            Some(file) => file.with_file_name("plan.json").exists(),
            None => base.is_some() && self.preset.is_none(),
        };
        if !of_another || self.of_section(key).next().is_some() {
            *batch = batch.saturating_mul(ranks.count());
        }
    }
}

impl RunArgs {
    /// The settings: preset, then the file (or, without one, `base`), then `--set`, `--fold` and
    /// `more`. `train.batch` is that of all `ranks`.
    pub fn settings(
        &self,
        base: Option<&Path>,
        mut more: Vec<String>,
        ranks: &dyn Ranks,
    ) -> Result<Config> {
        more.extend(self.fold.map(|fold| format!("data.fold={fold}")));
        let mut config = self.settings.load(base, &more)?;
        self.settings.of_all("train.batch", &mut config.train.batch, base, ranks);
        Ok(config)
    }

    /// The run folder: `--out`, or `runs/<data>/<kind>-fold<K>`.
    pub fn folder(&self, kind: &str, config: &Config) -> PathBuf {
        self.out.clone().unwrap_or_else(|| {
            default_folder(&self.data, &format!("{kind}-fold{}", config.data.fold))
        })
    }
}

/// `runs/<name of the data folder>/<name>`.
pub fn default_folder(data: &Path, name: &str) -> PathBuf {
    Path::new("runs").join(name_of_folder(data)).join(name)
}

/// Prints the Dice table of a finished run, the means of all metrics, one line that sums it up,
/// and, of a search, whether it beats random networks that lie beside it.
pub fn report(
    folder: &Path,
    (result, evaluation): &(RunResult, Evaluation),
    output: Output,
) -> Result<()> {
    let mean = result
        .mean_dice
        .map_or_else(|| "not scored".into(), |m| format!("{:.4} ± {:.4}", m.mean, m.sd));
    let summary = format!(
        "{}: mean foreground Dice {mean} on {} held-out cases; {:.2} M parameters, {:.2} GFLOPs a \
         patch; {:.1} minutes; {}",
        result.network,
        result.cases,
        result.parameters_m,
        result.gflops,
        result.seconds / 60.0,
        folder.join("model.safetensors").display(),
    );
    let random = folder.join("alpha.json").exists().then(|| AgainstRandom::of(folder)).flatten();
    let mut text = format!("{}\n{}\n{summary}", evaluation.table(), evaluation.means());
    if let Some(verdict) = &result.race {
        text = format!("{text}\n{verdict}");
    }
    if let Some(random) = &random {
        text = format!("{text}\n\n{}", against_random::text(random));
    }
    output.result(text, || {
        let random = random.as_ref().map(against_random::json);
        json!({ "run": folder, "result": result, "evaluation": evaluation.summary(), "against_random": random })
    })
}
