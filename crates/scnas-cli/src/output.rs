//! What a command says: results on stdout, as text or JSON, and errors and notes on stderr.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Error, Result};
use serde_json::Value;

use crate::interrupt;

/// How results are shown.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// JSON on stdout instead of text.
    pub json: bool,
    /// No progress on stderr.
    pub quiet: bool,
}

impl Output {
    /// Prints a result: `text` for people, or `json` where that was asked for.
    pub fn result(self, text: impl fmt::Display, json: impl FnOnce() -> Value) -> Result<()> {
        let text = if self.json { format!("{:#}", json()) } else { text.to_string() };
        Ok(writeln!(io::stdout(), "{}", text.trim_end())?)
    }
}

/// A line on stderr. Where nobody listens any more, nothing is said.
pub fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Something that needs attention but ends nothing; shown even when quiet.
pub fn warn(text: impl fmt::Display) {
    note(format_args!("warning: {text}"));
}

/// Says why a command failed, and gives the exit code.
pub fn failure(error: &Error) -> ExitCode {
    if is_broken_pipe(error) {
        // The reader has seen enough (`scnas … | head`).
        return ExitCode::SUCCESS;
    }
    if let Some(scnas::Error::Stopped) = error.downcast_ref() {
        note(error);
        return ExitCode::from(interrupt::exit_code());
    }
    note(format_args!("error: {}", chain(error)));
    ExitCode::FAILURE
}

/// The error and its causes in one line; a cause that the text before already tells is not
/// repeated.
pub fn chain(error: &Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(|c| one_line(&c.to_string())) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Joins lines, without the excerpts of a file that TOML errors show between bars.
fn one_line(text: &str) -> String {
    let excerpt = |line: &&str| {
        line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|')
    };
    text.lines().filter(|line| !excerpt(line)).map(str::trim).collect::<Vec<_>>().join(", ")
}

fn is_broken_pipe(error: &Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
