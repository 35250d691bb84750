//! What a run was made of: findings of the data check, settings.

use std::collections::BTreeMap;

use medvol::check::{Finding, Kind, Report, Severity};

use crate::data::plan::Plan;
use crate::report::html::markup::{counted, details, escape, note, table};
use crate::report::html::subject::Subject;
use crate::settings::{Config, PRESETS};

/// Findings of one kind that are shown; how many more there are is said.
const OF_A_KIND: usize = 5;

/// What the check found, the gravest first.
pub fn findings(report: &Report) -> String {
    let counts =
        [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")]
            .map(|(severity, word)| counted(report.count(severity), word));
    let summary =
        note(&format!("{} checked: {}.", counted(report.cases, "case"), counts.join(", ")));
    let mut by_kind: BTreeMap<(std::cmp::Reverse<Severity>, Kind), Vec<&Finding>> = BTreeMap::new();
    for finding in &report.findings {
        by_kind
            .entry((std::cmp::Reverse(finding.severity), finding.kind))
            .or_default()
            .push(finding);
    }
    if by_kind.is_empty() {
        return summary;
    }
    let head = ["severity", "kind", "what", "found", "to do"].map(String::from).to_vec();
    let mut rows = vec![head];
    for ((severity, kind), found) in &by_kind {
        rows.extend(found.iter().take(OF_A_KIND).map(|finding| {
            vec![
                severity.0.to_string(),
                kind.to_string(),
                finding.subject(),
                finding.message.clone(),
                finding.remedy.clone(),
            ]
        }));
        if found.len() > OF_A_KIND {
            let more = format!("and {} more of this kind", found.len() - OF_A_KIND);
            rows.push(vec![
                severity.0.to_string(),
                kind.to_string(),
                String::new(),
                more,
                String::new(),
            ]);
        }
    }
    summary + &table("Findings of the data check", &rows, 5)
}

/// What was derived from the data, the settings that differ from a preset, and all of them.
pub fn settings(subject: &Subject) -> String {
    let plan = subject.plan().map(plan).unwrap_or_default();
    let Some(config) = subject.config() else { return plan };
    let own = own_settings(config, subject.networks.len() > 1);
    format!(
        "{plan}{own}{}",
        details("All settings", &format!("<pre>{}</pre>", escape(&config.to_toml())))
    )
}

fn plan(plan: &Plan) -> String {
    let [d, h, w] = plan.patch;
    let [z, y, x] = plan.spacing;
    let rows: Vec<Vec<String>> = [
        ["derived from the data", "value"],
        ["data set", &plan.dataset],
        ["channels", &plan.channels.join(", ")],
        ["predicted", &plan.foreground().join(", ")],
        [
            "training and held-out cases",
            &format!("{} and {}", plan.training_names().len(), plan.held_out().len()),
        ],
        ["folds", &plan.folds.len().to_string()],
        ["patch in voxels", &format!("{d} × {h} × {w}")],
        ["spacing in mm", &format!("{z:.2} × {y:.2} × {x:.2}")],
    ]
    .into_iter()
    .map(|row| row.map(String::from).to_vec())
    .collect();
    table("What was derived from the data", &rows, 2)
}

/// The settings that differ from those of the preset they are nearest to. The fold is none of
/// several.
fn own_settings(config: &Config, folds: bool) -> String {
    let differences = |preset: &'static str| {
        let of_preset = Config::load(preset, None, &[]).ok()?;
        let mut differences = config.differences(&of_preset);
        differences.retain(|(key, _)| !(folds && key == "data.fold"));
        Some((preset, differences))
    };
    let nearest = PRESETS.into_iter().filter_map(differences).min_by_key(|(_, found)| found.len());
    let Some((preset, found)) = nearest else { return String::new() };
    if found.is_empty() {
        return note(&format!("All settings are those of the preset {preset}."));
    }
    let mut rows =
        vec![["setting", "here", &format!("in the preset {preset}")].map(String::from).to_vec()];
    rows.extend(found.into_iter().map(|(key, [here, there])| vec![key, here, there]));
    table("Settings that differ from a preset", &rows, 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_held_against_the_nearest_preset() {
        let own = |preset: &str, lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
            own_settings(&Config::load(preset, None, &lines).unwrap(), true)
        };
        assert!(
            own("paper", &["data.fold=2"]).contains("All settings are those of the preset paper")
        );
        let html = own("default", &["train.epochs=7"]);
        assert!(html.contains("train.epochs") && html.contains("preset default"), "{html}");
        assert_eq!(html.matches("<tr>").count(), 2);
    }
}
