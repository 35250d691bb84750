use std::collections::BTreeSet;

use super::*;
use crate::affine::{cross, dot};
use crate::io::Source;

fn voxel_volume(affine: &Affine) -> f64 {
    dot(affine.column(0), cross(affine.column(1), affine.column(2)))
}

/// Centre of mass in mm of one label, and its volume in mm³.
fn centre_and_volume(labels: &LabelMap, label: u16) -> ([f64; 3], f64) {
    let (mut sum, mut count) = ([0.0; 3], 0.0);
    for ((k, j, i), _) in labels.voxels.indexed_iter().filter(|&(_, &found)| found == label) {
        let place = labels.affine.apply([i, j, k].map(|index| index as f64));
        sum = std::array::from_fn(|axis| sum[axis] + place[axis]);
        count += 1.0;
    }
    (sum.map(|v| v / count), count * voxel_volume(&labels.affine).abs())
}

#[test]
fn the_same_seed_and_number_give_the_same_case_and_others_another() {
    assert_eq!(phantom(5, 2, 2.0), phantom(5, 2, 2.0));
    assert_ne!(phantom(5, 2, 2.0), phantom(5, 3, 2.0));
    assert_ne!(phantom(5, 2, 2.0), phantom(6, 2, 2.0));
}

#[test]
fn every_case_holds_both_classes_whole_on_a_grid_of_the_announced_size() {
    for case in 0..60 {
        let (image, labels) = phantom(1, case, 2.0);
        assert_eq!(image.shape(), labels.shape());
        assert!(image.voxels.iter().all(|&v| v.is_finite() && v > 0.0));
        assert!(image.shape().iter().all(|n| (15..=30).contains(n)), "{:?}", image.shape());
        let (_, organ) = centre_and_volume(&labels, ORGAN);
        let (_, nodule) = centre_and_volume(&labels, NODULE);
        assert!((2000.0..7000.0).contains(&organ), "case {case}: organ of {organ} mm³");
        assert!((150.0..1100.0).contains(&nodule), "case {case}: nodule of {nodule} mm³");
    }
}

#[test]
fn shapes_are_defined_in_mm_so_a_coarser_grid_shows_the_same_patient() {
    for case in 0..4 {
        let (_, fine) = phantom(2, case, 1.0);
        let (_, coarse) = phantom(2, case, 1.5);
        assert!(coarse.voxels.len() < fine.voxels.len() / 2);
        for label in [ORGAN, NODULE] {
            let (fine_centre, fine_volume) = centre_and_volume(&fine, label);
            let (centre, volume) = centre_and_volume(&coarse, label);
            assert!(
                (volume / fine_volume - 1.0).abs() < 0.15,
                "case {case}: {volume} and {fine_volume} mm³"
            );
            for axis in 0..3 {
                assert!(
                    (centre[axis] - fine_centre[axis]).abs() < 0.5,
                    "case {case}: {centre:?} {fine_centre:?}"
                );
            }
        }
    }
}

#[test]
fn the_nodule_is_at_the_front_of_the_organ_in_space_but_anywhere_in_the_array() {
    let mut directions = BTreeSet::new();
    for case in 0..40 {
        let (_, labels) = phantom(3, case, 2.0);
        let (organ, _) = centre_and_volume(&labels, ORGAN);
        let (nodule, _) = centre_and_volume(&labels, NODULE);
        let offset: [f64; 3] = std::array::from_fn(|axis| nodule[axis] - organ[axis]);
        assert!(
            offset[1] > 5.0 && offset[1] > offset[0].abs() && offset[1] > offset[2].abs(),
            "case {case}: {offset:?}"
        );
        let along: [f64; 3] =
            std::array::from_fn(|column| dot(labels.affine.column(column), offset));
        let steepest = (0..3).max_by(|&a, &b| along[a].abs().total_cmp(&along[b].abs())).unwrap();
        directions.insert((steepest, along[steepest] > 0.0));
    }
    assert_eq!(directions.len(), 6, "{directions:?}");
}

#[test]
fn grids_differ_in_spacing_and_handedness_and_span_space() {
    let affines: Vec<Affine> = (0..20).map(|case| phantom(4, case, 4.0).0.affine).collect();
    let spacings: BTreeSet<_> =
        affines.iter().map(|affine| affine.spacing().map(f64::to_bits)).collect();
    assert_eq!(spacings.len(), affines.len());
    assert!(affines.iter().all(|affine| voxel_volume(affine).abs() > 40.0));
    let right_handed = affines.iter().filter(|affine| voxel_volume(affine) > 0.0).count();
    assert!((1..20).contains(&right_handed));
}

#[test]
fn no_threshold_finds_the_organ() {
    let (image, labels) = phantom(0, 0, 1.0);
    let image = image.voxels.index_axis(Axis(0), 0).to_owned();
    for threshold in (0..400).step_by(5) {
        let above = image.mapv(|v| u16::from(v > threshold as f32));
        let foreground = labels.voxels.mapv(|label| u16::from(label > 0));
        let dice = crate::metrics::dice(above.view(), foreground.view(), 1).unwrap().unwrap();
        assert!(dice < 0.8, "{dice} at {threshold}");
    }
}

#[test]
fn a_task_is_written_once_and_reads_back_as_the_cases_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("new").join("task");
    let task = PhantomTask { seed: 7, cases: 3, test_cases: 2, coarseness: 3.0 };
    write_task(&folder, &task).unwrap();

    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("dataset.json")).unwrap()).unwrap();
    let opened = |file: &serde_json::Value| {
        Source::from(folder.join(file.as_str().unwrap())).open().unwrap()
    };
    assert_eq!((&json["numTraining"], &json["numTest"]), (&json!(3), &json!(2)));
    for case in 0..3 {
        let (image, labels) = phantom(7, case, 3.0);
        let pair = &json["training"][case as usize];
        assert_eq!(opened(&pair["image"]).image().unwrap(), image);
        assert_eq!(opened(&pair["label"]).labels().unwrap(), labels);
    }
    for case in 3..5 {
        let image = opened(&json["test"][case as usize - 3]).image().unwrap();
        assert_eq!(image, phantom(7, case, 3.0).0);
    }
    // Nothing is left beside it, and it is not written twice.
    assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1);
    let error = write_task(&folder, &task).unwrap_err().to_string();
    assert!(error.contains("not empty") && error.contains("task"), "{error}");
}

#[test]
fn an_empty_folder_is_filled_and_a_file_in_its_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, file) = (folder.path().join("empty"), folder.path().join("file"));
    fs::create_dir(&empty).unwrap();
    fs::write(&file, "kept").unwrap();
    let task = PhantomTask { cases: 1, test_cases: 0, coarseness: 4.0, ..PhantomTask::default() };
    write_task(&empty, &task).unwrap();
    assert!(empty.join("dataset.json").exists());
    write_task(&file, &task).unwrap_err();
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
}
