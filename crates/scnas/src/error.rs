//! What can go wrong, said so that the reader knows the file or setting, what was expected, what
//! was found and what to do. Facts are fields; how a caller passes settings and folders is not
//! known here, so no message names an option of a command.

use std::fmt;
use std::path::{Path, PathBuf};

use medvol::check::Finding;
use medvol::significant;

use crate::memory::text;

/// Errors of this crate. A field is what its message says it is; sizes are in bytes, paths as they
/// were given.
#[allow(missing_docs)]
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
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    /// A document cannot be written as JSON.
    #[error(
        "expected a document that JSON can hold; found one it cannot ({0}); this is a bug: please report it"
    )]
    Json(#[from] serde_json::Error),
    /// A file is not what it should be.
    #[error("{}: expected {expected}; found {found}; {remedy}", path.display())]
    Invalid { path: PathBuf, expected: &'static str, found: String, remedy: &'static str },
    /// The user asked to stop; everything is saved.
    #[error("stopped by request; everything is saved, the same command goes on from here")]
    Stopped,
    /// What went wrong in a fold of a cross-validation.
    #[error("fold {fold}")]
    Fold { fold: usize, source: Box<Error> },

    /// A setting is impossible.
    #[error("{key}: expected {expected}; found {found}")]
    Setting { key: String, expected: String, found: String },
    /// A file of settings, or a preset with changes, cannot be understood.
    #[error("{origin}: expected known keys with values of the right type; found {found}")]
    Settings { origin: String, found: String },
    /// A line that is to change a setting cannot be understood.
    #[error("expected key=value, like search.epochs=10; found {line:?}{}", bracketed(reason))]
    Override { line: String, reason: Option<String> },

    /// A data set has too few labelled cases of different subjects for its folds.
    #[error("{}: expected at least {folds} labelled cases (of different subjects) for {folds} folds; found {found}; add cases or set data.folds to fewer folds", path.display())]
    TooFewCases { path: PathBuf, folds: usize, found: usize },
    /// Too few cases are left to train with.
    #[error("{}: expected at least 2 training cases outside the held-out fold; found {found}; add labelled cases or raise data.folds", path.display())]
    TooFewTrainingCases { path: PathBuf, found: usize },
    /// A data set has no foreground label.
    #[error("{}: expected a background label and at least one foreground label; found {found} label(s); list every label value under \"labels\"", path.display())]
    NoForeground { path: PathBuf, found: usize },
    /// What a channel is normalised by cannot be measured.
    #[error("channel {channel} is to be normalised by the training cases, which have no voxel")]
    NothingToMeasure { channel: usize },
    /// A case of a run's plan is not in the data set any more.
    #[error("{}: expected the case {case} of this run's plan; found no such case; put it back, or start a new run in another folder", path.display())]
    CaseGone { path: PathBuf, case: String },
    /// A case that is trained or scored with has no label map.
    #[error(
        "{case}: expected a label map; found none; give the case one, or take it out of the data set"
    )]
    NoLabels { case: String },
    /// A case was not read for an error in it, which the check that found it should have told.
    #[error("a case could not be read; check the data set")]
    Unread,
    /// A case whose image and labels have different shapes.
    #[error("{case}: {source}; give image and label map the same grid")]
    Shapes { case: String, source: medvol::metrics::ShapeMismatch },
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

    /// Another process works in a run folder.
    #[error("{}: expected a run folder that no other process uses; it is in use; wait for the other process or stop it", path.display())]
    InUse { path: PathBuf },
    /// A folder holds a run of other settings or data.
    #[error("{}: expected the settings and data this command was given, so that the run can go on; found another run ({})", path.display(), joined(differences))]
    AnotherRun { path: PathBuf, differences: Vec<Difference> },
    /// A file that says what a run is cannot be understood.
    #[error("{}: expected the file that the run began with; found a damaged one; put a copy back", path.display())]
    DamagedRun { path: PathBuf },
    /// There is no finished run where one is named.
    #[error("{}: no result.json there; expected the folder of a finished run or of a cross-validation", path.display())]
    NoResult { path: PathBuf },
    /// The loss or its gradients are no numbers any more.
    #[error("{phase} diverged in epoch {}: the loss became {loss}, the norm of its gradients {norm}; expected finite numbers; the last checkpoint is kept, but going on from it would end the same way: start again in another folder with a lower learning rate, such as {phase}.weights.lr={}", epoch + 1, lr / 2.0)]
    Diverged { phase: &'static str, epoch: usize, loss: f64, norm: f64, lr: f64 },
    /// More memory is needed than there is; both in bytes.
    #[error("{purpose}: expected {} of memory or more ({}); found {}{}", text(*needed), purpose.parts(), text(*allowed), purpose.remedy())]
    Memory { purpose: Purpose, needed: u64, allowed: u64 },
    /// Less space is left on the disk than the run will fill; both in bytes.
    #[error("{}: expected {} of free space or more, for the checkpoints and the model of this run; found {}; make room", path.display(), text(*needed), text(*free))]
    Disk { path: PathBuf, needed: u64, free: u64 },
    /// Less space is left on the disk than preprocessed cases will fill; in bytes.
    #[error("{}: expected {} of free space or more, for the preprocessed cases that are not there yet ({cases}); found {}; make room", path.display(), text(*needed), text(*free))]
    CacheDisk {
        path: PathBuf,
        cases: usize,
        needed: u64,
        free: u64,
        /// Whether they would fit with half as many bytes a number.
        half_fits: bool,
        /// Spacing in mm of a grid on which they would fit, where one is worth it.
        coarser: Option<[f64; 3]>,
    },
    /// What is held of a case on disk is lost, and its files are not those it was made from.
    #[error("{case}: expected the files that the run began with, as what was kept of them in {} is damaged; found others; put them back", path.display())]
    CaseChanged { case: String, path: PathBuf },
    /// A tensor could not be brought to memory as numbers.
    #[error("{what}: expected numbers of type f32; found {found}; this is a bug: please report it")]
    Values { what: &'static str, found: String },

    /// Nothing is known by the name of an architecture.
    #[error("{name}: no such run folder; expected one, a genotype.json, a model.safetensors, random, random:SEED, {}, or one of the operations {}", designed.join(", "), operations.join(", "))]
    NoArchitecture { name: String, designed: Vec<String>, operations: Vec<String> },
    /// A random architecture is numbered by what is no number.
    #[error("{name}: expected a number after random:")]
    RandomSeed { name: String },
    /// An architecture of nothing but the operation that connects nothing.
    #[error("{name}: a network without any connection computes nothing; name another operation")]
    Unconnected { name: String },
    /// Cells that have a name do not fit the operations that an edge can be.
    #[error(
        "{name}: expected network.operations with the operation {missing} of these cells; found none of its name and kind; add it"
    )]
    OtherOperations { name: String, missing: String },
    /// A run whose search is not over has no architecture yet.
    #[error("{}: no genotype.json there; expected the folder of a run whose search is over", path.display())]
    NoGenotype { path: PathBuf },
    /// Weights to inherit do not fit the network.
    #[error(
        "weights to inherit: expected a weight {weight} of the same shape; found none; inherit only from a run with the same width, channels, classes and operations"
    )]
    Inherit { weight: String },
    /// The search that weights are taken from has seen cases that are held out now.
    #[error(
        "{source_run}: its search has seen {seen} of the {held_out} cases held out here, so their scores would be too good; use the fold and seed of that run (fold {fold})"
    )]
    SeenCases { source_run: String, seen: usize, held_out: usize, fold: usize },
    /// Models whose predictions cannot be averaged.
    #[error(
        "expected one or more models of the same channels, labels, spacing and patch; found {found}; give models that were trained on one data set with the same settings"
    )]
    UnlikeModels { found: String },

    /// A cross-validation has fewer folds.
    #[error("there is no fold {fold}; expected 0 to {}", of.saturating_sub(1))]
    NoFold { fold: usize, of: usize },
    /// No fold of a cross-validation is complete; others work on some.
    #[error("{}: no fold is complete yet; others work on {in_use:?}", path.display())]
    NoFoldComplete { path: PathBuf, in_use: Vec<usize> },
    /// Folds of different networks or data in one folder.
    #[error("{}: expected folds of one network and data set; fold {} is {} on {}, fold {} is {} on {}; remove what does not belong there", path.display(), folds[0].0, folds[0].1, folds[0].2, folds[1].0, folds[1].1, folds[1].2)]
    MixedFolds {
        path: PathBuf,
        /// Number, network and data set of two folds that do not go together.
        folds: Box<[(usize, String, String); 2]>,
    },

    /// An input or an output of a prediction or evaluation is at fault.
    #[error("{}: {problem}", path.display())]
    Place { path: PathBuf, problem: Place },
    /// Two files of one name: their results could not be told apart.
    #[error("{} and {} have the same name; rename one of them", first.display(), second.display())]
    SameName { first: PathBuf, second: PathBuf },
    /// No prediction has the name of a reference.
    #[error("{}: none of the predictions ({}) has the name of a reference ({})", path.display(), shortened(predictions), shortened(references))]
    NoPairs { path: PathBuf, predictions: Vec<String>, references: Vec<String> },
    /// A prediction and its reference cannot be compared.
    #[error("{} against {}: {problem}", prediction.display(), reference.display())]
    Unlike { prediction: PathBuf, reference: PathBuf, problem: Unlike },
    /// Some of several images or cases could not be done.
    #[error("{failed} of {of} {what}: {first}")]
    SomeFailed { what: &'static str, failed: usize, of: usize, first: Box<Error> },
    /// None of several could be done; what was said of each.
    #[error("{}", reasons.join("; "))]
    AllFailed { reasons: Vec<String> },
}

/// What is wrong with an input or an output.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Place {
    /// Neither an image, nor a folder, nor a data set.
    #[error("expected an image (such as .nii.gz, .nrrd or .mha), a folder of images or a data set")]
    NoImage,
    /// Neither a folder nor a label map.
    #[error("expected a folder, or an image file (such as .nii.gz, .nrrd or .mha)")]
    NoLabelMap,
    /// A folder without images; `training`: a data set's training images were wanted too.
    #[error("no images to predict found there")]
    NoImages { training: bool },
    /// A folder without label maps.
    #[error("expected label maps (such as .nii.gz, .nrrd or .mha), found none")]
    NoLabelMaps,
    /// A name that is no text.
    #[error("expected a name in UTF-8; rename this file")]
    NotUtf8,
    /// One file for the label maps of several images.
    #[error("one file for {images} images; give a folder")]
    OneFile { images: usize },
    /// A place for label maps that is neither a folder nor the name of one.
    #[error(
        "expected a folder, or a file name that ends as an image's (such as .nii.gz, .nrrd or .mha)"
    )]
    NoFolder,
    /// An output that is an input or belongs to a data set.
    #[error("this would overwrite an input or a file of a data set")]
    Overwrites,
    /// An image of other channels than the model's.
    #[error("the model expects {expected} channel(s), found {found}; give images like those it was trained on ({})", names.join(", "))]
    Channels { expected: usize, found: usize, names: Vec<String> },
    /// A table of scores that cannot be understood.
    #[error("{0}")]
    Scores(String),
}

/// Why two label maps cannot be compared.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unlike {
    /// Their shapes differ.
    #[error(transparent)]
    Shapes(#[from] medvol::metrics::ShapeMismatch),
    /// They lie at different places.
    #[error("the two maps lie up to {} mm apart; expected the same affine", significant(*mm, 3))]
    Apart { mm: f64 },
}

/// What memory is needed for; sizes in bytes.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Purpose {
    /// All preprocessed cases of a data set.
    Cases {
        dataset: String,
        /// Spacing in mm of a grid on which they would fit, where one is worth it.
        coarser: Option<[f64; 3]>,
    },
    /// Reading and preprocessing one case.
    Case { name: String },
    /// Steps on patches `[depth, height, width]` in voxels.
    Steps {
        patch: [usize; 3],
        /// A patch that would fit, if there is one.
        smaller: Option<[usize; 3]>,
        /// Whether running cells again in the backward pass would save memory.
        recompute: bool,
        /// Whether the network could be narrower.
        narrower: bool,
    },
    /// The prediction of an image; all in bytes.
    Image {
        name: String,
        /// In use before.
        program: u64,
        image: u64,
        result: u64,
        /// One window with what its network computes.
        window: u64,
        /// Sums of windows that overlap.
        sums: u64,
        /// Whether class probabilities are kept, which could be done without.
        probabilities: bool,
    },
    /// Scoring the prediction of an image.
    Scoring { name: String },
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Cases { dataset: name, .. }
            | Self::Case { name }
            | Self::Image { name, .. }
            | Self::Scoring { name } => f.write_str(name),
            Self::Steps { patch: [d, h, w], .. } => write!(f, "steps on patches of {d}×{h}×{w}"),
        }
    }
}

impl Purpose {
    fn parts(&self) -> String {
        match self {
            Self::Cases { .. } => "for its cases, which are all held in memory".into(),
            Self::Case { .. } => "to read and preprocess it".into(),
            Self::Steps { .. } => "as steps on smaller patches say".into(),
            Self::Image { program, image, result, window, sums, .. } => format!(
                "program {}, image {}, result {}, one window {}, sums of windows {}",
                text(*program),
                text(*image),
                text(*result),
                text(*window),
                text(*sums)
            ),
            Self::Scoring { .. } => "to score its prediction at the end of the run".into(),
        }
    }

    /// What to do, where that does not depend on how settings are given.
    fn remedy(&self) -> &'static str {
        match self {
            Self::Case { .. } | Self::Scoring { .. } => {
                "; cut the image into parts, or take a machine with more memory"
            }
            _ => "",
        }
    }
}

/// What a run was begun with and what it is asked to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The setting; `None` where a line of a file is all that is known.
    pub key: Option<String>,
    /// Its value when the run began.
    pub before: String,
    /// Its value now.
    pub now: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { key, before, now } = self;
        match key {
            Some(key) => write!(f, "{key} = {before}, now {now}"),
            None => write!(f, "\"{before}\", now \"{now}\""),
        }
    }
}

impl Error {
    /// An operating-system error while trying to `action` (a verb) the file at `path`.
    pub fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { action, path: path.into(), source }
    }

    /// A setting that is impossible.
    pub fn setting(key: &str, expected: &str, found: impl ToString) -> Self {
        Self::Setting { key: key.into(), expected: expected.into(), found: found.to_string() }
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

fn bracketed(reason: &Option<String>) -> String {
    reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"))
}

fn joined(differences: &[Difference]) -> String {
    differences.iter().map(Difference::to_string).collect::<Vec<_>>().join("; ")
}

/// The first of many names.
pub fn shortened(names: &[String]) -> String {
    let more = names.len().saturating_sub(3);
    let first = names[..names.len() - more].join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    #[test]
    fn no_message_names_an_option_of_a_command() {
        let messages: Vec<&str> =
            include_str!("error.rs").lines().filter(|line| line.contains("#[error(\"")).collect();
        assert!(messages.len() > 30, "{}", messages.len());
        for message in messages {
            assert!(!message.contains("--"), "{message}");
        }
    }
}
