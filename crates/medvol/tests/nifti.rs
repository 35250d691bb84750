//! Reading and writing NIfTI files: against nibabel (fixtures), against ourselves (round trips),
//! and files to be refused.

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use common::{any_affine, fixture, read_grid, read_image, read_labels, write_image, write_labels};
use medvol::io::{self, Grid, Source};
use medvol::{
    Affine, Error, Image, Label, LabelMap, Orientation, Preprocessed, canonical_spacing, preprocess,
};
use ndarray::{Array3, Array4};
use proptest::prelude::*;

fn expected() -> serde_json::Map<String, serde_json::Value> {
    let text = fs::read_to_string(fixture("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn matrix(value: &serde_json::Value) -> Affine {
    Affine(serde_json::from_value(value.clone()).unwrap())
}

fn assert_samples(samples: &serde_json::Value, name: &str, voxel: impl Fn([usize; 4]) -> f32) {
    for sample in samples.as_array().unwrap() {
        let at = [0, 1, 2, 3].map(|n| sample[n].as_u64().unwrap() as usize);
        assert_eq!(voxel(at), sample[4].as_f64().unwrap() as f32, "{name} at {at:?}");
    }
}

#[test]
fn every_fixture_reads_as_nibabel_reads_it() {
    let expected = expected();
    assert!(expected.len() > 30);
    for (name, want) in &expected {
        let image = read_image(fixture(name)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(image.channels() as u64, want["channels"], "{name}");
        let shape: [usize; 3] = serde_json::from_value(want["shape"].clone()).unwrap();
        assert_eq!(image.shape(), shape, "{name}");
        assert!(
            image.affine.approx_eq(&matrix(&want["affine"]), shape, 1e-5),
            "{name}: {:?}",
            image.affine
        );
        let spacing: [f64; 3] = serde_json::from_value(want["spacing"].clone()).unwrap();
        assert!((0..3).all(|a| (image.affine.spacing()[a] - spacing[a]).abs() < 1e-6), "{name}");
        assert_samples(&want["voxels"], name, |[c, k, j, i]| image.voxels[[c, k, j, i]]);
        let sum = image.voxels.iter().map(|&v| f64::from(v)).sum::<f64>();
        assert!(
            (sum - want["sum"].as_f64().unwrap()).abs() <= 1e-6 * sum.abs().max(1.0),
            "{name}: {sum}"
        );

        let grid = read_grid(fixture(name)).unwrap();
        assert_eq!(
            (grid.channels, grid.shape, grid.affine),
            (image.channels(), shape, image.affine)
        );
    }
}

#[test]
fn every_fixture_read_raw_has_the_same_values_in_half_the_memory_if_they_are_short_integers() {
    for name in expected().keys() {
        let opened = Source::from(fixture(name)).open().unwrap();
        let (header, bytes) = (opened.grid(), opened.raw_bytes());
        let (image, raw) = (read_image(fixture(name)).unwrap(), opened.raw().unwrap());
        assert_eq!(
            (raw.channels(), raw.shape(), raw.affine),
            (image.channels(), image.shape(), image.affine),
            "{name}"
        );
        let short = ["int16", "int8", "uint8"].iter().any(|kind| name.starts_with(kind));
        assert!(!short || raw.bytes() == 2 * image.voxels.len() as u64, "{name}");
        assert_eq!((header, bytes), (image.grid(), raw.bytes()), "{name}");

        let spacing = canonical_spacing(&image.affine);
        let whole = preprocess(name, &image, None, &[], spacing).unwrap();
        let [_, depth, height, width]: [usize; 4] = whole.image.dim().into();
        let window =
            Preprocessed::new(name, &raw, spacing).unwrap().window([0; 3], [depth, height, width]);
        assert_eq!(window, whole.image.into_raw_vec_and_offset().0, "{name}");
    }
}

#[test]
fn every_fixture_is_brought_to_the_canonical_orientation_that_nibabel_finds() {
    for (name, want) in &expected() {
        let image = read_image(fixture(name)).unwrap();
        let orientation = Orientation::of(&image.affine);
        let canonical = orientation.canonical_channels(image.voxels.view());
        let shape: [usize; 3] = serde_json::from_value(want["canonical_shape"].clone()).unwrap();
        assert_eq!(canonical.shape()[1..], shape, "{name}");
        let affine = orientation.canonical_affine(&image.affine, image.shape());
        assert!(
            affine.approx_eq(&matrix(&want["canonical_affine"]), shape, 1e-5),
            "{name}: {affine:?}"
        );
        assert_samples(&want["canonical_voxels"], name, |[c, k, j, i]| canonical[[c, k, j, i]]);
    }
}

#[test]
fn the_big_endian_fixtures_are_big_endian() {
    assert_eq!(fs::read(fixture("int16_big.nii")).unwrap()[..4], 348_i32.to_be_bytes());
    assert_eq!(fs::read(fixture("float64_big.nii")).unwrap()[..4], 348_i32.to_be_bytes());
}

/// A small image and the folder it was written to, as `image.nii`.
fn written() -> (tempfile::TempDir, PathBuf, Image) {
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
fn patch(path: &Path, at: usize, bytes: &[u8]) {
    let mut file = fs::read(path).unwrap();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, file).unwrap();
}

/// A copy of an uncompressed file with a gzip ending.
fn compressed(path: &Path) -> PathBuf {
    let target = path.with_extension("nii.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&fs::read(path).unwrap()).unwrap();
    fs::write(&target, encoder.finish().unwrap()).unwrap();
    target
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
        prop_assert!(read.affine.approx_eq(&affine, [4, 5, 6], 1e-3), "{:?} {:?}", read.affine, affine);
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

    #[test]
    fn no_header_makes_the_reader_panic(at in 0..348_usize, bytes in prop::array::uniform4(any::<u8>()), name in 0..3_usize) {
        let name = ["qfac_zero.nii", "int16_little.nii", "float64_big.nii"][name];
        let mut whole = fs::read(fixture(name)).unwrap();
        let end = (at + 4).min(348);
        whole[at..end].copy_from_slice(&bytes[..end - at]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.nii");
        fs::write(&path, whole).unwrap();
        if let Ok(image) = read_image(&path) {
            prop_assert!(image.affine.is_invertible());
        }
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
        assert_eq!(i16::from_le_bytes([written[40], written[41]]), dimensions.min(3), "{name}");
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
fn a_file_that_is_of_no_format_by_content_or_name_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    fs::write(&path, "nothing to see").unwrap();
    let error = read_image(&path).unwrap_err();
    assert!(matches!(&error, Error::UnknownFormat { .. }));
    assert!(error.to_string().contains("notes.txt"), "{error}");
}

#[test]
fn a_name_that_does_not_say_its_format_is_refused_for_writing() {
    let (folder, _, image) = written();
    let path = folder.path().join("image.xyz");
    let error = write_image(&path, &image).unwrap_err();
    assert!(matches!(&error, Error::UnknownEnding { .. }));
    assert!(error.to_string().ends_with("must end in .nii.gz or .nii"), "{error}");
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

#[test]
fn a_file_with_neither_sform_nor_qform_has_its_spacing_and_no_flip() {
    let (_folder, path, _) = written();
    patch(&path, 252, &[0; 4]);
    // A negative spacing counts by its absolute value, a spacing of zero as 1.
    patch(&path, 80, &(-1.5_f32).to_le_bytes());
    patch(&path, 84, &0_f32.to_le_bytes());
    assert_eq!(read_image(&path).unwrap().affine, Affine::from_spacing([2.0, 1.0, 1.5]));
}

#[test]
fn units_of_micrometres_are_converted() {
    let (_folder, path, image) = written();
    patch(&path, 123, &[3]);
    let spacing = read_grid(&path).unwrap().affine.spacing();
    let want = image.affine.spacing().map(|mm| mm / 1000.0);
    assert!(spacing.iter().zip(want).all(|(mm, want)| (mm - want).abs() < 1e-12), "{spacing:?}");
}

#[test]
fn a_compressed_file_is_recognised_whatever_its_name() {
    let (folder, path, image) = written();
    let renamed = folder.path().join("renamed.nii");
    fs::rename(compressed(&path), &renamed).unwrap();
    assert_eq!(read_image(&renamed).unwrap(), image);
}

#[test]
fn a_missing_file_is_named() {
    let error = read_image("no/such/file.nii.gz").unwrap_err();
    assert!(
        matches!(&error, Error::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    );
    assert!(error.to_string().contains("no/such/file.nii.gz"));
}

#[test]
fn a_folder_is_not_an_image() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(read_image(folder.path()), Err(Error::Read { .. })));
}

#[test]
fn a_truncated_file_says_what_is_missing() {
    let (_folder, path, _) = written();
    let whole = fs::read(&path).unwrap();
    for length in [0, 4, 347, 350, 352, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = read_image(&path).unwrap_err();
        assert!(
            matches!(error, Error::Truncated { found, .. } if found <= length as u64),
            "{length} {error}"
        );
    }
}

#[test]
fn a_gzip_stream_that_ends_early_is_truncated_wherever_it_ends() {
    let (_folder, path, _) = written();
    let path = compressed(&path);
    let whole = fs::read(&path).unwrap();
    for length in 2..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let error = read_image(&path).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{length} of {}: {error}", whole.len());
    }
}

#[test]
fn a_gzip_stream_with_a_wrong_checksum_is_refused() {
    let (_folder, path, _) = written();
    let path = compressed(&path);
    let length = fs::metadata(&path).unwrap().len() as usize;
    patch(&path, length - 8, &[0xde, 0xad, 0xbe, 0xef]);
    assert!(matches!(read_image(&path), Err(Error::Read { .. })));
}

#[test]
fn bytes_after_the_voxels_are_ignored() {
    let (_folder, path, image) = written();
    let mut whole = fs::read(&path).unwrap();
    whole.extend([7; 100_000]);
    fs::write(&path, whole).unwrap();
    assert_eq!(read_image(&path).unwrap(), image);
    assert_eq!(read_image(compressed(&path)).unwrap(), image);
}

#[test]
fn a_small_file_that_announces_a_huge_volume_is_refused_before_memory_is_taken() {
    let (_folder, path, _) = written();
    let sizes: Vec<u8> =
        [4_i16, 32767, 32767, 32767, 1000].iter().flat_map(|n| n.to_le_bytes()).collect();
    patch(&path, 40, &sizes);
    assert!(matches!(read_image(&path), Err(Error::Truncated { .. })));
    assert!(matches!(read_image(compressed(&path)), Err(Error::Truncated { .. })));
    // The most that a header can announce.
    let sizes: Vec<u8> =
        [7_i16, 32767, 32767, 32767, 1, 1, 1, 32767].iter().flat_map(|n| n.to_le_bytes()).collect();
    patch(&path, 40, &sizes);
    assert!(matches!(read_image(&path), Err(Error::Truncated { .. })));
}

#[test]
fn headers_that_contradict_the_format_are_refused_with_their_reason() {
    let nan = f32::NAN.to_le_bytes();
    let cases: [(&str, usize, &[u8]); 10] = [
        ("dimension", 42, &(-5_i16).to_le_bytes()),
        ("dimension", 44, &0_i16.to_le_bytes()),
        ("dimensions", 40, &1_i16.to_le_bytes()),
        ("dimensions", 40, &9_i16.to_le_bytes()),
        ("begin at byte", 108, &100_f32.to_le_bytes()),
        ("begin at byte", 108, &400.5_f32.to_le_bytes()),
        ("begin at byte", 108, &nan),
        ("intercept", 116, &nan),
        ("singular", 280, &nan),
        ("singular", 280, &[0; 48]),
    ];
    for (reason, at, bytes) in cases {
        let (_folder, path, _) = written();
        patch(&path, at, bytes);
        let error = read_image(&path).unwrap_err();
        assert!(matches!(&error, Error::Header { .. }), "{at}: {error}");
        assert!(
            error.to_string().contains(reason) && error.to_string().contains("image.nii"),
            "{at}: {error}"
        );
    }
}

#[test]
fn other_kinds_of_files_are_refused_with_what_to_convert_them_to() {
    let (folder, path, _) = written();
    patch(&path, 344, &[0; 4]);
    let text = folder.path().join("text.nii");
    fs::write(&text, "not an image".repeat(100)).unwrap();
    let cases = [
        (fixture("bad_nifti2.nii.gz"), "NIfTI-2"),
        (fixture("bad_pair.hdr"), "pair"),
        (fixture("bad_pair.img"), "pair"),
        (fixture("bad_complex.nii.gz"), "data type 32"),
        (fixture("bad_5d.nii.gz"), "dimension"),
        (path, "Analyze"),
        (text, "not a NIfTI file"),
    ];
    for (path, reason) in cases {
        let error = read_image(&path).unwrap_err();
        assert!(matches!(&error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn vectors_on_the_fifth_dimension_are_channels() {
    let (_folder, path, image) = written();
    // 5 × 4 × 3 becomes 5 × 4 × 1 × 1 × 3: the same bytes, three channels of one slice.
    let sizes: Vec<u8> = [5_i16, 5, 4, 1, 1, 3].iter().flat_map(|n| n.to_le_bytes()).collect();
    patch(&path, 40, &sizes);
    let read = read_image(&path).unwrap();
    assert_eq!(read.voxels.dim(), (3, 1, 4, 5));
    assert!(read.voxels.iter().eq(image.voxels.iter()));
}

#[test]
fn label_values_that_are_not_integers_from_0_to_65535_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.nii");
    for bad in [-1.0, 0.5, 65536.0, f32::NAN, f32::INFINITY] {
        let mut image =
            Image { voxels: Array4::from_elem((1, 2, 3, 4), 2.0), affine: Affine::IDENTITY };
        image.voxels[[0, 1, 2, 3]] = bad;
        write_image(&path, &image).unwrap();
        let error = read_labels(&path).unwrap_err();
        assert!(matches!(error, Error::LabelNotInteger { voxel: [1, 2, 3], .. }), "{bad}: {error}");
        image.voxels[[0, 1, 2, 3]] = 65535.0;
        write_image(&path, &image).unwrap();
        assert_eq!(read_labels(&path).unwrap().voxels[[1, 2, 3]], 65535);
    }
}

#[test]
fn a_label_map_with_channels_is_refused() {
    assert!(matches!(
        read_labels(fixture("channels_4.nii.gz")),
        Err(Error::ChannelCount { expected: 1, found: 4, .. })
    ));
}
