//! NRRD, MetaImage, NIfTI-2, pairs and Analyze, damaged at random or made to do harm: no panic, no
//! memory beyond what the files can hold, no endless work.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::memory::peak_bytes;
use medvol::Error;
use medvol::io::{Opened, Source};
use proptest::prelude::*;

/// Bytes of buffers, decoders, header and error texts, whatever the file.
const OVERHEAD: u64 = 1 << 20;
/// What deflate can shrink to one byte, at most.
const GZIP_RATIO: u64 = 1032;
/// For files of a few hundred bytes; much more than is needed, as machines are busy.
const PATIENCE: Duration = Duration::from_secs(5);

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats")
}

/// The headers among the fixtures, with their bytes.
static HEADERS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let mut headers: Vec<(String, Vec<u8>)> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| {
            let name = entry.file_name().into_string().unwrap();
            [".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".hdr"].iter().any(|end| name.ends_with(end))
        })
        .map(|entry| {
            let bytes = fs::read(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), bytes)
        })
        .collect();
    headers.sort();
    headers
});

/// A folder with all that headers point to, in which they are damaged.
static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixtures()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
});

/// Reads an image in all ways; each may fail, but only by an error, in time, and within the memory
/// that its voxels could need as f32, twice while they are brought into order.
fn survives(path: &Path) {
    let start = Instant::now();
    let most = OVERHEAD + 8 * GZIP_RATIO * 4096;
    let peak = peak_bytes(|| {
        let open = || Source::from(path).open();
        drop(open().and_then(Opened::image));
        drop(open().and_then(Opened::labels));
        drop(open().and_then(Opened::raw));
    });
    assert!(peak <= most, "{peak} bytes");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

/// What a damaged text has in the place of something else.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "0",
        "-1",
        "1",
        "4",
        "99999999999",
        "18446744073709551615",
        "-9223372036854775808",
        "nan",
        "1e308",
        "none",
        "\n",
        " ",
        ":",
        "=",
        "%d",
        "LIST",
        "LOCAL",
        "True",
        "gzip",
        "hex",
        "text",
        "raw",
        "(",
        ")",
        "\"",
    ];
    prop_oneof![
        prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..9),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

    #[test]
    fn damaged_files_are_survived(
        which: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..6_usize, piece()), 1..5),
    ) {
        let (name, bytes) = &HEADERS[which.index(HEADERS.len())];
        let mut bytes = bytes.clone();
        for (at, length, piece) in changes {
            let at = at.index(bytes.len().max(1));
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, piece);
        }
        // Each thread of tests has its own name; the pairs have theirs.
        let path = FOLDER.path().join(name);
        fs::write(&path, bytes).unwrap();
        survives(&path);
    }

    #[test]
    fn random_text_is_survived(magic in prop::sample::select(vec!["NRRD0004\n", "NDims = 3\n", ""]), text in "[ -~\n]{0,200}") {
        let folder = tempfile::tempdir().unwrap();
        for name in ["x.nrrd", "x.mha", "x.hdr"] {
            let path = folder.path().join(name);
            fs::write(&path, format!("{magic}{text}")).unwrap();
            survives(&path);
        }
    }
}

/// Reads a file of this name and content, which is refused, with little memory.
fn refused(name: &str, content: &str) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    let mut error = None;
    let start = Instant::now();
    let peak = peak_bytes(|| error = Source::from(&*path).open().and_then(Opened::image).err());
    assert!(peak < OVERHEAD, "{peak} bytes");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    error.unwrap()
}

#[test]
fn sizes_beyond_the_file_are_refused_before_memory_is_taken() {
    for encoding in ["raw", "text", "hex"] {
        let header = format!(
            "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 999999 999999 999\nencoding: {encoding}\n\n1 2"
        );
        let error = refused("x.nrrd", &header);
        assert!(matches!(error, Error::Truncated { .. }), "{error}");
    }
    let more = "NRRD0004\ntype: double\ndimension: 3\nsizes: 4294967296 4294967296 9\nencoding: raw\nendian: big\n\n";
    assert!(matches!(refused("x.nrrd", more), Error::Header { .. }));
    for sizes in ["999999 999999 999", "9999999999 9999999999 9999999999"] {
        let header = format!(
            "NDims = 3\nDimSize = {sizes}\nElementType = MET_DOUBLE\nElementDataFile = LOCAL\n1"
        );
        refused("x.mha", &header);
    }
}

#[test]
fn as_many_files_as_can_be_named_are_not_looked_for() {
    let header = |sizes: &str, data: &str| {
        format!("NRRD0004\ntype: uchar\ndimension: 3\nsizes: {sizes}\nencoding: raw\n{data}\n")
    };
    let all = "data file: x%d.raw -9223372036854775808 9223372036854775807 1";
    assert!(matches!(refused("x.nhdr", &header("1 1 9", all)), Error::Header { .. }));
    // The first one that is missing ends the search.
    let many = "data file: x%d.raw 1 1000000000000 1";
    assert!(matches!(
        refused("x.nhdr", &header("1 1 1000000000000", many)),
        Error::DataFile { .. }
    ));
}

#[test]
fn a_header_without_end_is_left_after_a_while() {
    let error = refused_large("x.nrrd", format!("NRRD0004\n# {}", "x".repeat(5 << 20)));
    assert!(error.contains("its header goes on"), "{error}");
}

fn refused_large(name: &str, content: String) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    Source::from(&*path).open().unwrap_err().to_string()
}
