//! A run that checks its cases as it loads them sees what a check and a load would have seen.

use std::path::{Path, PathBuf};

use crate::common::task::{BREAKAGES, CASES, copy_folder, image_path, label_path, write_task};
use medvol::check::{Options, check, conclude, examine};
use medvol::{CaseFiles, Dataset};
use rayon::prelude::*;

fn labelled(dataset: &Dataset) -> Vec<&CaseFiles> {
    dataset.cases.iter().filter(|case| case.label.is_some()).collect()
}

/// Examines the labelled cases, last one first, and compares with what others make of them.
fn is_seen_alike(root: &Path, what: &str) {
    let options = Options { labelled_only: true, ..Options::default() };
    let checked = check(root, &options, |_, _| true).unwrap().unwrap();
    // A description with faults is not opened.
    let Ok(dataset) = Dataset::open(root) else {
        assert!(checked.has_errors(), "{what}");
        return;
    };
    let mut examinations = Vec::new();
    for case in labelled(&dataset).into_iter().rev() {
        let (examination, loaded) = examine(&dataset, case);
        let good = examination.findings().iter().all(|finding| finding.fix.is_none());
        let loaded = loaded.into_case().unwrap();
        assert_eq!(loaded.is_some(), good, "{what}: {}", case.name);
        if let Some((image, labels)) = loaded {
            let read = dataset.load(case).unwrap();
            assert!(read == (image, labels), "{what}: {}", case.name);
        }
        examinations.push(examination);
    }
    let concluded = conclude(&dataset, &options, examinations);
    assert_eq!(concluded.findings, checked.findings, "{what}");
    assert_eq!(concluded.cases, checked.cases, "{what}");
}

#[test]
fn cases_examined_one_by_one_in_any_order_are_found_as_by_a_check_and_loaded_as_by_a_load() {
    let folder = tempfile::tempdir().unwrap();
    let clean = folder.path().join("clean");
    write_task(&clean);
    is_seen_alike(&clean, "clean");
    let paths = |root: &Path, of: fn(&Path, usize) -> PathBuf| -> Vec<PathBuf> {
        (0..CASES).map(|case| of(root, case)).collect()
    };
    BREAKAGES.par_iter().enumerate().for_each(|(number, breakage)| {
        let root = folder.path().join(number.to_string());
        copy_folder(&clean, &root);
        (breakage.by)(&root, &paths(&root, image_path), &paths(&root, label_path));
        is_seen_alike(&root, breakage.what);
    });
}
