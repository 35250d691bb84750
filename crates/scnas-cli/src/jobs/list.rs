//! The list of tasks, and its file.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use scnas::data::plan::to_json;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::jobs::shell::quoted;

/// Name of the file.
pub const FILE: &str = "jobs.json";

/// What tells that a task is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Its folder is a run, which is complete.
    Run,
    /// Its own word: it does a part of a run.
    Part,
    /// Its own word, while those that it needs are done: it makes a table of what they reached.
    Table,
}

/// A task: a command on a folder of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its place in the list, from 0.
    pub number: usize,
    /// What it is called: a path, of which those that can be done at once have the same last word but
    /// for the number at its end.
    pub name: String,
    /// What tells that it is done.
    pub kind: Kind,
    /// The folder that it writes, as the command names it.
    pub folder: PathBuf,
    /// Where the command is run.
    pub directory: PathBuf,
    /// Arguments of scnas.
    pub arguments: Vec<String>,
    /// Numbers of the tasks that come before it.
    pub needs: Vec<usize>,
}

impl Task {
    /// The last word of its name, without the number.
    pub fn stage(&self) -> &str {
        let word = self.name.rsplit('/').next().unwrap_or_default();
        match word.rsplit_once('-') {
            Some((stage, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => stage,
            _ => word,
        }
    }

    /// Its folder, from anywhere.
    pub fn place(&self) -> PathBuf {
        self.directory.join(&self.folder)
    }

    /// Its command, for a shell.
    pub fn command_line(&self) -> String {
        let words = std::iter::once("scnas").chain(self.arguments.iter().map(String::as_str));
        words.map(quoted).collect::<Vec<_>>().join(" ")
    }
}

/// Writes the list of a folder, which may hold the same list already.
///
/// # Errors
/// Those of [`refuse_others`]; where it cannot be written.
pub fn write(dir: &Path, tasks: &[Task]) -> Result<()> {
    refuse_others(dir, tasks)?;
    let file = dir.join(FILE);
    if file.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(medvol::atomic_write(&file, &to_json(&tasks)?)?)
}

/// Refuses a folder that holds another list.
///
/// # Errors
/// With the first thing that differs.
pub fn refuse_others(dir: &Path, tasks: &[Task]) -> Result<()> {
    let file = dir.join(FILE);
    if !file.exists() {
        return Ok(());
    }
    match difference(&read(dir)?, tasks) {
        None => Ok(()),
        Some(difference) => bail!(
            "{}: expected the tasks of this command; found others ({difference}); repeat the \
             command that wrote them, remove the file (folds that are complete stay), or give \
             another folder with --out",
            file.display()
        ),
    }
}

/// Reads the list of a folder.
///
/// # Errors
/// Where there is none; where it cannot be read or understood.
pub fn read(dir: &Path) -> Result<Vec<Task>> {
    let file = dir.join(FILE);
    let bytes = match std::fs::read(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "{}: expected a folder with a list of tasks, {FILE}; found none; `scnas plan-jobs` \
             with --write writes it, and so does --launch",
            dir.display()
        ),
        bytes => bytes.with_context(|| format!("cannot read {}", file.display()))?,
    };
    let remedy = "remove it, and write it with the command that did";
    let tasks: Vec<Task> = serde_json::from_slice(&bytes)
        .with_context(|| format!("{}: expected a list of tasks; {remedy}", file.display()))?;
    let ordered = tasks.iter().enumerate().all(|(place, task)| {
        task.number == place && task.needs.iter().all(|needed| *needed < place)
    });
    let said = "tasks numbered from 0, each behind those that it needs";
    ensure!(ordered, "{}: expected {said}; found others; {remedy}", file.display());
    Ok(tasks)
}

/// The first difference between two lists.
fn difference(before: &[Task], now: &[Task]) -> Option<String> {
    for (a, b) in before.iter().zip(now) {
        let (Ok(Value::Object(was)), Ok(Value::Object(is))) =
            (serde_json::to_value(a), serde_json::to_value(b))
        else {
            continue;
        };
        if let Some((key, was)) = was.iter().find(|(key, value)| is.get(*key) != Some(value)) {
            let is = is.get(key).unwrap_or(&Value::Null);
            return Some(format!("{key} of task {} was {was}, now {is}", a.number));
        }
    }
    (before.len() != now.len()).then(|| format!("{} tasks, now {}", before.len(), now.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(number: usize, needs: &[usize]) -> Task {
        Task {
            number,
            name: format!("task-{number}"),
            kind: Kind::Run,
            folder: "cv".into(),
            directory: "/".into(),
            arguments: vec!["cross-validate".into(), "a b".into()],
            needs: needs.to_vec(),
        }
    }

    #[test]
    fn another_list_says_where_it_differs() {
        let list = [task(0, &[]), task(1, &[0])];
        assert_eq!(difference(&list, &list), None);
        let mut other = list.clone();
        other[1].arguments.push("--gather".into());
        let said = difference(&list, &other).unwrap();
        assert!(said.contains("arguments of task 1 was") && said.contains("--gather"), "{said}");
        assert_eq!(difference(&list, &list[..1]).unwrap(), "2 tasks, now 1");
        assert_eq!(list[0].command_line(), "scnas cross-validate 'a b'");
        assert_eq!(list[1].stage(), "task");
        let of_seed = Task { name: "seed-3/fold-1".into(), ..task(0, &[]) };
        assert_eq!(of_seed.stage(), "fold");
    }

    #[test]
    fn a_list_that_cannot_be_walked_is_refused() {
        let dir = std::env::temp_dir().join(format!("scnas-list-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let read_back = |tasks: &[Task]| {
            std::fs::write(dir.join(FILE), serde_json::to_vec(tasks).unwrap()).unwrap();
            read(&dir).map_err(|error| error.to_string())
        };
        let list = [task(0, &[]), task(1, &[0])];
        assert_eq!(read_back(&list).unwrap(), list);
        for wrong in [&list[1..], &[task(0, &[0])], &[task(0, &[1]), task(1, &[])]] {
            assert!(read_back(wrong).unwrap_err().contains("numbered from 0"));
        }
        std::fs::write(dir.join(FILE), "[{}]").unwrap();
        assert!(read(&dir).unwrap_err().to_string().contains("expected a list of tasks"));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
