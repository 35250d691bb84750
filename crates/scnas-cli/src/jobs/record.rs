//! `task.json`: what became of a task, in its folder.

use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use scnas::data::plan::to_json;
use serde::{Deserialize, Serialize};

use crate::output::{code_of, stop};
use crate::said::chain;

/// Name of the file.
pub const FILE: &str = "task.json";

/// How a task was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A process works on it, or was killed.
    Running,
    Done,
    /// On request, with everything saved.
    Stopped,
    Failed,
}

/// What is known of the latest time that a task was begun. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub state: State,
    pub host: String,
    pub pid: u32,
    pub begun: u64,
    pub ended: Option<u64>,
    pub exit_code: Option<u8>,
    pub last_words: Option<String>,
}

impl Record {
    /// That of a task which this process begins now.
    pub fn begin() -> Self {
        Self {
            state: State::Running,
            host: host(),
            pid: std::process::id(),
            begun: seconds(SystemTime::now()),
            ended: None,
            exit_code: None,
            last_words: None,
        }
    }

    /// The same once the task has ended.
    pub fn end(self, done: &Result<ExitCode>) -> Self {
        let (state, code, words) = match done {
            Ok(code) if *code == ExitCode::SUCCESS => (State::Done, 0, None),
            Ok(_) => (State::Failed, 1, None),
            Err(error) => match (code_of(error), stop(error)) {
                (0, _) => (State::Done, 0, None),
                (code, Some(stop)) => (State::Stopped, code, Some(stop.to_string())),
                (code, None) => (State::Failed, code, Some(chain(error))),
            },
        };
        let ended = Some(seconds(SystemTime::now()));
        Self { state, ended, exit_code: Some(code), last_words: words, ..self }
    }

    /// Writes it into the folder of its task.
    pub fn write(&self, folder: &Path) -> Result<()> {
        Ok(medvol::atomic_write(folder.join(FILE), &to_json(self)?)?)
    }

    /// Reads that of a folder; `None` where there is none.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let file = folder.join(FILE);
        match std::fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            bytes => {
                let bytes = bytes.with_context(|| format!("cannot read {}", file.display()))?;
                serde_json::from_slice(&bytes).map(Some).with_context(|| {
                    format!("{}: expected a file as scnas worker writes it", file.display())
                })
            }
        }
    }
}

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The name of this machine, as far as it is told.
fn host() -> String {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let told = told.or_else(|| std::env::var("HOSTNAME").ok());
    let told = told.or_else(|| std::env::var("COMPUTERNAME").ok());
    told.map_or_else(|| "unknown".into(), |name| name.trim().to_string())
}
