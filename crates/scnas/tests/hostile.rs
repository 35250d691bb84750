//! Files made to do harm, or damaged at random: settings, architectures, models and checkpoints
//! give errors, in time and without memory beyond what the file holds. Checksums are made good
//! again, so that what is behind them is reached.

#[path = "support/sealed.rs"]
mod sealed;

use std::path::Path;
use std::time::{Duration, Instant};

use medvol::{Region, Target};
use proptest::prelude::*;
use scnas::data::plan::Plan;
use scnas::memory;
use scnas::network::architecture::Architecture;
use scnas::settings::{Config, PRESETS, preset};
use scnas::store::checkpoint;
use scnas::store::model::Model;

use sealed::sealed;

/// For one small file; much more than is needed, as machines are busy.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than reading a small file takes, and less than any size that a header could lie about.
const MEMORY: u64 = 256 << 20;

/// A place in a file, as a share of its length, and what is put there instead of so many bytes.
type Change = (f64, usize, Vec<u8>);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let words: [&[u8]; 12] = [
        b"0",
        b"-1",
        b"4096",
        b"4294967296",
        b"1e999",
        b"null",
        b"[]",
        b"{}",
        b"\"",
        b",",
        b"99999999999999999999",
        b"\"zero\"",
    ];
    let what = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4),
        prop::sample::select(words.map(<[u8]>::to_vec).to_vec())
    ];
    prop::collection::vec((0.0..1.0, 0..6_usize, what), 1..5)
}

fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (place, length, new) in changes {
        let start = (place * bytes.len() as f64) as usize;
        let end = (start + length).min(bytes.len());
        bytes.splice(start..end, new.iter().copied());
    }
    bytes
}

/// Reads a file with these bytes; what comes of it does not matter, but that it comes.
fn survives(bytes: &[u8], read: impl FnOnce(&Path)) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let (start, before) = (Instant::now(), memory::in_use());
    memory::forget_peak();
    read(file.path());
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    if let (Some(before), Some(peak)) = (before, memory::peak()) {
        assert!(
            peak.saturating_sub(before) < MEMORY,
            "{} for a file of {} bytes",
            memory::text(peak - before),
            bytes.len()
        );
    }
}

/// The header and the tensors of a safetensors file, the former changed, with a length and a
/// checksum that fit.
fn resealed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = changed(&bytes[8..8 + length], changes);
    sealed([&(header.len() as u64).to_le_bytes(), header.as_slice(), &bytes[8 + length..]].concat())
}

fn small_plan() -> Plan {
    serde_json::from_value(serde_json::json!({
        "dataset": "x", "channels": ["MRI"], "labels": [{ "value": 0, "name": "background" }, { "value": 1, "name": "organ" }],
        "spacing": [1.0, 1.0, 1.0], "patch": [16, 16, 16], "folds": [["a"], ["b"]], "fold": 0,
    }))
    .unwrap()
}

fn model_file() -> Vec<u8> {
    model_file_of(small_plan())
}

/// A model of two outputs.
fn model_file_of(plan: Plan) -> Vec<u8> {
    let config = Config::load("default", None, &[]).unwrap();
    let architecture =
        Architecture::Cells(scnas::space::genotype::Genotype::random(&config.network.space(), 1));
    let size = scnas::network::size::Size::isotropic(1, 2, 4);
    let card = scnas::store::model::Card::new(architecture, size, plan, config.predict);
    let file = tempfile::NamedTempFile::new().unwrap();
    Model::new(card, &scnas::device("cpu").unwrap(), 0).write(file.path()).unwrap();
    std::fs::read(file.path()).unwrap()
}

fn read_model(path: &Path) {
    let device = scnas::device("cpu").unwrap();
    drop(Model::read(path, &device));
    drop(checkpoint::weights(path, &device));
}

#[test]
fn the_files_that_are_changed_here_are_good_before() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), resealed(&model_file(), &[])).unwrap();
    Model::read(file.path(), &scnas::device("cpu").unwrap()).unwrap();
}

#[test]
fn a_small_model_that_claims_to_be_a_large_one_is_refused_before_it_is_built() {
    let bytes = model_file();
    // Without the header's length, which may be no text.
    let text = String::from_utf8_lossy(&bytes[8..]);
    let at = text.find(r#"\"width\":4"#).unwrap() + r#"\"width\":"#.len();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as f64;
    let larger = resealed(&bytes, &[(at as f64 / header + 1e-9, 1, b"4096".to_vec())]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &larger).unwrap();
    let error = Model::read(file.path(), &scnas::device("cpu").unwrap()).unwrap_err().to_string();
    assert!(error.contains("weights, but"), "{error}");
    survives(&larger, read_model);
}

#[test]
fn regions_of_classes_that_there_are_not_are_refused() {
    for (classes, written, good) in
        [(vec![1], 1, true), (vec![1, 2], 1, false), (vec![0, 1], 1, false), (vec![1], 7, false)]
    {
        let region = |name: &str| Region { name: name.into(), classes: classes.clone(), written };
        let target = Target::Regions(["a", "b"].map(region).to_vec());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), model_file_of(Plan { target, ..small_plan() })).unwrap();
        let read = Model::read(file.path(), &scnas::device("cpu").unwrap());
        assert_eq!(read.is_ok(), good, "{classes:?} {written}");
    }
}

#[test]
fn tensors_that_overlap_or_lie_beyond_the_file_are_refused() {
    let bytes = model_file();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let names: Vec<&String> =
        header.as_object().unwrap().keys().filter(|name| *name != "__metadata__").collect();
    for offsets in [
        serde_json::json!([0, 4]),
        serde_json::json!([0, u64::MAX]),
        serde_json::json!([u64::MAX - 3, u64::MAX]),
    ] {
        let mut lying = header.clone();
        for name in &names[..2] {
            lying[*name]["data_offsets"] = offsets.clone();
        }
        let lying = serde_json::to_vec(&lying).unwrap();
        let file = sealed(
            [&(lying.len() as u64).to_le_bytes(), lying.as_slice(), &bytes[8 + length..]].concat(),
        );
        survives(&file, |path| assert!(Model::read(path, &scnas::device("cpu").unwrap()).is_err()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_settings_are_no_harm(which in 0..2_usize, changes in changes()) {
        let bytes = changed(preset(PRESETS[which]).unwrap().as_bytes(), &changes);
        survives(&bytes, |path| drop(Config::load("default", Some(path), &[])));
    }

    #[test]
    fn damaged_architectures_are_no_harm(seed in 0..4_u64, changes in changes()) {
        let config = Config::load("default", None, &[]).unwrap();
        let genotype = scnas::space::genotype::Genotype::random(&config.network.space(), seed);
        let bytes = changed(&serde_json::to_vec(&genotype).unwrap(), &changes);
        survives(&bytes, |path| drop(Architecture::read(path)));
    }

    #[test]
    fn models_and_checkpoints_with_a_damaged_header_are_no_harm(changes in changes()) {
        static GOOD: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(model_file);
        survives(&resealed(&GOOD, &changes), read_model);
    }

    #[test]
    fn bytes_that_are_no_model_are_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&bytes, read_model);
    }
}
