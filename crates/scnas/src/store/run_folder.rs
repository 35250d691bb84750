//! A run is a folder: `config.toml` (effective settings), `plan.json`, `log.jsonl` (one line an
//! epoch), `checkpoint/`, `genotype.json`, `model.safetensors`, `evaluation.json`, `result.json`,
//! `predictions/`, `report.html`; of a race also `candidates/`, each a run folder, `race.json` and
//! `winner.toml`. Every file is replaced whole; one process at a time holds `lock`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::data::plan::{Plan, to_json};
use crate::error::{Difference, Error, Result};
use crate::observer::{EpochLine, Observer};
use crate::ranks::Ranks;
use crate::settings::Config;
use crate::store::lock::Lock;

/// The file with the settings that the winner of a race was trained with: those of the race, but
/// for its width.
pub const WINNER: &str = "winner.toml";

/// What the check of a run's data found: beside the folds of a cross-validation, or in the folder
/// of a run.
pub const FINDINGS: &str = "findings.json";

/// Where the images and label maps of a run's held-out cases lie.
pub const HELD_OUT: &str = "held-out.json";

/// The file with the settings that the network of a run was trained with.
pub fn settings_file(folder: &Path) -> PathBuf {
    let winner = folder.join(WINNER);
    if winner.exists() { winner } else { folder.join("config.toml") }
}

/// An open run folder.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    lines: Vec<EpochLine>,
    /// Held as long as the folder is open, by the rank that writes; the others only read.
    lock: Option<Lock>,
}

impl RunDir {
    /// Opens and locks a run folder, new or to be resumed with the same settings and plan. A new one
    /// stays without them until it [begins](Self::begin). Of several ranks the first does so; for the
    /// others nothing is ever written.
    ///
    /// # Errors
    /// When the folder holds another run, is in use, or cannot be written.
    pub fn open(
        path: &Path,
        config: &Config,
        plan: &Plan,
        ranks: &dyn Ranks,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let lock = ranks.is_first().then(|| made_and_locked(path, observer)).transpose()?;
        let dir = Self { path: path.into(), lines: read_log(&path.join("log.jsonl"))?, lock };
        let settings = dir.file("config.toml");
        if settings.exists() {
            same_settings(&settings, config)?;
        }
        let file = dir.file("plan.json");
        let plan = Plan::read(&file).map_or_else(|_| plan.clone(), |kept| plan.measured_as(&kept));
        dir.is_same("plan.json", &to_json(&plan)?)?;
        Ok(dir)
    }

    /// Writes settings and plan, unless they are there.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn begin(&self, config: &Config, plan: &Plan) -> Result<()> {
        let settings = self.file("config.toml");
        if !settings.exists() {
            self.write("config.toml", config.to_toml().as_bytes())?;
        }
        self.same_or_new("plan.json", &to_json(plan)?)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
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
            text.extend(serde_json::to_vec(line)?);
            text.push(b'\n');
        }
        self.write("log.jsonl", &text)
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
        self.write(name, &to_json(value)?)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        match self.lock {
            Some(_) => Ok(medvol::atomic_write(self.file(name), bytes)?),
            None => Ok(()),
        }
    }

    /// Writes a file that says what the run is, or checks that it is there with the same content.
    ///
    /// # Errors
    /// When the run is another one, or the file cannot be read or written.
    pub fn same_or_new(&self, name: &str, bytes: &[u8]) -> Result<()> {
        match self.is_same(name, bytes)? {
            true => Ok(()),
            false => self.write(name, bytes),
        }
    }

    /// Whether a file that says what the run is is there.
    ///
    /// # Errors
    /// When it is that of another run, or cannot be read.
    fn is_same(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let path = self.file(name);
        match std::fs::read(&path) {
            Ok(found) if found == bytes => Ok(true),
            Ok(found) if serde_json::from_slice::<serde_json::Value>(&found).is_err() => {
                Err(Error::DamagedRun { path })
            }
            Ok(found) => {
                let differences = vec![first_difference(&found, bytes)];
                Err(Error::AnotherRun { path, differences })
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::file("read", &path, e)),
        }
    }
}

/// Makes and locks a run folder, and removes what was left behind in it.
fn made_and_locked(path: &Path, observer: &dyn Observer) -> Result<Lock> {
    std::fs::create_dir_all(path.join("checkpoint")).map_err(|e| Error::file("create", path, e))?;
    let lock = Lock::take(path, observer)?;
    ["", "checkpoint", "predictions"]
        .into_iter()
        .for_each(|folder| medvol::remove_leftovers(path.join(folder)));
    Ok(lock)
}

/// Checks that a run's `config.toml` holds these settings; a key that an older file lacks has its
/// default. Where the file of splits lies is no setting: what it says is in the plan. Nor is where
/// preprocessed cases are held, or what is written to be looked at.
///
/// # Errors
/// Names the settings that differ; or when the file cannot be read.
pub fn same_settings(path: &Path, config: &Config) -> Result<()> {
    let bytes = std::fs::read(path).map_err(|e| Error::file("read", path, e))?;
    let text = std::str::from_utf8(&bytes)
        .ok()
        .filter(|text| !text.is_empty() && text.parse::<toml::Table>().is_ok());
    let Some(text) = text else { return Err(Error::DamagedRun { path: path.into() }) };
    let same_places = |mut read: Config| {
        if let (Some(before), Some(now)) = (&mut read.data.splits, &config.data.splits) {
            before.clone_from(now);
        }
        read.data = read.data.held_as(&config.data);
        read.log = config.log.clone();
        read
    };
    let differences = match toml::from_str(text).map(same_places) {
        Ok(read) if read == *config => return Ok(()),
        Ok(read) => {
            let changes = read.differences(config).into_iter();
            let change =
                |(key, [before, now]): (_, [_; 2])| Difference { key: Some(key), before, now };
            changes.map(change).collect()
        }
        Err(_) => vec![first_difference(text.as_bytes(), config.to_toml().as_bytes())],
    };
    Err(Error::AnotherRun { path: path.into(), differences })
}

/// The first line in which two texts differ.
fn first_difference(before: &[u8], now: &[u8]) -> Difference {
    let [before, now] = [before, now].map(String::from_utf8_lossy);
    let (mut a, mut b) = (before.lines(), now.lines());
    loop {
        match (a.next(), b.next()) {
            (Some(x), Some(y)) if x == y => {}
            (x, y) => {
                let [before, now] = [x, y].map(|line| line.unwrap_or_default().trim().to_string());
                return Difference { key: None, before, now };
            }
        }
    }
}

/// Reads the `log.jsonl` of a run; no lines where there is none.
///
/// # Errors
/// A file that cannot be read or understood.
pub fn read_log(path: &Path) -> Result<Vec<EpochLine>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::file("read", path, e)),
    };
    String::from_utf8_lossy(&bytes)
        .lines()
        .map(|line| {
            let remedy = "move the file away; the run goes on with a new log";
            serde_json::from_str(line)
                .map_err(|e| Error::invalid(path, "one JSON line an epoch", e, remedy))
        })
        .collect()
}
