//! `scnas demo`: the whole way on a made-up task, in minutes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use scnas::Device;
use scnas::run::demo::{Folders, demo};

use crate::evaluate;
use crate::interrupt;
use crate::output::{Output, note};
use crate::progress::{Progress, clock};

/// Do everything once, small: make a data set, search, train, predict, evaluate
///
/// Writes a folder with a made-up task of 3-D images in the MSD layout (an organ and a nodule in
/// noise, with uneven brightness and oblique grids), searches and trains a small network on it,
/// predicts the test images and scores them against the truth. A demo that was stopped goes on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  scnas demo --out demo-run")]
pub struct DemoArgs {
    /// Folder to write
    #[arg(long, default_value = "runs/demo", value_name = "DIR")]
    pub out: PathBuf,
}

pub fn run(args: &DemoArgs, device: &Device, output: Output) -> Result<ExitCode> {
    interrupt::listen()?;
    let start = Instant::now();
    let folders = Folders::of(&args.out);
    let progress = Progress::new(output);
    let scored = demo(&folders, device, &progress)?;
    drop(progress);
    let code = evaluate::print(scored, output)?;
    if !output.quiet {
        note(next_steps(&folders));
        note(format_args!("the demo took {} (min:s)", clock(start.elapsed())));
    }
    Ok(code)
}

fn next_steps(folders: &Folders) -> String {
    let Folders { data, run, predictions, .. } = folders;
    let (data, run, predictions) = (data.display(), run.display(), predictions.display());
    format!(
        "\nOpen {run}/report.html in a browser: scores, pictures, curves and cells of the run. \
         Images are in {data}, their label maps in {predictions}. Try next:\n  scnas show {run} \
         --svg cells.svg           the architecture that was found\n  scnas train {data} --from {run} --init inherit    its weights as the \
         search left them\n  scnas search YOUR_DATA                     the same on your own data \
         set"
    )
}
