//! DICOM: series and segmentations against what SimpleITK, pydicom and highdicom say of them
//! (`fixtures/dicom/make.py`), what must be refused, and segmentations written and read again.

use std::path::{Path, PathBuf};

use medvol::check::{Familiar, Kind, Options, check, look};
use medvol::io::dicom::{Problem, Series};
use medvol::io::{self, Remark, Source};
use medvol::{Affine, Error, Image, Label, LabelMap};
use ndarray::Array3;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dicom").join(name)
}

fn image(name: &str) -> medvol::Result<Image> {
    Source::from(fixture(name)).open()?.image()
}

fn expected() -> serde_json::Map<String, serde_json::Value> {
    serde_json::from_str(&std::fs::read_to_string(fixture("expected.json")).unwrap()).unwrap()
}

fn crc32(values: impl Iterator<Item = f32>) -> u32 {
    let mut crc = flate2::Crc::new();
    values.for_each(|value| crc.update(&value.to_le_bytes()));
    crc.sum()
}

fn assert_is(name: &str, expected: &serde_json::Value, shape: [usize; 3], affine: &Affine) {
    let expected_shape: [usize; 3] = serde_json::from_value(expected["shape"].clone()).unwrap();
    let expected_affine: [[f64; 4]; 4] =
        serde_json::from_value(expected["affine"].clone()).unwrap();
    assert_eq!(shape, expected_shape, "{name}");
    let off = affine.max_displacement(&Affine(expected_affine), shape);
    assert!(off < 1e-5, "{name} lies {off} mm off: {affine:?}");
}

/// Whose pixels lost something, so that decoders may round differently.
const LOSSY: [&str; 2] = ["jpeg_baseline", "jpeg_2000_lossy"];

#[test]
fn every_series_has_the_place_and_the_values_that_other_readers_find() {
    for (name, expected) in expected().iter().filter(|(name, _)| !name.starts_with("seg_")) {
        let image = image(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_is(name, expected, image.shape(), &image.affine);
        let first: Vec<f32> = serde_json::from_value(expected["first"].clone()).unwrap();
        let tolerance = if LOSSY.contains(&name.as_str()) { 1.0 } else { 0.0 };
        for (value, expected) in image.voxels.iter().zip(&first) {
            assert!((value - expected).abs() <= tolerance, "{name}: {value} {expected}");
        }
        if tolerance == 0.0 {
            let crc = crc32(image.voxels.iter().copied());
            assert_eq!(u64::from(crc), expected["crc32"].as_u64().unwrap(), "{name}");
        }
    }
}

#[test]
fn compact_voxels_are_those_of_the_image() {
    for name in ["explicit", "pet", "unsigned_16", "enhanced"] {
        let raw = Source::from(fixture(name)).open().unwrap().raw().unwrap();
        let bytes_a_voxel = raw.bytes() / raw.shape().iter().product::<usize>() as u64;
        assert_eq!(bytes_a_voxel, if name == "explicit" { 2 } else { 4 }, "{name}");
    }
}

#[test]
fn segmentations_of_others_are_label_maps() {
    for (name, expected) in expected().iter().filter(|(name, _)| name.starts_with("seg_")) {
        let labels = Source::from(fixture(name)).open().unwrap().labels().unwrap();
        assert_is(name, expected, labels.shape(), &labels.affine);
        let crc = crc32(labels.voxels.iter().map(|&label| f32::from(label)));
        assert_eq!(u64::from(crc), expected["crc32"].as_u64().unwrap(), "{name}");
    }
}

#[test]
fn what_is_left_out_of_a_folder_is_counted() {
    let series = Series::open(&fixture("with_others")).unwrap();
    let left_out = series.left_out();
    assert_eq!(
        (left_out.other, left_out.not_placed, left_out.localizers, left_out.copies),
        (1, 1, 1, 1)
    );
    assert!(Series::open(&fixture("explicit")).unwrap().left_out().is_empty());
}

fn problem(name: &str) -> Problem {
    match image(name) {
        Err(Error::Dicom { problem, .. }) => *problem,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn irregular_series_are_refused_with_what_is_irregular() {
    assert!(matches!(
        problem("bad_gap"),
        Problem::Gap { gap_mm, spacing_mm, missing: 1, .. }
            if (gap_mm - 5.0).abs() < 1e-6 && (spacing_mm - 2.5).abs() < 1e-6
    ));
    assert!(
        matches!(problem("bad_tilt"), Problem::Tilt { degrees } if (5.0..12.0).contains(&degrees))
    );
    assert!(matches!(
        problem("bad_uneven"),
        Problem::Uneven { smallest_mm, largest_mm }
            if (smallest_mm - 1.7).abs() < 1e-6 && (largest_mm - 3.3).abs() < 1e-6
    ));
    assert!(
        matches!(problem("bad_drift"), Problem::OffTheGrid { off_mm, .. } if (off_mm - 0.6).abs() < 0.01)
    );
    match problem("bad_same_place") {
        Problem::SamePlace { apart: Some(apart), volumes: true, .. } => {
            assert_eq!(apart.to_string(), "EchoTime (10 and 20)");
        }
        other => panic!("{other:?}"),
    }
    match problem("bad_mixed") {
        Problem::SeveralSeries(series) => {
            let files: Vec<usize> = series.iter().map(|series| series.files).collect();
            assert_eq!(files, [2, 2]);
            assert_eq!(series[0].description, "CT 3 series 0");
        }
        other => panic!("{other:?}"),
    }
    for (name, differing) in
        [("bad_orientation", "ImageOrientationPatient"), ("bad_size", "Rows and Columns")]
    {
        match problem(name) {
            Problem::Differ { difference, .. } => assert_eq!(difference.attribute, differing),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    assert!(matches!(problem("bad_colour"), Problem::Colour { samples: 3, .. }));
    assert!(matches!(problem("bad_few_pixels"), Problem::FewPixels { expected: 126, found: 106 }));
    assert!(
        matches!(problem("bad_secondary_capture"), Problem::NoImages { left_out } if left_out.not_placed == 1)
    );
    assert!(matches!(
        problem("bad_jpeg_ls"),
        Problem::Compression { name: "JPEG-LS Lossless", .. }
    ));
    assert!(matches!(problem("bad_jpeg_extended_12"), Problem::Decode { codec: "JPEG", .. }));
    assert!(matches!(problem("bad_seg_fractional"), Problem::Value { .. }));
    let empty = tempfile::tempdir().unwrap();
    let error = Source::from(empty.path()).open().unwrap_err().to_string();
    assert!(error.contains("found a folder without slices of DICOM"), "{error}");
}

/// A copy of a series, whose files are changed.
fn changed(name: &str, change: impl Fn(usize, Vec<u8>) -> Vec<u8>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut files: Vec<_> =
        fixture(name).read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for (n, file) in files.into_iter().enumerate() {
        let bytes = change(n, std::fs::read(&file).unwrap());
        std::fs::write(folder.path().join(file.file_name().unwrap()), bytes).unwrap();
    }
    folder
}

/// The bytes with every `from` made a `to` as long.
fn replaced(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let found: Vec<usize> =
        (0..=bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
    assert!(!found.is_empty());
    found.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to));
    bytes
}

/// An explicit element of text.
fn element(group: u16, number: u16, text: &str) -> Vec<u8> {
    let length = (text.len() as u16).to_le_bytes();
    [&group.to_le_bytes()[..], &number.to_le_bytes(), b"DS", &length, text.as_bytes()].concat()
}

#[test]
fn a_number_that_is_none_is_refused_and_never_left_out() {
    for (number, from, to, named) in [
        (0x1052, "-1024 ", "-1,024", "RescaleIntercept"),
        (0x1052, "-1024 ", "-10\\24", "RescaleIntercept"),
        (0x1052, "-1024 ", " HU   ", "RescaleIntercept"),
        (0x1053, "1 ", "1,", "RescaleSlope"),
        (0x0030, "0.7\\0.9 ", "0,7\\0,9 ", "PixelSpacing"),
    ] {
        let (from, to) = (element(0x28, number, from), element(0x28, number, to));
        let folder = changed("explicit", |_, bytes| replaced(bytes, &from, &to));
        let error = Source::from(folder.path()).open().unwrap_err();
        let Error::Dicom { problem, .. } = &error else { panic!("{error}") };
        assert!(matches!(**problem, Problem::Value { .. }), "{error}");
        let value = String::from_utf8_lossy(&to[8..]).trim().escape_debug().to_string();
        assert!(error.to_string().contains(named) && error.to_string().contains(&value), "{error}");
    }
    // What is empty is as good as missing.
    let blank =
        |bytes| replaced(bytes, &element(0x28, 0x1052, "-1024 "), &element(0x28, 0x1052, "      "));
    let folder = changed("explicit", |_, bytes| blank(bytes));
    let raw = Source::from(folder.path()).open().unwrap().image().unwrap();
    assert_eq!(raw.voxels, image("explicit").unwrap().voxels + 1024.0);
}

#[test]
fn slices_that_share_an_identifier_are_told_apart_by_their_places_and_voxels() {
    const ROOT: &[u8] = b"1.2.826.0.1.3680043.8.498.1.";
    let one = |_: usize, mut bytes: Vec<u8>| {
        let ends = (ROOT.len()..bytes.len()).filter(|&at| bytes[..at].ends_with(ROOT));
        // The identifiers of the file itself, and not that of its series.
        let ends: Vec<usize> = ends.filter(|&at| bytes[at] != b'1').collect();
        ends.into_iter().for_each(|at| bytes[at] = b'9');
        bytes
    };
    let folder = changed("explicit", one);
    let opened = Source::from(folder.path()).open().unwrap();
    let said = opened.header().place.remarks.clone();
    assert!(matches!(said[..], [Remark::SharedIdentifiers { slices: 5 }]), "{said:?}");
    assert_eq!(opened.image().unwrap(), image("explicit").unwrap());
    // A copy is left out; what only calls itself so is another slice at the same place.
    let copy = folder.path().join("i99");
    let mut bytes = std::fs::read(folder.path().join("i06")).unwrap();
    std::fs::write(&copy, &bytes).unwrap();
    assert_eq!(Series::open(folder.path()).unwrap().left_out().copies, 1);
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    std::fs::write(&copy, &bytes).unwrap();
    let error = Source::from(folder.path()).open().unwrap_err();
    assert!(error.to_string().contains("lie at the same place"), "{error}");
}

#[test]
fn a_slice_that_lost_its_place_is_named_and_not_left_out() {
    // At the end of the series, where no gap tells of it.
    let position = [0x20, 0, 0x32, 0, b'D', b'S'];
    for lost in 0..5 {
        let folder = changed("explicit", |n, bytes| match n == lost {
            true => replaced(bytes, &position, &[0x21, 0, 0x32, 0, b'D', b'S']),
            false => bytes,
        });
        let error = Source::from(folder.path()).open().unwrap_err();
        let Error::Dicom { path, problem } = &error else { panic!("{error}") };
        assert!(path.is_file() && matches!(**problem, Problem::Missing { .. }), "{error}");
    }
}

#[test]
fn files_that_lost_the_mark_of_the_format_are_named_where_they_are_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(fixture("explicit").join("i02")).unwrap();
    std::fs::write(folder.path().join("slice.dcm"), &bytes[132..]).unwrap();
    let error = Source::from(folder.path()).open().unwrap_err().to_string();
    assert!(error.contains("slice.dcm is no DICOM file"), "{error}");
}

#[test]
fn who_looks_at_a_series_hears_what_was_left_out() {
    let said = |name: &str| {
        let sources = [Source::from(fixture(name))];
        let opened = sources[0].open().unwrap();
        let header = opened.header().clone();
        let familiar =
            Familiar { spacing_mm: [2.5, 0.7, 0.9], patch: [1, 8, 8], normalisation: &[] };
        let found = look(&sources, &header, &opened.raw().unwrap(), familiar);
        found.iter().map(|finding| finding.message.clone()).collect::<String>()
    };
    assert!(said("with_others").contains("1 copies of another file"), "{}", said("with_others"));
    assert!(!said("explicit").contains("left out"));
}

#[test]
fn a_folder_of_pictures_that_are_all_at_fault_is_an_image_with_a_fault() {
    for name in ["explicit", "bad_secondary_capture", "bad_colour", "bad_few_pixels", "bad_jpeg_ls"]
    {
        assert!(medvol::io::is_image(&fixture(name)), "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["seg_binary", "seg_labelmap"] {
        std::fs::copy(fixture(name), folder.path().join(format!("{name}.dcm"))).unwrap();
    }
    assert!(!medvol::io::is_image(folder.path()));
}

#[test]
fn what_is_wrong_with_the_head_is_said_before_voxels_are_read() {
    for name in ["bad_gap", "bad_jpeg_ls", "bad_few_pixels", "bad_mixed"] {
        assert!(Source::from(fixture(name)).open().is_err(), "{name}");
    }
}

/// Labels on a grid: none in the first plane, three values that are not 1, 2, 3.
fn labels_like(image: &Image) -> (LabelMap, Vec<Label>) {
    let voxels = Array3::from_shape_fn(image.shape(), |(k, j, i)| match (k, (j * 5 + i * 3) % 7) {
        (0, _) => 0,
        (_, 0) => 2,
        (_, 1) => 7,
        (1, 2) => 300,
        _ => 0,
    });
    let label = |value, name: &str| Label { value, name: name.into() };
    let labels =
        vec![label(0, "background"), label(2, "liver"), label(7, "tumour"), label(300, "rest")];
    (LabelMap { voxels, affine: image.affine }, labels)
}

fn class_indices(labels: &LabelMap, names: &[Label]) -> Array3<u8> {
    labels.voxels.mapv(|value| names.iter().position(|label| label.value == value).unwrap() as u8)
}

#[test]
fn a_written_segmentation_is_read_as_the_same_labels_and_is_the_same_file_again() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["explicit", "one_slice", "enhanced", "big_endian"] {
        let opened = Source::from(fixture(name)).open().unwrap();
        let header = opened.header().clone();
        let (labels, names) = labels_like(&opened.image().unwrap());
        let classes = class_indices(&labels, &names);
        let written = ["a.dcm", "b.dcm"].map(|file| {
            let path = folder.path().join(file);
            let destination = io::create(&path).unwrap().like(&header);
            destination.classes(&classes, &names, labels.affine).unwrap();
            path
        });
        let read = Source::from(written[0].as_path()).open().unwrap().labels().unwrap();
        assert_eq!(read.voxels, labels.voxels, "{name}");
        assert!(read.affine.approx_eq(&labels.affine, labels.shape(), 1e-6), "{name}");
        let [a, b] = written.map(|path| std::fs::read(path).unwrap());
        assert_eq!(a, b, "{name}");
    }
}

#[test]
fn segments_numbered_otherwise_than_the_description_says_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let series = root.join("imagesTr/a");
    std::fs::create_dir_all(&series).unwrap();
    std::fs::create_dir(root.join("labelsTr")).unwrap();
    for slice in std::fs::read_dir(fixture("explicit")).unwrap().map(Result::unwrap) {
        std::fs::copy(slice.path(), series.join(slice.file_name())).unwrap();
    }
    let description = serde_json::json!({
        "labels": {"0": "background", "2": "tumour", "7": "Liver", "300": "rest"},
        "training": [{"image": "imagesTr/a", "label": "labelsTr/a.dcm"}],
    });
    std::fs::write(root.join("dataset.json"), description.to_string()).unwrap();
    let opened = Source::from(series).open().unwrap();
    let header = opened.header().clone();
    let (labels, names) = labels_like(&opened.image().unwrap());
    let label = root.join("labelsTr/a.dcm");
    let file = io::create(&label).unwrap().like(&header);
    file.classes(&class_indices(&labels, &names), &names, labels.affine).unwrap();
    let report = check(root, &Options::default(), |_, _| true).unwrap().unwrap();
    let found: Vec<_> = report.findings.iter().filter(|f| f.kind == Kind::LabelNames).collect();
    assert_eq!(found.len(), 1, "{:?}", report.findings);
    assert_eq!(
        found[0].message,
        "labelsTr/a.dcm calls 2 \"liver\", which is 7, and 7 \"tumour\", which is 2 in the \
         description"
    );
}

#[test]
fn another_content_gets_other_identifiers() {
    let folder = tempfile::tempdir().unwrap();
    let opened = Source::from(fixture("explicit")).open().unwrap();
    let header = opened.header().clone();
    let (mut labels, _) = labels_like(&opened.image().unwrap());
    let write = |file: &str, labels: &LabelMap| {
        let path = folder.path().join(file);
        io::create(&path).unwrap().like(&header).labels(labels).unwrap();
        let bytes = std::fs::read(path).unwrap();
        let uid = bytes.windows(5).position(|window| window == b"2.25.").unwrap();
        bytes[uid..uid + 40].to_vec()
    };
    let first = write("a.dcm", &labels);
    labels.voxels[[2, 3, 4]] = 2;
    assert_ne!(first, write("b.dcm", &labels));
}

#[test]
fn a_segmentation_needs_its_series_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    let source = image("explicit").unwrap();
    let (labels, _) = labels_like(&source);
    let refused = |result: medvol::Result<()>| match result {
        Err(Error::Dicom { problem, .. }) => *problem,
        other => panic!("{other:?}"),
    };
    let without = io::create(&path).unwrap();
    assert!(matches!(refused(without.labels(&labels)), Problem::NoSeries));
    let header = Source::from(fixture("explicit")).open().unwrap().header().clone();
    let with = without.like(&header);
    assert!(matches!(refused(with.image(&source)), Problem::OnlyLabels));
    let unnamed = [Label { value: 0, name: "background".into() }];
    let classes = Array3::zeros(labels.voxels.dim());
    let problem = refused(with.classes(&classes, &unnamed, labels.affine));
    assert!(matches!(problem, Problem::NoSegments));
    assert!(!path.exists());
}

#[test]
#[ignore = "needs python with pydicom and highdicom: SCNAS_JUDGE_PYTHON"]
fn pydicom_and_highdicom_find_the_labels_that_were_written() {
    let python = std::env::var("SCNAS_JUDGE_PYTHON").expect("SCNAS_JUDGE_PYTHON names a python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/judge_dicom.py");
    let folder = tempfile::tempdir().unwrap();
    for name in ["explicit", "one_slice", "enhanced", "big_endian", "jpeg_2000_signed"] {
        let opened = Source::from(fixture(name)).open().unwrap();
        let header = opened.header().clone();
        let (labels, names) = labels_like(&opened.image().unwrap());
        let written = folder.path().join(format!("{name}.dcm"));
        let classes = class_indices(&labels, &names);
        io::create(&written)
            .unwrap()
            .like(&header)
            .classes(&classes, &names, labels.affine)
            .unwrap();
        let expected = folder.path().join(format!("{name}.json"));
        let named: Vec<_> = names[1..].iter().map(|label| (label.value, &label.name)).collect();
        let told = serde_json::json!({
            "shape": labels.shape(),
            "labels": labels.voxels.iter().collect::<Vec<_>>(),
            "names": named,
            "affine": labels.affine.0,
        });
        std::fs::write(&expected, told.to_string()).unwrap();
        let judged = std::process::Command::new(&python)
            .arg(&script)
            .args([fixture(name), written, expected])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&judged.stderr);
        assert!(judged.status.success(), "{name}: {said}");
    }
}
