//! What a file is that has the name of an image and is none.

/// Bytes that a file begins with, what it is then, and what to do about it.
const KNOWN: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "is compressed twice; decompress it once more (gunzip)"),
    (b"PK\x03\x04", "is a ZIP archive; unpack it"),
    (b"BZh", "is compressed with bzip2, which is not read; decompress it (bunzip2)"),
    (b"\xfd7zXZ\0", "is compressed with xz, which is not read; decompress it (unxz)"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd, which is not read; decompress it (unzstd)"),
    (
        b"version https://git-lfs",
        "is a pointer of Git LFS and no image; fetch the file (git lfs pull)",
    ),
    (b"/annex/objects", "is a pointer of git-annex and no image; fetch the file (git annex get)"),
    (b"<", "is a page of the web and no image, as a failed download leaves it; download it again"),
];

/// What a file is, by its first bytes, uncompressed, and what to do; None if it is not known.
pub(super) fn foreign(start: &[u8]) -> Option<&'static str> {
    let text = start.trim_ascii_start();
    let known = KNOWN.iter().find(|(mark, _)| start.starts_with(mark) || text.starts_with(mark));
    let zeros = || {
        (!start.is_empty() && start.iter().all(|&byte| byte == 0))
            .then_some("holds nothing but zeros, as a failed copy leaves it; copy it again")
    };
    known.map(|(_, what)| *what).or_else(zeros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_image_is_known_by_its_first_bytes() {
        for (start, expected) in [
            (&b"\n <!DOCTYPE html>"[..], Some("page of the web")),
            (b"PK\x03\x04\x14\0", Some("ZIP")),
            (b"version https://git-lfs.github.com/spec/v1\n", Some("Git LFS")),
            (&[0; 400], Some("nothing but zeros")),
            (b"", None),
            (b"NRRD0004\n", None),
        ] {
            let found = foreign(start);
            assert_eq!(found.is_some(), expected.is_some(), "{start:?}: {found:?}");
            assert!(found.zip(expected).is_none_or(|(found, part)| found.contains(part)));
        }
    }
}
