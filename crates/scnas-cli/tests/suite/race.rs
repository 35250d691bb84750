//! Races with the built binary: killed at any moment, shared by processes, shown, predicted with.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::common::{bytes, folder, json, refuse, same_run, scnas, stderr, succeed, task, tiny};
use serde_json::json;

const RACE: &[&str] = &[
    "search.strategy=race",
    "network.width=8",
    "race.candidates=[\"u-resnet-half\", \"u-resnet-half@4\", \"random:0@4\"]",
    "race.epochs=[2, 4]",
];

pub fn race(out: &str) -> Vec<&str> {
    let settings = [RACE, &["train.epochs=2"]].concat();
    tiny(&["search", "data", "--save-every", "0", "--threads", "1", "--out", out], &settings)
}

/// The winner's run and every candidate's training are the same.
pub fn same_race(a: &Path, b: &Path) {
    same_run(a, b);
    for name in ["u-resnet-half@8", "u-resnet-half@4", "random-0@4"] {
        let file = |run: &Path| run.join("candidates").join(name).join("rung-1.json");
        let dice = |run| {
            let score: serde_json::Value = serde_json::from_slice(&bytes(file(run))).unwrap();
            score["dice"].clone()
        };
        assert_eq!(dice(a), dice(b), "{name}");
    }
    assert!(bytes(a.join("winner.toml")) == bytes(b.join("winner.toml")));
}

fn start(dir: &Path, out: &str) -> Child {
    scnas(dir, &race(out)).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_race_killed_at_any_moment_and_shared_by_two_processes_ends_with_the_same_bits() {
    let dir = folder("race_killed");
    task(&dir);
    let began = std::time::Instant::now();
    succeed(&dir, &race("whole"));
    let whole = began.elapsed();

    // Killed twice, the second time with another process at the same race, which ends it.
    let mut first = start(&dir, "run");
    std::thread::sleep(whole.mul_f64(0.4));
    first.kill().unwrap();
    first.wait().unwrap();
    let mut second = start(&dir, "run");
    let third = start(&dir, "run");
    std::thread::sleep(whole.mul_f64(0.3).min(Duration::from_secs(20)));
    let _ = second.kill();
    second.wait().unwrap();
    let ended = third.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", stderr(&ended));
    same_race(&dir.join("run"), &dir.join("whole"));

    // Two that are left alone both end with the result.
    let (one, two) = (start(&dir, "shared"), start(&dir, "shared"));
    for process in [one, two] {
        let ended = process.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", stderr(&ended));
    }
    same_race(&dir.join("shared"), &dir.join("whole"));

    let shown = json(&dir, &["show", "whole"]);
    let told = &shown["race"];
    assert_eq!(told["rungs"].as_array().unwrap().len(), 2);
    assert_eq!(told["rungs"][0]["standings"].as_array().unwrap().len(), 3);
    let winner = &told["verdict"]["winner"];
    let (_, width) = winner.as_str().unwrap().rsplit_once('@').unwrap();
    assert_eq!(shown["size"]["width"], width.parse::<u64>().unwrap());
    let text = succeed(&dir, &["show", "whole"]);
    for part in ["rung 1, 2 epochs", "u-resnet-half@4", "gain over the prior", "seconds"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let report = succeed(&dir, &race("whole"));
    assert!(report.contains("gain over the prior"), "{report}");
    let predicted = json(&dir, &["predict", "data", "--model", "whole", "--out", "out"]);
    assert_eq!(predicted["predictions"].as_array().unwrap().len(), 2);
}

#[test]
fn budgets_are_options_and_what_nothing_meets_is_refused_before_anything_is_trained() {
    let dir = folder("race_budgets");
    task(&dir);
    let with = |more: &[&'static str]| [race("run"), more.to_vec()].concat();
    refuse(&dir, &with(&["--max-params", "10"]), &["max_params = 10", "u:1 with"]);
    assert!(!dir.join("run/candidates").exists());
    let usage = scnas(&dir, &with(&["--max-params", "few"])).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    assert!(stderr(&usage).contains("100k"), "{usage:?}");
    refuse(
        &dir,
        &tiny(&["search", "data", "--max-params", "100k"], &[]),
        &["search.strategy", "race"],
    );
    refuse(&dir, &with(&["--candidate", "nothing@4"]), &["nothing", "u-resnet-half"]);
    refuse(&dir, &with(&["--candidate", "conv3@6"]), &["race.candidates", "conv3@6"]);
}

#[test]
fn every_fold_of_a_cross_validation_is_a_race() {
    let dir = folder("race_folds");
    task(&dir);
    let settings = [RACE, &["train.epochs=1", "race.epochs=[1]"]].concat();
    let all = json(&dir, &tiny(&["cross-validate", "data", "--out", "cv"], &settings));
    assert_eq!(all["cross_validation"]["network"], "race");
    for fold in 0..3 {
        let race = &all["cross_validation"]["folds"][fold]["race"];
        assert_eq!(race["prior"], "u-resnet-half@8");
        let shown = json(&dir, &["show", &format!("cv/fold-{fold}")]);
        assert_eq!(shown["race"]["verdict"]["winner"], race["winner"]);
    }
    assert_eq!(all["in_use"], json!([]));
}
