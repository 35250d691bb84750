//! A small task with nothing wrong, and ways to break it.

use std::fs;
use std::path::{Path, PathBuf};

use medvol::phantom::phantom;
use medvol::{Affine, Image, LabelMap};
use serde_json::{Value, json};

use super::{read_image, read_labels, write_image, write_labels};

/// Labelled cases of a task; there are two test cases besides.
pub const CASES: usize = 10;
/// Its spacing in mm (depth, height, width).
pub const SPACING: [f64; 3] = [3.6, 3.0, 3.0];

pub fn name(case: usize) -> String {
    format!("case_{case:02}")
}

/// Image and label map of a case, in canonical orientation.
pub fn volumes(case: usize) -> (Image, LabelMap) {
    let (mut image, mut labels) = phantom(7, case as u64, 3.0);
    (image.affine, labels.affine) = (Affine::from_spacing(SPACING), Affine::from_spacing(SPACING));
    (image, labels)
}

pub fn description() -> Value {
    let files = |case: usize| json!({"image": format!("./imagesTr/{}.nii.gz", name(case)), "label": format!("./labelsTr/{}.nii.gz", name(case))});
    json!({
        "name": "Toy",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "organ", "2": "nodule"},
        "numTraining": CASES,
        "training": (0..CASES).map(files).collect::<Vec<_>>(),
        "test": (CASES..CASES + 2).map(|case| format!("./imagesTs/{}.nii.gz", name(case))).collect::<Vec<_>>(),
    })
}

/// A task in the Decathlon's layout.
pub fn write_task(root: &Path) {
    for folder in ["imagesTr", "labelsTr", "imagesTs"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for case in 0..CASES + 2 {
        let (image, labels) = volumes(case);
        if case < CASES {
            write_image(image_path(root, case), &image).unwrap();
            write_labels(label_path(root, case), &labels).unwrap();
        } else {
            write_image(root.join(format!("imagesTs/{}.nii.gz", name(case))), &image).unwrap();
        }
    }
    fs::write(root.join("dataset.json"), description().to_string()).unwrap();
}

pub fn image_path(root: &Path, case: usize) -> PathBuf {
    root.join(format!("imagesTr/{}.nii.gz", name(case)))
}

pub fn label_path(root: &Path, case: usize) -> PathBuf {
    root.join(format!("labelsTr/{}.nii.gz", name(case)))
}

/// Changes a file that is there.
pub fn change_image(path: &Path, change: impl FnOnce(&mut Image)) {
    let mut image = read_image(path).unwrap();
    change(&mut image);
    write_image(path, &image).unwrap();
}

/// Changes a label map that is there.
pub fn change_labels(path: &Path, change: impl FnOnce(&mut LabelMap)) {
    let mut labels = read_labels(path).unwrap();
    change(&mut labels);
    write_labels(path, &labels).unwrap();
}

/// Changes `dataset.json`.
pub fn change_description(root: &Path, change: impl FnOnce(&mut Value)) {
    let path = root.join("dataset.json");
    let mut value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// Copies a folder with all below it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(path, target).unwrap();
        }
    }
}

/// A way to break a data set.
pub struct Breakage {
    pub what: &'static str,
    pub by: fn(&Path, &[PathBuf], &[PathBuf]),
    /// Index of the case it is about (`None`: the data set), and the kind of the finding.
    pub findings: &'static [(Option<usize>, &'static str)],
}

/// At least twenty. Each gets the folder and the image and label files of the labelled cases, in
/// the order of their names.
pub const BREAKAGES: &[Breakage] = &[
    Breakage {
        what: "a missing image",
        by: |_, images, _| fs::remove_file(&images[1]).unwrap(),
        findings: &[(Some(1), "missing-file")],
    },
    Breakage {
        what: "a missing label map",
        by: |_, _, labels| fs::remove_file(&labels[2]).unwrap(),
        findings: &[(Some(2), "missing-file")],
    },
    Breakage {
        what: "an extra image",
        by: |_, images, _| {
            fs::copy(&images[0], images[0].with_file_name("extra.nii.gz")).unwrap();
        },
        findings: &[(None, "unlisted-file")],
    },
    Breakage {
        what: "an image that is no image",
        by: |_, images, _| {
            fs::write(
                &images[3],
                "not an image, only some text that is long enough to be a header ".repeat(9),
            )
            .unwrap()
        },
        findings: &[(Some(3), "unreadable")],
    },
    Breakage {
        what: "an image with damaged bytes",
        by: |_, images, _| {
            let mut bytes = fs::read(&images[3]).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle..middle + 8].fill(0xff);
            fs::write(&images[3], bytes).unwrap();
        },
        findings: &[(Some(3), "unreadable")],
    },
    Breakage {
        what: "a truncated image",
        by: |_, images, _| truncate(&images[4]),
        findings: &[(Some(4), "truncated")],
    },
    Breakage {
        what: "a truncated label map",
        by: |_, _, labels| truncate(&labels[4]),
        findings: &[(Some(4), "truncated")],
    },
    Breakage {
        what: "an empty file",
        by: |_, images, _| fs::write(&images[4], "").unwrap(),
        findings: &[(Some(4), "truncated")],
    },
    Breakage {
        what: "two channels instead of one",
        by: |_, images, _| {
            change_image(&images[0], |image| {
                let view = image.voxels.view();
                image.voxels = ndarray::concatenate(ndarray::Axis(0), &[view, view]).unwrap();
            });
        },
        findings: &[(Some(0), "channel-count")],
    },
    Breakage {
        what: "a label map of another shape",
        by: |_, _, labels| {
            change_labels(&labels[5], |map| {
                map.voxels = map.voxels.slice(ndarray::s![1.., .., ..]).to_owned()
            });
        },
        findings: &[(Some(5), "shape-mismatch")],
    },
    Breakage {
        what: "a label map at another place",
        by: |_, _, labels| change_labels(&labels[6], |map| map.affine.0[1][3] += 25.0),
        findings: &[(Some(6), "affine-mismatch")],
    },
    Breakage {
        what: "a label map of another spacing",
        by: |_, _, labels| {
            change_labels(&labels[6], |map| {
                map.affine.0.iter_mut().take(3).for_each(|row| row[2] *= 2.0)
            });
        },
        findings: &[(Some(6), "spacing-mismatch")],
    },
    Breakage {
        what: "a mirrored label map",
        by: |_, _, labels| {
            change_labels(&labels[7], |map| {
                map.affine.0.iter_mut().take(3).for_each(|row| row[0] = -row[0])
            });
        },
        findings: &[(Some(7), "affine-mismatch")],
    },
    Breakage {
        what: "a label that is not listed",
        by: |_, _, labels| change_labels(&labels[8], |map| map.voxels[[0, 0, 0]] = 9),
        findings: &[(Some(8), "unlisted-label")],
    },
    Breakage {
        what: "a label that is missing in one case",
        by: |_, _, labels| {
            change_labels(&labels[8], |map| map.voxels.mapv_inplace(|label| label.min(1)))
        },
        findings: &[(Some(8), "missing-label")],
    },
    Breakage {
        what: "a listed label that nobody has",
        by: |root, _, _| change_description(root, |json| json["labels"]["3"] = json!("phantasm")),
        findings: &[(None, "missing-label")],
    },
    Breakage {
        what: "NaN in an image",
        by: |_, images, _| change_image(&images[9], |image| image.voxels[[0, 1, 2, 3]] = f32::NAN),
        findings: &[(Some(9), "not-finite")],
    },
    Breakage {
        what: "infinity in an image",
        by: |_, images, _| {
            change_image(&images[9], |image| image.voxels[[0, 1, 2, 3]] = f32::INFINITY)
        },
        findings: &[(Some(9), "not-finite")],
    },
    Breakage {
        what: "labels that were interpolated",
        by: |_, _, labels| change_image(&labels[1], |map| map.voxels[[0, 3, 3, 3]] += 0.4),
        findings: &[(Some(1), "label-not-integer")],
    },
    Breakage {
        what: "an empty label map",
        by: |_, _, labels| change_labels(&labels[2], |map| map.voxels.fill(0)),
        findings: &[(Some(2), "empty-foreground")],
    },
    Breakage {
        what: "a few voxels of foreground",
        by: |_, _, labels| {
            change_labels(&labels[2], |map| {
                map.voxels.fill(0);
                (map.voxels[[1, 1, 1]], map.voxels[[1, 1, 2]]) = (1, 2);
            });
        },
        findings: &[(Some(2), "tiny-foreground")],
    },
    Breakage {
        what: "the same image twice",
        by: |_, images, labels| {
            fs::copy(&images[3], &images[5]).unwrap();
            fs::copy(&labels[3], &labels[5]).unwrap();
        },
        findings: &[(Some(5), "duplicate-image")],
    },
    Breakage {
        what: "a spacing in micrometres",
        by: |_, images, labels| {
            for path in [&images[0], &labels[0]] {
                change_image(path, |image| image.affine = scaled(&image.affine, 12.0));
            }
        },
        findings: &[(Some(0), "extreme-spacing")],
    },
    Breakage {
        what: "another orientation",
        by: |_, images, labels| {
            for path in [&images[0], &labels[0]] {
                change_image(path, |image| {
                    image.affine.0[0].iter_mut().for_each(|value| *value = -*value)
                });
            }
        },
        findings: &[(Some(0), "orientation")],
    },
    Breakage {
        what: "an oblique grid",
        by: |_, images, labels| {
            let (sin, cos) = 40_f64.to_radians().sin_cos();
            let turn = Affine([
                [cos, -sin, 0.0, 0.0],
                [sin, cos, 0.0, 0.0],
                [0.0, 0.0, 1.0, 0.0],
                [0.0, 0.0, 0.0, 1.0],
            ]);
            for path in [&images[0], &labels[0]] {
                change_image(path, |image| image.affine = turn.compose(&image.affine));
            }
        },
        findings: &[(Some(0), "oblique")],
    },
    Breakage {
        what: "a hot voxel",
        by: |_, images, _| change_image(&images[1], |image| image.voxels[[0, 2, 2, 2]] = 1e7),
        findings: &[(Some(1), "outlier-intensity")],
    },
    Breakage {
        what: "an image in other units",
        by: |_, images, _| change_image(&images[1], |image| image.voxels *= 1000.0),
        findings: &[(Some(1), "outlier-intensity")],
    },
    Breakage {
        what: "a blank image",
        by: |_, images, _| change_image(&images[1], |image| image.voxels.fill(3.0)),
        findings: &[(Some(1), "constant-image")],
    },
    Breakage {
        what: "another number of cases than announced",
        by: |root, _, _| change_description(root, |json| json["numTraining"] = json!(77)),
        findings: &[(None, "case-count")],
    },
    Breakage {
        what: "a case that is listed twice",
        by: |root, _, _| {
            change_description(root, |json| {
                let first = json["training"][0].clone();
                json["training"].as_array_mut().unwrap().push(first);
            });
        },
        findings: &[(None, "description")],
    },
    Breakage {
        what: "a description that is cut off",
        by: |root, _, _| truncate(&root.join("dataset.json")),
        findings: &[(None, "description")],
    },
];

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// The affine of voxels larger by `factor`, the first at the same place.
fn scaled(affine: &Affine, factor: f64) -> Affine {
    let mut matrix = affine.0;
    for row in matrix.iter_mut().take(3) {
        row[..3].iter_mut().for_each(|value| *value *= factor);
    }
    Affine(matrix)
}
