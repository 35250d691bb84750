//! Reading NIfTI files: against nibabel (fixtures), and files to be refused.

use std::fs;

use crate::common::nifti::{compressed, expected, patch, written};
use crate::common::{fixture, read_grid, read_image, read_labels, write_image};
use medvol::io::{self, Grid, Remark, Source};
use medvol::{
    Affine, ClassMap, Error, Image, LabelMap, Orientation, Preprocessed, canonical_spacing,
    preprocess,
};
use ndarray::{Array3, Array4};
use proptest::prelude::*;

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
fn a_length_that_only_nifti2_can_state_places_voxels_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mask) = (folder.path().join("two.nii"), folder.path().join("mask.nrrd"));
    fs::copy(fixture("formats/two.nii"), &path).unwrap();
    patch(&path, 344, &[0; 8]);
    let third = |mm: f64| patch(&path, 104 + 3 * 8, &mm.to_le_bytes());
    third(5e-309);
    let header = Source::from(&path).open().unwrap().header().clone();
    let Grid { affine, shape, .. } = header.grid;
    assert!(affine.is_invertible());
    assert!(header.place.remarks.iter().any(|remark| matches!(remark, Remark::ZeroPixdim { .. })));
    // A mask that lies on the image is read again.
    let labels = LabelMap { voxels: Array3::zeros(shape), affine };
    io::create(&mask).unwrap().like(&header).labels(&labels).unwrap();
    assert!(read_labels(&mask).unwrap().affine.approx_eq(&affine, shape, 1e-6));
    third(1e300);
    assert!(read_image(&path).unwrap_err().to_string().contains("pixdim"));
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
        let whole = preprocess(name, &image, None, &ClassMap::new(&[]), spacing, &[]).unwrap();
        let [_, depth, height, width]: [usize; 4] = whole.image.dim().into();
        let window = Preprocessed::new(name, &raw, spacing, &[])
            .unwrap()
            .window([0; 3], [depth, height, width]);
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

#[test]
fn a_header_that_does_not_tell_its_size_is_known_by_its_mark() {
    for name in ["int16_big.nii", "float64_big.nii"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::copy(fixture(name), &path).unwrap();
        patch(&path, 0, &[0; 4]);
        assert_eq!(read_image(&path).unwrap(), read_image(fixture(name)).unwrap());
        patch(&path, 40, &[0x80; 2]);
        assert!(matches!(read_image(&path), Err(Error::Unsupported { .. })));
    }
    let (_folder, path, image) = written();
    patch(&path, 0, &[0; 4]);
    assert_eq!(read_image(&path).unwrap(), image);
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
fn a_folder_without_images_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let error = read_image(folder.path()).unwrap_err().to_string();
    assert!(error.contains(&folder.path().display().to_string()), "{error}");
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
    let cases: [(&str, usize, &[u8]); 8] = [
        ("dimension", 42, &(-5_i16).to_le_bytes()),
        ("dimension", 44, &0_i16.to_le_bytes()),
        ("dimensions", 40, &1_i16.to_le_bytes()),
        ("dimensions", 40, &9_i16.to_le_bytes()),
        ("begin at byte", 108, &100_f32.to_le_bytes()),
        ("begin at byte", 108, &400.5_f32.to_le_bytes()),
        ("begin at byte", 108, &nan),
        ("intercept", 116, &nan),
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
        (fixture("bad_complex.nii.gz"), "data type 32 (complex numbers)"),
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

proptest! {
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
