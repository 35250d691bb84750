//! `scnas config`: the settings with their meaning.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::settings::{Config, PRESETS, preset, reference};
use serde_json::json;

use crate::output::Output;

/// Print all settings with their meaning
///
/// Prints a preset as TOML. Save it, change it and give it to search or train with --config; keys
/// left out keep the preset's value.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas config > my.toml
  scnas config --preset paper")]
pub struct ConfigArgs {
    /// Which settings
    #[arg(long, value_parser = PRESETS, default_value = "default", value_name = "NAME")]
    pub preset: String,
    /// Print a table of all settings with their values in every preset, in Markdown
    #[arg(long)]
    pub reference: bool,
}

pub fn run(args: &ConfigArgs, output: Output) -> Result<ExitCode> {
    if args.reference {
        output.result(reference(), || json!({ "reference": reference() }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load(&args.preset, None, &[])?;
    output.result(preset(&args.preset)?, || json!(config))?;
    Ok(ExitCode::SUCCESS)
}
