//! Cross-validations and a race on a real Slurm, which `scripts/slurm.sh` sets up.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::common::{bytes, folder, json, same_run, succeed, tiny};
use crate::jobs::{states as states_of, timeless};
use crate::race::{race, same_race};
use medvol::phantom::{PhantomTask, write_task};
use serde_json::{Value, json};

/// What one of Slurm's programs prints.
fn slurm(program: &str, arguments: &[&str]) -> String {
    let ran = Command::new(program).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{program} {arguments:?}: {ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

/// The jobs that have not ended.
fn queue() -> String {
    slurm("squeue", &["--noheader", "--array", "--me", "--format=%F %K %T %r"])
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(600), "{what} in vain; queue:\n{}", queue());
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn states(dir: &Path) -> Vec<Value> {
    let status = json(dir, &["status", "cv"]);
    status.as_array().unwrap().iter().map(|task| task["state"].clone()).collect()
}

/// Epochs of a training that takes some seconds, which leaves the time to signal it.
fn epochs(dir: &Path) -> usize {
    let command = ["train", "data", "--out", "short", "--arch", "random:1", "--threads", "1"];
    succeed(dir, &tiny(&command, &["data.folds=5", "train.validate_every=0"]));
    let log = String::from_utf8(bytes(dir.join("short/log.jsonl"))).unwrap();
    let line: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    (8.0 / line["seconds"].as_f64().unwrap()).clamp(12.0, 1000.0) as usize
}

fn expect_slurm() {
    assert!(
        std::env::var_os("SCNAS_TEST_SLURM").is_some(),
        "SCNAS_TEST_SLURM is not set: expected to be run by scripts/slurm.sh"
    );
}

/// One after the other: they look at one queue.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
#[ignore = "needs a Slurm whose jobs run here; scripts/slurm.sh sets one up and runs this"]
fn a_real_slurm_runs_a_race_to_the_winner_and_seeds_to_the_table_of_one_process() {
    expect_slurm();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = folder("slurm_others");
    crate::common::task(&dir);
    let launch = |command: &[&str]| json(&dir, &[command, &["--launch", "slurm"]].concat());

    succeed(&dir, &race("whole"));
    let launched = launch(&race("run"));
    let stages = launched["submitted"].as_array().unwrap().iter().map(|s| s["stage"].clone());
    assert!(stages.eq(["candidates", "rung-1", "rung-2", "winner"]), "{launched}");
    // The table of a search's folds waits for nothing of these: both are in the queue at once.
    let seeds = |out| {
        let command = [
            "cross-validate",
            "data",
            "--out",
            out,
            "--arch",
            "random",
            "--seeds",
            "0,1",
            "--threads",
            "1",
        ];
        tiny(&command, &["data.keep=disk"])
    };
    let launched = launch(&seeds("study"));
    assert_eq!(launched["submitted"][0]["tasks"], json!([0, 1, 2, 3, 4, 5]), "{launched}");
    succeed(&dir, &seeds("one"));
    wait("for race and seeds", || queue().trim().is_empty());

    assert_eq!(states_of(&json(&dir, &["status", "run"])), ["done"; 8]);
    same_race(&dir.join("run"), &dir.join("whole"));
    assert_eq!(states_of(&json(&dir, &["status", "study"])), ["done"; 7]);
    let table = |out: &str| {
        let file = dir.join(out).join("seeds.json");
        timeless(serde_json::from_slice(&bytes(file)).unwrap())
    };
    assert_eq!(table("study"), table("one"));
    for name in ["seed-0/fold-2", "seed-1/fold-0"] {
        same_run(&dir.join("study").join(name), &dir.join("one").join(name));
    }
}

#[test]
#[ignore = "needs a Slurm whose jobs run here; scripts/slurm.sh sets one up and runs this"]
fn a_real_slurm_runs_folds_that_are_signalled_cancelled_or_fail_to_the_table_of_one_process() {
    expect_slurm();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = folder("slurm");
    let phantoms = PhantomTask { seed: 3, cases: 10, test_cases: 1, coarseness: 3.0 };
    write_task(dir.join("data"), &phantoms).unwrap();
    let epochs = epochs(&dir);
    let course = format!("train.epochs={epochs}");
    let trained = |out| {
        let command = ["cross-validate", "data", "--out", out, "--arch", "random:1"];
        let settings = ["data.folds=5", &course, "train.validate_every=0"];
        tiny(&[&command[..], &["--threads", "1"]].concat(), &settings)
    };
    succeed(&dir, &trained("whole"));

    // Fold 1 will be trained, and then fail for good: a file is where its predictions belong.
    let obstacle = dir.join("cv/fold-1/predictions");
    std::fs::create_dir_all(obstacle.parent().unwrap()).unwrap();
    std::fs::write(&obstacle, "").unwrap();
    let command = [&trained("cv")[..], &["--launch", "slurm", "--slurm-option=--nice=1"]].concat();
    let launched = json(&dir, &command);
    assert_eq!(launched["submitted"][0]["tasks"], json!([0, 1, 2, 3, 4]), "{launched}");
    let array = launched["submitted"][0]["job"].as_str().unwrap().to_string();
    assert_eq!(json(&dir, &command)["in_queue"], json!([0, 1, 2, 3, 4, 5]));

    let file = |fold: usize, name: &str| dir.join(format!("cv/fold-{fold}/{name}"));
    for fold in [0, 2] {
        wait("for the first epoch", || file(fold, "log.jsonl").exists());
    }
    // The scheduler's notice that time is up: this element saves, and is queued again.
    slurm("scancel", &["--signal=USR1", "--batch", &format!("{array}_0")]);
    // The user's wish that it ends: it saves, and is not.
    slurm("scancel", &[&format!("{array}_2")]);
    wait("for the array and the table", || queue().trim().is_empty());

    let printed = std::fs::read_to_string(dir.join("cv/slurm/task-0.txt")).unwrap();
    assert!(printed.contains("stopped by request"), "{printed}");
    let lines = bytes(file(0, "log.jsonl")).split(|byte| *byte == b'\n').count() - 1;
    assert_eq!(lines, epochs, "no epoch is lost and none is there twice");
    let expected = json!(["done", "failed", "stopped", "done", "done", "failed"]);
    assert_eq!(json!(states(&dir)), expected);
    let status = json(&dir, &["status", "cv"]);
    let words = |task: usize| status[task]["last_words"].as_str().unwrap();
    assert!(words(1).contains("predictions"), "{}", words(1));
    assert!(words(5).contains("folds 1, 2 are not complete"), "{}", words(5));
    let table: Value =
        serde_json::from_slice(&bytes(dir.join("cv/cross-validation.json"))).unwrap();
    assert_eq!(table["over_folds"]["count"], 3);

    std::fs::remove_file(&obstacle).unwrap();
    assert_eq!(json(&dir, &command)["submitted"][0]["tasks"], json!([1, 2]));
    wait("for what was missing", || queue().trim().is_empty());
    assert_eq!(states(&dir), ["done"; 6]);
    let table = |out: &str| {
        let file = dir.join(out).join("cross-validation.json");
        timeless(serde_json::from_slice(&bytes(file)).unwrap())
    };
    assert_eq!(table("cv"), table("whole"));
    for fold in 0..5 {
        same_run(&dir.join(format!("cv/fold-{fold}")), &dir.join(format!("whole/fold-{fold}")));
    }
    let again = json(&dir, &command);
    assert_eq!(again["submitted"], json!([]));
}
