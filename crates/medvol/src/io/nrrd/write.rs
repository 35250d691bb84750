//! Writing: little-endian, compressed, in the space of the reference or else in
//! left-posterior-superior; `.nhdr` with its voxels in a file beside it, which is written first;
//! `.seg.nrrd` with its segments. Channels become the slowest axis.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::fields::escaped;
use super::header::type_name;
use super::words::SpaceWords;
use super::{Own, segments};
use crate::atomic::atomic_write_with;
use crate::class_map::Label;
use crate::error::{Error, Result};
use crate::io::data_files::written_beside;
use crate::io::format::Content;
use crate::io::voxels::NumberType;

pub(super) fn write(path: &Path, content: &Content) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let apart = name.ends_with(".nhdr").then(|| path.with_extension("raw.gz"));
    let mut header = header(content);
    if name.ends_with(".seg.nrrd") {
        let labels =
            labels(content).map_err(|source| Error::Write { path: path.to_path_buf(), source })?;
        for (key, value) in segments::keys(&labels, content.grid.shape) {
            header.push_str(&format!("{key}:={}\n", escaped(&value)));
        }
    }
    if let Some(data) = &apart {
        let data_name = written_beside(path, data)?;
        atomic_write_with(data, |file| compressed(file, content))?;
        header.push_str(&format!("data file: {data_name}\n"));
        return atomic_write_with(path, |file| file.write_all(header.as_bytes()));
    }
    header.push('\n');
    atomic_write_with(path, |file| {
        file.write_all(header.as_bytes())?;
        compressed(file, content)
    })
}

fn compressed(to: &mut dyn Write, content: &Content) -> io::Result<()> {
    let mut encoder = GzEncoder::new(to, Compression::default());
    (content.voxels)(&mut encoder)?;
    encoder.finish().map(|_| ())
}

/// All lines but those of the data file and the empty one.
fn header(content: &Content) -> String {
    let [depth, height, width] = content.grid.shape;
    let channels = content.grid.channels;
    let of_affine = SpaceWords::of_affine(&content.grid.affine);
    let own = content.reference.and_then(|header| header.own.downcast_ref::<Own>());
    let space = own.and_then(|own| own.space.as_ref()).unwrap_or(&of_affine);
    let with_channels = |words: &mut Vec<String>, word: &str| {
        if channels > 1 {
            words.push(word.into());
        }
        words.join(" ")
    };
    let mut sizes: Vec<String> =
        [width, height, depth][..space.axes].iter().map(usize::to_string).collect();
    let mut kinds = vec!["domain".to_string(); space.axes];
    let sizes = with_channels(&mut sizes, &channels.to_string());
    let kinds = with_channels(&mut kinds, "list");
    let dimension = space.axes + usize::from(channels > 1);
    let mut lines =
        format!("NRRD0005\ntype: {}\ndimension: {dimension}\n", type_name(content.numbers));
    let mut line = |name: &str, text: &str| {
        // Into a String, which takes all.
        let _ = writeln!(lines, "{name}: {text}");
    };
    for (name, text) in &space.before {
        line(name, text);
    }
    line("sizes", &sizes);
    for (name, words, of_channels) in &space.each {
        line(name, &with_channels(&mut words.clone(), of_channels));
    }
    line("kinds", &kinds);
    line("endian", "little");
    line("encoding", "gzip");
    for (name, text) in &space.behind {
        line(name, text);
    }
    lines
}

/// The labels of the segments: those with a name, and all others among the voxels.
fn labels(content: &Content) -> io::Result<Vec<Label>> {
    let mut values = Values { bytes: content.numbers.bytes(), low: None, found: BTreeSet::new() };
    if matches!(content.numbers, NumberType::U8 | NumberType::U16) {
        (content.voxels)(&mut values)?;
    }
    let named = content.labels.into_iter().flatten().filter(|label| label.value != 0).cloned();
    let mut labels: Vec<Label> = named.collect();
    for value in values.found.into_iter().filter(|&value| value != 0) {
        if labels.iter().all(|label| label.value != value) {
            labels.push(Label { value, name: format!("Segment_{value}") });
        }
    }
    Ok(labels)
}

/// A place where the values of bytes are seen, only.
struct Values {
    /// Of each value: one or two.
    bytes: usize,
    /// The first byte of a value whose second is still to come.
    low: Option<u8>,
    found: BTreeSet<u16>,
}

impl Write for Values {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut last = None;
        for &byte in bytes {
            let value = match (self.bytes, self.low.take()) {
                (1, _) => byte.into(),
                (_, Some(low)) => u16::from_le_bytes([low, byte]),
                (_, None) => {
                    self.low = Some(byte);
                    continue;
                }
            };
            // Most voxels are as the one before.
            if last.replace(value) != Some(value) {
                self.found.insert(value);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
