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

impl Batch {
    /// Its patches, each a batch of its own.
    pub fn patches(&self) -> impl Iterator<Item = Self> {
        let [patches, channels, d, h, w] = self.shape;
        let voxels = d * h * w;
        (0..patches).map(move |n| Self {
            image: self.image[n * channels * voxels..(n + 1) * channels * voxels].to_vec(),
            shape: [1, channels, d, h, w],
            classes: self.classes[n * voxels..(n + 1) * voxels].to_vec(),
        })
    }
}
