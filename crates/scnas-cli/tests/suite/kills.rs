//! Killed at any moment, by a signal that no program can catch, the same command goes on, and what
//! it ends with are the same bits.
#![cfg(unix)]

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{contents, folder, same_run, scnas, succeed, task, tiny};

/// Moments of a search, training and scoring, and of a prediction, at which the program is killed.
const KILLS_OF_RUNS: usize = 80;
const KILLS_OF_PREDICTIONS: usize = 20;

/// Numbers from 0 to less than 1 (Steele et al. 2014, SplitMix64).
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Runs a command and kills it after `delay`; false if it had ended, well, before.
fn killed(dir: &Path, command: &[&str], delay: Duration) -> bool {
    let mut child =
        scnas(dir, command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    let _ = child.kill();
    let status = child.wait().unwrap();
    assert!(status.success() || status.code().is_none(), "a run after a kill fails: {status}");
    !status.success()
}

fn timed(dir: &Path, command: &[&str]) -> Duration {
    let start = Instant::now();
    succeed(dir, command);
    start.elapsed()
}

#[test]
#[ignore = "slow: a hundred runs that are killed; .ci/run does it"]
fn runs_and_predictions_killed_at_a_hundred_moments_end_with_the_same_bits() {
    let dir = folder("kills");
    task(&dir);
    let settings = ["search.epochs=3", "train.epochs=3", "train.ema=0.9", "train.augment=true"];
    let command = |out| {
        tiny(&["search", "data", "--threads", "1", "--save-every", "0", "--out", out], &settings)
    };
    let whole = timed(&dir, &command("whole"));
    let mut moments = Moments(1);
    let leftover = |path: &Path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".part"))
    };
    let (mut kills, mut writing, mut ends) = (0, 0, 0);
    while kills < KILLS_OF_RUNS {
        // Half of the moments lie in the first sixth of what is left, so that the beginning and the
        // end are hit as well as the middle.
        let delay = whole.mul_f64(moments.next() * if kills % 2 == 0 { 0.15 } else { 1.0 });
        if killed(&dir, &command("run"), delay) {
            kills += 1;
            writing += usize::from(
                dir.join("run").exists()
                    && contents(&dir.join("run")).keys().any(|path| leftover(path)),
            );
            continue;
        }
        ends += 1;
        same_run(&dir.join("run"), &dir.join("whole"));
        std::fs::remove_dir_all(dir.join("run")).unwrap();
    }
    succeed(&dir, &command("run"));
    same_run(&dir.join("run"), &dir.join("whole"));
    assert!(
        !contents(&dir.join("run")).keys().any(|path| leftover(path)),
        "temporary files are left"
    );
    println!(
        "{kills} kills, {writing} of them while a file was being written, {} runs to the end",
        ends + 1
    );

    let predict =
        |out| ["predict", "data", "--training", "--threads", "1", "--model", "whole", "--out", out];
    let whole = timed(&dir, &predict("all"));
    let all = contents(&dir.join("all"));
    std::fs::create_dir(dir.join("some")).unwrap();
    let mut kills = 0;
    while kills < KILLS_OF_PREDICTIONS {
        kills += usize::from(killed(&dir, &predict("some"), whole.mul_f64(moments.next())));
        for (path, bytes) in
            contents(&dir.join("some")).into_iter().filter(|(path, _)| !leftover(path))
        {
            assert!(
                all[&dir.join("all").join(path.file_name().unwrap())] == bytes,
                "{} is half written",
                path.display()
            );
        }
    }
    succeed(&dir, &predict("some"));
    for (path, bytes) in all {
        assert!(
            crate::common::bytes(dir.join("some").join(path.file_name().unwrap())) == bytes,
            "{}",
            path.display()
        );
    }
}
