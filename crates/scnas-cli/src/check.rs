//! `scnas check`: everything that is wrong with a data set, and a corrected copy.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use medvol::check::{Finding, Fixed, Kind, Report, Severity};
use medvol::io::Reading;
use scnas::data::files::name_of_folder;
use scnas::run::check::check;
use serde_json::json;

use crate::interrupt;
use crate::output::Output;
use crate::progress::Progress;
use crate::run_options::reading;
use crate::said::remedy;

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
    /// Data set: an MSD or nnU-Net raw folder, a JSON file with MONAI's lists,
    /// or a CSV file of image/label pairs
    pub data: PathBuf,
    /// Also hold the cases against these folds: a splits_final.json of nnU-Net
    #[arg(long, value_name = "FILE")]
    pub splits: Option<PathBuf>,
    /// What counts where a NIfTI header contradicts itself, as data.geometry of a run [default:
    /// what agrees with pixdim]
    #[arg(long, value_name = "sform|qform|pixdim", value_parser = reading)]
    pub geometry: Option<Reading>,
    /// Write a corrected copy into this folder, which must be new or empty
    #[arg(long, value_name = "DIR")]
    pub fix: Option<PathBuf>,
}

pub fn run(args: &CheckArgs, output: Output) -> Result<ExitCode> {
    interrupt::listen()?;
    let progress = Progress::new(output);
    let (splits, fix) = (args.splits.as_deref(), args.fix.as_deref());
    let (report, fixed) = check(&args.data, splits, args.geometry, fix, &progress)?;
    drop(progress);
    let mut text = report_text(&args.data, &report);
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

/// All findings, and how many there are.
pub fn report_text(data: &Path, report: &Report) -> String {
    format!("{}{}", table(&report.findings), summary(data, report))
}

/// The findings by case, those of the data set first.
pub fn table(findings: &[Finding]) -> String {
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
        let subject = finding.subject();
        if group.as_ref() != Some(&subject) {
            let _ = writeln!(text, "{subject}");
            group = Some(subject);
        }
        let (Finding { severity, kind, message, .. }, remedy) = (finding, remedy(finding));
        let _ = writeln!(text, "  {severity:7}  {kind:17}  {message}\n{:30}→ {remedy}", "");
    }
    for (kind, findings) in notes {
        let (number, first) = (findings.len(), findings[0]);
        let _ = writeln!(
            text,
            "{number} times\n  note     {kind:17}  such as {}: {}",
            first.subject(),
            first.message
        );
    }
    text
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
