//! A NIfTI file of any bytes, as they are and compressed: read or refused, never a panic.
#![no_main]

#[path = "../place.rs"]
mod place;

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(place::folder);

/// Behind a compression that stores them as they are and whose checksum is good, as changed bytes of
/// a compressed file seldom get past it.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("inputs of at most one block");
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    // The only block, and the last one.
    let block = [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat();
    let end = [crc32fast::hash(bytes).to_le_bytes(), u32::from(length).to_le_bytes()].concat();
    [&header[..], &block, &end].concat()
}

fuzz_target!(|bytes: &[u8]| {
    let file = FOLDER.join("x.nii");
    if crc32fast::hash(bytes) >> 24 & 1 == 1 {
        place::write(&file, &compressed(bytes));
    } else {
        place::write(&file, bytes);
    }
    place::read(&file, &FOLDER.join("mask/x.nii"), bytes);
});
