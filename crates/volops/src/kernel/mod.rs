//! CPU kernels: plain functions on row-major `f32` slices, independent of any tensor library.
//!
//! All tensors are `[batch, channels, depth, height, width]`. Results are the same bits for every
//! number of threads. `unsafe` occurs in this module only: raw loads and stores at offsets that the
//! packing code has made valid.

/// `[batch, channels, depth, height, width]`, row-major.
pub type Shape = [usize; 5];

/// Number of elements of a tensor of this shape.
pub fn numel(shape: Shape) -> usize {
    shape.iter().product()
}

pub mod concat;
pub mod conv;
pub mod depthwise;
pub mod elementwise;
pub mod norm;
pub mod parallel;
pub mod pool;
pub(crate) mod simd;
pub mod upsample;
pub mod view;
