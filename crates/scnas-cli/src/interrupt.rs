//! Being asked to stop: by the user (Ctrl-C, a closed terminal), or by a batch scheduler that is
//! about to end the job (SIGTERM, SIGUSR1). A signal that is ignored from the start stays so: under
//! `nohup` a closed terminal ends nothing, and in the background of a script Ctrl-C is for others.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use anyhow::{Context as _, Result};

use crate::output::note;

/// Exit code of a command that the user stopped.
const EXIT_STOPPED: u8 = 130;

/// Exit code of a command that a scheduler stopped, for the job to be queued again: EX_TEMPFAIL of
/// sysexits.h.
#[cfg(unix)]
const EXIT_REQUEUE: u8 = 75;

/// The exit code that was asked for; 0 as long as nobody asked.
static ASKED: AtomicU8 = AtomicU8::new(0);

/// Whether somebody listens: a signal is heard once.
static LISTENING: AtomicBool = AtomicBool::new(false);

/// Starts to listen. Only for verbs that look at [`requested`]: the others just end.
pub fn listen() -> Result<()> {
    if LISTENING.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    start().context("cannot listen for signals")
}

#[cfg(unix)]
fn start() -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
    // Caught, a file that grows over the limit of the system is an error of writing like others;
    // otherwise it ends the program.
    let heard = [SIGINT, SIGHUP, SIGTERM, SIGUSR1, SIGXFSZ];
    let ignored = ignored();
    let mut signals = signal_hook::iterator::Signals::new(
        heard.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0),
    )?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            match signal {
                SIGXFSZ => {}
                SIGTERM | SIGUSR1 => ask(EXIT_REQUEUE),
                _ => ask(EXIT_STOPPED),
            }
        }
    });
    Ok(())
}

/// The signals that whoever started the program wants ignored, number `n` as bit `n - 1`. Only Linux
/// says so without a system call that Rust calls unsafe; elsewhere none is known.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(not(unix))]
fn start() -> Result<()> {
    Ok(ctrlc::set_handler(|| ask(EXIT_STOPPED))?)
}

/// The first time, asks the work to stop after its current step; a user's second time quits at
/// once.
fn ask(code: u8) {
    if ASKED.swap(code, Ordering::SeqCst) == 0 {
        if std::io::stderr().is_terminal() {
            // Below the progress bar, not behind it.
            note("");
        }
        note("stopping after the current step; Ctrl-C once more to quit at once");
    } else if code == EXIT_STOPPED {
        std::process::exit(code.into());
    }
}

/// True once a stop was asked for.
pub fn requested() -> bool {
    ASKED.load(Ordering::SeqCst) != 0
}

/// Exit code of work that was asked to stop and did.
pub fn exit_code() -> u8 {
    ASKED.load(Ordering::SeqCst)
}
