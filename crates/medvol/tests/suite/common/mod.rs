//! What several test files need: random affines, a folder for files.

#![allow(dead_code)]

pub mod files;
pub mod nifti;
pub mod task;

use std::path::PathBuf;

use medvol::Affine;
use proptest::prelude::*;

pub use files::*;

/// The path of a file made by `fixtures/make.py`.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A Decathlon task among the data that `SCNAS_TEST_DATA` names.
pub fn real_task(name: &str) -> PathBuf {
    let data =
        std::env::var_os("SCNAS_TEST_DATA").expect("SCNAS_TEST_DATA names a folder of tasks");
    PathBuf::from(data).join(name)
}

/// Any rotation, any handedness, spacings from 0.3 to 6 mm, any origin.
pub fn any_affine() -> impl Strategy<Value = Affine> {
    let quaternion = prop::array::uniform4(-1.0..1.0_f64)
        .prop_filter("too short to normalise", |q| q.iter().map(|v| v * v).sum::<f64>() > 0.01);
    (
        quaternion,
        prop::array::uniform3(0.3..6.0_f64),
        prop::array::uniform3(any::<bool>()),
        prop::array::uniform3(-200.0..200.0_f64),
    )
        .prop_map(|(quaternion, spacing, mirrored, origin)| {
            affine_from(quaternion, spacing, mirrored, origin)
        })
}

/// A rotation (a quaternion of any length) of axes with `spacing` along (i, j, k), some of them
/// mirrored first.
pub fn affine_from(
    quaternion: [f64; 4],
    spacing: [f64; 3],
    mirrored: [bool; 3],
    origin: [f64; 3],
) -> Affine {
    let length = quaternion.iter().map(|v| v * v).sum::<f64>().sqrt();
    let [a, b, c, d] = quaternion.map(|v| v / length);
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    let mut matrix = Affine::IDENTITY.0;
    for row in 0..3 {
        for column in 0..3 {
            let sign = if mirrored[column] { -1.0 } else { 1.0 };
            matrix[row][column] = rotation[row][column] * spacing[column] * sign;
        }
        matrix[row][3] = origin[row];
    }
    Affine(matrix)
}
