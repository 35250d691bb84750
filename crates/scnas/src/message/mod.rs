//! What is said while a piece of work goes on. [`Observer::message`](crate::Observer::message)
//! hears it.

mod doubt;
mod outputs;
mod race;
mod sureness;

use std::fmt;
use std::path::PathBuf;

use medvol::check::Finding;
use medvol::io::Remark;

use crate::error::{Error, shortened};
use crate::memory;
use crate::space::grid::Grid;

pub use doubt::Doubt;
pub use outputs::Outputs;
pub use race::{BudgetRemark, RaceMessage};
pub use sureness::{Agreement, Sureness};

/// Something worth reading; its text is one line.
#[derive(Debug)]
#[non_exhaustive]
pub enum Message {
    /// A data set is made up.
    MakingUp {
        /// Number of labelled images.
        labelled: usize,
        /// Number of test images.
        test: usize,
        /// Where.
        folder: PathBuf,
    },
    /// What a run works on.
    Data {
        /// Name of the data set.
        dataset: String,
        /// Number of cases to train with.
        training: usize,
        /// Number of cases held out.
        held_out: usize,
        /// Number of channels.
        channels: usize,
        /// What is predicted.
        outputs: Outputs,
        /// (depth, height, width) in voxels.
        patch: [usize; 3],
        /// (depth, height, width) in mm.
        spacing: [f64; 3],
    },
    /// The grid is coarser than the cases are.
    Coarser {
        /// The median spacing of the cases, (depth, height, width) in mm.
        usual: [f64; 3],
        /// The share of the median case that a patch is to hold.
        coverage: f64,
    },
    /// Structures of which such a grid leaves little.
    FewVoxels {
        /// Names, and voxels in the median case.
        structures: Vec<(String, u64)>,
    },
    /// The axes of the patch are not halved alike.
    ByAxis {
        /// The grids of the levels.
        grid: Grid,
        /// (depth, height, width) in voxels.
        patch: [usize; 3],
    },
    /// A file of the data set says which cases are held out.
    HeldOutBy {
        /// The file.
        list: PathBuf,
    },
    /// The cases do not fit into memory.
    HeldOnDisk {
        /// Bytes that they would take.
        needed: u64,
        /// Bytes of memory, half of which is for cases.
        memory: u64,
    },
    /// The first cases are held on disk; what the others take.
    Filling {
        /// Bytes on the disk.
        bytes: u64,
        /// Where.
        folder: PathBuf,
        /// Seconds to go.
        seconds: f64,
    },
    /// What was held of a case on disk was damaged, and was made again.
    Remade {
        /// Name of the case.
        case: String,
        /// Where.
        folder: PathBuf,
    },
    /// How training patches are mirrored.
    Mirrored {
        /// Probability along depth, height and width.
        probabilities: [f64; 3],
    },
    /// What a run that begins will take.
    Foreseen {
        /// Seconds of the search.
        search_s: f64,
        /// Seconds of the training.
        training_s: f64,
        /// Seconds of both and of scoring.
        all_s: f64,
        /// Bytes of memory it takes and may take, as far as known.
        memory: Option<(u64, Option<u64>)>,
        /// Bytes on the disk it takes, and how many are free.
        disk: (u64, Option<u64>),
    },
    /// A fold of a cross-validation begins.
    Fold {
        /// Its number.
        fold: usize,
        /// Number of folds.
        of: usize,
        /// The folder of its run.
        folder: PathBuf,
    },
    /// Another process works on a fold.
    FoldInUse {
        /// Its number.
        fold: usize,
    },
    /// An edge of the architecture that was found is not as α says.
    Repaired {
        /// Name of the cell's architecture.
        cell: String,
        /// Its edge.
        edge: usize,
        /// The operation that it has instead of zero.
        operation: String,
    },
    /// A deciding search is over: how sure it is.
    Decided(Sureness),
    /// How sure a search by α is of what it found.
    Learnt(Agreement),
    /// There is nothing to do for a run.
    Complete {
        /// Its folder.
        folder: PathBuf,
    },
    /// The page about a run could not be written; all else is there.
    NoReport {
        /// The run's folder.
        folder: PathBuf,
        /// Why.
        error: Error,
    },
    /// How a race goes.
    Race(RaceMessage),
    /// An image is predicted part by part, as memory asks for it.
    Strips {
        /// Name of the image.
        image: String,
        /// Number of parts.
        strips: usize,
        /// Windows of the whole image.
        windows: usize,
        /// Windows that are predicted besides.
        more: usize,
    },
    /// The latest checkpoint is damaged, and the one before it is not.
    EarlierCheckpoint {
        /// What is wrong with the latest one.
        damaged: Error,
    },
    /// Nothing keeps a second process away from a folder.
    NoLocks {
        /// The file that would be locked.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The search of an architecture has seen cases that other folds hold out.
    SeenCases {
        /// Name of the run.
        source_run: String,
        /// Its fold.
        fold: usize,
    },
    /// A teacher was trained on cases that are held out here.
    TaughtCases {
        /// Name of its run.
        teacher: String,
        /// How many it has seen.
        seen: usize,
        /// How many there are.
        held_out: usize,
    },
    /// Files and folders in a folder that are not predicted, as they are no images.
    NoImages {
        /// The files.
        files: Vec<PathBuf>,
    },
    /// Images in a folder that are compressed in a way that is not read.
    Packed {
        /// The files.
        files: Vec<PathBuf>,
    },
    /// An image that takes long.
    Long {
        /// Name of the image.
        image: String,
        /// Its windows.
        windows: usize,
        /// Seconds that they take, by the first of them.
        seconds: f64,
    },
    /// Something about predictions that is no fault and may be a mistake.
    Doubt(Doubt),
    /// An image from which hardly anything sound can be predicted.
    Doubtful(Finding),
    /// A file that is read although something is odd about it, such as its header.
    Header {
        /// The file.
        file: PathBuf,
        /// What is to be said of it.
        remark: Remark,
    },
}

impl Message {
    /// Whether it needs attention. It ends nothing.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Race(message) => message.is_warning(),
            Self::MakingUp { .. }
            | Self::Data { .. }
            | Self::Coarser { .. }
            | Self::ByAxis { .. }
            | Self::HeldOutBy { .. }
            | Self::HeldOnDisk { .. }
            | Self::Filling { .. }
            | Self::Mirrored { .. }
            | Self::Foreseen { .. }
            | Self::Fold { .. }
            | Self::FoldInUse { .. }
            | Self::Repaired { .. }
            | Self::Decided(_)
            | Self::Learnt(_)
            | Self::Complete { .. }
            | Self::Strips { .. }
            | Self::Long { .. } => false,
            Self::EarlierCheckpoint { .. }
            | Self::Remade { .. }
            | Self::NoLocks { .. }
            | Self::NoReport { .. }
            | Self::FewVoxels { .. }
            | Self::SeenCases { .. }
            | Self::TaughtCases { .. }
            | Self::NoImages { .. }
            | Self::Packed { .. }
            | Self::Doubt(_)
            | Self::Doubtful(_)
            | Self::Header { .. } => true,
        }
    }
}

/// The names of files, of many the first few.
fn named(files: &[PathBuf]) -> String {
    shortened(&files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>())
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::MakingUp { labelled, test, folder } => {
                let folder = folder.display();
                write!(f, "writing {labelled} labelled and {test} test images to {folder}")
            }
            Self::Data { dataset, training, held_out, channels, outputs, patch, spacing } => {
                let ([d, h, w], [z, y, x]) = (patch, spacing);
                write!(
                    f,
                    "{dataset}: {training} training and {held_out} held-out cases, {channels} \
                     channel(s), {outputs}, patch {d}×{h}×{w} at {z:.2}×{y:.2}×{x:.2} mm"
                )
            }
            Self::Coarser { usual: [z, y, x], coverage } => write!(
                f,
                "the cases have {z:.2}×{y:.2}×{x:.2} mm; the grid is coarser, so that a patch holds \
                 {:.0} % of a case (data.coverage)",
                100.0 * coverage
            ),
            Self::FewVoxels { structures } => {
                let listed = structures.iter().map(|(name, voxels)| format!("{name} ({voxels})"));
                write!(
                    f,
                    "on this grid the median case has few voxels of {}: with data.coverage = 0 the \
                     grid is as fine as the cases, and a patch holds less of them",
                    listed.collect::<Vec<_>>().join(", ")
                )
            }
            Self::ByAxis { grid, patch } => write!(f, "grids by axis: {}", grid.text(*patch)),
            Self::HeldOutBy { list } => {
                write!(f, "the held-out cases are those that {} says", list.display())
            }
            Self::HeldOnDisk { needed, memory } => write!(
                f,
                "the cases would take about {} of memory, of which half of {} is for them: they \
                 are held on disk",
                memory::text(*needed),
                memory::text(*memory)
            ),
            Self::Filling { bytes, folder, seconds } => write!(
                f,
                "the other cases take {} more in {}, and about {}; runs on the same data share \
                 them; delete the folder when no run works with it",
                memory::text(*bytes),
                folder.display(),
                duration(*seconds)
            ),
            Self::Remade { case, folder } => write!(
                f,
                "{case}: its preprocessed voxels in {} were damaged; they were made again",
                folder.display()
            ),
            Self::Mirrored { probabilities: [d, h, w] } => write!(
                f,
                "patches are mirrored along depth, height and width with probability {d}, {h} and \
                 {w}"
            ),
            Self::Foreseen { search_s, training_s, all_s, memory, disk } => {
                let [search, training, all] = [search_s, training_s, all_s].map(|s| duration(*s));
                write!(f, "this will take about {all} (search {search}, training {training})")?;
                if let Some(memory) = memory {
                    write!(f, ", {} of memory", part(*memory))?;
                }
                write!(f, ", {} of disk", part(*disk))
            }
            Self::Fold { fold, of, folder } => {
                write!(f, "fold {fold} of {of}: {}", folder.display())
            }
            Self::FoldInUse { fold } => {
                write!(f, "fold {fold}: left out, another process works on it")
            }
            Self::Repaired { cell, edge, operation } => write!(
                f,
                "cell {cell}: a node had no input; edge {edge} got {operation} instead of zero"
            ),
            Self::Decided(sureness) => sureness.fmt(f),
            Self::Learnt(agreement) => agreement.fmt(f),
            Self::Race(message) => message.fmt(f),
            Self::Complete { folder } => write!(f, "{}: this run is complete", folder.display()),
            Self::Strips { image, strips, windows, more } => write!(
                f,
                "{image}: predicted in {strips} strips to save memory, which takes {more} windows \
                 more than {windows}"
            ),
            Self::EarlierCheckpoint { damaged } => {
                write!(f, "{damaged}; going on from the checkpoint before it")
            }
            Self::NoLocks { path, error } => write!(
                f,
                "{}: this file system has no locks ({error}), so nothing keeps a second process \
                 away from the folder; do not start one there",
                path.display()
            ),
            Self::NoReport { folder, error } => {
                write!(f, "{}: no report.html could be written: {error}", folder.display())
            }
            Self::SeenCases { source_run, fold } => write!(
                f,
                "{source_run}: this architecture was found on cases that other folds than {fold} \
                 hold out; their scores may be too good"
            ),
            Self::TaughtCases { teacher, seen, held_out } => write!(
                f,
                "{teacher}: this teacher was trained on {seen} of the {held_out} cases held out \
                 here; their scores will be too good"
            ),
            Self::NoImages { files } => {
                write!(f, "left out, as they are no images: {}", named(files))
            }
            Self::Packed { files } => {
                write!(
                    f,
                    "left out, as they are compressed in a way that is not read: {}; decompress \
                     them, or compress them with gzip as .nii.gz",
                    named(files)
                )
            }
            Self::Long { image, windows, seconds } => {
                write!(f, "{image}: {windows} windows, which take about {}", duration(*seconds))
            }
            Self::Doubt(doubt) => doubt.fmt(f),
            Self::Doubtful(finding) => write!(f, "{}; {}", finding.message, finding.remedy),
            Self::Header { file, remark } => {
                write!(f, "{}: {remark}; {}", file.display(), remark.remedy())
            }
        }
    }
}

/// Bytes, and of how many, where that is known.
fn part((bytes, of): (u64, Option<u64>)) -> String {
    match of {
        Some(of) => format!("{} of {}", memory::text(bytes), memory::text(of)),
        None => memory::text(bytes),
    }
}

/// Seconds in the unit that reads best.
pub fn duration(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.1} s"),
        ..7200.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_of_the_machine_is_not_said() {
        let message = Message::Foreseen {
            search_s: 0.0,
            training_s: 3600.0,
            all_s: 3660.0,
            memory: None,
            disk: (5 << 20, Some(1 << 30)),
        };
        assert_eq!(
            message.to_string(),
            "this will take about 61.0 min (search 0.0 s, training 60.0 min), 5 MiB of 1.00 GiB \
             of disk"
        );
    }
}
