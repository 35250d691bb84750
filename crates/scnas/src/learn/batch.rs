//! What a step learns from.

/// A batch of patches.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[batch, channels, depth, height, width]`, flattened.
    pub image: Vec<f32>,
    /// Shape of `image`.
    pub shape: [usize; 5],
    /// Class indices `[batch, depth, height, width]`, flattened;
    /// [ignored](medvol::ClassMap::IGNORED) voxels are among them.
    pub classes: Vec<u8>,
}
