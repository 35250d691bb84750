//! `scnas check`: everything that is wrong with a data set, and a corrected copy; and the same
//! check before a run begins.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use medvol::Dataset;
use medvol::check::{Finding, Fixed, Fold, Kind, Options, Report, Severity, check, fix};
use medvol::io::Source;
use scnas::data::plan::Plan;
use scnas::data::splits::read_unchecked;
use scnas::memory::free;
use scnas::run::pipeline::Observer as _;
use scnas::settings::config::Config;
use serde_json::json;

use crate::architecture::name_of_folder;
use crate::interrupt;
use crate::output::Output;
use crate::progress::Progress;

/// More notes of one kind than this are told in one line.
const NOTES_OF_A_KIND: usize = 3;

/// Say everything that is wrong with a data set, case by case, with remedies
///
/// Reads every file once. Errors: training would fail or be wrong (files that are missing,
/// truncated or unreadable; shapes, places and spacings that disagree; wrong channels; NaN; labels
/// that are not listed; the same patient on both sides of a split). Warnings: look at it (empty or
/// tiny foreground, labels that nobody has, duplicates, outliers of spacing and intensity). Notes
/// need nothing done. Exit code 0: no errors; 1: errors.
///
/// --fix writes a corrected copy in the MSD layout, never over the original: NaN and infinity
/// become 0, a label map that is slightly off or has lost its place gets its image's, labels that
/// are nearly integers are rounded; cases with other errors, second copies of an image and files
/// that belong to no case are left out. The exit code is then that of the copy.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas check DATA/Task04_Hippocampus
  scnas check DATA/Dataset004_Hippocampus --splits splits_final.json --json
  scnas check pairs.csv --fix corrected")]
pub struct CheckArgs {
    /// Data set: an MSD or nnU-Net raw folder, or a CSV file of image/label pairs
    pub data: PathBuf,
    /// Also hold the cases against these folds: a splits_final.json of nnU-Net
    #[arg(long, value_name = "FILE")]
    pub splits: Option<PathBuf>,
    /// Write a corrected copy into this folder, which must be new or empty
    #[arg(long, value_name = "DIR")]
    pub fix: Option<PathBuf>,
}

pub fn run(args: &CheckArgs, output: Output) -> Result<ExitCode> {
    interrupt::listen()?;
    let options =
        Options { labelled_only: false, folds: folds(args.splits.as_deref())?, memory: free() };
    let progress = Progress::new(output);
    let report = examine(&args.data, &options, &progress)?;
    let fixed = match &args.fix {
        None => None,
        Some(folder) => {
            progress.begin("writing the corrected copy", 0, report.cases);
            let go_on = |done| {
                progress.advance(done);
                !interrupt::requested()
            };
            Some(fix(&report, folder, go_on)?.ok_or(scnas::Error::Stopped)?)
        }
    };
    drop(progress);
    let mut text = format!("{}{}", table(&report.findings), summary(&args.data, &report));
    if let (Some(fixed), Some(folder)) = (&fixed, &args.fix) {
        let _ = write!(text, "\n{}", told(fixed, folder));
    }
    output.result(text, || {
        let count = |severity| report.count(severity);
        json!({
            "data": args.data, "cases": report.cases,
            "errors": count(Severity::Error), "warnings": count(Severity::Warning), "notes": count(Severity::Note),
            "findings": report.findings, "fixed": fixed,
        })
    })?;
    let remains = |finding: &Finding| {
        finding.severity == Severity::Error && (fixed.is_none() || finding.fix.is_none())
    };
    Ok(if report.findings.iter().any(remains) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn examine(data: &Path, options: &Options, progress: &Progress) -> Result<Report> {
    let heard = |done: usize, total: usize| {
        if done == 0 {
            progress.begin("checking cases", 0, total);
        }
        progress.advance(done);
        !interrupt::requested()
    };
    Ok(check(data, options, heard)?.ok_or(scnas::Error::Stopped)?)
}

fn folds(splits: Option<&Path>) -> Result<Vec<Fold>> {
    Ok(splits.map(read_unchecked).transpose()?.unwrap_or_default())
}

/// The findings by case, those of the data set first.
fn table(findings: &[Finding]) -> String {
    let mut notes: BTreeMap<Kind, Vec<&Finding>> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.severity == Severity::Note) {
        notes.entry(finding.kind).or_default().push(finding);
    }
    notes.retain(|_, findings| findings.len() > NOTES_OF_A_KIND);
    let mut text = String::new();
    let mut group = None;
    for finding in findings
        .iter()
        .filter(|finding| finding.severity > Severity::Note || !notes.contains_key(&finding.kind))
    {
        if group != Some(&finding.case) {
            group = Some(&finding.case);
            let _ = writeln!(text, "{}", subject(finding));
        }
        let Finding { severity, kind, message, remedy, .. } = finding;
        let _ = writeln!(text, "  {severity:7}  {kind:17}  {message}\n{:30}→ {remedy}", "");
    }
    for (kind, findings) in notes {
        let (number, first) = (findings.len(), findings[0]);
        let _ = writeln!(
            text,
            "{number} times\n  note     {kind:17}  such as {}: {}",
            subject(first),
            first.message
        );
    }
    text
}

/// What a finding is about.
fn subject(finding: &Finding) -> &str {
    finding.case.as_deref().unwrap_or("data set")
}

fn summary(data: &Path, report: &Report) -> String {
    let name = report
        .dataset
        .as_ref()
        .map_or_else(|| name_of_folder(data), |dataset| dataset.name.clone());
    let counts =
        [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")].map(
            |(severity, word)| {
                let count = report.count(severity);
                format!("{count} {word}{}", if count == 1 { "" } else { "s" })
            },
        );
    format!("{name}: {} cases checked: {}", report.cases, counts.join(", "))
}

fn told(fixed: &Fixed, folder: &Path) -> String {
    let mut text = format!(
        "{}: {} cases as they were, {} corrected, {} left out",
        folder.display(),
        fixed.unchanged,
        fixed.corrected.len(),
        fixed.left_out.len()
    );
    for (case, fixes) in &fixed.corrected {
        let fixes: Vec<String> =
            fixes.iter().map(|fix| json!(fix).as_str().unwrap_or_default().to_string()).collect();
        let _ = write!(text, "\n  {case}: {}", fixes.join(", "));
    }
    for (case, reasons) in &fixed.left_out {
        let _ = write!(
            text,
            "\n  {case}: left out: {}",
            reasons.iter().copied().collect::<Vec<_>>().join(", ")
        );
    }
    text
}

/// Checks the data a run is about to read, and stops it on errors. `folder` remembers what was
/// found fit, so that a run that goes on does not read everything once more, unless a file has
/// changed.
pub fn before_run(data: &Path, config: &Config, folder: &Path, progress: &Progress) -> Result<()> {
    let splits = config.data.splits.as_deref();
    let (remembered, state) = (folder.join("checked.txt"), state(data, splits));
    if state.is_some() && std::fs::read_to_string(&remembered).ok() == state {
        return Ok(());
    }
    // Settings that cannot be are not worth a wait.
    let plan = Dataset::open(data)
        .map_err(scnas::Error::from)
        .and_then(|dataset| Plan::new(&dataset, config));
    if let Err(error @ scnas::Error::Config { .. }) = plan {
        return Err(error.into());
    }
    let report = examine(
        data,
        &Options { labelled_only: true, folds: folds(splits)?, memory: free() },
        progress,
    )?;
    progress.message(&format!("{}{}", table(&report.findings), summary(data, &report)));
    let mut errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    if let Some(first) = errors.next() {
        let of_splits = splits.map(|path| path.display().to_string());
        let more = match (errors.count(), &of_splits) {
            (0, _) => String::new(),
            (more, None) => {
                format!(" (and {more} more errors: see scnas check {})", data.display())
            }
            (more, Some(path)) => format!(
                " (and {more} more errors: see scnas check {} --splits {path})",
                data.display()
            ),
        };
        let file = of_splits
            .filter(|_| matches!(first.kind, Kind::Folds | Kind::SplitLeak))
            .map_or_else(String::new, |path| path + ": ");
        bail!("{file}{}: {}; {}{more}", subject(first), first.message, first.remedy);
    }
    plan?;
    if let Some(state) = state {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        medvol::atomic_write(&remembered, state.as_bytes())?;
    }
    Ok(())
}

/// Size and time of change of every file a run reads, and the version of the check; `None` where
/// something cannot be read.
fn state(data: &Path, splits: Option<&Path>) -> Option<String> {
    let dataset = Dataset::open(data).ok()?;
    let labelled =
        dataset.cases.iter().filter(|case| case.label.is_some()).flat_map(|case| case.sources());
    let others = [Some(dataset.description.as_path()), dataset.table.as_deref(), splits];
    let mut text =
        format!("checked by scnas {}: bytes, time of change, file\n", env!("CARGO_PKG_VERSION"));
    for file in others.into_iter().flatten().chain(labelled.map(Source::path)) {
        let metadata = file.metadata().ok()?;
        let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        let _ = writeln!(text, "{} {changed} {}", metadata.len(), file.display());
    }
    Some(text)
}
