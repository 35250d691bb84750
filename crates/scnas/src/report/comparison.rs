//! Finished runs held against the first of them.

use std::path::PathBuf;
use std::slice;

use crate::error::Result;
use crate::report::finished::Finished;
use crate::report::procedures::{Groups, Procedures};
use crate::report::statistics::Paired;

/// Finished runs held against the first of them.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// In the order they were given.
    pub runs: Vec<Compared>,
}

/// A finished run held against the first.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Its folder or file.
    pub path: PathBuf,
    /// Its results.
    pub finished: Finished,
    /// Case by case, positive where this one is better; `None` where they share no case. Of these
    /// very networks: cases are the sample.
    pub against_first: Option<Paired>,
    /// Of what made the networks, which are the sample; `None` where there are too few to tell, as
    /// of single runs.
    pub procedure_against_first: Option<Procedures>,
    /// Settings that differ, with the values here and of the first; `None` where either's are not
    /// known.
    pub settings_unlike_first: Option<Vec<(String, [String; 2])>>,
}

impl Comparison {
    /// Reads the folders of runs and cross-validations, and CSV files of evaluations.
    ///
    /// # Errors
    /// Those of [`Finished::read`].
    pub fn of(paths: &[PathBuf]) -> Result<Self> {
        let read = paths.iter().map(|path| Ok((path.clone(), Finished::read(path)?)));
        let read = read.collect::<Result<Vec<(PathBuf, Finished)>>>()?;
        let Some((_, first)) = read.first().cloned() else { return Ok(Self { runs: Vec::new() }) };
        let compared = |(path, finished): (PathBuf, Finished)| {
            let groups = Groups::read([slice::from_ref(&path), &paths[..1]])?;
            Ok(Compared {
                path,
                against_first: finished.against(&first),
                procedure_against_first: groups.procedures.filter(|found| found.error.is_some()),
                settings_unlike_first: finished.unlike(&first),
                finished,
            })
        };
        Ok(Self { runs: read.into_iter().map(compared).collect::<Result<_>>()? })
    }
}
