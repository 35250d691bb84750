//! Slurm: the tasks of a list as an array of jobs, and the one that gathers behind it.

mod queue;
mod script;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use scnas::run::cross_validate::{foresee, planned};
use scnas::run::needs::Needs;
use scnas::{Device, Order};
use serde_json::json;

use crate::cross_validate::{CrossValidateArgs, Prepared};
use crate::jobs::list::{self, Task};
use crate::jobs::plan::of_cross_validation;
use crate::jobs::slurm::queue::Queue;
use crate::jobs::slurm::script::{FOLDS, Scripts, TABLE, ranges};
use crate::jobs::standing::{Standing, of_all};
use crate::jobs::status::hint;
use crate::output::{Output, warn};
use crate::progress::Progress;
use crate::said::said;
use crate::typed::Typed;

/// The folder of scripts and of what the jobs print, in that of the command.
const FOLDER: &str = "slurm";

/// Checks the data, writes list and scripts, and submits the tasks that are neither done nor in the
/// queue.
pub fn launch(
    args: &CrossValidateArgs,
    prepared: &Prepared,
    typed: &Typed,
    device: &Device,
    output: Output,
) -> Result<ExitCode> {
    let dry_run = args.launch.dry_run;
    let dir = std::path::absolute(&prepared.out)
        .with_context(|| format!("cannot tell where {} is", prepared.out.display()))?;
    let folder = dir.join(FOLDER);
    if !dry_run {
        Queue::ensure_slurm()?;
    }
    let progress = Progress::new(output);
    let order = prepared.order(&args.data, device);
    let folds = planned(&order, &args.folds, &progress)?;
    let tasks = of_cross_validation(args, typed, &prepared.out, &folds)?;
    list::refuse_others(&dir, &tasks)?;
    let mut queue = if dry_run { None } else { Some(Queue::of(&folder)?) };
    let due = Due::of(&tasks, queue.as_ref());
    let needs = match !due.folds.is_empty() {
        true => measured(&order, prepared, !dry_run, &progress)?,
        false => None,
    };
    drop(progress);
    let scripts = Scripts {
        dir: &dir,
        folder: &folder,
        program: typed.program.as_deref().context("cannot tell where scnas is")?,
        tasks: &tasks,
        needs,
        threads: rayon::current_num_threads(),
        options: &args.launch.slurm_option,
    };
    let Some(queue) = &mut queue else {
        let (folds, table) = (scripts.folds()?, scripts.table()?);
        let text = format!("{folds}\n{table}");
        output.result(text, || json!({ "folds": folds, "table": table }))?;
        return Ok(ExitCode::SUCCESS);
    };
    list::write(&dir, &tasks)?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let submitted = due.submit(queue, &scripts)?;
    let text = format!("{}; `{}` says how they stand", submitted.text(&due), hint(&prepared.out));
    output.result(text, || {
        json!({
            "folder": prepared.out,
            "folds": due.folds,
            "folds_job": submitted.folds,
            "table_job": submitted.table,
            "in_queue": due.in_queue,
        })
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What a fold takes; `None`, with a warning, where this machine has no memory to find out.
fn measured(
    order: &Order,
    prepared: &Prepared,
    check: bool,
    progress: &Progress,
) -> Result<Option<Needs>> {
    match foresee(order, prepared.named.as_ref(), check, progress) {
        Err(error @ scnas::Error::Memory { .. }) => {
            let why = "no time and memory are asked for, as they cannot be measured here";
            warn(format_args!("{why}: {}", said(&error)));
            Ok(None)
        }
        needs => Ok(Some(needs?)),
    }
}

/// Numbers of tasks that are to be submitted, and of those that are in the queue.
struct Due {
    folds: Vec<usize>,
    /// Whether what gathers is due.
    table: bool,
    in_queue: Vec<usize>,
}

/// Numbers of the jobs that were submitted.
struct Submitted {
    folds: Option<String>,
    table: Option<String>,
}

impl Due {
    /// The tasks that are neither done nor in the queue. One in the queue that gathers does not wait
    /// for what is submitted now.
    fn of(tasks: &[Task], queue: Option<&Queue>) -> Self {
        let table = tasks.len() - 1;
        let in_queue = queue.map_or_else(Vec::new, |queue| queue.tasks(table));
        let open: Vec<usize> = of_all(tasks)
            .into_iter()
            .filter(|task| task.state != Standing::Done && !in_queue.contains(&task.number))
            .map(|task| task.number)
            .collect();
        let (gathering, folds): (Vec<usize>, Vec<usize>) =
            open.into_iter().partition(|&number| tasks[number].gathers());
        Self { table: !gathering.is_empty() || !folds.is_empty(), folds, in_queue }
    }

    /// Submits them; the table behind all that are in the queue then.
    fn submit(&self, queue: &mut Queue, scripts: &Scripts) -> Result<Submitted> {
        let write = |name, text: String| -> Result<PathBuf> {
            let file = scripts.folder.join(name);
            medvol::atomic_write(&file, text.as_bytes())?;
            Ok(file)
        };
        let mut submitted = Submitted { folds: None, table: None };
        if !self.folds.is_empty() {
            let array = format!("--array={}", ranges(&self.folds));
            let script = write(FOLDS, scripts.folds()?)?;
            submitted.folds = Some(queue.submit(&[&array], &script)?);
        }
        if self.table {
            let behind = queue.behind().map(|jobs| format!("--dependency=afterany:{jobs}"));
            let options: Vec<&str> = behind.iter().map(String::as_str).collect();
            let script = write(TABLE, scripts.table()?)?;
            submitted.table = Some(queue.submit(&options, &script)?);
        }
        Ok(submitted)
    }
}

impl Submitted {
    fn text(&self, due: &Due) -> String {
        let said = |what: String, job: &Option<String>| {
            job.as_ref().map(|job| format!("{what} submitted as job {job}"))
        };
        let folds = said(format!("tasks {}", ranges(&due.folds)), &self.folds);
        let table = said("the table".into(), &self.table);
        let mut parts: Vec<String> = folds.into_iter().chain(table).collect();
        if parts.is_empty() {
            parts.push("nothing to submit".into());
        }
        if !due.in_queue.is_empty() {
            parts.push(format!("tasks {} in the queue before", ranges(&due.in_queue)));
        }
        parts.join(", ")
    }
}

/// What a run asks of the scheduler: twice the time and half again the memory that were measured
/// here, as machines differ.
fn asked(needs: Needs) -> (u64, Option<u64>) {
    const MIB: u64 = 1 << 20;
    let minutes = 30 + (2.0 * needs.seconds / 60.0).ceil() as u64;
    (minutes, needs.memory.map(|bytes| 1024 + (bytes + bytes / 2).div_ceil(MIB)))
}
