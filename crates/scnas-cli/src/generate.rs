//! `scnas generate`: what a shell and `man` want to know of the command.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _, Subcommand};
use clap_complete::Shell;

use crate::args::Cli;

/// Write shell completions or manual pages
///
/// Packages come with both. Where scnas was built from source, this writes them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas generate completions bash > ~/.local/share/bash-completion/completions/scnas
  scnas generate completions zsh > ~/.zfunc/_scnas
  scnas generate completions fish > ~/.config/fish/completions/scnas.fish
  scnas generate man ~/.local/share/man/man1")]
pub struct GenerateArgs {
    #[command(subcommand)]
    pub what: What,
}

#[derive(Debug, Subcommand)]
pub enum What {
    /// Completions of a shell, to stdout
    Completions { shell: Shell },
    /// A manual page of scnas and of each of its verbs, into a folder
    Man { dir: PathBuf },
}

pub fn run(args: &GenerateArgs) -> Result<ExitCode> {
    let mut command = Cli::command();
    match &args.what {
        What::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command, "scnas", &mut script);
            io::stdout().write_all(&script)?;
        }
        What::Man { dir } => {
            let failed = || format!("cannot write manual pages into {}", dir.display());
            std::fs::create_dir_all(dir).with_context(failed)?;
            clap_mangen::generate_to(command, dir).with_context(failed)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
