//! Slurm: the tasks of a list as arrays of jobs, those of each stage behind all that came before.

mod queue;
mod script;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use scnas::run::needs::Needs;
use serde_json::json;

use crate::jobs::list::{self, Kind, Task};
use crate::jobs::slurm::queue::Queue;
use crate::jobs::slurm::script::{Scripts, ranges};
use crate::jobs::standing::{Standing, of_all};
use crate::jobs::status::hint;
use crate::output::{Output, warn};
use crate::progress::Progress;
use crate::said::said;
use crate::typed::Typed;

/// The folder of scripts and of what the jobs print, in that of the command.
const FOLDER: &str = "slurm";

/// What the options are listed under.
pub const ON_A_CLUSTER: &str = "On a cluster";

/// Whether and how tasks are submitted.
#[derive(Debug, Args)]
#[command(next_help_heading = ON_A_CLUSTER)]
pub struct SubmitArgs {
    /// Submit the work to this batch scheduler, a task a job; the same command again submits what
    /// is missing
    #[arg(long = "launch", value_enum, value_name = "SCHEDULER")]
    pub scheduler: Option<Scheduler>,
    /// An option of sbatch for every job, such as --slurm-option=--partition=long; it wins over
    /// what scnas asks for; may be repeated
    #[arg(long, value_name = "OPTION", requires = "scheduler", allow_hyphen_values = true)]
    pub slurm_option: Vec<String>,
    /// Print the scripts that would be submitted; write and submit nothing
    #[arg(long, requires = "scheduler")]
    pub dry_run: bool,
}

/// Batch schedulers that scnas knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scheduler {
    /// Slurm: arrays of jobs
    Slurm,
}

/// What is to be submitted.
pub struct Work<'a> {
    pub submit: &'a SubmitArgs,
    /// The folder of the command.
    pub out: &'a Path,
    pub tasks: &'a [Task],
    /// Measures what a run takes; looks at the data before, where that is wanted.
    pub needs: &'a dyn Fn(bool, &Progress) -> scnas::Result<Needs>,
}

/// Checks the data, writes list and scripts, and submits the tasks that are neither done nor in the
/// queue.
pub fn launch(work: Work, typed: &Typed, output: Output) -> Result<ExitCode> {
    let Work { submit, out, tasks, needs } = work;
    let dir = std::path::absolute(out)
        .with_context(|| format!("cannot tell where {} is", out.display()))?;
    let folder = dir.join(FOLDER);
    if !submit.dry_run {
        Queue::ensure_slurm()?;
    }
    list::refuse_others(&dir, tasks)?;
    let mut queue = if submit.dry_run { None } else { Some(Queue::of(&folder)?) };
    let table = tasks.iter().find(|task| task.kind == Kind::Table).map(|task| task.number);
    let in_queue = queue.as_ref().map_or_else(Vec::new, |queue| queue.tasks(table));
    let due = due(tasks, &in_queue);
    let runs = due.iter().any(|stage| stage.iter().any(|task| task.kind != Kind::Table));
    let scripts = Scripts {
        dir: &dir,
        folder: &folder,
        program: typed.program.as_deref().context("cannot tell where scnas is")?,
        needs: if runs { measured(needs, !submit.dry_run, output)? } else { None },
        threads: rayon::current_num_threads(),
        options: &submit.slurm_option,
    };
    let Some(queue) = &mut queue else {
        let stages = due.iter().map(|stage| Ok((stage[0].stage(), scripts.of(stage)?)));
        let texts = stages.collect::<Result<Vec<(&str, String)>>>()?;
        let text = texts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n");
        output.result(text, || json!(texts.into_iter().collect::<BTreeMap<_, _>>()))?;
        return Ok(ExitCode::SUCCESS);
    };
    list::write(&dir, tasks)?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let mut submitted = Vec::new();
    for stage in due {
        let script = folder.join(format!("{}.sh", stage[0].stage()));
        medvol::atomic_write(&script, scripts.of(&stage)?.as_bytes())?;
        let numbers: Vec<usize> = stage.iter().map(|task| task.number).collect();
        let array = format!("--array={}", ranges(&numbers));
        let array = (stage[0].kind != Kind::Table).then_some(array);
        let behind = stage[0].needs.first().and_then(|_| queue.behind());
        let behind = behind.map(|jobs| format!("--dependency=afterany:{jobs}"));
        let options: Vec<&str> = array.iter().chain(&behind).map(String::as_str).collect();
        submitted.push((stage[0].stage(), numbers, queue.submit(&options, &script)?));
    }
    let job = |(stage, numbers, job): &(&str, Vec<usize>, String)| {
        format!("{stage}, tasks {}, submitted as job {job}", ranges(numbers))
    };
    let mut parts: Vec<String> = submitted.iter().map(job).collect();
    if parts.is_empty() {
        parts.push("nothing to submit".into());
    }
    if !in_queue.is_empty() {
        parts.push(format!("tasks {} in the queue before", ranges(&in_queue)));
    }
    let text = format!("{}; `{}` says how they stand", parts.join("; "), hint(out));
    output.result(text, || {
        let job = |(stage, tasks, job)| json!({ "stage": stage, "tasks": tasks, "job": job });
        let submitted: Vec<_> = submitted.into_iter().map(job).collect();
        json!({ "folder": out, "submitted": submitted, "in_queue": in_queue })
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The tasks that are neither done nor in the queue, stage by stage. One in the queue does not wait
/// for what is submitted now: it is due again behind that.
fn due<'a>(tasks: &'a [Task], in_queue: &[usize]) -> Vec<Vec<&'a Task>> {
    let open = of_all(tasks).into_iter().map(|task| task.state != Standing::Done);
    let open: Vec<bool> = open.collect();
    let mut due: Vec<Vec<&Task>> = Vec::new();
    for stage in tasks.chunk_by(|a, b| a.stage() == b.stage()) {
        let waits = due.is_empty();
        let is_due =
            |task: &&Task| open[task.number] && !(waits && in_queue.contains(&task.number));
        let stage: Vec<&Task> = stage.iter().filter(is_due).collect();
        if !stage.is_empty() {
            due.push(stage);
        }
    }
    due
}

/// What a run takes; `None`, with a warning, where this machine has no memory to find out.
fn measured(
    needs: &dyn Fn(bool, &Progress) -> scnas::Result<Needs>,
    check: bool,
    output: Output,
) -> Result<Option<Needs>> {
    match needs(check, &Progress::new(output)) {
        Err(error @ scnas::Error::Memory { .. }) => {
            let why = "no time and memory are asked for, as they cannot be measured here";
            warn(format_args!("{why}: {}", said(&error)));
            Ok(None)
        }
        needs => Ok(Some(needs?)),
    }
}

/// What a run asks of the scheduler: twice the time and half again the memory that were measured
/// here, as machines differ.
fn asked(needs: Needs, kind: Kind) -> (u64, Option<u64>) {
    const MIB: u64 = 1 << 20;
    let seconds = if kind == Kind::Part { needs.part_seconds } else { needs.seconds };
    let minutes = 30 + (2.0 * seconds / 60.0).ceil() as u64;
    (minutes, needs.memory.map(|bytes| 1024 + (bytes + bytes / 2).div_ceil(MIB)))
}
