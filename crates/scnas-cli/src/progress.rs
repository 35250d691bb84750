//! Progress on stderr: a bar with the time left on a terminal, and one table line an epoch
//! everywhere.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use medvol::check::{Finding, Report, Severity};
use scnas::message::{Agreement, Message};
use scnas::observer::{EpochLine, Observer};
use scnas::space::genotype::EdgeShares;

use crate::check::{report_text, table};
use crate::interrupt;
use crate::output::{Output, is_silent, note, warn};
use crate::said::said;

/// Shows what a run does.
pub struct Progress {
    quiet: bool,
    /// Draws nothing where stderr is not a terminal.
    bar: ProgressBar,
    piece: Mutex<Piece>,
    /// Time between two checkpoints within an epoch, and when the last was due.
    save_every: Duration,
    saved: Mutex<Instant>,
    /// Whether anything has.
    failed: AtomicBool,
}

/// The piece of work under way.
struct Piece {
    start: Instant,
    first: usize,
    done: usize,
    total: usize,
    /// The table's header was printed.
    header: bool,
}

impl Piece {
    fn begin(done: usize, total: usize) -> Self {
        Self { start: Instant::now(), first: done, done, total, header: false }
    }

    /// Time left at the pace so far.
    fn left(&self) -> Option<Duration> {
        let done = self.done.checked_sub(self.first).filter(|&done| done > 0)?;
        let left = self.total.saturating_sub(self.done);
        Some(self.start.elapsed().mul_f64(left as f64 / done as f64))
    }
}

impl Progress {
    /// Progress as `output` asks for.
    pub fn new(output: Output) -> Self {
        let quiet = output.quiet || is_silent();
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
        let template = "{msg} {wide_bar} {pos}/{len}, {eta} left ";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let (piece, saved) = (Mutex::new(Piece::begin(0, 0)), Mutex::new(Instant::now()));
        let failed = AtomicBool::new(false);
        Self { quiet, bar, piece, save_every: Duration::MAX, saved, failed }
    }

    /// Progress of a run, which is to save every so many seconds.
    pub fn saving_every(output: Output, seconds: u64) -> Self {
        let mut progress = Self::new(output);
        progress.save_every = Duration::from_secs(seconds);
        progress
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| note(text));
        }
    }

    fn with_piece<T>(&self, f: impl FnOnce(&mut Piece) -> T) -> T {
        f(&mut self.piece.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

impl Drop for Progress {
    /// Results and errors are printed where the bar was.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn begin(&self, what: &str, done: usize, total: usize) {
        self.with_piece(|piece| *piece = Piece::begin(done, total));
        self.bar.reset();
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        self.bar.reset_eta();
        self.bar.set_message(what.to_string());
        if self.bar.is_hidden() {
            let resumed = if done > 0 { format!(", {done} done before") } else { String::new() };
            self.say(&format!("{what} ({total}{resumed})"));
        }
    }

    fn advance(&self, done: usize) {
        self.with_piece(|piece| piece.done = piece.done.max(done));
        self.bar.set_position(done as u64);
    }

    fn epoch(&self, line: &EpochLine, classes: &[String]) {
        let (first, left) =
            self.with_piece(|piece| (!std::mem::replace(&mut piece.header, true), piece.left()));
        if first {
            self.say(&header(line, classes));
        }
        self.say(&row(line, classes.len(), left));
    }

    fn checked(&self, data: &Path, report: &Report) {
        if !self.quiet {
            return self.say(&report_text(data, report));
        }
        let warnings = report.findings.iter().filter(|f| f.severity == Severity::Warning);
        let warnings: Vec<Finding> = warnings.cloned().collect();
        // Errors end the run, and are said where it ends.
        if !warnings.is_empty() && !report.has_errors() {
            self.bar.suspend(|| note(table(&warnings).trim_end()));
        }
    }

    fn message(&self, message: &Message) {
        if message.is_warning() {
            self.bar.suspend(|| warn(message));
        } else {
            self.say(&message.to_string());
        }
    }

    fn failed(&self, error: &scnas::Error) {
        // The first one is in the error at the end.
        let first = !self.failed.swap(true, Ordering::Relaxed);
        if !(self.quiet && first) {
            self.bar.suspend(|| warn(said(error)));
        }
    }

    fn save(&self) -> bool {
        let mut saved = self.saved.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let due = saved.elapsed() >= self.save_every;
        if due {
            *saved = Instant::now();
        }
        due
    }

    fn stop(&self) -> bool {
        interrupt::requested()
    }
}

/// Widths of the columns: epoch, then numbers.
const EPOCH: usize = 9;
const NUMBER: usize = 8;

fn header(line: &EpochLine, classes: &[String]) -> String {
    let mut text = format!("{:EPOCH$}{:>NUMBER$}", line.phase, "loss");
    let mut column = |name: &str| {
        let short: String = name.chars().take(NUMBER - 1).collect();
        let _ = write!(text, "{short:>NUMBER$}");
    };
    if line.search.is_some() {
        column("α loss");
    }
    classes.iter().for_each(|class| column(class));
    column("Dice");
    if let Some(search) = &line.search {
        let state: &[&str] = match search.decide {
            None => &["tau", "entropy"],
            Some(_) => &["ops"],
        };
        state.iter().chain(&["r", "same", "zero", "ident.", "pool"]).for_each(|name| column(name));
    }
    column("seconds");
    column("left");
    text
}

fn row(line: &EpochLine, classes: usize, left: Option<Duration>) -> String {
    let epoch = format!("{}/{}", line.epoch + 1, line.epochs);
    let mut text = format!("{epoch:EPOCH$}{:NUMBER$.4}", line.loss);
    let mut column = |cell: String| {
        let _ = write!(text, "{cell:>NUMBER$}");
    };
    let dice = |value: Option<f64>| value.map_or_else(|| "–".to_string(), |v| format!("{v:.4}"));
    if let Some(search) = &line.search {
        column(dice(search.alpha_loss));
    }
    match &line.dice {
        Some(scores) => {
            scores.iter().copied().chain([line.mean_dice]).for_each(|value| column(dice(value)))
        }
        // Not validated in this epoch.
        None => (0..=classes).for_each(|_| column(String::new())),
    }
    if let Some(search) = &line.search {
        match &search.decide {
            None => {
                column(format!("{:.3}", search.tau));
                column(format!("{:.3}", search.entropy));
            }
            Some(decide) => column(format!("{:.2}", decide.left)),
        }
        let said =
            |Agreement { r, same, edges, .. }| [format!("{r:.2}"), format!("{same}/{edges}")];
        let unknown = || ["–", "–"].map(String::from);
        search.agreement.map_or_else(unknown, said).into_iter().for_each(&mut column);
        let EdgeShares { zero, identity, pool } = search.edges;
        [zero, identity, pool]
            .into_iter()
            .for_each(|share| column(format!("{:.0}%", 100.0 * share)));
    }
    column(format!("{:.1}", line.seconds));
    column(left.map_or_else(|| "–".into(), clock));
    text
}

/// `1:02:03` or `2:03`.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if h > 0 { format!("{h}:{m:02}:{s:02}") } else { format!("{m}:{s:02}") }
}
