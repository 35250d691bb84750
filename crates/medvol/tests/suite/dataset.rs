//! Data sets: reading `dataset.json`, loading cases, and each way in which one can be wrong.

use std::fs;
use std::path::Path;

use crate::common::{write_image, write_labels};
use medvol::{Affine, Dataset, Error, Image, LabelMap};
use ndarray::{Array3, Array4};
use serde_json::{Value, json};
use tempfile::TempDir;

const SHAPE: [usize; 3] = [3, 4, 5];

fn image(channels: usize) -> Image {
    let voxels = Array4::from_shape_fn((channels, 3, 4, 5), |(c, k, j, i)| {
        (c * 1000 + k * 100 + j * 10 + i) as f32
    });
    Image { voxels, affine: Affine::from_spacing([2.0, 1.0, 1.0]) }
}

fn label_map() -> LabelMap {
    let voxels = Array3::from_shape_fn(SHAPE, |(k, _, i)| if k == 1 && i > 2 { 5 } else { 0 });
    LabelMap { voxels, affine: Affine::from_spacing([2.0, 1.0, 1.0]) }
}

fn description() -> Value {
    json!({
        "name": "Toy",
        "modality": {"0": "T1", "1": "T2"},
        "labels": {"5": "tumour", "0": "background", "12": "oedema"},
        "training": [
            {"image": "./imagesTr/b.nii.gz", "label": "./labelsTr/b.nii.gz"},
            {"image": "./imagesTr/a.1.nii", "label": "./labelsTr/a.1.nii"},
            {"image": "./imagesTr/c.nii.gz"}
        ],
        "test": ["./imagesTs/e.nii.gz", {"image": "./imagesTs/d.nii.gz"}]
    })
}

fn open(folder: &Path, description: &Value) -> Result<Dataset, Error> {
    fs::write(folder.join("dataset.json"), description.to_string()).unwrap();
    Dataset::open(folder)
}

/// A data set on disk, all of its training cases good.
fn toy() -> (TempDir, Dataset) {
    let folder = tempfile::tempdir().unwrap();
    for subfolder in ["imagesTr", "labelsTr"] {
        fs::create_dir(folder.path().join(subfolder)).unwrap();
    }
    let dataset = open(folder.path(), &description()).unwrap();
    for case in &dataset.cases {
        write_image(&case.images[0], &image(2)).unwrap();
        if let Some(label) = &case.label {
            write_labels(label, &label_map()).unwrap();
        }
    }
    (folder, dataset)
}

#[test]
fn a_description_is_read_and_sorted() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = open(folder.path(), &description()).unwrap();
    assert_eq!(dataset.name, "Toy");
    assert_eq!(dataset.channels, ["T1", "T2"]);
    let labels: Vec<_> = dataset.labels.iter().map(|l| (l.value, l.name.as_str())).collect();
    assert_eq!(labels, [(0, "background"), (5, "tumour"), (12, "oedema")]);
    let names =
        |cases: &[medvol::CaseFiles]| cases.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&dataset.cases), ["a.1", "b", "c"]);
    assert_eq!(names(&dataset.test), ["d", "e"]);
    assert_eq!(dataset.cases[1].images, [folder.path().join("imagesTr/b.nii.gz").into()]);
    assert_eq!(dataset.cases[1].label, Some(folder.path().join("labelsTr/b.nii.gz").into()));
    assert_eq!(dataset.cases[2].label, None);
}

#[test]
fn channel_names_and_labels_as_nnunet_writes_them_mean_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let ours = open(folder.path(), &description()).unwrap();
    let mut other = description();
    let names = other.as_object_mut().unwrap().remove("modality").unwrap();
    other["channel_names"] = names;
    other["labels"] = json!({"background": 0, "tumour": 5, "oedema": 12});
    assert_eq!(open(folder.path(), &other).unwrap(), ours);
}

#[test]
fn ten_channels_are_sorted_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut eleven = description();
    eleven["modality"] = (0..11).map(|n| (n.to_string(), json!(format!("channel {n}")))).collect();
    assert_eq!(open(folder.path(), &eleven).unwrap().channels[10], "channel 10");
}

#[test]
fn a_description_that_cannot_be_understood_is_refused_with_its_reason() {
    let cases: [(&str, Value, &str); 11] = [
        ("labels", json!({"1": "tumour"}), "background"),
        ("labels", json!({"0": "background", "x": "tumour"}), "\"x\""),
        ("labels", json!({"0": "background", "-1": "tumour"}), "\"-1\""),
        ("labels", json!({"0": "background", "70000": "tumour"}), "70000"),
        ("labels", json!({"background": 0, "whole": [1, 2]}), "whole"),
        ("labels", json!({"background": 0, "a": 1, "b": 1}), "twice"),
        ("labels", (0..300).map(|n| (n.to_string(), json!("organ"))).collect(), "300 labels"),
        ("modality", json!({"0": "T1", "2": "T2"}), "without gaps"),
        ("modality", json!({}), "without gaps"),
        ("training", json!([{"image": "x.nii"}, {"image": "./x.nii"}]), "\"x\" is listed twice"),
        ("training", json!({"image": "x.nii"}), "expected a list"),
    ];
    for (key, value, reason) in cases {
        let folder = tempfile::tempdir().unwrap();
        let mut wrong = description();
        wrong[key] = value;
        let error = open(folder.path(), &wrong).unwrap_err();
        assert!(matches!(&error, Error::Description { .. }), "{error}");
        assert!(
            error.to_string().contains(reason) && error.to_string().contains("dataset.json"),
            "{error}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let mut empty = description();
    empty["training"] = json!([]);
    empty["test"] = json!([]);
    assert!(open(folder.path(), &empty).unwrap_err().to_string().contains("lists no cases"));
    fs::write(folder.path().join("dataset.json"), "{ not json").unwrap();
    assert!(matches!(Dataset::open(folder.path()), Err(Error::Description { .. })));
}

#[test]
fn what_is_no_data_set_is_named_with_what_is_one() {
    let (toy, _) = toy();
    let folder = tempfile::tempdir().unwrap();
    let (root, file) = (folder.path(), folder.path().join("list.jsonl"));
    fs::write(&file, "{}").unwrap();
    let said = |path: &Path| Dataset::open(path).unwrap_err().to_string();
    let of = |path: &Path, found: &str| {
        let (said, start) = (said(path), format!("{}: expected a data set", path.display()));
        assert!(said.starts_with(&start) && said.ends_with(&format!("found {found}")), "{said}");
    };
    of(root, "a folder without one");
    of(&file, "another file");
    let missing = root.join("missing");
    assert!(said(&missing).starts_with(&format!("cannot read {}: ", missing.display())));
    // An archive that was unpacked into a folder of its own.
    let inner = root.join("Task01");
    fs::rename(toy.path(), &inner).unwrap();
    of(root, &format!("a folder of folders; give {}", inner.display()));
}

#[test]
fn a_good_case_is_loaded_as_it_was_written() {
    let (_folder, dataset) = toy();
    for case in &dataset.cases {
        let (loaded, labels) = dataset.load(case).unwrap();
        assert_eq!(loaded, image(2));
        assert_eq!(labels, case.label.as_ref().map(|_| label_map()));
    }
}

#[test]
fn a_missing_label_file_is_named() {
    let (_folder, dataset) = toy();
    let label = dataset.cases[1].label.as_ref().unwrap().path();
    fs::remove_file(label).unwrap();
    let error = dataset.load(&dataset.cases[1]).unwrap_err();
    assert!(matches!(error, Error::Read { path, .. } if path == *label));
}

#[test]
fn another_number_of_channels_is_refused() {
    let (_folder, dataset) = toy();
    write_image(&dataset.cases[0].images[0], &image(3)).unwrap();
    let error = dataset.load(&dataset.cases[0]).unwrap_err();
    assert!(matches!(error, Error::ChannelCount { expected: 2, found: 3, .. }));
}

#[test]
fn a_label_map_of_another_shape_is_refused_with_both_files() {
    let (_folder, dataset) = toy();
    let labels = LabelMap { voxels: Array3::zeros((3, 5, 4)), affine: Affine::IDENTITY };
    write_labels(dataset.cases[0].label.as_ref().unwrap(), &labels).unwrap();
    let error = dataset.load(&dataset.cases[0]).unwrap_err();
    assert!(matches!(
        error,
        Error::ShapeMismatch { image_shape: SHAPE, other_shape: [3, 5, 4], .. }
    ));
    let text = error.to_string();
    assert!(text.contains("imagesTr/a.1.nii") && text.contains("labelsTr/a.1.nii"), "{text}");
}

#[test]
fn a_label_map_at_another_place_is_refused_and_one_that_is_off_by_rounding_is_not() {
    let (_folder, dataset) = toy();
    let shifted = |mm: f64| {
        let mut labels = label_map();
        labels.affine.0[0][3] += mm;
        write_labels(dataset.cases[0].label.as_ref().unwrap(), &labels).unwrap();
        dataset.load(&dataset.cases[0])
    };
    assert!(
        matches!(shifted(0.2), Err(Error::PlaceMismatch { distance_mm, .. }) if (distance_mm - 0.2).abs() < 1e-6)
    );
    assert!(shifted(0.01).is_ok());
    // The same shape and origin, but mirrored.
    let mut labels = label_map();
    labels.affine.0[1][1] = -1.0;
    write_labels(dataset.cases[0].label.as_ref().unwrap(), &labels).unwrap();
    assert!(matches!(dataset.load(&dataset.cases[0]), Err(Error::PlaceMismatch { .. })));
}

#[test]
fn a_label_that_is_not_listed_is_refused_with_its_voxel() {
    let (_folder, dataset) = toy();
    let mut labels = label_map();
    labels.voxels[[2, 1, 3]] = 6;
    write_labels(dataset.cases[0].label.as_ref().unwrap(), &labels).unwrap();
    let error = dataset.load(&dataset.cases[0]).unwrap_err();
    assert!(
        matches!(&error, Error::UnlistedLabel { voxel: [2, 1, 3], value: 6, listed, .. } if *listed == [0, 5, 12]),
        "{error}"
    );
}

#[test]
fn voxels_that_are_not_finite_are_refused() {
    let (_folder, dataset) = toy();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut broken = image(2);
        broken.voxels[[1, 2, 3, 4]] = bad;
        write_image(&dataset.cases[0].images[0], &broken).unwrap();
        let error = dataset.load(&dataset.cases[0]).unwrap_err();
        assert!(matches!(error, Error::NotFinite { voxel: [1, 2, 3, 4], .. }), "{error}");
        let image = dataset.cases[0].images[0].open().unwrap().checked(2).unwrap().image();
        assert!(matches!(image, Err(Error::NotFinite { .. })));
    }
}

#[test]
fn one_bad_case_does_not_keep_the_others_from_loading() {
    let (_folder, dataset) = toy();
    fs::write(dataset.cases[0].images[0].path(), "not an image").unwrap();
    let good = dataset.cases.iter().filter(|case| dataset.load(case).is_ok()).count();
    assert_eq!(good, 2);
}
