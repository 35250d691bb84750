//! Event files of TensorBoard: the numbers of `log.jsonl` once more, for those who watch runs there.
//!
//! A file is a row of records: length, checksum of the length, an `Event` as Protocol Buffers encode
//! it, checksum of that. Checksums are CRC-32C, rotated and shifted (TensorFlow's `TFRecord`).

use std::io::Write as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::error::{Error, Result};
use crate::observer::{EpochLine, SearchLine};

/// The folder of the file in that of a run.
const FOLDER: &str = "tensorboard";

/// TensorBoard knows event files by this part of their name.
const FILE: &str = "events.out.tfevents.scnas";

/// What the first event says of the file.
const VERSION: &str = "brain.Event:2";

/// Writes the lines of a run's log as events, or appends those that are new. Tags are such as
/// `train/loss`; classes are told by their names.
///
/// # Errors
/// When the file cannot be written.
pub fn write(run: &Path, lines: &[EpochLine], classes: &[String]) -> Result<()> {
    let folder = run.join(FOLDER);
    std::fs::create_dir_all(&folder).map_err(|e| Error::file("create", &folder, e))?;
    let path = folder.join(FILE);
    let bytes = encode(lines, classes, began(run));
    let before = std::fs::read(&path).unwrap_or_default();
    // A reader follows a file that grows, not one that is replaced.
    match bytes.strip_prefix(before.as_slice()).filter(|_| !before.is_empty()) {
        Some(new) => append(&path, new).map_err(|e| Error::file("write", &path, e)),
        None => Ok(medvol::atomic_write(&path, &bytes)?),
    }
}

fn append(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::OpenOptions::new().append(true).open(path)?.write_all(bytes)
}

/// Seconds since 1970 when the run began; 0 where that is not known.
fn began(run: &Path) -> f64 {
    let modified = run.join("plan.json").metadata().and_then(|file| file.modified());
    let since = modified.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// The whole file. The time of an event is that of the run's beginning and of all its epochs so far.
fn encode(lines: &[EpochLine], classes: &[String], began: f64) -> Vec<u8> {
    let mut file = Vec::new();
    record(&mut file, &event(began, 0, 3, VERSION.as_bytes()));
    let mut time = began;
    for line in lines {
        time += line.seconds;
        let mut summary = Vec::new();
        for (tag, value) in scalars(line, classes) {
            let mut scalar = Vec::new();
            bytes(&mut scalar, 1, format!("{}/{tag}", line.phase).as_bytes());
            key(&mut scalar, 2, FIXED_32);
            scalar.extend((value as f32).to_le_bytes());
            bytes(&mut summary, 1, &scalar);
        }
        record(&mut file, &event(time, line.epoch, 5, &summary));
    }
    file
}

/// What a line of the log says in numbers.
fn scalars(line: &EpochLine, classes: &[String]) -> Vec<(String, f64)> {
    let mut scalars: Vec<(String, f64)> = [
        ("loss", Some(line.loss)),
        ("dice", line.mean_dice),
        ("learning_rate", Some(line.learning_rate)),
        ("seconds", Some(line.seconds)),
    ]
    .into_iter()
    .filter_map(|(tag, value)| Some((tag.to_string(), value?)))
    .collect();
    let dice = line.dice.iter().flatten().zip(classes);
    scalars.extend(dice.filter_map(|(dice, class)| Some((format!("dice/{class}"), (*dice)?))));
    if let Some(search) = &line.search {
        let SearchLine { alpha_loss, tau, entropy, agreement, edges, .. } = search;
        let all = [
            ("alpha_loss", *alpha_loss),
            ("tau", Some(*tau)),
            ("entropy", Some(*entropy)),
            ("r", agreement.map(|agreement| agreement.r)),
            ("zero", Some(edges.zero)),
            ("identity", Some(edges.identity)),
            ("pool", Some(edges.pool)),
        ];
        scalars.extend(all.into_iter().filter_map(|(tag, value)| Some((tag.into(), value?))));
    }
    scalars
}

/// Wire types of Protocol Buffers.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

/// An `Event`: `wall_time`, `step`, and one field of bytes.
fn event(time: f64, step: usize, field: u64, content: &[u8]) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, FIXED_64);
    event.extend(time.to_le_bytes());
    key(&mut event, 2, VARINT);
    varint(&mut event, step as u64);
    bytes(&mut event, field, content);
    event
}

fn key(out: &mut Vec<u8>, field: u64, wire: u64) {
    varint(out, field << 3 | wire);
}

fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    key(out, field, LENGTH);
    varint(out, content.len() as u64);
    out.extend(content);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn record(out: &mut Vec<u8>, content: &[u8]) {
    let length = (content.len() as u64).to_le_bytes();
    out.extend(length);
    out.extend(masked(crc32c(&length)).to_le_bytes());
    out.extend(content);
    out.extend(masked(crc32c(content)).to_le_bytes());
}

/// A checksum of data that hold checksums would be weak: hence another form of it.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: an epoch has a few hundred bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let divided = crc >> 1;
            if crc & 1 == 1 { divided ^ 0x82f6_3b78 } else { divided }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(epoch: usize) -> EpochLine {
        EpochLine {
            phase: "train".into(),
            epoch,
            epochs: 3,
            loss: 0.5,
            dice: Some(vec![Some(0.25), None]),
            mean_dice: Some(0.25),
            learning_rate: 0.003,
            seconds: 2.0,
            waited_seconds: 0.0,
            search: None,
        }
    }

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn records_follow_each_other_with_their_lengths_and_numbers_of_any_size_are_whole() {
        let file = encode(&[line(0), line(300)], &["a".into(), "b".into()], 1e9);
        let mut rest = file.as_slice();
        let mut contents = Vec::new();
        while !rest.is_empty() {
            let (length, after) = rest.split_at(8);
            let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            let (content, after) = after[4..].split_at(length);
            assert_eq!(masked(crc32c(content)).to_le_bytes(), after[..4]);
            contents.push(content);
            rest = &after[4..];
        }
        assert_eq!(contents.len(), 3);
        assert!(contents[0].ends_with(VERSION.as_bytes()));
        // Step 300 in base 128, the least first.
        assert_eq!(contents[2][9..12], [2 << 3, 0xac, 0x02]);
        let has = |text: &str| contents[1].windows(text.len()).any(|part| part == text.as_bytes());
        assert!(has("train/loss") && has("train/dice/a") && !has("train/dice/b"));
    }

    #[test]
    fn a_file_grows_with_the_log_and_is_written_anew_where_the_log_went_back() {
        let run = tempfile::tempdir().unwrap();
        let (classes, path) = (["a".into()], run.path().join(FOLDER).join(FILE));
        let size = |lines: &[EpochLine]| {
            write(run.path(), lines, &classes).unwrap();
            std::fs::read(&path).unwrap()
        };
        let (one, two) = (size(&[line(0)]), size(&[line(0), line(1)]));
        assert!(two.starts_with(&one) && two.len() > one.len());
        assert_eq!(size(&[line(0)]), one);
    }
}
