//! What a command says: results on stdout, as text or JSON, and errors and notes on stderr.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Error, Result};
use serde_json::Value;

use crate::interrupt;
use crate::said::{chain, own};

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

/// Whether lines on stderr are left out.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Has nothing said from now on: another process says the same. Or has all said again.
pub fn silence(silent: bool) {
    SILENT.store(silent, Ordering::Relaxed);
}

/// Whether nothing is said.
pub fn is_silent() -> bool {
    SILENT.load(Ordering::Relaxed)
}

/// A line on stderr. Where nobody listens any more, nothing is said.
pub fn note(text: impl fmt::Display) {
    if !is_silent() {
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// Something that needs attention but ends nothing; shown even when quiet.
pub fn warn(text: impl fmt::Display) {
    note(format_args!("warning: {text}"));
}

/// Says why a command failed, and gives the exit code.
pub fn failure(error: &Error) -> ExitCode {
    let code = code_of(error);
    if let Some(stopped) = stop(error) {
        note(stopped);
    } else if code != 0 {
        note(format_args!("error: {}", chain(error)));
    }
    ExitCode::from(code)
}

/// The exit code of a command that ended with this.
pub fn code_of(error: &Error) -> u8 {
    match error {
        // The reader has seen enough (`scnas … | head`).
        error if is_broken_pipe(error) => 0,
        error if stop(error).is_some() => interrupt::exit_code(),
        _ => 1,
    }
}

/// What says that a command stopped as it was asked to.
pub fn stop(error: &Error) -> Option<&scnas::Error> {
    error.chain().filter_map(own).find(|cause| matches!(cause, scnas::Error::Stopped))
}

fn is_broken_pipe(error: &Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
