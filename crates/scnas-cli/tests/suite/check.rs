//! `scnas check`, the check before a run, and data sets of all layouts in the verbs.

use std::fs;
use std::path::Path;

use crate::common::{
    bytes, folder, json, read_image, read_labels, refuse, scnas, stderr, succeed, task, tiny,
    write_image, write_labels,
};
use serde_json::Value;

/// Runs `check` with `--json`; the exit code and the document.
fn check(dir: &Path, args: &[&str]) -> (i32, Value) {
    let output = scnas(dir, &[&["check"], args, &["--json", "--quiet"]].concat()).output().unwrap();
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

fn kinds(document: &Value, severity: &str) -> Vec<String> {
    let findings = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["severity"] == severity);
    findings
        .map(|finding| {
            format!(
                "{} {}",
                finding["case"].as_str().unwrap_or("-"),
                finding["kind"].as_str().unwrap()
            )
        })
        .collect()
}

/// Four cases with an error each, and one with a fault that can be put right.
fn damage(data: &Path) {
    fs::remove_file(data.join("imagesTr/phantom_001.nii.gz")).unwrap();
    let mut image = read_image(data.join("imagesTr/phantom_002.nii.gz")).unwrap();
    image.voxels[[0, 1, 2, 3]] = f32::NAN;
    write_image(data.join("imagesTr/phantom_002.nii.gz"), &image).unwrap();
    let mut labels = read_labels(data.join("labelsTr/phantom_003.nii.gz")).unwrap();
    labels.voxels[[0, 0, 0]] = 9;
    write_labels(data.join("labelsTr/phantom_003.nii.gz"), &labels).unwrap();
}

#[test]
fn a_clean_set_ends_with_0_and_errors_with_1_and_all_of_them_are_told() {
    let dir = folder("check");
    let data = task(&dir);
    let (code, document) = check(&dir, &["data"]);
    assert_eq!(
        (code, &document["errors"], &document["warnings"]),
        (0, &0.into(), &0.into()),
        "{document:#}"
    );
    assert_eq!(document["cases"], 8);
    damage(&data);
    let (code, document) = check(&dir, &["data"]);
    assert_eq!(code, 1);
    assert_eq!(
        kinds(&document, "error"),
        ["phantom_001 missing-file", "phantom_002 not-finite", "phantom_003 unlisted-label"]
    );
    let output = scnas(&dir, &["check", "data"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "phantom_001\n  error    missing-file",
        "→ replace them",
        "phantom_003.nii.gz: labels that are not listed: 9",
        "3 errors",
    ] {
        assert!(text.contains(expected), "\"{expected}\" is not in: {text}");
    }
    refuse(&dir, &["check", "nowhere"], &["nowhere"]);
}

#[test]
fn a_corrected_copy_passes_and_nothing_is_ever_overwritten() {
    let dir = folder("check_fix");
    let data = task(&dir);
    damage(&data);
    refuse(&dir, &["check", "data", "--fix", "data"], &["data", "not empty"]);
    refuse(&dir, &["check", "data", "--fix", "data/imagesTr"], &["imagesTr", "not empty"]);
    let (code, document) = check(&dir, &["data", "--fix", "fixed"]);
    assert_eq!(code, 0);
    assert_eq!(document["fixed"]["corrected"], serde_json::json!({"phantom_002": ["zero-voxels"]}));
    let left_out =
        serde_json::json!({"phantom_001": ["missing-file"], "phantom_003": ["unlisted-label"]});
    assert_eq!(document["fixed"]["left_out"], left_out);
    let (code, document) = check(&dir, &["fixed"]);
    assert_eq!(
        (code, &document["errors"], &document["warnings"], &document["cases"]),
        (0, &0.into(), &0.into(), &6.into())
    );
}

#[test]
fn leaks_between_the_sides_of_given_folds_are_errors() {
    let dir = folder("check_splits");
    task(&dir);
    let name = |n: usize| format!("phantom_00{n}");
    let side = |cases: &[usize]| cases.iter().map(|n| name(*n)).collect::<Vec<_>>();
    let write = |train: &[usize], val: &[usize]| {
        let splits = serde_json::json!([{"train": side(train), "val": side(val)}]);
        fs::write(dir.join("splits.json"), splits.to_string()).unwrap();
    };
    write(&[1, 2, 3, 4], &[5, 6]);
    assert_eq!(check(&dir, &["data", "--splits", "splits.json"]).0, 0);
    write(&[1, 2, 3, 4, 5], &[5]);
    let (code, document) = check(&dir, &["data", "--splits", "splits.json"]);
    assert_eq!((code, kinds(&document, "error")), (1, vec!["phantom_005 split-leak".to_string()]));
    // The sixth is left out of the fold.
    assert_eq!(kinds(&document, "warning"), ["- folds"]);
    refuse(
        &dir,
        &["check", "data", "--splits", "data/dataset.json"],
        &["data/dataset.json", "nnU-Net"],
    );
}

#[test]
fn a_run_checks_its_data_once_stops_on_errors_and_tells_all() {
    let dir = folder("check_before_run");
    let data = task(&dir);
    let train = tiny(&["train", "data", "--arch", "conv3", "--out", "run"], &["train.epochs=1"]);
    let first = scnas(&dir, &train).output().unwrap();
    assert!(
        first.status.success()
            && stderr(&first).contains("8 notes") | stderr(&first).contains("0 errors, 0 warnings"),
        "{first:?}"
    );
    // The same data are not read again, changed ones are.
    assert!(!stderr(&scnas(&dir, &train).output().unwrap()).contains("cases checked"));
    let path = data.join("imagesTr/phantom_002.nii.gz");
    let good = bytes(&path);
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    refuse(&dir, &train, &["phantom_002.nii.gz", "truncated"]);
    fs::write(&path, good).unwrap();
    succeed(&dir, &train);

    damage(&data);
    for verb in [
        &["search", "data"][..],
        &["train", "data", "--arch", "conv3"],
        &["cross-validate", "data"],
    ] {
        refuse(
            &dir,
            &[verb, &["--out", "new"]].concat(),
            &["phantom_001.nii.gz is not there", "2 more errors", "scnas check data"],
        );
        assert!(!dir.join("new").exists());
        let output = scnas(&dir, &[verb, &["--out", "new"]].concat()).output().unwrap();
        for case in ["phantom_001", "phantom_002", "phantom_003"] {
            assert!(stderr(&output).contains(&format!("\n{case}\n")), "{verb:?}: {output:?}");
        }
    }
}

#[test]
fn a_spacing_in_another_unit_is_said_instead_of_the_memory_it_would_take() {
    let dir = folder("check_unit");
    let data = task(&dir);
    let path = |kind: &str| data.join(kind).join("phantom_001.nii.gz");
    let mut image = read_image(path("imagesTr")).unwrap();
    let mut labels = read_labels(path("labelsTr")).unwrap();
    for affine in [&mut image.affine, &mut labels.affine] {
        affine.0[..3].as_flattened_mut().iter_mut().for_each(|value| *value *= 1000.0);
    }
    write_image(path("imagesTr"), &image).unwrap();
    write_labels(path("labelsTr"), &labels).unwrap();
    for fold in ["0", "1"] {
        let train = ["train", "data", "--arch", "conv3", "--out", "run", "--fold", fold];
        let said = ["phantom_001: ", "voxels when resampled", "check the unit of its spacing"];
        refuse(&dir, &tiny(&train, &["train.epochs=1"]), &said);
    }
}

/// The task in nnU-Net's layout with two channels, and as a CSV file.
fn other_layouts(dir: &Path, data: &Path) {
    for folder in ["imagesTr", "labelsTr", "imagesTs"] {
        fs::create_dir_all(dir.join("raw").join(folder)).unwrap();
        for entry in fs::read_dir(data.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let target = |name: &str| dir.join("raw").join(folder).join(name);
            if folder == "labelsTr" {
                fs::copy(&path, target(name)).unwrap();
                continue;
            }
            fs::copy(&path, target(&name.replace(".nii.gz", "_0000.nii.gz"))).unwrap();
            let mut image = read_image(&path).unwrap();
            image.voxels.mapv_inplace(|value| 500.0 - value);
            write_image(target(&name.replace(".nii.gz", "_0001.nii.gz")), &image).unwrap();
        }
    }
    let description = r#"{"channel_names": {"0": "MRI", "1": "inverse"}, "labels": {"background": 0, "organ": 1, "nodule": 2},
        "numTraining": 6, "file_ending": ".nii.gz"}"#;
    fs::write(dir.join("raw/dataset.json"), description).unwrap();
    let rows: Vec<String> = (1..=6)
        .map(|n| {
            let image = |channel: usize| format!("raw/imagesTr/phantom_00{n}_000{channel}.nii.gz");
            format!("phantom_00{n},{},{},raw/labelsTr/phantom_00{n}.nii.gz\n", image(0), image(1))
        })
        .collect();
    fs::write(dir.join("pairs.csv"), format!("case,image_0,image_1,label\n{}", rows.concat()))
        .unwrap();
    fs::write(dir.join("pairs.json"), description).unwrap();
}

#[test]
fn every_verb_takes_nnunet_folders_and_csv_files() {
    let dir = folder("check_layouts");
    let data = task(&dir);
    other_layouts(&dir, &data);
    for (data, cases) in [("raw", 8), ("pairs.csv", 6)] {
        let (code, document) = check(&dir, &[data]);
        assert_eq!(
            (code, &document["cases"], &document["warnings"]),
            (0, &cases.into(), &0.into()),
            "{document:#}"
        );
    }
    // The same cases in the same order train the same network.
    let result = |data: &str| {
        let out = format!("{data}-run");
        let mut result = json(
            &dir,
            &tiny(&["train", data, "--arch", "conv3", "--out", &out], &["train.epochs=1"]),
        );
        result["result"]
            .as_object_mut()
            .unwrap()
            .retain(|key, _| key != "seconds" && key != "dataset");
        (result["result"].clone(), result["evaluation"].clone())
    };
    assert_eq!(result("raw"), result("pairs.csv"));
    succeed(
        &dir,
        &tiny(
            &["search", "raw", "--out", "found"],
            &["train.epochs=1", "search.epochs=1", "search.warmup_epochs=0"],
        ),
    );
    json(
        &dir,
        &[
            "bench",
            "pairs.csv",
            "--arch",
            "conv3",
            "--only",
            "predict",
            "--repetitions",
            "1",
            "--set",
            "data.patch=[16,16,16]",
            "--set",
            "network.width=4",
        ],
    );

    // Predictions of the data set, of its folder, and of the files one by one are the same.
    let predict = |inputs: &[&str], out: &str| {
        succeed(&dir, &[&["predict"], inputs, &["--model", "raw-run", "--out", out]].concat());
        let names = ["phantom_007.nii.gz", "phantom_008.nii.gz"];
        assert_eq!(fs::read_dir(dir.join(out)).unwrap().count(), 2);
        names.map(|name| bytes(dir.join(out).join(name)))
    };
    let files = ["8_0001", "7_0000", "8_0000", "7_0001"]
        .map(|file| format!("raw/imagesTs/phantom_00{file}.nii.gz"));
    let of_data = predict(&["raw"], "a");
    assert_eq!(predict(&["raw/imagesTs"], "b"), of_data);
    assert_eq!(predict(&files.iter().map(String::as_str).collect::<Vec<_>>(), "c"), of_data);
    succeed(&dir, &["predict", "pairs.csv", "--training", "--model", "raw-run", "--out", "d"]);
    refuse(
        &dir,
        &["predict", "raw", "--training", "--model", "raw-run", "--out", "raw/labelsTr"],
        &["labelsTr", "overwrite"],
    );
    // Label maps that only a CSV file names.
    fs::create_dir(dir.join("loose")).unwrap();
    fs::copy(dir.join("raw/labelsTr/phantom_001.nii.gz"), dir.join("loose/phantom_007.nii.gz"))
        .unwrap();
    fs::write(
        dir.join("loose.csv"),
        "case,image_0,image_1,label\nx,raw/x.nii,raw/y.nii,loose/phantom_007.nii.gz\n",
    )
    .unwrap();
    fs::copy(dir.join("pairs.json"), dir.join("loose.json")).unwrap();
    refuse(
        &dir,
        &["predict", "raw/imagesTs", "--model", "raw-run", "--out", "loose"],
        &["loose/phantom_007.nii.gz", "overwrite"],
    );
    let scores = json(&dir, &["evaluate", "d", "--data", "pairs.csv"]);
    assert_eq!(
        (scores["cases"].as_array().unwrap().len(), &scores["classes"]),
        (6, &serde_json::json!(["organ", "nodule"]))
    );
}
