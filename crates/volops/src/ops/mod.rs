//! The operations as they run on the CPU: one file a family, each with the public function on
//! tensors, the forward and the backward pass in terms of [`crate::kernel`].

mod concat;
mod conv;
mod elementwise;
mod extension;
mod flex;
mod norm;
mod pool;
mod upsample;
mod weighted_sum;

pub use concat::concat;
pub use conv::{conv_transpose3d, conv3d, depthwise3d};
pub use elementwise::{adam, leaky_relu};
pub use norm::instance_norm;
pub use pool::{avg_pool3d, max_pool3d};
pub use upsample::upsample2;
pub(crate) use weighted_sum::POINTWISE;
pub use weighted_sum::{Convolution, Operation, Term, add_scaled, weighted_sum};
