//! What was found: cells as drawings, with every epoch of the search where the log has them, or a
//! design in words.

use serde_json::json;

use crate::data::plan::Plan;
use crate::network::architecture::Architecture;
use crate::report::html::markup::{data, escape, note};
use crate::report::html::subject::{Network, Subject};
use crate::space::draw::film;
use crate::space::genotype::Genotype;

/// The cells of all networks, one shown at a time.
pub fn section(subject: &Subject, id: &str) -> String {
    let shown: Vec<(&Network, String)> = subject
        .networks
        .iter()
        .enumerate()
        .filter_map(|(n, network)| Some((network, one(network, &format!("{id}-{n}"))?)))
        .collect();
    let panels: String = shown
        .iter()
        .enumerate()
        .map(|(n, (_, html))| {
            let hidden = if n > 0 { " hidden" } else { "" };
            format!("<div class=\"film\"{hidden}>{html}</div>\n")
        })
        .collect();
    match shown.len() {
        0 | 1 => panels,
        _ => {
            let options: String = shown
                .iter()
                .map(|(network, _)| format!("<option>{}</option>", escape(&network.of)))
                .collect();
            format!(
                "<div class=\"films\"><p class=\"controls\"><label>Cells of <select \
                 class=\"which\">{options}</select></label></p>{panels}</div>\n"
            )
        }
    }
}

/// Those of one network; `None` where nothing is known yet.
fn one(network: &Network, id: &str) -> Option<String> {
    let mut steps: Vec<(String, Genotype)> = epochs(network);
    if let Some(Architecture::Cells(genotype)) = &network.architecture
        && steps.last().is_none_or(|(_, last)| last != genotype)
    {
        steps.push(("found".into(), genotype.clone()));
    }
    if steps.is_empty() {
        return designed(network);
    }
    let genotypes: Vec<Genotype> = steps.iter().map(|(_, genotype)| genotype.clone()).collect();
    let film = film(&genotypes, id)?;
    let last = steps.len() - 1;
    let slider = match last {
        0 => String::new(),
        _ => {
            let names: Vec<&String> = steps.iter().map(|(name, _)| name).collect();
            let frames =
                data("frames", &json!({ "names": names, "edges": film.frames }).to_string());
            format!(
                "<p class=\"controls\"><button type=\"button\" class=\"play\">Play</button> <label>Epoch \
                 of the search <input type=\"range\" class=\"epoch\" min=\"0\" max=\"{last}\" \
                 value=\"{last}\" aria-valuetext=\"{name}\"></label> <output>{name}</output></p>{frames}",
                name = escape(&steps[last].0)
            )
        }
    };
    Some(format!("{slider}<div class=\"drawing\">{}</div>", film.svg))
}

/// The architectures of the epochs of a search, as far as the log has them.
fn epochs(network: &Network) -> Vec<(String, Genotype)> {
    let Some(config) = &network.config else { return Vec::new() };
    let space = config.network.space();
    let of_line = |line: &crate::observer::EpochLine| {
        let cells = line.search.as_ref()?.cells.clone();
        let genotype = Genotype::from_cells(space.clone(), cells).ok()?;
        Some((format!("epoch {} of {}", line.epoch + 1, line.epochs), genotype))
    };
    network.lines.iter().filter_map(of_line).collect()
}

/// A network without cells, in words.
fn designed(network: &Network) -> Option<String> {
    let width = network.config.as_ref()?.network.width;
    let size = network.plan.as_ref().map(|plan: &Plan| plan.size(width))?;
    let design = network.architecture.as_ref()?.design(size)?;
    let text = escape(&design.to_string());
    Some(format!("{}<pre>{text}</pre>", note("A network designed by hand, level by level.")))
}
