//! The scripts that are submitted: plain, to be read and changed.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use scnas::run::needs::Needs;

use crate::jobs::list::{Kind, Task};
use crate::jobs::shell::quoted;
use crate::jobs::slurm::asked;

/// Minutes and MiB of a job that makes a table.
const TABLE_NEEDS: (u64, Option<u64>) = (30, Some(2048));

/// What the scripts are made of.
pub struct Scripts<'a> {
    /// The folder of the list; absolute, as that of the scripts and the program.
    pub dir: &'a Path,
    pub folder: &'a Path,
    pub program: &'a Path,
    /// What a run takes, where that is known.
    pub needs: Option<Needs>,
    /// Threads of a run.
    pub threads: usize,
    /// Options of sbatch that go last.
    pub options: &'a [String],
}

impl Scripts<'_> {
    /// The script of the tasks of a stage.
    pub fn of(&self, stage: &[&Task]) -> Result<String> {
        match stage {
            [task] if task.kind == Kind::Table => self.table(task),
            _ => self.array(stage),
        }
    }

    /// An array: a job is the task of its place.
    fn array(&self, stage: &[&Task]) -> Result<String> {
        let numbers: Vec<usize> = stage.iter().map(|task| task.number).collect();
        let (name, kind) = stage.first().map_or(("", Kind::Run), |task| (task.stage(), task.kind));
        let asked = self.needs.map(|needs| asked(needs, kind));
        let head = self.head("task-%a.txt", self.threads, asked)?;
        let worker = self.worker("\"$SLURM_ARRAY_TASK_ID\"")?;
        Ok(format!(
            r#"#!/bin/bash
# A task a job: its place in the array is its number in jobs.json.
# Submit with: sbatch --array={array} {name}.sh
{head}#SBATCH --requeue
#SBATCH --signal=B:USR1@300
{options}
{worker} &
worker=$!
heard=
cancelled=
trap 'heard=1; kill -USR1 "$worker"' USR1
trap 'heard=1; cancelled=1; kill -TERM "$worker"' TERM

# A signal ends the wait, too: the worker then saves before it ends.
wait "$worker"
code=$?
while [ -n "$heard" ] && [ "$code" -gt 128 ]; do
  heard=
  wait "$worker"
  code=$?
done

# Saved before its time was up. After scancel or a preemption, Slurm says itself what comes next.
if [ "$code" -eq 75 ] && [ -z "$cancelled" ]; then
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$code"
"#,
            array = ranges(&numbers),
            options = self.own_options()?,
        ))
    }

    /// The table of what others reached.
    fn table(&self, task: &Task) -> Result<String> {
        let head = self.head("table.txt", 1, Some(TABLE_NEEDS))?;
        Ok(format!(
            r#"#!/bin/bash
# The table of the folds that are complete, behind all of them.
# Submit with: sbatch --dependency=afterany:JOB {name}.sh
{head}{options}
exec {worker}
"#,
            name = task.stage(),
            options = self.own_options()?,
            worker = self.worker(&task.number.to_string())?,
        ))
    }

    /// What both ask for.
    fn head(
        &self,
        printed: &str,
        threads: usize,
        asked: Option<(u64, Option<u64>)>,
    ) -> Result<String> {
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy();
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let name: String = name.chars().map(plain).collect();
        let folder = text(self.folder)?;
        ensure!(
            !folder.contains(['"', '\\', '\n']),
            "{folder}: expected a path without quotes and backslashes, which sbatch cannot read; \
             give another folder with --out"
        );
        let folder = folder.replace('%', "%%");
        let mut head = format!(
            "#SBATCH --job-name={name}\n#SBATCH --output=\"{folder}/{printed}\"\n#SBATCH \
             --open-mode=append\n#SBATCH --ntasks=1\n#SBATCH --cpus-per-task={threads}\n"
        );
        if let Some((minutes, mib)) = asked {
            head += &format!("#SBATCH --time={minutes}\n");
            if let Some(mib) = mib {
                head += &format!("#SBATCH --mem={mib}M\n");
            }
        }
        Ok(head)
    }

    /// The options that were given; the last one of a name wins.
    fn own_options(&self) -> Result<String> {
        let mut lines = String::new();
        for option in self.options {
            ensure!(
                option.starts_with('-') && !option.contains('\n'),
                "--slurm-option: expected an option of sbatch, such as --partition=long; found \
                 {option:?}"
            );
            lines += &format!("#SBATCH {option}\n");
        }
        Ok(lines)
    }

    /// The worker's command; threads are those that Slurm gives.
    fn worker(&self, number: &str) -> Result<String> {
        let (program, dir) = (quoted(text(self.program)?), quoted(text(self.dir)?));
        Ok(format!(
            "{program} worker {dir} --task {number} --threads \"${{SLURM_CPUS_PER_TASK:-1}}\""
        ))
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{}: expected a path in UTF-8; rename it", path.display()))
}

/// Numbers that rise, as sbatch takes them: `0-3,5`.
pub fn ranges(numbers: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => parts.push((number, number)),
        }
    }
    let part = |(first, last): (usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    parts.into_iter().map(part).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(ranges(&[3]), "3");
        assert_eq!(ranges(&[]), "");
    }
}
