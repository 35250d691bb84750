//! Metrics, distances and components against independent implementations, and the laws of the
//! metrics.

use medvol::components::{Connectivity, components, keep_largest_component};
use medvol::distance::distance_to;
use medvol::metrics::{
    Better, LabelScores, Metric, Structures, dice_per_structure, dice_with_largest,
    score_structures,
};
use ndarray::{Array3, s};
use proptest::prelude::*;
use serde::Deserialize;

/// What `fixtures/metrics.py` wrote.
#[derive(Deserialize)]
struct Fixture {
    scores: Vec<ScoreCase>,
    distances: Vec<DistanceCase>,
    components: Vec<ComponentsCase>,
}

#[derive(Deserialize)]
struct ScoreCase {
    shape: [usize; 3],
    spacing_mm: [f64; 3],
    tolerance_mm: f64,
    prediction: String,
    reference: String,
    labels: Vec<u16>,
    expected: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    dice: Option<f64>,
    jaccard: Option<f64>,
    sensitivity: Option<f64>,
    precision: Option<f64>,
    surface_dice: Option<f64>,
    hd95_mm: Option<f64>,
    assd_mm: Option<f64>,
}

#[derive(Deserialize)]
struct DistanceCase {
    shape: [usize; 3],
    spacing_mm: [f64; 3],
    sites: String,
    expected_mm: Vec<f64>,
}

#[derive(Deserialize)]
struct ComponentsCase {
    shape: [usize; 3],
    mask: String,
    faces: Vec<u32>,
    corners: Vec<u32>,
}

/// What `fixtures/metrics_2d.py` wrote: maps of one slice.
#[derive(Deserialize)]
struct Flat {
    scores: Vec<ScoreCase>,
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(crate::common::fixture(name)).unwrap()).unwrap()
}

fn fixture() -> Fixture {
    read("metrics.json")
}

/// A map from a string of one digit per voxel.
fn map(shape: [usize; 3], digits: &str) -> Array3<u16> {
    let voxels = digits.bytes().map(|digit| u16::from(digit - b'0')).collect();
    Array3::from_shape_vec(shape, voxels).unwrap()
}

fn mask(shape: [usize; 3], digits: &str) -> Array3<bool> {
    map(shape, digits).mapv(|value| value > 0)
}

/// Equal within `tolerance`, or both not scored.
fn close(a: Option<f64>, b: Option<f64>, tolerance: f64) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= tolerance,
        (a, b) => a == b,
    }
}

#[test]
fn the_largest_component_scores_as_the_cleaned_map_does_and_stray_voxels_cost_nothing() {
    // Label 1: three voxels in a row, a fourth one astray; label 2 only in the reference.
    let (prediction, reference) = (map([1, 2, 5], "1110100000"), map([1, 2, 5], "1110000022"));
    let scores = score_structures(
        prediction.view(),
        reference.view(),
        &Structures::labels(&[1, 2, 3]),
        [1.0; 3],
        1.0,
    )
    .unwrap();
    assert_eq!(scores[0][Metric::Dice], Some(6.0 / 7.0));
    let dice_largest: Vec<_> = scores.iter().map(|s| s[Metric::DiceLargest]).collect();
    assert_eq!(dice_largest, [Some(1.0), Some(0.0), None]);
    let mut cleaned = prediction.mapv(|v| v as u8);
    keep_largest_component(&mut cleaned, 1, Connectivity::Faces);
    let cleaned = score_structures(
        cleaned.mapv(u16::from).view(),
        reference.view(),
        &Structures::labels(&[1]),
        [1.0; 3],
        1.0,
    )
    .unwrap();
    assert_eq!(
        (cleaned[0][Metric::Dice], cleaned[0][Metric::DiceLargest]),
        (dice_largest[0], dice_largest[0])
    );
}

#[test]
fn scores_are_those_of_medpy_and_monai() {
    let cases = [fixture().scores, read::<Flat>("metrics_2d.json").scores]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    assert!(cases.len() >= 9);
    for (number, case) in cases.iter().enumerate() {
        let (prediction, reference) =
            (map(case.shape, &case.prediction), map(case.shape, &case.reference));
        let found = score_structures(
            prediction.view(),
            reference.view(),
            &Structures::labels(&case.labels),
            case.spacing_mm,
            case.tolerance_mm,
        )
        .unwrap();
        for ((found, expected), label) in found.iter().zip(&case.expected).zip(&case.labels) {
            for (name, found, expected, tolerance) in [
                ("dice", found[Metric::Dice], expected.dice, 1e-12),
                ("jaccard", found[Metric::Jaccard], expected.jaccard, 1e-12),
                ("sensitivity", found[Metric::Sensitivity], expected.sensitivity, 1e-12),
                ("precision", found[Metric::Precision], expected.precision, 1e-12),
                // MONAI computes in single precision.
                ("surface dice", found[Metric::SurfaceDice], expected.surface_dice, 1e-6),
                ("hd95", found[Metric::Hd95Mm], expected.hd95_mm, 1e-9),
                ("assd", found[Metric::AssdMm], expected.assd_mm, 1e-9),
            ] {
                assert!(
                    close(found, expected, tolerance),
                    "case {number}, label {label}, {name}: {found:?}, expected {expected:?}"
                );
            }
        }
        let dice = dice_per_structure(
            prediction.view(),
            reference.view(),
            &Structures::labels(&case.labels),
        )
        .unwrap();
        assert_eq!(dice, found.iter().map(|scores| scores[Metric::Dice]).collect::<Vec<_>>());
        let both = dice_with_largest(
            prediction.view(),
            reference.view(),
            &Structures::labels(&case.labels),
        )
        .unwrap();
        let expected = found.iter().map(|s| [Metric::Dice, Metric::DiceLargest].map(|m| s[m]));
        assert_eq!(both, expected.collect::<Vec<_>>());
    }
}

#[test]
fn distances_are_those_of_scipy() {
    for case in fixture().distances {
        let found = distance_to(mask(case.shape, &case.sites).view(), case.spacing_mm);
        assert_eq!(found.len(), case.expected_mm.len());
        for ((at, found), expected) in found.indexed_iter().zip(&case.expected_mm) {
            assert!((found - expected).abs() < 1e-8, "{at:?}: {found}, expected {expected}");
        }
    }
}

#[test]
fn components_are_those_of_scipy() {
    for case in fixture().components {
        let mask = mask(case.shape, &case.mask);
        for (connectivity, expected) in
            [(Connectivity::Faces, case.faces), (Connectivity::Corners, case.corners)]
        {
            let found = components(mask.view(), connectivity);
            assert_eq!(
                found.numbers.iter().copied().collect::<Vec<_>>(),
                expected,
                "{connectivity:?}"
            );
            let count = |number: usize| expected.iter().filter(|&&n| n as usize == number).count();
            assert_eq!(
                found.sizes,
                (1..=found.sizes.len()).map(count).collect::<Vec<_>>(),
                "{connectivity:?}"
            );
        }
    }
}

const SPACING: [f64; 3] = [2.5, 0.7, 1.2];

fn score(prediction: &Array3<u16>, reference: &Array3<u16>) -> LabelScores {
    score_structures(prediction.view(), reference.view(), &Structures::labels(&[1]), SPACING, 1.0)
        .unwrap()[0]
}

#[test]
fn what_is_not_scored_follows_the_rule_for_empty_masks() {
    let empty = Array3::<u16>::zeros((4, 5, 6));
    let mut two = empty.clone();
    two.slice_mut(s![1, 2, 3..5]).fill(1);
    let ml = 2.0 * 2.5 * 0.7 * 1.2 / 1000.0;
    let zero = Some(0.0);

    assert_eq!(score(&empty, &empty), LabelScores::default());
    let with = |changes: &[(Metric, Option<f64>)]| {
        let mut scores = LabelScores::default();
        for metric in [Metric::Dice, Metric::DiceLargest, Metric::Jaccard, Metric::SurfaceDice] {
            scores[metric] = zero;
        }
        changes.iter().for_each(|(metric, score)| scores[*metric] = *score);
        scores
    };
    let predicted = score(&two, &empty);
    let volume = predicted[Metric::VolumeErrorMl];
    assert!(close(volume, Some(ml), 1e-15));
    assert_eq!(predicted, with(&[(Metric::Precision, zero), (Metric::VolumeErrorMl, volume)]));
    let missed = score(&empty, &two);
    let volume = missed[Metric::VolumeErrorMl];
    assert!(close(volume, Some(-ml), 1e-15));
    let expected = [
        (Metric::Sensitivity, zero),
        (Metric::VolumeError, Some(-1.0)),
        (Metric::VolumeErrorMl, volume),
    ];
    assert_eq!(missed, with(&expected));
}

#[test]
fn metrics_have_names_of_their_own_and_are_known_by_their_keys() {
    let mut titles: Vec<String> = Metric::ALL.map(|metric| metric.title(Some(0.5))).into();
    assert_eq!(titles[4..7], ["surface Dice 0.5 mm", "HD95 mm", "ASSD mm"]);
    assert_eq!(Metric::SurfaceDice.title(None), "surface Dice");
    titles.sort();
    titles.dedup();
    assert_eq!(titles.len(), Metric::ALL.len());
    for metric in Metric::ALL {
        let json = serde_json::to_string(&metric).unwrap();
        assert_eq!(json, format!("{:?}", metric.key()));
        assert_eq!(serde_json::from_str::<Metric>(&json).unwrap(), metric);
    }
    let error = serde_json::from_str::<Metric>("\"beauty\"").unwrap_err().to_string();
    assert!(error.contains("beauty"), "{error}");
}

#[test]
fn a_single_voxel_has_a_surface() {
    let voxel = Array3::<u16>::ones((1, 1, 1));
    let scores = score(&voxel, &voxel);
    assert_eq!((scores[Metric::Hd95Mm], scores[Metric::SurfaceDice]), (Some(0.0), Some(1.0)));
}

#[test]
fn a_plane_moved_by_a_voxel_is_one_spacing_away() {
    for (axis, spacing) in SPACING.into_iter().enumerate() {
        let plane = |at: usize| {
            let mut map = Array3::<u16>::zeros((5, 6, 7));
            map.index_axis_mut(ndarray::Axis(axis), at).fill(1);
            map
        };
        let at = |tolerance: f64| {
            score_structures(
                plane(2).view(),
                plane(3).view(),
                &Structures::labels(&[1]),
                SPACING,
                tolerance,
            )
            .unwrap()[0]
        };
        let scores = at(spacing);
        assert!(close(scores[Metric::Hd95Mm], Some(spacing), 1e-12), "{scores:?}");
        assert!(close(scores[Metric::AssdMm], Some(spacing), 1e-12), "{scores:?}");
        assert_eq!(
            (scores[Metric::SurfaceDice], at(0.99 * spacing)[Metric::SurfaceDice]),
            (Some(1.0), Some(0.0))
        );
        assert_eq!((scores[Metric::Dice], scores[Metric::VolumeError]), (Some(0.0), Some(0.0)));
    }
}

#[test]
fn a_label_asked_for_twice_is_scored_twice() {
    let map = Array3::from_elem((2, 2, 2), 3_u16);
    let scores =
        score_structures(map.view(), map.view(), &Structures::labels(&[3, 5, 3]), SPACING, 1.0)
            .unwrap();
    assert_eq!(
        scores.iter().map(|scores| scores[Metric::Dice]).collect::<Vec<_>>(),
        [Some(1.0), None, Some(1.0)]
    );
}

#[test]
fn maps_on_different_grids_are_refused() {
    let (prediction, reference) = (Array3::zeros((1, 2, 3)), Array3::zeros((3, 2, 1)));
    assert!(
        score_structures(
            prediction.view(),
            reference.view(),
            &Structures::labels(&[1]),
            SPACING,
            1.0
        )
        .is_err()
    );
}

fn any_two_maps() -> impl Strategy<Value = (Array3<u16>, Array3<u16>)> {
    prop::array::uniform3(1_usize..6).prop_flat_map(|[d, h, w]| {
        let voxels = || prop::collection::vec(0_u16..3, d * h * w);
        (voxels(), voxels()).prop_map(move |(p, r)| {
            let map = |voxels| Array3::from_shape_vec((d, h, w), voxels).unwrap();
            (map(p), map(r))
        })
    })
}

/// Whether scores are the same but for the Dice of the largest component: which of equals it is
/// depends on how the axes lie.
fn same(a: &LabelScores, b: &LabelScores) -> bool {
    let compared = Metric::ALL.into_iter().filter(|metric| *metric != Metric::DiceLargest);
    compared.into_iter().all(|metric| close(a[metric], b[metric], 1e-12))
}

proptest! {
    #[test]
    fn exchanging_the_maps_exchanges_sensitivity_and_precision_and_turns_the_sign_of_the_volume((p, r) in any_two_maps()) {
        let (forth, back) = (score(&p, &r), score(&r, &p));
        prop_assert_eq!((forth[Metric::Sensitivity], forth[Metric::Precision]), (back[Metric::Precision], back[Metric::Sensitivity]));
        prop_assert_eq!(forth[Metric::VolumeErrorMl], back[Metric::VolumeErrorMl].map(|ml| 0.0 - ml));
        let symmetric = |s: LabelScores| {
            [Metric::Dice, Metric::Jaccard, Metric::SurfaceDice, Metric::Hd95Mm, Metric::AssdMm].map(|metric| s[metric])
        };
        prop_assert_eq!(symmetric(forth), symmetric(back));
    }

    #[test]
    fn scores_do_not_see_how_the_axes_lie((p, r) in any_two_maps()) {
        let scores = score(&p, &r);
        let axes = [1, 2, 0];
        let turn = |map: &Array3<u16>| map.view().permuted_axes(axes).slice_move(s![..;-1, .., ..;-1]).to_owned();
        let turned = score_structures(turn(&p).view(), turn(&r).view(), &Structures::labels(&[1]), axes.map(|a| SPACING[a]), 1.0).unwrap()[0];
        prop_assert!(same(&turned, &scores), "{turned:?}, {scores:?}");
    }

    #[test]
    fn background_around_changes_nothing((p, r) in any_two_maps(), before in 0_usize..3, after in 0_usize..3) {
        // A slice more makes another thing of a map of one slice.
        prop_assume!(p.shape().iter().all(|&extent| extent > 1));
        let pad = |map: &Array3<u16>| {
            let (d, h, w) = map.dim();
            let mut padded = Array3::zeros((d + before, h + before + after, w + after));
            padded.slice_mut(s![before.., before..before + h, ..w]).assign(map);
            padded
        };
        prop_assert_eq!(score(&pad(&p), &pad(&r)), score(&p, &r));
    }

    #[test]
    fn distances_grow_with_the_grid_and_overlap_does_not((p, r) in any_two_maps()) {
        let scores = score(&p, &r);
        let twice = score_structures(p.view(), r.view(), &Structures::labels(&[1]), SPACING.map(|mm| 2.0 * mm), 2.0).unwrap()[0];
        let mut expected = scores;
        for (metric, factor) in [(Metric::Hd95Mm, 2.0), (Metric::AssdMm, 2.0), (Metric::VolumeErrorMl, 8.0)] {
            expected[metric] = scores[metric].map(|value| factor * value);
        }
        prop_assert!(same(&twice, &expected), "{twice:?}, {expected:?}");
    }

    #[test]
    fn jaccard_follows_from_dice_and_dice_from_sensitivity_and_precision((p, r) in any_two_maps()) {
        let scores = score(&p, &r);
        let [dice, jaccard, sensitivity, precision] =
            [Metric::Dice, Metric::Jaccard, Metric::Sensitivity, Metric::Precision].map(|metric| scores[metric]);
        prop_assert!(close(jaccard, dice.map(|dice| dice / (2.0 - dice)), 1e-12));
        if let (Some(s), Some(p)) = (sensitivity, precision) && s + p > 0.0 {
            prop_assert!(close(dice, Some(2.0 * s * p / (s + p)), 1e-12));
        }
    }

    #[test]
    fn nothing_scores_better_than_the_reference_itself((p, r) in any_two_maps()) {
        let (found, best) = (score(&p, &r), score(&r, &r));
        // Of a reference in several parts, the largest one is not all.
        for metric in Metric::ALL.into_iter().filter(|metric| *metric != Metric::DiceLargest) {
            let (Some(found), Some(best)) = (found[metric], best[metric]) else { continue };
            let no_better = match metric.better() {
                Better::Higher => found <= best,
                Better::Lower => found >= best,
                Better::NearerZero => found.abs() >= best.abs(),
            };
            prop_assert!(no_better, "{metric:?}: {found}, {best}");
        }
    }

    #[test]
    fn a_larger_tolerance_never_lowers_the_surface_dice((p, r) in any_two_maps()) {
        let at = |tolerance: f64| score_structures(p.view(), r.view(), &Structures::labels(&[1]), SPACING, tolerance).unwrap()[0][Metric::SurfaceDice];
        let scores: Vec<Option<f64>> = [0.0, 0.5, 1.0, 2.0, 4.0].into_iter().map(at).collect();
        prop_assert!(scores.is_sorted(), "{scores:?}");
    }
}
