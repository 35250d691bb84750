//! Models for other programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::*;

/// A finished training in `folder/run` on the data in `folder/data`.
fn trained(folder: &Path, settings: &[&str]) {
    task(folder);
    succeed(folder, &tiny(&["train", "data", "--arch", "u:4", "--out", "run"], settings));
}

/// The images of the data set that are to be predicted.
fn images(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder.join("data/imagesTs")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_run_is_exported_with_a_sample_and_what_cannot_be_is_refused() {
    let folder = folder("export");
    trained(&folder, &[]);
    let image = images(&folder).swap_remove(0);
    let sample = ["--sample", image.to_str().unwrap()];
    let export = ["export", "run", "--onnx", "net.onnx"];
    let said = json(&folder, &[&export[..], &sample].concat());
    assert_eq!(said["window"], serde_json::json!([16, 16, 16]));
    assert_eq!((&said["fixed"], &said["sample"]), (&false.into(), &"test_data_set_0".into()));
    let net = bytes(folder.join("net.onnx"));
    assert_eq!(net.len() as u64, said["bytes"].as_u64().unwrap());
    // Beside the numbers stand a name and a few lengths.
    let of_window = 4 * 16 * 16 * 16 * said["channels"].as_u64().unwrap();
    let input = bytes(folder.join("test_data_set_0/input_0.pb")).len() as u64;
    assert!((of_window..of_window + 100).contains(&input), "{input}");

    // The model's file says the same, and axes that are fixed are said.
    succeed(&folder, &["export", "run/model.safetensors", "--onnx", "again.onnx"]);
    assert!(bytes(folder.join("again.onnx")) == net);
    let text = succeed(&folder, &["export", "run", "--onnx", "fixed.ONNX", "--patch", "8,16,24"]);
    assert!(text.contains("8×16×24 voxels (of that size, one at a time)"), "{text}");

    let undivided = [&export[..], &["--patch", "8,12,16"]].concat();
    refuse(&folder, &undivided, &["[8, 12, 16]", "multiples of 8, 8 and 8"]);
    refuse(&folder, &["export", "data", "--onnx", "x.onnx"], &["data", "model.safetensors"]);
    refuse(&folder, &["export", "net.onnx", "--onnx", "x.onnx"], &["net.onnx", "a model"]);
    let channels = [&export[..], &["--sample"], &[sample[1]; 3]].concat();
    refuse(&folder, &channels, &["channel"]);
    for fold in ["cv/fold-0", "cv/fold-1"] {
        std::fs::create_dir_all(folder.join(fold)).unwrap();
        std::fs::write(folder.join(fold).join("result.json"), "{}").unwrap();
    }
    refuse(&folder, &["export", "cv", "--onnx", "x.onnx"], &["expected one model", "found 2"]);
    let usage = scnas(&folder, &["export", "run", "--onnx", "model.safetensors"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
#[ignore = "needs a Python with onnxruntime, nibabel and scipy, which SCNAS_JUDGE_PYTHON names"]
fn a_short_script_with_onnxruntime_predicts_as_we_do() {
    let folder = folder("export-script");
    // Another grid than the images', windows that overlap, and mirrorings.
    trained(&folder, &["train.epochs=20", "data.spacing=[3.5, 2.5, 3.0]", "predict.flips=true"]);
    let keep = "predict.largest_component=[1]";
    succeed(&folder, &tiny(&["train", "data", "--arch", "chain", "--out", "kept"], &[keep]));
    let python = std::env::var("SCNAS_JUDGE_PYTHON").expect("SCNAS_JUDGE_PYTHON");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/predict_onnx.py");
    for run in ["run", "kept"] {
        succeed(&folder, &["export", run, "--onnx", "net.onnx"]);
        succeed(&folder, &["predict", "data", "--model", run, "--out", "ours"]);
        for image in images(&folder) {
            let (theirs, name) = (folder.join("theirs.nii.gz"), image.file_name().unwrap());
            let done = Command::new(&python)
                .arg(&script)
                .args([&folder.join("net.onnx"), &theirs, &image])
                .output()
                .unwrap();
            assert!(done.status.success(), "{}", stderr(&done));
            let ours = read_labels(folder.join("ours").join(name)).unwrap();
            let theirs = read_labels(theirs).unwrap();
            assert!(ours.affine.approx_eq(&theirs.affine, ours.shape(), 1e-3));
            let same = ours.voxels.iter().zip(&theirs.voxels).filter(|(a, b)| a == b).count();
            let part = same as f64 / ours.voxels.len() as f64;
            assert!(ours.voxels.iter().any(|label| *label > 0), "{run}: all is background");
            assert!(part >= 0.999, "{run}: {part} of the voxels are equal");
        }
    }
}
