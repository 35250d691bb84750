//! All settings as tables in Markdown, from the comments of the preset `default`.

use std::fmt::Write as _;

use crate::settings::{Config, PRESETS, preset};

/// What stands above the tables.
const HEAD: &str = "\
# Settings

All keys of a run's settings, section by section, with their values in the presets `default` and
`paper`. A dash: the key is left out, and its meaning says what is done then. `scnas config` prints
a preset to start from; unknown keys are refused.

This file is written by `scnas config --reference`.
";

/// The reference of all settings, in Markdown.
pub fn reference() -> String {
    let presets = PRESETS.map(values);
    let mut text = HEAD.to_string();
    let (mut section, mut comment) = (String::new(), String::new());
    for line in preset(PRESETS[0]).unwrap_or_default().lines().skip(1) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
            let _ = write!(text, "\n## `[{name}]`\n\n");
            if !comment.is_empty() {
                let _ = write!(text, "{comment}\n\n");
            }
            text += &head();
        } else if let Some(Key { name, meaning }) = Key::of(line) {
            if section.is_empty() {
                text += &format!("\n{}", head());
            }
            let key = format!("{section}{name}");
            let cells = presets.each_ref().map(|values| value(values, &key));
            let _ = writeln!(text, "| `{key}` | {} | {meaning} |", cells.join(" | "));
        }
        comment = line.strip_prefix("# ").unwrap_or_default().to_string();
    }
    text
}

fn head() -> String {
    format!("| key | `{}` | meaning |\n|---|---|---|---|\n", PRESETS.join("` | `"))
}

/// A key and its comment.
struct Key<'a> {
    name: &'a str,
    meaning: &'a str,
}

impl<'a> Key<'a> {
    /// That of a line of a preset, `key = value # meaning`; one that is left out has a `#` before it.
    fn of(line: &'a str) -> Option<Self> {
        let line = line.strip_prefix("# ").unwrap_or(line);
        let (name, rest) = line.split_once(" = ")?;
        let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let meaning = rest.split_once(" # ").map_or("", |(_, meaning)| meaning.trim());
        is_name.then_some(Self { name, meaning })
    }
}

/// All values of a preset, those included that it leaves to their defaults.
fn values(preset: &str) -> toml::Table {
    let config = Config::load(preset, None, &[]).ok();
    config.and_then(|config| toml::Table::try_from(config).ok()).unwrap_or_default()
}

/// The value of a key such as `train.epochs`, as TOML; – where there is none.
fn value(values: &toml::Table, key: &str) -> String {
    let mut parts = key.split('.');
    let first = parts.next().and_then(|part| values.get(part));
    let found = parts.fold(first, |value, part| value?.get(part));
    found.map_or_else(|| "–".into(), |value| format!("`{value}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_the_documents_is_the_one_that_is_written() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/settings.md");
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(
            kept == reference(),
            "write it anew: scnas config --reference > docs/reference/settings.md"
        );
    }

    #[test]
    fn every_setting_is_in_the_reference_with_its_meaning() {
        fn keys(prefix: &str, table: &toml::Table, found: &mut Vec<String>) {
            for (key, value) in table {
                match value {
                    // Sections have tables of keys; a value can be a table too.
                    toml::Value::Table(section) if prefix.is_empty() => {
                        keys(&format!("{key}."), section, found);
                    }
                    _ => found.push(format!("{prefix}{key}")),
                }
            }
        }
        let overrides = [
            "data.folds_seed=1",
            "data.splits=x",
            "data.spacing=[1, 1, 1]",
            "data.patch=[8, 8, 8]",
            "data.normalisation=[\"CT\"]",
            "data.geometry=sform",
            "data.keep=disk",
            "data.cache=x",
            "data.memory=4.0",
            "data.numbers=f16",
            "search.strategy=race",
            "search.decide={}",
            "race.max_params=1",
            "race.max_gflops=1",
            "race.max_memory=1",
            "race.max_seconds=1",
        ]
        .map(String::from);
        let all = Config::load("default", None, &overrides).unwrap();
        let mut found = Vec::new();
        keys("", &toml::Table::try_from(all).unwrap(), &mut found);
        let text = reference();
        for key in found {
            let row = text.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
            let row = row.unwrap_or_else(|| panic!("{key} is not in the reference"));
            assert!(!row.ends_with("|  |"), "{key} has no meaning");
        }
    }
}
