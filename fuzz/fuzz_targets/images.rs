//! An image of any bytes under a name of each format, alone and with its voxels in another file:
//! read or refused, never a panic. The first byte says which; a zero byte parts header and voxels.
#![no_main]

#[path = "../place.rs"]
mod place;

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(place::folder);

/// Names of headers, of the files of their voxels, and of masks like them.
const NAMES: [(&str, &str, &str); 7] = [
    ("x.nrrd", "x.raw", "mask/x.nrrd"),
    ("x.nhdr", "x.raw", "mask/x.nhdr"),
    ("x.seg.nrrd", "x.raw", "mask/x.seg.nrrd"),
    ("x.mha", "x.raw", "mask/x.mha"),
    ("x.mhd", "x.raw", "mask/x.mhd"),
    ("x.nii", "y.raw", "mask/x.nii"),
    ("x.hdr", "x.img", "mask/x.hdr"),
];

fuzz_target!(|bytes: &[u8]| {
    let Some((&which, bytes)) = bytes.split_first() else { return };
    let (header, voxels, mask) = NAMES[usize::from(which) % NAMES.len()];
    let end = match header {
        // A header of bytes.
        "x.hdr" => bytes.len().min(if bytes.starts_with(&[0x1c, 2]) { 540 } else { 348 }),
        "x.nhdr" | "x.mhd" => bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()),
        _ => bytes.len(),
    };
    let path = FOLDER.join(header);
    place::write(&path, &bytes[..end]);
    // Also where there are none: those of the input before are not of this one.
    place::write(&FOLDER.join(voxels), &bytes[end..]);
    place::read(&path, &FOLDER.join(mask), bytes);
});
