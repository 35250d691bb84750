//! Images by name: files, folders of files, and what must never be overwritten.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use medvol::io::{Source, is_image, is_part_of_another, stem_and_ending};
use medvol::{CaseFiles, Dataset};

use crate::error::{Error, Place, Result};

/// The name of an image file without folder and ending; `None` for other files.
pub fn case_name(path: &Path) -> Option<String> {
    let (stem, ending) = stem_and_ending(path.file_name()?.to_str()?);
    (!ending.is_empty() && !stem.is_empty() && !stem.starts_with('.')).then(|| stem.to_string())
}

/// Endings of files that are no folder's name, and that nothing is written with.
const OTHER_FILES: [&str; 22] = [
    "gz", "bz2", "xz", "zst", "zip", "png", "jpg", "jpeg", "tif", "tiff", "bmp", "npy", "npz",
    "mat", "h5", "mgz", "mgh", "mnc", "gipl", "stl", "vtk", "csv",
];

/// Whether a path that may not be there was meant to be a file.
pub(crate) fn is_of_no_folder(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| OTHER_FILES.iter().any(|other| other.eq_ignore_ascii_case(ending)))
}

/// The name of an image whose slices are the files of a folder: that of the folder. `None` for other
/// folders.
pub fn folder_name(folder: &Path) -> Option<String> {
    let name = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
    let named = || name(folder).or_else(|| name(&folder.canonicalize().ok()?));
    is_image(folder).then(named).flatten()
}

/// How deep below the folder of a patient slices are looked for: study, series, …
const DEEPEST: usize = 5;

/// The folder of slices that a folder is, or leads to because each folder on the way holds nothing
/// but the next; or several, where it leads to more than one.
fn series_in(folder: &Path) -> Vec<PathBuf> {
    let mut within = folder.to_path_buf();
    for _ in 0..DEEPEST {
        if is_image(&within) {
            return vec![within];
        }
        let entries = std::fs::read_dir(&within).into_iter().flatten().flatten();
        let seen = entries.filter(|entry| entry.file_name() != "DICOMDIR");
        let seen = seen.map(|entry| entry.path()).filter(|path| !is_hidden(path));
        let mut seen: Vec<PathBuf> = seen.collect();
        match seen.as_slice() {
            [only] if only.is_dir() => within = seen.remove(0),
            _ => {
                seen.retain(|path| is_image(path));
                seen.sort();
                return if seen.len() > 1 { seen } else { Vec::new() };
            }
        }
    }
    Vec::new()
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// The visible folders in a folder, `(name, path)`, sorted.
pub fn folders_in(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let folders = paths.filter(|path| path.is_dir() && !is_hidden(path));
    let named = folders.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)));
    let mut named: Vec<(String, PathBuf)> = named.collect();
    named.sort();
    named
}

/// The images of a folder, `(name, path)`, sorted: files, and folders of slices.
///
/// A name that is no text is among them, with marks in the place of what cannot be read: it is for
/// [`refuse_odd_name`] to refuse.
///
/// # Errors
/// A folder that cannot be read.
pub fn images_in(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let failed = |e| Error::file("read the folder", folder, e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // Also what turns out to be no file, such as a link to nowhere: better an error than a case
        // that is silently left out.
        if !is_part_of_another(&path) {
            match case_name(&path).or_else(|| odd_name(&path)) {
                Some(name) => found.push((name, path)),
                None => found.extend(image_of_folder(&path)),
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The image whose slices a folder holds, or the only folder within, under the folder's name.
fn image_of_folder(path: &Path) -> Option<(String, PathBuf)> {
    let name = path.file_name()?.to_str()?;
    let [series] = path.is_dir().then(|| series_in(path))?.try_into().ok()?;
    // Media call it so, whoever the patient is.
    let patient = name.eq_ignore_ascii_case("DICOM").then(|| path.parent()).flatten();
    Some((patient.map_or_else(|| name.to_owned(), name_of_folder), series))
}

/// The folders in a folder that hold several series, `(name, path, names of the series)`: which of
/// them is the image, nobody can know.
pub fn several_series_in(folder: &Path) -> Vec<(String, PathBuf, Vec<String>)> {
    let several = |(name, path): (String, PathBuf)| {
        let series = series_in(&path);
        let names = series.iter().map(|series| name_of_folder(series)).collect();
        (series.len() > 1).then_some((name, path, names))
    };
    folders_in(folder).into_iter().filter_map(several).collect()
}

/// What an image file whose name is no text is called in messages.
fn odd_name(path: &Path) -> Option<String> {
    let name = path.file_name().filter(|name| name.to_str().is_none())?;
    case_name(Path::new(&*name.to_string_lossy()))
}

/// Refuses an image whose name is no text, as its results could not be named after it.
///
/// # Errors
/// [`Place::NotUtf8`].
pub fn refuse_odd_name(path: &Path) -> Result<()> {
    match odd_name(path) {
        Some(_) => Err(Error::place(path, Place::NotUtf8)),
        None => Ok(()),
    }
}

/// The visible files and folders of a folder that are no images, sorted: they are not predicted.
pub fn others_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| {
        let image = case_name(path).or_else(|| odd_name(path)).is_some();
        let known = image || is_part_of_another(path) || !series_in(path).is_empty();
        !is_hidden(path) && !known
    });
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.sort();
    paths
}

/// The images of a folder's files, `(name, sources)`: files that nnU-Net would name so
/// (`CASE_0000`, `CASE_0001`, …) are the channels of one image `CASE`, others are each an image.
///
/// A channel that is missing is among the sources all the same, so that it is missed by its name.
/// Files of which each holds as many channels as there should be are images, whatever they are
/// called; where there is one channel, all files must be numbered for their numbers to be left out.
pub fn join_channels(files: Vec<(String, PathBuf)>, channels: usize) -> Vec<(String, Vec<Source>)> {
    let alone = |(name, path): (String, PathBuf)| (name, vec![Source::from(path)]);
    let numbered = |name: &str| {
        let (case, number) = name.rsplit_once('_')?;
        let channel = (number.len() == 4).then(|| number.parse::<usize>().ok())??;
        (!case.is_empty()).then(|| (case.to_string(), channel))
    };
    if channels == 1 && !files.iter().all(|(name, _)| name.ends_with("_0000") && name.len() > 5) {
        return files.into_iter().map(alone).collect();
    }
    let mut cases: BTreeMap<(PathBuf, String), BTreeMap<usize, (String, PathBuf)>> =
        BTreeMap::new();
    let mut images = Vec::new();
    for file in files {
        let Some((case, channel)) = numbered(&file.0) else {
            images.push(alone(file));
            continue;
        };
        let folder = file.1.parent().map(Path::to_path_buf).unwrap_or_default();
        let twice = cases.entry((folder, case.clone())).or_default().insert(channel, file);
        // One image of two files, to be refused for its name.
        images.extend(twice.map(|(_, path)| (case, vec![Source::from(path)])));
    }
    for ((_, case), files) in cases {
        if !files.keys().copied().eq(0..channels) && are_images(files.values(), channels) {
            images.extend(files.into_values().map(alone));
        } else {
            images.push((case, channel_sources(&files, channels)));
        }
    }
    images.sort();
    images
}

/// Whether files, some of which can be read, are each an image of so many channels.
fn are_images<'a>(files: impl Iterator<Item = &'a (String, PathBuf)>, channels: usize) -> bool {
    let opened = files.filter_map(|(_, path)| Source::from(path).open().ok());
    let found: Vec<usize> = opened.map(|opened| opened.grid().channels).collect();
    !found.is_empty() && found.iter().all(|&found| found == channels)
}

/// The sources of the channels that there are and of those that there should be.
fn channel_sources(files: &BTreeMap<usize, (String, PathBuf)>, channels: usize) -> Vec<Source> {
    let last = files.last_key_value().map_or(0, |(&channel, _)| channel);
    // A number far beyond all others is no channel.
    let count = if last < channels + files.len() { channels.max(last + 1) } else { channels };
    let named_like = files.values().next().map(|(_, path)| path.as_path());
    let missing = |channel: usize| {
        let like = named_like.unwrap_or(Path::new(""));
        let name = like.file_name().unwrap_or_default().to_string_lossy();
        let (stem, ending) = stem_and_ending(&name);
        let case = stem.rsplit_once('_').map_or(stem, |(case, _)| case);
        like.with_file_name(format!("{case}_{channel:04}{ending}"))
    };
    (0..count)
        .map(|channel| {
            files.get(&channel).map_or_else(|| missing(channel), |(_, path)| path.clone())
        })
        .map(Source::from)
        .collect()
}

/// Takes out of `items` those that share a name, as their results could not be told apart: the first
/// of each name, with what is wrong.
pub fn take_same_names<T>(
    items: &mut Vec<T>,
    named: impl Fn(&T) -> (&str, &Path),
) -> Vec<(T, Error)> {
    let mut paths: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (name, path) in items.iter().map(&named) {
        paths.entry(name.to_string()).or_default().push(path.into());
    }
    paths.retain(|_, paths| paths.len() > 1);
    let mut taken = Vec::new();
    for item in std::mem::take(items) {
        let name = named(&item).0.to_string();
        let Some(of_name) = paths.get_mut(&name) else {
            items.push(item);
            continue;
        };
        let mut of_name = std::mem::take(of_name).into_iter();
        if let Some((first, second)) = of_name.next().zip(of_name.next()) {
            taken.push((item, Error::SameName { first, second }));
        }
    }
    taken
}

/// All images and label maps of a data set.
pub fn files_of(dataset: &Dataset) -> impl Iterator<Item = &Path> {
    dataset.cases.iter().chain(&dataset.test).flat_map(CaseFiles::sources).map(Source::path)
}

/// Files that belong to the user, and the folders that are read for images.
#[derive(Clone, Debug, Default)]
pub struct Protected {
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Protected {
    /// Adds files, as far as they exist.
    pub fn add<'a>(&mut self, files: impl IntoIterator<Item = &'a Path>) {
        self.files.extend(files.into_iter().filter_map(|path| path.canonicalize().ok()));
    }

    /// Adds a folder whose files are images, or the slices of one.
    pub fn add_folder(&mut self, folder: &Path) {
        self.folders.extend(folder.canonicalize());
    }

    /// Adds the files of a data set, and the folders that they lie in. Its own folder is none: what
    /// lies there is an image only if it is listed.
    pub fn add_data_set(&mut self, dataset: &Dataset) {
        self.add(files_of(dataset));
        for file in files_of(dataset) {
            match file.parent() {
                _ if file.is_dir() => self.add_folder(file),
                Some(folder) if folder != dataset.root => self.add_folder(folder),
                _ => {}
            }
        }
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
                self.add_data_set(&dataset);
            }
        }
    }

    /// Refuses a folder for results in which they would be taken for images.
    ///
    /// # Errors
    /// [`Place::AmongImages`].
    pub fn check_folder(&self, folder: &Path) -> Result<()> {
        if folder.canonicalize().is_ok_and(|folder| self.folders.contains(&folder)) {
            return Err(Error::place(folder, Place::AmongImages));
        }
        Ok(())
    }

    /// Refuses to write to `path` if it is one of these files.
    ///
    /// # Errors
    /// [`Place::Overwrites`].
    pub fn check(&self, path: &Path) -> Result<()> {
        if path.canonicalize().is_ok_and(|path| self.files.contains(&path)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use medvol::{Affine, Image};
    use ndarray::Array4;

    /// A folder of images, each with so many channels, joined for models of `channels` channels:
    /// the names of the images, each with those of its files.
    fn joined(files: &[(&str, usize)], channels: usize) -> Vec<(String, Vec<String>)> {
        let folder = tempfile::tempdir().unwrap();
        for (name, count) in files {
            let voxels = Array4::zeros((*count, 2, 2, 2));
            let image = Image { voxels, affine: Affine::IDENTITY };
            medvol::io::create(folder.path().join(name)).unwrap().image(&image).unwrap();
        }
        let file = |source: &Source| source.path().file_name().unwrap().to_string_lossy().into();
        join_channels(images_in(folder.path()).unwrap(), channels)
            .into_iter()
            .map(|(name, sources)| (name, sources.iter().map(file).collect()))
            .collect()
    }

    fn images(expected: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
        let owned = |files: &[&str]| files.iter().map(|file| file.to_string()).collect();
        expected.iter().map(|(name, files)| (name.to_string(), owned(files))).collect()
    }

    #[test]
    fn numbered_files_are_channels_and_one_that_is_missing_is_missed_by_its_name() {
        assert_eq!(
            joined(&[("a_0000.nii", 1), ("a_0001.nii", 1), ("b_0001.nii", 1), ("c.nii", 2)], 2),
            images(&[
                ("a", &["a_0000.nii", "a_0001.nii"]),
                ("b", &["b_0000.nii", "b_0001.nii"]),
                ("c", &["c.nii"]),
            ])
        );
        // One too many is for the reader of the headers to refuse.
        assert_eq!(
            joined(&[("a_0000.nii", 1), ("a_0001.nii", 1), ("a_0002.nii", 1)], 2),
            images(&[("a", &["a_0000.nii", "a_0001.nii", "a_0002.nii"])])
        );
    }

    #[test]
    fn slices_may_lie_deeper_where_nothing_else_does() {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../medvol/tests/fixtures/dicom");
        let folder = tempfile::tempdir().unwrap();
        let copy = |to: &str| {
            let to = folder.path().join(to);
            std::fs::create_dir_all(&to).unwrap();
            for slice in std::fs::read_dir(Path::new(fixtures).join("explicit")).unwrap() {
                let slice = slice.unwrap();
                std::fs::copy(slice.path(), to.join(slice.file_name())).unwrap();
            }
            to
        };
        let (near, deep) = (copy("p1"), copy("p2/DICOM/ST0/SE0"));
        std::fs::write(folder.path().join("p2/DICOMDIR"), "").unwrap();
        // Which of two series is meant, nobody can know.
        for series in ["p3/SE0", "p3/SE1"] {
            copy(series);
        }
        let expected = [("p1".to_string(), near), ("p2".to_string(), deep)];
        assert_eq!(images_in(folder.path()).unwrap(), expected);
        let several = several_series_in(folder.path());
        let names = ["SE0", "SE1"].map(str::to_owned).to_vec();
        assert_eq!(several, [("p3".to_string(), folder.path().join("p3"), names)]);
        assert!(others_in(folder.path()).is_empty());
        let patient = images_in(&folder.path().join("p2")).unwrap();
        assert_eq!(patient, [("p2".to_string(), folder.path().join("p2/DICOM/ST0/SE0"))]);
    }

    #[test]
    fn those_that_share_a_name_are_taken_out_once() {
        let file = |name: &str, path: &str| (name.to_string(), PathBuf::from(path));
        let mut files = vec![file("a", "a.nii"), file("b", "b.nii"), file("a", "a.mha")];
        let taken = take_same_names(&mut files, |(name, path)| (name, path));
        assert_eq!(files, [file("b", "b.nii")]);
        let [(first, Error::SameName { second, .. })] = &taken[..] else { panic!("{taken:?}") };
        assert_eq!((&first.1, second), (&PathBuf::from("a.nii"), &PathBuf::from("a.mha")));
    }

    #[test]
    fn numbered_files_that_hold_all_channels_are_images() {
        assert_eq!(
            joined(&[("a_0001.nii", 2), ("a_0002.nii", 2), ("a_0007.nii", 2)], 2),
            images(&[
                ("a_0001", &["a_0001.nii"]),
                ("a_0002", &["a_0002.nii"]),
                ("a_0007", &["a_0007.nii"]),
            ])
        );
        assert_eq!(
            joined(&[("a_0000.nii", 1), ("a_0001.nii", 1)], 1),
            images(&[("a_0000", &["a_0000.nii"]), ("a_0001", &["a_0001.nii"])])
        );
        assert_eq!(joined(&[("a_0000.nii", 1)], 1), images(&[("a", &["a_0000.nii"])]));
    }
}
