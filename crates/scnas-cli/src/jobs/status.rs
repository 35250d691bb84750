//! `scnas status`: how the tasks of a list stand.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use clap::Args;
use scnas::report::headway::{Epochs, Stage};
use scnas::report::table::aligned;
use serde_json::json;

use crate::jobs::list::read;
use crate::jobs::record::seconds;
use crate::jobs::standing::{Standing, Status, of_all};
use crate::output::Output;
use crate::progress::clock;

/// Say how every task of a list stands, from files alone
///
/// Of each task: waiting; running, with its phase, what is left of it, and how long ago it last
/// wrote anything; stopped, to go on; done, with its mean Dice; failed, with its last words. A task
/// that was killed is running still, but gives no sign of life: a run writes every five minutes or
/// more often.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scnas status cv")]
pub struct StatusArgs {
    /// Folder that holds jobs.json
    pub dir: PathBuf,
}

pub fn run(args: &StatusArgs, output: Output) -> Result<ExitCode> {
    let tasks = read(&args.dir)?;
    let all = of_all(&tasks);
    output.result(text(&all), || json!(all))?;
    Ok(ExitCode::SUCCESS)
}

/// A table, how many tasks are where, and the last words of those that ended badly.
pub fn text(all: &[Status]) -> String {
    let head = ["task", "name", "state", "at", "left", "sign of life", "Dice"];
    let mut rows = vec![head.map(String::from).to_vec()];
    let now = seconds(SystemTime::now());
    rows.extend(all.iter().map(|status| row(status, now)));
    let counted = Standing::ALL.into_iter().filter_map(|state| {
        let count = all.iter().filter(|status| status.state == state).count();
        (count > 0).then(|| format!("{count} {}", state.name()))
    });
    let counted = counted.collect::<Vec<_>>().join(", ");
    let words = all.iter().filter_map(|status| {
        let words = status.last_words.as_ref()?;
        Some(format!("\n{} {}: {words}", status.name, status.state.name()))
    });
    format!("{}{counted}{}", aligned(&rows, 4), words.collect::<String>())
}

fn row(status: &Status, now: u64) -> Vec<String> {
    let (mut at, mut left, mut dice) = (String::new(), String::new(), String::new());
    let mut phase = |name: &str, Epochs { epoch, epochs, left_s }: Epochs| {
        at = format!("{name} {epoch}/{epochs}");
        left = clock(Duration::from_secs_f64(left_s.clamp(0.0, 1e9)));
    };
    match status.stage {
        Some(Stage::Search(epochs)) => phase("search", epochs),
        Some(Stage::Train(epochs)) => phase("train", epochs),
        Some(Stage::Race { rung, judged, candidates }) => {
            at = format!("rung {rung}, {judged}/{candidates}");
        }
        Some(Stage::Complete { dice: mean }) => {
            dice = mean.map_or_else(|| "–".into(), |mean| format!("{mean:.4}"));
        }
        None => {}
    }
    let open = matches!(status.state, Standing::Running | Standing::Stopped | Standing::Failed);
    let sign = status.sign_of_life.filter(|_| open);
    let sign =
        sign.map(|sign| format!("{} ago", clock(Duration::from_secs(now.saturating_sub(sign)))));
    let (number, name) = (status.number.to_string(), status.name.to_string());
    vec![number, name, status.state.name().into(), at, left, sign.unwrap_or_default(), dice]
}

/// The folder that a list is of, for messages.
pub fn hint(dir: &Path) -> String {
    format!("scnas status {}", crate::jobs::shell::quoted(&dir.display().to_string()))
}
