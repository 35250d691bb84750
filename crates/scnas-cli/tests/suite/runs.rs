//! Whole runs of the built binary: from data to scores, stopped and resumed, repeated.

use crate::common::{
    bytes, folder, json, read_grid, read_labels, refuse, same_run, scnas, signal, start_until,
    stderr, succeed, task, tiny, write_labels,
};
use medvol::phantom::phantom;

#[test]
fn the_way_from_data_to_scores_works_and_every_json_parses() {
    let dir = folder("whole_way");
    task(&dir);
    let found = json(&dir, &tiny(&["search", "data", "--out", "run"], &[]));
    assert_eq!(found["result"]["network"], "search + finetune");
    assert_eq!(found["evaluation"]["cases"].as_array().unwrap().len(), 2);
    for name in [
        "config.toml",
        "plan.json",
        "log.jsonl",
        "genotype.json",
        "model.safetensors",
        "evaluation.csv",
        "result.json",
    ] {
        assert!(dir.join("run").join(name).exists(), "{name}");
    }

    let predicted =
        json(&dir, &["predict", "data", "--model", "run", "--out", "out", "--probabilities"]);
    assert_eq!(predicted["predictions"].as_array().unwrap().len(), 2);
    std::fs::create_dir(dir.join("truth")).unwrap();
    for (number, name) in [(6, "phantom_007"), (7, "phantom_008")] {
        let (image, labels) = phantom(3, number, 3.0);
        let prediction = read_labels(dir.join(format!("out/{name}.nii.gz"))).unwrap();
        assert_eq!((prediction.shape(), prediction.affine), (image.shape(), image.affine));
        assert_eq!(
            read_grid(dir.join(format!("out/{name}_probabilities.nii.gz"))).unwrap().channels,
            3
        );
        write_labels(dir.join(format!("truth/{name}.nii.gz")), &labels).unwrap();
    }
    let scores = json(&dir, &["evaluate", "out", "truth", "--data", "data", "--csv", "dice.csv"]);
    assert_eq!(scores["classes"], serde_json::json!(["organ", "nodule"]));
    assert_eq!(scores["cases"].as_array().unwrap().len(), 2);
    assert_eq!(String::from_utf8(bytes(dir.join("dice.csv"))).unwrap().lines().count(), 3);

    let shown = json(&dir, &["show", "run", "--svg", "cells.svg", "--png", "cells.png"]);
    assert_eq!(shown["size"], serde_json::json!({ "channels": 1, "classes": 3, "width": 4 }));
    assert_eq!(json(&dir, &["show", "run/model.safetensors"])["parameters"], shown["parameters"]);
    assert_eq!(json(&dir, &["show", "run/genotype.json"])["genotype"], shown["genotype"]);
    assert!(String::from_utf8(bytes(dir.join("cells.svg"))).unwrap().starts_with("<svg"));
    assert!(bytes(dir.join("cells.png")).starts_with(b"\x89PNG"));
    assert_eq!(json(&dir, &["compare", "run"])[0]["result"], found["result"]);
    assert_eq!(json(&dir, &["config", "--preset", "paper"])["network"]["width"], 32);
}

#[test]
fn a_complete_run_is_printed_again_and_not_run_again() {
    let dir = folder("complete");
    task(&dir);
    let command = tiny(
        &["search", "data", "--out", "run"],
        &["search.epochs=1", "search.warmup_epochs=0", "train.epochs=1"],
    );
    let first = succeed(&dir, &command);
    let model = std::fs::metadata(dir.join("run/model.safetensors")).unwrap().modified().unwrap();
    let again = scnas(&dir, &command).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&again.stdout), first);
    assert!(stderr(&again).contains("complete"), "{again:?}");
    assert_eq!(
        std::fs::metadata(dir.join("run/model.safetensors")).unwrap().modified().unwrap(),
        model
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes_with_one_thread_and_with_two() {
    let dir = folder("same_bytes");
    task(&dir);
    for (run, threads) in [("one", "1"), ("two", "2"), ("again", "2")] {
        succeed(&dir, &tiny(&["search", "data", "--threads", threads, "--out", run], &[]));
    }
    for name in ["model.safetensors", "genotype.json", "alpha.json", "evaluation.json"] {
        let one = bytes(dir.join("one").join(name));
        assert!(one == bytes(dir.join("two").join(name)), "{name} depends on the threads");
        assert!(one == bytes(dir.join("again").join(name)), "{name} differs in a second run");
    }
    succeed(&dir, &tiny(&["search", "data", "--out", "other"], &["seed=1"]));
    assert!(bytes(dir.join("one/model.safetensors")) != bytes(dir.join("other/model.safetensors")));
}

#[test]
#[cfg(unix)]
fn a_run_stopped_in_search_and_in_training_ends_as_one_that_was_not() {
    let dir = folder("resume");
    task(&dir);
    let settings = ["search.epochs=12", "train.epochs=12"];
    succeed(&dir, &tiny(&["search", "data", "--out", "whole"], &settings));

    let command = tiny(&["search", "data", "--out", "run"], &settings);
    for phase in ["search", "train"] {
        let running = start_until(&dir, &command, phase);
        signal(&running, "INT");
        let stopped = running.wait_with_output().unwrap();
        assert_eq!(stopped.status.code(), Some(130), "{stopped:?}");
        assert!(stderr(&stopped).contains("the same command goes on"), "{stopped:?}");
        assert!(!dir.join("run/model.safetensors").exists());
    }
    let search_before = bytes(dir.join("run/checkpoint/search.safetensors"));
    succeed(&dir, &command);
    assert!(
        search_before == bytes(dir.join("run/checkpoint/search.safetensors")),
        "the finished search was run again"
    );
    same_run(&dir.join("run"), &dir.join("whole"));
}

#[test]
fn the_weights_of_a_search_can_be_kept_trained_on_or_trained_anew() {
    let dir = folder("inits");
    task(&dir);
    succeed(&dir, &tiny(&["search", "data", "--out", "found"], &[]));
    for init in ["inherit", "finetune", "scratch"] {
        succeed(&dir, &["train", "data", "--from", "found", "--init", init, "--out", init]);
    }
    let model = |run: &str| bytes(dir.join(run).join("model.safetensors"));
    assert!(
        model("finetune") == model("found"),
        "train --init finetune is what search does by default"
    );
    assert!(model("inherit") != model("finetune") && model("scratch") != model("finetune"));
    assert!(!dir.join("inherit/log.jsonl").exists(), "nothing is trained to inherit");

    succeed(&dir, &tiny(&["train", "data", "--arch", "random:1"], &[]));
    let runs =
        ["found", "inherit", "finetune", "scratch", "runs/data/train-random-1-scratch-fold0"];
    let table = succeed(&dir, &[&["compare"], runs.as_slice()].concat());
    for network in
        ["search + finetune", "found + inherit", "found + finetune", "found + scratch", "random:1"]
    {
        assert!(table.lines().any(|line| line.contains(network)), "{table}");
    }

    let compared = json(&dir, &[&["compare"], runs.as_slice()].concat());
    assert_eq!(
        (&compared[0]["against_first"]["cases"], &compared[0]["against_first"]["wilcoxon"]),
        (&2.into(), &serde_json::Value::Null)
    );
    assert_eq!(
        compared[2]["against_first"]["mean_difference"], 0.0,
        "train --init finetune is what search does by default"
    );

    // The search has seen the cases of fold 1, so its weights must not be scored on them.
    crate::common::refuse(
        &dir,
        &["train", "data", "--from", "found", "--init", "inherit", "--fold", "1", "--out", "x"],
        &["found", "seen"],
    );
    crate::common::refuse(
        &dir,
        &["train", "data", "--from", "found", "--init", "inherit", "--out", "scratch"],
        &["origin.json", "another run"],
    );
}

#[test]
fn few_slices_are_halved_less_often_in_plan_and_model_and_wherever_these_are_used() {
    let dir = folder("by_axis");
    task(&dir);
    let flat = ["data.spacing=[6.0, 2.0, 2.0]", "data.patch=[8, 16, 16]", "data.foreground=1.0"];
    for arch in ["chain", "u-resnet-half"] {
        let trained = json(&dir, &tiny(&["train", "data", "--arch", arch, "--out", arch], &flat));
        assert_eq!(trained["result"]["network"], arch);
        let plan: serde_json::Value =
            serde_json::from_slice(&bytes(dir.join(arch).join("plan.json"))).unwrap();
        let strides = &plan["grid"]["strides"];
        assert_eq!(*strides, serde_json::json!([[1, 2, 2], [2, 2, 2], [2, 2, 2]]), "{plan}");
        let shown = succeed(&dir, &["show", &format!("./{arch}")]);
        assert!(shown.contains("8×16×16 (kernel 1×3×3), 8×8×8 (kernel 3×3×3)"), "{shown}");
        let predicted = json(&dir, &["predict", "data", "--model", arch, "--out", "out"]);
        assert_eq!(predicted["predictions"].as_array().unwrap().len(), 2);
    }
    // The same, searched, recomputed and under deep supervision.
    let more = ["train.deep_supervision=true", "network.recompute=true"];
    let all: Vec<&str> = flat.iter().chain(&more).copied().collect();
    json(&dir, &tiny(&["search", "data", "--out", "found"], &all));

    // Twice halved: an odd half is refused.
    refuse(
        &dir,
        &tiny(
            &["train", "data", "--arch", "chain", "--out", "refused"],
            &["data.spacing=[6.0, 2.0, 2.0]", "data.patch=[10, 16, 16]"],
        ),
        &["data.patch", "multiples of 4, 8 and 8"],
    );
    let cubes = [&flat[..], &["network.strides=isotropic"]].concat();
    json(&dir, &tiny(&["train", "data", "--arch", "chain", "--out", "cubes"], &cubes));
    let plan = String::from_utf8(bytes(dir.join("cubes/plan.json"))).unwrap();
    assert!(!plan.contains("grid"), "{plan}");
}
