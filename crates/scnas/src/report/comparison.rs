//! Finished runs held against the first of them.

use std::path::PathBuf;

use crate::error::Result;
use crate::report::finished::Finished;
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
    /// Case by case, positive where this one is better; `None` where they share no case.
    pub against_first: Option<Paired>,
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
        let compared = |(path, finished): (PathBuf, Finished)| Compared {
            path,
            against_first: finished.against(&first),
            settings_unlike_first: finished.unlike(&first),
            finished,
        };
        Ok(Self { runs: read.into_iter().map(compared).collect() })
    }
}
