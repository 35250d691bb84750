//! The size of a network.

use medvol::ClassMap;

use crate::space::topology::NODES;

/// Size of a network, apart from its architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Size {
    /// Input channels.
    pub channels: usize,
    /// Outputs: classes, background included, or regions ([`medvol::Target`]).
    pub classes: usize,
    /// Channels of the stem.
    pub width: usize,
}

impl Size {
    /// Whether a network can have it. Far more would overflow products before it is refused for
    /// its memory.
    pub fn is_possible(&self) -> bool {
        let Self { channels, classes, width } = self;
        (1..=4096).contains(channels)
            && (1..=ClassMap::MAX_CLASSES).contains(classes)
            && (NODES..=4096).contains(width)
            && width.is_multiple_of(NODES)
    }
}
