//! `scnas bench`: what it measures, says and refuses.

use crate::common::{folder, json, refuse, scnas, stderr, succeed, task, tiny};
use serde_json::Value;

fn assert_timing(timing: &Value, repetitions: usize) {
    let seconds: Vec<f64> =
        timing["seconds"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap()).collect();
    assert_eq!(seconds.len(), repetitions);
    let (median, min) = (timing["median_s"].as_f64().unwrap(), timing["min_s"].as_f64().unwrap());
    assert!(
        0.0 < min && min <= median && seconds.iter().all(|&s| s >= min) && seconds.contains(&min),
        "{timing}"
    );
    assert_eq!(timing["page_faults"].is_number(), cfg!(target_os = "linux"));
}

#[test]
fn every_part_is_measured_as_often_as_asked_and_set_beside_the_machine() {
    let dir = folder("bench_size");
    let size = [
        "--size",
        "16",
        "8",
        "24",
        "--channels",
        "2",
        "--classes",
        "3",
        "--set",
        "network.width=4",
        "--set",
        "network.strides=isotropic",
    ];
    let report = json(&dir, &[&["bench", "--repetitions", "3"], &size[..]].concat());
    assert_eq!(report["patch"], serde_json::json!([16, 8, 24]));
    assert_eq!(report["size"], serde_json::json!({ "channels": 2, "classes": 3, "width": 4 }));
    for part in ["search", "train", "predict"] {
        assert_timing(&report[part], 3);
    }
    for figure in ["threads", "gflops", "peak_gflops", "copy_gb_per_s"] {
        assert!(report[figure].as_f64().unwrap() > 0.0, "{figure}");
    }
    assert_eq!(report["peak_memory_mib"].is_number(), cfg!(target_os = "linux"));
    assert!(report.get("estimate").is_none());
    let text = succeed(&dir, &[&["bench", "--repetitions", "1", "--quiet"], &size[..]].concat());
    for line in ["patch 16×8×24", "search iteration", "training step", "prediction of a patch"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn one_part_alone_leaves_the_others_out() {
    let dir = folder("bench_only");
    let args = [
        "bench",
        "--size",
        "8",
        "8",
        "8",
        "--set",
        "network.width=4",
        "--repetitions",
        "2",
        "--arch",
        "conv3",
    ];
    for part in ["search", "train", "predict"] {
        let report = json(&dir, &[&args[..], &["--only", part]].concat());
        assert_timing(&report[part], 2);
        let others = ["search", "train", "predict"].into_iter().filter(|other| *other != part);
        assert!(others.clone().all(|other| report.get(other).is_none()), "{report}");
    }
}

#[test]
fn with_a_data_set_a_run_is_estimated() {
    let dir = folder("bench_data");
    task(&dir);
    let report = json(&dir, &tiny(&["bench", "data", "--repetitions", "1"], &[]));
    assert_eq!(report["patch"], serde_json::json!([16, 16, 16]));
    // Six cases in three folds, one of them held out.
    assert_eq!(
        (&report["workload"]["training_cases"], &report["workload"]["held_out_cases"]),
        (&4.into(), &2.into())
    );
    assert_eq!(
        (&report["workload"]["search_steps"], &report["workload"]["train_steps"]),
        (&2.into(), &4.into())
    );
    let seconds = |key: &str| report["estimate"][key].as_f64().unwrap();
    assert!((seconds("search_s") - 2.0 * seconds("search_epoch_s")).abs() < 1e-9);
    assert!(seconds("search_epoch_s") >= 2.0 * report["search"]["median_s"].as_f64().unwrap());
    assert!((seconds("train_s") - 2.0 * seconds("train_epoch_s")).abs() < 1e-9);
    let text = succeed(&dir, &tiny(&["bench", "data", "--repetitions", "1", "--quiet"], &[]));
    assert!(text.contains("4 training and 2 held-out cases"), "{text}");
    // Of a single part nothing follows for a run.
    assert!(
        json(&dir, &tiny(&["bench", "data", "--repetitions", "1", "--only", "train"], &[]))
            .get("estimate")
            .is_none()
    );
}

#[test]
fn impossible_benches_are_refused_by_name() {
    let dir = folder("bench_refused");
    task(&dir);
    for (args, named) in [
        (&["--size", "20", "16", "16"][..], "multiple of 8"),
        (&["--size", "0", "16", "16"], "multiple of 8"),
        (&["--size", "16", "16"], "3 values"),
        (&["--size", "8", "8", "8", "--classes", "1"], "--classes"),
        (&["--size", "8", "8", "8", "--repetitions", "0"], "--repetitions"),
        (&["data", "--size", "8", "8", "8"], "--size"),
        (&["data", "--channels", "2"], "--channels"),
        (&[], "--size"),
    ] {
        let output = scnas(&dir, &[&["bench"], args].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(named), "{args:?}: {}", stderr(&output));
    }
    refuse(&dir, &["bench", "nowhere"], &["nowhere"]);
    refuse(&dir, &["bench", "--size", "8", "8", "8", "--arch", "conv9"], &["conv9"]);
    refuse(
        &dir,
        &["bench", "--size", "8", "8", "8", "--set", "network.width=6"],
        &["network.width"],
    );
    refuse(&dir, &["bench", "data", "--set", "data.patch=[20, 16, 16]"], &["data.patch"]);
}
