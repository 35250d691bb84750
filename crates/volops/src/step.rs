//! What operations do in steps that other programs know, too.

use crate::PoolSpec;

/// A step of an operation. It works on what the step before it made, the first on the operation's
/// own `x`; weights are taken in the order of the operation's inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// `x` where positive, `slope · x` elsewhere.
    LeakyRelu {
        /// Factor for what is not positive.
        slope: f32,
    },
    /// A convolution without bias, padded so that a stride of 1 keeps the grid. Takes its weight.
    Convolution {
        /// `[depth, height, width]`
        kernel: [usize; 3],
        /// `[depth, height, width]`
        stride: [usize; 3],
        /// Distance in voxels of neighbouring taps.
        dilation: usize,
        /// Whether every channel has a kernel of its own.
        depthwise: bool,
    },
    /// A transposed convolution without bias, which makes every axis as many times as long as its
    /// stride. Takes its weight.
    Transposed {
        /// `[depth, height, width]`
        kernel: [usize; 3],
        /// `[depth, height, width]`
        stride: [usize; 3],
    },
    /// Instance norm. Takes `gamma` and `beta`.
    InstanceNorm {
        /// Added to the variance.
        epsilon: f64,
    },
    /// The largest value in a window; beyond the border there is nothing.
    MaxPool(PoolSpec),
    /// The mean over the voxels of a window that are inside the grid.
    AvgPool(PoolSpec),
    /// Linear resampling that keeps voxel centres in place; beyond the border the last voxel goes
    /// on.
    Upsample {
        /// Along depth, height and width: 1 or 2 each.
        factor: [usize; 3],
    },
    /// The channels of all inputs one after the other.
    Concat,
}
