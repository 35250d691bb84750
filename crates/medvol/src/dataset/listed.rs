//! Cases that a description lists: the Decathlon's layout and MONAI's lists, nnU-Net's mapping, and
//! its raw folders of version 1, where each listed `CASE.nii.gz` stands for the files
//! `CASE_0000.nii.gz`, `CASE_0001.nii.gz`, …, one a channel.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::channel_file;
use super::description::Description;
use super::entry::{Found, locate};
use super::locate::Locator;
use crate::io::Source;

/// Training, validation and test cases.
pub(super) fn cases(description: &mut Description, locator: &Locator) -> [Vec<Found>; 3] {
    let channels = description.channel_count();
    let Description { training, validation, test, .. } = description;
    let lists = [training, validation, test].map(|list| list.take().unwrap_or_default());
    let mut lists = locate(lists, locator);
    // One case whose files are there settles it for all, so that a missing file is missed by its
    // right name.
    let by_channel = |case: &Found| match case.files.images.as_slice() {
        [image] => !image.path().exists() && numbered(image, 0, locator).path().exists(),
        _ => false,
    };
    if lists.iter().flatten().any(by_channel) {
        for case in lists.iter_mut().flatten().filter(|case| case.files.images.len() == 1) {
            case.files.images = channel_files(&case.files.images[0], channels, locator);
        }
    }
    // Or its first channel alone is listed, and the others lie beside it.
    let used: BTreeSet<PathBuf> = lists.iter().flatten().flat_map(paths).collect();
    for case in lists.iter_mut().flatten().filter(|_| channels > 1) {
        let [first] = case.files.images.as_slice() else { continue };
        let Some(listed) = without_number(first) else { continue };
        let second = numbered(&listed, 1, locator);
        if second.path().exists() && !used.contains(second.path()) {
            case.files.images = channel_files(&listed, channels, locator);
        }
    }
    lists
}

fn paths(case: &Found) -> impl Iterator<Item = PathBuf> {
    case.files.images.iter().map(|image| image.path().to_path_buf())
}

/// What nnU-Net would list for the file of a first channel.
fn without_number(image: &Source) -> Option<Source> {
    let (stem, ending) = image.stem_and_ending();
    let case = stem.strip_suffix("_0000").filter(|case| !case.is_empty())?;
    Some(image.path().with_file_name(format!("{case}{ending}")).into())
}

/// The sources of `channels` channels, there or not, and further ones that are there.
fn channel_files(listed: &Source, channels: usize, locator: &Locator) -> Vec<Source> {
    let sources = (0..).map(|channel| (channel, numbered(listed, channel, locator)));
    sources
        .take_while(|(channel, source)| *channel < channels || source.path().exists())
        .map(|(_, source)| source)
        .collect()
}

fn numbered(listed: &Source, channel: usize, locator: &Locator) -> Source {
    let (case, ending) = listed.stem_and_ending();
    locator.there(listed.path().with_file_name(channel_file(case, channel, ending))).into()
}
