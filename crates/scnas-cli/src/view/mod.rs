//! `scnas view`: cases and runs to look at in a browser, served on this machine alone.

mod browser;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;
use scnas::report::view::{View, is_run};
use serde_json::json;

use crate::output::{Output, note};
use server::Server;

/// Look at cases and runs in a browser: slices, 3-D, curves and cells of a run under way
///
/// Of a run or a cross-validation: its cases, the worst first, with reference, prediction and wrong
/// voxels over the image, in three planes and 3-D; its curves and cells, which grow as it goes on.
/// Of an image with label maps on its grid: the same of that one; of two maps the first is the
/// reference.
///
/// The page comes from this program, on an address of this machine that nobody else can guess, and
/// asks for nothing elsewhere. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas view runs/Task04_Hippocampus/search-fold0
  scnas view scan.nii.gz reference.nii.gz prediction.nii.gz
  scnas view runs/cv --no-browser --port 8700   # then: ssh -L 8700:127.0.0.1:8700 SERVER")]
pub struct ViewArgs {
    /// Folder of a run or of a cross-validation, or an image
    #[arg(value_name = "RUN|IMAGE")]
    pub shown: PathBuf,
    /// Label maps on the grid of the image
    pub labels: Vec<PathBuf>,
    /// Data set with the images, where it does not lie where the run found it
    #[arg(long, value_name = "DATA", conflicts_with = "labels")]
    pub data: Option<PathBuf>,
    /// Port to listen on [default: one that is free]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Print the address only, and open no browser
    #[arg(long)]
    pub no_browser: bool,
}

pub fn run(args: &ViewArgs, output: Output) -> Result<ExitCode> {
    let ViewArgs { shown, labels, data, port, no_browser } = args;
    let view = match labels.is_empty() && is_run(shown) {
        true => View::of_run(shown, data.as_deref())?,
        false => {
            ensure!(data.is_none(), "--data: expected a run, found {}", shown.display());
            View::of_files(shown, labels)?
        }
    };
    let server = Server::start(view, *port)?;
    let address = server.address();
    output.result(&address, || json!({ "address": address, "port": server.port() }))?;
    if !output.quiet {
        note("Ctrl-C ends it");
    }
    if !no_browser && let Err(why) = browser::open(&address) {
        note(format_args!("no browser was opened ({why}): open the address above in one"));
    }
    server.serve();
    Ok(ExitCode::SUCCESS)
}
