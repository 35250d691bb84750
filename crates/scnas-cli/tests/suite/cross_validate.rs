//! Cross-validation with the built binary: folds one after the other or in several processes, given
//! splits, comparisons over all folds.

use std::fs::File;
use std::path::Path;

use crate::common::{
    bytes, folder, json, read_grid, read_labels, refuse, scnas, stderr, succeed, task, tiny,
};
use serde_json::{Value, json};

/// `cross-validate data --out OUT --arch ARCH` with tiny settings.
fn trained<'a>(out: &'a str, arch: &'a str) -> Vec<&'a str> {
    tiny(&["cross-validate", "data", "--out", out, "--arch", arch], &[])
}

#[test]
fn every_fold_is_a_run_with_predictions_and_the_table_is_over_all_of_them() {
    let dir = folder("cv_whole");
    task(&dir);
    let command = trained("cv", "random:1");
    let printed = json(&dir, &command);
    let all = &printed["cross_validation"];
    assert_eq!(
        (&all["of"], &all["over_folds"]["count"], &all["over_cases"]["count"]),
        (&json!(3), &json!(3), &json!(6))
    );
    assert_eq!(
        serde_json::from_slice::<Value>(&bytes(dir.join("cv/cross-validation.json"))).unwrap(),
        *all
    );
    for name in ["cross-validation.csv", "cross-validation.tex"] {
        assert!(!bytes(dir.join("cv").join(name)).is_empty());
    }
    let mean = |fold: usize| all["folds"][fold]["mean_dice"]["mean"].as_f64().unwrap();
    let over_folds = all["over_folds"]["mean_foreground"]["mean"].as_f64().unwrap();
    assert!((over_folds - (0..3).map(mean).sum::<f64>() / 3.0).abs() < 1e-12);

    for number in 1..=6 {
        let name = format!("phantom_{number:03}.nii.gz");
        let held_out: Vec<_> = (0..3)
            .map(|fold| dir.join(format!("cv/fold-{fold}/predictions/{name}")))
            .filter(|p| p.exists())
            .collect();
        assert_eq!(held_out.len(), 1, "{name} is held out in one fold");
        let (image, labels) = (
            read_grid(dir.join("data/imagesTr").join(&name)).unwrap(),
            read_labels(&held_out[0]).unwrap(),
        );
        assert_eq!((labels.shape(), labels.affine), (image.shape, image.affine));
    }

    // The folder stands for the mean of its folds' models, with the largest component of the
    // classes it helps.
    let helped: Vec<&str> = all["clean_up"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["helps"] == true)
        .map(|c| c["class"].as_str().unwrap())
        .collect();
    assert_eq!(all["clean_up"].as_array().unwrap().len(), 2);
    succeed(&dir, &["predict", "data", "--model", "cv", "--out", "mean"]);
    let helped = helped.join(",");
    let by_hand = [
        "predict",
        "data",
        "--model",
        "cv/fold-0",
        "--model",
        "cv/fold-1",
        "--model",
        "cv/fold-2",
        "--out",
        "by_hand",
    ];
    let cleaned = ["--largest-component", &helped];
    succeed(&dir, &[&by_hand[..], if helped.is_empty() { &[] } else { &cleaned[..] }].concat());
    for prediction in
        std::fs::read_dir(dir.join("mean")).unwrap().map(|entry| entry.unwrap().path())
    {
        assert!(
            bytes(&prediction) == bytes(dir.join("by_hand").join(prediction.file_name().unwrap())),
            "{prediction:?}"
        );
    }

    // A fold is the run that `train` makes of it.
    succeed(
        &dir,
        &tiny(&["train", "data", "--arch", "random:1", "--fold", "2", "--out", "alone"], &[]),
    );
    assert!(
        bytes(dir.join("alone/model.safetensors"))
            == bytes(dir.join("cv/fold-2/model.safetensors"))
    );

    let written = |fold: usize| {
        std::fs::metadata(dir.join(format!("cv/fold-{fold}/model.safetensors")))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = [0, 1, 2].map(written);
    assert_eq!(json(&dir, &command), printed);
    assert_eq!([0, 1, 2].map(written), before, "complete folds are not run again");
    refuse(&dir, &trained("cv", "random:2"), &["origin.json", "random:1"]);
    refuse(&dir, &[command.clone(), vec!["--folds", "3"]].concat(), &["no fold 3"]);

    // A fold of an earlier version, whose settings lack a key, is as good; one of other settings is
    // not, though it is complete.
    let settings = dir.join("cv/fold-1/config.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, text.replace("drop_path = 0.0\n", "")).unwrap();
    assert!(std::fs::read(&settings).unwrap().len() < text.len());
    assert_eq!(json(&dir, &command), printed);
    std::fs::write(&settings, text.replace("ema = 0.998", "ema = 0.5")).unwrap();
    refuse(
        &dir,
        &[command, vec!["--folds", "0"]].concat(),
        &["fold-1/config.toml", "train.ema = 0.5, now 0.998"],
    );
}

#[test]
fn a_fold_that_another_process_holds_is_left_out_and_the_same_command_completes_it_later() {
    let dir = folder("cv_locked");
    task(&dir);
    std::fs::create_dir_all(dir.join("cv/fold-1")).unwrap();
    let lock = File::create(dir.join("cv/fold-1/lock")).unwrap();
    lock.try_lock().unwrap();
    let command = trained("cv", "max3");
    let partly = scnas(&dir, &[command.as_slice(), &["--json"]].concat()).output().unwrap();
    assert!(partly.status.success(), "{partly:?}");
    assert!(
        stderr(&partly).contains("fold 1: left out, another process works on it"),
        "{partly:?}"
    );
    assert!(stderr(&partly).contains("2 of 3 folds"), "{partly:?}");
    let table: Value = serde_json::from_slice(&partly.stdout).unwrap();
    assert_eq!(
        (&table["in_use"], &table["cross_validation"]["over_folds"]["count"]),
        (&json!([1]), &json!(2))
    );

    drop(lock);
    let whole = json(&dir, &command);
    assert_eq!(
        (&whole["in_use"], &whole["cross_validation"]["over_folds"]["count"]),
        (&json!([]), &json!(3))
    );
}

#[test]
fn splits_in_the_form_of_nnunet_say_who_is_held_out_and_bad_ones_are_refused_by_case() {
    let dir = folder("cv_splits");
    task(&dir);
    let name = |i: usize| format!("phantom_{i:03}");
    let names = |range: std::ops::RangeInclusive<usize>| range.map(name).collect::<Vec<_>>();
    let write =
        |splits: Value| std::fs::write(dir.join("splits_final.json"), splits.to_string()).unwrap();
    write(
        json!([{ "train": names(3..=6), "val": names(1..=2) }, { "train": names(1..=5), "val": names(6..=6) }]),
    );
    let command = [trained("cv", "max3"), vec!["--splits", "splits_final.json"]].concat();
    let found = json(&dir, &command);
    assert_eq!(
        (&found["cross_validation"]["of"], &found["cross_validation"]["over_cases"]["count"]),
        (&json!(2), &json!(3))
    );
    let cases = |fold: usize| {
        let evaluation: Value =
            serde_json::from_slice(&bytes(dir.join(format!("cv/fold-{fold}/evaluation.json"))))
                .unwrap();
        evaluation["cases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|case| case["case"].as_str().unwrap().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!((cases(0), cases(1)), (names(1..=2), names(6..=6)));

    write(json!([{ "train": names(2..=6), "val": names(1..=2) }]));
    refuse(&dir, &command, &["splits_final.json", "fold 0", "phantom_002 on both sides"]);
    write(json!([{ "train": ["phantom_099"], "val": names(1..=2) }]));
    refuse(&dir, &command, &["splits_final.json", "phantom_099"]);
    // Whom a fold does not list, it leaves out, which is said.
    write(json!([{ "train": names(3..=5), "val": names(1..=2) }]));
    let output =
        scnas(&dir, &[trained("without", "max3"), command[command.len() - 2..].to_vec()].concat());
    let output = { output }.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(stderr(&output).contains("on no side, such as phantom_006"), "{output:?}");
    std::fs::remove_file(dir.join("splits_final.json")).unwrap();
    refuse(&dir, &command, &["cannot read", "splits_final.json"]);
}

#[test]
fn cross_validations_are_compared_case_by_case_and_a_search_says_whether_it_beats_the_random_networks_beside_it()
 {
    let dir = folder("cv_compared");
    task(&dir);
    for (out, random) in [("runs/random-1", "random:1"), ("runs/random-2", "random:2")] {
        succeed(&dir, &trained(out, random));
    }
    let found = tiny(
        &["cross-validate", "data", "--out", "runs/found"],
        &["search.epochs=1", "search.warmup_epochs=0", "train.epochs=1"],
    );
    let text = succeed(&dir, &found);
    assert!(text.contains("Of 2 random networks") && text.contains("other settings"), "{text}");
    assert!(text.contains("Searching against drawing at random"), "{text}");
    let printed = json(&dir, &found);
    let verdict = &printed["against_random"];
    let decided = |rival: &Value| {
        let [low, high] =
            [0, 1].map(|end| rival["difference"]["interval_95"][end].as_f64().unwrap());
        rival["difference"]["wilcoxon"]["p"].as_f64().is_some_and(|p| p < 0.05)
            && (low > 0.0 || high < 0.0)
    };
    let clear =
        verdict["random"].as_array().unwrap().iter().filter(|rival| decided(rival)).count() as u64;
    assert_eq!(
        verdict["better_than"].as_u64().unwrap() + verdict["worse_than"].as_u64().unwrap(),
        clear
    );
    assert_eq!(
        (verdict["random"].as_array().unwrap().len(), &verdict["random"][0]["difference"]["cases"]),
        (2, &json!(6))
    );
    let text = succeed(&dir, &trained("runs/random-1", "random:1"));
    assert!(!text.contains("found network"), "{text}");

    let compared = json(&dir, &["compare", "runs/found", "runs/random-1", "runs/found/fold-0"]);
    assert_eq!(
        (&compared[1]["against_first"]["cases"], &compared[2]["against_first"]["cases"]),
        (&json!(6), &json!(2))
    );
    assert_eq!(compared[2]["against_first"]["mean_difference"], 0.0, "a fold against itself");
    let table = succeed(&dir, &["compare", "runs/found", "runs/random-1"]);
    assert!(table.contains("0,1,2") && table.contains("train.epochs"), "{table}");
    let settings = |run: usize| &compared[run]["settings_unlike_first"];
    assert_eq!(
        (&settings(1)["train.epochs"][1], settings(2)),
        (&json!("1"), &json!({})),
        "fold 0 is the first run of found"
    );

    // What made the networks: networks are the sample, fold by fold.
    let procedure = &compared[1]["procedure_against_first"];
    assert_eq!((&procedure["networks"], &procedure["folds"]), (&json!([3, 3]), &json!(3)));
    assert_eq!(procedure["error"]["degrees_of_freedom"], 2);
    assert!(table.contains("networks are the sample") && table.contains("cases are the sample"));
    let groups = ["compare", "runs/found", "--against", "runs/random-1", "runs/random-2"];
    let grouped = json(&dir, &groups);
    assert_eq!(grouped["runs"].as_array().unwrap().len(), 3);
    let (networks, procedures) =
        (&grouped["groups"]["these_networks"], &grouped["groups"]["procedures"]);
    assert_eq!(networks["cases"], 6);
    assert_eq!((&procedures["networks"], &procedures["folds"]), (&json!([3, 6]), &json!(3)));
    assert_eq!(procedures["error"]["degrees_of_freedom"], 9 - 3 - 1);
    // Every case is in one fold, and folds are of one size: both are the same mean.
    let [of_cases, of_networks] = [&networks["mean_difference"], &procedures["difference"]]
        .map(|difference| difference.as_f64().unwrap());
    assert!((of_cases - of_networks).abs() < 1e-12, "{grouped}");
    assert!(succeed(&dir, &groups).contains("3 + 6"));
    let single = ["compare", "runs/found/fold-0", "--against", "runs/random-1/fold-0"];
    assert!(json(&dir, &single)["groups"]["procedures"]["error"].is_null());
    assert!(succeed(&dir, &single).contains("needed on a side"));
    assert_eq!(verdict["procedure"]["networks"], json!([3, 6]));

    // The same predictions, scored as if another program had made them.
    std::fs::create_dir(dir.join("theirs")).unwrap();
    for prediction in (0..3).flat_map(|fold| {
        std::fs::read_dir(dir.join(format!("runs/found/fold-{fold}/predictions"))).unwrap()
    }) {
        let prediction = prediction.unwrap();
        std::fs::copy(prediction.path(), dir.join("theirs").join(prediction.file_name())).unwrap();
    }
    succeed(&dir, &["evaluate", "theirs", "--data", "data", "--csv", "theirs.csv"]);
    let compared = json(&dir, &["compare", "runs/found", "theirs.csv"]);
    let against = &compared[1]["against_first"];
    assert_eq!((&against["cases"], against["mean_difference"].as_f64()), (&json!(6), Some(0.0)));
    assert!(succeed(&dir, &["compare", "theirs.csv", "runs/found"]).contains("against theirs"));
    std::fs::write(dir.join("not.csv"), "a,b\n").unwrap();
    refuse(&dir, &["compare", "not.csv"], &["not.csv", "line 1", "evaluate --csv"]);

    // A single search beside a single random run of the same fold.
    succeed(&dir, &tiny(&["train", "data", "--arch", "random:1", "--out", "single/random"], &[]));
    let text = succeed(
        &dir,
        &tiny(
            &["search", "data", "--out", "single/found"],
            &["search.epochs=1", "search.warmup_epochs=0"],
        ),
    );
    assert!(
        text.contains("No difference from the random network is shown"),
        "two cases decide nothing: {text}"
    );
    assert!(Path::exists(&dir.join("single/found/predictions")));
}

#[test]
fn the_u_resnet_and_its_half_train_predict_and_are_shown_like_any_architecture() {
    let dir = folder("u_resnet");
    task(&dir);
    for arch in ["u-resnet", "u-resnet-half"] {
        let trained = json(&dir, &tiny(&["train", "data", "--arch", arch, "--out", arch], &[]));
        assert_eq!(trained["result"]["network"], arch);
        let model = format!("{arch}/model.safetensors");
        let predicted = json(&dir, &["predict", "data", "--model", &model, "--out", "out"]);
        assert_eq!(predicted["predictions"].as_array().unwrap().len(), 2);
        let shown = json(
            &dir,
            &[
                "show",
                arch,
                "--width",
                "4",
                "--channels",
                "1",
                "--classes",
                "3",
                "--patch",
                "16,16,16",
            ],
        );
        assert_eq!(shown["genotype"], arch);
        for place in [&format!("./{arch}"), &model] {
            assert_eq!(json(&dir, &["show", place])["parameters"], shown["parameters"], "{place}");
        }
    }
    // Not the folder of that name.
    let table = json(&dir, &["show", "u-resnet", "--preset", "paper"]);
    assert_eq!(format!("{:.2}", table["parameters"].as_f64().unwrap() / 1e6), "7.67");
    refuse(&dir, &["show", "u-resnet", "--svg", "cells.svg"], &["only cells", "--svg"]);
    let measured = json(
        &dir,
        &[
            "bench",
            "--size",
            "16",
            "16",
            "16",
            "--arch",
            "u-resnet",
            "--only",
            "train",
            "--repetitions",
            "1",
        ],
    );
    assert_eq!(measured["architecture"], "u-resnet");
}
