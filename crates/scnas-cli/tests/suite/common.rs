//! Runs the built binary on small made-up data.

// No test file needs all of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use medvol::phantom::{PhantomTask, phantom, write_task};
use serde_json::Value;

pub use files::*;

#[path = "../../../medvol/tests/suite/common/files.rs"]
mod files;

/// Settings of a network and a training that take about a second.
pub const TINY: &[&str] = &[
    "network.width=4",
    "data.patch=[16, 16, 16]",
    "data.folds=3",
    "search.epochs=2",
    "search.warmup_epochs=1",
    "search.alpha.lr=0.1",
    "train.epochs=2",
    "train.patches=1",
];

/// An empty folder for one test.
pub fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A task of a few coarse cases in `folder/data`.
pub fn task(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    write_task(&data, &PhantomTask { seed: 3, cases: 6, test_cases: 2, coarseness: 3.0 }).unwrap();
    data
}

/// A volume `[width, height, depth]` of bytes in voxels of 1 mm; `voxel` says which, counted with
/// the width fastest.
pub fn volume_of_bytes(path: &Path, shape: [usize; 3], voxel: impl Fn(usize) -> u8) {
    // The header of a small file of bytes, made to say another size.
    let mut small = phantom(1, 0, 3.0).1;
    small.affine = medvol::Affine::IDENTITY;
    write_labels(path, &small).unwrap();
    let mut file = bytes(path);
    file.truncate(352);
    for (axis, size) in shape.into_iter().enumerate() {
        file[42 + 2 * axis..][..2].copy_from_slice(&(size as i16).to_le_bytes());
    }
    file.extend((0..shape.iter().product()).map(voxel));
    std::fs::write(path, file).unwrap();
}

/// The program, to be run in `folder`. It hears Ctrl-C even where the tests were started in the
/// background by a shell that lets nobody hear it: what is handled here is not ignored there.
pub fn scnas(folder: &Path, args: &[&str]) -> Command {
    #[cfg(unix)]
    {
        use std::sync::{Arc, Once, atomic::AtomicBool};
        static HEARD: Once = Once::new();
        HEARD.call_once(|| {
            let always = Arc::new(AtomicBool::new(true));
            signal_hook::flag::register_conditional_shutdown(
                signal_hook::consts::SIGINT,
                130,
                always,
            )
            .unwrap();
        });
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_scnas"));
    command.current_dir(folder).args(args).stdin(Stdio::null());
    command
}

/// The program behind a shell that first does `limit`.
pub fn limited(dir: &Path, limit: &str, args: &[&str]) -> Output {
    let mut command = Command::new("sh");
    let script = format!("{limit}; exec \"$0\" \"$@\"");
    command
        .arg("-c")
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_scnas"))
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null());
    command.output().unwrap()
}

/// `verb` and its arguments with those [`TINY`] settings that have an effect there, and then
/// `settings`.
pub fn tiny<'a>(verb: &[&'a str], settings: &[&'a str]) -> Vec<&'a str> {
    let searches = verb.first() != Some(&"train") && !verb.contains(&"--arch");
    let races = verb.contains(&"race") || settings.contains(&"search.strategy=race");
    let bi_level = searches && !races;
    let heeded = TINY.iter().filter(|line| bi_level || !line.starts_with("search."));
    // One phase after the other, which is what most tests look at.
    let one = bi_level && verb.first() != Some(&"bench");
    let phases = one.then_some(&"search.strategy=bi-level");
    let set = phases.into_iter().chain(heeded).chain(settings).flat_map(|line| ["--set", line]);
    verb.iter().copied().chain(set).collect()
}

/// Runs to success and returns stdout.
pub fn succeed(folder: &Path, args: &[&str]) -> String {
    let output = scnas(folder, args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs to success with `--json` and returns the document that stdout is.
pub fn json(folder: &Path, args: &[&str]) -> Value {
    let text = succeed(folder, &[args, &["--json", "--quiet"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
}

/// Runs, expects exit code 1 and one line `error: …` that holds all of `named`, and no change to
/// what was in `folder`.
pub fn refuse(folder: &Path, args: &[&str], named: &[&str]) {
    let before = contents(folder);
    let output = scnas(folder, &[args, &["--quiet"]].concat()).output().unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    assert!(stderr.starts_with("error: "), "{args:?}: {stderr}");
    for text in named {
        assert!(stderr.contains(text), "{args:?}: \"{text}\" is not in: {stderr}");
    }
    assert_eq!(output.stdout, b"", "{args:?}");
    let after = contents(folder);
    for (path, bytes) in before {
        assert!(after.get(&path) == Some(&bytes), "{args:?} changed {}", path.display());
    }
}

/// Every file below `folder`.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path)
            } else {
                drop(found.insert(path.clone(), std::fs::read(path).unwrap()))
            }
        }
    }
    found
}

/// A file's bytes.
pub fn bytes(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

/// What was printed to stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts a command and waits until the log of `run` has a line of `phase`.
pub fn start_until(dir: &Path, command: &[&str], phase: &str) -> Child {
    let child = scnas(dir, command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let log = dir.join("run/log.jsonl");
    let start = Instant::now();
    while !std::fs::read_to_string(&log)
        .is_ok_and(|text| text.contains(&format!("\"phase\":\"{phase}\"")))
    {
        assert!(start.elapsed() < Duration::from_secs(100), "no line of {phase} in the log");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// Sends a signal, such as `INT`.
pub fn signal(child: &Child, name: &str) {
    assert!(
        Command::new("kill")
            .args([&format!("-{name}"), &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
}

/// Fails unless two finished runs have the same weights, architecture, scores, predictions and log,
/// but for its times.
pub fn same_run(a: &Path, b: &Path) {
    for name in ["model.safetensors", "genotype.json", "evaluation.json"] {
        assert!(bytes(a.join(name)) == bytes(b.join(name)), "{name} differs");
    }
    assert!(
        contents(&a.join("predictions"))
            .into_values()
            .eq(contents(&b.join("predictions")).into_values()),
        "predictions differ"
    );
    let epochs = |run: &Path| {
        let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
        let line = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line.as_object_mut()
                .unwrap()
                .retain(|key, _| !["seconds", "waited_seconds"].contains(&key.as_str()));
            line
        };
        log.lines().map(line).collect::<Vec<_>>()
    };
    assert_eq!(epochs(a), epochs(b));
}

/// A script, with the program and its arguments as `$0` and `$@`, to be run where `dir/run` is a
/// disk of its own of `size`. In name spaces of their own, users may mount what they like; some
/// systems forbid it.
pub fn small_disk(dir: &Path, size: &str, script: &str) -> Command {
    std::fs::create_dir(dir.join("run")).unwrap();
    let mut command = Command::new("unshare");
    let script = format!("mount -t tmpfs -o size={size} tmpfs run && {{ {script}\n}}");
    command
        .args(["-rm", "sh", "-c", &script, env!("CARGO_BIN_EXE_scnas")])
        .current_dir(dir)
        .stdin(Stdio::null());
    command
}
