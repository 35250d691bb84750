//! `scnas report`: runs as one page to look at, and their logs as a table.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::report::{html, log_table};
use serde_json::json;

use crate::output::Output;

/// Write one page about runs: scores, pictures of the worst cases, curves, cells
///
/// The page is a file that needs nothing else: no server and no network. It has the Dice of every
/// class, the worst, median and best cases in pictures, a table of all cases that can be sorted,
/// volumes, curves, the cells at every epoch of the search, the candidates of a race, findings of
/// the data check, and settings. Several runs are compared with the first, case by case. Runs that
/// are not over are shown as far as they have come.
///
/// Every run writes the page of itself at its end, unless log.report = false.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas report runs/Task04_Hippocampus/search-fold0
  scnas report runs/found runs/random-1 runs/u-resnet --out comparison.html
  scnas report elsewhere/run --data DATA/Task04_Hippocampus
  scnas report runs/found --csv curves.csv")]
pub struct ReportArgs {
    /// Folders of runs or cross-validations, or CSV files of evaluations
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// HTML file to write [default: report.html in the folder of a single run, otherwise here]
    #[arg(long, short, value_name = "FILE", value_parser = html_file)]
    pub out: Option<PathBuf>,
    /// Data set with the images, where it does not lie where the runs found it
    #[arg(long, value_name = "DATA")]
    pub data: Option<PathBuf>,
    /// Also write the logs of the runs, a line an epoch, into this CSV file
    #[arg(long, value_name = "FILE", value_parser = csv_file)]
    pub csv: Option<PathBuf>,
}

/// A name that no file of a run or of its data has, which would be lost.
fn ending(name: &str, wanted: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(name);
    let is = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(wanted));
    is.then_some(path).ok_or_else(|| format!("expected a name that ends in .{wanted}"))
}

fn html_file(name: &str) -> Result<PathBuf, String> {
    ending(name, "html")
}

fn csv_file(name: &str) -> Result<PathBuf, String> {
    ending(name, "csv")
}

pub fn run(args: &ReportArgs, output: Output) -> Result<ExitCode> {
    let ReportArgs { runs, out, data, csv } = args;
    let page = html::page(runs, data.as_deref())?;
    let in_run = || match runs.as_slice() {
        [run] if run.is_dir() => run.join(html::FILE),
        _ => html::FILE.into(),
    };
    let out = out.clone().unwrap_or_else(in_run);
    medvol::atomic_write(&out, page.as_bytes())?;
    let mut text = format!("{}: open it in a browser", out.display());
    if let Some(csv) = csv {
        medvol::atomic_write(csv, log_table::csv(runs)?.as_bytes())?;
        text = format!("{text}\n{}: a line an epoch", csv.display());
    }
    output.result(text, || json!({ "report": out, "bytes": page.len(), "csv": csv }))?;
    Ok(ExitCode::SUCCESS)
}
