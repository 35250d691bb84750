//! Labels that stand for several values, and voxels that are ignored: from the description to the
//! scores.

use std::fs;
use std::path::Path;

use crate::common::task::{CASES, change_labels, label_path, write_task};

use medvol::check::{Kind, Options, Severity, check, fix};
use medvol::metrics::{LabelScores, Structures, dice_per_structure, score_structures};
use medvol::{ClassMap, Dataset, Label, Target};
use ndarray::Array3;
use proptest::prelude::*;

/// Value of the voxels to ignore.
const IGNORE: u16 = 3;

/// A text that keeps its keys in their order, which matters.
const REGIONS: &str = r#""labels": {"background": 0, "whole": [1, 2], "nodule": 2, "ignore": 3},
    "regions_class_order": [1, 2]"#;

/// A task of organ (1) and nodule (2), described with other labels, in which a corner of every
/// case is ignored.
fn task(labels: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_task(folder.path());
    for case in 0..CASES {
        change_labels(&label_path(folder.path(), case), |map| map.voxels[[0, 0, 0]] = IGNORE);
    }
    describe(folder.path(), labels);
    folder
}

/// Puts other labels into `dataset.json`.
fn describe(root: &Path, labels: &str) {
    let path = root.join("dataset.json");
    let mut described: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    described.as_object_mut().unwrap().remove("labels");
    let text = described.to_string();
    fs::write(path, format!("{{{labels},{}", &text[1..])).unwrap();
}

fn regions(target: &Target) -> Vec<(&str, &[u8], u8)> {
    let Target::Regions(regions) = target else { panic!("{target:?}") };
    regions.iter().map(|r| (r.name.as_str(), r.classes.as_slice(), r.written)).collect()
}

fn pairs(labels: &[Label]) -> Vec<(u16, &str)> {
    labels.iter().map(|label| (label.value, label.name.as_str())).collect()
}

#[test]
fn regions_and_ignored_voxels_are_read_as_they_stand_there() {
    let folder = task(REGIONS);
    let dataset = Dataset::open(folder.path()).unwrap();
    // A value without a name of its own is called after the region that is written as it.
    assert_eq!(pairs(&dataset.labels), [(0, "background"), (1, "whole"), (2, "nodule")]);
    assert_eq!(regions(&dataset.target), [("whole", &[1, 2][..], 1), ("nodule", &[2], 2)]);
    assert_eq!(dataset.ignore, Some(IGNORE));
    assert_eq!(dataset.notices, []);
    let (_, map) = dataset.load(&dataset.cases[0]).unwrap();
    let classes = dataset.class_map().classes(map.unwrap().voxels.view()).unwrap();
    assert_eq!(classes[[0, 0, 0]], ClassMap::IGNORED);
    assert_eq!(classes.iter().filter(|class| **class == ClassMap::IGNORED).count(), 1);
}

#[test]
fn the_order_of_regions_is_that_of_the_file_and_values_need_not_be_without_gaps() {
    let folder = task(
        r#""labels": {"b": [7, 20], "background": 0, "a": ["20"], "c": [4.0, 5, 7, 20], "ignore": 21},
           "regions_class_order": ["7", 20, 5]"#,
    );
    let dataset = Dataset::open(folder.path()).unwrap();
    assert_eq!(
        pairs(&dataset.labels),
        [(0, "background"), (4, "label 4"), (5, "c"), (7, "b"), (20, "a")]
    );
    assert_eq!(
        regions(&dataset.target),
        [("b", &[3, 4][..], 3), ("a", &[4], 4), ("c", &[1, 2, 3, 4], 2)]
    );
    // The largest comes last and covers all others.
    assert_eq!(dataset.notices.len(), 1);
    let text = &dataset.notices[0].text;
    assert!(text.contains("voxels of 7") && text.contains("written as 5"), "{text}");
}

#[test]
fn an_ignored_label_alone_leaves_the_others_as_they_are_in_every_way_to_write_it() {
    for labels in [
        r#""labels": {"background": 0, "organ": 1, "nodule": 2, "ignore": 3}"#,
        r#""labels": {"0": "background", "1": "organ", "2": "nodule", "3": "ignore"}"#,
        r#""labels": ["background", "organ", "nodule", "ignore"]"#,
        r#""labels": {"background": 0, "organ": [1], "nodule": 2, "ignore": [3]}"#,
    ] {
        let folder = task(labels);
        let dataset = Dataset::open(folder.path()).unwrap();
        assert_eq!(pairs(&dataset.labels), [(0, "background"), (1, "organ"), (2, "nodule")]);
        assert_eq!((&dataset.target, dataset.ignore), (&Target::Classes, Some(IGNORE)));
        dataset.load(&dataset.cases[0]).unwrap();
    }
}

#[test]
fn what_of_regions_cannot_be_understood_is_refused_with_what_was_found_and_a_remedy() {
    for (labels, named) in [
        (
            r#""labels": {"background": 0, "whole": [1, 2], "core": 2}"#,
            &["regions_class_order\": [1, 2]", "\"whole\": {1, 2}", "whole, core"][..],
        ),
        (
            r#""labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1]"#,
            &["expected 2 value(s)", "whole, core", "found [1]"],
        ),
        (
            r#""labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": 1"#,
            &["expected 2 value(s)", "found 1"],
        ),
        (
            r#""labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 7]"#,
            &["7 is the value of no label", "[1, 2]"],
        ),
        (
            r#""labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [0, 2]"#,
            &["0 is the value of no label"],
        ),
        (
            r#""labels": {"background": 0, "whole": [1, "two"]}, "regions_class_order": [1]"#,
            &["\"whole\": [1,\"two\"]", "list of integers"],
        ),
        (r#""labels": {"background": 0, "whole": []}"#, &["\"whole\": []", "list of integers"]),
        (
            r#""labels": {"background": 0, "1": [1, 2]}, "regions_class_order": [1]"#,
            &["expected a name", "\"1\": [1,2]"],
        ),
        (
            r#""labels": {"everything": [0, 1, 2], "core": 2}, "regions_class_order": [2]"#,
            &["everything", "part of no region"],
        ),
        // One region with the background in it would otherwise be missing among as many as there are
        // values.
        (
            r#""labels": {"background": 0, "everything": [0, 1, 2], "whole": [1, 2]}, "regions_class_order": [1]"#,
            &["\"everything\" stands for {0, 1, 2}", "take the 0 out"],
        ),
        (
            r#""labels": {"background": 0, "ignore": 1, "organ": 2}"#,
            &["\"ignore\"", "go up to 2", "found {1}", "value 3"],
        ),
        (
            r#""labels": {"background": 0, "whole": [1, 3], "ignore": 3}, "regions_class_order": [1]"#,
            &["\"ignore\"", "go up to 3", "value 4"],
        ),
        (
            r#""labels": {"background": 0, "organ": 1, "ignore": [2, 3]}"#,
            &["must have one value", "found {2, 3}"],
        ),
    ] {
        let folder = task(labels);
        let message = Dataset::open(folder.path()).unwrap_err().to_string();
        for part in [&["dataset.json"], named].concat() {
            assert!(message.contains(part), "{labels}: \"{part}\" is not in: {message}");
        }
    }
}

#[test]
fn an_order_without_regions_is_said_to_be_without_use() {
    let folder = task(
        r#""labels": {"background": 0, "organ": 1, "nodule": 2, "ignore": 3},
           "regions_class_order": [1, 2]"#,
    );
    let dataset = Dataset::open(folder.path()).unwrap();
    assert_eq!(dataset.target, Target::Classes);
    assert!(dataset.notices[0].text.contains("regions_class_order"), "{:?}", dataset.notices);
}

#[test]
fn a_clean_set_of_regions_has_no_findings_and_its_corrected_copy_says_the_same() {
    let folder = task(REGIONS);
    let report = check(folder.path(), &Options::default(), |_, _| true).unwrap().unwrap();
    assert_eq!(report.findings, []);
    let copy = tempfile::tempdir().unwrap();
    fix(&report, copy.path(), |_| true).unwrap().unwrap();
    let (dataset, copied) =
        (Dataset::open(folder.path()).unwrap(), Dataset::open(copy.path()).unwrap());
    assert_eq!(copied.labels, dataset.labels);
    assert_eq!((&copied.target, copied.ignore), (&dataset.target, dataset.ignore));
    for (a, b) in dataset.cases.iter().zip(&copied.cases) {
        assert_eq!(dataset.load(a).unwrap(), copied.load(b).unwrap());
    }
    let again = check(copy.path(), &Options::default(), |_, _| true).unwrap().unwrap();
    assert_eq!(again.findings, []);
}

#[test]
fn the_copy_of_a_set_with_an_ignored_label_ignores_it() {
    let folder = task(r#""labels": {"background": 0, "organ": 1, "nodule": 2, "ignore": 3}"#);
    let report = check(folder.path(), &Options::default(), |_, _| true).unwrap().unwrap();
    let copy = tempfile::tempdir().unwrap();
    fix(&report, copy.path(), |_| true).unwrap().unwrap();
    let copied = Dataset::open(copy.path()).unwrap();
    assert_eq!((copied.target, copied.ignore), (Target::Classes, Some(IGNORE)));
}

#[test]
fn ignored_voxels_are_no_foreground_for_the_check_and_a_region_is_missed_as_a_whole() {
    let folder = task(REGIONS);
    change_labels(&label_path(folder.path(), 1), |map| map.voxels.fill(IGNORE));
    // The nodule is a part of the whole, so without an organ nothing is missing.
    for case in 2..CASES {
        change_labels(&label_path(folder.path(), case), |map| {
            map.voxels.mapv_inplace(|value| if value == 1 { 2 } else { value });
        });
    }
    let report = check(folder.path(), &Options::default(), |_, _| true).unwrap().unwrap();
    let found: Vec<_> = report.findings.iter().map(|f| (f.case.clone(), f.kind)).collect();
    let empty = report.findings.iter().find(|f| f.kind == Kind::EmptyForeground).unwrap();
    assert!(empty.message.contains("voxels to ignore"), "{}", empty.message);
    assert!(!found.iter().any(|(case, _)| case.is_none()), "{found:?}");
    for case in 0..CASES {
        change_labels(&label_path(folder.path(), case), |map| {
            map.voxels.mapv_inplace(|value| if value == 2 { 1 } else { value });
        });
    }
    let report = check(folder.path(), &Options::default(), |_, _| true).unwrap().unwrap();
    let missing = report.findings.iter().find(|f| f.case.is_none()).unwrap();
    assert_eq!((missing.kind, missing.severity), (Kind::MissingLabel, Severity::Warning));
    assert!(missing.message.contains("label 2 (nodule)"), "{}", missing.message);
}

/// Regions of the values 1 to 3: nested, overlapping, one alone.
fn structures(ignore: Option<u16>) -> Structures {
    Structures { values: vec![vec![1, 2, 3], vec![2, 3], vec![3], vec![1, 3]], ignore }
}

fn scores(prediction: &Array3<u16>, reference: &Array3<u16>, of: &Structures) -> Vec<LabelScores> {
    score_structures(prediction.view(), reference.view(), of, [1.0, 2.0, 1.5], 1.0).unwrap()
}

fn any_map(highest: u16) -> impl Strategy<Value = Array3<u16>> {
    prop::collection::vec(0..=highest, 60)
        .prop_map(|voxels| Array3::from_shape_vec([3, 4, 5], voxels).unwrap())
}

proptest! {
    #[test]
    fn a_region_is_scored_as_a_label_that_is_all_of_it(p in any_map(3), r in any_map(3)) {
        let all = structures(None);
        for (scores_of_region, values) in scores(&p, &r, &all).iter().zip(&all.values) {
            let mask = |map: &Array3<u16>| map.mapv(|value| u16::from(values.contains(&value)));
            let alone = scores(&mask(&p), &mask(&r), &Structures::labels(&[1]));
            prop_assert_eq!(*scores_of_region, alone[0]);
        }
    }

    #[test]
    fn whatever_is_predicted_under_ignored_voxels_changes_no_score(
        p in any_map(3), other in any_map(4), r in any_map(4),
    ) {
        let of = structures(Some(4));
        let mut changed = p.clone();
        for ((changed, &other), _) in changed.iter_mut().zip(&other).zip(&r).filter(|(_, r)| **r == 4) {
            *changed = other;
        }
        prop_assert_eq!(scores(&p, &r, &of), scores(&changed, &r, &of));
        prop_assert_eq!(
            dice_per_structure(p.view(), r.view(), &of),
            dice_per_structure(changed.view(), r.view(), &of)
        );
    }

    #[test]
    fn ignored_planes_are_as_an_image_that_ends_there(p in any_map(3), r in any_map(3)) {
        let of = structures(Some(4));
        let mut ignoring = r.clone();
        ignoring.slice_mut(ndarray::s![.., 2.., ..]).fill(4);
        let cut = |map: &Array3<u16>| map.slice(ndarray::s![.., ..2, ..]).to_owned();
        prop_assert_eq!(scores(&p, &ignoring, &of), scores(&cut(&p), &cut(&r), &of));
    }

    #[test]
    fn resampled_ignored_voxels_stay_ignored(spacing in prop::array::uniform3(0.6..1.8_f64)) {
        let mut classes = Array3::<u8>::zeros([8, 9, 10]);
        classes.slice_mut(ndarray::s![.., 4.., ..]).fill(ClassMap::IGNORED);
        let shape = [0, 1, 2].map(|axis| (classes.shape()[axis] as f64 / spacing[axis]).round() as usize);
        let found = medvol::resample_classes(classes.view(), [1.0; 3], spacing, shape);
        prop_assert!(found.iter().all(|class| [0, ClassMap::IGNORED].contains(class)));
        prop_assert!(found.iter().any(|class| *class == ClassMap::IGNORED));
    }
}
