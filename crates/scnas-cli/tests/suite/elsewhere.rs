//! What the system and the neighbours do otherwise: signals that are ignored, other ways to the same
//! files, folds that a description says, searches that would choose nothing.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{bytes, folder, refuse, scnas, signal, succeed, task, tiny};
use serde_json::{Value, json};

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&bytes(path)).unwrap()
}

/// Names of the cases that a run has scored.
fn scored(run: &Path) -> Vec<String> {
    let table = String::from_utf8(bytes(run.join("evaluation.csv"))).unwrap();
    let names = table.lines().skip(1).filter_map(|line| line.split(',').next());
    let mut names: Vec<String> = names.map(String::from).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn the_cases_of_a_validation_list_are_held_out() {
    let dir = folder("validation");
    let data = task(&dir);
    let path = data.join("dataset.json");
    let mut description = read_json(&path);
    let held_out = description["training"].as_array_mut().unwrap().split_off(4);
    description["validation"] = json!(held_out);
    std::fs::write(&path, description.to_string()).unwrap();
    let command = tiny(&["train", "data", "--arch", "conv3", "--out", "run"], &["train.epochs=1"]);
    let output = scnas(&dir, &command).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(crate::common::stderr(&output).contains("dataset.json says"), "{output:?}");
    let name = |entry: &Value| {
        let file = entry["image"].as_str().unwrap().rsplit('/').next().unwrap().to_string();
        file.trim_end_matches(".nii.gz").to_string()
    };
    assert_eq!(scored(&dir.join("run")), held_out.iter().map(name).collect::<Vec<_>>());
    assert!(!scored(&dir.join("run")).is_empty());
    refuse(
        &dir,
        &tiny(&["train", "data", "--arch", "conv3", "--fold", "1"], &[]),
        &["data.fold", "dataset.json"],
    );
}

#[test]
fn a_run_goes_on_by_another_way_to_the_same_files() {
    let dir = folder("another_way");
    let data = task(&dir);
    let names: Vec<String> = (0..6).map(|n| json_name(&data, n)).collect();
    let splits = json!([{"train": names[..4], "val": names[4..]}]);
    std::fs::write(dir.join("splits_final.json"), splits.to_string()).unwrap();
    let command = |data: &str, out: &str, splits: &str| {
        let splits = format!("data.splits={splits}");
        let set = tiny(&["train", data, "--arch", "conv3", "--out", out], &["train.epochs=1"]);
        [set.iter().map(|s| s.to_string()).collect(), vec!["--set".to_string(), splits]].concat()
    };
    let run = |dir: &Path, args: Vec<String>| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        scnas(dir, &args).output().unwrap()
    };
    assert!(run(&dir, command("data", "run", "splits_final.json")).status.success());
    let before = bytes(dir.join("run/model.safetensors"));
    std::fs::create_dir_all(dir.join("other/place")).unwrap();
    let absolute = dir.join("splits_final.json").display().to_string();
    let output = run(&dir.join("other"), command("place/../../data/", "../run/", &absolute));
    assert!(
        output.status.success() && crate::common::stderr(&output).contains("is complete"),
        "{output:?}"
    );
    assert!(before == bytes(dir.join("run/model.safetensors")));
    // Other folds are another run.
    let others = json!([{"train": names[2..], "val": names[..2]}]);
    std::fs::write(dir.join("others.json"), others.to_string()).unwrap();
    let output = run(&dir, command("data", "run", "others.json"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

fn json_name(data: &Path, case: usize) -> String {
    let image = read_json(&data.join("dataset.json"))["training"][case]["image"].take();
    let file = image.as_str().unwrap().rsplit('/').next().unwrap().to_string();
    file.trim_end_matches(".nii.gz").to_string()
}

#[test]
fn a_search_within_its_warm_up_is_refused() {
    let dir = folder("warm_up");
    task(&dir);
    for verb in ["search", "cross-validate"] {
        let args = [verb, "data", "--set", "search.epochs=3"];
        refuse(&dir, &args, &["search.warmup_epochs", "search.epochs, which is 3"]);
        // Of a race it would change nothing.
        let of_another = [&args[..], &["--strategy", "race"]].concat();
        refuse(&dir, &of_another, &["--set search.epochs=3", "--strategy bi-level"]);
    }
    assert!(!dir.join("runs").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_is_ignored_from_the_start_ends_nothing() {
    let dir = folder("nohup");
    task(&dir);
    let command = tiny(&["train", "data", "--arch", "conv3", "--out", "run"], &["train.epochs=40"]);
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP INT; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_scnas")])
        .args(&command)
        .current_dir(&dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !dir.join("run/log.jsonl").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before its first epoch");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    signal(&child, "HUP");
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // All epochs, and not the same command once more.
    let log = String::from_utf8(bytes(dir.join("run/log.jsonl"))).unwrap();
    assert_eq!(log.lines().count(), 40);
    succeed(&dir, &command);
}
