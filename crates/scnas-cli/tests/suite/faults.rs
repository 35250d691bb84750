//! Faults made on purpose: nothing is lost, and what is said names the file and what to do.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{
    folder, limited, same_run, scnas, signal, small_disk, start_until, stderr, succeed, task, tiny,
    volume_of_bytes,
};

/// Long enough to be caught in the middle.
const LONG: [&str; 2] = ["search.epochs=12", "train.epochs=12"];

/// A folder with a task, a run that nothing stopped, `whole`, and the command of another, `run`.
fn beside_a_whole_run(test: &str) -> (PathBuf, Vec<&'static str>) {
    let dir = folder(test);
    task(&dir);
    succeed(&dir, &tiny(&["search", "data", "--out", "whole"], &LONG));
    let command = tiny(&["search", "data", "--out", "run"], &LONG);
    (dir, command)
}

#[test]
fn a_scheduler_that_ends_a_job_gets_the_code_to_queue_it_again() {
    let (dir, command) = beside_a_whole_run("requeue");
    for (name, phase) in [("USR1", "search"), ("TERM", "train")] {
        let running = start_until(&dir, &command, phase);
        signal(&running, name);
        // A scheduler says it again; that must not end the saving.
        signal(&running, name);
        let stopped = running.wait_with_output().unwrap();
        assert_eq!(stopped.status.code(), Some(75), "{stopped:?}");
        assert!(stderr(&stopped).contains("the same command goes on"), "{stopped:?}");
    }
    succeed(&dir, &command);
    same_run(&dir.join("run"), &dir.join("whole"));
}

#[test]
fn a_second_process_in_a_run_folder_is_refused_and_the_first_goes_on() {
    let dir = folder("two_processes");
    task(&dir);
    let command = tiny(&["search", "data", "--out", "run"], &LONG);
    let first = start_until(&dir, &command, "search");
    let second = scnas(&dir, &command).output().unwrap();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(stderr(&second).contains("run: ") && stderr(&second).contains("in use"), "{second:?}");
    let first = first.wait_with_output().unwrap();
    assert!(first.status.success(), "{first:?}");
}

#[test]
#[cfg(not(feature = "mpi"))]
fn several_processes_of_mpi_are_refused_by_a_build_that_would_have_them_do_the_same() {
    let dir = folder("without_mpi");
    task(&dir);
    let train = tiny(&["train", "data", "--arch", "chain", "--out", "run"], &[]);
    let search = tiny(&["search", "data", "--out", "run"], &[]);
    let predict = ["predict", "data", "--model", "run", "--out", "labels"];
    for command in [&train[..], &search, &predict] {
        let refused = scnas(&dir, command).env("OMPI_COMM_WORLD_SIZE", "4").output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let text = stderr(&refused);
        assert!(text.contains("--features mpi") && text.contains("found 4"), "{text}");
        assert!(!dir.join("run").exists());
    }
}

/// Expects exit code 1 and an error about a write to a file of `run`, for the reason that is given;
/// returns the file.
fn failed_write(output: &Output, reason: &str) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = stderr(output);
    let error =
        text.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{text}"));
    let file = error
        .strip_prefix("error: cannot write run/")
        .or_else(|| error.strip_prefix("error: cannot create run/"));
    let file = file.unwrap_or_else(|| panic!("{error}")).split_once(": ").unwrap().0;
    assert!(error.contains(reason), "{error}");
    file.into()
}

#[test]
fn files_that_may_not_become_long_enough_are_named_and_nothing_is_lost() {
    let dir = folder("file_size");
    task(&dir);
    succeed(&dir, &tiny(&["search", "data", "--out", "whole"], &[]));
    let command = tiny(&["search", "data", "--out", "run"], &[]);
    let mut named = BTreeSet::new();
    for blocks in (0..16).map(|n| (1 << n) - 1) {
        let output = limited(&dir, &format!("ulimit -f {blocks}"), &command);
        if output.status.success() {
            break;
        }
        named.insert(failed_write(&output, "File too large"));
    }
    assert!(named.len() > 1, "{named:?}");
    succeed(&dir, &command);
    same_run(&dir.join("run"), &dir.join("whole"));
}

#[test]
#[ignore = "mounts a small disk: needs unshare -rm"]
fn a_disk_that_will_not_hold_the_checkpoints_is_named_before_the_run_begins() {
    let dir = folder("small_disk");
    task(&dir);
    let mut command = small_disk(&dir, "64k", r#""$0" "$@""#);
    let output = command.args(tiny(&["search", "data", "--out", "run"], &[])).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = stderr(&output);
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("error: run/: expected ")
            && last.contains(" of free space or more")
            && last.contains("make room"),
        "{text}"
    );
}

#[test]
#[ignore = "mounts a small disk: needs unshare -rm"]
fn a_disk_that_is_full_at_one_write_after_the_other_is_named_and_nothing_is_lost() {
    let dir = folder("full_disk");
    task(&dir);
    succeed(&dir, &tiny(&["search", "data", "--out", "whole"], &LONG));
    // The run begins, as there is room for it. Then there is room for a little more than it has
    // each time, and once more for the files that come last, which are small beside the
    // checkpoints.
    let script = r#"attempts() {
            size=$(du -sk run | cut -f 1)
            code=1
            while [ $code != 0 ] && [ $size -lt 100000 ]; do
                mount -o remount,size=${size}k run
                "$0" "$@" 2> stderr > stdout; code=$?
                echo "== $code"; cat stderr
                size=$((size * more / 4 + 4))
            done
        }
        "$0" "$@" > /dev/null 2> /dev/null & running=$!
        while [ ! -s run/log.jsonl ]; do sleep 0.01; done
        kill -TERM $running; wait $running
        more=5; attempts "$@"
        rm -r run/model.safetensors run/predictions run/evaluation.* run/result.json
        more=4; attempts "$@"
        cp -r run kept"#;
    let mut command = small_disk(&dir, "100M", script);
    let output = command.args(tiny(&["search", "data", "--out", "run"], &LONG)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (mut named, mut codes) = (BTreeSet::new(), Vec::new());
    for attempt in text.split("== ").skip(1) {
        let (code, said) = attempt.split_once('\n').unwrap();
        codes.push(code.to_string());
        if code != "0" {
            let (status, stderr) = (
                std::os::unix::process::ExitStatusExt::from_raw(code.parse::<i32>().unwrap() << 8),
                said.into(),
            );
            named.insert(failed_write(
                &Output { status, stdout: Vec::new(), stderr },
                "No space left",
            ));
        }
    }
    println!("{} attempts; no space for {named:?}", codes.len());
    assert_eq!(codes.last().unwrap(), "0", "{text}");
    let files = ["checkpoint/search.safetensors", "log.jsonl", "model.safetensors"];
    assert!(files.iter().all(|file| named.contains(*file)), "{named:?}");
    same_run(&dir.join("kept"), &dir.join("whole"));
}

/// What a training says that has so many KiB of memory; its run is removed.
#[cfg(target_os = "linux")]
fn trained_within(dir: &Path, kib: u32, data: &str, arch: &str, settings: &[&str]) -> Output {
    let train = ["train", data, "--arch", arch, "--threads", "1", "--out", "run"];
    let output = limited(dir, &format!("ulimit -v {kib}"), &tiny(&train, settings));
    let _ = std::fs::remove_dir_all(dir.join("run"));
    output
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_that_needs_more_memory_than_there_is_does_not_begin_and_what_is_proposed_does() {
    let dir = folder("memory");
    task(&dir);
    let run = |settings: &[&str]| trained_within(&dir, 1_000_000, "data", "random:0", settings);
    let large = ["network.width=16", "data.patch=[128, 128, 128]", "train.epochs=1"];
    let refused = run(&large);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let text = stderr(&refused);
    let proposed = text
        .split_once("--set \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .unwrap_or_else(|| panic!("{text}"))
        .0;
    assert!(proposed.starts_with("data.patch=") && text.contains("of memory"), "{text}");
    let taken = run(&[large[0], proposed, large[2]]);
    assert!(taken.status.success(), "{proposed}: {taken:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn where_not_even_half_the_patch_fits_the_run_is_refused_all_the_same() {
    let dir = folder("little_memory");
    task(&dir);
    let large = ["network.width=32", "data.patch=[128, 128, 128]"];
    let command =
        tiny(&["train", "data", "--arch", "random:0", "--threads", "1", "--out", "run"], &large);
    let refused = limited(&dir, "ulimit -v 600000", &command);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(stderr(&refused).contains("of memory"), "{refused:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn cases_that_do_not_fit_into_memory_go_to_disk_or_are_refused_with_a_grid_that_fits() {
    let dir = folder("many_cases");
    let side = 160;
    let mut table = String::from("image,label\n");
    for case in 0..10 {
        // Not the same image again and again, which the check would find.
        volume_of_bytes(&dir.join(format!("{case}.nii")), [side; 3], |n| {
            (n * n / 7 % 97) as u8 + case
        });
        table += &format!("{case}.nii,labels.nii\n");
    }
    volume_of_bytes(&dir.join("labels.nii"), [side; 3], |n| {
        u8::from((n / side % side).abs_diff(80) + (n % side).abs_diff(80) < 20)
    });
    std::fs::write(dir.join("data.csv"), table).unwrap();
    std::fs::write(
        dir.join("data.json"),
        r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1}}"#,
    )
    .unwrap();
    let run = |settings: &[&str]| trained_within(&dir, 500_000, "data.csv", "identity", settings);
    let few = ["train.epochs=1", "predict.overlap=0", "predict.flips=false"];
    let held_on_disk = run(&few);
    assert!(held_on_disk.status.success(), "{held_on_disk:?}");
    assert!(stderr(&held_on_disk).contains("held on disk"), "{held_on_disk:?}");
    std::fs::remove_dir_all(dir.join("scnas-cache")).unwrap();
    let in_memory = "data.keep=memory";
    let refused = run(&[few[0], few[1], few[2], in_memory]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let text = stderr(&refused);
    let proposed = text
        .split_once("--set \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .unwrap_or_else(|| panic!("{text}"))
        .0;
    assert!(proposed.starts_with("data.spacing=") && text.contains("held in memory"), "{text}");
    let taken = run(&[few[0], few[1], few[2], in_memory, proposed]);
    assert!(taken.status.success(), "{proposed}: {taken:?}");
    assert!(!dir.join("scnas-cache").exists());
}

#[test]
fn results_that_cannot_be_printed_are_an_error() {
    let dir = folder("full_stdout");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = scnas(&dir, &["config"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).starts_with("error: "), "{output:?}");
}

#[test]
fn a_folder_that_may_not_be_written_is_named_before_any_work() {
    let dir = folder("read_only");
    task(&dir);
    std::fs::create_dir(dir.join("closed")).unwrap();
    let mode = |mode: &str| {
        assert!(
            Command::new("chmod")
                .args([mode, "closed"])
                .current_dir(&dir)
                .status()
                .unwrap()
                .success()
        )
    };
    mode("555");
    // What root may write is not closed to it: there the rule is tried where no one can.
    let closed = if std::fs::write(dir.join("closed/try"), "").is_ok() {
        "/proc/closed"
    } else {
        "closed/run"
    };
    let output = scnas(&dir, &tiny(&["search", "data", "--out", closed], &[])).output().unwrap();
    mode("755");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains(&format!("cannot create {closed}")), "{output:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_may_not_be_read_is_named_with_what_to_do() {
    let dir = folder("unreadable");
    task(&dir);
    let image = dir.join("data/imagesTr/phantom_002.nii.gz");
    std::fs::set_permissions(&image, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    // Root may read all, unless it gives up the right to.
    let mut command = match std::fs::read(&image) {
        Err(_) => Command::new(env!("CARGO_BIN_EXE_scnas")),
        Ok(_) => {
            let mut command = Command::new("setpriv");
            command.args([
                "--bounding-set",
                "-dac_override,-dac_read_search",
                env!("CARGO_BIN_EXE_scnas"),
            ]);
            command
        }
    };
    let output = command
        .args(tiny(&["search", "data", "--out", "run"], &[]))
        .current_dir(&dir)
        .output()
        .unwrap();
    std::fs::set_permissions(&image, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = stderr(&output);
    let last = text.lines().last().unwrap();
    let named = [
        "error: phantom_002: ",
        "imagesTr/phantom_002.nii.gz may not be read: Permission denied",
        "chmod",
    ];
    assert!(named.iter().all(|part| last.contains(part)), "{text}");
    assert!(!dir.join("run/log.jsonl").exists());
}

#[test]
fn a_file_that_vanishes_during_a_run_is_named_and_the_run_goes_on_once_it_is_back() {
    let (dir, command) = beside_a_whole_run("vanished");
    let held_out = a_held_out_label_map(&dir, "whole");
    let running = start_until(&dir, &command, "search");
    std::fs::rename(&held_out, dir.join("hidden")).unwrap();
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        stderr(&output).contains("cannot read") && stderr(&output).contains("labelsTr"),
        "{output:?}"
    );
    assert!(dir.join("run/model.safetensors").exists());
    std::fs::rename(dir.join("hidden"), &held_out).unwrap();
    succeed(&dir, &command);
    same_run(&dir.join("run"), &dir.join("whole"));
}

/// The label map of a held-out case of a finished run.
fn a_held_out_label_map(dir: &Path, run: &str) -> PathBuf {
    let prediction =
        std::fs::read_dir(dir.join(run).join("predictions")).unwrap().next().unwrap().unwrap();
    dir.join("data/labelsTr").join(prediction.file_name())
}

#[test]
fn a_clock_that_goes_back_or_ahead_does_not_matter() {
    let (dir, command) = beside_a_whole_run("clock");
    for (phase, year) in [("search", "1975"), ("train", "2095")] {
        let running = start_until(&dir, &command, phase);
        signal(&running, "INT");
        running.wait_with_output().unwrap();
        for path in crate::common::contents(&dir.join("run")).into_keys() {
            let stamp = format!("{year}01010000");
            assert!(
                Command::new("touch").args(["-t", &stamp]).arg(path).status().unwrap().success()
            );
        }
    }
    succeed(&dir, &command);
    same_run(&dir.join("run"), &dir.join("whole"));
}
