//! `scnas evaluate` of the built binary: what it matches, what it doubts, what it leaves alone.

use crate::common::{
    folder, json, read_labels, refuse, scnas, stderr, succeed, task, write_labels,
};

#[test]
fn evaluate_scores_what_matches_and_says_what_does_not() {
    let dir = folder("evaluate");
    let data = task(&dir);
    std::fs::create_dir(dir.join("predictions")).unwrap();
    let prediction = |name: &str, change: &dyn Fn(&mut medvol::LabelMap)| {
        let mut labels = read_labels(data.join("labelsTr").join(name)).unwrap();
        change(&mut labels);
        write_labels(dir.join("predictions").join(name), &labels).unwrap();
    };
    prediction("phantom_001.nii.gz", &|_| {});
    prediction("phantom_002.nii.gz", &|labels| labels.voxels.fill(0));
    let scores = json(&dir, &["evaluate", "predictions", "--data", "data"]);
    assert_eq!(scores["cases"][0]["dice"], serde_json::json!([1.0, 1.0]));
    assert_eq!(scores["cases"][1]["dice"], serde_json::json!([0.0, 0.0]));
    // Nothing to measure to in a case that was missed, and its mean says so.
    assert_eq!(scores["cases"][0]["hd95_mm"], serde_json::json!([0.0, 0.0]));
    assert_eq!(scores["cases"][1]["hd95_mm"], serde_json::json!([null, null]));
    assert_eq!(scores["metrics"]["hd95_mm"]["cases"], serde_json::json!([1, 1]));
    assert_eq!(
        (&scores["cases"][1]["volume_error"], &scores["tolerance_mm"]),
        (&serde_json::json!([-1.0, -1.0]), &serde_json::json!(1.0))
    );
    let text = succeed(&dir, &["evaluate", "predictions", "--data", "data", "--tolerance", "2.5"]);
    assert!(
        text.contains("surface Dice 2.5 mm")
            && text.trim_end().ends_with("mean foreground Dice 0.5000 ± 0.7071 over 2 cases"),
        "{text}"
    );
    assert_eq!(scores["references_without_prediction"].as_array().unwrap().len(), 4);
    // Without a data set, classes are the values found.
    assert_eq!(
        json(&dir, &["evaluate", "predictions", "data/labelsTr"])["classes"],
        serde_json::json!(["1", "2"])
    );
    let one = json(
        &dir,
        &["evaluate", "predictions/phantom_002.nii.gz", "data/labelsTr/phantom_002.nii.gz"],
    );
    assert_eq!(one["cases"].as_array().unwrap().len(), 1);

    let themselves = scnas(&dir, &["evaluate", "data/labelsTr", "--data", "data"]);
    let said = stderr(&{ themselves }.output().unwrap());
    assert!(said.contains("warning: 6 of 6 predictions are the very files"), "{said}");

    refuse(&dir, &["evaluate", "nowhere", "data/labelsTr"], &["nowhere"]);
    refuse(&dir, &["evaluate", "predictions", "data/imagesTs"], &["predictions", "none"]);
    std::fs::create_dir(dir.join("bad")).unwrap();
    for (change, named) in [
        (
            &(|labels: &mut medvol::LabelMap| labels.voxels[[0, 0, 0]] = 7)
                as &dyn Fn(&mut medvol::LabelMap),
            "label 7",
        ),
        (&|labels| labels.voxels.swap_axes(0, 1), "phantom_003.nii.gz"),
        (&|labels| labels.affine.0[1][3] += 9.0, "resample the prediction"),
    ] {
        let mut labels = read_labels(data.join("labelsTr/phantom_003.nii.gz")).unwrap();
        change(&mut labels);
        write_labels(dir.join("bad/phantom_003.nii.gz"), &labels).unwrap();
        refuse(&dir, &["evaluate", "bad", "--data", "data"], &["phantom_003.nii.gz", named]);
    }
}

#[test]
fn evaluate_never_writes_over_what_it_reads_and_doubts_labels_that_no_reference_holds() {
    let dir = folder("evaluate_files");
    task(&dir);
    std::fs::create_dir(dir.join("predictions")).unwrap();
    let name = "phantom_001.nii.gz";
    let mut labels = read_labels(dir.join("data/labelsTr").join(name)).unwrap();
    labels.voxels.mapv_inplace(|value| if value == 2 { 255 } else { value });
    write_labels(dir.join("predictions").join(name), &labels).unwrap();
    let command = ["evaluate", "predictions", "data/labelsTr", "--data", "data", "--csv"];
    for file in [
        "data/labelsTr/phantom_001.nii.gz",
        "predictions/phantom_001.nii.gz",
        "data/dataset.json",
        "data/imagesTr/phantom_002.nii.gz",
    ] {
        refuse(&dir, &[&command[..], &[file]].concat(), &[file, "overwrite"]);
    }
    let command = ["evaluate", "predictions", "data/labelsTr", "--csv", "new.csv"];
    let output = scnas(&dir, &command).output().unwrap();
    assert!(output.status.success() && dir.join("new.csv").exists(), "{output:?}");
    let said = stderr(&output);
    assert!(said.contains("no reference holds the label(s) 255"), "{said}");
}

#[test]
fn a_prediction_along_other_axes_is_scored_on_the_grid_of_its_reference() {
    let dir = folder("evaluate_turned");
    let name = "phantom_001.nii.gz";
    let path = task(&dir).join("labelsTr").join(name);
    let mut labels = read_labels(&path).unwrap();
    // The same voxels at the same places, width and depth in the place of each other.
    labels.voxels.swap_axes(0, 2);
    labels.affine.0.iter_mut().take(3).for_each(|row| row.swap(0, 2));
    std::fs::create_dir(dir.join("turned")).unwrap();
    write_labels(dir.join("turned").join(name), &labels).unwrap();
    let scores = json(&dir, &["evaluate", "turned", "--data", "data"]);
    assert_eq!(scores["cases"][0]["dice"], serde_json::json!([1.0, 1.0]));
}

#[test]
fn the_label_map_in_the_folder_of_each_patient_is_scored() {
    let dir = folder("evaluate_patients");
    let data = task(&dir);
    for number in 1..=3 {
        let map = data.join(format!("labelsTr/phantom_00{number}.nii.gz"));
        let copy = |to: String| {
            let to = dir.join(to);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(&map, to).unwrap();
        };
        copy(format!("references/phantom_00{number}/phantom_00{number}_seg.nii.gz"));
        copy(format!("references/phantom_00{number}/t1.nii.gz"));
        copy(format!("predictions/phantom_00{number}.nii.gz"));
    }
    let command = ["evaluate", "predictions", "references"];
    let scores = json(&dir, &command);
    assert_eq!(scores["cases"].as_array().unwrap().len(), 3);
    assert_eq!(scores["cases"][0]["case"], "phantom_001");
    // Of two label maps nobody can know which is meant.
    let twice = dir.join("references/phantom_002/mask.nii.gz");
    std::fs::copy(dir.join("predictions/phantom_002.nii.gz"), twice).unwrap();
    let output = scnas(&dir, &command).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stderr(&output);
    assert!(said.contains("references/phantom_002: expected one label map"), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("over 2 cases"), "{output:?}");
}

#[test]
fn evaluate_sees_before_the_work_that_a_table_cannot_be_written() {
    let dir = folder("evaluate-table");
    task(&dir);
    refuse(
        &dir,
        &["evaluate", "data/labelsTr", "data/labelsTr", "--csv", "no/such/scores.csv"],
        &["no/such: No such file"],
    );
    refuse(&dir, &["evaluate", "nowhere", "data/labelsTr"], &["nowhere: No such file"]);
}

#[cfg(unix)]
#[test]
fn a_label_map_whose_name_is_no_text_does_not_keep_the_others_from_being_scored() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = folder("evaluate-odd-name");
    let map = task(&dir).join("labelsTr/phantom_001.nii.gz");
    let predictions = dir.join("predictions");
    std::fs::create_dir(&predictions).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"M\xfcller.nii.gz");
    for name in ["phantom_001.nii.gz".as_ref(), odd] {
        std::fs::copy(&map, predictions.join(name)).unwrap();
    }
    let output = scnas(&dir, &["evaluate", "predictions", "--data", "data"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("phantom_001"), "{output:?}");
    assert!(stderr(&output).contains("1 of 2 cases could not be scored"), "{output:?}");
}
