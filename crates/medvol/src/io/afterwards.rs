//! What is known of a file only once it is read to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::remark::Remark;
use super::source::Source;
use super::voxels::Stored;

/// Bytes behind the voxels are no padding any more from a tenth of theirs on, and more than a block.
const PART: u64 = 10;
const BLOCK: u64 = 4096;

/// What will be known of the files of an image once its voxels are read: see
/// [`Opened::afterwards`](super::Opened::afterwards).
#[derive(Clone, Debug)]
pub struct Afterwards(Vec<Known>);

/// What is found out about a file.
#[derive(Clone, Debug)]
struct Known {
    source: Source,
    others_follow: Arc<AtomicBool>,
    /// Bytes of the voxels.
    voxels: u64,
    /// Bytes behind them.
    surplus: Arc<AtomicU64>,
}

impl Afterwards {
    pub(super) fn of<'a>(files: impl Iterator<Item = &'a Stored>) -> Self {
        let known = files.map(|stored| Known {
            source: stored.stream.source().clone(),
            others_follow: stored.stream.others_follow(),
            voxels: stored.bytes(),
            surplus: stored.stream.surplus(),
        });
        Self(known.collect())
    }

    /// What is to be said now, with the file that it is about.
    pub fn remarks(&self) -> impl Iterator<Item = (&Source, Remark)> {
        self.0.iter().flat_map(|known| known.remarks().map(|remark| (&known.source, remark)))
    }
}

impl Known {
    fn remarks(&self) -> impl Iterator<Item = Remark> + use<> {
        let others = self.others_follow.load(Ordering::Relaxed).then_some(Remark::OthersFollow);
        let (voxels, surplus) = (self.voxels, self.surplus.load(Ordering::Relaxed));
        let is_padding = surplus <= BLOCK || surplus < voxels / PART;
        let more = (!is_padding).then_some(Remark::Surplus { voxels, surplus });
        others.into_iter().chain(more)
    }
}
