//! Images by name: files, folders of files, and what must never be overwritten.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use medvol::io::{Source, stem_and_ending};
use medvol::{CaseFiles, Dataset};

use crate::error::{Error, Place, Result};

/// The name of an image file without folder and ending; `None` for other files.
pub fn case_name(path: &Path) -> Option<String> {
    let (stem, ending) = stem_and_ending(path.file_name()?.to_str()?);
    (!ending.is_empty() && !stem.is_empty() && !stem.starts_with('.')).then(|| stem.to_string())
}

/// The image files of a folder, `(name, path)`, sorted.
///
/// # Errors
/// A folder that cannot be read; a file whose name is no text.
pub fn images_in(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let failed = |e| Error::file("read the folder", folder, e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default();
        if name.to_str().is_none() && !stem_and_ending(&name.to_string_lossy()).1.is_empty() {
            return Err(Error::place(&path, Place::NotUtf8));
        }
        // Also what turns out to be no file, such as a link to nowhere: better an error than a case
        // that is silently left out.
        found.extend(case_name(&path).map(|name| (name, path)));
    }
    found.sort();
    Ok(found)
}

/// The images of a folder's files, `(name, sources)`. Where every file is one of exactly `channels`
/// that nnU-Net would name so (`CASE_0000`, `CASE_0001`, …), each `CASE` is one image; otherwise
/// each file is.
pub fn join_channels(files: Vec<(String, PathBuf)>, channels: usize) -> Vec<(String, Vec<Source>)> {
    let mut cases: BTreeMap<&str, Vec<Source>> = BTreeMap::new();
    let mut numbered = true;
    // In order of names, and so of channels.
    let sorted: BTreeSet<&(String, PathBuf)> = files.iter().collect();
    for (name, path) in sorted {
        let (case, number) = name.rsplit_once('_').unwrap_or((name, ""));
        let found = cases.entry(case).or_default();
        numbered &= !case.is_empty() && number == format!("{:04}", found.len());
        found.push(path.into());
    }
    if numbered && cases.values().all(|files| files.len() == channels) {
        return cases.into_iter().map(|(case, files)| (case.to_string(), files)).collect();
    }
    files.into_iter().map(|(name, path)| (name, vec![path.into()])).collect()
}

/// Refuses names that two files share: their results could not be told apart.
///
/// # Errors
/// [`Error::SameName`].
pub fn refuse_same_names<'a>(files: impl IntoIterator<Item = (&'a str, &'a Path)>) -> Result<()> {
    let mut sorted: Vec<(&str, &Path)> = files.into_iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(Error::SameName { first: pair[0].1.into(), second: pair[1].1.into() }),
        None => Ok(()),
    }
}

/// All images and label maps of a data set.
pub fn files_of(dataset: &Dataset) -> impl Iterator<Item = &Path> {
    dataset.cases.iter().chain(&dataset.test).flat_map(CaseFiles::sources).map(Source::path)
}

/// Files that belong to the user.
#[derive(Clone, Debug, Default)]
pub struct Protected(BTreeSet<PathBuf>);

impl Protected {
    /// Adds files, as far as they exist.
    pub fn add<'a>(&mut self, files: impl IntoIterator<Item = &'a Path>) {
        self.0.extend(files.into_iter().filter_map(|path| path.canonicalize().ok()));
    }

    /// Adds the files of data sets, should `output` lie in one or in one of its folders, or beside
    /// the CSV file of one.
    pub fn add_data_set_around(&mut self, output: &Path) {
        let Ok(output) = output.canonicalize() else { return };
        for folder in output.ancestors().take(2) {
            let within =
                std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            let near = within.filter(|path| path.is_file()).chain([folder.to_path_buf()]);
            for dataset in
                near.filter(|path| Dataset::is_at(path)).filter_map(|path| Dataset::open(path).ok())
            {
                self.add(files_of(&dataset));
            }
        }
    }

    /// Refuses to write to `path` if it is one of these files.
    ///
    /// # Errors
    /// [`Place::Overwrites`].
    pub fn check(&self, path: &Path) -> Result<()> {
        if path.canonicalize().is_ok_and(|path| self.0.contains(&path)) {
            return Err(Error::place(path, Place::Overwrites));
        }
        Ok(())
    }
}

/// The last part of a folder's full name; of a file (a data set can be one), without its ending.
pub fn name_of_folder(folder: &Path) -> String {
    let full = folder.canonicalize().unwrap_or_else(|_| folder.into());
    let name = if full.is_file() { full.file_stem() } else { full.file_name() };
    name.map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned())
}
