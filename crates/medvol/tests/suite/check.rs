//! The data doctor: on a clean set nothing is found; what is broken is found and nothing else;
//! corrected copies are clean.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::task::{
    self, BREAKAGES, CASES, change_image, change_labels, copy_folder, image_path, label_path, name,
    write_task,
};
use crate::common::{read_image, read_labels, real_task, write_image};
use medvol::check::{Finding, Fix, Fold, Kind, Options, Report, Severity, check, fix};
use medvol::io::Source;
use medvol::{Affine, Dataset};
use rayon::prelude::*;

fn examine(root: &Path, options: &Options) -> Report {
    check(root, options, |_, _| true).unwrap().unwrap()
}

fn found(report: &Report) -> Vec<(Option<String>, &'static str)> {
    report.findings.iter().map(|finding| (finding.case.clone(), finding.kind.name())).collect()
}

/// Breaks a copy of `clean` in every way and compares what is found, less what `clean` is found
/// with.
fn each_breakage_is_found(clean: &Path, baseline: &Report) {
    let dataset = Dataset::open(clean).unwrap();
    let before = found(baseline);
    let failures: Vec<String> = BREAKAGES
        .par_iter()
        .filter_map(|breakage| {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().join("data");
            copy_folder(clean, &root);
            let moved = |source: &Source| root.join(source.path().strip_prefix(clean).unwrap());
            let images: Vec<_> = dataset.cases.iter().map(|case| moved(&case.images[0])).collect();
            let labels: Vec<_> =
                dataset.cases.iter().map(|case| moved(case.label.as_ref().unwrap())).collect();
            (breakage.by)(&root, &images, &labels);
            let report = examine(&root, &Options::default());
            let mut new = found(&report);
            for known in &before {
                new.iter().position(|finding| finding == known).map(|at| new.remove(at));
            }
            let expected: Vec<_> = breakage
                .findings
                .iter()
                .map(|(case, kind)| (case.map(|n| dataset.cases[n].name.clone()), *kind))
                .collect();
            (new != expected).then(|| format!("{}: {new:?} {:#?}", breakage.what, report.findings))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn clean() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    write_task(&root);
    (folder, root)
}

#[test]
fn a_clean_set_has_no_findings() {
    let (_folder, root) = clean();
    let report = examine(&root, &Options::default());
    assert_eq!(report.findings, []);
    assert_eq!(report.cases, CASES + 2);
}

#[test]
fn each_of_many_breakages_is_found_and_nothing_else() {
    assert!(BREAKAGES.len() >= 20);
    let (_folder, root) = clean();
    each_breakage_is_found(&root, &examine(&root, &Options::default()));
}

#[test]
#[ignore = "needs SCNAS_TEST_DATA, a folder with the Decathlon's Task04_Hippocampus"]
fn real_cases_are_clean_and_each_breakage_of_them_is_found() {
    let task = real_task("Task04_Hippocampus");
    let start = std::time::Instant::now();
    let report = examine(&task, &Options::default());
    println!("{} cases checked in {:.1} s", report.cases, start.elapsed().as_secs_f64());
    assert_eq!(
        report
            .findings
            .iter()
            .filter(|finding| finding.severity > Severity::Note)
            .collect::<Vec<_>>(),
        [] as [&Finding; 0]
    );
    each_breakage_is_found(&task, &report);
}

#[test]
fn everything_is_reported_at_once() {
    let (_folder, root) = clean();
    fs::remove_file(image_path(&root, 0)).unwrap();
    change_labels(&label_path(&root, 0), |map| map.voxels[[0, 0, 0]] = 7);
    change_image(&image_path(&root, 1), |image| image.voxels[[0, 0, 0, 0]] = f32::NAN);
    change_labels(&label_path(&root, 1), |map| map.affine.0[0][3] += 1.0);
    task::change_description(&root, |json| json["labels"]["x"] = serde_json::json!("tumour"));
    let report = examine(&root, &Options::default());
    // The labels cannot be understood, so nothing is said about what is listed.
    let expected = [
        (None, "description"),
        (Some(name(0)), "missing-file"),
        (Some(name(1)), "affine-mismatch"),
        (Some(name(1)), "not-finite"),
    ];
    assert_eq!(found(&report), expected);
    for finding in &report.findings {
        assert!(!finding.remedy.is_empty() && finding.severity == Severity::Error);
    }
}

#[test]
fn all_that_is_wrong_with_a_description_is_said() {
    let (_folder, root) = clean();
    task::change_description(&root, |json| {
        json["modality"] = serde_json::json!({"1": "MRI"});
        json["labels"] = serde_json::json!({"1": "organ", "70000": "nodule"});
    });
    let report = examine(&root, &Options::default());
    assert_eq!(
        report.findings.iter().filter(|finding| finding.kind == Kind::Description).count(),
        3,
        "{:#?}",
        report.findings
    );
    let message = Dataset::open(&root).unwrap_err().to_string();
    assert!(
        message.contains("without gaps")
            && message.contains("70000")
            && message.contains("background"),
        "{message}"
    );
    fs::remove_file(root.join("dataset.json")).unwrap();
    assert_eq!(found(&examine(&root, &Options::default())), [(None, "description")]);
    assert!(check(&root.join("nowhere"), &Options::default(), |_, _| true).is_err());
}

#[test]
fn hidden_files_are_nobodys_images() {
    let (_folder, root) = clean();
    fs::write(root.join("imagesTr/._case_00.nii.gz"), "resource fork").unwrap();
    assert_eq!(examine(&root, &Options::default()).findings, []);
}

fn fold(held_out: &[usize]) -> Fold {
    let (held_out, training) = (0..CASES).partition::<Vec<_>, _>(|case| held_out.contains(case));
    let names = |cases: Vec<usize>| cases.into_iter().map(name).collect();
    Fold { training: names(training), held_out: names(held_out) }
}

#[test]
fn whoever_is_on_both_sides_of_a_split_is_found() {
    let (_folder, root) = clean();
    let folds = vec![fold(&[0, 1, 4, 5, 6]), fold(&[2, 3, 7, 8, 9])];
    let options = |folds: &[Fold]| Options { folds: folds.to_vec(), ..Options::default() };
    assert_eq!(examine(&root, &options(&folds)).findings, []);

    let mut wrong = folds.clone();
    wrong[0].training.push(name(0));
    wrong[1].training.retain(|n| *n != name(6));
    wrong[1].training.push("stranger".into());
    let report = examine(&root, &options(&wrong));
    assert_eq!(
        found(&report),
        [(None, "folds"), (None, "folds"), (Some(name(0)), "split-leak")],
        "{:#?}",
        report.findings
    );

    // The same image under two names: in one fold on both sides, in the other not.
    fs::copy(image_path(&root, 1), image_path(&root, 0)).unwrap();
    fs::copy(label_path(&root, 1), label_path(&root, 0)).unwrap();
    assert_eq!(found(&examine(&root, &options(&folds))), [(Some(name(1)), "duplicate-image")]);
    let apart = examine(&root, &options(&[fold(&[0, 2])]));
    assert_eq!(found(&apart), [(Some(name(0)), "split-leak"), (Some(name(1)), "duplicate-image")]);
    assert!(apart.has_errors());
}

#[test]
fn a_subject_on_both_sides_of_a_split_is_found() {
    let (_folder, root) = clean();
    task::change_description(&root, |json| {
        for case in 0..CASES {
            json["training"][case]["subject"] = serde_json::json!(format!("patient {}", case / 2));
        }
    });
    let options =
        |held_out: &[usize]| Options { folds: vec![fold(held_out)], ..Options::default() };
    assert_eq!(examine(&root, &options(&[4, 5])).findings, []);
    let report = examine(&root, &options(&[4, 6]));
    assert_eq!(found(&report), [(Some(name(4)), "split-leak"), (Some(name(6)), "split-leak")]);
    assert!(
        report.findings[0].message.contains("patient 2")
            && report.findings[0].message.contains(&name(5))
    );
}

#[test]
fn training_is_checked_without_test_images_but_loose_files_are_said() {
    let (_folder, root) = clean();
    fs::remove_dir_all(root.join("imagesTs")).unwrap();
    fs::copy(image_path(&root, 0), root.join("imagesTr/loose.nii.gz")).unwrap();
    assert_eq!(examine(&root, &Options::default()).findings.len(), 3);
    let report = examine(&root, &Options { labelled_only: true, ..Options::default() });
    assert_eq!((found(&report), report.cases), (vec![(None, "unlisted-file")], CASES));
    let said = &report.findings[0];
    assert!(
        said.severity == Severity::Warning && said.message.contains("loose.nii.gz"),
        "{said:?}"
    );
}

#[test]
fn a_check_can_be_stopped_and_hears_its_progress() {
    let (_folder, root) = clean();
    let last = std::sync::Mutex::new((0, 0));
    let all = check(&root, &Options::default(), |done, total| {
        let mut last = last.lock().unwrap();
        *last = (last.0.max(done), total);
        true
    });
    assert!(all.unwrap().is_some());
    assert_eq!(*last.lock().unwrap(), (CASES + 2, CASES + 2));
    assert!(check(&root, &Options::default(), |done, _| done < 3).unwrap().is_none());
}

#[test]
fn a_corrected_copy_is_clean_and_the_original_untouched() {
    let (folder, root) = clean();
    change_image(&image_path(&root, 0), |image| image.voxels[[0, 1, 2, 3]] = f32::NAN);
    change_labels(&label_path(&root, 1), |map| map.affine.0[0][3] += 1.0);
    change_image(&label_path(&root, 2), |map| map.voxels.mapv_inplace(|label| label * 0.995));
    change_labels(&label_path(&root, 3), |map| map.voxels[[0, 0, 0]] = 9);
    fs::write(image_path(&root, 4), "").unwrap();
    fs::copy(image_path(&root, 5), image_path(&root, 6)).unwrap();
    fs::copy(label_path(&root, 5), label_path(&root, 6)).unwrap();
    // The image has a place, its label map lost it.
    change_image(&image_path(&root, 7), |image| image.affine.0[2][3] = -300.0);
    // Too far off to be the same voxels for certain.
    change_labels(&label_path(&root, 8), |map| map.affine.0[1][3] += 25.0);
    fs::copy(image_path(&root, 9), root.join("imagesTr/extra.nii.gz")).unwrap();
    let original = folder.path().join("original");
    copy_folder(&root, &original);

    let report = examine(&root, &Options::default());
    let target = folder.path().join("fixed");
    let fixed = fix(&report, &target, |_| true).unwrap().unwrap();
    let corrected: Vec<(String, Vec<Fix>)> = fixed
        .corrected
        .into_iter()
        .map(|(case, fixes)| (case, fixes.into_iter().collect()))
        .collect();
    let expected =
        [(0, Fix::ZeroVoxels), (1, Fix::CopyAffine), (2, Fix::RoundLabels), (7, Fix::CopyAffine)];
    assert_eq!(corrected, expected.map(|(case, fix)| (name(case), vec![fix])));
    let left_out: Vec<(String, Vec<&str>)> = fixed
        .left_out
        .into_iter()
        .map(|(case, kinds)| (case, kinds.into_iter().collect()))
        .collect();
    let expected =
        [(3, "unlisted-label"), (4, "truncated"), (6, "duplicate-image"), (8, "affine-mismatch")];
    assert_eq!(left_out, expected.map(|(case, kind)| (name(case), vec![kind])));
    assert_eq!(fixed.unchanged, 4);

    assert_eq!(examine(&target, &Options::default()).findings, []);
    let copy = Dataset::open(&target).unwrap();
    assert_eq!((copy.cases.len(), copy.test.len()), (CASES - 4, 2));
    assert_eq!(read_image(image_path(&target, 0)).unwrap().voxels[[0, 1, 2, 3]], 0.0);
    assert_eq!(read_labels(label_path(&target, 2)).unwrap().voxels, task::volumes(2).1.voxels);
    assert_eq!(
        read_labels(label_path(&target, 7)).unwrap().affine,
        read_image(image_path(&root, 7)).unwrap().affine
    );
    assert_eq!(fs::read(image_path(&target, 9)).unwrap(), fs::read(image_path(&root, 9)).unwrap());
    assert!(!target.join("imagesTr/extra.nii.gz").exists());
    same_files(&root, &original);
}

#[test]
fn in_little_memory_the_same_is_found_and_only_what_does_not_fit_is_not_read() {
    let (_folder, root) = clean();
    change_labels(&label_path(&root, 3), |map| map.voxels[[0, 0, 0]] = 9);
    let findings = |memory| examine(&root, &Options { memory, ..Options::default() }).findings;
    let all = findings(None);
    assert!(!all.is_empty());
    let bytes = |case: usize| 8 * task::volumes(case).1.voxels.len() as u64;
    let largest = (0..CASES).map(bytes).max().unwrap();
    assert_eq!(findings(Some(largest)), all);
    let too_large: Vec<_> = findings(Some(largest - 1))
        .into_iter()
        .filter(|finding| finding.kind == Kind::TooLarge)
        .collect();
    let expected: Vec<_> =
        (0..CASES).filter(|&case| bytes(case) == largest).map(|case| Some(name(case))).collect();
    assert_eq!(too_large.into_iter().map(|finding| finding.case).collect::<Vec<_>>(), expected);
}

fn same_files(a: &Path, b: &Path) {
    for entry in fs::read_dir(a).unwrap() {
        let path = entry.unwrap().path();
        let other = b.join(path.file_name().unwrap());
        if path.is_dir() {
            same_files(&path, &other);
        } else {
            assert_eq!(fs::read(&path).unwrap(), fs::read(other).unwrap(), "{}", path.display());
        }
    }
}

#[test]
fn a_correction_is_refused_where_it_would_overwrite_or_guess() {
    let (folder, root) = clean();
    let report = examine(&root, &Options::default());
    for occupied in [&root, folder.path()] {
        let message = fix(&report, occupied, |_| true).unwrap_err().to_string();
        assert!(message.contains("not empty"), "{message}");
    }
    assert!(fix(&report, &folder.path().join("stopped"), |done| done < 2).unwrap().is_none());
    assert!(!folder.path().join("stopped").exists());
    task::change_description(&root, |json| json["labels"] = serde_json::json!({"1": "organ"}));
    let message = fix(&examine(&root, &Options::default()), &folder.path().join("new"), |_| true)
        .unwrap_err()
        .to_string();
    assert!(message.contains("dataset.json") && !folder.path().join("new").exists(), "{message}");
}

#[test]
fn a_sheared_grid_and_channels_on_different_grids_are_found() {
    let (_folder, root) = clean();
    for path in [image_path(&root, 0), label_path(&root, 0)] {
        change_image(&path, |image| image.affine.0[1][2] = 0.4);
    }
    let report = examine(&root, &Options::default());
    assert_eq!(
        found(&report).into_iter().filter(|(_, kind)| *kind == "sheared").count(),
        1,
        "{:#?}",
        report.findings
    );

    let table = root.join("pairs.csv");
    fs::write(
        &table,
        "image_0,image_1,label\nimagesTr/case_01.nii.gz,imagesTr/moved.nii.gz,labelsTr/case_01.\
         nii.gz\n",
    )
    .unwrap();
    let mut moved = task::volumes(1).0;
    moved.voxels.mapv_inplace(|value| 500.0 - value);
    moved.affine = Affine::from_spacing([3.6, 3.0, 3.3]);
    write_image(root.join("imagesTr/moved.nii.gz"), &moved).unwrap();
    task::change_description(&root, |json| {
        json["modality"] = serde_json::json!({"0": "T1", "1": "T2"})
    });
    // The table lists the cases.
    task::change_description(&root, |json| {
        for key in ["numTraining", "training", "test"] {
            json.as_object_mut().unwrap().remove(key);
        }
    });
    assert_eq!(
        found(&examine(&table, &Options::default())),
        [(Some("case_01".into()), "channel-grid")]
    );
}
