//! The page about runs: what is in it, that it asks for nothing, and that a browser shows it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::*;

/// A finished search in `folder/run` on the data in `folder/data`.
fn searched(folder: &Path, settings: &[&str]) -> PathBuf {
    task(folder);
    succeed(folder, &tiny(&["search", "data", "--out", "run"], settings));
    folder.join("run")
}

fn page(path: impl AsRef<Path>) -> String {
    String::from_utf8(bytes(path)).unwrap()
}

/// Fails where something in a page could ask for another file.
fn asks_for_nothing(html: &str) {
    assert!(html.contains("default-src 'none'; img-src data:;"), "no policy");
    // The name of SVG is one, not an address.
    let html = html.replace("http://www.w3.org/2000/svg", "");
    for asking in ["http:", "https:", " src=", "url(http", "@import", "<link", "fetch("] {
        assert!(!html.contains(asking), "{asking} is in the page");
    }
    for reference in html.split("href=\"").skip(1) {
        assert!(reference.starts_with('#') || reference.starts_with("data:image/png;base64,"));
    }
}

#[test]
fn a_search_writes_a_page_that_has_everything_and_asks_for_nothing() {
    let folder = folder("report-search");
    let run = searched(&folder, &["log.tensorboard=true"]);
    let html = page(run.join("report.html"));
    asks_for_nothing(&html);
    for part in ["pictures", "scores", "cases", "cells", "curves", "data", "settings"] {
        assert!(html.contains(&format!("<section id=\"r0-{part}\"")), "{part} is missing");
    }
    // Two cases are held out: the worst and the best, three planes each.
    assert_eq!(html.matches("data:image/png").count(), 6);
    assert_eq!(html.matches("class=\"case\"").count(), 2);
    assert!(html.contains("epoch 2 of 2") && html.contains("type=\"range\""));
    assert!(html.contains("Bland–Altman") && html.contains("in the preset default"));
    // A page may be handed on.
    assert!(!html.contains(&*folder.to_string_lossy()), "paths of this machine are in the page");

    // Written anew it is the same, and elsewhere the pictures come from the data that are named.
    succeed(&folder, &["report", "run", "--out", "again.html"]);
    assert_eq!(page(folder.join("again.html")), html);
    std::fs::rename(folder.join("data"), folder.join("moved")).unwrap();
    succeed(&folder, &["report", "run", "--out", "moved.html"]);
    assert_eq!(page(folder.join("moved.html")).matches("data:image/png").count(), 0);
    succeed(&folder, &["report", "run", "--data", "moved", "--out", "moved.html"]);
    assert_eq!(page(folder.join("moved.html")), html);

    // The log as a table: two epochs of search and two of training.
    succeed(&folder, &["report", "run", "--csv", "log.csv"]);
    let table = page(folder.join("log.csv"));
    assert_eq!(table.lines().count(), 1 + 2 + 2);
    assert!(table.starts_with("run,phase,epoch,epochs,loss,mean_dice,"), "{table}");
    assert!(bytes(run.join("tensorboard/events.out.tfevents.scnas")).len() > 500);

    let card = succeed(&folder, &["show", "run", "--md", "--licence", "CC BY 4.0"]);
    for part in ["- Licence: CC BY 4.0", "## Data", "| Dice |", "## Limits", "worst held-out case"]
    {
        assert!(card.contains(part), "{part} is not in: {card}");
    }
}

#[test]
fn a_run_under_way_is_shown_as_far_as_it_has_come_and_nothing_is_refused_by_name() {
    let folder = folder("report-under-way");
    let run = searched(&folder, &["log.report=false"]);
    assert!(!run.join("report.html").exists());
    for file in ["result.json", "evaluation.json", "model.safetensors", "genotype.json"] {
        std::fs::remove_file(run.join(file)).unwrap();
    }
    let log = page(run.join("log.jsonl"));
    let (first, _) = log.split_once('\n').unwrap();
    std::fs::write(run.join("log.jsonl"), first).unwrap();
    succeed(&folder, &["report", "run"]);
    let html = page(run.join("report.html"));
    asks_for_nothing(&html);
    assert!(html.contains("the search is at epoch 1 of 2"), "{}", &html[..2000]);
    assert!(html.contains("r0-curves") && html.contains("r0-cells") && !html.contains("r0-scores"));

    refuse(&folder, &["report", "nothing"], &["nothing", "result.json"]);
    refuse(&folder, &["report", "data", "--csv", "x.csv"], &["data"]);
}

#[test]
fn several_runs_are_compared_with_the_first() {
    let folder = folder("report-several");
    searched(&folder, &[]);
    let train = ["train", "data", "--arch", "random:1", "--out", "random"];
    succeed(&folder, &tiny(&train, &[]));
    // Also one that another program has made.
    let html = |runs: &[&str]| {
        succeed(&folder, &[&["report"], runs, &["--out", "all.html"]].concat());
        page(folder.join("all.html"))
    };
    let both = html(&["run", "random", "run/evaluation.csv"]);
    asks_for_nothing(&both);
    assert!(both.contains("<section id=\"comparison\"") && both.contains("Wilcoxon p"));
    assert_eq!(both.matches("<article").count(), 3);
    let ids: Vec<&str> =
        both.split(" id=\"").skip(1).filter_map(|id| id.split('"').next()).collect();
    let once: std::collections::BTreeSet<&&str> = ids.iter().collect();
    assert_eq!(once.len(), ids.len(), "an id stands twice");
    // The search beside which a random network lies says how it compares.
    assert!(html(&["run"]).contains("No difference from the random network is shown"));
}

/// `NODE_PATH` is a folder `node_modules` with `playwright-core` and `axe-core`.
#[test]
#[ignore = "needs node with playwright-core and axe-core, and a browser that SCNAS_JUDGE_BROWSER names"]
fn a_browser_shows_every_part_of_the_page_and_finds_no_fault() {
    let folder = folder("report-browser");
    searched(&folder, &["search.epochs=6", "search.alpha.lr=0.5"]);
    succeed(&folder, &tiny(&["cross-validate", "data", "--out", "cv", "--arch", "u:4"], &[]));
    let set = ["race.candidates=[\"u:4\", \"u:8\", \"conv3@4\"]", "race.epochs=[1, 2]"];
    succeed(&folder, &tiny(&["search", "data", "--strategy", "race", "--out", "race"], &set));
    succeed(&folder, &["report", "run", "cv", "race", "--out", "several.html"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/judge_report.cjs");
    let pages = ["run/report.html", "cv/report.html", "race/report.html", "several.html"];
    let judged =
        Command::new("node").arg(script).args(pages).current_dir(&folder).output().unwrap();
    assert!(judged.status.success(), "{}", stderr(&judged));
    assert_eq!(String::from_utf8_lossy(&judged.stdout).lines().count(), pages.len());
}

#[test]
#[ignore = "needs a Python with tensorboard, which SCNAS_JUDGE_PYTHON names"]
fn tensorboard_reads_every_number_of_the_log() {
    let folder = folder("report-tensorboard");
    searched(&folder, &["log.tensorboard=true", "log.report=false"]);
    let python = std::env::var("SCNAS_JUDGE_PYTHON").expect("SCNAS_JUDGE_PYTHON");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/judge_events.py");
    let judged = Command::new(python).arg(script).arg("run").current_dir(&folder).output().unwrap();
    assert!(judged.status.success(), "{}", stderr(&judged));
}
