//! Cases that `dataset.json` lists: the Decathlon's layout, and nnU-Net's raw folders of version 1,
//! where each listed `CASE.nii.gz` stands for the files `CASE_0000.nii.gz`, `CASE_0001.nii.gz`, …,
//! one a channel.

use std::path::Path;

use super::description::{Description, Entry};
use super::{CaseFiles, channel_file};
use crate::io::{Source, stem_and_ending};

/// Training and test cases.
pub(super) fn cases(
    root: &Path,
    description: &mut Description,
) -> (Vec<CaseFiles>, Vec<CaseFiles>) {
    let located = |entries: Vec<Entry>| {
        entries.into_iter().map(|entry| locate(root, entry)).collect::<Vec<_>>()
    };
    let mut training = located(std::mem::take(&mut description.training));
    let mut test = located(std::mem::take(&mut description.test));
    // One case whose files are there settles it for all, so that a missing file is missed by its
    // right name.
    if training
        .iter()
        .chain(&test)
        .any(|case| !exists(&case.images[0]) && exists(&numbered(&case.images[0], 0)))
    {
        for case in training.iter_mut().chain(&mut test) {
            case.images = channel_files(&case.images[0], description.channels.len());
        }
    }
    (training, test)
}

fn locate(root: &Path, entry: Entry) -> CaseFiles {
    let source = |file: &str| Source::from(root.join(file.trim_start_matches("./")));
    let (image, label, subject) = match entry {
        Entry::Image(image) => (image, None, None),
        Entry::Pair { image, label, subject } => (image, label, subject),
    };
    CaseFiles {
        name: stem_and_ending(&image).0.to_string(),
        images: vec![source(&image)],
        label: label.as_deref().map(source),
        subject,
    }
}

fn exists(source: &Source) -> bool {
    source.path().exists()
}

/// The sources of `channels` channels, there or not, and further ones that are there.
fn channel_files(listed: &Source, channels: usize) -> Vec<Source> {
    let sources = (0..).map(|channel| (channel, numbered(listed, channel)));
    sources
        .take_while(|(channel, source)| *channel < channels.max(1) || exists(source))
        .map(|(_, source)| source)
        .collect()
}

fn numbered(listed: &Source, channel: usize) -> Source {
    let name = listed.path().file_name().unwrap_or_default().to_string_lossy();
    let (case, ending) = stem_and_ending(&name);
    listed.path().with_file_name(channel_file(case, channel, ending)).into()
}
