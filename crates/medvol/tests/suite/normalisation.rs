//! Intensities that are absolute stay so, whatever surrounds the patient; others are measured image
//! by image.

use medvol::io::Grid;
use medvol::{
    Affine, Case, ClassMap, CtSample, CtStatistics, Image, Label, LabelMap, Normalisation,
    Preprocessed, RawImage, preprocess,
};
use ndarray::{Array3, Array4, Axis, s};
use proptest::prelude::*;

const CT: Normalisation = Normalisation::Ct { statistics: None };

fn class_map() -> ClassMap {
    let label = |value, name: &str| Label { value, name: name.into() };
    ClassMap::new(&[label(0, "background"), label(1, "organ")])
}

/// A body of 40 ± 60 HU with an organ of 120 in it, and `air` voxels of air on every side.
fn body(air: usize, noise: &[f32]) -> (Image, LabelMap) {
    let side = 10 + 2 * air;
    let mut voxels = Array4::from_elem((1, side, side, side), -1024.0_f32);
    let inside = s![air..air + 10, air..air + 10, air..air + 10];
    let mut at = noise.iter().cycle();
    let mut patient = voxels.index_axis_mut(Axis(0), 0);
    let mut patient = patient.slice_mut(inside);
    patient.mapv_inplace(|_| 40.0 + 60.0 * at.next().unwrap());
    let mut organ = Array3::zeros((side, side, side));
    organ.slice_mut(s![air + 3..air + 7, air + 2..air + 8, air + 3..air + 6]).fill(1);
    patient.slice_mut(s![3..7, 2..8, 3..6]).mapv_inplace(|value| value + 80.0);
    (
        Image { voxels, affine: Affine::IDENTITY },
        LabelMap { voxels: organ, affine: Affine::IDENTITY },
    )
}

fn prepare((image, map): &(Image, LabelMap), channels: &[Normalisation]) -> Case {
    preprocess("case", image, Some(map), &class_map(), [1.3, 0.9, 1.1], channels).unwrap()
}

fn sample(case: &Case) -> CtSample {
    let classes = case.classes.as_ref().map(|classes| classes.view());
    CtSample::of(case.image.index_axis(Axis(0), 0), classes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn more_air_around_a_patient_changes_nothing_in_a_ct(
        air in 1_usize..12,
        noise in prop::collection::vec(-1.0_f32..1.0, 1000),
    ) {
        let (near, far) = (body(0, &noise), body(air, &noise));
        let [a, b] = [&near, &far].map(|case| prepare(case, &[CT]));
        prop_assert_eq!(&a.image, &b.image);
        prop_assert_eq!(&a.classes, &b.classes);
        let statistics = CtStatistics::measure(&[sample(&a)]).unwrap();
        let known = [Normalisation::Ct { statistics: Some(statistics) }];
        let [a, b] = [&near, &far].map(|case| prepare(case, &known));
        prop_assert_eq!(&a.image, &b.image);
        // The z-score of the image itself sees the air.
        let [a, b] = [&near, &far].map(|case| prepare(case, &[]));
        prop_assert_ne!(a.image.shape(), b.image.shape());
    }

    #[test]
    fn every_normalisation_is_the_same_window_by_window(
        noise in prop::collection::vec(-1.0_f32..1.0, 100),
    ) {
        let (image, map) = body(2, &noise);
        let statistics = CtStatistics { low: -20.0, high: 160.0, mean: 90.0, deviation: 50.0 };
        let ct = Normalisation::Ct { statistics: Some(statistics) };
        let others = [Normalisation::None, Normalisation::Rescale, Normalisation::Rgb];
        for channel in others.into_iter().chain([ct, Normalisation::ZScore]) {
            let spacing = [1.3, 0.9, 1.1];
            let case =
                preprocess("case", &image, Some(&map), &class_map(), spacing, &[channel]).unwrap();
            let raw = RawImage::from(image.clone());
            let lazy = Preprocessed::new("case", &raw, spacing, &[channel]).unwrap();
            let (_, d, h, w) = case.image.dim();
            let whole = case.image.as_slice().unwrap();
            prop_assert_eq!(&lazy.window([0; 3], [d, h, w])[..], whole);
        }
    }
}

#[test]
fn a_ct_is_clipped_and_measured_by_the_foreground_of_the_training_cases() {
    // By numpy: f = 0..1000 in order; quantile(f, [0.005, 0.995]), f.mean(), f.std()
    let grid = Grid { channels: 1, shape: [10, 10, 10], affine: Affine::IDENTITY };
    let voxels = Array4::from_shape_fn((1, 10, 10, 20), |(_, z, y, x)| match x {
        0..10 => (100 * z + 10 * y + x) as f32,
        _ => -900.0,
    });
    let foreground = Array3::from_shape_fn((10, 10, 20), |(_, _, x)| u16::from(x < 10));
    let image = Image { voxels, affine: grid.affine };
    let map = LabelMap { voxels: foreground, affine: grid.affine };
    let mut case = preprocess("case", &image, Some(&map), &class_map(), [1.0; 3], &[CT]).unwrap();
    let statistics = CtStatistics::measure(&[sample(&case)]).unwrap();
    let expected = [(statistics.low, 4.995), (statistics.high, 994.005)];
    for (found, expected) in expected {
        assert!((found - expected).abs() < 1e-9, "{found} instead of {expected}");
    }
    assert!((statistics.mean - 499.5).abs() < 1e-9, "{statistics:?}");
    assert!((statistics.deviation - 288.674_990_257_209_5).abs() < 1e-9, "{statistics:?}");

    statistics.normalise(case.image.index_axis_mut(Axis(0), 0));
    let known = [Normalisation::Ct { statistics: Some(statistics) }];
    let at_once = preprocess("case", &image, Some(&map), &class_map(), [1.0; 3], &known).unwrap();
    assert_eq!(case, at_once, "normalised afterwards as at once");
    let least = ((4.995 - 499.5) / statistics.deviation) as f32;
    assert_eq!(case.image.iter().copied().fold(f32::INFINITY, f32::min), least);
}
