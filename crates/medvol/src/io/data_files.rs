//! Voxels that a text header points to: behind itself, in another file, or in a file for every
//! slice.

use std::fs::File;
use std::io::{BufRead, BufReader, Error as IoError, ErrorKind, Read, Take};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::encoding::Encoding;
use super::fault::Unsupported;
use super::file_names::FileNames;
use super::stream::{PIECE, Stream};
use super::voxels::MOST_BEHIND;
use crate::error::{Error, Result};
use crate::open::open_file;
use crate::text::{composed, names_in};

/// How voxels stand in the file (or in each of the files) that holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// How they are stored.
    pub encoding: Encoding,
    /// Lines before them.
    pub skip_lines: u64,
    /// What is before them, behind those lines.
    pub skip: Skip,
    /// Their bytes once they are decoded, of all files together.
    pub bytes: u64,
}

/// What stands before voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// So many bytes, counted where they are decoded.
    Bytes(u64),
    /// So many bytes, counted as they are stored.
    Stored(u64),
    /// Whatever there is: behind the voxels stand so many bytes, and then the file ends.
    AllBut(u64),
}

/// The voxels behind a header that is read. Of what follows only `stored` bytes belong to them,
/// where the header says so.
///
/// # Errors
/// [`Error::Truncated`], [`Error::Read`], [`Error::Unsupported`].
pub(super) fn behind(header: Stream, stored: Option<u64>, layout: Layout) -> Result<Stream> {
    let source = header.source().clone();
    let path = source.path();
    let skip = layout.skip_bytes(path, header.left())?;
    let surplus = header.left().filter(|_| layout.encoding == Encoding::Raw && stored.is_none());
    let surplus = surplus.map_or(0, |left| left.saturating_sub(skip.saturating_add(layout.bytes)));
    let (reader, at_most) = header.into_rest();
    let reader = BufReader::with_capacity(PIECE, reader.take(stored.unwrap_or(u64::MAX)));
    let reader = layout
        .opened(reader, skip)
        .map_err(|error| Error::Read { path: path.to_path_buf(), source: error })?;
    let surplus = Arc::new(AtomicU64::new(surplus));
    let parts = Parts {
        layout,
        part_bytes: layout.bytes,
        files: Vec::new().into_iter(),
        open: Some((None, reader.take(layout.bytes))),
        surplus: surplus.clone(),
    };
    let at_most = layout.encoding.at_most(at_most);
    Ok(Stream::decoded(&source, Box::new(parts), at_most).with_surplus(surplus))
}

/// The voxels of an array of `sizes` (the fastest axis first) in the files that a header names.
///
/// # Errors
/// [`Error::DataFile`], [`Error::Truncated`] for one of the files, [`Error::Header`] for another
/// number of files than the sizes ask for.
pub(super) fn beside(
    header: &Stream,
    names: &FileNames,
    sizes: &[usize],
    layout: Layout,
) -> Result<Stream> {
    let source = header.source().clone();
    let count = names.check_count(sizes).map_err(|fault| fault.of(source.path()))?;
    // The counts divide the sizes, and those the bytes.
    let part_bytes = layout.bytes / count.max(1);
    let folder = source.path().parent().unwrap_or(Path::new(""));
    let mut files = Vec::new();
    let (mut at_most, mut surplus) = (0_u64, 0_u64);
    for name in names.iter() {
        let path = located(folder, &name);
        let length = open_file(&path).and_then(|file| file.metadata()).map_err(|error| {
            Error::DataFile { path: source.path().to_path_buf(), file: path.clone(), source: error }
        })?;
        let length = length.len();
        let skip = layout.with(part_bytes).skip_bytes(&path, Some(length))?;
        let needed = skip.saturating_add(part_bytes);
        if layout.encoding == Encoding::Raw && needed > length {
            return Err(Error::Truncated { path, expected: needed, found: length });
        }
        at_most = at_most.saturating_add(layout.encoding.at_most(length));
        if layout.encoding == Encoding::Raw {
            surplus = surplus.saturating_add(length.saturating_sub(needed));
        }
        files.push((path, skip));
    }
    let surplus = Arc::new(AtomicU64::new(surplus));
    let files = files.into_iter();
    let parts = Parts { layout, part_bytes, files, open: None, surplus: surplus.clone() };
    Ok(Stream::decoded(&source, Box::new(parts), at_most).with_surplus(surplus))
}

/// Where a data file lies that a header names so, perhaps on Windows: with backslashes, in other
/// case, in another Unicode form.
fn located(folder: &Path, name: &str) -> PathBuf {
    let plain = folder.join(name);
    let slashes = folder.join(name.replace('\\', "/"));
    if plain.exists() || slashes.exists() {
        return if plain.exists() { plain } else { slashes };
    }
    let alike = || {
        let (within, name) = (slashes.parent()?, composed(slashes.file_name()?.to_str()?));
        let names = names_in(within).into_iter();
        let mut found = names.filter(|(form, _)| form.to_lowercase() == name.to_lowercase());
        let (_, only) = found.next().filter(|_| found.next().is_none())?;
        Some(within.join(only))
    };
    alike().unwrap_or(plain)
}

/// How a header names the file beside it that is going to hold its voxels.
///
/// # Errors
/// [`Error::Unsupported`] for a name that headers cannot hold: a sign of percent makes a pattern.
pub(super) fn written_beside<'a>(header: &Path, data: &'a Path) -> Result<&'a str> {
    let name = data.file_name().and_then(|name| name.to_str());
    name.filter(|name| !name.contains('%')).ok_or_else(|| Unsupported::DataFileName.of(header))
}

impl Layout {
    fn with(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }

    /// Bytes before the voxels, of a file (or of the rest of one) of `length` bytes.
    fn skip_bytes(&self, path: &Path, length: Option<u64>) -> Result<u64> {
        let behind = match self.skip {
            Skip::Bytes(bytes) | Skip::Stored(bytes) => return Ok(bytes),
            Skip::AllBut(behind) => behind,
        };
        let (Encoding::Raw, 0, Some(length)) = (self.encoding, self.skip_lines, length) else {
            return Err(Unsupported::FromTheEnd.of(path));
        };
        let expected = self.bytes.saturating_add(behind);
        length.checked_sub(expected).ok_or_else(|| Error::Truncated {
            path: path.to_path_buf(),
            expected,
            found: length,
        })
    }

    /// The decoded voxels of a file (or of the rest of one).
    fn opened<R: BufRead + 'static>(
        &self,
        mut from: R,
        skip: u64,
    ) -> std::io::Result<Box<dyn Read>> {
        for _ in 0..self.skip_lines {
            if from.skip_until(b'\n')? == 0 {
                break;
            }
        }
        if self.encoding == Encoding::Deflated && matches!(self.skip, Skip::Bytes(_)) {
            let mut decoded = self.encoding.decoded(from)?;
            skip_bytes(&mut decoded, skip)?;
            return Ok(decoded);
        }
        skip_bytes(&mut from, skip)?;
        self.encoding.decoded(from)
    }
}

fn skip_bytes(from: &mut impl Read, bytes: u64) -> std::io::Result<()> {
    std::io::copy(&mut from.take(bytes), &mut std::io::sink()).map(|_| ())
}

/// The voxels of all files, one file behind the other.
struct Parts {
    layout: Layout,
    /// Bytes of a file's voxels.
    part_bytes: u64,
    /// Files that are not open yet, and the bytes before the voxels in each.
    files: std::vec::IntoIter<(PathBuf, u64)>,
    /// What is being read.
    open: Option<Part>,
    /// Bytes behind the voxels of all files, those of compressed ones once they are read.
    surplus: Arc<AtomicU64>,
}

/// A file's voxels, with its name where it is another file than the header.
type Part = (Option<PathBuf>, Take<Box<dyn Read>>);

impl Parts {
    fn open_next(&mut self, path: PathBuf, skip: u64) -> std::io::Result<()> {
        let reader = open_file(&path)
            .and_then(|file: File| self.layout.opened(BufReader::with_capacity(PIECE, file), skip))
            .map_err(|error| of_file(Some(&path), error))?;
        self.open = Some((Some(path), reader.take(self.part_bytes)));
        Ok(())
    }
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let Some((path, part)) = &mut self.open else {
                match self.files.next() {
                    Some((path, skip)) => self.open_next(path, skip)?,
                    None => return Ok(0),
                }
                continue;
            };
            let n = part.read(buffer).map_err(|error| of_file(path.as_deref(), error))?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            if part.limit() > 0 {
                return Err(of_file(path.as_deref(), ErrorKind::UnexpectedEof.into()));
            }
            if self.layout.encoding == Encoding::Deflated {
                // The checksum is compared where the end is read.
                let mut rest = part.get_mut().take(self.part_bytes.saturating_add(MOST_BEHIND));
                let behind = std::io::copy(&mut rest, &mut std::io::sink())
                    .map_err(|error| of_file(path.as_deref(), error))?;
                self.surplus.fetch_add(behind, Ordering::Relaxed);
            }
            self.open = None;
        }
    }
}

/// An error with the name of the file it is about, where that is another than the header.
fn of_file(path: Option<&Path>, error: IoError) -> IoError {
    match path {
        Some(path) if error.kind() == ErrorKind::UnexpectedEof => IoError::new(
            ErrorKind::InvalidData,
            format!("its data file {} ends before its last voxel; copy it again", path.display()),
        ),
        Some(path) if error.kind() != ErrorKind::Interrupted => {
            IoError::new(error.kind(), format!("its data file {}: {error}", path.display()))
        }
        _ => error,
    }
}
