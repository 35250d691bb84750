//! Regions and ignored voxels with the built binary, from the check of a data set to its table of
//! folds.

use std::path::{Path, PathBuf};

use crate::common::{
    bytes, folder, json, read_image, read_labels, refuse, scnas, stderr, succeed, task, tiny,
    write_labels,
};
use medvol::LabelMap;
use serde_json::{Value, json};

/// Value of voxels to ignore.
const IGNORE: u16 = 3;

/// The organ is a region that the nodule is a part of.
const LABELS: &str = r#""labels": {"background": 0, "whole": [1, 2], "nodule": 2, "ignore": 3}"#;

/// The phantoms' organ and nodule in `dir/data`, described by other labels, with some planes of every
/// label map to be ignored.
fn data(dir: &Path, labels: &str) -> PathBuf {
    let data = task(dir);
    for map in label_maps(&data.join("labelsTr")) {
        change(&map, |map| {
            let [_, height, width] = map.shape();
            let planes = map.voxels.iter_mut().take(3 * height * width);
            planes.for_each(|value| *value = IGNORE);
        });
    }
    describe(&data, labels);
    data
}

/// Puts labels into `dataset.json`, as a text in which their order is kept.
fn describe(data: &Path, labels: &str) {
    let path = data.join("dataset.json");
    let mut described: Value = serde_json::from_slice(&bytes(&path)).unwrap();
    for key in ["labels", "regions_class_order"] {
        described.as_object_mut().unwrap().remove(key);
    }
    let text = described.to_string();
    std::fs::write(path, format!("{{{labels},{}", &text[1..])).unwrap();
}

fn label_maps(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.collect();
    paths.sort();
    paths
}

fn change(path: &Path, change: impl FnOnce(&mut LabelMap)) {
    let mut map = read_labels(path).unwrap();
    change(&mut map);
    write_labels(path, &map).unwrap();
}

fn document(path: &Path) -> Value {
    serde_json::from_slice(&bytes(path)).unwrap()
}

fn with_order() -> String {
    format!(r#"{LABELS}, "regions_class_order": [1, 2]"#)
}

#[test]
fn regions_are_searched_trained_predicted_and_scored_and_ignored_voxels_are_not() {
    let dir = folder("regions");
    let data = data(&dir, &with_order());
    succeed(&dir, &["check", "data"]);
    let settings = ["train.epochs=12", "search.epochs=2"];
    succeed(&dir, &tiny(&["search", "data", "--out", "run"], &settings));
    let plan = document(&dir.join("run/plan.json"));
    assert_eq!(plan["ignore"], IGNORE);
    assert_eq!(
        plan["target"]["regions"],
        json!([
            { "name": "whole", "classes": [1, 2], "written": 1 },
            { "name": "nodule", "classes": [2], "written": 2 },
        ])
    );
    let evaluation = document(&dir.join("run/evaluation.json"));
    assert_eq!(evaluation["classes"], json!(["whole", "nodule"]));
    let shown = succeed(&dir, &["show", "run"]);
    assert!(shown.contains("2 region(s) (whole, nodule), label 3 ignored"), "{shown}");

    // A region in another is in it wherever it is predicted.
    let predict = ["predict", "data", "--training", "--model", "run", "--out", "out"];
    succeed(&dir, &[&predict[..], &["--probabilities"]].concat());
    let mut found = [0; 3];
    for number in 1..=6 {
        let name = |what: &str| dir.join(format!("out/phantom_{number:03}{what}.nii.gz"));
        let (map, said) =
            (read_labels(name("")).unwrap(), read_image(name("_probabilities")).unwrap());
        assert_eq!(said.channels(), 2);
        for ((k, j, i), &value) in map.voxels.indexed_iter() {
            let [whole, nodule] = [0, 1].map(|region| said.voxels[[region, k, j, i]] > 0.5);
            let expected = if nodule { 2 } else { u16::from(whole) };
            assert_eq!(value, expected);
            found[usize::from(value)] += 1;
        }
    }
    assert!(found[0] > 0 && found[1] > 0, "{found:?}");

    // Scores are those of the run, whatever is predicted where nothing is known.
    let evaluate = ["evaluate", "run/predictions", "--data", "data"];
    let scored = json(&dir, &evaluate);
    assert_eq!(scored["cases"], evaluation["cases"]);
    let whole = &scored["per_class"][0]["mean"];
    assert!(whole.as_f64().unwrap() > 0.1, "{whole}");
    for map in label_maps(&dir.join("run/predictions")) {
        let reference = read_labels(data.join("labelsTr").join(map.file_name().unwrap())).unwrap();
        change(&map, |map| {
            for (n, (value, expected)) in map.voxels.iter_mut().zip(&reference.voxels).enumerate() {
                if *expected == IGNORE {
                    *value = (n % 4) as u16;
                }
            }
        });
    }
    assert_eq!(json(&dir, &evaluate)["cases"], evaluation["cases"]);

    // A search's weights go on in a network of the same regions.
    succeed(&dir, &["train", "data", "--from", "run", "--init", "inherit", "--out", "inherited"]);
    assert_eq!(document(&dir.join("inherited/plan.json"))["target"], plan["target"]);
}

#[test]
fn folds_of_regions_make_a_table_and_a_model_and_a_corrected_copy_makes_the_same() {
    let dir = folder("regions_cv");
    data(&dir, &with_order());
    let command =
        |data, out| tiny(&["cross-validate", data, "--arch", "u-resnet-half", "--out", out], &[]);
    let printed = json(&dir, &command("data", "cv"));
    let table = &printed["cross_validation"];
    assert_eq!(table["classes"], json!(["whole", "nodule"]));
    assert_eq!(table["over_cases"]["count"], 6);
    succeed(
        &dir,
        &["predict", "data", "--model", "cv", "--out", "mean", "--largest-component", "whole,2"],
    );
    assert_eq!(label_maps(&dir.join("mean")).len(), 2);
    succeed(&dir, &["check", "data", "--fix", "copy"]);
    let of_copy = json(&dir, &command("copy", "cv_of_copy"));
    assert_eq!(of_copy["cross_validation"]["over_cases"], table["over_cases"]);
}

#[test]
fn one_region_and_classes_with_ignored_voxels_are_trained_too() {
    for (name, labels, classes) in [
        (
            "one",
            r#""labels": {"background": 0, "all": [1, 2], "ignore": 3}, "regions_class_order": [2]"#,
            json!(["all"]),
        ),
        (
            "classes",
            r#""labels": {"background": 0, "organ": 1, "nodule": 2, "ignore": 3}"#,
            json!(["organ", "nodule"]),
        ),
    ] {
        let dir = folder(&format!("regions_{name}"));
        data(&dir, labels);
        let command = ["train", "data", "--arch", "conv3", "--out", "run"];
        succeed(&dir, &tiny(&command, &[]));
        let evaluation = document(&dir.join("run/evaluation.json"));
        assert_eq!(evaluation["classes"], classes);
        let scored = json(&dir, &["evaluate", "run/predictions", "--data", "data"]);
        assert_eq!(scored["cases"], evaluation["cases"]);
        let bench = ["bench", "data", "--only", "train", "--repetitions", "1"];
        succeed(&dir, &[&bench[..], &["--set", "network.width=4"]].concat());
    }
}

#[test]
fn regions_that_cannot_be_written_are_refused_and_those_that_get_lost_are_warned_of() {
    let dir = folder("regions_refused");
    let data = data(&dir, LABELS);
    let search = tiny(&["search", "data", "--out", "run"], &[]);
    refuse(&dir, &search, &["dataset.json", "whole", "\"regions_class_order\": [1, 2]"]);
    describe(&data, &format!(r#"{LABELS}, "regions_class_order": [1]"#));
    refuse(&dir, &search, &["dataset.json", "expected 2 value(s)", "found [1]"]);
    describe(&data, r#""labels": {"background": 0, "organ": 1, "nodule": 9, "ignore": 3}"#);
    refuse(&dir, &search, &["dataset.json", "\"ignore\"", "go up to 9"]);
    describe(
        &data,
        r#""labels": {"background": 0, "nodule": 2, "whole": [1, 2], "ignore": 3},
           "regions_class_order": [2, 1]"#,
    );
    let checked = scnas(&dir, &["check", "data"]).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&checked.stdout), stderr(&checked));
    assert!(checked.status.success(), "{said}");
    assert!(said.contains("voxels of 2") && said.contains("written as 1"), "{said}");
}
