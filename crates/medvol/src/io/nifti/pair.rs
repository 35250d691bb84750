//! The files of a pair of header and voxels, `x.hdr` and `x.img`, both plain or both compressed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A half of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Header,
    Voxels,
}

/// Which half a file is by its name, in upper or lower case, if any.
pub(super) fn half(path: &Path) -> Option<Half> {
    let (stem, _) = compression(path);
    let ending = stem.extension()?;
    [("hdr", Half::Header), ("img", Half::Voxels)]
        .into_iter()
        .find(|(name, _)| ending.eq_ignore_ascii_case(name))
        .map(|(_, half)| half)
}

/// The name without the ending of compressed files, and that ending.
fn compression(path: &Path) -> (PathBuf, Option<&OsStr>) {
    match path.extension().filter(|last| last.eq_ignore_ascii_case("gz")) {
        Some(last) => (path.with_extension(""), Some(last)),
        None => (path.to_path_buf(), None),
    }
}

/// The name of a half of the pair that a file belongs to.
pub(super) fn file(of: &Path, half: Half) -> PathBuf {
    let (stem, compression) = compression(of);
    named(&stem, half, compression)
}

fn named(stem: &Path, half: Half, compression: Option<&OsStr>) -> PathBuf {
    let upper =
        stem.extension().is_some_and(|e| e.as_encoded_bytes().iter().all(u8::is_ascii_uppercase));
    let ending = match (half, upper) {
        (Half::Header, false) => "hdr",
        (Half::Header, true) => "HDR",
        (Half::Voxels, false) => "img",
        (Half::Voxels, true) => "IMG",
    };
    let mut name = stem.with_extension(ending).into_os_string();
    if let Some(last) = compression {
        name.push(".");
        name.push(last);
    }
    name.into()
}

/// The other half of a pair, which may be compressed where this one is not; the likeliest name if
/// there is none.
pub(super) fn find(of: &Path, half: Half) -> PathBuf {
    let likeliest = file(of, half);
    let (stem, compression) = compression(of);
    let other = named(&stem, half, if compression.is_some() { None } else { Some("gz".as_ref()) });
    if !likeliest.exists() && other.exists() { other } else { likeliest }
}
