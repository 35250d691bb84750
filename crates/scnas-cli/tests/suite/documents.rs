//! The documents say what is: their links lead somewhere, the files and commands they name are
//! there, and they keep to a length that is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use medvol::check::Kind;
use medvol::io::endings;
use medvol::metrics::Metric;

/// Most lines of the documents that grow by themselves.
const LINES: [(&str, usize); 3] =
    [("README.md", 100), ("docs/PERFORMANCE.md", 100), ("docs/RESULTS.md", 120)];

/// Most words of a document.
const WORDS: usize = 1200;

/// A table that the program writes, a row a setting: looked up in and not read.
const GENERATED: &str = "docs/reference/settings.md";

/// Most words of a sentence.
const SENTENCE: usize = 45;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All documents: their paths below the root, and their text.
fn documents() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in ["", "docs", "genotypes"] {
        collect(&root().join(folder), folder, &mut found);
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

fn collect(folder: &Path, name: &str, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, file) = (entry.path(), entry.file_name().into_string().unwrap());
        let name = if name.is_empty() { file } else { format!("{name}/{file}") };
        if path.is_dir() && name.contains('/') {
            collect(&path, &name, found);
        } else if name.ends_with(".md") {
            found.insert(name, std::fs::read_to_string(path).unwrap());
        }
    }
}

fn is_record(name: &str) -> bool {
    name.starts_with("docs/records/2")
}

/// The lines outside fenced blocks, and those of fenced blocks of shell commands.
fn prose_and_commands(text: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut prose, mut commands, mut block) = (Vec::new(), Vec::new(), None);
    for line in text.lines() {
        match (line.strip_prefix("```"), block) {
            (Some(kind), None) => block = Some(kind),
            (Some(_), Some(_)) => block = None,
            (None, None) => prose.push(line),
            (None, Some("sh")) => commands.push(line),
            (None, Some(_)) => {}
        }
    }
    (prose, commands)
}

/// The anchors of a document's headings, as forges make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose_and_commands(text).0.into_iter().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// What stands between `open` and `close`, wherever it does.
fn between<'a>(line: &'a str, open: &'a str, close: char) -> impl Iterator<Item = &'a str> {
    line.split(open).skip(1).filter_map(move |rest| rest.split_once(close).map(|(inner, _)| inner))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_of_it() {
    let documents = documents();
    let mut broken = Vec::new();
    let mut links = 0;
    for (name, text) in &documents {
        for link in prose_and_commands(text).0.iter().flat_map(|line| between(line, "](", ')')) {
            if link.starts_with("https://") {
                continue;
            }
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = root().join(name).parent().unwrap().join(file);
            let target = if file.is_empty() { root().join(name) } else { target };
            let has_anchor = || {
                anchor.is_empty()
                    || std::fs::read_to_string(&target)
                        .is_ok_and(|text| anchors(&text).contains(anchor))
            };
            if !target.exists() || !has_anchor() {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(links > 50, "only {links} links were found");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_document_is_reached_from_the_readme() {
    let documents = documents();
    let (mut reached, mut next) = (BTreeSet::new(), vec![PathBuf::from("README.md")]);
    while let Some(path) = next.pop() {
        let Some(text) = documents.get(&*path.to_string_lossy()) else { continue };
        if !reached.insert(path.to_string_lossy().into_owned()) {
            continue;
        }
        for link in prose_and_commands(text).0.iter().flat_map(|line| between(line, "](", ')')) {
            let mut target = path.parent().unwrap().to_path_buf();
            for part in Path::new(link.split('#').next().unwrap()).iter() {
                if part == ".." {
                    target.pop();
                } else {
                    target.push(part);
                }
            }
            next.push(target);
        }
    }
    let lost: Vec<_> = documents.keys().filter(|name| !reached.contains(*name)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn every_source_file_and_script_that_is_named_is_there() {
    let mut missing = Vec::new();
    for (name, text) in documents().iter().filter(|(name, _)| !is_record(name)) {
        let (prose, commands) = prose_and_commands(text);
        let named = prose.iter().flat_map(|line| line.split('`').skip(1).step_by(2));
        let run = commands.iter().flat_map(|line| line.split_whitespace());
        for path in named.chain(run.filter(|word| word.starts_with("scripts/"))) {
            let is_source = [".rs", ".sh", ".py"].iter().any(|ending| path.ends_with(ending));
            let below = ["", "crates/scnas/src", "crates/volops/src", "crates/medvol/src"];
            let found = || below.iter().any(|folder| root().join(folder).join(path).exists());
            if is_source && path.contains('/') && !path.contains(' ') && !found() {
                missing.push(format!("{name}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The code that each row of a document's tables begins with.
fn first_cells(document: &str) -> BTreeSet<String> {
    let documents = documents();
    let rows = documents[document].lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0.to_string())).collect()
}

#[test]
fn tables_of_findings_and_metrics_and_formats_are_complete() {
    let checks = first_cells("docs/reference/data-checks.md");
    assert_eq!(checks, Kind::ALL.iter().map(|kind| kind.name().to_string()).collect());
    let metrics = first_cells("docs/reference/metrics.md");
    assert_eq!(metrics, Metric::ALL.iter().map(|metric| metric.key().to_string()).collect());
    let formats = &documents()["docs/reference/formats.md"];
    let missing: Vec<&str> = endings()
        .map(|ending| ending.strip_suffix(".gz").filter(|_| ending != ".nii.gz").unwrap_or(ending))
        .filter(|ending| !formats.contains(&format!("`{ending}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Verb and options of each command line of scnas; comments and what follows a pipe apart.
fn invocations(commands: &[&str]) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for line in commands {
        let line = line.split(" #").next().unwrap();
        for command in line.split(['|', ';', '&']) {
            let mut words = command.split_whitespace().skip_while(|word| *word != "scnas").skip(1);
            if let Some(mut verb) =
                words.next().filter(|verb| !verb.starts_with('-')).map(String::from)
            {
                // Behind it stands the verb that is planned.
                if verb == "plan-jobs" {
                    verb = [Some(verb.as_str()), words.next()]
                        .into_iter()
                        .flatten()
                        .collect::<Vec<_>>()
                        .join(" ");
                }
                let options = words.filter(|word| word.starts_with("--"));
                let options = options.map(|word| word.split('=').next().unwrap().into());
                found.push((verb, options.collect()));
            }
        }
    }
    found
}

#[test]
fn every_command_line_has_a_verb_and_options_of_the_program() {
    let mut helps: BTreeMap<String, Option<String>> = BTreeMap::new();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for (name, text) in documents().iter().filter(|(name, _)| !is_record(name)) {
        for (verb, options) in invocations(&prose_and_commands(text).1) {
            checked += 1;
            let help = helps.entry(verb.clone()).or_insert_with(|| {
                let scnas = Command::new(env!("CARGO_BIN_EXE_scnas"))
                    .args(verb.split(' ').chain(["--help"]))
                    .output()
                    .unwrap();
                scnas.status.success().then(|| String::from_utf8_lossy(&scnas.stdout).into_owned())
            });
            let has = |option: &String| {
                help.as_ref().is_some_and(|help| {
                    help.split(|c: char| c.is_whitespace() || ",[=".contains(c))
                        .any(|word| word == option)
                })
            };
            if help.is_none() || !options.iter().all(has) {
                wrong.push(format!("{name}: scnas {verb} {}", options.join(" ")));
            }
        }
    }
    assert!(checked > 30, "only {checked} command lines were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn documents_are_short_and_so_are_their_sentences() {
    let documents = documents();
    for (name, most) in LINES {
        let lines = documents[name].lines().count();
        assert!(lines <= most, "{name} has {lines} lines, at most {most} are allowed");
    }
    for (name, text) in documents.iter().filter(|(name, _)| !is_record(name)) {
        let words = text.split_whitespace().count();
        assert!(
            words <= WORDS || name == GENERATED,
            "{name} has {words} words, at most {WORDS} are allowed"
        );
        for sentence in sentences(&prose_and_commands(text).0) {
            let words = sentence.split_whitespace().count();
            assert!(words <= SENTENCE, "{name}: a sentence of {words} words: {sentence}");
        }
    }
}

/// Sentences end with a full stop, a colon or a semicolon before a space, with a cell of a table,
/// with an item of a list, and where a line is empty.
fn sentences(prose: &[&str]) -> Vec<String> {
    let mut text = String::new();
    for line in prose {
        let line = line.trim();
        let begins = line.is_empty() || line.starts_with(['|', '#', '-', '*']);
        let numbered = line.split_once(". ").is_some_and(|(n, _)| n.parse::<u32>().is_ok());
        text.push_str(if begins || numbered { "\n" } else { " " });
        text.push_str(line);
    }
    for end in [". ", ": ", "; ", "? ", ".** ", " | "] {
        text = text.replace(end, "\n");
    }
    text.lines().map(str::to_string).collect()
}
