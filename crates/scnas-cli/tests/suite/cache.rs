//! Cases on disk: a cache that several processes fill, and disks that are too small for it.
#![cfg(unix)]

use std::path::Path;
use std::process::Stdio;

use crate::common::{folder, same_run, scnas, small_disk, stderr, succeed, task, tiny};

/// A search that holds its cases in the folder `cache`.
const ON_DISK: [&str; 2] = ["data.keep=disk", "data.cache=cache"];

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> =
        entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn two_processes_that_fill_one_cache_at_once_end_as_one_that_holds_its_cases_in_memory() {
    let dir = folder("shared_cache");
    task(&dir);
    succeed(&dir, &tiny(&["search", "data", "--out", "memory"], &[]));
    let start = |out: &str| {
        let command = tiny(&["search", "data", "--out", out], &ON_DISK);
        let mut command = scnas(&dir, &command);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let both = ["a", "b"].map(|out| (out, start(out)));
    for (out, child) in both {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{out}: {output:?}");
        same_run(&dir.join(out), &dir.join("memory"));
    }
    let filled = names(&dir.join("cache"));
    succeed(
        &dir,
        &tiny(&["search", "data", "--out", "alone"], &["data.keep=disk", "data.cache=alone-cache"]),
    );
    assert_eq!(filled.len(), names(&dir.join("alone-cache")).len(), "nothing is left: {filled:?}");
}

#[test]
#[ignore = "mounts a small disk: needs unshare -rm"]
fn a_disk_that_will_not_hold_the_cases_is_named_before_they_are_made() {
    let dir = folder("no_room_for_cases");
    task(&dir);
    let mut command = small_disk(&dir, "40m", r#""$0" "$@"; code=$?; ls run; exit $code"#);
    let on_disk = ["data.keep=disk", "data.cache=run"];
    let args = tiny(&["search", "data", "--out", "out"], &on_disk);
    let output = command.args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = stderr(&output);
    assert!(text.contains("of free space or more, for the preprocessed cases"), "{text}");
    assert!(text.contains("--set data.cache=DIR"), "{text}");
    assert_eq!(output.stdout, b"", "nothing was made");
}

#[test]
#[ignore = "mounts a small disk: needs unshare -rm"]
fn a_disk_that_is_full_in_the_middle_of_filling_is_named_and_the_same_command_goes_on() {
    let dir = folder("full_cache");
    task(&dir);
    succeed(&dir, &tiny(&["search", "data", "--out", "memory"], &[]));
    // There are bytes enough, as far as can be known before, but no room for so many files.
    let script = r#""$0" "$@" 2> first; echo "== $?"; ls -A run
        mount -o remount,nr_inodes=1000 run; "$0" "$@" > /dev/null 2> second; echo "== $?"; ls -A run"#;
    let mut command = small_disk(&dir, "1G,nr_inodes=5", script);
    let settings = ["data.keep=disk", "data.cache=run"];
    let output =
        command.args(tiny(&["search", "data", "--out", "out"], &settings)).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let attempts: Vec<&str> = text.split("== ").skip(1).collect();
    let [first, second] = attempts.as_slice() else { panic!("{output:?}") };
    let said = std::fs::read_to_string(dir.join("first")).unwrap();
    let error = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(first.starts_with('1'), "{text} {said}");
    assert!(error.contains("cannot write run/") && error.contains("No space left"), "{said}");
    assert!(!first.contains(".part"), "half a file is left: {first}");
    assert!(second.starts_with('0'), "{text} {}", stderr(&output));
    same_run(&dir.join("out"), &dir.join("memory"));
}
