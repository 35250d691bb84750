//! A `dataset.json`, or a CSV file of cases, of any bytes: understood or refused, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medvol::Dataset;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    for name in ["dataset.json", "cases.csv"] {
        std::fs::write(folder.path().join(name), bytes).expect("room for a temporary file");
    }
    let _ = Dataset::open(folder.path());
    // Beside the table a description that is good, so that its rows are reached.
    let good = r#"{"channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1}}"#;
    std::fs::write(folder.path().join("dataset.json"), good).expect("room for a temporary file");
    let _ = Dataset::open(folder.path().join("cases.csv"));
});
