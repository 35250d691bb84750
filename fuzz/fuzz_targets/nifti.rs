//! A NIfTI file of any bytes, as they are and compressed: read or refused, never a panic.
#![no_main]

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use medvol::io::{Opened, Source};

/// Behind a compression whose checksum is good, as changed bytes of a compressed file seldom get
/// past it.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).expect("memory for a copy");
    encoder.finish().expect("memory for a copy")
}

fuzz_target!(|bytes: &[u8]| {
    let named = tempfile::Builder::new().suffix(".nii").tempfile();
    let file = named.expect("a folder for temporary files");
    for bytes in [bytes, &compressed(bytes)] {
        std::fs::write(file.path(), bytes).expect("room for a temporary file");
        let source = Source::from(file.path());
        let _ = source.open().and_then(Opened::image);
        let _ = source.open().and_then(Opened::raw);
        let _ = source.open().and_then(Opened::labels);
    }
});
