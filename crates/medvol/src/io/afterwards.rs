//! What is known of a file only once it is read to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::remark::Remark;
use super::source::Source;
use super::stream::Stream;

/// What will be known of the files of an image once its voxels are read: see
/// [`Opened::afterwards`](super::Opened::afterwards).
#[derive(Clone, Debug)]
pub struct Afterwards(Vec<(Source, Arc<AtomicBool>)>);

impl Afterwards {
    pub(super) fn of<'a>(streams: impl Iterator<Item = &'a Stream>) -> Self {
        Self(streams.map(|stream| (stream.source().clone(), stream.others_follow())).collect())
    }

    /// What is to be said now, with the file that it is about.
    pub fn remarks(&self) -> impl Iterator<Item = (&Source, Remark)> {
        let said = self.0.iter().filter(|(_, others_follow)| others_follow.load(Ordering::Relaxed));
        said.map(|(source, _)| (source, Remark::OthersFollow))
    }
}
