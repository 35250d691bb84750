//! Predictions of large volumes by the built binary: in little memory, stopped, on a disk that is
//! full.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{
    bytes, folder, limited, read_labels, refuse, scnas, signal, stderr, succeed, task,
    volume_of_bytes, write_labels,
};
use crate::made_up;
use medvol::Label;
use medvol::phantom::phantom;
use scnas::network::architecture::Architecture;
use scnas::network::size::Size;
use scnas::settings::Config;
use scnas::space::genotype::Genotype;
use scnas::space::topology::Space;
use scnas::store::model::{Card, Model};

const CLASSES: usize = 20;

/// Width, height, depth.
const VOLUME: [usize; 3] = [192, 192, 96];

/// A model with weights as they were drawn, `model.safetensors`, and a volume of bytes,
/// `large.nii`.
fn model_and_volume(dir: &Path) {
    model_and_volume_of(dir, VOLUME, 32, 4);
}

fn model_and_volume_of(dir: &Path, volume: [usize; 3], patch: usize, width: usize) {
    model_of(dir, 1, patch, width);
    volume_of_bytes(&dir.join("large.nii"), volume, |n| (n * n / 7 % 251) as u8 + 1);
    let mut small = phantom(1, 0, 3.0).1;
    small.affine = medvol::Affine::IDENTITY;
    write_labels(dir.join("small.nii"), &small).unwrap();
}

/// A model of so many channels, `model.safetensors`.
fn model_of(dir: &Path, channels: u8, patch: usize, width: usize) {
    let label = |value| Label { value, name: value.to_string() };
    let plan = made_up::plan(channels, (0..CLASSES as u16).map(label).collect(), [patch; 3]);
    let predict =
        Config::load("default", None, &["predict.overlap=0".into(), "predict.flips=false".into()])
            .unwrap()
            .predict;
    let architecture = Architecture::Cells(Genotype::uniform(&Space::paper(), "conv3").unwrap());
    let size = Size::isotropic(channels.into(), CLASSES, width);
    let card = Card::new(architecture, size, plan, predict);
    Model::new(card, &scnas::device("cpu").unwrap(), 1)
        .write(&dir.join("model.safetensors"))
        .unwrap();
}

const PREDICT: [&str; 6] =
    ["predict", "large.nii", "--model", "model.safetensors", "--threads", "1"];

#[test]
fn a_data_set_whose_channels_stand_in_another_order_is_refused() {
    let dir = folder("other_order");
    task(&dir);
    model_of(&dir, 2, 16, 4);
    let command = ["predict", "data", "--model", "model.safetensors", "--out", "out"];
    let path = dir.join("data/dataset.json");
    let described = |channels: [&str; 2]| {
        let mut description: serde_json::Value = serde_json::from_slice(&bytes(&path)).unwrap();
        description.as_object_mut().unwrap().remove("modality");
        description["channel_names"] = serde_json::json!(channels);
        std::fs::write(&path, description.to_string()).unwrap();
    };
    described(["B", "a"]);
    refuse(&dir, &command, &["data", "its channels are B, a", "trained on a, b, in this order"]);
    assert!(!dir.join("out").exists());
    // In the same order it is the images that are at fault, which have one channel.
    described(["A", "b"]);
    refuse(&dir, &command, &["expects 2 channel(s), found 1"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_volume_whose_class_scores_do_not_fit_into_memory_is_predicted_to_the_same_bytes() {
    let dir = folder("large_volume");
    model_and_volume(&dir);
    // Of these, the program's own code, stacks and reserves are about half.
    let limit_kib = 350_000;
    let scores_kib = 4 * CLASSES * VOLUME.iter().product::<usize>() / 1024;
    assert!(scores_kib > limit_kib * 3 / 4);
    let output = limited(
        &dir,
        &format!("ulimit -v {limit_kib}"),
        &[&PREDICT[..], &["--out", "limited.nii"]].concat(),
    );
    assert!(output.status.success(), "{output:?}");
    succeed(&dir, &[&PREDICT[..], &["--out", "free.nii"]].concat());
    assert!(bytes(dir.join("limited.nii")) == bytes(dir.join("free.nii")), "the label maps differ");
    let labels = read_labels(dir.join("free.nii")).unwrap();
    assert_eq!(labels.shape(), [VOLUME[2], VOLUME[1], VOLUME[0]]);
    assert!(
        labels.voxels.iter().any(|&value| value != labels.voxels[[0, 0, 0]]),
        "nothing to tell apart"
    );
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "takes ten minutes on one thread; cargo test --release --workspace --test predict -- \
            --ignored --nocapture"]
fn a_volume_of_512_x_512_x_600_voxels_with_20_classes_is_predicted_in_a_gibibyte() {
    let dir = folder("largest_volume");
    model_and_volume_of(&dir, [512, 512, 600], 64, 16);
    let start = Instant::now();
    let output =
        limited(&dir, "ulimit -v 1048576", &[&PREDICT[..], &["--out", "labels.nii"]].concat());
    println!("{} in {:?}", stderr(&output), start.elapsed());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(read_labels(dir.join("labels.nii")).unwrap().shape(), [600, 512, 512]);
}

#[test]
#[cfg(target_os = "linux")]
fn what_does_not_fit_into_memory_is_refused_with_what_takes_it() {
    let dir = folder("too_large");
    model_and_volume(&dir);
    let with =
        |options: &[&'static str]| [&PREDICT[..], &["--out", "labels.nii"], options].concat();
    let refused = |options: &[&'static str], named: &[&str]| {
        let output = scnas(&dir, &with(options)).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(named.iter().all(|text| stderr(&output).contains(text)), "{output:?}");
    };
    refused(&["--memory", "10MB"], &["large", "found 10 MiB", "image 7 MiB", "--memory"]);
    refused(
        &["--memory", "200MiB", "--probabilities"],
        &["large", "found 200 MiB", "without the probabilities"],
    );
    assert!(!dir.join("labels.nii").exists());
    for size in ["", "much", "-1MB", "1TBq", "0"] {
        assert_eq!(
            scnas(&dir, &with(&["--memory", size])).output().unwrap().status.code(),
            Some(2),
            "{size}"
        );
    }
}

#[test]
fn a_long_prediction_stops_soon_and_leaves_no_file() {
    let dir = folder("stopped_prediction");
    model_and_volume(&dir);
    let arguments = [&PREDICT[..], &["--out", "labels.nii", "--flips"]].concat();
    let mut child = scnas(&dir, &arguments).stderr(Stdio::piped()).spawn().unwrap();
    let begun = BufReader::new(child.stderr.as_mut().unwrap())
        .lines()
        .any(|line| line.unwrap().starts_with("predicting windows"));
    assert!(begun);
    let start = Instant::now();
    signal(&child, "INT");
    let status = child.wait().unwrap();
    assert!(
        !status.success() && start.elapsed() < Duration::from_secs(20),
        "{status:?} after {:?}",
        start.elapsed()
    );
    assert_eq!(status.code(), Some(130));
    assert!(!dir.join("labels.nii").exists());
}

#[test]
fn a_label_map_that_cannot_be_written_is_named_and_an_older_one_kept() {
    let dir = folder("label_map_too_long");
    model_and_volume(&dir);
    std::fs::write(dir.join("labels.nii"), "older").unwrap();
    let small =
        ["predict", "small.nii", "--model", "model.safetensors", "--out", "labels.nii", "--quiet"];
    let output = limited(&dir, "ulimit -f 1", &small);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = stderr(&output);
    assert!(text.contains("labels.nii") && text.contains("File too large"), "{text}");
    assert_eq!(bytes(dir.join("labels.nii")), b"older");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 4, "a temporary file was left");
}
