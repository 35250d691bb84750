//! A run is a folder: `config.toml` (effective settings), `plan.json`, `log.jsonl` (one line an
//! epoch), `checkpoint/`, `genotype.json`, `model.safetensors`, `evaluation.json`, `result.json`,
//! `predictions/`. Every file is replaced whole; one process at a time holds `lock`.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::plan::{Plan, to_json};
use crate::error::{Error, Result};
use crate::settings::config::Config;

/// An open run folder.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    lines: Vec<EpochLine>,
    /// Held as long as the folder is open.
    _lock: File,
}

/// One line of `log.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLine {
    /// `search` or `train`.
    pub phase: String,
    /// 0-based.
    pub epoch: usize,
    pub epochs: usize,
    /// Mean loss of the Θ steps.
    pub loss: f64,
    /// Dice per foreground class over the held-out cases, on the preprocessed grid; `None` in
    /// epochs without validation.
    pub dice: Option<Vec<Option<f64>>>,
    /// Mean of `dice`.
    pub mean_dice: Option<f64>,
    pub learning_rate: f64,
    pub seconds: f64,
    /// Of these, spent waiting for patches.
    #[serde(default)]
    pub waited_seconds: f64,
    /// Only in a search.
    #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
    pub search: Option<SearchLine>,
}

/// What a search adds to its lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchLine {
    /// Mean loss of the α steps.
    pub alpha_loss: Option<f64>,
    pub tau: f64,
    /// Mean entropy of softmax(α), in nats.
    pub entropy: f64,
    /// Shares of edges, all cells counted, that the current architecture gives to these
    /// operations.
    pub zero: f64,
    pub identity: f64,
    pub pool: f64,
}

impl RunDir {
    /// Opens a run folder, new or to be resumed with the same settings.
    ///
    /// # Errors
    /// When the folder holds another run, is in use, or cannot be written.
    pub fn open(path: &Path, config: &Config, plan: &Plan) -> Result<Self> {
        std::fs::create_dir_all(path.join("checkpoint"))
            .map_err(|e| Error::file("create", path, e))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(|e| Error::file("create", &lock_path, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: path.into() }),
            Err(TryLockError::Error(e)) => return Err(Error::file("lock", &lock_path, e)),
        }
        ["", "checkpoint", "predictions"]
            .into_iter()
            .for_each(|folder| medvol::remove_leftovers(path.join(folder)));
        let dir =
            Self { path: path.into(), lines: read_log(&path.join("log.jsonl"))?, _lock: lock };
        let settings = dir.file("config.toml");
        if settings.exists() {
            same_settings(&settings, config)?;
        } else {
            medvol::atomic_write(&settings, config.to_toml().as_bytes())?;
        }
        dir.same_or_new("plan.json", &to_json(plan))?;
        Ok(dir)
    }

    /// A file of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A checkpoint file of the run.
    pub fn checkpoint(&self, phase: &str) -> PathBuf {
        Self::checkpoint_in(&self.path, phase)
    }

    /// A checkpoint file of the run in `folder`, which need not be open.
    pub fn checkpoint_in(folder: &Path, phase: &str) -> PathBuf {
        folder.join("checkpoint").join(format!("{phase}.safetensors"))
    }

    /// Forgets log lines of `phase` from `epoch` on: they are about to be written again.
    pub fn rewind(&mut self, phase: &str, epoch: usize) {
        self.lines.retain(|line| line.phase != phase || line.epoch < epoch);
    }

    /// Adds a line to the log.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn log(&mut self, line: EpochLine) -> Result<()> {
        self.lines.push(line);
        let mut text = Vec::new();
        for line in &self.lines {
            text.extend(serde_json::to_vec(line).unwrap_or_default());
            text.push(b'\n');
        }
        Ok(medvol::atomic_write(self.file("log.jsonl"), &text)?)
    }

    /// All lines so far.
    pub fn lines(&self) -> &[EpochLine] {
        &self.lines
    }

    /// Writes a JSON document.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        Ok(medvol::atomic_write(self.file(name), &to_json(value))?)
    }

    /// Writes a file that says what the run is, or checks that it is there with the same content.
    ///
    /// # Errors
    /// When the run is another one, or the file cannot be read or written.
    pub fn same_or_new(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.file(name);
        match std::fs::read(&path) {
            Ok(found) if found == bytes => Ok(()),
            Ok(found) if serde_json::from_slice::<serde_json::Value>(&found).is_err() => {
                Err(damaged(path))
            }
            Ok(found) => Err(another_run(path, &first_difference(&found, bytes))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Ok(medvol::atomic_write(&path, bytes)?)
            }
            Err(e) => Err(Error::file("read", &path, e)),
        }
    }
}

/// Checks that a run's `config.toml` holds these settings; a key that an older file lacks has its
/// default.
///
/// # Errors
/// Names the settings that differ; or when the file cannot be read.
pub fn same_settings(path: &Path, config: &Config) -> Result<()> {
    let bytes = std::fs::read(path).map_err(|e| Error::file("read", path, e))?;
    let text = std::str::from_utf8(&bytes)
        .ok()
        .filter(|text| !text.is_empty() && text.parse::<toml::Table>().is_ok());
    let Some(text) = text else { return Err(damaged(path.into())) };
    let differences = match toml::from_str::<Config>(text) {
        Ok(read) if read == *config => return Ok(()),
        Ok(read) => {
            let changes = read
                .differences(config)
                .into_iter()
                .map(|(key, [found, given])| format!("{key} = {found}, now {given}"));
            changes.collect::<Vec<_>>().join("; ")
        }
        Err(_) => first_difference(text.as_bytes(), config.to_toml().as_bytes()),
    };
    Err(another_run(path.into(), &differences))
}

fn another_run(path: PathBuf, differences: &str) -> Error {
    Error::Invalid {
        path,
        expected: "the settings and data this command was given, so that the run can go on".into(),
        found: format!("another run ({differences})"),
        remedy: "repeat the command that began the run, give its config.toml with --config, or \
                 give another folder with --out"
            .into(),
    }
}

fn damaged(path: PathBuf) -> Error {
    Error::Invalid {
        path,
        expected: "the file that the run began with".into(),
        found: "a damaged one".into(),
        remedy: "put a copy back, or begin anew in another folder with --out".into(),
    }
}

/// The first line in which two texts differ, for an error message.
fn first_difference(found: &[u8], given: &[u8]) -> String {
    let (found, given) = (String::from_utf8_lossy(found), String::from_utf8_lossy(given));
    let (mut a, mut b) = (found.lines(), given.lines());
    loop {
        match (a.next(), b.next()) {
            (Some(x), Some(y)) if x == y => {}
            (x, y) => {
                return format!(
                    "\"{}\", now \"{}\"",
                    x.unwrap_or("").trim(),
                    y.unwrap_or("").trim()
                );
            }
        }
    }
}

fn read_log(path: &Path) -> Result<Vec<EpochLine>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::file("read", path, e)),
    };
    String::from_utf8_lossy(&bytes)
        .lines()
        .map(|line| {
            serde_json::from_str(line).map_err(|e| Error::Invalid {
                path: path.into(),
                expected: "one JSON line an epoch".into(),
                found: e.to_string(),
                remedy: "move the file away; the run goes on with a new log".into(),
            })
        })
        .collect()
}
