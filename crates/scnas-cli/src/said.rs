//! What an error says on the command line: the library's words, and the options that help.

use std::path::Path;

use anyhow::Error;
use medvol::check::{Finding, Kind, Severity};
use scnas::error::{ArchitectureFault, Place, Purpose};
use volops::DeviceError;

use crate::jobs::list::FILE;
use crate::jobs::status::hint;

/// An error and its causes in one line; a cause that the text before already tells is not repeated.
pub fn chain(error: &Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = one_line(&own(cause).map_or_else(|| cause.to_string(), said));
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A cause, where it is the library's: what is inside another error is in a box.
pub fn own<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a scnas::Error> {
    let boxed = || cause.downcast_ref::<Box<scnas::Error>>().map(Box::as_ref);
    cause.downcast_ref().or_else(boxed)
}

/// What the library says, with the options that help.
pub fn said(error: &scnas::Error) -> String {
    use scnas::Error as E;
    match error {
        E::Setting { .. } => format!("{error}; change it in the config or with --set"),
        E::Settings { .. } => {
            format!("{error}; `scnas config` prints every key with its meaning")
        }
        E::Device(DeviceError::Missing { .. }) => {
            format!("{error}; `scnas devices` lists what there is")
        }
        E::Override { .. } => format!("--set: {error}; write it so"),
        E::Architecture(ArchitectureFault::NoCells { .. }) => {
            format!("{error}; leave --svg and --png out")
        }
        E::InUse { .. } | E::Disk { .. } => {
            format!("{error}, or give another folder with --out")
        }
        E::OtherSeeds { .. } => format!("{error} with --out"),
        E::CacheDisk { half_fits, coarser, .. } => {
            let half = half_fits.then(|| "--set data.numbers=f16 for half of it".to_string());
            let grid = coarser.map(|spacing| {
                format!("a coarser grid, such as --set \"data.spacing={spacing:?}\"")
            });
            let folder = Some("another folder, with --set data.cache=DIR".to_string());
            let ways: Vec<String> = half.into_iter().chain(grid).chain(folder).collect();
            format!("{error}, or try {}", ways.join(", or "))
        }
        E::AnotherRun { .. } => format!(
            "{error}; repeat the command that began the run, give its config.toml with --config, \
             or give another folder with --out"
        ),
        E::DamagedRun { .. } => {
            format!("{error}, or begin anew in another folder with --out")
        }
        E::Diverged { .. } => format!("{error} (--out names the folder, --set the rate)"),
        E::Memory { purpose, .. } => format!("{error}{}", less_memory(purpose)),
        E::Architecture(ArchitectureFault::SeenCases { .. }) => {
            format!("{error}, or --init scratch")
        }
        E::NoModel | E::UnlikeModels { .. } => format!("--model: {error}"),
        E::NoFold { .. } => format!("--folds: {error}"),
        E::FoldsMissing { path, .. } | E::SeedsMissing { path, .. } if path.join(FILE).exists() => {
            format!("{error}; `{}` says why", hint(path))
        }
        E::Unfit { data, splits, first, more } => {
            let file =
                splits.as_ref().filter(|_| matches!(first.kind, Kind::Folds | Kind::SplitLeak));
            let file = file.map_or_else(String::new, |path| format!("{}: ", path.display()));
            let reading = if first.kind == Kind::Geometry { " (--set data.geometry)" } else { "" };
            format!("{file}{error}{reading}{}", more_errors(data, splits.as_deref(), *more))
        }
        E::Place { problem, .. } => format!("{error}{}", other_place(problem)),
        E::SomeFailed { what, failed, of, first } => {
            format!("{failed} of {of} {what}: {}", said(first))
        }
        E::AllFailed { errors } => errors.iter().map(said).collect::<Vec<_>>().join("; "),
        E::Volume(medvol::Error::UncertainPlace { .. }) => format!("{error} (--geometry)"),
        _ => error.to_string(),
    }
}

/// What a finding of `scnas check` asks for, with the option that helps.
pub fn remedy(finding: &Finding) -> String {
    let uncertain = finding.kind == Kind::Geometry && finding.severity == Severity::Error;
    format!("{}{}", finding.remedy, if uncertain { " (--geometry)" } else { "" })
}

/// How to do with the memory there is.
fn less_memory(purpose: &Purpose) -> String {
    match purpose {
        Purpose::Cases { coarser, .. } => {
            let grid = coarser.map(|spacing| {
                format!("a coarser grid, such as --set \"data.spacing={spacing:?}\", ")
            });
            format!(
                "; try --set data.keep=auto, {}fewer cases, fewer --threads, or a machine with more \
                 memory",
                grid.unwrap_or_default()
            )
        }
        Purpose::Steps { smaller, recompute, narrower, .. } => {
            let smaller = smaller
                .map(|patch| format!("a smaller patch, such as --set \"data.patch={patch:?}\""));
            let recompute = recompute.then(|| {
                "--set network.recompute=true for a third less and a third more time".to_string()
            });
            let narrower = narrower.then(|| "a smaller network.width".to_string());
            let ways: Vec<String> = smaller.into_iter().chain(recompute).chain(narrower).collect();
            format!("; try {}", ways.join(", or "))
        }
        Purpose::Image { probabilities: true, .. } => {
            "; do without the probabilities, or give more memory (--memory)".into()
        }
        Purpose::Image { .. } => "; give more memory (--memory of scnas predict, where the \
                                  machine has it), or cut the image into parts"
            .into(),
        _ => String::new(),
    }
}

/// Where to read of the other errors of a data set.
fn more_errors(data: &Path, splits: Option<&Path>, more: usize) -> String {
    let data = data.display();
    match (more, splits) {
        (0, _) => String::new(),
        (_, None) => format!(" (and {more} more errors: see scnas check {data})"),
        (_, Some(path)) => {
            format!(" (and {more} more errors: see scnas check {data} --splits {})", path.display())
        }
    }
}

fn other_place(problem: &Place) -> &'static str {
    match problem {
        Place::NoImages { training: false } => "; --training predicts a data set's training images",
        Place::OneFile { .. } | Place::NoFolder | Place::AmongImages => " as --out",
        Place::NoCase { .. } => "; --data names the data set",
        Place::Overwrites => "; write it elsewhere",
        Place::Scores(_) => "; give a file as `scnas evaluate --csv` writes it",
        _ => "",
    }
}

/// Joins lines, without the excerpts of a file that TOML errors show between bars.
fn one_line(text: &str) -> String {
    let excerpt = |line: &&str| {
        line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|')
    };
    text.lines().filter(|line| !excerpt(line)).map(str::trim).collect::<Vec<_>>().join(", ")
}
