//! What can go wrong, said so that the reader knows the file or setting, what was expected, what
//! was found and what to do. Facts are fields; how a caller passes settings and folders is not
//! known here, so no message names an option of a command.

mod architecture;
mod cases;
mod difference;
mod export;
mod found;
mod place;
mod price;
mod purpose;
mod setting;
mod text;
mod unlike;

use std::path::{Path, PathBuf};

use burn::tensor::DataError;
use medvol::check::Finding;

pub use architecture::ArchitectureFault;
pub use cases::CasesFault;
pub use difference::Difference;
pub use export::ExportFault;
pub use found::Found;
pub use place::{Place, ScoresFault};
pub use price::Price;
pub use purpose::Purpose;
pub use setting::{Expected, Origin};
pub use text::shortened;
pub use unlike::{ModelFact, Unlike};

use crate::memory::text as bytes;
use text::{bracketed, indented, joined, number_of_seeds, numbered, numbered_by_seed, worked_on};

/// Errors of this crate. Sizes are in bytes, paths as they were given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A volume or data set is at fault.
    #[error(transparent)]
    Volume(#[from] medvol::Error),
    /// A device is unknown or not compiled in.
    #[error(transparent)]
    Device(#[from] volops::DeviceError),
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried: a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A document cannot be written as JSON.
    #[error(
        "expected a document that JSON can hold; found one it cannot ({0}); this is a bug: please report it"
    )]
    Json(#[from] serde_json::Error),
    /// A file is not what it should be.
    #[error("{}: expected {expected}; found {found}; {remedy}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: Box<Found>,
        /// What to do.
        remedy: &'static str,
    },
    /// The user asked to stop; everything is saved.
    #[error("stopped by request; everything is saved, the same command goes on from here")]
    Stopped,
    /// What went wrong with a seed of a cross-validation.
    #[error("seed {seed}")]
    Seed {
        /// The seed.
        seed: u64,
        /// What went wrong.
        source: Box<Error>,
    },
    /// What went wrong in a fold of a cross-validation.
    #[error("fold {fold}")]
    Fold {
        /// Its number.
        fold: usize,
        /// What went wrong.
        source: Box<Error>,
    },

    /// A setting is impossible.
    #[error("{key}: expected {expected}; found {found}")]
    Setting {
        /// Its name, such as `train.epochs`.
        key: String,
        /// What it may be.
        expected: Box<Expected>,
        /// Its value.
        found: String,
    },
    /// A file of settings, or a preset with changes, cannot be understood.
    #[error(
        "{origin}: expected known keys with values of the right type; found {}",
        indented(source)
    )]
    Settings {
        /// Where they come from.
        origin: Origin,
        /// What TOML's reader says.
        source: Box<toml::de::Error>,
    },
    /// A line that is to change a setting cannot be understood.
    #[error("expected key=value, like search.epochs=10; found {line:?}{}", bracketed(reason))]
    Override {
        /// The line.
        line: String,
        /// What TOML's reader says of it, if it came so far.
        reason: Option<Box<toml::de::Error>>,
    },

    /// The cases of a data set are not what a run needs.
    #[error(transparent)]
    Cases(#[from] CasesFault),
    /// No candidate of a race is within the budgets.
    #[error("no candidate meets {}: the cheapest is {name} with {price}; raise the budget, or add a cheaper architecture to race.candidates", budgets.join(", "))]
    NoCandidate {
        /// The budgets, such as `max_params = 100000`.
        budgets: Vec<String>,
        /// Name of the cheapest candidate.
        name: String,
        /// What it costs.
        price: Box<Price>,
    },
    /// The training of every candidate of a race diverged.
    #[error(
        "every candidate of the race diverged: expected finite losses; start again in another folder with a lower train.weights.lr"
    )]
    AllDiverged,
    /// A share of a rung was asked for before the rung could begin.
    #[error(
        "rung {rung} of the race is not over: expected all its candidates to be judged, found {} that are not; do their shares first",
        missing.join(", ")
    )]
    RungOpen {
        /// The rung under way, from 1.
        rung: usize,
        /// Names of its candidates that are not judged.
        missing: Vec<String>,
    },
    /// A check of the data set found that training would fail or be wrong.
    #[error("{}: {}; {}", first.case.as_deref().unwrap_or("data set"), first.message, first.remedy)]
    Unfit {
        /// The data set.
        data: PathBuf,
        /// The file of splits that the cases were held against, if there is one.
        splits: Option<PathBuf>,
        /// The first error that was found.
        first: Box<Finding>,
        /// Number of errors besides.
        more: usize,
    },

    /// Ranks that do one piece of work have come to different things.
    #[error(
        "expected all ranks to have read and computed the same; found that they differ; start them with the same program, the same files and the same kind of processor"
    )]
    RanksDiffer,
    /// What went wrong on another rank, in its words.
    #[error("{0}")]
    OnAnotherRank(String),
    /// Another process works in a run folder.
    #[error("{}: expected a run folder that no other process uses; it is in use; wait for the other process or stop it", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A folder holds a run of other settings or data.
    #[error("{}: expected the settings and data this command was given, so that the run can go on; found another run ({})", path.display(), joined(differences))]
    AnotherRun {
        /// The file that says so.
        path: PathBuf,
        /// In what they differ.
        differences: Vec<Difference>,
    },
    /// A file that says what a run is cannot be understood.
    #[error("{}: expected the file that the run began with; found a damaged one; put a copy back", path.display())]
    DamagedRun {
        /// The file.
        path: PathBuf,
    },
    /// There is no finished run where one is named.
    #[error("{}: no result.json there; expected the folder of a finished run or of a cross-validation", path.display())]
    NoResult {
        /// The folder.
        path: PathBuf,
    },
    /// A folder whose log is asked for has none.
    #[error("{}: no log.jsonl there; expected the folder of a run or of a cross-validation that has begun", path.display())]
    NoLog {
        /// The folder.
        path: PathBuf,
    },
    /// The loss or its gradients are no numbers any more.
    #[error("{phase} diverged in epoch {}: the loss became {loss}, the norm of its gradients {norm}; expected finite numbers; the last checkpoint is kept, but going on from it would end the same way: start again in another folder with a lower learning rate, such as {phase}.weights.lr={}", epoch + 1, lr / 2.0)]
    Diverged {
        /// `search` or `train`.
        phase: &'static str,
        /// From 0.
        epoch: usize,
        /// The loss.
        loss: f64,
        /// Norm of its gradients.
        norm: f64,
        /// Learning rate of the step.
        lr: f64,
    },
    /// More memory is needed than there is.
    #[error("{purpose}: expected {} of memory or more ({}); found {}{}", bytes(*needed), purpose.parts(), bytes(*allowed), purpose.remedy())]
    Memory {
        /// What for.
        purpose: Purpose,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that there are.
        allowed: u64,
    },
    /// Less space is left on the disk than the run will fill.
    #[error("{}: expected {} of free space or more, for the checkpoints and the model of this run; found {}; make room", path.display(), bytes(*needed), bytes(*free))]
    Disk {
        /// The folder of the run.
        path: PathBuf,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },

    /// Less space is left on the disk than preprocessed cases will fill; in bytes.
    #[error(
        "{}: expected {} of free space or more, for the preprocessed cases that are not there yet \
         ({cases}); found {}; make room",
        path.display(), bytes(*needed), bytes(*free)
    )]
    CacheDisk {
        /// The folder of the cache.
        path: PathBuf,
        /// How many cases are not there yet.
        cases: usize,
        /// What they will fill.
        needed: u64,
        /// What is left.
        free: u64,
        /// Whether they would fit with half as many bytes a number.
        half_fits: bool,
        /// Spacing in mm of a grid on which they would fit, where one is worth it.
        coarser: Option<[f64; 3]>,
    },
    /// A tensor could not be brought to memory as numbers.
    #[error(
        "{what}: expected numbers of type f32; found {source}; this is a bug: please report it"
    )]
    Values {
        /// What it holds.
        what: &'static str,
        /// What Burn says.
        source: DataError,
    },

    /// An architecture, or the weights it is to begin with, cannot be had.
    #[error(transparent)]
    Architecture(#[from] ArchitectureFault),
    /// A model cannot be written for other programs.
    #[error(transparent)]
    Export(#[from] ExportFault),
    /// A prediction without a model.
    #[error("expected one or more models; found none; give models")]
    NoModel,
    /// Models whose predictions cannot be averaged.
    #[error(
        "expected models of the same channels, labels, spacing and patch; found {} and {}; give models that were trained on one data set with the same settings", facts[0], facts[1]
    )]
    UnlikeModels {
        /// What differs: that of the first model, and of another.
        facts: Box<[ModelFact; 2]>,
    },

    /// A cross-validation has fewer folds.
    #[error("there is no fold {fold}; expected 0 to {}", of.saturating_sub(1))]
    NoFold {
        /// The number.
        fold: usize,
        /// Number of folds.
        of: usize,
    },
    /// No fold of a cross-validation is complete; others may work on some.
    #[error("{}: no fold is complete yet{}", path.display(), worked_on(in_use))]
    NoFoldComplete {
        /// The folder of the cross-validation.
        path: PathBuf,
        /// Numbers of the folds that other processes work on.
        in_use: Vec<usize>,
    },
    /// The table of a cross-validation lacks folds.
    #[error("{}: expected a table of all folds that are wanted; {} not complete; run what is missing and tabulate once more", path.display(), numbered(missing))]
    FoldsMissing {
        /// The folder of the cross-validation.
        path: PathBuf,
        /// Their numbers.
        missing: Vec<usize>,
    },
    /// The table of several seeds lacks folds.
    #[error("{}: expected a table of all seeds and folds that are wanted; {} not complete; run what is missing and tabulate once more", path.display(), numbered_by_seed(missing))]
    SeedsMissing {
        /// The folder of the cross-validation.
        path: PathBuf,
        /// Seeds and numbers of folds.
        missing: Vec<(u64, usize)>,
    },
    /// A folder holds a cross-validation of one seed where several are wanted, or the other way
    /// round.
    #[error("{}: expected the folds of {}; found those of {}; repeat the command that wrote them, or give another folder", path.display(), number_of_seeds(*several), number_of_seeds(!*several))]
    OtherSeeds {
        /// The folder of the cross-validation.
        path: PathBuf,
        /// Whether several were wanted.
        several: bool,
    },
    /// Folds of different networks or data in one folder.
    #[error("{}: expected folds of one network and data set; fold {} is {} on {}, fold {} is {} on {}; remove what does not belong there", path.display(), folds[0].0, folds[0].1, folds[0].2, folds[1].0, folds[1].1, folds[1].2)]
    MixedFolds {
        /// The folder of the cross-validation.
        path: PathBuf,
        /// Number, network and data set of two folds that do not go together.
        folds: Box<[(usize, String, String); 2]>,
    },

    /// An input or an output of a prediction or evaluation is at fault.
    #[error("{}: {problem}", path.display())]
    Place {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: Place,
    },
    /// Two files of one name: their results could not be told apart.
    #[error("{} and {} have the same name; rename one of them", first.display(), second.display())]
    SameName {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// No prediction has the name of a reference.
    #[error("{}: none of the predictions ({}) has the name of a reference ({})", path.display(), shortened(predictions), shortened(references))]
    NoPairs {
        /// The folder of predictions.
        path: PathBuf,
        /// Names of the predictions.
        predictions: Vec<String>,
        /// Names of the references.
        references: Vec<String>,
    },
    /// A prediction and its reference cannot be compared.
    #[error("{} against {}: {problem}", prediction.display(), reference.display())]
    Unlike {
        /// The prediction.
        prediction: PathBuf,
        /// The reference.
        reference: PathBuf,
        /// Why not.
        problem: Unlike,
    },
    /// Some of several images or cases could not be done.
    #[error("{failed} of {of} {what}: {first}")]
    SomeFailed {
        /// Of what, and what could not be done with them.
        what: &'static str,
        /// How many.
        failed: usize,
        /// Of how many.
        of: usize,
        /// What went wrong with the first.
        first: Box<Error>,
    },
    /// None of several could be done.
    #[error("{}", joined(errors))]
    AllFailed {
        /// What went wrong with each.
        errors: Vec<Error>,
    },
}

impl Error {
    /// An operating-system error while trying to `action` (a verb) the file at `path`.
    pub fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { action, path: path.into(), source }
    }

    /// A file that holds `found` where something else is expected.
    pub fn invalid(
        path: &Path,
        expected: &'static str,
        found: impl Into<Found>,
        remedy: &'static str,
    ) -> Self {
        Self::Invalid { path: path.into(), expected, found: Box::new(found.into()), remedy }
    }

    /// A setting that is impossible.
    pub fn setting(key: &str, expected: impl Into<Expected>, found: impl ToString) -> Self {
        let expected = Box::new(expected.into());
        Self::Setting { key: key.into(), expected, found: found.to_string() }
    }

    /// An input or an output that is at fault.
    pub fn place(path: &Path, problem: Place) -> Self {
        Self::Place { path: path.into(), problem }
    }

    /// Whether a setting or a file of settings is at fault.
    pub fn is_of_settings(&self) -> bool {
        matches!(self, Self::Setting { .. } | Self::Settings { .. } | Self::Override { .. })
    }
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    #[test]
    fn no_message_names_an_option_of_a_command() {
        let files = [
            include_str!("mod.rs"),
            include_str!("architecture.rs"),
            include_str!("cases.rs"),
            include_str!("difference.rs"),
            include_str!("export.rs"),
            include_str!("found.rs"),
            include_str!("place.rs"),
            include_str!("purpose.rs"),
            include_str!("setting.rs"),
            include_str!("text.rs"),
            include_str!("unlike.rs"),
        ];
        let option = ["-", "-"].concat();
        for line in files.iter().flat_map(|file| file.lines()) {
            assert!(!line.contains(&option), "{line}");
        }
    }
}
