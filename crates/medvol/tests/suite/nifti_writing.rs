//! Writing NIfTI files: what is written is what is read, and carries another file's header over.

use std::fs;

use crate::common::nifti::{expected, patch, written};
use crate::common::{
    any_affine, fixture, read_grid, read_image, read_labels, write_image, write_labels,
};
use medvol::io::{self, Grid, Source};
use medvol::{Affine, Error, Image, Label, LabelMap};
use ndarray::{Array3, Array4};
use proptest::prelude::*;

#[test]
fn an_image_in_several_files_keeps_its_channels_where_it_is_written_like_them() {
    let folder = tempfile::tempdir().unwrap();
    let affine = Affine::from_spacing([3.0, 2.0, 1.0]);
    for ending in [".nii.gz", ".nii", ".hdr", ".nrrd", ".mha"] {
        let files = [0, 1].map(|channel| folder.path().join(format!("x{channel}{ending}")));
        for (path, first) in files.iter().zip([0.0, 100.0]) {
            let voxels = Array4::from_shape_fn((1, 2, 3, 4), |(_, k, j, i)| {
                first + (12 * k + 4 * j + i) as f32
            });
            write_image(path, &Image { voxels, affine }).unwrap();
        }
        let sources = files.map(Source::from);
        let header = io::open(&sources).unwrap().header().clone();
        let image = io::open(&sources).unwrap().image().unwrap();
        let joined = folder.path().join(format!("joined{ending}"));
        io::create(&joined).unwrap().like(&header).image(&image).unwrap();
        assert_eq!(read_image(&joined).unwrap(), image, "{ending}");
    }
}

#[test]
fn a_half_turn_survives_the_rounding_of_its_quaternion() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.nii");
    // About an axis in the plane of the first two, at all angles: rounded, b² + c² is a little more
    // than 1, or a little less.
    for angle in (0..500).map(|i| f64::from(i) / 500.0 * std::f64::consts::PI) {
        let (sin, cos) = angle.sin_cos();
        let affine = Affine([
            [cos, sin, 0.0, 0.0],
            [sin, -cos, 0.0, 0.0],
            [0.0, 0.0, -4.0, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ]);
        write_labels(&path, &LabelMap { voxels: Array3::zeros((4, 5, 6)), affine }).unwrap();
        patch(&path, 254, &[0, 0]);
        let read = read_grid(&path).unwrap();
        assert!(
            read.affine.approx_eq(&affine, [4, 5, 6], 1e-5),
            "{angle}: {:?} {affine:?}",
            read.affine
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_image_written_and_read_is_the_same(
        affine in any_affine(),
        shape in (1..4_usize, 1..5_usize, 1..5_usize, 1..5_usize),
        seed in any::<u32>(),
        compress in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(if compress { "x.5.nii.gz" } else { "x.5.nii" });
        let mut state = seed;
        let voxels = Array4::from_shape_simple_fn(shape, || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state as f32 / 1e5 - 2e4
        });
        let image = Image { voxels, affine: Affine(affine.0.map(|row| row.map(|v| f64::from(v as f32)))) };
        write_image(&path, &image).unwrap();
        prop_assert_eq!(read_image(&path).unwrap(), image);
    }

    #[test]
    fn the_quaternion_written_says_the_same_as_the_matrix(affine in any_affine()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.nii");
        write_labels(&path, &LabelMap { voxels: Array3::zeros((4, 5, 6)), affine }).unwrap();
        // With the sform's code at 0 only the quaternion is left.
        patch(&path, 254, &[0, 0]);
        let read = read_grid(&path).unwrap();
        // Rounding to f32 turns what is nearly a half turn by up to 7e-4.
        let reach: f64 = affine.spacing().iter().zip([4.0, 5.0, 6.0]).map(|(mm, n)| mm * n).sum();
        let near = read.affine.approx_eq(&affine, [4, 5, 6], 1e-3 * reach.max(1.0));
        prop_assert!(near, "{:?} {:?}", read.affine, affine);
    }

    #[test]
    fn labels_written_and_read_are_the_same(affine in any_affine(), values in prop::collection::vec(any::<u16>(), 24), small in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.nii.gz");
        let values: Vec<u16> = values.iter().map(|v| if small { v % 256 } else { *v }).collect();
        let affine = Affine(affine.0.map(|row| row.map(|v| f64::from(v as f32))));
        let labels = LabelMap { voxels: Array3::from_shape_vec((2, 3, 4), values).unwrap(), affine };
        write_labels(&path, &labels).unwrap();
        prop_assert_eq!(read_labels(&path).unwrap(), labels);
    }

    #[test]
    fn classes_are_written_as_the_label_map_they_stand_for(
        classes in prop::collection::vec(0..4_u8, 24),
        values in prop::array::uniform3(any::<u16>()),
        compress in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(format!("{name}{}", if compress { ".nii.gz" } else { ".nii" }));
        let labels: Vec<Label> = values.map(|value| Label { value, name: value.to_string() }).into();
        let classes = Array3::from_shape_vec((2, 3, 4), classes).unwrap();
        let voxels = classes.mapv(|class| values.get(usize::from(class)).copied().unwrap_or(0));
        let map = LabelMap { voxels, affine: Affine::IDENTITY };
        write_labels(path("labels"), &map).unwrap();
        io::create(path("classes")).unwrap().classes(&classes, &labels, map.affine).unwrap();
        prop_assert_eq!(fs::read(path("classes")).unwrap(), fs::read(path("labels")).unwrap());
    }
}

#[test]
fn labels_up_to_255_are_stored_in_one_byte_and_others_in_two() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.nii");
    for (largest, bytes) in [(255, 8), (256, 16)] {
        let labels =
            LabelMap { voxels: Array3::from_elem((2, 2, 2), largest), affine: Affine::IDENTITY };
        write_labels(&path, &labels).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 352 + bytes);
    }
}

#[test]
fn a_sheared_affine_is_written_without_a_quaternion() {
    let (_folder, path, mut image) = written();
    image.affine.0[0][1] = 0.5;
    write_image(&path, &image).unwrap();
    assert_eq!(fs::read(&path).unwrap()[252..256], [0, 0, 1, 0]);
    assert_eq!(read_image(&path).unwrap(), image);
}

#[test]
fn a_label_map_like_an_image_says_of_space_what_the_image_says_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.nii.gz");
    // Positions of pixdim, units, codes, quaternion and matrix in a header.
    let places = [76..108, 123..124, 252..256, 256..328];
    for name in expected().keys().filter(|name| name.ends_with(".nii")) {
        let original = fs::read(fixture(name)).unwrap();
        if original[..4] != 348_i32.to_le_bytes() {
            continue;
        }
        let header = Source::from(fixture(name)).open().unwrap().header().clone();
        let Grid { shape: [depth, height, width], affine, .. } = header.grid;
        let labels = LabelMap { voxels: Array3::ones((depth, height, width)), affine };
        io::create(&path).unwrap().like(&header).labels(&labels).unwrap();
        assert_eq!(read_labels(&path).unwrap(), labels, "{name}");
        let plain = folder.path().join("labels.nii");
        io::create(&plain).unwrap().like(&header).labels(&labels).unwrap();
        let written = fs::read(&plain).unwrap();
        for place in places.clone() {
            assert_eq!(written[place.clone()], original[place], "{name}");
        }
        let dimensions = i16::from_le_bytes([original[40], original[41]]);
        let one_volume = header.grid.channels == 1;
        let expected = if one_volume { dimensions } else { dimensions.min(3) };
        assert_eq!(i16::from_le_bytes([written[40], written[41]]), expected, "{name}");
        // Elsewhere, the image has nothing to say.
        let mut moved = labels.clone();
        moved.affine.0[0][3] += 8.0;
        io::create(&plain).unwrap().like(&header).labels(&moved).unwrap();
        let like_none = folder.path().join("like_none.nii");
        io::create(&like_none).unwrap().labels(&moved).unwrap();
        assert_eq!(fs::read(&plain).unwrap(), fs::read(like_none).unwrap(), "{name}");
    }
}

#[test]
fn the_header_of_a_big_endian_image_is_carried_over_in_little_endian() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.nii");
    for name in ["int16_big.nii", "float64_big.nii"] {
        let opened = Source::from(fixture(name)).open().unwrap();
        let header = opened.header().clone();
        let image = opened.image().unwrap();
        io::create(&path).unwrap().like(&header).image(&image).unwrap();
        assert_eq!(read_image(&path).unwrap(), image, "{name}");
        let (written, original) = (fs::read(&path).unwrap(), fs::read(fixture(name)).unwrap());
        for at in (76..108).step_by(4).chain((256..328).step_by(4)) {
            let reversed: Vec<u8> = original[at..at + 4].iter().rev().copied().collect();
            assert_eq!(written[at..at + 4], reversed, "{name} at {at}");
        }
    }
}

#[test]
fn a_name_that_does_not_say_its_format_is_refused_for_writing() {
    let (folder, _, image) = written();
    let path = folder.path().join("image.xyz");
    let error = write_image(&path, &image).unwrap_err();
    assert!(matches!(&error, Error::UnknownEnding { .. }));
    assert!(error.to_string().contains("must end in .nii.gz or .nii"), "{error}");
    assert!(!path.exists());
}

#[test]
fn writing_into_a_folder_that_is_missing_is_an_error_that_names_the_file() {
    let (folder, _, image) = written();
    let error = write_image(folder.path().join("missing/image.nii"), &image).unwrap_err();
    assert!(matches!(&error, Error::Write { .. }));
    assert!(error.to_string().contains("missing/image.nii"), "{error}");
}

#[test]
fn writing_over_a_file_replaces_it_and_leaves_nothing_else_behind() {
    let (folder, path, mut image) = written();
    image.voxels.fill(4.0);
    write_image(&path, &image).unwrap();
    assert_eq!(read_image(&path).unwrap(), image);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_written_file_is_as_readable_as_any_other() {
    let (folder, path, _) = written();
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions(),
        fs::metadata(&plain).unwrap().permissions()
    );
}
