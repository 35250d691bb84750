use ndarray::{Array3, Array4, Axis};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;

use super::*;
use crate::affine::Affine;
use crate::geometry::Geometry;
use crate::patch::{extract, extract_classes};
use crate::preprocess::Case;

/// Two classes in layers of blobs, and an image that is their class; the second channel is smooth.
fn case(shape: [usize; 3], spacing_mm: [f64; 3]) -> Case {
    let classes = Array3::from_shape_fn(shape, |(k, j, i)| ((k / 3 + j / 4 + i / 5) % 3) as u8);
    let mut image = Array4::zeros((2, shape[0], shape[1], shape[2]));
    image.index_axis_mut(Axis(0), 0).assign(&classes.mapv(f32::from));
    let wave = Array3::from_shape_fn(shape, |(k, j, i)| {
        (0.31 * k as f32 + 0.2).sin() + (0.17 * j as f32).cos() * (0.23 * i as f32).sin()
    });
    image.index_axis_mut(Axis(0), 1).assign(&wave);
    let geometry = Geometry {
        shape,
        affine: Affine::IDENTITY,
        crop_start: [0; 3],
        crop_shape: shape,
        spacing_mm,
    };
    Case { name: "made up".into(), image, classes: Some(classes), geometry }
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn shapes() -> impl Strategy<Value = ([usize; 3], [usize; 3], [isize; 3])> {
    let sizes = || prop::array::uniform3(1_usize..9);
    (sizes(), sizes(), prop::array::uniform3(-6_isize..6))
}

/// Forces the way through interpolation without moving anything.
const STILL: Elastic = Elastic { displacement_mm: 0.0, spacing_mm: 4.0, seed: 1 };

/// All of the recipe, always.
fn everything() -> AugmentSettings {
    let ranged = |low, high| Ranged { probability: 1.0, range: [low, high] };
    AugmentSettings {
        flip: Flip::Probabilities([0.5; 3]),
        rotation: RotationSettings { probability: 1.0, degrees: [30.0; 3] },
        scale: ranged(0.7, 1.4),
        elastic: ElasticSettings {
            probability: 1.0,
            displacement_mm: [2.0, 6.0],
            spacing_mm: 16.0,
        },
        noise: ranged(0.05, 0.3),
        blur: ranged(0.5, 1.0),
        brightness: ranged(0.75, 1.25),
        contrast: ranged(0.75, 1.25),
        low_resolution: ranged(0.5, 0.9),
        gamma: GammaSettings { probability: 1.0, range: [0.7, 1.5], inverted: 0.5 },
    }
}

proptest! {
    #[test]
    fn doing_nothing_is_cutting_and_so_is_interpolating_where_nothing_moves_bit_for_bit((shape, patch, corner) in shapes()) {
        let case = case(shape, [1.0, 1.5, 0.8]);
        let cut = Augmentation::default().apply(&case.part(), corner, patch);
        prop_assert_eq!(&cut.image, &extract(case.image.view(), corner, patch));
        let classes = case.classes.as_ref().unwrap();
        prop_assert_eq!(cut.classes.as_ref().unwrap(), &extract_classes(classes.view(), corner, patch));
        let still = Augmentation { elastic: Some(STILL), ..Augmentation::default() };
        prop_assert_eq!(still.apply(&case.part(), corner, patch), cut);
    }

    #[test]
    fn a_flip_is_its_own_inverse_and_the_same_copied_or_interpolated(
        (shape, patch, corner) in shapes(),
        axes in prop::array::uniform3(any::<bool>()),
    ) {
        let case = case(shape, [1.0, 1.5, 0.8]);
        let plain = Augmentation::default().apply(&case.part(), corner, patch);
        let flipped = Augmentation { flip: axes, ..Augmentation::default() };
        let mut twice = flipped.apply(&case.part(), corner, patch);
        prop_assert_eq!(&twice, &Augmentation { elastic: Some(STILL), ..flipped }.apply(&case.part(), corner, patch));
        flip(&mut twice.image, patch, axes);
        flip(twice.classes.as_mut().unwrap(), patch, axes);
        prop_assert_eq!(twice, plain);
    }

    #[test]
    fn a_flip_moves_every_voxel_to_its_mirror_image(shape in prop::array::uniform3(1_usize..6), axes in prop::array::uniform3(any::<bool>())) {
        let place = |[k, j, i]: [usize; 3]| (k * shape[1] + j) * shape[2] + i;
        let volume = shape.iter().product::<usize>();
        let before: Vec<usize> = (0..2 * volume).collect();
        let mut after = before.clone();
        flip(&mut after, shape, axes);
        for k in 0..shape[0] {
            for j in 0..shape[1] {
                for i in 0..shape[2] {
                    let mirror = [0, 1, 2].map(|a| if axes[a] { shape[a] - 1 - [k, j, i][a] } else { [k, j, i][a] });
                    for channel in 0..2 {
                        prop_assert_eq!(after[channel * volume + place([k, j, i])], before[channel * volume + place(mirror)]);
                    }
                }
            }
        }
    }

    #[test]
    fn a_patch_is_the_same_bits_from_the_part_of_the_case_that_it_reaches(
        shape in prop::array::uniform3(1_usize..40),
        patch in prop::array::uniform3(1_usize..12),
        place in prop::array::uniform3(0.0_f64..1.0),
        spacing in prop::array::uniform3(0.5_f64..3.0),
        seed in any::<u64>(),
        moves in any::<bool>(),
    ) {
        let case = case(shape, spacing);
        let corner = [0, 1, 2].map(|axis| {
            let slack = shape[axis] as f64 - patch[axis] as f64;
            (place[axis] * slack).round() as isize
        });
        let settings = if moves { everything() } else { AugmentSettings::default() };
        let augmentation = Augmentation::draw(&settings, 2, &mut rng(seed));
        let reach = augmentation.reach(shape, spacing, corner, patch);
        let [k, j, i] = reach.clone();
        let image = case.image.slice(ndarray::s![.., k.clone(), j.clone(), i.clone()]).to_owned();
        let classes = case.classes.as_ref().unwrap().slice(ndarray::s![k, j, i]).to_owned();
        let part = crate::Part {
            start: reach.clone().map(|range| range.start),
            image: image.view(),
            classes: Some(classes.view()),
            ..case.part()
        };
        let whole = augmentation.apply(&case.part(), corner, patch);
        prop_assert_eq!(augmentation.apply(&part, corner, patch), whole);
        if !moves {
            let overlap = [0, 1, 2].map(|axis| shape[axis].min(patch[axis]));
            prop_assert_eq!(reach.map(|range| range.len()), overlap, "no more than the patch");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_patch_and_another_seed_another(seed in any::<u64>()) {
        let case = case([20, 18, 22], [1.0; 3]);
        let patch = |seed| {
            let augmentation = Augmentation::draw(&everything(), 2, &mut rng(seed));
            (augmentation.apply(&case.part(), [2, 3, 1], [16, 16, 16]), augmentation)
        };
        prop_assert_eq!(patch(seed), patch(seed));
        prop_assert_ne!(patch(seed), patch(seed ^ 1));
    }

    #[test]
    fn a_slice_stays_in_its_plane(seed in any::<u64>(), axis in 0_usize..3) {
        let mut shape = [40; 3];
        shape[axis] = 1;
        let mut case = case(shape, [1.0, 1.5, 0.8]);
        case.image.fill(1.0);
        let mut augmentation = Augmentation::draw(&everything(), 2, &mut rng(seed));
        augmentation.flip[axis] = false;
        augmentation.intensity.clear();
        let mut corner = [12; 3];
        corner[axis] = -3;
        let image = augmentation.apply(&case.part(), corner, [16; 3]).image;
        let image = Array4::from_shape_vec((2, 16, 16, 16), image).unwrap();
        for (place, plane) in image.axis_iter(Axis(axis + 1)).enumerate() {
            let middle = plane.slice(ndarray::s![.., 6..10, 6..10]);
            if place == 3 {
                prop_assert!(middle.iter().all(|value| (value - 1.0).abs() < 1e-5));
            } else {
                prop_assert!(plane.iter().all(|value| *value == 0.0), "plane {}", place);
            }
        }
    }

    #[test]
    fn brightness_contrast_and_gamma_never_change_the_order_of_intensities(seed in any::<u64>()) {
        let silent = Ranged::default();
        let settings = AugmentSettings { noise: silent, blur: silent, low_resolution: silent, ..everything() };
        let intensity = Intensity::draw(&settings, &mut rng(seed));
        let mut sorted: Vec<f32> = (0..216).map(|n| n as f32 / 40.0 - 2.0).collect();
        intensity.apply(&mut sorted, [6, 6, 6]);
        prop_assert!(sorted.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", intensity);
        prop_assert!(sorted[0] < sorted[215]);
    }
}

#[test]
fn a_quarter_turn_is_a_permutation_of_axes_and_image_and_classes_turn_together() {
    let n = 12;
    let case = case([n; 3], [1.3; 3]);
    for axis in 0..3 {
        let mut rotation = [0.0; 3];
        rotation[axis] = 90.0;
        let turned = Augmentation { rotation, ..Augmentation::default() }.apply(
            &case.part(),
            [0; 3],
            [n; 3],
        );
        let classes = Array3::from_shape_vec([n; 3], turned.classes.unwrap()).unwrap();
        let image = Array4::from_shape_vec([2, n, n, n], turned.image).unwrap();
        let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
        for (voxel, &class) in classes.indexed_iter() {
            let voxel: [usize; 3] = voxel.into();
            let mut from = voxel;
            (from[a], from[b]) = (voxel[b], n - 1 - voxel[a]);
            assert_eq!(class, case.classes.as_ref().unwrap()[from], "{axis} {voxel:?}");
            let [k, j, i] = voxel;
            assert_eq!(image[[0, k, j, i]], f32::from(class));
            assert!(
                (image[[1, k, j, i]] - case.image[[1, from[0], from[1], from[2]]]).abs() < 1e-5
            );
        }
    }
}

#[test]
fn a_rotation_is_true_to_millimetres_where_voxels_are_not_cubes() {
    // A ball in mm stays a ball however it is turned about its centre.
    let (shape, spacing) = ([21, 41, 31], [2.0, 1.0, 1.5]);
    let mut case = case(shape, spacing);
    let distance = |(k, j, i): (usize, usize, usize)| {
        let offset = [(k, 10.0, 2.0), (j, 20.0, 1.0), (i, 15.0, 1.5)]
            .map(|(at, centre, mm)| (at as f64 - centre) * mm);
        offset.iter().map(|d| d * d).sum::<f64>().sqrt()
    };
    let ball = Array3::from_shape_fn(shape, |at| u8::from(distance(at) < 12.0));
    case.classes = Some(ball.clone());
    let turned = Augmentation { rotation: [35.0, -50.0, 20.0], ..Augmentation::default() }.apply(
        &case.part(),
        [0; 3],
        shape,
    );
    let turned = Array3::from_shape_vec(shape, turned.classes.unwrap()).unwrap();
    let far = turned
        .indexed_iter()
        .filter(|&(at, &class)| class != ball[at] && (distance(at) - 12.0).abs() > 1.6)
        .count();
    assert_eq!(far, 0);
}

#[test]
fn scaling_by_two_shows_the_middle_half_and_a_linear_image_stays_linear() {
    let shape = [16, 16, 16];
    let mut case = case(shape, [1.0; 3]);
    let ramp = Array3::from_shape_fn(shape, |(k, j, i)| k as f32 - 2.0 * j as f32 + 0.5 * i as f32);
    case.image.index_axis_mut(Axis(0), 1).assign(&ramp);
    let large =
        Augmentation { scale: 2.0, ..Augmentation::default() }.apply(&case.part(), [0; 3], shape);
    let large = Array4::from_shape_vec([2, 16, 16, 16], large.image).unwrap();
    for ((k, j, i), _) in ramp.indexed_iter() {
        let [z, y, x] = [k, j, i].map(|at| 7.5 + (at as f32 - 7.5) / 2.0);
        assert!((large[[1, k, j, i]] - (z - 2.0 * y + 0.5 * x)).abs() < 1e-4);
    }
}

#[test]
fn what_turns_in_from_beyond_the_patch_is_the_cases_own_data() {
    let mut case = case([32; 3], [1.0; 3]);
    case.image.fill(1.0);
    let turned = Augmentation {
        rotation: [45.0; 3],
        elastic: Some(Elastic { displacement_mm: 2.0, ..STILL }),
        ..Augmentation::default()
    };
    let patch = turned.apply(&case.part(), [10; 3], [12; 3]);
    assert!(patch.image.iter().all(|v| (v - 1.0).abs() < 1e-5));
}

#[test]
fn an_elastic_deformation_moves_within_its_limit_and_does_not_fold() {
    // The second channel holds the voxel's own coordinate: what is read there is where the voxel
    // came from.
    let shape = [24, 28, 26];
    let mut case = case(shape, [2.0, 1.0, 1.5]);
    let along_width = Array3::from_shape_fn(shape, |(_, _, i)| i as f32);
    case.image.index_axis_mut(Axis(0), 1).assign(&along_width);
    let mut largest = 0.0_f32;
    for seed in 0..20 {
        let elastic = Elastic { displacement_mm: 6.0, spacing_mm: 15.0, seed };
        let bent = Augmentation { elastic: Some(elastic), ..Augmentation::default() }.apply(
            &case.part(),
            [6; 3],
            [12, 16, 14],
        );
        let bent = Array4::from_shape_vec([2, 12, 16, 14], bent.image).unwrap();
        for ((channel, k, j, i), &from) in bent.indexed_iter() {
            let moved = (from - (i + 6) as f32) * 1.5;
            if channel == 1 {
                largest = largest.max(moved.abs());
                assert!(i == 0 || from > bent[[1, k, j, i - 1]], "folded at {:?}", (k, j, i));
            }
        }
    }
    assert!(largest > 1.5 && largest <= 6.0, "{largest}");
}

#[test]
fn blur_and_low_resolution_keep_a_constant_and_smooth_a_wave() {
    let shape = [12, 10, 14];
    let wave = |n: usize| if n.is_multiple_of(2) { 1.0 } else { -1.0 };
    for intensity in [
        Intensity { blur: Some(1.0), ..Intensity::default() },
        Intensity { low_resolution: Some(0.5), ..Intensity::default() },
    ] {
        let mut constant = vec![3.5; 12 * 10 * 14];
        intensity.apply(&mut constant, shape);
        assert!(constant.iter().all(|v| (v - 3.5).abs() < 1e-5), "{intensity:?}");
        let mut stripes: Vec<f32> = (0..12 * 10 * 14).map(wave).collect();
        intensity.apply(&mut stripes, shape);
        assert!(stripes.iter().all(|v| v.abs() < 0.5), "{intensity:?}");
    }
}

#[test]
fn noise_has_the_deviation_asked_for_and_no_mean() {
    let mut channel = vec![0.0; 30 * 30 * 30];
    Intensity { noise: Some(Noise { deviation: 0.3, seed: 5 }), ..Intensity::default() }
        .apply(&mut channel, [30; 3]);
    let mean = channel.iter().sum::<f32>() / 27_000.0;
    let deviation = (channel.iter().map(|v| v * v).sum::<f32>() / 27_000.0).sqrt();
    assert!(mean.abs() < 0.01 && (deviation - 0.3).abs() < 0.01, "{mean} {deviation}");
}

#[test]
fn gamma_keeps_mean_and_deviation_and_contrast_keeps_the_range() {
    let values: Vec<f32> = (0..1000).map(|n| ((n * 37) % 1000) as f32 / 300.0 - 1.0).collect();
    let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
    let deviation =
        |v: &[f32]| (v.iter().map(|x| (x - mean(v)).powi(2)).sum::<f32>() / v.len() as f32).sqrt();
    for inverted in [false, true] {
        let mut bent = values.clone();
        Intensity { gamma: Some(Gamma { exponent: 1.5, inverted }), ..Intensity::default() }
            .apply(&mut bent, [10; 3]);
        assert!(
            (mean(&bent) - mean(&values)).abs() < 1e-4
                && (deviation(&bent) - deviation(&values)).abs() < 1e-4
        );
        assert_ne!(bent, values);
    }
    let mut stretched = values.clone();
    Intensity { contrast: Some(1.3), ..Intensity::default() }.apply(&mut stretched, [10; 3]);
    let range = |v: &[f32]| {
        v.iter().fold((f32::MAX, f32::MIN), |(low, high), &x| (low.min(x), high.max(x)))
    };
    assert_eq!(range(&stretched), range(&values));
    assert!(deviation(&stretched) > 1.1 * deviation(&values));
}

#[test]
fn the_default_settings_draw_nothing_and_impossible_ones_are_named() {
    assert_eq!(AugmentSettings::default().check(), Ok(()));
    assert_eq!(everything().check(), Ok(()));
    let nothing =
        Augmentation { intensity: vec![Intensity::default(); 3], ..Augmentation::default() };
    assert_eq!(Augmentation::draw(&AugmentSettings::default(), 3, &mut rng(1)), nothing);
    let folding =
        ElasticSettings { probability: 0.1, displacement_mm: [0.0, 10.0], spacing_mm: 20.0 };
    assert_eq!(
        AugmentSettings { elastic: folding, ..everything() }.check().unwrap_err().key,
        "elastic"
    );
    let backwards = Ranged { probability: 0.1, range: [2.0, 1.0] };
    assert_eq!(
        AugmentSettings { blur: backwards, ..everything() }.check().unwrap_err().key,
        "blur"
    );
    let missing = Ranged { probability: f64::NAN, range: [1.0, 1.0] };
    assert_eq!(
        AugmentSettings { noise: missing, ..everything() }.check().unwrap_err().key,
        "noise"
    );
}
