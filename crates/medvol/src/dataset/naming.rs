//! What cases are called that nobody named: by their images, or, where many share a file's name, by
//! the folders that tell them apart.

use std::collections::BTreeSet;

use crate::io::stem_and_ending;
use crate::text::composed;

/// A name for each image (of several files of one, the first): `case_1` for `imagesTr/case_1.nii`;
/// where that is not enough, `s0000` for `s0000/ct.nii.gz`, or `p1_s2` for `p1/s2/mri/t1.nii`.
pub(super) fn names(images: &[&str]) -> Vec<String> {
    if let Some(names) = names_of_files(images) {
        return names;
    }
    let paths: Vec<Vec<String>> = images.iter().map(|image| parts(image)).collect();
    let shared = |at: &dyn Fn(&Vec<String>, usize) -> Option<String>| {
        let same = |n: &usize| {
            let first = paths.first().and_then(|path| at(path, *n));
            first.is_some() && paths.iter().all(|path| at(path, *n) == first)
        };
        (0..).take_while(same).count()
    };
    let shortest = paths.iter().map(Vec::len).min().unwrap_or(1);
    let before = shared(&|path, n| path.get(n).cloned()).min(shortest - 1);
    let behind = shared(&|path, n| path.iter().rev().nth(n).cloned());
    // Something must be left of each.
    let behind = if before + behind < shortest { behind } else { 0 };
    paths.iter().map(|path| path[before..path.len() - behind].join("_")).collect()
}

/// The names of the files alone, if they tell the images apart.
pub(super) fn names_of_files(images: &[&str]) -> Option<Vec<String>> {
    let paths: Vec<Vec<String>> = images.iter().map(|image| parts(image)).collect();
    let stems: Vec<&String> = paths.iter().filter_map(|parts| parts.last()).collect();
    // The same file twice is a mistake, which no name can put right.
    let all: BTreeSet<&Vec<String>> = paths.iter().collect();
    let distinct: BTreeSet<&String> = stems.iter().copied().collect();
    (distinct.len() == all.len()).then(|| stems.into_iter().cloned().collect())
}

/// Folders and the file's name without ending.
fn parts(image: &str) -> Vec<String> {
    let slashes = image.trim().replace('\\', "/");
    let mut parts: Vec<String> = slashes
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".." | "~") && !part.ends_with(':'))
        .map(composed)
        .collect();
    if let Some(name) = parts.pop() {
        parts.push(stem_and_ending(&name).0.to_string());
    }
    // A path of nothing but a file's name has no folders, and one of nothing has no name.
    if parts.is_empty() { vec![String::new()] } else { parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_named_after_what_tells_them_apart() {
        for (images, expected) in [
            (vec!["./imagesTr/a.1.nii.gz", "imagesTr/b.nii"], vec!["a.1", "b"]),
            (vec!["s0000/ct.nii.gz", "s0001/ct.nii.gz"], vec!["s0000", "s0001"]),
            (vec![".\\data\\s0\\ct.nii", "./data/s1/ct.nii"], vec!["s0", "s1"]),
            (
                vec!["p1/s1/mri/t1.nii", "p1/s2/mri/t1.nii", "p2/s1/mri/t1.nii"],
                vec!["p1_s1", "p1_s2", "p2_s1"],
            ),
            (vec!["a/x.nii", "b/x.nii", "b/y.nii"], vec!["a_x", "b_x", "b_y"]),
            (vec!["a/x.nii", "a/x.nii", "b/y.nii"], vec!["x", "x", "y"]),
            (vec!["x.nii", "y/x.nii.gz"], vec!["x", "y_x"]),
            (vec!["s0/ct.nii"], vec!["ct"]),
            (vec![""], vec![""]),
        ] {
            assert_eq!(names(&images), expected, "{images:?}");
        }
    }
}
