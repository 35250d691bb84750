//! A `dataset.json`, a list of cases, or a CSV file of cases, of any bytes: understood or refused,
//! never a panic. The first byte says which.
#![no_main]

#[path = "../place.rs"]
#[allow(dead_code, reason = "images are for the other targets")]
mod place;

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use medvol::Dataset;

/// Beside a table or a list, so that their cases are reached.
const GOOD: &[u8] =
    br#"{"channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1}}"#;

/// Two folders: one for descriptions, one with a description that is good; and in both the files
/// that a description may mean.
static FOLDERS: LazyLock<[PathBuf; 2]> = LazyLock::new(|| {
    let folders = [place::folder(), place::folder()];
    for folder in &folders {
        for file in [
            "imagesTr/a.nii.gz",
            "imagesTr/a_0000.nii.gz",
            "imagesTr/a_0001.nii.gz",
            "imagesTr/b_0000.nii",
            "labelsTr/a.nii.gz",
            "labelsTr/b.nii",
            "imagesTs/a_0000.nii.gz",
            "p/ct.nii.gz",
            "q/ct.nii.gz",
        ] {
            let path = folder.join(file);
            let parent = path.parent().expect("a folder of its own");
            std::fs::create_dir_all(parent).expect("a folder for temporary files");
            place::write(&path, b"");
        }
    }
    place::write(&folders[1].join("dataset.json"), GOOD);
    folders
});

fuzz_target!(|bytes: &[u8]| {
    let Some((&which, bytes)) = bytes.split_first() else { return };
    let [own, good] = &*FOLDERS;
    let path = match which % 3 {
        0 => own.join("dataset.json"),
        1 => good.join("list.json"),
        _ => good.join("cases.csv"),
    };
    place::write(&path, bytes);
    let _ = Dataset::open(if which % 3 == 0 { own } else { &path });
});
