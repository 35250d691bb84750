//! Files that belong to no case, and cases that are not there.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Finding, Kind};
use crate::dataset::{CaseFiles, Dataset};
use crate::io::{Source, is_part_of_another, stem_and_ending};

/// Compares the number of cases with what is announced and what is needed.
pub(super) fn counts(dataset: &Dataset) -> Vec<Finding> {
    let found = dataset.cases.len();
    let mut findings = Vec::new();
    if let Some(announced) = dataset.announced.filter(|announced| *announced != found) {
        let message =
            format!("\"numTraining\" is {announced}, but there are {found} training cases");
        findings.push(Finding::warning(
            Kind::CaseCount,
            message,
            "look for cases that got lost, or correct the number",
        ));
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
    findings
}

/// Visible image files in the folders of a data set that no case uses.
///
/// A CSV file chooses among many files, so that those it does not choose say nothing.
pub(super) fn unlisted(dataset: &Dataset) -> Vec<Finding> {
    if dataset.table.is_some() {
        return Vec::new();
    }
    let used: BTreeSet<&Path> = dataset
        .cases
        .iter()
        .chain(&dataset.test)
        .flat_map(CaseFiles::sources)
        .map(Source::path)
        .collect();
    let folders: BTreeSet<&Path> = used
        .iter()
        .filter_map(|path| path.parent())
        .filter(|folder| folder.starts_with(&dataset.root))
        .collect();
    let mut findings = Vec::new();
    for folder in folders {
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        for path in
            paths.iter().filter(|path| is_visible_image(path) && !used.contains(path.as_path()))
        {
            let shown = path.strip_prefix(&dataset.root).unwrap_or(path).display();
            let remedy = "add it to the description if it should be used; it is ignored";
            findings.push(Finding::note(
                Kind::UnlistedFile,
                format!("{shown} belongs to no case"),
                remedy,
            ));
        }
    }
    findings
}

/// Hidden files such as the `._*` of archives made on a Mac are nobody's images.
fn is_visible_image(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with('.') && !stem_and_ending(&name).1.is_empty() && !is_part_of_another(path)
}
