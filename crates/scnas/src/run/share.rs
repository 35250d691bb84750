//! A race in parts, each for a process of its own: which part it is, not a lock, says who does what.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::report::race::{Entrants, Race};
use crate::run::check::Opened;
use crate::run::pipeline::{Order, when_free};
use crate::run::setup::Job;

/// A part of a race for a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Who takes part, and what each costs.
    Candidates,
    /// Training and judging the candidate at a place of a rung, both counted from 0.
    Place {
        /// The rung.
        rung: usize,
        /// The place among those that run in it.
        place: usize,
    },
}

/// `candidates`, or `RUNG:PLACE` with the rung counted from 1, as messages count it.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Candidates => f.write_str("candidates"),
            Self::Place { rung, place } => write!(f, "{}:{place}", rung + 1),
        }
    }
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let place = |(rung, place): (&str, &str)| {
            let (rung, place) = (rung.parse::<usize>().ok()?, place.parse().ok()?);
            Some(Self::Place { rung: rung.checked_sub(1)?, place })
        };
        match text {
            "candidates" => Ok(Self::Candidates),
            _ => text
                .split_once(':')
                .and_then(place)
                .ok_or("expected candidates, or RUNG:PLACE such as 1:0"),
        }
    }
}

/// Does a part of a race, so that any number of processes can do the parts of a rung at once. One
/// that is done, or that nobody is left for, changes nothing. What no part has done, the search
/// itself does.
///
/// # Errors
/// [`Error::RungOpen`]; [`Error::InUse`]; those of a search.
pub fn run_share(order: Order, share: Share, observer: &dyn Observer) -> Result<()> {
    let Order { data, folder, config, device, ranks } = order;
    config.refuse_in_vain()?;
    if let Share::Place { rung, place } = share
        && let Some(entrants) = Entrants::read(folder)?
        && Race::in_folder(folder, entrants, &config.race)?.share(rung, place)?.is_none()
    {
        return Ok(());
    }
    let for_check = config.clone();
    let (cohort, plan, check) = Opened::new(data, &for_check, folder).planned(observer)?;
    let (folder, beside) = (folder.to_path_buf(), folder.to_path_buf());
    let (device, check) = (device.clone(), Some(&check));
    let job = Job { cohort: &cohort, plan, folder, beside, config, device, check, ranks };
    let begun = || job.clone().track(observer);
    let (track, run) = when_free(|path| path == job.folder, observer, begun)?;
    let Share::Place { rung, place } = share else { return Ok(()) };
    let race = Race::in_folder(&track.folder, track.entrants.clone(), &track.config.race)?;
    let Some(candidate) = race.share(rung, place)? else { return Ok(()) };
    let (_, done) = track.judge_one(rung, &[candidate], run.leave())?;
    let folder = || track.entrants.candidates[candidate].folder(&track.folder);
    if done { Ok(()) } else { Err(Error::InUse { path: folder() }) }
}
