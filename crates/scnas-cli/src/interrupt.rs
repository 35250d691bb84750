//! Ctrl-C, SIGTERM and SIGHUP: the first asks the work to stop after its current step, the second quits at once.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};

use crate::output::note;

/// Exit code of a command that was asked to stop.
pub const EXIT_STOPPED: u8 = 130;

static STOP: AtomicBool = AtomicBool::new(false);

/// Starts to listen. Only for verbs that look at [`requested`]: the others just end.
pub fn listen() -> Result<()> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(EXIT_STOPPED.into());
        }
        if std::io::stderr().is_terminal() {
            // Below the progress bar, not behind it.
            note("");
        }
        note("stopping after the current step; once more to quit at once");
    })
    .context("cannot listen for Ctrl-C")
}

/// True once a stop was asked for.
pub fn requested() -> bool {
    STOP.load(Ordering::SeqCst)
}
