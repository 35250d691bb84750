//! A cross-validation as a list of tasks: planned, done one by one, looked at, submitted.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{
    bytes, contents, folder, json, refuse, same_run, scnas, signal, stderr, succeed, task, tiny,
};
use crate::race::{race, same_race};
use serde_json::{Value, json};

/// `cross-validate data --out OUT` of a network that is trained, with tiny settings.
fn trained<'a>(out: &'a str, settings: &[&'a str]) -> Vec<&'a str> {
    tiny(&["cross-validate", "data", "--out", out, "--arch", "random:1"], settings)
}

/// The same as tasks.
fn planned<'a>(out: &'a str, settings: &[&'a str]) -> Vec<&'a str> {
    [vec!["plan-jobs"], trained(out, settings)].concat()
}

pub fn read_json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&bytes(path)).unwrap()
}

/// A document without the times in it.
pub fn timeless(mut document: Value) -> Value {
    match &mut document {
        Value::Object(map) => {
            map.remove("seconds");
            map.values_mut().for_each(|value| *value = timeless(value.take()));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| *value = timeless(value.take())),
        _ => {}
    }
    document
}

/// The states of all tasks.
pub fn states(status: &Value) -> Vec<&str> {
    status.as_array().unwrap().iter().map(|task| task["state"].as_str().unwrap()).collect()
}

#[test]
fn tasks_done_one_by_one_in_any_order_and_twice_give_the_table_of_one_process_to_the_bit() {
    let dir = folder("jobs_whole");
    task(&dir);
    succeed(&dir, &trained("whole", &[]));

    let plan = planned("cv", &[]);
    let tasks = json(&dir, &plan);
    assert!(!dir.join("cv").exists(), "a plan alone writes nothing");
    assert_eq!(json(&dir, &[&plan[..], &["--write", "--threads", "1"]].concat()), tasks);
    assert_eq!(json(&dir, &[&plan[..], &["--write"]].concat()), tasks);
    assert_eq!(read_json(dir.join("cv/jobs.json")), tasks);
    let names: Vec<&Value> = tasks.as_array().unwrap().iter().map(|task| &task["name"]).collect();
    assert_eq!(json!(names), json!(["fold-0", "fold-1", "fold-2", "table"]));
    assert_eq!((&tasks[1]["needs"], &tasks[3]["needs"]), (&json!([]), &json!([0, 1, 2])));
    assert_eq!(tasks[1]["folder"], "cv/fold-1");
    refuse(
        &dir,
        &[&planned("cv", &["train.ema=0.5"])[..], &["--write"]].concat(),
        &["jobs.json", "arguments of task 0", "train.ema=0.5", "--out"],
    );
    refuse(&dir, &[&plan[..], &["--folds", "3"]].concat(), &["no fold 3"]);
    refuse(&dir, &[&plan[..], &["--launch", "slurm"]].concat(), &["leave --launch"]);
    assert_eq!(states(&json(&dir, &["status", "cv"])), ["waiting"; 4]);

    // From another directory, and not in their order.
    let cv = dir.join("cv");
    let (elsewhere, cv) = (dir.join("data"), cv.to_str().unwrap());
    let worker = |task| ["worker", cv, "--quiet", "--task", task];
    succeed(&elsewhere, &worker("2"));
    succeed(&elsewhere, &worker("0"));
    let early = scnas(&elsewhere, &worker("3")).output().unwrap();
    assert_eq!(early.status.code(), Some(1), "{early:?}");
    assert!(stderr(&early).contains("fold 1 is not complete"), "{early:?}");
    assert!(String::from_utf8_lossy(&early.stdout).contains("over 2 of 3 folds"), "{early:?}");
    let status = json(&dir, &["status", "cv"]);
    assert_eq!(states(&status), ["done", "waiting", "done", "failed"]);
    assert!(status[3]["last_words"].as_str().unwrap().contains("fold 1 is not complete"));
    let text = succeed(&dir, &["status", "cv"]);
    assert!(text.contains("2 done, 1 failed, 1 waiting"), "{text}");
    assert!(text.contains("table failed: ") && text.contains("fold 1 is"), "{text}");

    // By hand it is the same.
    let alone = [trained("cv", &[]), vec!["--folds", "1"]].concat();
    succeed(&dir, &alone);
    succeed(&elsewhere, &worker("1"));
    succeed(&elsewhere, &worker("3"));
    let status = json(&dir, &["status", "cv"]);
    assert_eq!(states(&status), ["done"; 4]);
    let record = read_json(dir.join("cv/fold-1/task.json"));
    assert_eq!((&record["state"], &record["exit_code"]), (&json!("done"), &json!(0)));
    let table = |out: &str| read_json(dir.join(out).join("cross-validation.json"));
    assert_eq!(timeless(table("cv")), timeless(table("whole")));
    assert_eq!(status[3]["dice"], table("whole")["over_folds"]["mean_foreground"]["mean"]);
    for fold in ["fold-0", "fold-1", "fold-2"] {
        same_run(&dir.join("cv").join(fold), &dir.join("whole").join(fold));
    }

    let before = contents(&dir.join("cv/fold-1"));
    succeed(&elsewhere, &worker("1"));
    assert!(contents(&dir.join("cv/fold-1")) == before, "a task that is done is left as it is");
    std::fs::remove_file(dir.join("cv/fold-1/result.json")).unwrap();
    assert_eq!(states(&json(&dir, &["status", "cv"])), ["done", "waiting", "done", "waiting"]);
}

#[test]
fn a_task_has_one_process_is_stopped_by_a_signal_and_goes_on_when_it_is_begun_again() {
    let dir = folder("jobs_stopped");
    task(&dir);
    let many = ["train.epochs=3000", "train.validate_every=0"];
    succeed(&dir, &[planned("cv", &many), vec!["--write"]].concat());
    let worker = ["worker", "cv", "--task", "1", "--threads", "1"];
    let mut child =
        scnas(&dir, &worker).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !dir.join("cv/fold-1/log.jsonl").exists() {
        assert!(start.elapsed() < Duration::from_secs(100), "no epoch ends");
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = json(&dir, &["status", "cv"]);
    assert_eq!(states(&status), ["waiting", "running", "waiting", "waiting"]);
    assert_eq!((&status[1]["phase"], &status[1]["epochs"]), (&json!("train"), &json!(3000)));
    assert!(status[1]["left_s"].as_f64().unwrap() > 0.0, "{status}");
    assert_eq!(status[1]["record"]["pid"], json!(child.id()));
    let record = bytes(dir.join("cv/fold-1/task.json"));
    let second = scnas(&dir, &worker).output().unwrap();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(stderr(&second).contains("no other process uses"), "{second:?}");
    assert_eq!(bytes(dir.join("cv/fold-1/task.json")), record);

    signal(&child, "USR1");
    assert_eq!(child.wait().unwrap().code(), Some(75));
    let status = json(&dir, &["status", "cv"]);
    assert_eq!(status[1]["state"], "stopped");
    assert_eq!(status[1]["record"]["exit_code"], 75);
    assert!(succeed(&dir, &["status", "cv"]).contains("fold-1 stopped: stopped by request"));

    // One that is killed leaves no word.
    let mut child =
        scnas(&dir, &worker).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while read_json(dir.join("cv/fold-1/task.json"))["state"] != "running" {
        assert!(start.elapsed() < Duration::from_secs(200), "the task is not begun again");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let text = succeed(&dir, &["status", "cv"]);
    assert!(text.contains("1 running, 3 waiting") && text.contains(" ago"), "{text}");
}

#[test]
fn what_is_wrong_with_a_list_or_a_table_is_said() {
    let dir = folder("jobs_wrong");
    task(&dir);
    let out = dir.join("cv");
    refuse(&dir, &["status", "cv"], &["cv", "jobs.json", "plan-jobs"]);
    refuse(&dir, &["worker", "cv", "--task", "0"], &["jobs.json", "plan-jobs"]);
    let gather = [trained("cv", &[]), vec!["--gather"]].concat();
    refuse(&dir, &gather, &["cv", "no fold is complete"]);
    succeed(&dir, &[planned("cv", &[]), vec!["--write"]].concat());
    refuse(&dir, &["worker", "cv", "--task", "4"], &["jobs.json", "no task 4", "0 to 3"]);
    std::fs::create_dir_all(out.join("fold-0")).unwrap();
    std::fs::write(out.join("fold-0/task.json"), "{").unwrap();
    let status = json(&dir, &["status", "cv"]);
    assert_eq!(states(&status), ["failed", "waiting", "waiting", "waiting"]);
    assert!(status[0]["last_words"].as_str().unwrap().contains("fold-0/task.json"), "{status}");

    let mut tasks = read_json(out.join("jobs.json"));
    tasks[0]["arguments"][0] = json!("dance");
    tasks[1]["arguments"] = json!(["worker", "cv", "--task", "1"]);
    std::fs::write(out.join("jobs.json"), tasks.to_string()).unwrap();
    refuse(&dir, &["worker", "cv", "--task", "0"], &["task 0", "dance"]);
    let nested = scnas(&dir, &["worker", "cv", "--task", "1"]).output().unwrap();
    assert!(stderr(&nested).contains("another command than worker"), "{nested:?}");
    std::fs::write(out.join("jobs.json"), "[").unwrap();
    refuse(&dir, &["status", "cv"], &["jobs.json", "expected a list of tasks"]);
}

#[cfg(unix)]
#[test]
fn the_status_of_a_thousand_tasks_takes_less_than_a_second() {
    let dir = folder("jobs_thousand");
    let cv = dir.join("cv");
    let line = json!({
        "phase": "train", "epoch": 3, "epochs": 30, "loss": 0.5, "dice": [0.5, 0.5],
        "mean_dice": 0.5, "learning_rate": 0.003, "seconds": 60.0, "waited_seconds": 0.1,
    });
    let log = format!("{line}\n").repeat(1000);
    let result = json!({
        "network": "random:1", "dataset": "phantoms", "fold": 0, "seed": 0, "parameters_m": 0.1,
        "gflops": 0.1, "cases": 2, "classes": ["organ"], "dice": [{"mean": 0.75, "sd": 0.1}],
        "mean_dice": {"mean": 0.75, "sd": 0.1}, "seconds": 60.0,
    });
    let tasks: Vec<Value> = (0..1000)
        .map(|number| {
            let fold = cv.join(format!("fold-{number}"));
            std::fs::create_dir_all(&fold).unwrap();
            let state = ["done", "running", "failed", "stopped"][number % 4];
            let record = json!({
                "state": state, "host": "node", "pid": 1, "begun": 1, "ended": null,
                "exit_code": null, "last_words": "out of luck",
            });
            std::fs::write(fold.join("task.json"), record.to_string()).unwrap();
            std::fs::write(fold.join("log.jsonl"), &log).unwrap();
            if state == "done" {
                std::fs::write(fold.join("result.json"), result.to_string()).unwrap();
                for name in ["evaluation.json", "model.safetensors"] {
                    std::fs::write(fold.join(name), "").unwrap();
                }
            }
            json!({
                "number": number, "name": format!("fold-{number}"), "kind": "run", "folder": fold,
                "directory": dir, "arguments": ["cross-validate", "data"], "needs": [],
            })
        })
        .collect();
    std::fs::write(cv.join("jobs.json"), json!(tasks).to_string()).unwrap();
    // Of the processor: other tests run beside this one.
    let script = "\"$0\" status cv > status.txt; times";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_scnas")]).current_dir(&dir);
    let times = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    let seconds = |time: &str| -> f64 {
        let (minutes, seconds) = time.trim_end_matches('s').split_once('m').unwrap();
        60.0 * minutes.parse::<f64>().unwrap() + seconds.parse::<f64>().unwrap()
    };
    let took: f64 = times.lines().nth(1).unwrap().split_whitespace().map(seconds).sum();
    let text = String::from_utf8(bytes(dir.join("status.txt"))).unwrap();
    assert!(text.contains("250 done, 250 running, 250 stopped, 250 failed"), "{text}");
    assert!(text.contains("train 4/30  26:00") && text.contains("0.7500"), "{text}");
    assert_eq!(text.matches("failed: out of luck").count(), 250);
    println!("status of 1000 tasks: {took} s of the processor");
    assert!(took < 1.0, "{took} s");
}

/// The lines of a script that ask something of Slurm.
fn asked(script: &str) -> Vec<&str> {
    script.lines().filter_map(|line| line.strip_prefix("#SBATCH ")).collect()
}

#[cfg(unix)]
#[test]
fn scripts_for_slurm_are_plain_and_what_was_given_goes_last() {
    let dir = folder("jobs_scripts");
    task(&dir);
    let out = "it's a 100% cv";
    let options = ["--slurm-option=--partition=long", "--slurm-option", "--mem=5G"];
    let launch = [&trained(out, &[])[..], &["--launch", "slurm", "--threads", "2"]].concat();
    let scripts = json(&dir, &[&launch[..], &["--dry-run"], &options[..]].concat());
    assert!(!dir.join(out).exists(), "a dry run writes nothing");
    for name in ["fold", "table"] {
        let script = scripts[name].as_str().unwrap();
        let file = dir.join(name);
        std::fs::write(&file, script).unwrap();
        assert!(Command::new("bash").arg("-n").arg(&file).status().unwrap().success(), "{script}");
        let lines = asked(script);
        assert_eq!(lines[lines.len() - 2..], ["--partition=long", "--mem=5G"], "{script}");
        assert!(lines.iter().any(|line| line.starts_with("--time=")), "{script}");
        assert!(script.contains("it'\\''s a 100% cv"), "{script}");
    }
    let folds = scripts["fold"].as_str().unwrap();
    let lines = asked(folds);
    for line in ["--cpus-per-task=2", "--requeue", "--open-mode=append", "--signal=B:USR1@300"] {
        assert!(lines.contains(&line), "{line}: {folds}");
    }
    assert!(folds.contains("it's a 100%% cv/slurm/task-%a.txt\""), "{folds}");
    let wrong = [&launch[..], &["--dry-run", "--slurm-option=partition"]].concat();
    refuse(&dir, &wrong, &["--slurm-option", "partition"]);

    let without = scnas(&dir, &launch).env("PATH", dir.join("nowhere")).output().unwrap();
    assert_eq!(without.status.code(), Some(1), "{without:?}");
    assert!(stderr(&without).contains("sbatch") && stderr(&without).contains("plan-jobs"));
    assert!(!dir.join(out).exists());
}

/// Stage, tasks and job of everything that a launch submitted.
pub fn submitted(launched: &Value) -> Value {
    let stages = launched["submitted"].as_array().unwrap();
    json!(stages.iter().map(|s| [&s["stage"], &s["tasks"], &s["job"]]).collect::<Vec<_>>())
}

/// A folder with programs of the names of Slurm's: one notes what is submitted and numbers it, the
/// other says what a file says.
#[cfg(unix)]
pub fn stand_in(dir: &Path) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let programs = dir.join("programs");
    std::fs::create_dir_all(&programs).unwrap();
    let here = dir.display();
    let sbatch = format!(
        "[ \"$1\" = --version ] && exit\necho \"$@\" >> '{here}/said'\ngrep -c . '{here}/said'\n"
    );
    let squeue = format!("cat '{here}/queue'\n");
    for (name, script) in [("sbatch", sbatch), ("squeue", squeue)] {
        let file = programs.join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{script}")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:{}", programs.display(), std::env::var("PATH").unwrap())
}

#[cfg(unix)]
#[test]
fn what_is_neither_done_nor_in_the_queue_is_submitted_and_the_table_comes_behind_all() {
    let dir = folder("jobs_submitted");
    task(&dir);
    let path = stand_in(&dir);
    let command = [trained("cv", &[]), vec!["--launch", "slurm", "--json", "--quiet"]].concat();
    let launch = || -> Value {
        let output = scnas(&dir, &command).env("PATH", &path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let said = || std::fs::read_to_string(dir.join("said")).unwrap();
    let last = |n: usize| -> Vec<String> {
        let lines: Vec<String> = said().lines().map(String::from).collect();
        lines[lines.len() - n..].to_vec()
    };
    let first = launch();
    assert_eq!(submitted(&first), json!([["fold", [0, 1, 2], "1"], ["table", [3], "2"]]));
    let lines = last(2);
    assert!(lines[0].starts_with("--parsable --array=0-2 "), "{lines:?}");
    assert!(lines[1].starts_with("--parsable --dependency=afterany:1 "), "{lines:?}");
    assert!(dir.join("cv/checked.txt").exists() && dir.join("cv/jobs.json").exists());

    // All of it is in the queue.
    std::fs::write(dir.join("queue"), "1 0\n1 1\n1 2\n2 N/A\n77 1\n").unwrap();
    let again = launch();
    assert_eq!(submitted(&again), json!([]));
    assert_eq!(again["in_queue"], json!([0, 1, 2, 3]));
    assert_eq!(said().lines().count(), 2);

    // One is done, one is not in the queue any more, and the table behind the first array is.
    succeed(&dir, &["worker", "cv", "--task", "0"]);
    std::fs::write(dir.join("queue"), "1 2\n2 N/A\n").unwrap();
    let third = launch();
    assert_eq!(submitted(&third), json!([["fold", [1], "3"], ["table", [3], "4"]]));
    let lines = last(2);
    assert!(lines[0].starts_with("--parsable --array=1 "), "{lines:?}");
    assert!(lines[1].starts_with("--parsable --dependency=afterany:1:2:3 "), "{lines:?}");

    std::fs::write(dir.join("queue"), "").unwrap();
    for number in ["1", "2", "3"] {
        succeed(&dir, &["worker", "cv", "--task", number]);
    }
    let done = launch();
    assert_eq!(submitted(&done), json!([]));
    refuse(
        &dir,
        &[trained("cv", &["train.ema=0.5"]), vec!["--launch", "slurm", "--dry-run"]].concat(),
        &["jobs.json", "train.ema=0.5"],
    );
}

#[cfg(unix)]
#[test]
fn a_race_in_shares_done_in_any_order_hands_over_the_winner_of_one_process_to_the_bit() {
    let dir = folder("jobs_race");
    task(&dir);
    succeed(&dir, &race("whole"));
    let plan = [vec!["plan-jobs"], race("run"), vec!["--write"]].concat();
    let tasks = json(&dir, &plan);
    let names: Vec<&Value> = tasks.as_array().unwrap().iter().map(|task| &task["name"]).collect();
    let rung = |rung: usize| [0, 1, 2].map(|place| format!("rung-{rung}-{place}"));
    let expected = [vec!["candidates".to_string()], rung(1).to_vec(), rung(2).to_vec()].concat();
    assert_eq!(json!(names[..7]), json!(expected));
    assert_eq!((names[7], &tasks[7]["needs"]), (&json!("winner"), &json!([4, 5, 6])));
    assert_eq!((&tasks[0]["needs"], &tasks[4]["needs"]), (&json!([]), &json!([1, 2, 3])));

    let worker = |task| ["worker", "run", "--quiet", "--task", task];
    let usage = scnas(&dir, &[race("run"), vec!["--share", "0:1"]].concat()).output().unwrap();
    assert!(usage.status.code() == Some(2) && stderr(&usage).contains("1:0"), "{usage:?}");
    // A rung waits for the one before, and nobody for the list of candidates.
    let mut others = ["1", "3"].map(|task| scnas(&dir, &worker(task)).spawn().unwrap());
    others.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
    refuse(&dir, &["worker", "run", "--task", "4"], &["rung 1", "u-resnet-half@4"]);
    for task in ["0", "2", "6", "5", "4", "2", "7"] {
        succeed(&dir, &worker(task));
    }
    assert_eq!(states(&json(&dir, &["status", "run"])), ["done"; 8]);
    same_race(&dir.join("run"), &dir.join("whole"));

    // What no share has done, the winner's task does.
    let tasks = json(&dir, &[vec!["plan-jobs"], race("late"), vec!["--write"]].concat());
    assert_eq!(tasks.as_array().unwrap().len(), 8);
    succeed(&dir, &["worker", "late", "--task", "7"]);
    same_race(&dir.join("late"), &dir.join("whole"));

    let path = stand_in(&dir);
    let command = [race("far"), vec!["--launch", "slurm", "--json", "--quiet"]].concat();
    let output = scnas(&dir, &command).env("PATH", &path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let launched: Value = serde_json::from_slice(&output.stdout).unwrap();
    let stages = json!([
        ["candidates", [0], "1"],
        ["rung-1", [1, 2, 3], "2"],
        ["rung-2", [4, 5, 6], "3"],
        ["winner", [7], "4"],
    ]);
    assert_eq!(submitted(&launched), stages);
    let said = std::fs::read_to_string(dir.join("said")).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("--parsable --array=0 "), "{said}");
    assert!(lines[3].starts_with("--parsable --array=7 --dependency=afterany:1:2:3 "), "{said}");
}
