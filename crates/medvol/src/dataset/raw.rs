//! nnU-Net's raw folders of version 2: the cases are the files `CASE_0000<ending>`,
//! `CASE_0001<ending>`, … in `imagesTr` and `imagesTs` with `CASE<ending>` in `labelsTr`, or those
//! that the key `dataset` maps to files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::description::Description;
use super::{CaseFiles, channel_file};
use crate::io::{Source, default_ending, endings};

/// Training and test cases.
pub(super) fn cases(
    root: &Path,
    description: &mut Description,
    problems: &mut Vec<String>,
) -> (Vec<CaseFiles>, Vec<CaseFiles>) {
    let ending = description.file_ending.as_deref().unwrap_or(default_ending());
    if !endings().any(|readable| readable == ending) {
        problems.push(format!(
            "\"file_ending\" is {ending:?}; only {} can be read: convert the images",
            endings().collect::<Vec<_>>().join(" and ")
        ));
        return (Vec::new(), Vec::new());
    }
    let channels = description.channels.len().max(1);
    let training = match description.mapping.take() {
        Some(mapping) => {
            let source = |file: &String| Source::from(root.join(file));
            mapping
                .into_iter()
                .map(|(name, files)| {
                    if files.images.is_empty() {
                        problems.push(format!("case {name:?} under \"dataset\" has no images"));
                    }
                    let images = files.images.iter().map(source).collect();
                    CaseFiles {
                        name,
                        images,
                        label: files.label.as_ref().map(source),
                        subject: None,
                    }
                })
                .filter(|case: &CaseFiles| !case.images.is_empty())
                .collect()
        }
        None => {
            // A label map without an image is a case too: one whose image is missing.
            let mut found = images(&root.join("imagesTr"), ending, channels);
            let names = files(&root.join("labelsTr"));
            for name in names.iter().filter_map(|name| name.strip_suffix(ending)) {
                found.entry(name.to_string()).or_insert(channels);
            }
            let labels = root.join("labelsTr");
            let label = |name: &str| Some(labels.join(format!("{name}{ending}")).into());
            found
                .into_iter()
                .map(|(name, channels)| {
                    case(&root.join("imagesTr"), &name, channels, ending, label(&name))
                })
                .collect()
        }
    };
    let test_folder = root.join("imagesTs");
    let test = images(&test_folder, ending, channels);
    (
        training,
        test.into_iter()
            .map(|(name, channels)| case(&test_folder, &name, channels, ending, None))
            .collect(),
    )
}

fn case(
    folder: &Path,
    name: &str,
    channels: usize,
    ending: &str,
    label: Option<Source>,
) -> CaseFiles {
    let images = (0..channels)
        .map(|channel| folder.join(channel_file(name, channel, ending)).into())
        .collect();
    CaseFiles { name: name.to_string(), images, label, subject: None }
}

/// Cases of a folder, each with its number of channels: as many as there should be, or more if
/// there are more.
fn images(folder: &Path, ending: &str, channels: usize) -> BTreeMap<String, usize> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for file in files(folder) {
        let numbered = file.strip_suffix(ending).and_then(|stem| stem.rsplit_once('_'));
        let Some((case, number)) = numbered.filter(|(_, number)| number.len() == 4) else {
            continue;
        };
        let Some(channel) = number.parse::<usize>().ok() else { continue };
        let count = found.entry(case.to_string()).or_insert(channels);
        *count = (*count).max(channel + 1);
    }
    found
}

/// Names of the visible files of a folder, sorted; none of a folder that is not there.
fn files(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| !name.starts_with('.')).collect()
}
