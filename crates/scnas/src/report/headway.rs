//! How far a run has come, as the files in its folder tell: whoever looks needs neither the process
//! nor the machine that works on it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::observer::EpochLine;
use crate::report::document::read;
use crate::report::race::{Entrants, Race};
use crate::report::result::{RunResult, is_complete};
use crate::store::run_folder::RunDir;

/// Bytes at the end of a log that are looked at: a dozen epochs or more.
const TAIL: u64 = 1 << 13;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum Stage {
    /// Candidates race.
    Race {
        /// The rung under way, from 1.
        rung: usize,
        /// Candidates that it has judged.
        judged: usize,
        /// How many it is to judge.
        candidates: usize,
    },
    /// Weights and architecture are learnt together.
    Search(Epochs),
    /// A network is trained.
    Train(Epochs),
    /// The run is complete.
    Complete {
        /// Mean foreground Dice; `None` where nothing was scored.
        dice: Option<f64>,
    },
}

/// Epochs of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Epochs {
    /// Those that are over.
    pub epoch: usize,
    /// How many there are.
    pub epochs: usize,
    /// What the others of this phase will take, as the latest ones did.
    pub left_s: f64,
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Headway {
    /// Where it stands; `None` before its first epoch is over.
    pub stage: Option<Stage>,
    /// When it last wrote what grows with it: its log, or a checkpoint.
    pub written: Option<SystemTime>,
}

impl Headway {
    /// Looks into the folder of a run, which need not be there.
    ///
    /// # Errors
    /// Files that cannot be read or understood.
    pub fn of(run: &Path) -> Result<Self> {
        if is_complete(run) {
            let file = run.join("result.json");
            let RunResult { mean_dice, .. } = read(&file)?;
            let dice = mean_dice.map(|dice| dice.mean);
            let written = file.metadata().and_then(|file| file.modified()).ok();
            return Ok(Self { stage: Some(Stage::Complete { dice }), written });
        }
        if let Some(stage) = epochs(&run.join("log.jsonl"))? {
            return Ok(Self { stage: Some(stage), written: written(run) });
        }
        let Some(entrants) = Entrants::read(run)? else {
            return Ok(Self { stage: None, written: written(run) });
        };
        let own = entrants.candidates.iter().filter_map(|own| written(&own.folder(run))).max();
        let stage = Race::read(run)?.and_then(|race| {
            let rung = race.rungs.last()?;
            let judged = rung.standings.iter().filter(|standing| standing.judged).count();
            let (rung, candidates) = (race.rungs.len(), rung.standings.len());
            Some(Stage::Race { rung, judged, candidates })
        });
        Ok(Self { stage, written: own.max(written(run)) })
    }
}

/// When a run last wrote its log or a checkpoint.
fn written(run: &Path) -> Option<SystemTime> {
    let checkpoints = ["search", "train"].map(|phase| RunDir::checkpoint_in(run, phase));
    let files = [run.join("log.jsonl")].into_iter().chain(checkpoints);
    files.filter_map(|file| file.metadata().ok()?.modified().ok()).max()
}

/// Where the last lines of a log leave the run.
fn epochs(log: &Path) -> Result<Option<Stage>> {
    let text = match tail(log) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| Error::file("read", log, error))?,
    };
    // The first line may be cut.
    let lines: Vec<EpochLine> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let Some(EpochLine { phase, epoch, epochs, .. }) = lines.last() else { return Ok(None) };
    let seconds: Vec<f64> =
        lines.iter().filter(|line| line.phase == *phase).map(|line| line.seconds).collect();
    let an_epoch = seconds.iter().sum::<f64>() / seconds.len().max(1) as f64;
    let (epoch, epochs) = (epoch + 1, *epochs);
    let left_s = epochs.saturating_sub(epoch) as f64 * an_epoch;
    let at = Epochs { epoch, epochs, left_s };
    Ok(Some(if phase == "search" { Stage::Search(at) } else { Stage::Train(at) }))
}

/// The end of a file.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(phase: &str, epoch: usize, seconds: f64) -> String {
        let line = EpochLine {
            phase: phase.into(),
            epoch,
            epochs: 400,
            loss: 0.5,
            dice: None,
            mean_dice: None,
            learning_rate: 0.001,
            seconds,
            waited_seconds: 0.0,
            search: None,
        };
        serde_json::to_string(&line).unwrap() + "\n"
    }

    #[test]
    fn the_end_of_a_log_tells_the_epoch_and_what_is_left_of_its_phase() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        assert_eq!(Headway::of(run).unwrap(), Headway { stage: None, written: None });
        let log = run.join("log.jsonl");
        let search: String = (0..400).map(|epoch| line("search", epoch, 9.0)).collect();
        assert!(search.len() as u64 > TAIL);
        std::fs::write(&log, &search).unwrap();
        let at = |epoch, left_s| Epochs { epoch, epochs: 400, left_s };
        let headway = Headway::of(run).unwrap();
        assert_eq!(headway.stage, Some(Stage::Search(at(400, 0.0))));
        assert_eq!(headway.written, log.metadata().unwrap().modified().ok());
        std::fs::write(&log, search + &line("train", 0, 2.0) + &line("train", 1, 4.0)).unwrap();
        assert_eq!(Headway::of(run).unwrap().stage, Some(Stage::Train(at(2, 398.0 * 3.0))));
        // The log of a run that is written at this moment, or on a disk that was full.
        std::fs::write(&log, line("train", 1, 4.0) + "{\"pha").unwrap();
        assert_eq!(Headway::of(run).unwrap().stage, Some(Stage::Train(at(2, 398.0 * 4.0))));
    }
}
