//! The size of a network.

/// Size of a network, apart from its architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Size {
    /// Input channels.
    pub channels: usize,
    /// Classes, background included.
    pub classes: usize,
    /// Channels of the stem.
    pub width: usize,
}
