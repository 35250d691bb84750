//! nnU-Net's raw folders of version 2: the cases are the files `CASE_0000<ending>`,
//! `CASE_0001<ending>`, … in `imagesTr` and `imagesTs` with `CASE<ending>` in `labelsTr`. A file that
//! is there with another ending than the description says is read where it can only be meant for one
//! that is missing; so is an image of one channel that lacks the number, and a label map that is
//! called `CASE_seg` or `CASE_0000`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::entry::Found;
use super::said::Said;
use super::words::case_of_label_map;
use super::{CaseFiles, channel_file};
use crate::io::{Source, endings, is_part_of_another, stem_and_ending};
use crate::text::names_in;

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
    let [images, mut labels, test] =
        ["imagesTr", "labelsTr", "imagesTs"].map(|name| Folder::read(root, name, ending, said));
    labels.call_as(&images, said);
    let (as_said, others) = (|files: &Files| files.as_said, |files: &Files| !files.as_said);
    let alone = |name: &String| channels == 1 && images.is_unnumbered(name);
    let unnumbered: BTreeSet<String> =
        labels.stems(|_| true).into_iter().filter(|name| alone(name)).collect();
    // A label map without an image is a case too: one whose image is missing.
    let mut training = images.cases(as_said, &unnumbered);
    training.extend(labels.stems(as_said));
    let labelled = labels.stems(others);
    let of_others = images.cases(others, &unnumbered);
    training.extend(of_others.into_iter().filter(|name| labelled.contains(name)));
    training.extend(unnumbered.iter().cloned());
    let training = training.into_iter().map(|name| {
        let label = labels.file(&name).into();
        images.case(name, channels, Some(label))
    });
    let training = training.collect();
    // Who leaves the numbers out, does so everywhere.
    let alone = |name: &String| !unnumbered.is_empty() && test.is_unnumbered(name);
    let unnumbered_test: BTreeSet<String> =
        test.stems(|_| true).into_iter().filter(|name| alone(name)).collect();
    let mut tested = test.cases(|_| true, &unnumbered_test);
    tested.extend(unnumbered_test.iter().cloned());
    let tested = tested.into_iter().map(|name| test.case(name, channels, None)).collect();
    if let Some(first) = unnumbered.first() {
        said.notice(
            format!(
                "{} image(s) lack the number of their channel, such as {first}: read all the same",
                unnumbered.len() + unnumbered_test.len()
            ),
            "none needed if these are the images; nnU-Net wants _0000 behind the name of a case",
        );
    }
    let stand_ins = [images, labels, test].map(|folder| folder.stand_ins.into_inner()).concat();
    if let Some(first) = stand_ins.first() {
        let first = first.strip_prefix(root).unwrap_or(first);
        said.notice(
            format!(
                "{} file(s) have another ending than \"file_ending\", which is {ending:?}, such as \
                 {}: read all the same",
                stand_ins.len(),
                first.display()
            ),
            "none needed if these are the files meant; other programs leave them out",
        );
    }
    [training, tested]
}

/// The files of a folder that have one name but for their endings.
#[derive(Debug, Default)]
struct Files {
    paths: Vec<PathBuf>,
    /// Whether they end as the description says; then others do not count.
    as_said: bool,
}

/// A folder of images or of label maps.
struct Folder<'a> {
    path: PathBuf,
    ending: &'a str,
    /// By name without ending.
    files: BTreeMap<String, Files>,
    /// Files that were taken for others.
    stand_ins: RefCell<Vec<PathBuf>>,
}

impl<'a> Folder<'a> {
    fn read(root: &Path, name: &str, ending: &'a str, said: &mut Said) -> Self {
        let path = root.join(name);
        let mut files: BTreeMap<String, Files> = BTreeMap::new();
        for (form, name) in names_in(&path) {
            let (stem, own) = stem_and_ending(&form);
            let file = path.join(name);
            let as_said = own.eq_ignore_ascii_case(ending);
            let other = || !own.is_empty() && !is_part_of_another(&file);
            if stem.is_empty() || !(as_said || other()) {
                continue;
            }
            let alike = files.entry(stem.to_string()).or_default();
            if as_said && !alike.as_said {
                *alike = Files { paths: Vec::new(), as_said };
            }
            if as_said == alike.as_said {
                alike.paths.push(file);
            }
        }
        for Files { paths, .. } in files.values().filter(|files| files.as_said) {
            if let [first, second, ..] = paths.as_slice() {
                let [first, second] = [first, second].map(|path| path.display());
                said.problem(format!(
                    "{first} and {second} have one name, but for capitals or the Unicode form of \
                     letters; remove one, or give each its own"
                ));
            }
        }
        Self { path, ending, files, stand_ins: RefCell::default() }
    }

    /// Calls label maps as the images of their cases where only their names say more, such as
    /// `CASE_seg`, and no other can be meant.
    fn call_as(&mut self, images: &Self, said: &mut Said) {
        let cases = images.cases(|_| true, &BTreeSet::new());
        let has_image = |name: &str| cases.contains(name) || images.is_unnumbered(name);
        let in_other_capitals = |stem: &str| {
            let lower = stem.to_lowercase();
            let mut alike = cases.iter().filter(|case| case.to_lowercase() == lower);
            alike.next().filter(|_| alike.next().is_none()).cloned()
        };
        let own = self.files.keys().filter(|stem| !has_image(stem));
        let called = own.filter_map(|stem| {
            let case = stem.strip_suffix("_0000").or_else(|| case_of_label_map(stem));
            let case = case.filter(|case| has_image(case));
            let case = case.map(str::to_string).or_else(|| in_other_capitals(stem))?;
            (!self.files.contains_key(&case)).then_some((case, stem.clone()))
        });
        let mut by_case: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (case, stem) in called {
            by_case.entry(case).or_default().push(stem);
        }
        by_case.retain(|_, stems| stems.len() == 1);
        if let Some((case, stems)) = by_case.first_key_value() {
            said.notice(
                format!(
                    "{} label map(s) have another name than their case, such as {} of {case}: read \
                     all the same",
                    by_case.len(),
                    stems.concat()
                ),
                "none needed if these are the label maps; nnU-Net wants the name of the case",
            );
        }
        for (case, stems) in by_case {
            let files = stems.iter().find_map(|stem| self.files.remove(stem));
            self.files.extend(files.map(|files| (case, files)));
        }
    }

    fn stems(&self, of: impl Fn(&Files) -> bool) -> BTreeSet<String> {
        let files = self.files.iter().filter(|(_, files)| of(files));
        files.map(|(stem, _)| stem.clone()).collect()
    }

    /// The names of the cases whose channels they are, but for files that are images by themselves.
    fn cases(
        &self,
        of: impl Fn(&Files) -> bool,
        unnumbered: &BTreeSet<String>,
    ) -> BTreeSet<String> {
        let stems = self.stems(of).into_iter().filter(|stem| !unnumbered.contains(stem));
        stems.filter_map(|stem| Some(channel_of(&stem)?.0.to_string())).collect()
    }

    /// Whether the only image that a case can have lacks the number of its channel.
    fn is_unnumbered(&self, name: &str) -> bool {
        let numbered = channel_of(name).is_some_and(|(_, channel)| channel == 0);
        !numbered
            && self.files.get(name).is_some_and(|files| files.paths.len() == 1)
            && !self.files.contains_key(&channel_file(name, 0, ""))
    }

    /// The file of this name; the only one of another ending, where there is none; or where it
    /// should be.
    fn file(&self, stem: &str) -> PathBuf {
        match self.files.get(stem) {
            Some(Files { paths, as_said: true }) if !paths.is_empty() => paths[0].clone(),
            Some(Files { paths, .. }) if paths.len() == 1 => {
                self.stand_ins.borrow_mut().push(paths[0].clone());
                paths[0].clone()
            }
            _ => self.path.join(format!("{stem}{}", self.ending)),
        }
    }

    /// A case with as many channels as there should be, there or not, or more if there are more.
    fn case(&self, name: String, channels: usize, label: Option<Source>) -> Found {
        if channels == 1 && self.is_unnumbered(&name) {
            let (place, images) = (self.place_of(&name), vec![self.file(&name).into()]);
            return Found {
                place,
                files: CaseFiles { name, images, label, subject: None },
                fold: None,
            };
        }
        let as_said = self.files.iter().filter(|(_, files)| files.as_said);
        let numbers = as_said.filter_map(|(stem, _)| channel_of(stem));
        let own = numbers.filter(|(case, _)| *case == name).map(|(_, channel)| channel + 1);
        let count = own.max().unwrap_or(0).max(channels);
        let stem = |channel| channel_file(&name, channel, "");
        let images = (0..count).map(|channel| self.file(&stem(channel)).into()).collect();
        let place = self.place_of(&name);
        Found { place, files: CaseFiles { name, images, label, subject: None }, fold: None }
    }

    fn place_of(&self, case: &str) -> String {
        format!("{case} of {}", self.path.display())
    }
}

/// Case and channel of an image, by its name without ending.
fn channel_of(stem: &str) -> Option<(&str, usize)> {
    let (case, number) = stem.rsplit_once('_')?;
    let channel = number.parse().ok().filter(|_| number.len() == 4)?;
    (!case.is_empty()).then_some((case, channel))
}
