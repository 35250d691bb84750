//! What would go wrong in silence is said.

use std::fs;
use std::path::Path;

use crate::common::task::{
    CASES, change_description, change_image, change_labels, image_path, label_path, name, volumes,
    write_task,
};
use crate::common::{read_labels, write_image, write_labels};
use medvol::check::{Familiar, Finding, Fold, Kind, Options, Severity, check, look};
use medvol::io::Source;
use medvol::{Affine, Dataset, LabelMap, Normalisation};
use serde_json::{Value, json};

/// A task with nothing wrong, changed.
fn changed(change: impl FnOnce(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_task(folder.path());
    change(folder.path());
    folder
}

fn findings(root: &Path, options: &Options) -> Vec<Finding> {
    check(root, options, |_, _| true).unwrap().unwrap().findings
}

/// All that is said of a task that is changed in one way: subject, severity and message.
fn said(change: impl FnOnce(&Path)) -> Vec<String> {
    let folder = changed(change);
    said_at(folder.path())
}

fn said_at(path: &Path) -> Vec<String> {
    let line = |f: &Finding| format!("{}: {} {}", f.subject(), f.severity, f.message);
    findings(path, &Options::default()).iter().map(line).collect()
}

/// The only thing that is said.
fn only(change: impl FnOnce(&Path)) -> String {
    let said = said(change);
    assert!(said.len() == 1, "{said:#?}");
    said.into_iter().next().unwrap()
}

#[test]
fn a_ct_in_other_units_than_hounsfields_is_suspicious() {
    let as_ct = |root: &Path, case: usize, scale: f32, shift: f32| {
        // From 0 to some hundreds.
        change_image(&image_path(root, case), |image| {
            let least = image.voxels.iter().copied().fold(f32::INFINITY, f32::min);
            let range = image.voxels.iter().copied().fold(0.0, f32::max) - least;
            image.voxels.mapv_inplace(|v| scale * (v - least) / range + shift);
        });
    };
    let called = |root: &Path| change_description(root, |json| json["modality"] = json!(["CT"]));
    for (scale, shift, fine) in
        [(2000.0, -1000.0, true), (2000.0, 24.0, false), (1.0, 0.0, false), (2.0, -1.0, false)]
    {
        let of_case = |case: usize| if case == 3 { (scale, shift) } else { (2000.0, -1000.0) };
        let said = said(|root| {
            called(root);
            for case in 0..CASES {
                let (scale, shift) = of_case(case);
                as_ct(root, case, scale, shift);
            }
            fs::remove_dir_all(root.join("imagesTs")).unwrap();
            change_description(root, |json| json["test"] = json!([]));
        });
        let units = said.iter().filter(|text| text.contains("no Hounsfield units"));
        let units: Vec<&String> = units.collect();
        assert_eq!(units.is_empty(), fine, "{scale} {shift}: {said:#?}");
        assert!(units.iter().all(|text| text.starts_with("case_03: warning")), "{said:#?}");
    }
    // So it is in prediction; an image that is not to be CT may hold anything.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    write_image(&path, &volumes(0).0).unwrap();
    change_image(&path, |image| image.voxels.mapv_inplace(f32::abs));
    let opened = Source::from(path.as_path()).open().unwrap();
    let header = opened.header().clone();
    let raw = opened.raw().unwrap();
    for (channel, found) in [("CT", 1), ("MRI", 0)] {
        let normalisation = [Normalisation::of_channel(channel)];
        let spacing_mm = header.grid.affine.spacing();
        let familiar = Familiar { spacing_mm, patch: [8; 3], normalisation: &normalisation };
        let looked = look(&[Source::from(path.as_path())], &header, &raw, familiar);
        assert_eq!(looked.len(), found, "{channel}: {looked:#?}");
    }
}

#[test]
fn a_channel_that_is_nearly_called_ct_is_said_where_its_name_decides() {
    let folder = changed(|root| {
        change_description(root, |json| json["modality"] = json!(["CT_arterial"]));
        for case in 0..CASES {
            change_image(&image_path(root, case), |image| {
                image.voxels.mapv_inplace(|v| v - 1000.0);
            });
        }
    });
    for (normalised, count) in [(false, 1), (true, 0)] {
        let found = findings(folder.path(), &Options { normalised, ..Options::default() });
        let suspected = found.iter().filter(|finding| finding.kind == Kind::SuspectedCt);
        assert_eq!(suspected.count(), count, "{found:#?}");
    }
}

#[test]
fn centimetres_for_millimetres_are_suspicious_and_thick_slices_are_not() {
    for (factors, fine) in
        [([1.0, 1.0, 5.0], true), ([0.1; 3], false), ([6.0; 3], false), ([2.0; 3], true)]
    {
        let said = said(|root| {
            // Of few cases nothing is known of how they differ.
            for case in 3..CASES {
                fs::remove_file(image_path(root, case)).unwrap();
                fs::remove_file(label_path(root, case)).unwrap();
            }
            change_description(root, |json| {
                json["numTraining"] = json!(3);
                json["training"].as_array_mut().unwrap().truncate(3);
            });
            for path in [image_path(root, 1), label_path(root, 1)] {
                change_image(&path, |image| {
                    for row in image.affine.0.iter_mut().take(3) {
                        row.iter_mut().zip(factors).for_each(|(v, factor)| *v *= factor);
                    }
                });
            }
        });
        assert_eq!(said.is_empty(), fine, "{factors:?}: {said:#?}");
        assert!(
            said.iter().all(|text| text.contains("case_01: warning a spacing of")),
            "{said:#?}"
        );
    }
}

#[test]
fn a_label_that_only_held_out_cases_hold_cannot_be_learnt() {
    let folder = changed(|root| {
        for case in 2..CASES {
            change_labels(&label_path(root, case), |map| map.voxels.mapv_inplace(|v| v.min(1)));
        }
    });
    let names = |cases: std::ops::Range<usize>| cases.map(name).collect::<Vec<_>>();
    let fold = Fold { training: names(2..CASES), held_out: names(0..2) };
    let other = Fold { training: names(0..8), held_out: names(8..CASES) };
    let found = |options: &Options| {
        let all = findings(folder.path(), options).into_iter();
        let missing = all.filter(|f| f.kind.name() == "missing-label");
        missing.map(|f| format!("{} {}", f.severity, f.message)).collect::<Vec<_>>()
    };
    let in_both = Options { folds: vec![other.clone(), fold.clone()], ..Options::default() };
    let of_run = |number, fold| Options { fold: Some((number, fold)), ..Options::default() };
    for options in [in_both, of_run(1, fold)] {
        let said = found(&options);
        let [text] = said.as_slice() else { panic!("{said:#?}") };
        let start =
            "warning fold 1: no training case holds label 2 (nodule), but 2 held-out case(s)";
        assert!(text.starts_with(start), "{text}");
    }
    assert_eq!(found(&of_run(0, other)), [""; 0]);
}

#[test]
fn cases_that_folds_hold_out_twice_or_never_are_said() {
    let folder = changed(|_| {});
    let fold = |held_out: &[usize]| {
        let (out, training) = (0..CASES).partition::<Vec<_>, _>(|case| held_out.contains(case));
        let names = |cases: Vec<usize>| cases.into_iter().map(name).collect();
        Fold { training: names(training), held_out: names(out) }
    };
    let found = |folds: &[Fold]| {
        let options = Options { folds: folds.to_vec(), ..Options::default() };
        findings(folder.path(), &options).into_iter().map(|f| f.message).collect::<Vec<_>>()
    };
    assert_eq!(found(&[fold(&[0, 1])]), [""; 0]);
    assert_eq!(found(&[fold(&[0, 1, 2, 3, 4]), fold(&[5, 6, 7, 8, 9])]), [""; 0]);
    assert_eq!(
        found(&[fold(&[0, 1, 2, 3, 4, 5, 6, 7]), fold(&[7, 8])]),
        [
            "1 case(s), such as case_09, are held out in no fold: they are never scored",
            "1 case(s), such as case_07, are held out in several folds, and are scored as often"
        ]
    );
    // Nor trained with: left out of the fold, as others do, and said.
    let mut one = fold(&[0, 1]);
    one.training.retain(|case| *case != name(4));
    let options = Options { folds: vec![one], ..Options::default() };
    let found = findings(folder.path(), &options);
    let expected =
        "fold 0: 1 labelled case(s) on no side, such as case_04: they are left out of it";
    assert!(found.len() == 1 && found[0].message == expected, "{found:?}");
    assert_eq!(found[0].severity, Severity::Warning);
}

#[test]
fn a_label_map_in_the_place_of_its_image_is_found() {
    let said = said(|root| {
        fs::copy(label_path(root, 2), image_path(root, 2)).unwrap();
    });
    for expected in [
        "error imagesTr/case_02.nii.gz: its voxels are those of labelsTr/case_02.nii.gz",
        "warning imagesTr/case_02.nii.gz: channel 0 holds 3 values, all of them whole numbers",
    ] {
        assert!(said.iter().any(|line| line.contains(expected)), "{said:#?}");
    }
}

#[test]
fn a_file_that_stands_for_two_things_is_found() {
    let entry = |case: usize| json!({"image": format!("imagesTr/{}.nii.gz", name(case)), "label": format!("labelsTr/{}.nii.gz", name(case))});
    let with = |change: fn(&mut Value, &dyn Fn(usize) -> Value)| {
        said(|root| change_description(root, |json| change(json, &entry)))
    };
    let shared = with(|json, entry| {
        json["training"][1]["label"] = entry(0)["label"].clone();
    });
    let label = "case_01: warning labelsTr/case_00.nii.gz is also the label map of case_00";
    assert!(shared.contains(&label.to_string()), "{shared:#?}");
    let both = with(|json, entry| json["training"][1]["image"] = entry(1)["label"].clone());
    let both = both.iter().find(|text| text.starts_with("case_01: error")).unwrap();
    assert!(both.contains("is listed as image and as label map"), "{both}");
    let twice = said(|root| {
        change_description(root, |json| {
            json["modality"] = json!(["T1", "T2"]);
            for case in json["training"].as_array_mut().unwrap() {
                case["image"] = json!([case["image"], case["image"]]);
            }
            json["test"] = json!([]);
        });
    });
    let channels = twice.iter().filter(|text| text.contains("is listed twice as a channel"));
    assert_eq!(channels.count(), CASES, "{twice:#?}");
}

#[test]
fn a_case_to_train_with_and_to_be_tested_is_named_as_both() {
    let said = said(|root| {
        fs::remove_dir_all(root.join("imagesTs")).unwrap();
        change_description(root, |json| json["test"] = json!([json["training"][2]]));
    });
    let [not_used, said] = &said[..] else { panic!("{said:#?}") };
    assert!(not_used.contains("the label maps of 1 test case(s) are not used"));
    assert!(said.starts_with("case_02 (test): warning") && said.ends_with("the image of case_02"));
}

#[test]
fn what_is_said_of_cases_in_vain_is_said() {
    let each = |key: &'static str, value: Value| {
        only(|root| {
            change_description(root, |json| {
                let cases = json["training"].as_array_mut().unwrap();
                cases.iter_mut().for_each(|case| case[key] = value.clone());
            });
        })
    };
    let split = each("split", json!("train"));
    assert!(split.contains("warning \"split\" of the cases is not used"), "{split}");
    let age = each("age", json!(71));
    assert!(age.contains("note keys without a meaning here: age (of cases)"), "{age}");
    let twice = only(|root| {
        change_description(root, |json| json["testing"] = json["test"].clone());
    });
    assert!(twice.contains("\"testing\" is not used, as there is \"test\" too"), "{twice}");
    let channels =
        only(|root| change_description(root, |json| json["channel_names"] = json!(["T1"])));
    assert!(channels.contains("\"modality\" says [\"MRI\"]"), "{channels}");
    let called = only(|root| {
        change_description(root, |json| json["labels"]["2"] = json["labels"]["1"].clone());
    });
    assert!(called.contains("warning labels 1 and 2 are both called \"organ\""), "{called}");
    let unlabelled = said(|root| {
        change_description(root, |json| {
            let image = json["training"].as_array_mut().unwrap().pop().unwrap()["image"].take();
            json["validation"] = json!([image]);
            json["numTraining"] = json!(CASES - 1);
        });
    });
    let held_out = "warning 1 of the cases under \"validation\" have no label map";
    assert!(unlabelled.iter().any(|text| text.contains(held_out)), "{unlabelled:#?}");
}

#[test]
fn the_words_of_others_for_image_label_and_patient_are_read() {
    let folder = changed(|root| {
        change_description(root, |json| {
            for (n, case) in json["training"].as_array_mut().unwrap().iter_mut().enumerate() {
                *case = json!({"img": case["image"], "Mask": case["label"], "patient_id": n / 2});
            }
        });
    });
    assert_eq!(said_at(folder.path()), [""; 0]);
    let dataset = Dataset::open(folder.path()).unwrap();
    assert_eq!(dataset.cases[3].subject.as_deref(), Some("1"));
    assert!(dataset.load(&dataset.cases[3]).unwrap().1.is_some());
}

#[test]
fn a_table_says_which_columns_it_cannot_use() {
    let table = |head: &str, more: &str| {
        let folder = changed(|root| {
            change_description(root, |json| {
                json.as_object_mut()
                    .unwrap()
                    .retain(|key, _| !key.contains("t") || key == "modality");
                json["labels"] = json!(["background", "organ", "nodule"]);
            });
            let row = |case: usize| {
                format!("imagesTr/{0}.nii.gz,labelsTr/{0}.nii.gz{more}\n", name(case))
            };
            let rows: String = (0..CASES).map(row).collect();
            fs::write(root.join("pairs.csv"), format!("{head}\n{rows}")).unwrap();
        });
        said_at(&folder.path().join("pairs.csv"))
    };
    assert_eq!(table("image,label", ""), [""; 0]);
    assert_eq!(table("Image,Segmentation", ""), [""; 0]);
    // As pandas writes integers beside gaps.
    assert_eq!(
        table("image,label,fold", ",0.0"),
        ["data set: warning all cases with a \"fold\" are in fold 0; it is not used"]
    );
    for (head, part) in [
        ("image,label,site", "note keys without a meaning here: site (of cases)"),
        ("image,label,split", "warning \"split\" of the cases is not used"),
        ("image,label,label", "column 3 is \"label\""),
        ("image_0,label,image_2", "column 3 is \"image_2\""),
        ("image,label,image_0", "column 3 is \"image_0\""),
    ] {
        let said = table(head, ",imagesTr/case_00.nii.gz");
        assert!(said.iter().any(|text| text.contains(part)), "{head}: {said:#?}");
    }
}

#[test]
fn a_file_that_is_there_with_another_ending_is_read() {
    for (written, on_disk) in [(".nii", ".nii.gz"), (".nii.gz", ".nii"), ("", ".nii.gz")] {
        let folder = changed(|root| {
            for case in 0..CASES {
                let (image, labels) = volumes(case);
                for (folder, ending) in [("imagesTr", ".nii.gz"), ("labelsTr", ".nii.gz")] {
                    fs::remove_file(root.join(format!("{folder}/{}{ending}", name(case)))).unwrap();
                }
                let path = |folder: &str| root.join(format!("{folder}/{}{on_disk}", name(case)));
                write_image(path("imagesTr"), &image).unwrap();
                write_labels(path("labelsTr"), &labels).unwrap();
            }
            change_description(root, |json| {
                for (n, case) in json["training"].as_array_mut().unwrap().iter_mut().enumerate() {
                    *case = json!({"image": format!("imagesTr/{}{written}", name(n)), "label": format!("labelsTr/{}{written}", name(n))});
                }
            });
        });
        let said = said_at(folder.path());
        let [text] = said.as_slice() else { panic!("{written}: {said:#?}") };
        assert!(text.contains("warning 20 file(s) that are there with another ending"), "{text}");
    }
}

#[test]
fn label_maps_of_test_cases_are_mentioned_and_a_folder_without_cases_says_what_was_sought() {
    let as_nnu_net = |root: &Path, ending: &str| {
        for case in 0..CASES {
            let image = image_path(root, case);
            let to = image.with_file_name(format!("{}_0000.nii.gz", name(case)));
            fs::rename(image, to).unwrap();
        }
        fs::remove_dir_all(root.join("imagesTs")).unwrap();
        change_description(root, |json| {
            let json = json.as_object_mut().unwrap();
            json.retain(|key, _| key != "training" && key != "test");
            json.insert("file_ending".into(), json!(ending));
        });
    };
    let folder = changed(|root| as_nnu_net(root, ".nii.gz"));
    assert_eq!(said_at(folder.path()), [""; 0]);
    fs::create_dir(folder.path().join("labelsTs")).unwrap();
    fs::write(folder.path().join("labelsTs/a.nii.gz"), "").unwrap();
    assert!(said_at(folder.path())[0].contains("note labelsTs is not used"));
    let said = said(|root| {
        as_nnu_net(root, ".nrrd");
        // With label maps, images of another ending would be read.
        fs::remove_dir_all(root.join("labelsTr")).unwrap();
    });
    assert!(said.iter().any(|text| text.contains("such as imagesTr/case_0000.nrrd")), "{said:#?}");
}

#[test]
fn broken_json_is_shown_where_it_is_broken() {
    for (text, part) in [
        ("{\"mean\": NaN, \"name\": \"x\"}", "NaN"),
        ("{'name': 'x'}", "'name'"),
        ("{\"name\": \"x\", \"flag\": True}", "True"),
    ] {
        let folder = changed(|root| fs::write(root.join("dataset.json"), text).unwrap());
        let message = Dataset::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn nothing_is_said_of_a_task_with_nothing_wrong() {
    assert_eq!(said(|_| {}), [""; 0]);
    let folder = changed(|_| {});
    let opened = Source::from(image_path(folder.path(), 0)).open().unwrap();
    let (header, normalisation) = (opened.header().clone(), [Normalisation::ZScore]);
    let spacing_mm = Affine::from_spacing([3.6, 3.0, 3.0]).spacing();
    let familiar = Familiar { spacing_mm, patch: [8; 3], normalisation: &normalisation };
    let found = look(&[], &header, &opened.raw().unwrap(), familiar);
    assert!(found.iter().all(|finding| finding.severity < Severity::Warning), "{found:#?}");
}

#[test]
fn a_label_map_along_other_axes_is_turned_to_those_of_its_image() {
    // Voxel (i, j, k) of the turned map is that one of the map.
    let orders: [[usize; 3]; 6] =
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let folder = changed(|_| {});
    let root = folder.path();
    let expected = read_labels(label_path(root, 0)).unwrap();
    let shape = expected.shape();
    for (n, order) in orders.into_iter().enumerate() {
        for mirrored in 0..8_usize {
            let mut voxels = expected.voxels.clone().permuted_axes(order);
            let mut to_original = [[0.0; 4]; 4];
            to_original[3][3] = 1.0;
            for axis in 0..3 {
                let (row, column) = (2 - order[axis], 2 - axis);
                to_original[row][column] = 1.0;
                if mirrored >> axis & 1 == 1 {
                    voxels.invert_axis(ndarray::Axis(axis));
                    to_original[row][column] = -1.0;
                    to_original[row][3] = (shape[order[axis]] - 1) as f64;
                }
            }
            let affine = expected.affine.compose(&Affine(to_original));
            let voxels = voxels.as_standard_layout().into_owned();
            write_labels(label_path(root, 0), &LabelMap { voxels, affine }).unwrap();
            let dataset = Dataset::open(root).unwrap();
            let (_, found) = dataset.load(&dataset.cases[0]).unwrap();
            assert!(found.unwrap() == expected, "{n} {mirrored}");
        }
    }
    assert_eq!(said_at(root), [""; 0]);
}

#[test]
fn what_has_the_name_of_an_image_and_is_none_is_said() {
    let zipped = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let folder = changed(|_| {});
    let path = image_path(folder.path(), 3);
    let whole = fs::read(&path).unwrap();
    for (bytes, part) in [
        (zipped(&whole), "compressed twice"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n".to_vec(), "Git LFS"),
        (b"<!DOCTYPE html><html><body>404</body></html>".repeat(20), "page of the web"),
        (vec![0; 5000], "nothing but zeros"),
        ([&whole[..], b"more"].concat(), "other data follow its compressed ones"),
        ([&whole[..], &[0, 0, 0x1f, 7]].concat(), "other data follow its compressed ones"),
        ([&whole[..], &whole[..12]].concat(), "its compressed data lack their end"),
        (whole[..whole.len() - 3].to_vec(), "its compressed data lack their end"),
    ] {
        fs::write(&path, bytes).unwrap();
        let said = said_at(folder.path());
        assert!(said.len() == 1 && said[0].contains(part), "{part}: {said:#?}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let said = said_at(folder.path());
    assert!(said.len() == 1 && said[0].contains("found a folder"), "{said:#?}");
}
