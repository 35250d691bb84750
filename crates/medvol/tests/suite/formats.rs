//! NRRD, MetaImage, NIfTI-2, pairs and Analyze: against the programs that know them (fixtures),
//! against ourselves (round trips), and files to be refused.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::task;
use medvol::check::{Options, check};
use medvol::io::{self, HeaderFault, Source, Unsupported};
use medvol::{Affine, Error, Image, Label, LabelMap};
use ndarray::{Array3, Array4};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats").join(name)
}

/// What a fixture should read as.
#[derive(serde::Deserialize)]
struct Expected {
    channels: usize,
    shape: [usize; 3],
    affine: Affine,
    voxels: Vec<f64>,
}

fn expected() -> Vec<(String, Expected)> {
    let text = fs::read_to_string(fixture("expected.json")).unwrap();
    let all: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    all.into_iter().map(|(name, value)| (name, serde_json::from_value(value).unwrap())).collect()
}

fn open(path: impl Into<PathBuf>) -> medvol::Result<io::Opened> {
    Source::from(path).open()
}

fn message(name: &str) -> String {
    let read = open(fixture(name)).and_then(io::Opened::labels);
    read.map(|_| name).unwrap_err().to_string()
}

/// Of the value of a voxel, as far as an f32 holds it.
fn as_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

#[test]
fn every_fixture_reads_as_the_programs_that_know_its_format_read_it() {
    let expected = expected();
    assert!(expected.len() > 100);
    for (name, want) in &expected {
        let opened = open(fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let grid = opened.grid();
        assert_eq!((grid.channels, grid.shape), (want.channels, want.shape), "{name}");
        assert!(
            grid.affine.approx_eq(&want.affine, want.shape, 2e-5),
            "{name}: {:?}, expected {:?}",
            grid.affine,
            want.affine
        );
        let most = opened.raw_bytes();
        let image = opened.image().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(image.voxels.as_slice().unwrap(), as_f32(&want.voxels), "{name}");
        let raw = open(fixture(name)).unwrap().raw().unwrap();
        assert!(raw.bytes() <= most, "{name}");
        assert_eq!((raw.shape(), raw.affine), (image.shape(), image.affine), "{name}");
    }
}

#[test]
fn files_to_be_refused_say_why_and_what_to_do() {
    for (name, words) in [
        ("bad_bzip2.nrrd", &["bzip2", "write it again"][..]),
        ("bad_complex.nrrd", &["complex", "convert"]),
        ("bad_block.nrrd", &["block", "convert"]),
        ("bad_endian.nrrd", &["endian", "little or big"]),
        ("bad_count.nhdr", &["3 data files", "ask for 2"]),
        ("bad_missing.nhdr", &["missing.raw", "bad_missing.nhdr", "belong together"]),
        ("bad_overlap.seg.nrrd", &["\"left\" and \"again\" overlap", "without overlaps"]),
        ("bad_same_value.seg.nrrd", &["same value 1", "\"left\" and \"right\""]),
        ("bad_zero_spacing.mha", &["span no space"]),
        ("bad_object.mha", &["Tube", "expected Image"]),
        ("bad_matrix.mha", &["TransformMatrix", "expected 9 numbers"]),
        ("bad_type.mha", &["MET_STRING", "convert"]),
    ] {
        let message = message(name);
        assert!(message.contains(name), "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[test]
fn what_is_wrong_with_a_file_can_be_read_from_fields() {
    let refused = |name| open(fixture(name)).unwrap_err();
    let Error::Header { fault, .. } = refused("bad_count.nhdr") else { panic!() };
    assert!(matches!(*fault, HeaderFault::FileCount { found: 3, expected: 2, .. }), "{fault}");
    let Error::Header { fault, .. } = refused("bad_matrix.mha") else { panic!() };
    let HeaderFault::Values { field, count, .. } = &*fault else { panic!("{fault}") };
    assert_eq!((field.as_str(), *count), ("TransformMatrix", 9));
    let Error::Unsupported { what, .. } = refused("bad_bzip2.nrrd") else { panic!() };
    assert_eq!(what, Unsupported::Encoding { found: "bzip2".into() });
}

/// An oblique grid.
fn affine() -> Affine {
    Affine([
        [1.2, -0.4, 0.1, -20.5],
        [0.5, 1.1, -0.3, 11.25],
        [0.0, 0.2, 2.5, 3.0],
        [0.0, 0.0, 0.0, 1.0],
    ])
}

/// All endings but that of DICOM, which is written only like a series.
fn endings() -> impl Iterator<Item = &'static str> {
    io::endings().filter(|ending| *ending != ".dcm")
}

#[test]
fn what_is_written_in_any_format_reads_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for ending in endings() {
        let path = folder.path().join(format!("x{ending}"));
        for channels in [1, 3] {
            let voxels = Array4::from_shape_fn((channels, 2, 3, 4), |(c, k, j, i)| {
                (1000 * c + 100 * k + 10 * j + i) as f32 - 50.5
            });
            let image = Image { voxels, affine: affine() };
            io::create(&path).unwrap().image(&image).unwrap();
            let read = open(&path).unwrap().image().unwrap();
            assert_eq!(read.voxels, image.voxels, "{ending}");
            assert!(read.affine.approx_eq(&image.affine, [2, 3, 4], 1e-5), "{ending}");
        }
        for largest in [200, 60_000] {
            let voxels = Array3::from_shape_fn((2, 3, 4), |(k, j, i)| (k + j + i) as u16 * 10);
            let mut labels = LabelMap { voxels, affine: affine() };
            labels.voxels[[1, 2, 3]] = largest;
            io::create(&path).unwrap().labels(&labels).unwrap();
            let read = open(&path).unwrap().labels().unwrap();
            assert_eq!(read.voxels, labels.voxels, "{ending}");
        }
    }
}

#[test]
fn a_label_map_like_an_image_says_of_space_what_the_image_says() {
    let folder = tempfile::tempdir().unwrap();
    for (name, _) in expected().iter().filter(|(name, _)| !name.contains("time")) {
        let header = open(fixture(name)).unwrap().header().clone();
        let grid = header.grid;
        let labels = LabelMap { voxels: Array3::from_elem(grid.shape, 2), affine: grid.affine };
        let path = folder.path().join(name);
        io::create(&path).unwrap().like(&header).labels(&labels).unwrap();
        let read = open(&path).unwrap();
        // Not a bit of it is changed.
        assert_eq!((read.grid().shape, read.grid().affine), (grid.shape, grid.affine), "{name}");
        assert_eq!(read.labels().unwrap(), labels, "{name}");
    }
}

#[test]
fn slices_stay_slices() {
    let folder = tempfile::tempdir().unwrap();
    for (name, line) in [("slice.nrrd", "dimension: 2\n"), ("slice.mha", "NDims = 2\n")] {
        let header = open(fixture(name)).unwrap().header().clone();
        let labels = LabelMap { voxels: Array3::zeros((1, 3, 4)), affine: header.grid.affine };
        let path = folder.path().join(name);
        io::create(&path).unwrap().like(&header).labels(&labels).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert!(String::from_utf8_lossy(&bytes).contains(line), "{name}");
    }
}

#[test]
fn segments_have_their_names_and_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.seg.nrrd");
    let labels = [(0, "background"), (3, "left\nlung"), (7, "heart")]
        .map(|(value, name)| Label { value, name: name.into() });
    let classes = Array3::from_shape_fn((2, 3, 4), |(k, j, _)| ((k + j) % 2) as u8 * 2);
    io::create(&path).unwrap().classes(&classes, &labels, affine()).unwrap();
    let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    for line in [
        "Segment0_Name:=left\\nlung\n",
        "Segment0_LabelValue:=3\n",
        "Segment1_Name:=heart\n",
        "Segment1_LabelValue:=7\n",
        "Segment1_Layer:=0\n",
        "Segment1_Extent:=0 3 0 2 0 1\n",
    ] {
        assert!(text.contains(line), "{line}");
    }
    assert!(!text.contains("background") && !text.contains("Segment2"));
    let read = open(&path).unwrap().labels().unwrap();
    assert_eq!(read.voxels, classes.mapv(|class| if class == 2 { 7 } else { 0 }));
    // Values without a name get one.
    io::create(&path).unwrap().labels(&read).unwrap();
    let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    assert!(text.contains("Segment0_Name:=Segment_7\n") && !text.contains("Segment1"), "{text}");
}

#[test]
fn segments_that_are_numbered_otherwise_than_the_description_says_are_an_error() {
    let labels = |names: [&str; 3]| {
        let label = |(value, name): (u16, &str)| Label { value, name: name.into() };
        (0..).zip(names).map(label).collect::<Vec<Label>>()
    };
    let found = |names: [&str; 3]| {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        task::write_task(root);
        let path = root.join("labelsTr/case_03.seg.nrrd");
        let (_, map) = task::volumes(3);
        let classes = map.voxels.mapv(|value| value as u8);
        io::create(&path).unwrap().classes(&classes, &labels(names), map.affine).unwrap();
        task::change_description(root, |json| {
            json["training"][3]["label"] = "labelsTr/case_03.seg.nrrd".into();
        });
        std::fs::remove_file(task::label_path(root, 3)).unwrap();
        let report = check(root, &Options::default(), |_, _| true).unwrap().unwrap();
        report.findings.iter().map(|f| format!("{} {}", f.severity, f.message)).collect::<String>()
    };
    // Names of one's own, or those of the description, are fine.
    assert_eq!(found(["background", "Segment_1", "Nodule"]), "");
    assert_eq!(
        found(["background", "nodule", "Organ"]),
        "error labelsTr/case_03.seg.nrrd calls 1 \"nodule\", which is 2, and 2 \"Organ\", which \
         is 1 in the description"
    );
}

#[test]
fn voxels_that_are_missing_are_said_before_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(fixture("apart.raw")).unwrap();
    fs::copy(fixture("one.nhdr"), folder.path().join("one.nhdr")).unwrap();
    fs::write(folder.path().join("apart.raw"), &whole[..whole.len() - 1]).unwrap();
    let error = open(folder.path().join("one.nhdr")).unwrap_err();
    assert!(matches!(error, Error::Truncated { expected: 48, found: 47, .. }), "{error}");
    assert!(error.to_string().contains("apart.raw"), "{error}");
    // Behind their header, as for all formats, once they are read.
    for name in ["int16_little.nrrd", "int16_little.mha"] {
        let whole = fs::read(fixture(name)).unwrap();
        let path = folder.path().join(name);
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let error = open(&path).unwrap().image().unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{error}");
    }
}

#[test]
fn a_damaged_slice_of_many_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["list_of_gzip.nhdr", "slice_0.raw.gz", "slice_1.raw.gz"] {
        fs::copy(fixture(name), folder.path().join(name)).unwrap();
    }
    let slice = folder.path().join("slice_1.raw.gz");
    let whole = fs::read(&slice).unwrap();
    // The end of it; then its checksum.
    for bytes in [&whole[..whole.len() - 9], &[&whole[..whole.len() - 8], &[0; 8]].concat()] {
        fs::write(&slice, bytes).unwrap();
        let error = open(folder.path().join("list_of_gzip.nhdr")).unwrap().image().unwrap_err();
        assert!(error.to_string().contains("slice_1.raw.gz"), "{error}");
    }
}

#[test]
#[cfg(unix)]
fn a_pipe_for_voxels_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture("one.nhdr"), folder.path().join("one.nhdr")).unwrap();
    let pipe = folder.path().join("apart.raw");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = open(folder.path().join("one.nhdr")).unwrap_err();
    assert!(error.to_string().contains("found a pipe or a device"), "{error}");
}

/// A copy of a fixture in a folder of its own.
fn copied(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        fs::copy(fixture(name), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn a_pair_is_known_by_either_of_its_files() {
    for [header, voxels] in [
        ["pair.hdr", "pair.img"],
        ["pair_packed.hdr.gz", "pair_packed.img.gz"],
        ["pair_two.hdr", "pair_two.img"],
        ["analyze.hdr", "analyze.img"],
    ] {
        let [by_header, by_voxels] =
            [header, voxels].map(|name| open(fixture(name)).unwrap().image().unwrap());
        assert_eq!(by_header, by_voxels, "{header}");
        // In a folder it is one image.
        assert!(!io::is_part_of_another(&fixture(header)));
        assert!(io::is_part_of_another(&fixture(voxels)));
        let folder = copied(&[voxels]);
        assert!(!io::is_part_of_another(&folder.path().join(voxels)));
        let error = open(folder.path().join(voxels)).unwrap_err();
        assert!(matches!(error, Error::OtherHalf { .. }), "{error}");
        assert!(error.to_string().contains(header), "{error}");
    }
    // The halves may be compressed apart from each other, and named in capitals.
    let folder = copied(&["pair.hdr"]);
    let packed = folder.path().join("pair.img.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &fs::read(fixture("pair.img")).unwrap()).unwrap();
    fs::write(&packed, encoder.finish().unwrap()).unwrap();
    let image = open(fixture("pair.hdr")).unwrap().image().unwrap();
    assert_eq!(open(folder.path().join("pair.hdr")).unwrap().image().unwrap(), image);
    assert_eq!(open(packed).unwrap().image().unwrap(), image);
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [("pair.hdr", "PAIR.HDR"), ("pair.img", "PAIR.IMG")] {
        fs::copy(fixture(from), folder.path().join(to)).unwrap();
    }
    assert_eq!(open(folder.path().join("PAIR.IMG")).unwrap().image().unwrap(), image);
}

#[test]
fn a_mask_has_the_version_of_its_image() {
    let folder = tempfile::tempdir().unwrap();
    for (name, size) in [("two.nii", 540), ("pair_two.hdr", 540), ("pair.hdr", 348)] {
        let header = open(fixture(name)).unwrap().header().clone();
        let grid = header.grid;
        let labels = LabelMap { voxels: Array3::from_elem(grid.shape, 1), affine: grid.affine };
        let path = folder.path().join(name);
        io::create(&path).unwrap().like(&header).labels(&labels).unwrap();
        assert_eq!(fs::read(&path).unwrap()[..4], i32::to_le_bytes(size), "{name}");
    }
    // Analyze has no mark of NIfTI, and none for integers above 255.
    let header = open(fixture("analyze.hdr")).unwrap().header().clone();
    let path = folder.path().join("analyze.hdr");
    for (value, mark) in [(1, b"\0\0\0\0"), (256, b"ni1\0")] {
        let voxels = Array3::from_elem(header.grid.shape, value);
        let labels = LabelMap { voxels, affine: header.grid.affine };
        io::create(&path).unwrap().like(&header).labels(&labels).unwrap();
        assert_eq!(&fs::read(&path).unwrap()[344..], mark);
        let read = open(&path).unwrap();
        assert!(read.grid().affine.approx_eq(&labels.affine, labels.shape(), 1e-6));
        assert_eq!(read.labels().unwrap().voxels, labels.voxels);
    }
}

#[test]
fn more_voxels_along_an_axis_than_nifti_1_holds_become_nifti_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.nii");
    let labels =
        LabelMap { voxels: Array3::from_elem((1, 1, 40_000), 3), affine: Affine::IDENTITY };
    io::create(&path).unwrap().labels(&labels).unwrap();
    assert_eq!(fs::read(&path).unwrap()[..4], 540_i32.to_le_bytes());
    assert_eq!(open(&path).unwrap().labels().unwrap(), labels);
}

#[test]
fn zeros_behind_compressed_data_are_padding_and_other_bytes_are_left_out_with_a_word() {
    let folder = copied(&["two.nii.gz"]);
    let path = folder.path().join("two.nii.gz");
    let image = open(&path).unwrap().image().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.resize(bytes.len() + 200_000, 0);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(open(&path).unwrap().image().unwrap(), image);
    bytes.push(1);
    fs::write(&path, &bytes).unwrap();
    let opened = open(&path).unwrap();
    let afterwards = opened.afterwards();
    assert_eq!(opened.image().unwrap(), image);
    let said: Vec<_> = afterwards.remarks().map(|(_, remark)| remark).collect();
    assert_eq!(said, [io::Remark::OthersFollow]);
}

#[test]
fn a_size_of_zero_behind_the_third_counts_as_one() {
    let folder = copied(&["pair.hdr", "pair.img"]);
    let path = folder.path().join("pair.hdr");
    let image = open(&path).unwrap().image().unwrap();
    let mut header = fs::read(&path).unwrap();
    header[40] = 6;
    header[48..54].fill(0);
    fs::write(&path, &header).unwrap();
    assert_eq!(open(&path).unwrap().image().unwrap(), image);
    header[46..48].fill(0);
    fs::write(&path, &header).unwrap();
    assert!(open(&path).unwrap_err().to_string().contains("size of dimension 3"));
}

#[test]
fn endings_are_known_in_capitals() {
    assert_eq!(io::stem_and_ending("a/SCAN.NII.GZ"), ("SCAN", ".NII.GZ"));
    assert_eq!(io::stem_and_ending("Seg.Nrrd"), ("Seg", ".Nrrd"));
    assert_eq!(io::stem_and_ending("left.seg.nrrd"), ("left", ".seg.nrrd"));
    assert_eq!(io::stem_and_ending("notes.txt"), ("notes.txt", ""));
    // Ends within a letter of two bytes.
    assert_eq!(io::stem_and_ending("é.nii"), ("é", ".nii"));
    assert_eq!(io::stem_and_ending("ééé"), ("ééé", ""));
}

#[test]
fn words_of_space_with_marks_in_them_are_carried_over() {
    let folder = tempfile::tempdir().unwrap();
    let [path, mask] = ["image.nrrd", "mask.nrrd"].map(|name| folder.path().join(name));
    let header = "NRRD0005\ntype: uchar\ndimension: 3\nsizes: 2 1 2\nencoding: raw\n\
                  units: \"two words\" a\"b \"\"\n\n";
    std::fs::write(&path, [header.as_bytes(), &[0, 1, 2, 3]].concat()).unwrap();
    let opened = open(&path).unwrap();
    let header = opened.header().clone();
    let labels = opened.labels().unwrap();
    io::create(&mask).unwrap().like(&header).labels(&labels).unwrap();
    assert_eq!(open(&mask).unwrap().labels().unwrap(), labels);
    let written = std::fs::read(&mask).unwrap();
    let units = b"units: \"two words\" a\"b \"\"\n";
    assert!(written.windows(units.len()).any(|bytes| bytes == units));
}

#[test]
fn a_segmentation_that_is_cropped_is_put_back_onto_its_image() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image.nrrd");
    let voxels = Array4::from_shape_fn((1, 4, 5, 6), |(_, k, j, i)| (k + j + i) as f32);
    io::create(&image).unwrap().image(&Image { voxels, affine: affine() }).unwrap();
    let image = open(&image).unwrap().header().clone();
    let mut moved = Affine::IDENTITY;
    for (row, start) in moved.0.iter_mut().zip([2.0, 1.0, 1.0]) {
        row[3] = start;
    }
    let part =
        LabelMap { voxels: Array3::from_elem((2, 3, 4), 5), affine: affine().compose(&moved) };
    let path = folder.path().join("x.seg.nrrd");
    io::create(&path).unwrap().labels(&part).unwrap();
    let whole = open(&path).unwrap().on_grid_of(&image);
    assert_eq!(whole.grid(), image.grid);
    let whole = whole.labels().unwrap();
    for ((k, j, i), value) in whole.voxels.indexed_iter() {
        let inside = (1..3).contains(&k) && (1..4).contains(&j) && (2..6).contains(&i);
        assert_eq!(*value, if inside { 5 } else { 0 });
    }
    // Only where it lies on voxels of the image, and within it.
    for column in [2.5, 3.0, -1.0] {
        moved.0[0][3] = column;
        let part = LabelMap { affine: affine().compose(&moved), ..part.clone() };
        io::create(&path).unwrap().labels(&part).unwrap();
        assert_eq!(open(&path).unwrap().on_grid_of(&image).grid().shape, [2, 3, 4]);
    }
    // Other formats do not crop.
    let path = folder.path().join("x.nrrd");
    io::create(&path).unwrap().labels(&part).unwrap();
    assert_eq!(open(&path).unwrap().on_grid_of(&image).grid().shape, [2, 3, 4]);
}

#[test]
fn answers_have_the_ending_of_the_question() {
    for (question, answer) in [
        ("x.nii", ".nii.gz"),
        ("SCAN.NII.GZ", ".nii.gz"),
        ("x.NRRD", ".nrrd"),
        ("x.nhdr", ".nhdr"),
        ("x.mha", ".mha"),
        ("x.img", ".img"),
        ("x.hdr.gz", ".hdr.gz"),
        ("series", ".nii.gz"),
    ] {
        assert_eq!(io::ending_like(&Source::from(question)), answer, "{question}");
        assert_eq!(io::image_ending_like(&Source::from(question)), answer, "{question}");
    }
    // DICOM has label maps, only.
    let slice = Source::from("IM0001.dcm");
    assert_eq!(io::ending_like(&slice), ".dcm");
    assert_eq!(io::image_ending_like(&slice), ".nii.gz");
}
