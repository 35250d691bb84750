//! A DICOM file of any bytes: read or refused, never a panic. Begin with
//! `crates/medvol/tests/fixtures/dicom` as the corpus.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medvol::io::Source;

/// Voxels of what is read whole: more takes time, and finds nothing more.
const MOST: u64 = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a folder for temporary files");
    std::fs::write(file.path(), bytes).expect("room for a temporary file");
    let Ok(opened) = Source::from(file.path()).open() else { return };
    if opened.grid().voxels() <= MOST {
        let _ = opened.image();
        let _ = Source::from(file.path()).open().and_then(|opened| opened.labels());
    }
});
