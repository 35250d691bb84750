//! Which cases are held out: seeded folds, or a file in nnU-Net's form (`splits_final.json`), a
//! list with one `{"train": […], "val": […]}` a fold. One fold may stand alone, and several may
//! have their numbers as keys; cases may be named by their files.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use medvol::{Fold, composed, read_text};
use rand::seq::SliceRandom as _;
use serde::Deserialize;
use serde::de::Error as _;

use crate::error::{Error, Found, Result};
use crate::random::{Stream, rng};

/// An entry of the file.
#[derive(Deserialize)]
struct Entry {
    #[serde(alias = "training")]
    train: Vec<String>,
    #[serde(alias = "validation", alias = "valid")]
    val: Vec<String>,
}

/// What a pickle of Python begins with, of its version 2 or later.
const PICKLE: u8 = 0x80;

/// `count` folds of groups of names (all cases of a patient, mostly one), each group held out as a
/// whole in one of them; the same for the same seed.
pub fn seeded(groups: &[Vec<String>], count: usize, seed: u64) -> Vec<Fold> {
    let mut shuffled = groups.to_vec();
    shuffled.shuffle(&mut rng(seed, Stream::Folds, 0));
    (0..count)
        .map(|fold| {
            let (held_out, training): (Vec<_>, Vec<_>) =
                shuffled.iter().cloned().enumerate().partition(|(i, _)| i % count == fold);
            let sorted = |groups: Vec<(usize, Vec<String>)>| {
                let mut names: Vec<String> =
                    groups.into_iter().flat_map(|(_, names)| names).collect();
                names.sort();
                names
            };
            Fold { training: sorted(training), held_out: sorted(held_out) }
        })
        .collect()
}

/// Reads a file of splits of the labelled cases `names`. A fold leaves out those that it does not
/// list.
///
/// # Errors
/// A file that cannot be read or has another form; those of [`placed`].
pub fn read(path: &Path, names: &[String]) -> Result<Vec<Fold>> {
    placed(path, read_unchecked(path)?, names)
}

/// Folds that the file at `path` says, of the labelled cases `names`, sorted. A fold leaves out those
/// that it does not list, as in nnU-Net; the check says whom.
///
/// # Errors
/// In any fold, a case that the data set has not, that is on both sides or twice on one; a side
/// without cases.
pub fn placed(path: &Path, folds: Vec<Fold>, names: &[String]) -> Result<Vec<Fold>> {
    let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let check = |(number, fold): (usize, Fold)| {
        let mut fold = fold.by_cases(&known);
        if let Some(misplaced) = fold.misplaced(&known).into_iter().next() {
            let remedy = misplaced.remedy();
            return Err(Error::invalid(
                path,
                "labelled cases, each once in a fold",
                Found::Fold { fold: number, misplaced },
                remedy,
            ));
        }
        fold.training.sort();
        fold.held_out.sort();
        Ok(fold)
    };
    folds.into_iter().enumerate().map(check).collect()
}

/// Reads a file of splits, whatever cases it places.
///
/// # Errors
/// A file that cannot be read or has another form, or no fold.
pub fn read_unchecked(path: &Path) -> Result<Vec<Fold>> {
    let form = r#"splits as nnU-Net writes them: [{"train": ["case", …], "val": ["case", …]}, …]"#;
    let text = read_text(path).map_err(|e| match e.kind() {
        ErrorKind::InvalidData if is_pickle(path) => {
            let remedy = "write its content as JSON: json.dump(pickle.load(file), …) of Python";
            Error::invalid(path, form, Found::Pickle, remedy)
        }
        _ => Error::file("read", path, e),
    })?;
    let entries =
        entries(&text).map_err(|e| Error::invalid(path, form, e, "give its splits_final.json"))?;
    if entries.is_empty() {
        return Err(Error::invalid(path, form, Found::EmptyList, "give at least one fold"));
    }
    // A data set's cases have their names in this form, too.
    let form = |names: Vec<String>| names.iter().map(|name| composed(name)).collect();
    let fold = |Entry { train, val }| Fold { training: form(train), held_out: form(val) };
    Ok(entries.into_iter().map(fold).collect())
}

/// The folds of a text: a list, one alone, or several by their numbers.
fn entries(text: &str) -> serde_json::Result<Vec<Entry>> {
    if !text.trim_start().starts_with('{') {
        return serde_json::from_str(text);
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)?;
    if object.values().any(serde_json::Value::is_array) {
        return Ok(vec![serde_json::from_str(text)?]);
    }
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    let misnumbered = || {
        let text = format!("folds called {keys:?}, which are no numbers from 0 without gaps");
        serde_json::Error::custom(text)
    };
    let numbers = keys.iter().map(|key| number_of(key)).collect::<Option<Vec<usize>>>();
    let numbers = numbers.ok_or_else(misnumbered)?;
    let folds: BTreeMap<usize, &serde_json::Value> =
        numbers.iter().copied().zip(object.values()).collect();
    if folds.len() < keys.len() || !folds.keys().copied().eq(0..keys.len()) {
        return Err(misnumbered());
    }
    folds.into_values().map(Entry::deserialize).collect()
}

/// The number at the end of a fold's key: 3 of `3` and of `fold_3`.
fn number_of(key: &str) -> Option<usize> {
    let word = key.trim_end_matches(|letter: char| letter.is_ascii_digit());
    key[word.len()..].parse().ok()
}

fn is_pickle(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.first() == Some(&PICKLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("case_{i}")).collect()
    }

    fn alone(names: &[String]) -> Vec<Vec<String>> {
        names.iter().map(|name| vec![name.clone()]).collect()
    }

    #[test]
    fn cases_of_a_group_are_held_out_together() {
        let names = names(12);
        let groups: Vec<Vec<String>> = names.chunks(2).map(<[String]>::to_vec).collect();
        for Fold { training, held_out } in seeded(&groups, 3, 0) {
            assert_eq!(held_out.len() + training.len(), 12);
            for pair in names.chunks(2) {
                assert_eq!(held_out.contains(&pair[0]), held_out.contains(&pair[1]));
            }
        }
    }

    fn read_text(text: &str) -> Result<Vec<Fold>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("splits_final.json");
        std::fs::write(&path, text).unwrap();
        read(&path, &names(3))
    }

    #[test]
    fn seeded_folds_hold_out_every_case_once_and_train_on_the_others() {
        let names = names(11);
        let splits = seeded(&alone(&names), 3, 5);
        let mut held_out: Vec<&String> = splits.iter().flat_map(|s| &s.held_out).collect();
        held_out.sort();
        assert!(held_out.into_iter().eq(names.iter().collect::<BTreeSet<_>>()));
        for Fold { training, held_out } in &splits {
            assert_eq!(training.iter().chain(held_out).collect::<BTreeSet<_>>().len(), names.len());
            assert!(training.is_sorted() && held_out.is_sorted());
        }
        assert_eq!(splits, seeded(&alone(&names), 3, 5));
        assert_ne!(splits, seeded(&alone(&names), 3, 6));
    }

    #[test]
    fn a_file_of_splits_says_who_is_held_out() {
        let splits =
            read_text(r#"[{"train": ["case_2", "case_0"], "val": ["case_1"]}, {"train": ["case_1", "case_2"], "val": ["case_0"]}]"#)
                .unwrap();
        assert_eq!(splits[0].training, ["case_0", "case_2"]);
        assert_eq!(
            (splits[0].held_out.as_slice(), splits[1].held_out.as_slice()),
            (&names(2)[1..], &names(1)[..])
        );
    }

    #[test]
    fn a_fold_leaves_out_whom_it_does_not_list() {
        let splits = read_text(r#"[{"train": ["case_2"], "val": ["case_0"]}]"#).unwrap();
        assert_eq!(
            (&splits[0].training[..], &splits[0].held_out[..]),
            (&names(3)[2..], &names(1)[..])
        );
    }

    #[test]
    fn a_file_may_hold_one_fold_or_numbered_ones_and_name_cases_by_their_files() {
        let expected = Fold { training: names(2), held_out: vec!["case_2".into()] };
        for (text, folds) in [
            (r#"{"train": ["case_0", "case_1"], "val": ["case_2"]}"#, 1),
            (r#"[{"training": ["case_1", "case_0"], "validation": ["case_2"]}]"#, 1),
            (
                r#"[{"train": ["case_0.nii.gz", "./imagesTr/case_1_0000.nii.gz"], "val": ["D:\\a\\case_2.mha"]}]"#,
                1,
            ),
            (
                r#"{"fold_1": {"train": ["case_2"], "val": ["case_0", "case_1"]}, "fold_0": {"train": ["case_0", "case_1"], "val": ["case_2"]}}"#,
                2,
            ),
        ] {
            let read = read_text(text).expect(text);
            assert_eq!((&read[0], read.len()), (&expected, folds), "{text}");
        }
    }

    #[test]
    fn a_pickle_is_refused_as_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("splits_final.pkl");
        std::fs::write(&path, b"\x80\x04\x95\xff").unwrap();
        let message = read(&path, &names(3)).unwrap_err().to_string();
        assert!(message.contains("pickle") && message.contains("JSON"), "{message}");
    }

    #[test]
    fn impossible_splits_are_refused_with_the_fold_and_the_case() {
        for (text, named) in [
            (
                r#"[{"train": ["case_0", "case_1"], "val": ["case_2"]}, {"train": ["case_0", "case_7"], "val": ["case_2"]}]"#,
                "fold 1 the case case_7",
            ),
            (
                r#"[{"train": ["case_0", "case_1"], "val": ["case_2", "case_1"]}]"#,
                "case_1 on both sides",
            ),
            (
                r#"[{"train": ["case_0", "case_1", "case_0"], "val": ["case_2"]}]"#,
                "case_0 twice on one side",
            ),
            (r#"[{"train": ["case_0", "case_1", "case_2"], "val": []}]"#, "no case under \"val\""),
            (r#"[{"train": ["case_0", "case_1"]}]"#, "val"),
            (r#"{"0": {"train": [], "val": []}, "2": {"train": [], "val": []}}"#, "without gaps"),
            ("[]", "empty"),
            ("{", "nnU-Net"),
        ] {
            let message = read_text(text).unwrap_err().to_string();
            assert!(
                message.contains(named) && message.contains("splits_final.json"),
                "{text}: {message}"
            );
        }
    }
}
