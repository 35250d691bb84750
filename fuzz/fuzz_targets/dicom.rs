//! A DICOM file of any bytes: read or refused, never a panic.
#![no_main]

#[path = "../place.rs"]
mod place;

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(place::folder);

fuzz_target!(|bytes: &[u8]| {
    // Whose name says nothing.
    let file = FOLDER.join("x");
    place::write(&file, bytes);
    place::read(&file, &FOLDER.join("mask/x.dcm"), bytes);
});
