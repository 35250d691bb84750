//! Files that belong to no case, cases that are not there, and words of the description that are not
//! used.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Finding, Kind};
use crate::class_map::Label;
use crate::dataset::{CaseFiles, Dataset, Notice};
use crate::io::{Source, is_image, is_packed, is_part_of_another, known_by, stem_and_ending};

/// Files that are named where many are found.
const NAMED: usize = 3;

/// Compares the number of cases with what is announced and what is needed, and says which words of
/// the description are not used.
pub(super) fn counts(dataset: &Dataset) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, announced, cases, what) in [
        ("numTraining", dataset.announced, &dataset.cases, "training"),
        ("numTest", dataset.announced_test, &dataset.test, "test"),
    ] {
        if let Some(announced) = announced.filter(|announced| *announced != cases.len()) {
            findings.push(Finding::warning(
                Kind::CaseCount,
                format!("{key:?} is {announced}, but there are {} {what} cases", cases.len()),
                "look for cases that got lost, or correct the number",
            ));
        }
    }
    if dataset.cases.iter().all(|case| case.label.is_none())
        && !(dataset.cases.is_empty() && dataset.test.is_empty())
    {
        let remedy = "add label maps if it is meant for training";
        findings.push(Finding::warning(
            Kind::NoLabel,
            "no case has a label map: nothing can be trained",
            remedy,
        ));
    }
    // Values of regions are called like the regions they lie in.
    let labels = dataset.labels.iter().filter(|_| dataset.target.is_classes());
    for (n, label) in labels.enumerate() {
        let same = |before: &&Label| before.name == label.name;
        if let Some(before) = dataset.labels[..n].iter().find(same) {
            let (first, second, name) = (before.value, label.value, &label.name);
            let message = format!("labels {first} and {second} are both called {name:?}");
            let remedy = "give each its own name, so that tables tell them apart";
            findings.push(Finding::warning(Kind::Unused, message, remedy));
        }
    }
    let labelled = dataset.test.iter().filter(|case| case.label.is_some()).count();
    if labelled > 0 {
        let message = format!(
            "the label maps of {labelled} test case(s) are not used: test cases are only predicted"
        );
        let remedy = "to score predictions of them: scnas evaluate PREDICTIONS with the folder of \
                      these label maps";
        findings.push(Finding::note(Kind::Unused, message, remedy));
    }
    for Notice { text, remedy } in &dataset.notices {
        findings.push(Finding::warning(Kind::Unused, text, *remedy));
    }
    if !dataset.unknown_keys.is_empty() {
        findings.push(Finding::note(
            Kind::Unused,
            format!("keys without a meaning here: {}", dataset.unknown_keys.join(", ")),
            "look for a misspelt one",
        ));
    }
    findings
}

/// Files that stand for two things: the image of a case that is its label map too, two channels
/// that are one file, one label map for several cases.
pub(super) fn shared(dataset: &Dataset) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut label_maps: BTreeMap<&Path, &str> = BTreeMap::new();
    let shown = |source: &Source| {
        let path = source.path();
        path.strip_prefix(&dataset.root).unwrap_or(path).display().to_string()
    };
    for case in &dataset.cases {
        let of_case = |finding: Finding| Finding { case: Some(case.name.clone()), ..finding };
        if let Some(label) = case.label.as_ref().filter(|label| case.images.contains(label)) {
            findings.push(of_case(Finding::error(
                Kind::DuplicateImage,
                format!("{} is listed as image and as label map", shown(label)),
                "list the image itself",
            )));
        }
        let twice = |(n, image): &(usize, &Source)| case.images[..*n].contains(image);
        if let Some((n, image)) = case.images.iter().enumerate().find(twice) {
            findings.push(of_case(Finding::warning(
                Kind::DuplicateImage,
                format!("{} is listed twice as a channel, the second time as {n}", shown(image)),
                "list the file of the other channel",
            )));
        }
        let Some(label) = &case.label else { continue };
        match label_maps.entry(label.path()) {
            Entry::Vacant(entry) => drop(entry.insert(&case.name)),
            Entry::Occupied(entry) => findings.push(of_case(Finding::warning(
                Kind::DuplicateImage,
                format!("{} is also the label map of {}", shown(label), entry.get()),
                "list its own label map",
            ))),
        }
    }
    findings
}

/// What lies beside the files of the cases (of those with label maps, if `labelled_only`) and
/// belongs to none.
///
/// A CSV or JSON file from elsewhere chooses among many files, so that those it does not choose say
/// nothing.
pub(super) fn unlisted(dataset: &Dataset, labelled_only: bool) -> Vec<Finding> {
    if !dataset.description.ends_with("dataset.json") || dataset.table.is_some() {
        return Vec::new();
    }
    let all = || dataset.cases.iter().chain(&dataset.test);
    let mut used: BTreeSet<&Path> = all().flat_map(CaseFiles::sources).map(Source::path).collect();
    // Who names the voxels of a pair uses its header too.
    let headers: Vec<PathBuf> = used.iter().filter_map(|file| known_by(file)).collect();
    used.extend(headers.iter().map(PathBuf::as_path));
    let folders: BTreeSet<&Path> = all()
        .filter(|case| !labelled_only || case.label.is_some())
        .flat_map(CaseFiles::sources)
        .filter_map(|source| source.path().parent())
        .filter(|folder| folder.starts_with(&dataset.root) && *folder != dataset.root)
        .collect();
    let [mut odd, mut images, mut packed, mut others] = [const { Vec::new() }; 4];
    for path in folders.into_iter().flat_map(visible) {
        let holds_used = || path.is_dir() && used.iter().any(|file| file.starts_with(&path));
        if used.contains(path.as_path()) || holds_used() || is_part_of_another(&path) {
            continue;
        }
        let name = path.file_name().unwrap_or_default();
        if name.to_str().is_none() {
            odd.push(path);
        } else if !stem_and_ending(&name.to_string_lossy()).1.is_empty() || holds_images(&path) {
            images.push(path);
        } else if is_packed(&name.to_string_lossy()) {
            packed.push(path);
        } else {
            others.push(path);
        }
    }
    let mut findings = Vec::new();
    let mut say = |paths: Vec<PathBuf>, finding: fn(String) -> Finding, what: &str| {
        let shown =
            |path: &PathBuf| path.strip_prefix(&dataset.root).unwrap_or(path).display().to_string();
        let first: Vec<String> = paths.iter().take(NAMED).map(shown).collect();
        let first = first.join(", ");
        match paths.len() {
            0 => {}
            1 => findings.push(finding(format!("{first} {what}"))),
            n => findings.push(finding(format!("{n} files, such as {first}: each {what}"))),
        }
    };
    let odd_name = match dataset.listed {
        true => |message| {
            Finding::warning(Kind::UnlistedFile, message, "rename it if it should be used")
        },
        // The file is a case, or a part of one.
        false => |message| Finding::error(Kind::UnlistedFile, message, "rename it"),
    };
    say(odd, odd_name, "is left out, as its name is not UTF-8");
    let image = |message| {
        let remedy =
            "add it to the description, or name it as the other files, if it should be used";
        Finding::warning(Kind::UnlistedFile, message, remedy)
    };
    say(images, image, "belongs to no case and is left out");
    let compressed = |message| {
        let remedy = "decompress it if it should be used";
        Finding::warning(Kind::UnlistedFile, message, remedy)
    };
    say(packed, compressed, "is compressed in a way that is not read, and is left out");
    let other = |message| {
        let remedy = "convert it if it is an image that should be used";
        Finding::note(Kind::UnlistedFile, message, remedy)
    };
    say(others, other, "is in no format that is known by its name, or a folder, and is left out");
    findings.extend(folders_beside(dataset, &used));
    let of_test = dataset.root.join("labelsTs");
    if !visible(&of_test).is_empty() && !used.iter().any(|file| file.starts_with(&of_test)) {
        let remedy = "to score predictions of the test cases: scnas evaluate PREDICTIONS labelsTs";
        let message = "labelsTs is not used: test cases are only predicted";
        findings.push(Finding::note(Kind::UnlistedFile, message, remedy));
    }
    findings
}

/// Whether a folder is an image, or has some in it.
fn holds_images(path: &Path) -> bool {
    let is_named = |file: &PathBuf| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        name.is_some_and(|name| !stem_and_ending(&name).1.is_empty())
    };
    path.is_dir() && (is_image(path) || visible(path).iter().any(is_named))
}

/// Folders of images in the data set's own folder of which no case has a file.
fn folders_beside(dataset: &Dataset, used: &BTreeSet<&Path>) -> Vec<Finding> {
    // Where no case is known, what is wrong with the description is said.
    if used.is_empty() {
        return Vec::new();
    }
    // A description may name its files by another way to the same folder.
    let full = |path: &&Path| {
        let folder = if path.is_dir() { path } else { path.parent()? };
        folder.canonicalize().ok()
    };
    let in_use: BTreeSet<PathBuf> = used.iter().filter_map(full).collect();
    let is_used = |folder: &Path| {
        let folder = folder.canonicalize();
        folder.is_ok_and(|folder| in_use.iter().any(|within| within.starts_with(&folder)))
    };
    let images = |folder: &Path| {
        let files = visible(folder).into_iter().filter(|path| !path.is_dir());
        let named =
            |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        files
            .filter_map(|path| named(&path))
            .filter(|name| !stem_and_ending(name).1.is_empty())
            .count()
    };
    let mut findings = Vec::new();
    for folder in visible(&dataset.root).into_iter().filter(|path| path.is_dir()) {
        let Some(name) = folder.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            continue;
        };
        let said = name == "labelsTs" || (name == "labelsTr" && dataset.labelled().is_empty());
        let found = if said || is_used(&folder) { 0 } else { images(&folder) };
        if found == 0 {
            continue;
        }
        let message = format!("{found} file(s) in {name} belong to no case and are left out");
        let remedy = "add them to the description, or move them into the folders that are read, if \
                      they should be used";
        let meant = name.starts_with("images") || name.starts_with("labels");
        let finding = if meant { Finding::warning } else { Finding::note };
        findings.push(finding(Kind::UnlistedFile, message, remedy));
    }
    findings
}

/// What lies in a folder, sorted; hidden files such as the `._*` of archives made on a Mac are
/// nobody's images.
fn visible(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let visible = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    let mut paths: Vec<PathBuf> = visible.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
