//! An image of any bytes under a name of each format, alone and with its voxels in another file:
//! read or refused, never a panic. The first byte says which; a zero byte parts header and voxels.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use medvol::io::{Opened, Source};

/// In memory, as most of the time would be spent on files else.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let within = if memory.is_dir() { memory } else { std::env::temp_dir() };
    tempfile::Builder::new().tempdir_in(within).expect("a folder for temporary files").keep()
});

/// Names of headers and of the files of their voxels.
const NAMES: [(&str, &str); 7] = [
    ("x.nrrd", "x.raw"),
    ("x.nhdr", "x.raw"),
    ("x.seg.nrrd", "x.raw"),
    ("x.mha", "x.raw"),
    ("x.mhd", "x.raw"),
    ("x.nii", "y.raw"),
    ("x.hdr", "x.img"),
];

fuzz_target!(|bytes: &[u8]| {
    let Some((&which, bytes)) = bytes.split_first() else { return };
    let (header, voxels) = NAMES[usize::from(which) % NAMES.len()];
    let end = match header {
        // A header of bytes.
        "x.hdr" => bytes.len().min(if bytes.starts_with(&[0x1c, 2]) { 540 } else { 348 }),
        "x.nhdr" | "x.mhd" => bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()),
        _ => bytes.len(),
    };
    let path = FOLDER.join(header);
    std::fs::write(&path, &bytes[..end]).expect("room for a temporary file");
    if end < bytes.len() {
        std::fs::write(FOLDER.join(voxels), &bytes[end..]).expect("room for a temporary file");
    }
    let open = || Source::from(&*path).open();
    let _ = open().and_then(Opened::image);
    let _ = open().and_then(Opened::labels);
});
