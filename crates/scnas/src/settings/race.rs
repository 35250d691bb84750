//! `[race]`: candidates that are trained side by side, the better ones longer, within budgets.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::settings::quantity::{Bytes, Count};
use crate::settings::{check, one_or_several};

/// A race of candidates (successive halving), and what its winner may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RaceConfig {
    /// Architectures by what `--arch` calls them, each with `@WIDTH` where it is not that of the
    /// network. The first that meets the budgets is the prior.
    #[serde(deserialize_with = "one_or_several")]
    pub candidates: Vec<String>,
    /// Epochs of training at the end of each rung, counted from the beginning.
    pub epochs: Vec<usize>,
    /// Share of the candidates that goes on from a rung to the next.
    pub keep: f64,
    /// Share of the training cases that judge and are not trained on.
    pub validation: f64,
    /// Have the candidates of the last rung teach the winner, as `train.distill` weighs them.
    #[serde(default)]
    pub distill: bool,
    /// Most convolution weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_params: Option<Count>,
    /// Most GFLOPs of a patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_gflops: Option<f64>,
    /// Most memory, in bytes, of a process that predicts the largest training case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory: Option<Bytes>,
    /// Most seconds that the prediction of the largest training case takes here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<f64>,
}

/// Those of the preset `default`: what holds where a file knows nothing of races.
impl Default for RaceConfig {
    fn default() -> Self {
        let candidates = [
            "u-resnet-half",
            "u-resnet-half@12",
            "u-resnet-half@8",
            "chain",
            "chain@12",
            "random:0",
        ];
        Self {
            candidates: candidates.map(String::from).to_vec(),
            epochs: vec![5, 15],
            keep: 0.5,
            validation: 0.25,
            distill: false,
            max_params: None,
            max_gflops: None,
            max_memory: None,
            max_seconds: None,
        }
    }
}

impl RaceConfig {
    /// Epochs of the candidates that go all the way.
    pub fn last_epoch(&self) -> usize {
        self.epochs.last().copied().unwrap_or(0)
    }

    /// The budgets that are set, as `max_params = 100000`.
    pub fn budgets(&self) -> Vec<String> {
        let Self { max_params, max_gflops, max_memory, max_seconds, .. } = self;
        [
            max_params.map(|Count(most)| format!("max_params = {most}")),
            max_gflops.map(|most| format!("max_gflops = {most}")),
            max_memory.map(|Bytes(most)| format!("max_memory = {most}")),
            max_seconds.map(|most| format!("max_seconds = {most}")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Refuses a race that would choose nothing: of one candidate alone, unless a budget says how wide
    /// it may be.
    pub(super) fn refuse_in_vain(&self) -> Result<()> {
        let different: BTreeSet<&str> = self.candidates.iter().map(|text| text.trim()).collect();
        check(
            different.len() > 1 || !self.budgets().is_empty(),
            "race.candidates",
            "two or more different ones, or a budget, as one alone has nothing to race against",
            format!("{:?}", self.candidates),
        )
    }

    /// Refuses what cannot be.
    pub(super) fn check(&self) -> Result<()> {
        let Self { candidates, epochs, keep, validation, max_gflops, max_seconds, .. } = self;
        check(!candidates.is_empty(), "race.candidates", "one or more architectures", "none")?;
        let rising =
            epochs.first().is_some_and(|&first| first > 0) && epochs.is_sorted_by(|a, b| a < b);
        check(rising, "race.epochs", "epochs that rise from rung to rung", format!("{epochs:?}"))?;
        check(*keep > 0.0 && *keep < 1.0, "race.keep", "more than 0 and less than 1", keep)?;
        let between = *validation > 0.0 && *validation < 1.0;
        check(between, "race.validation", "more than 0 and less than 1", validation)?;
        for (key, most) in [("race.max_gflops", max_gflops), ("race.max_seconds", max_seconds)] {
            let most = most.unwrap_or(1.0);
            check(most.is_finite() && most > 0.0, key, "a positive number", most)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::{Config, RaceConfig};

    #[test]
    fn the_defaults_are_those_of_the_preset() {
        assert_eq!(Config::load("default", None, &[]).unwrap().race, RaceConfig::default());
    }

    #[test]
    fn budgets_read_units_and_impossible_races_are_refused() {
        let load = |line: &str| {
            Config::load("default", None, &[line.to_string()]).map(|config| config.race)
        };
        assert_eq!(load("race.max_params=100k").unwrap().budgets(), ["max_params = 100000"]);
        assert_eq!(load("race.max_memory=1GiB").unwrap().budgets(), ["max_memory = 1073741824"]);
        assert_eq!(load("race.max_seconds=1").unwrap().budgets(), ["max_seconds = 1"]);
        for line in [
            "race.candidates=[]",
            "race.epochs=[]",
            "race.epochs=[5, 5]",
            "race.epochs=[0, 5]",
            "race.keep=1.0",
            "race.validation=0.0",
            "race.max_seconds=0",
            "race.max_params=many",
        ] {
            let key = line.split('=').next().unwrap();
            let error = load(line).unwrap_err().to_string();
            assert!(error.contains(key) || error.contains("100k"), "{line}: {error}");
        }
    }

    #[test]
    fn a_race_of_one_candidate_is_refused_unless_a_budget_has_a_say() {
        for (candidates, budget, fine) in [
            (r#"["chain"]"#, None, false),
            (r#"["chain", "chain"]"#, None, false),
            (r#"["chain", "chain@8"]"#, None, true),
            (r#"["chain"]"#, Some("race.max_params=100k"), true),
        ] {
            let lines = [Some(format!("race.candidates={candidates}")), budget.map(String::from)];
            let lines: Vec<String> = lines.into_iter().flatten().collect();
            let config = Config::load("default", None, &lines).unwrap();
            let found = config.refuse_in_vain().map_err(|error| error.to_string());
            assert_eq!(found.is_ok(), fine, "{candidates}: {found:?}");
            assert!(found.err().is_none_or(|text| text.contains("race.candidates")));
        }
    }

    #[test]
    fn a_budget_that_no_race_would_heed_is_refused() {
        let lines = ["race.max_params=100k", "search.strategy=bi-level"].map(String::from);
        let error = Config::load("default", None, &lines).unwrap_err().to_string();
        assert!(error.contains("search.strategy") && error.contains("max_params"), "{error}");
    }
}
