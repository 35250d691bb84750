//! `scnas worker`: does one task of a list.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use scnas::report::result::is_complete;
use scnas::store::lock::Lock;

use crate::interrupt;
use crate::jobs::list::{FILE, Kind, Task, read};
use crate::jobs::record::{Record, State};
use crate::output::{Output, note, warn};
use crate::progress::Progress;
use crate::typed::Typed;

/// Name of the file that one process holds while it does a task, where the drive knows locks.
const LOCK: &str = "task.lock";

/// Do one task of a list that `scnas plan-jobs --write` or --launch wrote
///
/// Runs the task's command in this process, in the directory where it was planned. A task that was
/// stopped or killed goes on from its last checkpoint, and one that is done is left as it is. What
/// became of it is in task.json in its folder, for `scnas status`. Exit codes are those of the
/// command: 75 after SIGTERM or SIGUSR1, to be queued again. --threads and --device win over those
/// of the task.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scnas worker cv --task 0 --threads 4")]
pub struct WorkerArgs {
    /// Folder that holds jobs.json
    pub dir: PathBuf,
    /// Number of the task
    #[arg(long, value_name = "N")]
    pub task: usize,
}

/// Does the task; `execute` runs its command.
pub fn run(
    args: &WorkerArgs,
    typed: &Typed,
    execute: impl FnOnce(&Typed) -> Result<ExitCode>,
) -> Result<ExitCode> {
    interrupt::listen()?;
    let tasks = read(&args.dir)?;
    let task = tasks.get(args.task).with_context(|| {
        let (file, last) = (args.dir.join(FILE), tasks.len().saturating_sub(1));
        format!("{}: there is no task {}; expected 0 to {last}", file.display(), args.task)
    })?;
    let command = command(task, typed)?;
    let (directory, folder) = (&task.directory, task.place());
    std::env::set_current_dir(directory).with_context(|| {
        format!("cannot go to {}, where this task was planned", directory.display())
    })?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;

    let _lock = lock(task, &folder, typed)?;
    let before = Record::read(&folder)?.is_some_and(|record| record.state == State::Done);
    let stays = match task.kind {
        Kind::Run => is_complete(&folder),
        Kind::Part => true,
        Kind::Table => false,
    };
    if before && stays {
        note(format_args!("{}: this task is done", folder.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let record = Record::begin();
    record.write(&folder)?;
    let done = execute(&command).and_then(|code| left_out(task, &folder).map_or(Ok(code), Err));
    if let Err(error) = record.end(&done).write(&folder) {
        warn(format_args!("what became of the task is not recorded: {error:#}"));
    }
    done
}

/// The command of a task, with what this process was told of threads, device and messages.
fn command(task: &Task, typed: &Typed) -> Result<Typed> {
    let Task { number, arguments, .. } = task;
    let mut command = Typed::parse(arguments).map_err(|error| {
        let error = error.to_string();
        let said = error.lines().next().unwrap_or_default().to_string();
        anyhow!("task {number}: expected arguments of this version of scnas; found others ({said})")
    })?;
    let (own, told) = (&mut command.cli.global, &typed.cli.global);
    own.threads = told.threads.or(own.threads);
    if typed.names_device() {
        own.device.clone_from(&told.device);
    }
    own.quiet |= told.quiet;
    own.json |= told.json;
    Ok(command)
}

/// One process at a time does a task. Those that make a table wait for each other, so that the last
/// one sees all.
fn lock(task: &Task, folder: &Path, typed: &Typed) -> Result<Lock> {
    let global = &typed.cli.global;
    let progress = Progress::new(Output { json: global.json, quiet: global.quiet });
    Ok(match task.kind {
        Kind::Table => Lock::wait_named(LOCK, folder, &progress)?,
        Kind::Run | Kind::Part => Lock::take_named(LOCK, folder, &progress)?,
    })
}

/// What to say of a run that is not complete though its command ended well.
fn left_out(task: &Task, folder: &Path) -> Option<anyhow::Error> {
    (task.kind == Kind::Run && !is_complete(folder)).then(|| {
        anyhow!(
            "{}: expected a run folder that no other process uses; it was in use and left out; \
             do this task again once it is free",
            folder.display()
        )
    })
}
