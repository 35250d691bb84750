//! Which label maps are scored against which: found in folders, matched by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use medvol::{case_of_label_map, composed};

use crate::data::files::{
    case_name, folder_name, folders_in, images_in, refuse_odd_name, take_same_names,
};
use crate::error::{Error, Place, Result};

/// Label maps, and why others are none.
#[derive(Debug, Default)]
pub(super) struct Maps {
    /// By name.
    pub files: Vec<(String, PathBuf)>,
    /// What is wrong with those that cannot be told apart.
    pub faults: Vec<Error>,
    /// Whether it is one that was named by itself.
    single: bool,
}

impl Maps {
    /// Files with their names.
    pub(super) fn of(files: Vec<(String, PathBuf)>) -> Self {
        Self { files, ..Self::default() }
    }
}

/// The label maps at `path`: a file; the files of a folder; or the one in each folder of a patient,
/// under the name of that folder.
///
/// # Errors
/// What cannot be read, is no label map, or is a folder without any.
pub(super) fn label_maps(path: &Path) -> Result<Maps> {
    let single = |name, path: &Path| Maps {
        files: vec![(name, path.into())],
        single: true,
        ..Maps::default()
    };
    if !path.is_dir() {
        std::fs::metadata(path).map_err(|e| Error::file("read", path, e))?;
        let name = case_name(path).ok_or_else(|| Error::place(path, Place::NoLabelMap))?;
        return Ok(single(name, path));
    }
    let mut files = maps_in(path)?;
    let mut faults = Vec::new();
    // One that cannot be named does not keep the others from being scored.
    files.retain(|(_, path)| match refuse_odd_name(path) {
        Ok(()) => true,
        Err(fault) => {
            faults.push(fault);
            false
        }
    });
    if let Some(name) = folder_name(path).filter(|_| files.len() != 1) {
        return Ok(single(name, path));
    }
    if files.is_empty() && faults.is_empty() {
        for (patient, folder) in folders_in(path) {
            match only_map(&folder) {
                Ok(map) => files.extend(map.map(|map| (composed(&patient), map))),
                Err(fault) => faults.push(fault),
            }
        }
    }
    let same = take_same_names(&mut files, |(name, path)| (name, path));
    faults.extend(same.into_iter().map(|(_, fault)| fault));
    if files.is_empty() && faults.is_empty() {
        return Err(Error::place(path, Place::NoLabelMaps));
    }
    Ok(Maps { files, faults, single: false })
}

/// The label maps of a folder; probabilities that were written beside them are not among them.
fn maps_in(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let files = images_in(folder)?.into_iter().map(|(name, path)| (composed(&name), path));
    let mut files: Vec<(String, PathBuf)> = files.collect();
    files.retain(|(name, _)| !name.ends_with("_probabilities"));
    Ok(files)
}

/// The only label map in the folder of a patient, or the only one that is called so.
fn only_map(folder: &Path) -> Result<Option<PathBuf>> {
    let files = maps_in(folder)?;
    files.iter().try_for_each(|(_, path)| refuse_odd_name(path))?;
    let called = files.iter().filter(|(name, _)| case_of_label_map(name).is_some());
    let called: Vec<&(String, PathBuf)> = called.collect();
    match (files.as_slice(), called.as_slice()) {
        ([], _) => Ok(None),
        ([(_, path)], _) | (_, [(_, path)]) => Ok(Some(path.clone())),
        _ => {
            let found = files.into_iter().map(|(name, _)| name).collect();
            Err(Error::place(folder, Place::Several { what: "label map", found }))
        }
    }
}

/// Files of one case.
pub(super) struct Pair {
    pub name: String,
    pub prediction: PathBuf,
    pub reference: PathBuf,
}

/// Predictions and references by name.
#[derive(Default)]
pub(super) struct Matched {
    pub pairs: Vec<Pair>,
    /// Whether what programs put behind the name of a case was not heeded.
    pub by_case: bool,
    pub without_reference: Vec<String>,
    pub without_prediction: Vec<String>,
}

/// Matches by name; two single files match whatever they are called. Where no names match, those of
/// the cases do, if they are all different.
pub(super) fn matched(predictions: Maps, references: Maps) -> Matched {
    let single_files = predictions.single && references.single;
    let sides = [predictions.files, references.files];
    if single_files {
        let [prediction, reference] = sides.map(|files| files.into_iter().next());
        let pair = prediction.zip(reference).map(|((name, prediction), (_, reference))| Pair {
            name,
            prediction,
            reference,
        });
        return Matched { pairs: pair.into_iter().collect(), ..Matched::default() };
    }
    let by_name = by_key(&sides, str::to_string);
    if !by_name.pairs.is_empty() {
        return by_name;
    }
    let are_apart = |files: &Vec<(String, PathBuf)>| {
        let mut cases: Vec<String> = files.iter().map(|(name, _)| case_of(name)).collect();
        cases.sort();
        cases.windows(2).all(|pair| pair[0] != pair[1])
    };
    let by_case = Matched { by_case: true, ..by_key(&sides, case_of) };
    if !by_case.pairs.is_empty() && sides.iter().all(are_apart) { by_case } else { by_name }
}

fn by_key(
    [predictions, references]: &[Vec<(String, PathBuf)>; 2],
    key: fn(&str) -> String,
) -> Matched {
    let mut references: BTreeMap<String, &(String, PathBuf)> =
        references.iter().map(|file| (key(&file.0), file)).collect();
    let mut matched = Matched::default();
    for (name, prediction) in predictions {
        let case = key(name);
        match references.remove(&case) {
            Some((_, reference)) => {
                let (prediction, reference) = (prediction.clone(), reference.clone());
                matched.pairs.push(Pair { name: case, prediction, reference });
            }
            None => matched.without_reference.push(name.clone()),
        }
    }
    matched.without_prediction = references.into_values().map(|(name, _)| name.clone()).collect();
    matched
}

/// The name of a case without nnU-Net's number of a first channel, or a word for what the file
/// holds.
fn case_of(name: &str) -> String {
    let ends = ["_0000", "_pred", "_prediction"];
    let ended = ends.iter().find_map(|end| name.strip_suffix(end));
    let case = ended.or_else(|| case_of_label_map(name)).filter(|case| !case.is_empty());
    case.unwrap_or(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(names: &[&str]) -> Maps {
        Maps::of(names.iter().map(|name| (name.to_string(), PathBuf::from(name))).collect())
    }

    #[test]
    fn maps_match_by_name_or_all_by_the_names_of_their_cases() {
        let pairs = |predictions: &[&str], references: &[&str]| {
            let Matched { pairs, by_case, .. } = matched(maps(predictions), maps(references));
            let names = pairs.into_iter().map(|pair| pair.name);
            (by_case, names.collect::<Vec<String>>().join(" "))
        };
        for (predictions, references, by_case, found) in [
            (&["a", "b"][..], &["b", "c"][..], false, "b"),
            (&["a", "b"], &["a_seg", "b_seg"], true, "a b"),
            (&["a_pred", "b_pred"], &["a_0000", "c_0000"], true, "a"),
            // What has its own name is not looked for under another.
            (&["a", "b"], &["a", "b_seg"], false, "a"),
            // Of two nobody can know which is meant.
            (&["a", "b"], &["a_seg", "a_gt"], false, ""),
            (&["a"], &["b_seg"], false, ""),
        ] {
            assert_eq!(pairs(predictions, references), (by_case, found.to_string()));
        }
    }
}
