//! A NIfTI file of any bytes, plain or compressed: read or refused, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medvol::{read_grid, read_image, read_labels};

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a folder for temporary files");
    std::fs::write(file.path(), bytes).expect("room for a temporary file");
    let _ = read_grid(file.path());
    let _ = read_image(file.path());
    let _ = read_labels(file.path());
});
