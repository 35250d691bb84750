//! DICOM files that are damaged or made to do harm: refused or read, never a panic, never more
//! memory or time than the file is worth.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use medvol::io::Source;
use medvol::io::dicom::Problem;
use medvol::{Error, Image};
use proptest::prelude::*;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dicom")
}

/// One file of each kind: all transfer syntaxes, enhanced objects, segmentations.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut entries: Vec<PathBuf> =
        fixtures().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let first = |path: PathBuf| match path.is_dir() {
        true => path.read_dir().unwrap().map(|entry| entry.unwrap().path()).min().unwrap(),
        false => path,
    };
    let files = entries.into_iter().map(first).filter(|path| path.extension().is_none());
    files.map(|path| std::fs::read(path).unwrap()).collect()
});

/// Reads bytes as a file in every way there is.
fn read(bytes: &[u8]) -> medvol::Result<Image> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let _ = Source::from(file.path()).open().and_then(|opened| opened.labels());
    let _ = Source::from(file.path()).open().and_then(|opened| opened.raw());
    Source::from(file.path()).open()?.image()
}

fn problem(bytes: &[u8]) -> Problem {
    match read(bytes) {
        Err(Error::Dicom { problem, .. }) => *problem,
        other => panic!("{other:?}"),
    }
}

/// A file with these explicit little-endian elements behind its mark.
fn file(elements: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    bytes.extend(b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0");
    bytes.extend(elements.concat());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn changed_bytes_are_refused_or_read(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = which.get(&FILES).clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = read(&bytes);
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_or_read() {
    for file in FILES.iter() {
        for length in (0..file.len()).step_by(1 + file.len() / 50) {
            let _ = read(&file[..length]);
        }
    }
}

#[test]
fn sequences_without_end_are_refused_before_the_stack_is() {
    let nested =
        b"\x40\x00\x70\xa1SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff".repeat(100_000);
    assert!(matches!(problem(&file(&[&nested])), Problem::Damaged { .. }));
}

#[test]
fn a_value_longer_than_its_file_takes_no_memory() {
    let begun = Instant::now();
    for vr in [b"UT", b"OB", b"UN", b"OW"] {
        let element = [&b"\x10\x00\x10\x00"[..], vr, b"\0\0\xfe\xff\xff\xff"].concat();
        assert!(
            matches!(problem(&file(&[&element])), Problem::Truncated { expected, .. } if expected > u64::from(u32::MAX))
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn more_frames_than_there_are_places_or_bytes_for_are_refused() {
    let bytes = std::fs::read(fixtures().join("enhanced")).unwrap();
    let frames = b"\x28\x00\x08\x00IS\x02\x004 ";
    let at = bytes.windows(frames.len()).position(|window| window == frames).unwrap();
    let mut many = bytes.clone();
    many[at + 8..at + 10].copy_from_slice(b"99");
    assert!(matches!(problem(&many), Problem::FewPixels { expected: 12474, found: 504 }));
}

#[test]
fn a_compressed_picture_of_another_size_is_refused_by_its_size() {
    for name in ["jpeg_lossless", "jpeg_2000_lossless"] {
        let folder = fixtures().join(name);
        let path = folder.read_dir().unwrap().next().unwrap().unwrap().path();
        let mut bytes = std::fs::read(path).unwrap();
        // Columns.
        let columns = b"\x28\x00\x11\x00US\x02\x00";
        let at = bytes.windows(columns.len()).position(|window| window == columns).unwrap();
        bytes[at + 8] -= 1;
        assert!(matches!(problem(&bytes), Problem::FrameSize { frame: 1, .. }), "{name}");
    }
}

#[test]
fn a_deflated_file_without_end_is_refused() {
    use std::io::Write as _;
    let mut zeros = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    let block = vec![0x11; 1 << 20];
    for _ in 0..1025 {
        zeros.write_all(&block).unwrap();
    }
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM\x02\x00\x10\x00UI\x16\x001.2.840.10008.1.2.1.99");
    bytes.extend(zeros.finish().unwrap());
    assert!(matches!(problem(&bytes), Problem::Inflated { .. }));
}
