//! Descriptions as the neighbours write them: read where their meaning is certain, otherwise refused
//! in the words of whoever wrote them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::task::{self, name, volumes};
use crate::common::{write_image, write_labels};
use medvol::check::{Finding, Options, Severity, check, fix};
use medvol::{CaseFiles, Dataset};
use serde_json::{Value, json};

pub const CASES: usize = 4;

/// A small task, and its description as others would write it.
pub fn small(description: &Value) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    for subfolder in ["imagesTr", "labelsTr"] {
        fs::create_dir_all(root.join(subfolder)).unwrap();
    }
    for case in 0..CASES {
        let (image, labels) = volumes(case);
        write_image(task::image_path(&root, case), &image).unwrap();
        write_labels(task::label_path(&root, case), &labels).unwrap();
    }
    fs::write(root.join("dataset.json"), description.to_string()).unwrap();
    (folder, root)
}

pub fn described() -> Value {
    json!({
        "name": "Toy",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "organ", "2": "nodule"},
        "training": (0..CASES).map(entry).collect::<Vec<_>>(),
    })
}

pub fn entry(case: usize) -> Value {
    json!({"image": format!("./imagesTr/{}.nii.gz", name(case)), "label": format!("./labelsTr/{}.nii.gz", name(case))})
}

pub fn with(key: &str, value: Value) -> Value {
    let mut description = described();
    description[key] = value;
    description
}

fn findings(path: &Path) -> Vec<Finding> {
    check(path, &Options::default(), |_, _| true).unwrap().unwrap().findings
}

/// Everything found, as one text.
pub fn said(path: &Path) -> String {
    let line = |finding: &Finding| format!("{} {}\n", finding.severity, finding.message);
    findings(path).iter().map(line).collect()
}

pub fn is_clean(path: &Path) -> Dataset {
    assert_eq!(said(path), "");
    Dataset::open(path).unwrap()
}

fn names(cases: &[CaseFiles]) -> Vec<&str> {
    cases.iter().map(|case| case.name.as_str()).collect()
}

fn refusal(description: &Value) -> String {
    let (_folder, root) = small(description);
    let message = Dataset::open(&root).unwrap_err().to_string();
    assert!(message.contains("dataset.json") && !message.contains("untagged"), "{message}");
    message
}

#[test]
fn labels_and_channels_may_be_written_in_any_certain_way() {
    for (key, value) in [
        ("labels", json!({"background": 0, "organ": 1, "nodule": 2})),
        ("labels", json!({"background": "0", "organ": "1", "nodule": "2"})),
        ("labels", json!({"background": 0.0, "organ": 1.0, "nodule": 2})),
        ("labels", json!(["background", "organ", "nodule"])),
        ("modality", json!(["MRI"])),
        ("modality", json!("MRI")),
        ("modality", json!({"MRI": 0})),
        ("modality", json!({"MRI": "0"})),
        ("modality", json!({"0000": "MRI"})),
        ("numTraining", json!("4")),
        ("numTraining", json!(4.0)),
        ("numTest", json!("0")),
        ("channel_names", json!({"0": "MRI"})),
    ] {
        let description = with(key, value.clone());
        let (_folder, root) = small(&description);
        let dataset = is_clean(&root);
        let labels: Vec<_> = dataset.labels.iter().map(|l| (l.value, l.name.as_str())).collect();
        assert_eq!(labels, [(0, "background"), (1, "organ"), (2, "nodule")], "{key}: {value}");
        assert_eq!(dataset.channels, ["MRI"], "{key}: {value}");
    }
}

#[test]
fn what_is_uncertain_is_refused_with_its_value() {
    for (key, value, named) in [
        ("labels", json!(["organ", "nodule"]), "begin with \"background\""),
        ("labels", json!({"0": "background", "1": 2}), "two numbers"),
        ("labels", json!({"background": 0, "organ": "one"}), "\"organ\": \"one\""),
        ("labels", json!({"background": 0, "organ": 1.5}), "\"organ\": 1.5"),
        ("labels", json!("organ"), "found a text"),
        ("modality", json!({"0": null}), "\"0\": null"),
        ("modality", json!({"1": "MRI"}), "without gaps"),
        ("training", json!([7]), "training[0]: expected a file's name"),
        ("training", json!([{"scan": "a.nii", "label": "b.nii"}]), "expected a key \"image\""),
        ("training", json!([{"image": 3}]), "expected the name of a file as \"image\""),
        ("training", json!([{"image": []}]), "found []"),
        ("training", json!([{"image": "a.nii", "label": ["b.nii", "c.nii"]}]), "found 2 files"),
        ("training", json!([{"image": "a.nii", "fold": -1}]), "found -1"),
        (
            "dataset",
            json!({"a": {"scan": "a.nii"}}),
            "case \"a\" under \"dataset\" has no \"images\"",
        ),
        ("file_ending", json!(7), ".7"),
        ("file_ending", json!([".nii"]), "file_ending"),
        ("target_class", json!(null), "nnDetection"),
    ] {
        let message = refusal(&with(key, value.clone()));
        assert!(message.contains(named), "{key}: {value}: {message}");
    }
}

#[test]
fn broken_json_is_refused_with_line_and_column() {
    for (text, named) in [
        ("{\n  \"name\": \"Toy\",\n}\n", vec!["trailing comma", "line 3 column 1"]),
        ("{\n  // the name\n  \"name\": \"Toy\"\n}\n", vec!["line 2", "no comments"]),
        ("{\n  \"name\": \"Toy\", # here\n  \"a\": 1}\n", vec!["line 2", "no comments"]),
        (
            "{\"labels\": {\"organ\": 1,\n \"organ\": 2}}",
            vec!["\"organ\" stands there twice", "line 2"],
        ),
        ("[]", vec!["found a list"]),
        (" \n", vec!["empty file"]),
    ] {
        let (_folder, root) = small(&described());
        fs::write(root.join("dataset.json"), text).unwrap();
        let message = Dataset::open(&root).unwrap_err().to_string();
        for part in named.into_iter().chain(["dataset.json"]) {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}

#[test]
fn a_description_may_have_a_byte_order_mark() {
    let text = described().to_string();
    let sixteen = text.encode_utf16().flat_map(u16::to_le_bytes);
    for bytes in [
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        [0xff, 0xfe].into_iter().chain(sixteen).collect(),
    ] {
        let (_folder, root) = small(&described());
        fs::write(root.join("dataset.json"), bytes).unwrap();
        assert_eq!(names(&is_clean(&root).cases)[0], name(0));
    }
}

#[test]
fn a_description_that_is_no_utf8_is_refused_with_its_line() {
    let (_folder, root) = small(&described());
    fs::write(root.join("dataset.json"), b"{\n\"name\": \"M\xfcller\"}").unwrap();
    let message = Dataset::open(&root).unwrap_err().to_string();
    assert!(message.contains("line 2") && message.contains("UTF-8"), "{message}");
}

#[test]
fn the_files_of_a_case_may_be_a_list_of_one_a_channel() {
    let files = |case: usize| {
        let [first, second] =
            ["imagesTr", "T2"].map(|folder| format!("{folder}/{}.nii.gz", name(case)));
        json!({"image": [first, second], "label": [format!("labelsTr/{}.nii.gz", name(case))]})
    };
    let mut description = with("training", (0..CASES).map(files).collect());
    description["modality"] = json!({"0": "T1", "1": "T2"});
    let (_folder, root) = small(&description);
    fs::create_dir(root.join("T2")).unwrap();
    for case in 0..CASES {
        let file = root.join(format!("T2/{}.nii.gz", name(case)));
        let mut image = volumes(case).0;
        image.voxels.mapv_inplace(|value| 500.0 - value);
        write_image(file, &image).unwrap();
    }
    let dataset = is_clean(&root);
    assert_eq!(names(&dataset.cases), (0..CASES).map(name).collect::<Vec<_>>());
    assert_eq!(dataset.load(&dataset.cases[0]).unwrap().0.channels(), 2);
}

#[test]
fn paths_may_be_those_of_windows_or_of_another_machine() {
    let (_folder, root) = small(&described());
    let path = |text: String| move |case: usize| json!({"image": text.replace("CASE", &name(case)), "label": text.replace("images", "labels").replace("ImagesTR", "LabelsTR").replace("CASE", &name(case))});
    let absolute = root.join("imagesTr/CASE.nii.gz").display().to_string();
    for (text, moved) in [
        (".\\imagesTr\\CASE.nii.gz".to_string(), false),
        ("imagesTr\\\\CASE.nii.gz".to_string(), false),
        ("././/imagesTr//CASE.nii.gz".to_string(), false),
        (" imagesTr/CASE.nii.gz ".to_string(), false),
        ("ImagesTR/CASE.NII.GZ".to_string(), false),
        (absolute, false),
        ("D:\\Data\\Toy\\imagesTr\\CASE.nii.gz".to_string(), true),
        ("/home/nobody/somewhere/imagesTr/CASE.nii.gz".to_string(), true),
    ] {
        let description = with("training", (0..CASES).map(path(text.clone())).collect());
        fs::write(root.join("dataset.json"), description.to_string()).unwrap();
        let dataset = Dataset::open(&root).unwrap();
        for case in &dataset.cases {
            assert!(dataset.load(case).unwrap().1.is_some(), "{text}");
        }
        assert_eq!(names(&dataset.cases)[1], name(1), "{text}");
        let found = said(&root);
        assert_eq!(found.contains("another machine"), moved, "{text}: {found}");
        assert_eq!(found.is_empty(), !moved, "{text}: {found}");
    }
}

#[test]
fn a_name_is_found_in_either_unicode_form() {
    let (composed, decomposed) =
        ("Frau Mu\u{308}ller".replace("u\u{308}", "\u{fc}"), "Frau Mu\u{308}ller");
    for (on_disk, written) in [(decomposed, composed.as_str()), (composed.as_str(), decomposed)] {
        let (_folder, root) = small(&described());
        for folder in ["imagesTr", "labelsTr"] {
            let path = |name: &str| root.join(format!("{folder}/{name}.nii.gz"));
            fs::rename(path(&name(0)), path(on_disk)).unwrap();
        }
        let entry = json!({"image": format!("./imagesTr/{written}.nii.gz"), "label": format!("./labelsTr/{written}.nii.gz")});
        task::change_description(&root, |json| json["training"][0] = entry);
        let dataset = is_clean(&root);
        assert_eq!(dataset.cases[0].name, composed);
        assert!(dataset.load(&dataset.cases[0]).is_ok());
        // The same in nnU-Net's folders, of both versions; in the second, image and label map have
        // different forms.
        for case in 0..CASES {
            let file = if case == 0 { on_disk.to_string() } else { name(case) };
            let image = |name: &str| root.join(format!("imagesTr/{name}.nii.gz"));
            fs::rename(image(&file), image(&format!("{file}_0000"))).unwrap();
        }
        let dataset = is_clean(&root);
        assert!(dataset.load(&dataset.cases[0]).is_ok());
        let label = |name: &str| root.join(format!("labelsTr/{name}.nii.gz"));
        fs::rename(label(on_disk), label(written)).unwrap();
        task::change_description(&root, |json| {
            json.as_object_mut().unwrap().remove("training");
            json["file_ending"] = json!(".nii.gz");
        });
        assert_eq!(is_clean(&root).cases[0].name, composed);
    }
}

#[test]
fn a_file_ending_may_lack_its_dot_or_be_in_upper_case() {
    for (ending, on_disk) in [
        ("nii.gz", ".nii.gz"),
        (".NII.GZ", ".nii.gz"),
        (".nii.gz", ".NII.GZ"),
        ("NII.GZ", ".NII.GZ"),
    ] {
        let (_folder, root) = small(&described());
        for case in 0..CASES {
            let to = root.join(format!("imagesTr/{}_0000{on_disk}", name(case)));
            fs::rename(task::image_path(&root, case), to).unwrap();
            let to = root.join(format!("labelsTr/{}{on_disk}", name(case)));
            fs::rename(task::label_path(&root, case), to).unwrap();
        }
        task::change_description(&root, |json| {
            json.as_object_mut().unwrap().remove("training");
            json["file_ending"] = json!(ending);
        });
        let dataset = is_clean(&root);
        assert_eq!(names(&dataset.cases), (0..CASES).map(name).collect::<Vec<_>>());
        assert!(!dataset.listed);
    }
}

#[test]
fn cases_in_folders_of_their_own_are_named_after_the_folders() {
    let (_folder, root) = small(&described());
    let files = |case: usize| {
        let folder = root.join(format!("s{case:04}"));
        fs::create_dir_all(folder.join("segmentations")).unwrap();
        fs::rename(task::image_path(&root, case), folder.join("ct.nii.gz")).unwrap();
        fs::rename(task::label_path(&root, case), folder.join("segmentations/all.nii.gz")).unwrap();
        json!({"image": format!("s{case:04}/ct.nii.gz"), "label": format!("s{case:04}/segmentations/all.nii.gz")})
    };
    let mut entries: Vec<Value> = (0..CASES).map(files).collect();
    let test = entries.pop().unwrap()["image"].take();
    task::change_description(&root, |json| {
        json["training"] = json!(entries);
        json["test"] = json!([test]);
    });
    let dataset = Dataset::open(&root).unwrap();
    assert_eq!(names(&dataset.cases), ["s0000", "s0001", "s0002"]);
    assert_eq!(names(&dataset.test), ["s0003"]);
    // A name of one's own is better still.
    task::change_description(&root, |json| json["training"][0]["case"] = json!("first"));
    assert_eq!(Dataset::open(&root).unwrap().cases[0].name, "first");
}

#[test]
fn what_a_description_says_in_vain_is_said() {
    for (key, value, named) in [
        ("overwrite_image_reader_writer", json!("SimpleITKIO"), "SimpleITKIO"),
        ("numTest", json!(7), "\"numTest\" is 7, but there are 0 test cases"),
        ("numTraining", json!("many"), "found \"many\""),
        ("labels", json!({"organ": 0, "nodule": 1, "x": 2}), "label 0 is called \"organ\""),
        ("traning", json!([]), "note keys without a meaning here: traning"),
    ] {
        let (_folder, root) = small(&with(key, value));
        let found = said(&root);
        assert!(found.contains(named), "{key}: {found}");
    }
    // A mapping leaves the lists without use.
    let (_folder, root) = small(&with(
        "dataset",
        json!({"a": {"images": ["imagesTr/case_00.nii.gz"], "label": "labelsTr/case_00.nii.gz"}}),
    ));
    let found = said(&root);
    assert!(found.contains("the 4 case(s) under \"training\" are not used"), "{found}");
}

#[test]
fn keys_may_have_other_capitals_and_lists_of_other_names_are_said_to_be_left_out() {
    let mut description = with("training", (0..3).map(entry).collect());
    let list = json!([entry(3)]);
    description["Validation"] = list.clone();
    let labels = description.as_object_mut().unwrap().remove("labels").unwrap();
    description["Labels"] = labels;
    let (_folder, root) = small(&description);
    assert_eq!(is_clean(&root).folds[0].held_out, [name(3)]);
    description.as_object_mut().unwrap().remove("Validation");
    description["held_out"] = list;
    let (_folder, root) = small(&description);
    let found = said(&root);
    let left_out = "warning the 1 labelled case(s) under \"held_out\" are not used";
    assert!(found.contains(left_out), "{found}");
}

#[test]
fn channels_of_a_listed_case_may_have_a_key_each_without_gaps() {
    let channels = |keys: [&str; 2]| {
        let case = |case: usize| {
            let entry = entry(case);
            let [first, second] = [&entry["image"], &entry["label"]];
            json!({keys[0]: first, keys[1]: second, "label": entry["label"]})
        };
        let mut description = with("training", (0..CASES).map(case).collect());
        description["modality"] = json!(["T1", "T2"]);
        description
    };
    let (_folder, root) = small(&channels(["image_0", "image_1"]));
    let dataset = Dataset::open(&root).unwrap();
    assert_eq!(dataset.cases[2].images[1].path(), task::label_path(&root, 2));
    for keys in [["image_0", "image_2"], ["image", "image_1"]] {
        assert!(refusal(&channels(keys)).contains("without gaps"), "{keys:?}");
    }
}

#[test]
fn a_path_may_begin_at_the_folder_of_the_data_set() {
    let entry = |case: usize| {
        let mut entry = entry(case);
        for file in entry.as_object_mut().unwrap().values_mut() {
            *file = json!(file.as_str().unwrap().trim_start_matches('.'));
        }
        entry
    };
    let (_folder, root) = small(&with("training", (0..CASES).map(entry).collect()));
    assert!(said(&root).contains("warning 8 path(s) of another machine or folder"));
    assert_eq!(Dataset::open(&root).unwrap().cases[1].images[0].path(), task::image_path(&root, 1));
}

#[test]
fn what_python_writes_instead_of_json_is_refused_with_the_right_words() {
    let text = described().to_string();
    for (text, hint) in [
        (text.replace('"', "'"), "double quotes"),
        (text.replacen("\"Toy\"", "None", 1), "writes null, true and false"),
        (text.replacen("\"Toy\"", "NaN", 1), "has no NaN"),
    ] {
        let (_folder, root) = small(&described());
        fs::write(root.join("dataset.json"), &text).unwrap();
        assert!(said(&root).contains(hint), "{text}: {}", said(&root));
    }
}

#[test]
fn label_maps_of_nnunet_may_differ_from_their_images_in_capitals() {
    let (_folder, root) = small(&described());
    for case in 0..CASES {
        let image = root.join(format!("imagesTr/{}_0000.nii.gz", name(case)));
        fs::rename(task::image_path(&root, case), image).unwrap();
        let label = root.join(format!("labelsTr/{}.nii.gz", name(case).to_uppercase()));
        fs::rename(task::label_path(&root, case), label).unwrap();
    }
    task::change_description(&root, |json| {
        json.as_object_mut().unwrap().remove("training");
        json["file_ending"] = json!(".nii.gz");
    });
    assert_eq!(Dataset::open(&root).unwrap().cases.len(), CASES);
    assert!(said(&root).contains("warning 4 label map(s) have another name than their case"));
}

#[test]
fn label_maps_of_test_cases_are_not_left_out_in_silence() {
    let (_folder, root) = small(&with("training", (0..3).map(entry).collect()));
    task::change_description(&root, |json| json["test"] = json!([entry(3)]));
    let found = said(&root);
    assert!(found.contains("note the label maps of 1 test case(s) are not used"), "{found}");
}

#[test]
fn what_lies_beside_the_images_is_not_left_out_in_silence() {
    let (_folder, root) = small(&described());
    fs::write(root.join("imagesTr/notes.txt"), "").unwrap();
    fs::write(root.join("imagesTr/packed.nii.bz2"), "").unwrap();
    fs::create_dir(root.join("imagesTr/more")).unwrap();
    fs::copy(task::image_path(&root, 0), root.join("imagesTr/more/a.nii.gz")).unwrap();
    fs::copy(task::image_path(&root, 0), root.join("imagesTr/late.NII.GZ")).unwrap();
    let found = said(&root);
    assert!(found.contains("such as imagesTr/late.NII.GZ, imagesTr/more: each belongs"), "{found}");
    assert!(found.contains("warning imagesTr/packed.nii.bz2 is compressed in a way"), "{found}");
    assert!(found.contains("note imagesTr/notes.txt is in no format"), "{found}");
}

#[cfg(unix)]
#[test]
fn a_name_that_is_no_utf8_is_said_in_every_check() {
    use std::os::unix::ffi::OsStrExt as _;
    let (_folder, root) = small(&described());
    for case in 0..CASES {
        let to =
            task::image_path(&root, case).with_file_name(format!("{}_0000.nii.gz", name(case)));
        fs::rename(task::image_path(&root, case), to).unwrap();
    }
    task::change_description(&root, |json| {
        json.as_object_mut().unwrap().remove("training");
        json["file_ending"] = json!(".nii.gz");
    });
    is_clean(&root);
    let odd = std::ffi::OsStr::from_bytes(b"M\xfcller_0000.nii.gz");
    fs::rename(root.join("imagesTr/case_00_0000.nii.gz"), root.join("imagesTr").join(odd)).unwrap();
    fs::remove_file(root.join("labelsTr/case_00.nii.gz")).unwrap();
    for labelled_only in [false, true] {
        let options = Options { labelled_only, ..Options::default() };
        let report = check(&root, &options, |_, _| true).unwrap().unwrap();
        let [finding] = report.findings.as_slice() else { panic!("{:#?}", report.findings) };
        assert!(finding.severity == Severity::Error && finding.message.contains("not UTF-8"));
    }
}

#[test]
fn a_test_case_may_have_the_name_of_a_training_case_and_faults_are_those_of_its_own_file() {
    let (folder, root) = small(&with("test", json!([format!("./imagesTs/{}.nii.gz", name(0))])));
    fs::create_dir_all(root.join("imagesTs")).unwrap();
    let sound = fs::read(task::image_path(&root, 0)).unwrap();
    let truncated = root.join(format!("imagesTs/{}.nii.gz", name(0)));
    fs::write(&truncated, &sound[..sound.len() / 2]).unwrap();

    let dataset = Dataset::open(&root).unwrap();
    assert_eq!(names(&dataset.test), [name(0)]);
    assert_eq!(names(&dataset.cases).len(), CASES);
    let report = check(&root, &Options::default(), |_, _| true).unwrap().unwrap();
    let errors: Vec<_> =
        report.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert!(matches!(errors[..], [finding] if finding.test), "{errors:?}");
    let copy = folder.path().join("copy");
    fix(&report, &copy, |_| true).unwrap().unwrap();
    let copied = Dataset::open(&copy).unwrap();
    assert_eq!((copied.cases.len(), copied.test.len()), (CASES, 0));
}

#[test]
fn a_copy_in_which_nothing_is_left_to_train_on_is_an_error() {
    let (folder, root) = small(&described());
    for case in 0..CASES {
        fs::write(task::image_path(&root, case), "no image").unwrap();
    }
    let report = check(&root, &Options::default(), |_, _| true).unwrap().unwrap();
    assert!(fix(&report, &folder.path().join("copy"), |_| true).is_err());
}
