//! A run, a cross-validation or several of them as one page of HTML that needs nothing else: no
//! server, no network, no other file.
//!
//! Each part is a file: it has what it is of from [`subject`], and gives HTML, or nothing where
//! there is nothing to say. The page's security policy lets it ask for nothing.

mod background;
pub(super) mod cells;
mod comparison;
pub(super) mod curves;
pub(super) mod markup;
pub(super) mod pictures;
pub(super) mod plane;
mod plot;
pub(super) mod race;
mod scores;
mod seeds;
pub(super) mod subject;
pub(super) mod words;

use std::path::{Path, PathBuf};

use crate::data::files::name_of_folder;
use crate::error::Result;
use crate::report::comparison::Comparison;
use crate::report::finished::seed_folders;
use crate::report::held_out::HeldOut;
use crate::report::html::markup::{escape, section};
use crate::report::html::subject::Subject;
use crate::space::draw;

/// Name of the page in the folder of a run.
pub const FILE: &str = "report.html";

/// How the page looks.
pub(super) const STYLE: &str = include_str!("page.css");

/// What it does: a function that gives life to what is below an element.
pub(super) const SCRIPT: &str = include_str!("page.js");

/// The page about folders of runs or cross-validations, finished or not, and CSV files of
/// evaluations; several are also compared with the first. Of a cross-validation with several seeds
/// there is a part for each seed, and where nothing else is on the page the seeds are compared. `data` is the data set whose images are
/// shown, where it does not lie where the runs found it.
///
/// # Errors
/// Files that cannot be read or understood; a path without anything of a run.
pub fn page(paths: &[PathBuf], data: Option<&Path>) -> Result<String> {
    let data = data.map(HeldOut::of_data).transpose()?;
    let (mut subjects, mut finished, mut links) = (Vec::new(), Vec::new(), Vec::new());
    let mut body = String::new();
    for (n, path) in paths.iter().enumerate() {
        let seeds = seed_folders(path);
        let own = match seeds.is_empty() {
            true => vec![Subject::read(path)?],
            false => seeds.values().map(|seed| Subject::read(seed)).collect::<Result<Vec<_>>>()?,
        };
        let complete = own.iter().filter(|subject| subject.finished.is_some());
        let complete: Vec<PathBuf> = complete.map(|subject| subject.path.clone()).collect();
        match (seeds.is_empty() || paths.len() == 1, complete.is_empty()) {
            (true, _) => finished.extend(complete),
            (false, false) => finished.push(path.clone()),
            (false, true) => {}
        }
        let name = name_of_folder(path);
        let of_seeds = if seeds.is_empty() { String::new() } else { seeds::section(path)? };
        if !of_seeds.is_empty() {
            let title = format!("Seeds of {name}");
            body += &section(&format!("s{n}"), &title, &of_seeds);
            links.push((format!("s{n}"), title));
        }
        subjects.extend(own.into_iter().map(|mut subject| {
            if !seeds.is_empty() {
                subject.name = format!("{name}, {}", subject.name);
            }
            subject
        }));
    }
    let compared = match finished.len() {
        0 | 1 => String::new(),
        _ => comparison::section(&Comparison::of(&finished)?),
    };
    let several = subjects.len() > 1;
    if !compared.is_empty() {
        links.push(("comparison".to_string(), "Comparison".to_string()));
        body += &section("comparison", "Comparison", &compared);
    }
    for (n, subject) in subjects.iter().enumerate() {
        let id = format!("r{n}");
        let (own_links, html) = article(subject, &id, several, data.as_ref())?;
        links.extend(match several {
            true => vec![(id, subject.name.clone())],
            false => own_links,
        });
        body += &html;
    }
    let names: Vec<String> = paths.iter().map(|path| name_of_folder(path)).collect();
    Ok(document(&names.join(", "), &links, &body))
}

/// Writes the page of one folder into it.
///
/// # Errors
/// Those of [`page`]; a file that cannot be written.
pub fn write(folder: &Path) -> Result<()> {
    let page = page(&[folder.to_path_buf()], None)?;
    Ok(medvol::atomic_write(folder.join(FILE), page.as_bytes())?)
}

/// All parts of one subject, and links to them.
fn article(
    subject: &Subject,
    id: &str,
    several: bool,
    data: Option<&HeldOut>,
) -> Result<(Vec<(String, String)>, String)> {
    let evaluation = subject.evaluation.as_ref();
    let pictures = evaluation.map(|of| pictures::section(subject, of, data)).transpose()?;
    let parts = [
        ("pictures", "Cases in pictures", pictures.unwrap_or_default()),
        ("scores", "Scores", evaluation.map(|of| scores::means(subject, of)).unwrap_or_default()),
        ("cases", "All cases", evaluation.map(|of| scores::cases(subject, of)).unwrap_or_default()),
        ("race", "Race", subject.race.as_ref().map(race::section).unwrap_or_default()),
        ("cells", "Architecture", cells::section(subject, id)),
        ("curves", "Curves", curves::section(subject)),
        ("data", "Data", subject.findings.as_ref().map(background::findings).unwrap_or_default()),
        ("settings", "Settings", background::settings(subject)),
    ];
    let shown = || parts.iter().filter(|(_, _, html)| !html.is_empty());
    let links = shown().map(|(part, title, _)| (format!("{id}-{part}"), title.to_string()));
    let sections: String =
        shown().map(|(part, title, html)| section(&format!("{id}-{part}"), title, html)).collect();
    let heading = match several {
        true => format!("<h2 class=\"name\">{}</h2>\n", escape(&subject.name)),
        false => String::new(),
    };
    let html =
        format!("<article id=\"{id}\">{heading}{}{sections}</article>\n", words::headline(subject));
    Ok((links.collect(), html))
}

fn document(name: &str, links: &[(String, String)], body: &str) -> String {
    let name = escape(name);
    let links: String = links
        .iter()
        .map(|(id, title)| format!("<a href=\"#{id}\">{}</a>", escape(title)))
        .collect();
    let drawn = draw::STYLE;
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta \
         http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" \
         content=\"light dark\">\n<title>{name} – scnas</title>\n<style>{drawn}{STYLE}</style>\n\
         </head>\n<body>\n<header><h1>{name}</h1><nav aria-label=\"Parts of this \
         page\">{links}</nav></header>\n<main>\n{body}</main>\n<footer><p>Written by scnas \
         {version}.</p></footer>\n<script>{SCRIPT}enliven(document);</script>\n</body>\n</html>\n"
    )
}
