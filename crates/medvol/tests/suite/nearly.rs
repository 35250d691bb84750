//! What is nearly as it should be and can be meant in one way only is read, and said; what is nearly
//! right and can be meant otherwise is not passed over.

use std::fs;
use std::path::Path;

use crate::common::task::{
    CASES, change_description, change_image, image_path, name, volumes, write_task,
};
use crate::common::write_image;
use medvol::check::{Fold, Options, check};
use medvol::{CaseFiles, Dataset, io};
use serde_json::{Value, json};

/// A task with nothing wrong, with some keys of its description set (or, if null, taken out).
fn with(keys: Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_task(folder.path());
    change_description(folder.path(), |json| {
        let json = json.as_object_mut().unwrap();
        for (key, value) in keys.as_object().unwrap() {
            json.insert(key.clone(), value.clone());
        }
        json.retain(|_, value| !value.is_null());
    });
    folder
}

/// All that is said, as one text.
fn said(path: &Path, options: &Options) -> String {
    let found = check(path, options, |_, _| true).unwrap().unwrap().findings;
    found.iter().map(|f| format!("{} {}\n", f.severity, f.message)).collect()
}

/// The names of cases and of their images.
fn files(cases: &[CaseFiles]) -> Vec<(&str, Vec<String>)> {
    let file = |source: &io::Source| source.path().file_name().unwrap().to_string_lossy().into();
    let of = |case: &'_ CaseFiles| case.images.iter().map(file).collect();
    cases.iter().map(|case| (case.name.as_str(), of(case))).collect()
}

fn expected(endings: &[&str]) -> Vec<(String, Vec<String>)> {
    let file = |case: usize, ending: &&str| format!("{}{ending}", name(case));
    let of = |case: usize| endings.iter().map(|ending| file(case, ending)).collect();
    (0..CASES).map(|case| (name(case), of(case))).collect()
}

/// A task of two channels in files of their own, the second of which is what `second` makes of the
/// first.
fn of_two_channels(second: impl Fn(&mut medvol::Image)) -> tempfile::TempDir {
    let folder = with(json!({"modality": ["T1", "T2"], "test": null}));
    let root = folder.path();
    for case in 0..CASES {
        let mut image = volumes(case).0;
        second(&mut image);
        write_image(root.join(format!("imagesTr/second_{case}.nii.gz")), &image).unwrap();
    }
    change_description(root, |json| {
        for (case, entry) in json["training"].as_array_mut().unwrap().iter_mut().enumerate() {
            entry["image"] = json!([entry["image"], format!("imagesTr/second_{case}.nii.gz")]);
        }
    });
    folder
}

#[test]
fn a_channel_that_is_a_copy_of_another_is_not_taken_in_silence() {
    let folder = of_two_channels(|_| {});
    let found = said(folder.path(), &Options::default());
    let expected = "warning imagesTr/second_3.nii.gz: channel 1 has the voxels of channel 0 \
                    (imagesTr/case_03.nii.gz)";
    assert!(found.contains(expected), "{found}");
    let folder = of_two_channels(|image| image.voxels.mapv_inplace(|value| 3.0 - value));
    assert!(!said(folder.path(), &Options::default()).contains("has the voxels"));
}

#[test]
fn what_is_wrong_with_a_channel_is_said_of_its_own_file() {
    let folder = of_two_channels(|image| image.voxels.fill(4.0));
    let found = said(folder.path(), &Options::default());
    let expected = "imagesTr/second_3.nii.gz: all voxels of channel(s) [1] are the same";
    assert!(found.contains(expected), "{found}");
    let two = |image: &mut medvol::Image| {
        let views = [image.voxels.view(), image.voxels.view()];
        image.voxels = ndarray::concatenate(ndarray::Axis(0), &views).unwrap();
    };
    let found = said(of_two_channels(two).path(), &Options::default());
    let expected = "expected 2 channel(s), found 3 in 2 files, of them several in \
                    imagesTr/second_3.nii.gz (2)";
    assert!(found.contains(expected), "{found}");
}

#[test]
fn images_of_one_channel_need_no_number() {
    let of_nnu_net = json!({"file_ending": ".nii.gz", "training": null, "test": null});
    for keys in [of_nnu_net, json!({"file_ending": ".nii.gz"})] {
        let folder = with(keys);
        let root = folder.path();
        fs::remove_dir_all(root.join("imagesTs")).unwrap();
        fs::create_dir(root.join("imagesTs")).unwrap();
        write_image(root.join("imagesTs/late_0012.nii.gz"), &volumes(CASES).0).unwrap();
        let dataset = Dataset::open(root).unwrap();
        let found = files(&dataset.cases);
        let found: Vec<_> = found.into_iter().map(|(case, files)| (case.into(), files)).collect();
        assert_eq!(found, expected(&[".nii.gz"]));
        assert_eq!(files(&dataset.test), [("late_0012", vec!["late_0012.nii.gz".into()])]);
        let said = said(root, &Options::default());
        let count = CASES + 1;
        assert!(said.contains(&format!("warning {count} image(s) lack the number")), "{said}");
        assert!(!said.contains("error"), "{said}");
    }
}

#[test]
fn a_list_counts_where_the_folders_hold_no_images_as_nnunet_names_them() {
    let folder = with(json!({"file_ending": ".nii.gz", "modality": ["T1", "T2"]}));
    let root = folder.path();
    for case in 0..CASES {
        let path = image_path(root, case);
        let image = io::Source::from(&path).open().unwrap().image().unwrap();
        let voxels = ndarray::concatenate![ndarray::Axis(0), image.voxels, image.voxels];
        write_image(&path, &medvol::Image { voxels, ..image }).unwrap();
    }
    let dataset = Dataset::open(root).unwrap();
    assert!(dataset.listed && dataset.load(&dataset.cases[0]).is_ok());
}

#[test]
fn the_first_channel_may_stand_for_all_and_a_case_is_called_like_its_label_map() {
    let listed = |case: usize| json!({"image": format!("./imagesTr/{}_0000.nii.gz", name(case)), "label": format!("./labelsTr/{}.nii.gz", name(case))});
    let training: Vec<Value> = (0..CASES).map(listed).collect();
    for (channels, endings) in
        [(vec!["T1"], &["_0000.nii.gz"][..]), (vec!["T1", "T2"], &["_0000.nii.gz", "_0001.nii.gz"])]
    {
        let folder = with(json!({"modality": channels, "training": training, "test": null}));
        for case in 0..CASES {
            let (image, path) = (volumes(case).0, image_path(folder.path(), case));
            for ending in endings {
                let file = format!("{}{ending}", name(case));
                write_image(path.with_file_name(file), &image).unwrap();
            }
            fs::remove_file(path).unwrap();
        }
        let dataset = Dataset::open(folder.path()).unwrap();
        let found = files(&dataset.cases);
        let found: Vec<_> = found.into_iter().map(|(case, files)| (case.into(), files)).collect();
        assert_eq!(found, expected(endings));
    }
}

#[test]
fn numbered_files_that_are_all_listed_are_not_each_others_channels() {
    let folder = with(json!({"modality": ["T1", "T2"], "test": null}));
    let listed = |number: usize| {
        write_image(folder.path().join(format!("imagesTr/scan_{number:04}.nii.gz")), &volumes(0).0)
            .unwrap();
        json!({"image": format!("imagesTr/scan_{number:04}.nii.gz")})
    };
    let training: Vec<Value> = (0..2).map(listed).collect();
    change_description(folder.path(), |json| json["training"] = json!(training));
    let dataset = Dataset::open(folder.path()).unwrap();
    assert!(dataset.cases.iter().all(|case| case.images.len() == 1), "{:?}", dataset.cases);
}

#[test]
fn paths_from_the_folder_above_are_found_and_said() {
    let folder = with(json!({"test": null}));
    let beside = |prefix: &str| {
        let case = |case: usize| {
            let [image, label] =
                ["imagesTr", "labelsTr"].map(|sub| format!("{prefix}/{sub}/{}.nii.gz", name(case)));
            json!({"image": image, "label": label})
        };
        (0..CASES).map(case).collect::<Vec<_>>()
    };
    change_description(folder.path(), |json| json["training"] = json!(beside("Task01_Toy")));
    let found = said(folder.path(), &Options::default());
    let count = 2 * CASES;
    assert!(found.contains(&format!("warning {count} path(s) of another machine or folder")));
    assert!(!found.contains("error"), "{found}");
    // What is missing from a folder that is there, is missing.
    fs::create_dir(folder.path().join("site_b")).unwrap();
    change_description(folder.path(), |json| json["training"] = json!(beside("site_b")));
    let found = said(folder.path(), &Options::default());
    assert!(found.contains(&format!("site_b/imagesTr/{}.nii.gz is not there", name(0))), "{found}");
}

#[test]
fn folders_of_images_that_no_case_comes_from_are_said() {
    let folder = with(json!({}));
    for (sub, file) in [("imagesVal", "a.nii.gz"), ("old", "b.mha"), ("notes", "c.txt")] {
        fs::create_dir(folder.path().join(sub)).unwrap();
        fs::write(folder.path().join(sub).join(file), "").unwrap();
    }
    let said = said(folder.path(), &Options::default());
    let lines: Vec<&str> = said.lines().collect();
    let expected = [
        "warning 1 file(s) in imagesVal belong to no case and are left out",
        "note 1 file(s) in old belong to no case and are left out",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_background_with_another_number_than_0_is_refused() {
    let labels = json!({"organ": 0, "Background": 1, "nodule": 2});
    let folder = with(json!({ "labels": labels }));
    let message = Dataset::open(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("\"organ\"") && message.contains("always the background"),
        "{message}"
    );
    let labels = json!({"unlabelled": 0, "background": 1, "nodule": 2});
    assert!(Dataset::open(with(json!({ "labels": labels })).path()).is_ok());
}

#[test]
fn a_channel_called_like_ct_is_not_normalised_otherwise_in_silence() {
    for (channel, shift, suspicious) in
        [("CT_arterial", -100.0, true), ("CT_arterial", 100.0, false), ("Octave", -100.0, false)]
    {
        let folder = with(json!({"modality": [channel], "test": null}));
        fs::remove_dir_all(folder.path().join("imagesTs")).unwrap();
        for case in 0..CASES {
            change_image(&image_path(folder.path(), case), |image| {
                let least = image.voxels.iter().copied().fold(f32::INFINITY, f32::min);
                image.voxels.mapv_inplace(|value| value - least + shift);
            });
        }
        let said = said(folder.path(), &Options::default());
        assert_eq!(said.contains("not exactly \"CT\""), suspicious, "{channel} {shift}: {said}");
    }
}

#[test]
fn folds_may_name_cases_by_their_files() {
    let folder = with(json!({}));
    let file = |case: usize| format!("./imagesTr/{}.nii.gz", name(case));
    let fold = Fold { training: (2..CASES).map(file).collect(), held_out: vec![file(0), name(1)] };
    let options = |fold: &Fold| Options { folds: vec![fold.clone()], ..Options::default() };
    assert_eq!(said(folder.path(), &options(&fold)), "");
    let unknown = Fold { held_out: vec![file(0), "imagesTr/other.nii.gz".into()], ..fold };
    assert!(said(folder.path(), &options(&unknown)).contains("imagesTr/other.nii.gz, which"));
}

#[test]
fn a_header_finds_its_voxels_by_a_name_of_windows_and_they_are_part_of_it() {
    let folder = with(json!({}));
    let path = folder.path().join("imagesTr/one.mhd");
    let image = volumes(0).0;
    write_image(&path, &image).unwrap();
    let header = fs::read_to_string(&path).unwrap();
    for written in ["one.zraw", ".\\one.zraw", "One.ZRAW"] {
        fs::write(&path, header.replace("one.zraw", written)).unwrap();
        let read = io::Source::from(&path).open().unwrap().image().unwrap();
        assert_eq!(read.voxels, image.voxels, "{written}");
    }
    // The header is left out; of its voxels nothing need be said.
    let said = said(folder.path(), &Options::default());
    assert!(said.contains("imagesTr/one.mhd belongs to no case"), "{said}");
    assert!(!said.contains("zraw"), "{said}");
}
