//! From how a file is written down to where it lies: `file:` addresses, Windows paths, `~`, folders
//! of another machine, names in another Unicode form or in other case.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::said::Said;
use crate::io::{is_part_of_another, stem_and_ending};
use crate::text::{composed, names_in};

/// Finds the files that a description names.
#[derive(Debug)]
pub(super) struct Locator {
    root: PathBuf,
    /// The names in the folders that were looked into.
    folders: RefCell<HashMap<PathBuf, Vec<(String, String)>>>,
    /// Paths of another machine, and what was taken for them.
    moved: RefCell<Vec<(String, PathBuf)>>,
    /// Files of another ending, and what was taken for them.
    converted: RefCell<Vec<(String, PathBuf)>>,
}

impl Locator {
    /// Paths are relative to `root`.
    pub(super) fn new(root: &Path) -> Self {
        let (folders, moved, converted) = Default::default();
        Self { root: root.to_path_buf(), folders, moved, converted }
    }

    /// Where a file lies; where nothing is found, where it should lie.
    pub(super) fn find(&self, written: &str) -> PathBuf {
        let written = written.trim();
        let plain = self.root.join(written.trim_start_matches("./"));
        if plain.exists() {
            return plain;
        }
        let slashes = written.replace('\\', "/");
        let full = match slashes.strip_prefix("~/").zip(std::env::home_dir()) {
            Some((below, home)) => home.join(below),
            None => self.root.join(without_dots(&slashes)),
        };
        if let Some(found) = self.alike(&full) {
            return found;
        }
        if (is_absolute(&slashes) || self.begins_nowhere(&slashes))
            && let Some(found) = self.below_root(&slashes)
        {
            self.moved.borrow_mut().push((written.to_string(), found.clone()));
            return found;
        }
        if let Some(found) = self.of_other_ending(&full) {
            self.converted.borrow_mut().push((written.to_string(), found.clone()));
            return found;
        }
        full
    }

    /// A path as it lies there, in whatever form; as it is, where nothing is found.
    pub(super) fn there(&self, path: PathBuf) -> PathBuf {
        self.alike(&path).unwrap_or(path)
    }

    /// A path that is there, or the only one that differs from it in its Unicode form or in case.
    fn alike(&self, path: &Path) -> Option<PathBuf> {
        let mut found = PathBuf::new();
        for part in path.components() {
            let next = found.join(part);
            if next.as_os_str().is_empty() || next.exists() || !matches!(part, Component::Normal(_))
            {
                found = next;
                continue;
            }
            let name = part.as_os_str().to_str()?;
            let folder = if found.as_os_str().is_empty() { Path::new(".") } else { &found };
            found = found.join(self.name_alike(folder, name)?);
        }
        found.exists().then_some(found)
    }

    fn name_alike(&self, folder: &Path, name: &str) -> Option<String> {
        let mut folders = self.folders.borrow_mut();
        let names = folders.entry(folder.to_path_buf()).or_insert_with(|| names_in(folder));
        let wanted = composed(name);
        let only = |matches: &dyn Fn(&str) -> bool| {
            let mut all = names.iter().filter(|(form, _)| matches(form));
            all.next().filter(|_| all.next().is_none()).map(|(_, name)| name.clone())
        };
        let lower = wanted.to_lowercase();
        only(&|form| form == wanted).or_else(|| only(&|form| form.to_lowercase() == lower))
    }

    /// The only image in a file's folder that is named like it, but for its ending: `a.nii.gz` for
    /// `a.nii`, or for `a`.
    fn of_other_ending(&self, path: &Path) -> Option<PathBuf> {
        let folder = self.alike(path.parent()?)?;
        let stem = stem_and_ending(path.file_name()?.to_str()?).0;
        let wanted = composed(stem);
        let mut folders = self.folders.borrow_mut();
        let names = folders.entry(folder.clone()).or_insert_with(|| names_in(&folder));
        let own = path.file_name();
        let is_image = |(form, name): &&(String, String)| {
            let (stem, ending) = stem_and_ending(form);
            // A link to nowhere has the name itself.
            own != Some(name.as_ref())
                && !ending.is_empty()
                && stem == wanted
                && !is_part_of_another(&folder.join(name))
        };
        let mut found = names.iter().filter(is_image);
        let first = found.next()?;
        found.next().is_none().then(|| folder.join(&first.1))
    }

    /// Whether a relative path begins with a folder that is not there: it may be relative to another.
    fn begins_nowhere(&self, path: &str) -> bool {
        match Path::new(without_dots(path)).components().next() {
            Some(Component::Normal(first)) => self.alike(&self.root.join(first)).is_none(),
            _ => false,
        }
    }

    /// The file below the data set whose path ends as a path of another machine or folder does, with
    /// at least a folder and a name.
    fn below_root(&self, path: &str) -> Option<PathBuf> {
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        (0..parts.len().saturating_sub(1))
            .find_map(|from| self.alike(&self.root.join(parts[from..].join("/"))))
    }

    /// Says which paths were not taken as they stand there.
    pub(super) fn report(self, said: &mut Said) {
        for (taken, what, remedy) in [
            (
                self.moved.into_inner(),
                "path(s) of another machine or folder",
                "write paths relative to the description's folder, if these are not the files meant",
            ),
            (
                self.converted.into_inner(),
                "file(s) that are there with another ending",
                "write the names with the endings that they have",
            ),
        ] {
            if let Some((written, found)) = taken.first() {
                let text = format!(
                    "{} {what}, such as {written:?}: read from {}",
                    taken.len(),
                    found.display()
                );
                said.notice(text, remedy);
            }
        }
    }
}

/// The path of a `file:` address, of whose bytes some may be written as `%20`; any other text as it
/// is.
pub(super) fn without_scheme(written: &str) -> Cow<'_, str> {
    let scheme = written.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("file:"));
    let Some(rest) = scheme.map(|scheme| &written[scheme.len()..]) else { return written.into() };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = path.strip_prefix("localhost").filter(|p| p.starts_with('/')).unwrap_or(path);
    // `file:///C:/data` has a drive behind its slashes.
    let path = path.strip_prefix('/').filter(|path| is_absolute(path)).unwrap_or(path);
    decoded(path).into()
}

/// Bytes that are written as two digits behind a sign of percent, put back.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let digits = others.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &others[2..];
            }
            None => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    // What is no text then was no address.
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_string())
}

/// Without a `./` in front.
fn without_dots(path: &str) -> &str {
    let mut path = path;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest.trim_start_matches('/');
    }
    path
}

/// Whether a path begins at the root of a machine, perhaps one with drives.
fn is_absolute(path: &str) -> bool {
    let drive = |path: &str| {
        path.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && path[1..].starts_with(":/")
    };
    path.starts_with('/') || drive(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_file_is_its_path() {
        for (written, path) in [
            ("file:///data/a%20b.nii", "/data/a b.nii"),
            ("file://localhost/data/a.nii", "/data/a.nii"),
            ("FILE:/data/M%C3%BC.nii", "/data/Mü.nii"),
            ("file:///C:/data/a.nii", "C:/data/a.nii"),
            ("file:///data/100%_%ff.nii", "/data/100%_%ff.nii"),
            ("files/a%20b.nii", "files/a%20b.nii"),
            ("http://host/a.nii", "http://host/a.nii"),
        ] {
            assert_eq!(without_scheme(written), path, "{written}");
        }
    }
}
