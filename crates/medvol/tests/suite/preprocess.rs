//! Preprocessing and the way back.

use crate::common::{affine_from, any_affine};
use medvol::patch::extract;
use medvol::{
    Affine, Case, ClassMap, Error, Image, Label, LabelMap, Orientation, Preprocessed, RawImage,
    canonical_spacing, median_spacing, preprocess,
};
use ndarray::{Array3, Array4, Axis};
use proptest::prelude::*;

fn labels(values: &[u16]) -> Vec<Label> {
    values.iter().map(|&value| Label { value, name: format!("label {value}") }).collect()
}

fn class_map(values: &[u16]) -> ClassMap {
    ClassMap::new(&labels(values))
}

/// `[classes, depth, height, width]` with 1 at each voxel's class.
fn one_hot(case: &Case, classes: usize) -> Array4<f32> {
    let indices = case.classes.as_ref().unwrap();
    let (depth, height, width) = indices.dim();
    Array4::from_shape_fn((classes, depth, height, width), |(c, k, j, i)| {
        f32::from(u8::from(usize::from(indices[[k, j, i]]) == c))
    })
}

proptest! {
    #[test]
    fn the_canonical_orientation_is_exactly_undone(affine in any_affine(), shape in prop::array::uniform3(1..6_usize)) {
        let volume = Array3::from_shape_fn(shape, |(k, j, i)| k * 100 + j * 10 + i);
        let orientation = Orientation::of(&affine);
        let canonical = orientation.canonical(volume.view());
        prop_assert_eq!(canonical.shape(), orientation.canonical_axes(shape));
        let mut back = Array3::zeros(shape);
        orientation.canonical(back.view_mut()).assign(&canonical);
        prop_assert_eq!(back, volume);
    }

    #[test]
    fn the_canonical_orientation_leaves_every_voxel_at_its_place(affine in any_affine(), shape in prop::array::uniform3(1..5_usize)) {
        // Every voxel holds its own place.
        let places = Array3::from_shape_fn(shape, |(k, j, i)| affine.apply([i as f64, j as f64, k as f64]));
        let orientation = Orientation::of(&affine);
        let canonical_affine = orientation.canonical_affine(&affine, shape);
        for ((k, j, i), place) in orientation.canonical(places.view()).indexed_iter() {
            let found = canonical_affine.apply([i as f64, j as f64, k as f64]);
            prop_assert!((0..3).all(|n| (found[n] - place[n]).abs() < 1e-9));
        }
        // The canonical grid is canonical: it has nothing left to permute or flip.
        let again = Orientation::of(&canonical_affine);
        prop_assert_eq!(again.canonical_affine(&canonical_affine, orientation.canonical_axes(shape)), canonical_affine);
    }

    #[test]
    fn an_affine_and_its_inverse_cancel(affine in any_affine()) {
        let identity = affine.inverse().unwrap().compose(&affine);
        prop_assert!(identity.approx_eq(&Affine::IDENTITY, [100, 100, 100], 1e-6));
        prop_assert!(affine.compose(&affine.inverse().unwrap()).approx_eq(&Affine::IDENTITY, [100, 100, 100], 1e-6));
    }

    #[test]
    fn one_hot_labels_at_the_images_own_spacing_are_restored_exactly(
        affine in any_affine(),
        shape in prop::array::uniform3(1..7_usize),
        empty in prop::array::uniform3((0..3_usize, 0..3_usize)),
        channels in 1..3_usize,
        seed in any::<u32>(),
    ) {
        let values = [0, 3, 7, 300];
        let mut state = seed;
        let mut draw = move || { state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); state >> 16 };
        // Up to two planes on every side are zero in the image and background in the labels.
        let inside = |at: [usize; 3]| (0..3).all(|a| at[a] >= empty[a].0 && at[a] + empty[a].1 < shape[a]);
        let voxels = Array4::from_shape_fn((channels, shape[0], shape[1], shape[2]), |(_, k, j, i)| {
            if inside([k, j, i]) { 1.0 + draw() as f32 } else { 0.0 }
        });
        let map = Array3::from_shape_fn(shape, |(k, j, i)| if inside([k, j, i]) { values[draw() as usize % 4] } else { 0 });
        let image = Image { voxels, affine };
        let map = LabelMap { voxels: map, affine };

        let case = preprocess("case", &image, Some(&map), &class_map(&values), canonical_spacing(&affine), &[]).unwrap();
        prop_assert_eq!(case.image.shape()[1..].to_vec(), case.geometry.grid_shape().to_vec());
        let restored = case.geometry.restore_labels(&one_hot(&case, 4), &labels(&values)).unwrap();
        prop_assert_eq!(restored, map);
    }

    #[test]
    fn shape_and_affine_are_restored_at_any_spacing(
        affine in any_affine(),
        shape in prop::array::uniform3(1..7_usize),
        spacing in prop::array::uniform3(0.5..7.0_f64),
    ) {
        let image = Image { voxels: Array4::from_shape_fn((1, shape[0], shape[1], shape[2]), |(_, k, j, i)| (1 + k + j * i) as f32), affine };
        let case = preprocess("case", &image, None, &class_map(&[0, 1]), spacing, &[]).unwrap();
        prop_assert!(case.classes.is_none());
        let grid = case.geometry.grid_shape();
        prop_assert_eq!(&case.image.shape()[1..], grid);
        let probabilities = Array4::from_shape_fn((2, grid[0], grid[1], grid[2]), |(c, ..)| [0.25, 0.75][c]);
        let map = case.geometry.restore_labels(&probabilities, &labels(&[0, 9])).unwrap();
        prop_assert_eq!((map.shape(), map.affine), (shape, affine));
        prop_assert!(map.voxels.iter().all(|v| *v == 9));
        let back = case.geometry.restore_probabilities(&probabilities).unwrap();
        prop_assert_eq!((back.shape(), back.affine), (shape, affine));
        prop_assert!(back.voxels.index_axis(Axis(0), 1).iter().all(|v| (v - 0.75).abs() < 1e-6));
    }

    #[test]
    fn windows_computed_alone_are_those_cut_from_the_whole_preprocessed_image(
        affine in any_affine(),
        shape in prop::array::uniform3(1..40_usize),
        empty in prop::array::uniform3(0..2_usize),
        ratio in prop::array::uniform3(prop_oneof![Just(1.0), 0.4..4.0_f64]),
        patch in prop::array::uniform3(1..9_usize),
        corner in prop::array::uniform3(-9..20_isize),
        channels in 1..3_usize,
    ) {
        let voxels = Array4::from_shape_fn((channels, shape[0], shape[1], shape[2]), |(c, k, j, i)| {
            let inside = k >= empty[0] && j >= empty[1] && i >= empty[2];
            if inside { ((k * 31 + j * 17 + i * 7 + c) % 101) as f32 * 0.37 - 9.0 } else { 0.0 }
        });
        let image = Image { voxels, affine };
        let own = canonical_spacing(&affine);
        let spacing = [0, 1, 2].map(|a| own[a] * ratio[a]);
        let whole = preprocess("case", &image, None, &class_map(&[0]), spacing, &[]).unwrap();
        let raw = RawImage::from(image);
        let lazy = Preprocessed::new("case", &raw, spacing, &[]).unwrap();
        prop_assert_eq!(lazy.geometry(), &whole.geometry);
        let bits = |window: Vec<f32>| window.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        prop_assert_eq!(bits(lazy.window(corner, patch)), bits(extract(whole.image.view(), corner, patch)));
    }

    #[test]
    fn every_voxel_comes_back_to_its_own_place(
        quaternion in prop::array::uniform4(0.2..1.0_f64),
        mirrored in prop::array::uniform3(any::<bool>()),
        ratio in prop::array::uniform3(0.5..2.0_f64),
    ) {
        // Each channel is a coordinate in mm: linear, so that resampling there and back is exact in
        // the interior, up to the z-score.
        let affine = affine_from(quaternion, [1.0, 1.4, 2.1], mirrored, [5.0, -80.0, 31.0]);
        let voxels = Array4::from_shape_fn((3, 14, 15, 16), |(c, k, j, i)| affine.apply([i as f64, j as f64, k as f64])[c] as f32);
        let image = Image { voxels, affine };
        let own = canonical_spacing(&affine);
        let spacing = [0, 1, 2].map(|a| own[a] * ratio[a]);
        let case = preprocess("case", &image, None, &class_map(&[0]), spacing, &[]).unwrap();
        prop_assume!(case.geometry.crop_shape.iter().product::<usize>() == 14 * 15 * 16);
        let back = case.geometry.restore_probabilities(&case.image).unwrap();
        for channel in 0..3 {
            let (before, after) = (image.voxels.index_axis(Axis(0), channel), back.voxels.index_axis(Axis(0), channel));
            // z-score: after = (before - mean) / deviation, with one mean and one deviation for all
            // voxels. Both follow from two voxels.
            let at = [5, 5, 5];
            let corners = [[8, 5, 5], [5, 9, 5], [5, 5, 10], [8, 9, 10]];
            let step = |corner: [usize; 3]| before[corner] - before[at];
            let to = corners.into_iter().fold(at, |best, corner| if step(corner).abs() > step(best).abs() { corner } else { best });
            let scale = (after[to] - after[at]) / step(to);
            for k in 5..9 { for j in 5..10 { for i in 5..11 {
                let want = after[at] + step([k, j, i]) * scale;
                prop_assert!((after[[k, j, i]] - want).abs() < 1e-3, "{} {}", after[[k, j, i]], want);
            } } }
        }
    }
}

fn ball(affine: Affine, radius_mm: f64) -> (Image, LabelMap) {
    let shape = [20, 30, 40];
    let centre = affine.apply([19.5, 14.5, 9.5]);
    let inside = |k: usize, j: usize, i: usize| {
        let place = affine.apply([i as f64, j as f64, k as f64]);
        (0..3).map(|n| (place[n] - centre[n]).powi(2)).sum::<f64>() < radius_mm * radius_mm
    };
    let map = Array3::from_shape_fn(shape, |(k, j, i)| if inside(k, j, i) { 2 } else { 0 });
    let voxels = map.mapv(|v| 10.0 + f32::from(v)).insert_axis(Axis(0));
    (Image { voxels, affine }, LabelMap { voxels: map, affine })
}

#[test]
fn a_grid_turned_by_less_than_45_degrees_keeps_its_axes_and_one_turned_by_more_swaps_them() {
    for (degrees, shape) in [
        (0.0, [2, 3, 4]),
        (44.0, [2, 3, 4]),
        (45.0, [2, 3, 4]),
        (46.0, [2, 4, 3]),
        (134.0, [2, 4, 3]),
        (136.0, [2, 3, 4]),
    ] {
        let half = f64::to_radians(degrees) / 2.0;
        // Around the axis to the head, which is the depth.
        let affine =
            affine_from([half.cos(), 0.0, 0.0, half.sin()], [1.0; 3], [false; 3], [0.0; 3]);
        assert_eq!(Orientation::of(&affine).canonical_axes([2, 3, 4]), shape, "{degrees}");
    }
}

#[test]
fn the_lower_class_wins_a_tie() {
    let image = Image { voxels: Array4::ones((1, 2, 3, 4)), affine: Affine::IDENTITY };
    let geometry =
        preprocess("case", &image, None, &class_map(&[0]), [1.0; 3], &[]).unwrap().geometry;
    let mut scores = Array4::from_elem((3, 2, 3, 4), 0.4);
    scores.index_axis_mut(Axis(0), 0).fill(0.2);
    let map = geometry.restore_labels(&scores, &labels(&[0, 6, 9])).unwrap();
    assert!(map.voxels.iter().all(|value| *value == 6));
}

#[test]
fn a_ball_survives_a_coarser_and_a_finer_spacing() {
    let affine =
        affine_from([1.0, 0.2, -0.3, 0.6], [1.0, 1.2, 2.0], [true, false, true], [3.0, 4.0, 5.0]);
    let (image, map) = ball(affine, 12.0);
    for spacing in [[1.5, 1.5, 1.5], [0.7, 0.7, 0.7], [2.0, 1.0, 0.5]] {
        let case =
            preprocess("ball", &image, Some(&map), &class_map(&[0, 2]), spacing, &[]).unwrap();
        let restored = case.geometry.restore_labels(&one_hot(&case, 2), &labels(&[0, 2])).unwrap();
        let count = |a: &Array3<u16>| a.iter().filter(|v| **v == 2).count() as f64;
        let both =
            restored.voxels.iter().zip(&map.voxels).filter(|(a, b)| **a == 2 && **b == 2).count()
                as f64;
        let dice = 2.0 * both / (count(&restored.voxels) + count(&map.voxels));
        assert!(dice > 0.95, "{spacing:?}: {dice}");
    }
}

#[test]
fn the_image_is_cropped_to_what_is_not_zero_in_any_channel() {
    let mut voxels = Array4::zeros((2, 6, 7, 8));
    voxels[[0, 2, 3, 4]] = 1.0;
    voxels[[1, 3, 3, 6]] = -1.0;
    let image = Image { voxels, affine: Affine::IDENTITY };
    let case = preprocess("case", &image, None, &class_map(&[0, 1]), [1.0; 3], &[]).unwrap();
    assert_eq!((case.geometry.crop_start, case.geometry.crop_shape), ([2, 3, 4], [2, 1, 3]));
    let ones = Array4::from_shape_fn((2, 2, 1, 3), |(c, ..)| c as f32);
    let map = case.geometry.restore_labels(&ones, &labels(&[0, 5])).unwrap();
    for ((k, j, i), value) in map.voxels.indexed_iter() {
        let inside = (2..4).contains(&k) && j == 3 && (4..7).contains(&i);
        assert_eq!(*value, if inside { 5 } else { 0 });
    }
    let probabilities = case.geometry.restore_probabilities(&ones).unwrap().voxels;
    assert_eq!((probabilities[[0, 0, 0, 0]], probabilities[[1, 0, 0, 0]]), (1.0, 0.0));
    assert_eq!((probabilities[[0, 2, 3, 4]], probabilities[[1, 2, 3, 4]]), (0.0, 1.0));
}

#[test]
fn each_channel_gets_mean_0_and_deviation_1_and_a_constant_one_becomes_0() {
    let voxels = Array4::from_shape_fn((3, 4, 5, 6), |(c, k, j, i)| match c {
        0 => (k * k + j * 3 + i) as f32 + 1000.0,
        1 => 0.1,
        _ => -((k + j * i) as f32),
    });
    let image = Image { voxels, affine: Affine::from_spacing([2.0, 1.0, 1.0]) };
    let case = preprocess("case", &image, None, &class_map(&[0]), [1.5, 0.8, 1.3], &[]).unwrap();
    for channel in [0, 2] {
        let values = case.image.index_axis(Axis(0), channel);
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32;
        assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-4, "{mean} {variance}");
    }
    assert!(case.image.index_axis(Axis(0), 1).iter().all(|v| *v == 0.0));
}

#[test]
fn an_image_of_zeros_and_an_image_of_one_slice_are_fine() {
    let zeros = Image { voxels: Array4::zeros((1, 3, 4, 5)), affine: Affine::IDENTITY };
    let case = preprocess("zeros", &zeros, None, &class_map(&[0]), [1.0; 3], &[]).unwrap();
    assert_eq!(case.image, zeros.voxels);
    let slice = Image {
        voxels: Array4::from_shape_fn((1, 1, 4, 5), |(_, _, j, i)| (j + i) as f32 + 1.0),
        affine: Affine::IDENTITY,
    };
    let case = preprocess("slice", &slice, None, &class_map(&[0]), [4.0, 0.5, 0.5], &[]).unwrap();
    assert_eq!(case.image.dim(), (1, 1, 8, 10));
}

#[test]
fn the_geometry_survives_being_stored() {
    let (image, _) = ball(
        affine_from([1.0, 0.2, -0.3, 0.6], [0.1, 1.2, 2.0], [true, false, true], [0.1, 4.0, 5.0]),
        9.0,
    );
    let geometry =
        preprocess("ball", &image, None, &class_map(&[0]), [1.1; 3], &[]).unwrap().geometry;
    let stored = serde_json::to_string(&geometry).unwrap();
    let loaded: medvol::Geometry = serde_json::from_str(&stored).unwrap();
    assert!(loaded.affine.approx_eq(&geometry.affine, geometry.shape, 1e-9));
    assert_eq!(loaded.grid_shape(), geometry.grid_shape());
    assert_eq!((loaded.crop_start, loaded.crop_shape), (geometry.crop_start, geometry.crop_shape));
}

#[test]
fn the_median_spacing_is_taken_axis_by_axis() {
    let median = median_spacing([[1.0, 9.0, 2.0], [3.0, 1.0, 2.0], [2.0, 5.0, 7.0]]);
    assert_eq!(median, Some([2.0, 5.0, 2.0]));
    assert_eq!(median_spacing([[1.0, 4.0, 2.0], [3.0, 1.0, 3.0]]), Some([2.0, 2.5, 2.5]));
    assert_eq!(median_spacing([]), None);
}

#[test]
fn what_cannot_be_preprocessed_is_refused_with_the_cases_name() {
    let (image, map) = ball(Affine::IDENTITY, 8.0);
    let known = class_map(&[0, 2]);
    let refusal = |image: &Image, map: &LabelMap, known: &ClassMap, spacing| {
        let error = preprocess("case 7", image, Some(map), known, spacing, &[]).unwrap_err();
        assert!(error.to_string().contains("case 7"), "{error}");
        error
    };
    for spacing in [
        [0.0, 1.0, 1.0],
        [1.0, -1.0, 1.0],
        [1.0, 1.0, f64::NAN],
        [1e-4, 1e-4, 1e-4],
        [1e-300, 1.0, 1.0],
    ] {
        assert!(
            matches!(refusal(&image, &map, &known, spacing), Error::Preprocess { .. }),
            "{spacing:?}"
        );
    }
    let mut bad = image.clone();
    bad.affine.0[2] = [0.0; 4];
    assert!(matches!(refusal(&bad, &map, &known, [1.0; 3]), Error::Preprocess { .. }));
    let mut bad = image.clone();
    bad.voxels[[0, 1, 2, 3]] = f32::NAN;
    assert!(matches!(
        refusal(&bad, &map, &known, [1.0; 3]),
        Error::NotFinite { voxel: [0, 1, 2, 3], .. }
    ));
    let bad = LabelMap { voxels: Array3::zeros((20, 30, 41)), affine: map.affine };
    assert!(matches!(refusal(&image, &bad, &known, [1.0; 3]), Error::ShapeMismatch { .. }));
    assert!(matches!(
        refusal(&image, &map, &class_map(&[0, 1]), [1.0; 3]),
        Error::UnlistedLabel { value: 2, .. }
    ));
    let empty = Image { voxels: Array4::zeros((1, 0, 3, 3)), affine: Affine::IDENTITY };
    assert!(matches!(refusal(&empty, &map, &known, [1.0; 3]), Error::Preprocess { .. }));
}

#[test]
fn scores_on_another_grid_are_refused() {
    let (image, _) = ball(Affine::IDENTITY, 8.0);
    let geometry =
        preprocess("ball", &image, None, &class_map(&[0, 2]), [2.0; 3], &[]).unwrap().geometry;
    let [depth, height, width] = geometry.grid_shape();
    let three_classes = Array4::zeros((3, depth, height, width));
    assert!(matches!(
        geometry.restore_labels(&three_classes, &labels(&[0, 2])),
        Err(Error::GridMismatch { .. })
    ));
    let longer = Array4::zeros((2, depth, height, width + 1));
    assert!(matches!(
        geometry.restore_labels(&longer, &labels(&[0, 2])),
        Err(Error::GridMismatch { .. })
    ));
    assert!(matches!(geometry.restore_probabilities(&longer), Err(Error::GridMismatch { .. })));
}
