//! `scnas devices`: what there is to compute on.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::report::table::aligned;
use scnas::{Listed, devices};
use serde_json::json;

use crate::output::Output;

/// List the devices that --device can name
///
/// These are the CPU and, in a build with GPUs, those that a driver was found for. One GPU may have
/// several names, of several ways to it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas devices
  scnas devices --json")]
pub struct DevicesArgs {}

pub fn run(_: &DevicesArgs, output: Output) -> Result<ExitCode> {
    let devices = devices();
    let row = |Listed { name, description }: &Listed| vec![name.clone(), description.clone()];
    let rows: Vec<_> = devices.iter().map(row).collect();
    let entry = |Listed { name, description }: &Listed| json!({ "name": name, "is": description });
    output.result(
        aligned(&rows, 2).trim_end(),
        || json!({ "devices": devices.iter().map(entry).collect::<Vec<_>>() }),
    )?;
    Ok(ExitCode::SUCCESS)
}
