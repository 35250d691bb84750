//! Files made to do harm, or damaged at random: no panic, no memory beyond what the file can hold,
//! no endless work.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::common::{read_grid, read_image, read_labels, write_image};
use crate::memory::peak_bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use medvol::check::{Options, check};
use medvol::{Affine, Dataset, Image};
use ndarray::Array4;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Bytes of buffers, decoder and error texts, whatever the file.
const OVERHEAD: u64 = 1 << 20;
/// What deflate can shrink to one byte, at most.
const GZIP_RATIO: u64 = 1032;
/// For one file of a few kilobytes; much more than is needed, as machines are busy.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads a file in all ways; each may fail, but only by an error, in time, and within the memory
/// that its voxels could need as f32.
fn survives(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let holds = bytes.len() as u64 * if bytes.starts_with(&[0x1f, 0x8b]) { GZIP_RATIO } else { 1 };
    let start = Instant::now();
    for read in [
        |path: &Path| drop(read_grid(path)),
        |path: &Path| drop(read_image(path)),
        |path: &Path| drop(read_labels(path)),
    ] {
        let peak = peak_bytes(|| read(path));
        assert!(peak <= OVERHEAD + 4 * holds, "{peak} bytes for a file of {}", bytes.len());
    }
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

/// A small image's bytes.
fn good_file() -> Vec<u8> {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("good.nii");
        let voxels =
            Array4::from_shape_fn((1, 3, 4, 5), |(_, k, j, i)| (k * 20 + j * 5 + i) as f32);
        write_image(&path, &Image { voxels, affine: Affine::from_spacing([3.0, 2.0, 1.0]) })
            .unwrap();
        fs::read(path).unwrap()
    });
    BYTES.clone()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn size() -> impl Strategy<Value = i16> {
    prop_oneof![Just(i16::MAX), Just(1), Just(0), -5..9_i16, any::<i16>()]
}

fn float() -> impl Strategy<Value = f32> {
    prop_oneof![
        Just(f32::NAN),
        Just(f32::MAX),
        Just(352.0),
        Just(f32::MIN_POSITIVE),
        0.0..1e6_f32,
        any::<f32>()
    ]
}

/// A change to a file: a field by its byte position, or a byte anywhere.
fn change() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let floats = prop::sample::select(vec![
        76, 80, 84, 88, 108, 112, 116, 256, 260, 264, 268, 280, 284, 296, 312, 324,
    ]);
    let shorts = prop::sample::select(vec![40, 42, 44, 46, 48, 50, 52, 54, 70, 72, 252, 254]);
    prop_oneof![
        (shorts, size()).prop_map(|(at, value)| (at, value.to_le_bytes().to_vec())),
        (floats, float()).prop_map(|(at, value)| (at, value.to_le_bytes().to_vec())),
        (0..592_usize, any::<u8>()).prop_map(|(at, value)| (at, vec![value])),
    ]
}

fn changed(changes: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = good_file();
    for (at, field) in changes {
        if let Some(place) = bytes.get_mut(*at..at + field.len()) {
            place.copy_from_slice(field);
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn changed_headers_and_voxels_are_survived(
        changes in prop::collection::vec(change(), 0..6), length in 0..600_usize, compressed: bool, compressed_length in 0..600_usize
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.nii");
        let mut bytes = changed(&changes);
        bytes.truncate(length.max(300));
        if compressed {
            bytes = gzip(&bytes);
            bytes.truncate(compressed_length.max(20));
        }
        fs::write(&path, bytes).unwrap();
        survives(&path);
    }

    #[test]
    fn random_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..1200), gzip_magic: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.nii.gz");
        fs::write(&path, if gzip_magic { [&[0x1f, 0x8b, 8, 0][..], &bytes].concat() } else { bytes }).unwrap();
        survives(&path);
    }
}

#[test]
fn sizes_beyond_the_file_are_refused_before_memory_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let largest: Vec<(usize, Vec<u8>)> =
        (0..7).map(|axis| (42 + 2 * axis, i16::MAX.to_le_bytes().to_vec())).collect();
    let dimensions = |count: i16| (40_usize, count.to_le_bytes().to_vec());
    for (name, changes) in [
        ("seven.nii", [&largest[..], &[dimensions(7)]].concat()),
        ("four.nii", [&largest[..4], &[dimensions(4)]].concat()),
        ("offset.nii", vec![(108, 3e38_f32.to_le_bytes().to_vec())]),
    ] {
        let path = folder.path().join(name);
        for bytes in [changed(&changes), gzip(&changed(&changes))] {
            fs::write(&path, bytes).unwrap();
            assert!(read_image(&path).is_err());
            assert!(peak_bytes(|| drop(read_image(&path))) < OVERHEAD);
        }
    }
}

#[test]
fn what_a_bomb_holds_beyond_its_voxels_is_never_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.nii.gz");
    let mut bytes = good_file();
    bytes.resize(bytes.len() + (64 << 20), 0);
    fs::write(&path, gzip(&bytes)).unwrap();
    let start = Instant::now();
    let mut image = None;
    let peak = peak_bytes(|| image = Some(read_image(&path)));
    assert_eq!(image.unwrap().unwrap().shape(), [3, 4, 5]);
    assert!(peak < OVERHEAD, "{peak}");
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn a_bomb_that_goes_on_and_on_is_left_after_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.nii.gz");
    let mut bytes = good_file();
    bytes.resize(bytes.len() + (66 << 20), 0);
    // Half a gigabyte and more, if it were read to its end.
    let endless: Vec<u8> = std::iter::once(gzip(&bytes))
        .chain(std::iter::repeat_n(gzip(&[0; 1 << 20]), 600))
        .flatten()
        .collect();
    fs::write(&path, endless).unwrap();
    let start = Instant::now();
    let message = read_image(&path).unwrap_err().to_string();
    assert!(message.contains("bomb.nii.gz") && message.contains("behind"), "{message}");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
#[cfg(unix)]
fn a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = |name: &str| {
        let path = folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    };
    for path in [pipe("image.nii"), "/dev/zero".into()] {
        let message = read_image(&path).unwrap_err().to_string();
        assert!(
            message.contains(path.to_str().unwrap())
                && message.contains("found a pipe or a device"),
            "{message}"
        );
    }
    task(folder.path());
    pipe("pairs.csv");
    assert!(Dataset::open(folder.path().join("pairs.csv")).is_err());
    pipe("dataset.json");
    assert!(
        Dataset::open(folder.path()).unwrap_err().to_string().contains("found a pipe or a device")
    );
    // Nor is one written to, or replaced by a file.
    let message =
        medvol::atomic_write(folder.path().join("dataset.json"), b"{}").unwrap_err().to_string();
    assert!(message.contains("dataset.json: expected the name of a file"), "{message}");
    assert!(fs::metadata(folder.path().join("dataset.json")).is_ok_and(|there| !there.is_file()));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9./_\\\\\u{0}é-]{0,8}".prop_map(Value::from),
        Just(json!("imagesTr/case_00.nii.gz")),
        Just(json!("0")),
        Just(json!(0)),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        let key = prop_oneof![
            Just("0".to_string()),
            Just("image".into()),
            Just("label".into()),
            Just("images".into()),
            "[a-z0-9]{0,3}"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// A data set whose files are small, and damaged.
fn task(folder: &Path) {
    for name in ["imagesTr", "labelsTr"] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("case_00.nii.gz"), good_file()).unwrap();
    }
}

/// Opens and checks a data set; both may find fault, in time.
fn is_judged(path: &Path) {
    let start = Instant::now();
    let opened = Dataset::open(path);
    let report = check(path, &Options::default(), |_, _| true).unwrap().unwrap();
    assert!(opened.is_ok() || report.has_errors());
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

/// A text with some of its characters replaced, removed or doubled.
fn damaged(text: String) -> impl Strategy<Value = String> {
    let length = text.chars().count();
    prop::collection::vec(
        (
            0..length,
            prop_oneof![Just(None), any::<char>().prop_map(Some), Just(Some('"')), Just(Some(','))],
        ),
        0..8,
    )
    .prop_map(move |changes| {
        let mut characters: Vec<String> = text.chars().map(String::from).collect();
        for (at, change) in changes {
            characters[at] = change.map_or_else(String::new, |c| c.to_string());
        }
        characters.concat()
    })
}

const PAIRS: &str = "case,image,label,subject\na,imagesTr/case_00.nii.gz,labelsTr/case_00.nii.gz,\
                     p\n\"b\",imagesTr/b.nii,,\"q\"\n";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn any_value_under_any_key_of_a_description_is_judged(
        changes in prop::collection::vec((prop::sample::select(vec![
            "name", "modality", "channel_names", "labels", "training", "test", "numTraining", "file_ending", "dataset", "validation", "numTest"
        ]), any_json()), 1..4)
    ) {
        let folder = tempfile::tempdir().unwrap();
        task(folder.path());
        let mut description = crate::common::task::description();
        for (key, value) in changes {
            description[key] = value;
        }
        fs::write(folder.path().join("dataset.json"), description.to_string()).unwrap();
        is_judged(folder.path());
    }

    #[test]
    fn a_damaged_description_is_judged(text in damaged(crate::common::task::description().to_string())) {
        let folder = tempfile::tempdir().unwrap();
        task(folder.path());
        fs::write(folder.path().join("dataset.json"), text).unwrap();
        is_judged(folder.path());
    }

    #[test]
    fn a_damaged_table_is_judged(text in damaged(PAIRS.into()), random in prop::collection::vec(any::<u8>(), 0..200), whole: bool) {
        let folder = tempfile::tempdir().unwrap();
        task(folder.path());
        fs::write(folder.path().join("dataset.json"), crate::common::task::description().to_string()).unwrap();
        let path = folder.path().join("pairs.csv");
        fs::write(&path, if whole { text.into_bytes() } else { [b"image,label\n", &random[..]].concat() }).unwrap();
        is_judged(&path);
    }

    #[test]
    fn damaged_volumes_of_a_data_set_are_judged(
        image in prop::collection::vec(change(), 0..4), label in prop::collection::vec(change(), 0..4)
    ) {
        let folder = tempfile::tempdir().unwrap();
        task(folder.path());
        fs::write(folder.path().join("imagesTr/case_00.nii.gz"), changed(&image)).unwrap();
        fs::write(folder.path().join("labelsTr/case_00.nii.gz"), changed(&label)).unwrap();
        let mut description = crate::common::task::description();
        description["training"].as_array_mut().unwrap().truncate(1);
        description["test"] = json!([]);
        fs::write(folder.path().join("dataset.json"), description.to_string()).unwrap();
        check(folder.path(), &Options::default(), |_, _| true).unwrap().unwrap();
    }
}
