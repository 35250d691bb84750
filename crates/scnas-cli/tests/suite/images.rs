//! Images to predict: what is refused, what is left out and said, what becomes of the others.

use std::path::Path;

use crate::common::{
    bytes, folder, read_image, read_labels, refuse, scnas, stderr, succeed, task, tiny, write_image,
};

/// A model for one channel and three classes, trained for a moment, in `dir/run`.
pub fn model(dir: &Path) {
    task(dir);
    succeed(dir, &tiny(&["train", "data", "--arch", "conv3", "--out", "run"], &["train.epochs=1"]));
}

#[test]
fn predict_refuses_what_it_cannot_do_and_never_writes_over_data() {
    let dir = folder("predict");
    model(&dir);
    let mut image = read_image(dir.join("data/imagesTs/phantom_007.nii.gz")).unwrap();
    std::fs::create_dir(dir.join("images")).unwrap();
    write_image(dir.join("images/good.nii.gz"), &image).unwrap();

    refuse(
        &dir,
        &["predict", "missing.nii.gz", "--model", "run", "--out", "out"],
        &["missing.nii.gz"],
    );
    refuse(
        &dir,
        &["predict", "images", "--model", "missing.safetensors", "--out", "out"],
        &["missing.safetensors"],
    );
    std::fs::create_dir(dir.join("broken")).unwrap();
    let whole = bytes(dir.join("run/model.safetensors"));
    std::fs::write(dir.join("broken/model.safetensors"), &whole[..whole.len() - 100]).unwrap();
    refuse(
        &dir,
        &["predict", "images", "--model", "broken", "--out", "out"],
        &["broken/model.safetensors"],
    );
    refuse(
        &dir,
        &["predict", "images", "--model", "run", "--out", "images"],
        &["images/good.nii.gz", "overwrite"],
    );
    refuse(
        &dir,
        &["predict", "data", "--training", "--model", "run", "--out", "data/labelsTr"],
        &["labelsTr", "overwrite"],
    );
    refuse(
        &dir,
        &["predict", "data", "--model", "run", "--out", "one.nii.gz"],
        &["one.nii.gz", "2 images"],
    );
    std::fs::write(dir.join("file"), "").unwrap();
    refuse(&dir, &["predict", "images", "--model", "run", "--out", "file"], &["file"]);
    assert!(!dir.join("out").exists());

    image.voxels = image
        .voxels
        .broadcast((2, image.shape()[0], image.shape()[1], image.shape()[2]))
        .unwrap()
        .to_owned();
    write_image(dir.join("two.nii.gz"), &image).unwrap();
    refuse(
        &dir,
        &["predict", "two.nii.gz", "--model", "run", "--out", "out"],
        &["two.nii.gz", "expects 1 channel", "found 2"],
    );

    succeed(
        &dir,
        &[
            "predict",
            "images/good.nii.gz",
            "--model",
            "run",
            "--out",
            "deep/one.nii",
            "--blend",
            "uniform",
        ],
    );
    assert_eq!(read_labels(dir.join("deep/one.nii")).unwrap().affine, image.affine);
}

#[test]
fn images_that_cannot_be_predicted_do_not_keep_the_others_from_it() {
    let dir = folder("one_bad_image");
    model(&dir);
    let path = dir.join("data/imagesTs/phantom_007.nii.gz");
    let mut image = read_image(&path).unwrap();
    image.voxels[[0, 0, 0, 0]] = f32::INFINITY;
    write_image(dir.join("data/imagesTs/a.nii.gz"), &image).unwrap();
    std::fs::write(dir.join("data/imagesTs/b.nii.gz"), "").unwrap();
    // A link to nowhere is named like a file that is damaged, and not passed over.
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", dir.join("data/imagesTs/c.nii.gz")).unwrap();
    #[cfg(not(unix))]
    std::fs::create_dir(dir.join("data/imagesTs/c.nii.gz")).unwrap();
    let output =
        scnas(&dir, &["predict", "data/imagesTs", "--model", "run", "--out", "out", "--json"])
            .output()
            .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["predictions"].as_array().unwrap().len(), 2);
    assert_eq!(document["failures"].as_array().unwrap().len(), 3);
    let last = stderr(&output).lines().last().unwrap().to_string();
    assert!(last.starts_with("error: 3 of 5 images"), "{last}");
    assert!(dir.join("out/phantom_007.nii.gz").exists() && !dir.join("out/a.nii.gz").exists());
}

#[test]
fn images_of_one_name_are_not_predicted_and_others_are() {
    let dir = folder("same_names");
    model(&dir);
    let image = read_image(dir.join("data/imagesTs/phantom_007.nii.gz")).unwrap();
    std::fs::create_dir(dir.join("images")).unwrap();
    for name in ["a.nii", "a.nii.gz", "b.nii"] {
        write_image(dir.join("images").join(name), &image).unwrap();
    }
    let output = scnas(&dir, &["predict", "images", "--model", "run", "--out", "out"]);
    let output = { output }.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for part in ["1 of 2 images", "images/a.nii and images/a.nii.gz", "same name"] {
        assert!(said.contains(part), "{said}");
    }
    let predicted = dir.join("out/b.nii.gz");
    assert!(predicted.exists() && !dir.join("out/a.nii.gz").exists());
    // The same of what is scored.
    std::fs::create_dir(dir.join("references")).unwrap();
    for copy in ["references/a.nii.gz", "references/b.nii.gz", "out/a.nii.gz", "out/a.nii"] {
        std::fs::copy(&predicted, dir.join(copy)).unwrap();
    }
    let output = scnas(&dir, &["evaluate", "out", "references", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let scores: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(scores["cases"].as_array().unwrap().len(), 1);
    assert!(stderr(&output).contains("out/a.nii and out/a.nii.gz"), "{output:?}");
}

#[test]
fn the_image_in_the_folder_of_each_patient_is_predicted() {
    let dir = folder("patients");
    model(&dir);
    let image = read_image(dir.join("data/imagesTs/phantom_007.nii.gz")).unwrap();
    for patient in ["p1", "p2", "p3"] {
        std::fs::create_dir_all(dir.join("images").join(patient)).unwrap();
        write_image(dir.join("images").join(patient).join("ct.nii"), &image).unwrap();
    }
    write_image(dir.join("images/p3/pet.nii"), &image).unwrap();
    let output = scnas(&dir, &["predict", "images", "--model", "run", "--out", "out"]);
    let output = { output }.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("images/p3: expected one image") && said.contains("ct, pet"), "{said}");
    assert!(dir.join("out/p1.nii.gz").exists() && dir.join("out/p2.nii.gz").exists());
}

#[test]
fn an_image_that_is_given_twice_is_predicted_once() {
    let dir = folder("given-twice");
    model(&dir);
    let args = ["predict", "data/imagesTs/phantom_007.nii.gz", "data/../data/imagesTs"];
    let text = succeed(&dir, &[&args[..], &["--model", "run", "--out", "out"]].concat());
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn what_is_compressed_otherwise_is_named_and_a_format_that_cannot_be_is_refused_before_the_work() {
    let dir = folder("compressed-otherwise");
    model(&dir);
    std::fs::create_dir(dir.join("images")).unwrap();
    let image = bytes(dir.join("data/imagesTs/phantom_007.nii.gz"));
    for name in ["a.nii.gz", "b.nii.bz2", "c.mha.gz"] {
        std::fs::write(dir.join("images").join(name), &image).unwrap();
    }
    let output =
        scnas(&dir, &["predict", "images", "--model", "run", "--out", "out"]).output().unwrap();
    let said = stderr(&output);
    assert!(said.contains("compressed in a way that is not read: images/b.nii.bz2, images/c"));
    refuse(
        &dir,
        &["predict", "images/a.nii.gz", "--model", "run", "--out", "out/a.dcm"],
        &["a.dcm", "refers to the DICOM series"],
    );
    refuse(&dir, &["predict", "nowhere", "--model", "run", "--out", "out"], &["No such file"]);
}

#[test]
fn an_image_of_voxels_far_too_large_is_refused_before_the_work() {
    let dir = folder("coarse");
    model(&dir);
    let path = dir.join("data/imagesTs/phantom_007.nii.gz");
    let mut image = read_image(&path).unwrap();
    // Metres taken for centimetres.
    image.affine.0.iter_mut().take(3).for_each(|row| row.iter_mut().for_each(|mm| *mm *= 20.0));
    write_image(&path, &image).unwrap();
    let command = ["predict", "data/imagesTs", "--model", "run", "--out", "out"];
    let output = scnas(&dir, &command).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for part in ["1 of 2 images", "phantom_007.nii.gz: its voxels of ", "would become "] {
        assert!(said.contains(part), "{said}");
    }
    assert!(dir.join("out/phantom_008.nii.gz").exists());
}

#[test]
fn a_patient_with_two_series_is_told_their_names_and_the_others_are_predicted() {
    let dir = folder("two_series");
    model(&dir);
    let slices = concat!(env!("CARGO_MANIFEST_DIR"), "/../medvol/tests/fixtures/dicom/explicit");
    for series in ["SE0", "SE1"] {
        let to = dir.join("data/imagesTs/p3/DICOM").join(series);
        std::fs::create_dir_all(&to).unwrap();
        for slice in std::fs::read_dir(slices).unwrap().map(Result::unwrap) {
            std::fs::copy(slice.path(), to.join(slice.file_name())).unwrap();
        }
    }
    let command = ["predict", "data/imagesTs", "--model", "run", "--out", "out"];
    let output = scnas(&dir, &command).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stderr(&output);
    for part in ["1 of 3 images", "data/imagesTs/p3: expected one series", "SE0, SE1"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(dir.join("out/phantom_007.nii.gz").exists());
    // Where there is no other patient, too.
    std::fs::create_dir(dir.join("alone")).unwrap();
    std::fs::rename(dir.join("data/imagesTs/p3"), dir.join("alone/p3")).unwrap();
    let parts = ["alone/p3: expected one series", "SE0, SE1"];
    refuse(&dir, &["predict", "alone", "--model", "run", "--out", "out"], &parts);
}

#[test]
#[cfg(target_os = "linux")]
fn an_image_whose_name_is_no_text_is_named_and_other_files_do_not_matter() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = folder("names");
    model(&dir);
    let named = |name: &[u8]| dir.join("data/imagesTs").join(std::ffi::OsStr::from_bytes(name));
    std::fs::write(named(b"notes\xff.txt"), "").unwrap();
    let command = ["predict", "data/imagesTs", "--model", "run", "--out", "out"];
    succeed(&dir, &command);
    std::fs::write(named(b"image\xff.nii"), "").unwrap();
    let output = scnas(&dir, &command).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("expected a name in UTF-8"), "{output:?}");
    // The others are predicted.
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2, "{output:?}");
}

#[test]
fn images_in_folders_of_a_folder_are_not_left_out_in_silence() {
    let dir = folder("deeper");
    model(&dir);
    let images = dir.join("data/imagesTs");
    std::fs::create_dir(images.join("more")).unwrap();
    std::fs::copy(images.join("phantom_007.nii.gz"), images.join("more/a.nii.gz")).unwrap();
    let command = ["predict", "data/imagesTs", "--model", "run", "--out", "out"];
    let output = scnas(&dir, &command).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(stderr(&output).contains("warning: left out"), "{output:?}");
    assert!(stderr(&output).contains("data/imagesTs/more"), "{output:?}");
}

#[test]
fn a_file_of_no_format_is_not_taken_for_a_folder_to_write() {
    let dir = folder("no_folder");
    model(&dir);
    let image = "data/imagesTs/phantom_007.nii.gz";
    for out in ["out.png", "out.nii.bz2"] {
        refuse(&dir, &["predict", image, "--model", "run", "--out", out], &[out, "a folder"]);
        assert!(!dir.join(out).exists());
    }
}

#[test]
fn a_data_set_with_other_channels_is_not_predicted_in_silence() {
    let dir = folder("other_channels");
    model(&dir);
    let description = dir.join("data/dataset.json");
    let text = std::fs::read_to_string(&description).unwrap();
    std::fs::write(&description, text.replace("\"MRI\"", "\"CT\"")).unwrap();
    let predict = ["predict", "data", "--model", "run", "--out", "out"];
    let output = scnas(&dir, &predict).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(stderr(&output).contains("channels are called CT, but the model"), "{output:?}");
}
