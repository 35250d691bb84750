//! How a task stands, from files alone.

use std::path::Path;

use anyhow::Result;
use scnas::report::headway::{Headway, Stage};
use serde::Serialize;
use serde_json::Value;

use crate::jobs::list::{Kind, Task};
use crate::jobs::record::{FILE, Record, State, seconds};
use crate::said::chain;

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Done,
    /// A process works on it, or was killed: the last sign of life tells.
    Running,
    /// On request; the same task goes on.
    Stopped,
    Failed,
    /// Nobody has begun it.
    Waiting,
}

impl Standing {
    /// In the order in which they are counted.
    pub const ALL: [Self; 5] =
        [Self::Done, Self::Running, Self::Stopped, Self::Failed, Self::Waiting];

    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
        }
    }
}

/// A task and how it stands.
#[derive(Debug, Serialize)]
pub struct Status<'a> {
    pub number: usize,
    pub name: &'a str,
    pub folder: &'a Path,
    pub state: Standing,
    /// Where its run is.
    #[serde(flatten)]
    pub stage: Option<Stage>,
    /// Of the latest time it was begun.
    pub record: Option<Record>,
    /// Seconds since 1970 when anything was last written.
    pub sign_of_life: Option<u64>,
    pub last_words: Option<String>,
}

/// How all tasks of a list stand.
pub fn of_all(tasks: &[Task]) -> Vec<Status<'_>> {
    let mut all: Vec<Status> = Vec::with_capacity(tasks.len());
    for task in tasks {
        let missing = task.needs.iter().any(|&needed| all[needed].state != Standing::Done);
        all.push(of(task, missing));
    }
    all
}

/// How a task stands; `missing` where one that it needs is not done.
fn of(task: &Task, missing: bool) -> Status<'_> {
    let looked = match task.kind {
        Kind::Run => running(task),
        Kind::Part => recorded(task, false),
        Kind::Table => recorded(task, missing),
    };
    looked.unwrap_or_else(|error| {
        let failed = Status::of(task, Standing::Failed, None);
        Status { last_words: Some(chain(&error)), ..failed }
    })
}

/// That of a task which is a run.
fn running(task: &Task) -> Result<Status<'_>> {
    let Headway { stage, written } = Headway::of(&task.place())?;
    let record = Record::read(&task.place())?;
    let complete = matches!(stage, Some(Stage::Complete { .. }));
    let state = match record.as_ref().map(|record| record.state) {
        // Also where it was done by hand.
        _ if complete => Standing::Done,
        recorded => Standing::recorded(recorded.filter(|state| *state != State::Done)),
    };
    let status = Status::of(task, state, record);
    let sign_of_life = written.map(seconds).max(status.sign_of_life);
    Ok(Status { stage, sign_of_life, ..status })
}

/// That of a task of which only its own word tells; `undone` where that is no longer true.
fn recorded(task: &Task, undone: bool) -> Result<Status<'_>> {
    let record = Record::read(&task.place())?;
    let state = record.as_ref().map(|record| record.state);
    let state = Standing::recorded(state.filter(|state| *state != State::Done || !undone));
    let shows = state == Standing::Done && task.kind == Kind::Table;
    let stage = shows.then(|| table(&task.place())).flatten();
    Ok(Status { stage, ..Status::of(task, state, record) })
}

impl Standing {
    fn recorded(state: Option<State>) -> Self {
        match state {
            Some(State::Done) => Self::Done,
            Some(State::Running) => Self::Running,
            Some(State::Stopped) => Self::Stopped,
            Some(State::Failed) => Self::Failed,
            None => Self::Waiting,
        }
    }
}

impl<'a> Status<'a> {
    fn of(task: &'a Task, state: Standing, record: Option<Record>) -> Self {
        let file = task.place().join(FILE).metadata();
        let ended_badly = matches!(state, Standing::Failed | Standing::Stopped);
        let last_words = record.as_ref().and_then(|record| record.last_words.clone());
        Self {
            number: task.number,
            name: &task.name,
            folder: &task.folder,
            state,
            stage: None,
            record,
            sign_of_life: file.and_then(|file| file.modified()).ok().map(seconds),
            last_words: last_words.filter(|_| ended_badly),
        }
    }
}

/// The mean Dice that the table of a cross-validation says, of one seed or of several.
fn table(folder: &Path) -> Option<Stage> {
    let tables = ["cross-validation.json", "seeds.json"].map(|name| folder.join(name));
    let bytes = tables.iter().find_map(|table| std::fs::read(table).ok())?;
    let table: Value = serde_json::from_slice(&bytes).ok()?;
    let dice = table.pointer("/over_folds/mean_foreground/mean").and_then(Value::as_f64);
    Some(Stage::Complete { dice })
}
