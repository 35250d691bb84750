//! nnU-Net's raw folders of version 2: the cases are the files `CASE_0000<ending>`,
//! `CASE_0001<ending>`, … in `imagesTr` and `imagesTs` with `CASE<ending>` in `labelsTr`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::entry::Found;
use super::said::Said;
use super::{CaseFiles, channel_file};
use crate::io::{Source, endings};
use crate::text::names_in;

/// The files of a case's channels that are there.
type Channels = BTreeMap<usize, PathBuf>;

/// Training and test cases; `ending` has its dot and is in lower case.
pub(super) fn cases(
    root: &Path,
    ending: &str,
    channels: usize,
    said: &mut Said,
) -> [Vec<Found>; 2] {
    if !endings().any(|readable| readable == ending) {
        said.problem(format!(
            "\"file_ending\" is {ending:?}; only {} can be read: convert the images",
            endings().collect::<Vec<_>>().join(" and ")
        ));
        return [Vec::new(), Vec::new()];
    }
    let [images, labels, test] = ["imagesTr", "labelsTr", "imagesTs"].map(|name| root.join(name));
    let mut maps: BTreeMap<String, PathBuf> = files(&labels, ending).collect();
    let mut found = images_in(&images, ending);
    // A label map without an image is a case too: one whose image is missing.
    for name in maps.keys() {
        found.entry(name.clone()).or_default();
    }
    let training = found.into_iter().map(|(name, there)| {
        let label = maps.remove(&name).unwrap_or_else(|| labels.join(format!("{name}{ending}")));
        let label = Some(label.into());
        case(&images, name, there, channels, ending, label)
    });
    let training = training.collect();
    let test = images_in(&test, ending)
        .into_iter()
        .map(|(name, there)| case(&test, name, there, channels, ending, None))
        .collect();
    [training, test]
}

/// A case with as many channels as there should be, there or not, or more if there are more.
fn case(
    folder: &Path,
    name: String,
    mut there: Channels,
    channels: usize,
    ending: &str,
    label: Option<Source>,
) -> Found {
    let last = there.last_key_value().map_or(0, |(channel, _)| channel + 1);
    let image = |channel| {
        let missing = || folder.join(channel_file(&name, channel, ending));
        there.remove(&channel).unwrap_or_else(missing).into()
    };
    let images = (0..last.max(channels)).map(image).collect();
    let place = format!("{} of {}", name, folder.display());
    Found { place, files: CaseFiles { name, images, label, subject: None }, fold: None }
}

/// The cases of a folder.
fn images_in(folder: &Path, ending: &str) -> BTreeMap<String, Channels> {
    let mut found: BTreeMap<String, Channels> = BTreeMap::new();
    for (stem, path) in files(folder, ending) {
        let numbered = stem.rsplit_once('_').filter(|(case, n)| n.len() == 4 && !case.is_empty());
        let channel = numbered.and_then(|(case, number)| Some((case, number.parse().ok()?)));
        if let Some((case, channel)) = channel {
            found.entry(case.to_string()).or_default().insert(channel, path);
        }
    }
    found
}

/// The files of a folder that end so, in upper or lower case: name without ending, and path.
fn files(folder: &Path, ending: &str) -> impl Iterator<Item = (String, PathBuf)> {
    names_in(folder).into_iter().filter_map(move |(form, name)| {
        let (stem, end) = form.split_at_checked(form.len().checked_sub(ending.len())?)?;
        let matches = end.eq_ignore_ascii_case(ending) && !stem.is_empty();
        matches.then(|| (stem.to_string(), folder.join(name)))
    })
}
