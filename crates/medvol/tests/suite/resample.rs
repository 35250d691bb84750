//! Laws of resampling.

use medvol::{resample, resample_classes};
use ndarray::{Array3, Axis};
use proptest::prelude::*;

/// Number of voxels of spacing `to` that cover `n` of spacing `from`.
fn covering(n: usize, from: f64, to: f64) -> usize {
    ((n as f64 * from / to).round() as usize).max(1)
}

fn noise(shape: [usize; 3], seed: u32) -> Array3<f32> {
    let mut state = seed;
    Array3::from_shape_simple_fn(shape, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    })
}

fn any_grids() -> impl Strategy<Value = ([usize; 3], [f64; 3], [f64; 3], [usize; 3])> {
    let spacing = || prop::array::uniform3(0.4..4.0_f64);
    (prop::array::uniform3(1..12_usize), spacing(), spacing()).prop_map(|(shape, from, to)| {
        // Spacings that count as the same are exactly the same, or the laws would hold only about.
        let to =
            [0, 1, 2].map(|a| if (to[a] / from[a] - 1.0).abs() < 2e-3 { from[a] } else { to[a] });
        (shape, from, to, [0, 1, 2].map(|a| covering(shape[a], from[a], to[a])))
    })
}

proptest! {
    #[test]
    fn the_same_spacing_and_shape_change_nothing((shape, spacing, _, _) in any_grids(), off in -9e-4..9e-4_f64, seed in any::<u32>()) {
        let volume = noise(shape, seed);
        let nearly = spacing.map(|mm| mm * (1.0 + off));
        prop_assert_eq!(resample(volume.view(), spacing, nearly, shape), volume);
    }

    #[test]
    fn a_constant_stays_the_same_constant((shape, from, to, new_shape) in any_grids(), value in -1e3..1e3_f32) {
        let resampled = resample(Array3::from_elem(shape, value).view(), from, to, new_shape);
        prop_assert_eq!(resampled.shape(), new_shape);
        prop_assert!(resampled.iter().all(|v| (v - value).abs() <= 2e-6 * value.abs()));
    }

    #[test]
    fn a_ramp_stays_the_same_ramp_in_the_interior((shape, from, to, new_shape) in any_grids(), slope in prop::array::uniform3(-2.0..2.0_f64)) {
        // Both grids have their centre at 0 mm.
        let place = |index: usize, n: usize, mm: f64| (index as f64 - (n - 1) as f64 / 2.0) * mm;
        let ramp = |shape: [usize; 3], spacing: [f64; 3]| Array3::from_shape_fn(shape, |(k, j, i)| {
            [k, j, i].iter().enumerate().map(|(a, &n)| slope[a] * place(n, shape[a], spacing[a])).sum::<f64>() as f32
        });
        let resampled = resample(ramp(shape, from).view(), from, to, new_shape);
        let want = ramp(new_shape, to);
        for ((k, j, i), value) in resampled.indexed_iter() {
            let interior = [k, j, i].iter().enumerate().all(|(a, &n)| {
                // Away from the edge by what interpolation and averaging reach: √(r² − 1) / 2 + 1
                // old voxels.
                let reach = (to[a].powi(2) - from[a].powi(2)).max(0.0).sqrt() / 2.0 + from[a];
                place(n, new_shape[a], to[a]).abs() + reach <= place(shape[a] - 1, shape[a], from[a]) + from[a]
            });
            if interior {
                prop_assert!((value - want[[k, j, i]]).abs() < 1e-3, "{value} {}", want[[k, j, i]]);
            }
        }
    }

    #[test]
    fn resampling_commutes_with_flips((shape, from, to, new_shape) in any_grids(), axis in 0..3_usize, seed in any::<u32>()) {
        let volume = noise(shape, seed);
        let mut flipped = volume.view();
        flipped.invert_axis(Axis(axis));
        let mut one = resample(flipped, from, to, new_shape);
        one.invert_axis(Axis(axis));
        let other = resample(volume.view(), from, to, new_shape);
        prop_assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn values_stay_between_the_smallest_and_the_largest((shape, from, to, new_shape) in any_grids(), seed in any::<u32>()) {
        let resampled = resample(noise(shape, seed).view(), from, to, new_shape);
        prop_assert!(resampled.iter().all(|v| v.abs() <= 0.5 + 1e-5));
    }

    #[test]
    fn resampled_classes_are_classes_that_were_there((shape, from, to, new_shape) in any_grids(), seed in any::<u32>()) {
        let classes = noise(shape, seed).mapv(|v| if v < 0.0 { 0 } else { 7_u8 });
        let resampled = resample_classes(classes.view(), from, to, new_shape);
        prop_assert_eq!(resampled.shape(), new_shape);
        prop_assert!(resampled.iter().all(|c| classes.iter().any(|d| c == d)));
    }
}

/// One axis, spacing 1 mm.
fn line(values: &[f32], to: f64, size: usize) -> Vec<f32> {
    let volume = Array3::from_shape_vec((1, 1, values.len()), values.to_vec()).unwrap();
    resample(volume.view(), [1.0; 3], [1.0, 1.0, to], [1, 1, size]).into_raw_vec_and_offset().0
}

#[test]
fn upsampling_interpolates_between_voxel_centres() {
    assert_eq!(line(&[0.0, 4.0], 0.5, 4), [0.0, 1.0, 3.0, 4.0]);
}

#[test]
fn downsampling_sees_every_voxel() {
    // A fine checkerboard becomes its mean and not one of its two values, whatever the factor.
    let checkerboard: Vec<f32> = (0..60).map(|n| (n % 2) as f32).collect();
    for factor in [2.0, 3.0, 4.5, 6.0_f64] {
        let size = (60.0 / factor).round() as usize;
        let interior = &line(&checkerboard, factor, size)[2..size - 2];
        assert!(interior.iter().all(|v| (v - 0.5).abs() < 0.15), "{factor}: {interior:?}");
    }
}

#[test]
fn downsampling_a_single_bright_voxel_keeps_its_mass() {
    for position in 20..40 {
        let mut values = [0.0; 60];
        values[position] = 1.0;
        let mass = line(&values, 3.0, 20).iter().sum::<f32>() * 3.0;
        assert!((mass - 1.0).abs() < 0.1, "{position}: {mass}");
    }
}

#[test]
fn one_voxel_for_a_whole_line_is_its_mean_however_coarse_the_spacing() {
    for spacing in [100.0, 1e12] {
        let mean = line(&[1.0, 2.0, 3.0, 4.0, 90.0], spacing, 1);
        assert!((mean[0] - 20.0).abs() < 1e-3, "{mean:?}");
    }
}

#[test]
fn a_boundary_between_classes_stays_where_it_was() {
    // 0 0 0 7 7 7 at 1 mm: at 0.5 mm the boundary is in the middle, too.
    let classes = Array3::from_shape_vec((1, 1, 6), vec![0, 0, 0, 7, 7, 7]).unwrap();
    let fine = resample_classes(classes.view(), [1.0; 3], [1.0, 1.0, 0.5], [1, 1, 12]);
    assert_eq!(fine.into_raw_vec_and_offset().0, [0, 0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7]);
}

#[test]
fn each_axis_is_resampled_on_its_own() {
    // A product of three lines becomes the product of the resampled lines.
    let lines = [vec![1.0, 3.0, 2.0, 5.0], vec![2.0, -1.0, 0.5], vec![1.0, 1.5, -2.0, 4.0, 3.0]];
    let (to, new_shape) = ([1.7, 0.6, 2.4], [2, 5, 2]);
    let volume =
        Array3::from_shape_fn((4, 3, 5), |(k, j, i)| lines[0][k] * lines[1][j] * lines[2][i]);
    let resampled = resample(volume.view(), [1.0; 3], to, new_shape);
    let parts = [0, 1, 2].map(|a| line(&lines[a], to[a], new_shape[a]));
    for ((k, j, i), value) in resampled.indexed_iter() {
        let want = parts[0][k] * parts[1][j] * parts[2][i];
        assert!((value - want).abs() < 1e-5, "{value} {want}");
    }
}
