//! `[log]`: what a run leaves to be looked at. Nothing that is computed depends on it.

use serde::{Deserialize, Serialize};

/// What a run writes for people and for other programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// Write `report.html` at the end.
    pub report: bool,
    /// Write event files of TensorBoard beside `log.jsonl`.
    pub tensorboard: bool,
}

/// Those of the preset `default`: what holds where a file knows nothing of them.
impl Default for LogConfig {
    fn default() -> Self {
        Self { report: true, tensorboard: false }
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::{Config, LogConfig, PRESETS};

    #[test]
    fn the_defaults_are_those_of_the_presets() {
        for preset in PRESETS {
            assert_eq!(Config::load(preset, None, &[]).unwrap().log, LogConfig::default());
        }
    }
}
