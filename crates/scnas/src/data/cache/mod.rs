//! Preprocessed cases on disk, one file a case, for runs whose cases do not fit into memory.
//!
//! A folder of them may be shared by runs, folds and processes, also while they fill it: a file is
//! named after the case and all that it was made from, appears whole or not at all, and is never
//! changed. What is normalised by all training cases of a fold is kept as it was before, so that
//! the files are those of every fold: these channels are normalised where they are read, which
//! costs little beside reading them.

mod bricks;
mod file;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use medvol::{Case, CaseFiles, CtSample, CtStatistics};
use ndarray::{Array3, Array4, Axis};

use crate::data::facts::{Box3, Facts};
use crate::data::recipe::Recipe;
use crate::error::{CasesFault, Error, Result};
use file::CaseFile;

pub use file::bytes_of;

/// The ending of the files.
const ENDING: &str = "scnas-case";

/// A temporary file that nobody has written to for so long was left behind.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A folder of preprocessed cases.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    recipe: Recipe,
    /// Names of cases whose files were found damaged, and made again.
    remade: Mutex<Vec<String>>,
}

impl Cache {
    /// The cases of this recipe in a folder, which need not be there yet.
    pub fn new(folder: PathBuf, recipe: Recipe) -> Self {
        Self { folder, recipe, remade: Mutex::default() }
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How its cases are made.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Makes the folder, and removes what a process that was killed has left in it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder)
            .map_err(|e| Error::file("create", &self.folder, e))?;
        medvol::remove_abandoned(&self.folder, ABANDONED);
        Ok(())
    }

    /// A case that is in the cache; `None` where it is to be made, also because its files have
    /// changed.
    ///
    /// # Errors
    /// Files of the case that are not there.
    pub fn open(self: &Arc<Self>, files: &CaseFiles) -> Result<Option<(Facts, CachedCase)>> {
        let made_from = self.recipe.made_from(files)?;
        let path = self.path(&files.name, &made_from);
        let kept = CaseFile::open(&path, &made_from).map(|(file, facts)| {
            let (checksum, cache) = (facts.checksum, self.clone());
            let (files, statistics) = (files.clone(), Vec::new());
            let case = CachedCase { cache, files, made_from, checksum, file, statistics };
            (facts, case)
        });
        Ok(kept)
    }

    /// Writes a case that was made into the cache.
    ///
    /// # Errors
    /// When its file cannot be written, or not be read again.
    pub fn keep(self: &Arc<Self>, files: &CaseFiles, case: &Case) -> Result<(Facts, CachedCase)> {
        let made_from = self.recipe.made_from(files)?;
        self.write(&made_from, case, &Facts::of(case))?;
        let path = || self.path(&files.name, &made_from);
        let changed = || CasesFault::CaseChanged { case: files.name.clone(), path: path() };
        Ok(self.open(files)?.ok_or_else(changed)?)
    }

    fn write(&self, made_from: &str, case: &Case, facts: &Facts) -> Result<()> {
        let Recipe { numbers, .. } = self.recipe;
        let path = self.path(&case.name, made_from);
        file::write(&path, made_from, (case, facts), numbers, self.recipe.unmeasured())
    }

    fn path(&self, name: &str, made_from: &str) -> PathBuf {
        self.folder.join(format!("{name}-{:016x}.{ENDING}", hash(made_from)))
    }

    /// Names of cases whose files were found damaged and made again since this was asked last.
    pub fn remade(&self) -> Vec<String> {
        std::mem::take(&mut *self.remade.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// FNV-1a: the same in every version of this program. That two texts have the same is not believed
/// but seen, as the files hold the texts.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A case whose voxels are read from the cache as they are wanted.
#[derive(Debug)]
pub struct CachedCase {
    cache: Arc<Cache>,
    files: CaseFiles,
    made_from: String,
    checksum: u32,
    file: CaseFile,
    /// Channels that are normalised on the way, and how.
    statistics: Vec<(usize, CtStatistics)>,
}

impl CachedCase {
    /// Voxels of a box, `[channels, depth, height, width]`, normalised.
    ///
    /// # Errors
    /// A damaged file that cannot be made again.
    pub fn image(&self, wanted: &Box3) -> Result<Array4<f32>> {
        let mut image = self.read(|file| file.image(wanted))?;
        for (channel, statistics) in &self.statistics {
            statistics.normalise(image.index_axis_mut(Axis(0), *channel));
        }
        Ok(image)
    }

    /// Class indices of a box, `[depth, height, width]`.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn classes(&self, wanted: &Box3) -> Result<Array3<u8>> {
        self.read(|file| file.classes(wanted))
    }

    /// Values of a channel before it is normalised.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn sample(&self, channel: usize) -> Result<CtSample> {
        self.read(|file| file.sample(channel))
    }

    /// Normalises a channel from now on.
    pub fn normalise(&mut self, channel: usize, statistics: CtStatistics) {
        self.statistics.push((channel, statistics));
    }

    /// What is read of the file; where that fails, the file is made again first.
    fn read<T>(&self, read: impl Fn(&CaseFile) -> std::io::Result<T>) -> Result<T> {
        if let Ok(found) = read(&self.file) {
            return Ok(found);
        }
        let (cache, path) = (&self.cache, self.file.path());
        let case = cache.recipe.make(&self.files)?;
        let facts = Facts::of(&case);
        if facts.checksum != self.checksum {
            return Err(CasesFault::CaseChanged { case: case.name, path: path.into() }.into());
        }
        cache.begin()?;
        cache.write(&self.made_from, &case, &facts)?;
        cache.remade.lock().unwrap_or_else(PoisonError::into_inner).push(case.name);
        read(&self.file).map_err(|e| Error::file("read", path, e))
    }
}
