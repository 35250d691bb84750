//! Files of NIfTI tests.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use medvol::{Affine, Image};
use ndarray::Array4;

use super::{fixture, write_image};

/// What nibabel reads in the fixtures.
pub fn expected() -> serde_json::Map<String, serde_json::Value> {
    let text = fs::read_to_string(fixture("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A small image and the folder it was written to, as `image.nii`.
pub fn written() -> (tempfile::TempDir, PathBuf, Image) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.nii");
    let voxels =
        Array4::from_shape_fn((1, 3, 4, 5), |(_, k, j, i)| (k * 100 + j * 10 + i) as f32 - 50.5);
    let image = Image {
        voxels,
        affine: Affine([
            [-1.0, 0.0, 0.0, 9.0],
            [0.0, 0.0, 2.0, 8.0],
            [0.0, 3.0, 0.0, 7.0],
            [0.0, 0.0, 0.0, 1.0],
        ]),
    };
    write_image(&path, &image).unwrap();
    (folder, path, image)
}

/// Overwrites bytes of a file.
pub fn patch(path: &Path, at: usize, bytes: &[u8]) {
    let mut file = fs::read(path).unwrap();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, file).unwrap();
}

/// A copy of an uncompressed file with a gzip ending.
pub fn compressed(path: &Path) -> PathBuf {
    let target = path.with_extension("nii.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&fs::read(path).unwrap()).unwrap();
    fs::write(&target, encoder.finish().unwrap()).unwrap();
    target
}
