//! Slurm's own programs: what is in its queue, and the way there.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// Name of the file with the numbers of the jobs that were submitted, one a line.
const FILE: &str = "submitted.txt";

/// The jobs of a folder.
pub struct Queue {
    file: PathBuf,
    submitted: Vec<String>,
    /// Those that have not ended: number of the job, place in its array.
    live: Vec<(String, Option<usize>)>,
}

impl Queue {
    /// Refuses to go on without Slurm.
    pub fn ensure_slurm() -> Result<()> {
        say("sbatch", &["--version"]).map(drop)
    }

    /// Asks what has become of the jobs that were submitted from a folder.
    pub fn of(folder: &Path) -> Result<Self> {
        let file = folder.join(FILE);
        let text = match std::fs::read_to_string(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text.with_context(|| format!("cannot read {}", file.display()))?,
        };
        let submitted: Vec<String> = text.lines().map(String::from).collect();
        let mut live = Vec::new();
        if !submitted.is_empty() {
            let said = say("squeue", &["--noheader", "--array", "--me", "--format=%F %K"])?;
            live = said.lines().filter_map(entry).collect();
            live.retain(|(job, _)| submitted.contains(job));
        }
        Ok(Self { file, submitted, live })
    }

    /// Numbers of the tasks in the queue; a job without an array is task `single`.
    pub fn tasks(&self, single: Option<usize>) -> Vec<usize> {
        let mut tasks: Vec<usize> =
            self.live.iter().filter_map(|(_, task)| task.or(single)).collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks
    }

    /// Submits a script and remembers the job's number.
    pub fn submit(&mut self, options: &[&str], script: &Path) -> Result<String> {
        let script = script.to_str().context("expected a path in UTF-8")?;
        let said = say("sbatch", &[&["--parsable"], options, &[script]].concat())?;
        // Behind a semicolon, the name of the cluster.
        let job = said.trim().split(';').next().unwrap_or_default().to_string();
        ensure!(
            !job.is_empty() && job.bytes().all(|byte| byte.is_ascii_digit()),
            "sbatch: expected the number of a job; found {said:?}"
        );
        self.submitted.push(job.clone());
        // Whether it is an array is for the next look at the queue to say.
        self.live.push((job.clone(), None));
        medvol::atomic_write(&self.file, (self.submitted.join("\n") + "\n").as_bytes())?;
        Ok(job)
    }

    /// The jobs that have not ended, as a dependency names them.
    pub fn behind(&self) -> Option<String> {
        let jobs: BTreeMap<&str, ()> =
            self.live.iter().map(|(job, _)| (job.as_str(), ())).collect();
        let jobs: Vec<&str> = jobs.into_keys().collect();
        (!jobs.is_empty()).then(|| jobs.join(":"))
    }
}

/// A job's number and its place in an array, from a line like `12 3` or `13 N/A`.
fn entry(line: &str) -> Option<(String, Option<usize>)> {
    let (job, place) = line.trim().split_once(' ')?;
    Some((job.into(), place.trim().parse().ok()))
}

/// What one of Slurm's programs prints.
fn say(program: &str, arguments: &[&str]) -> Result<String> {
    let ran = match Command::new(program).args(arguments).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "{program}: expected this program of Slurm; found none; run this where jobs are \
             submitted, or have `scnas plan-jobs` list the tasks for another scheduler"
        ),
        ran => ran.with_context(|| format!("cannot run {program}"))?,
    };
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
    if !ran.status.success() {
        let what = arguments.join(" ");
        bail!(
            "{program} {what}: expected it to succeed; it said: {}; --slurm-option changes what \
             is asked for",
            said(&ran.stderr)
        );
    }
    Ok(said(&ran.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_queue_name_jobs_and_places_in_arrays() {
        assert_eq!(entry("12 3"), Some(("12".into(), Some(3))));
        assert_eq!(entry("  13 N/A "), Some(("13".into(), None)));
        assert_eq!(entry(""), None);
    }
}
