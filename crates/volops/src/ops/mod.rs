//! The operations as they run on the CPU: one file a family, each with the public function on tensors, the forward and the
//! backward pass in terms of [`crate::kernel`].

mod chain;
mod concat;
mod conv;
mod conv_norm;
mod depthwise;
mod elementwise;
mod extension;
mod flex;
mod norm;
mod pool;
mod term;
mod upsample;

pub use concat::concat;
pub use conv::{conv_transpose3d, conv3d};
pub use conv_norm::{Convolution, add_conv_norm};
pub use depthwise::depthwise3d;
pub use elementwise::{adam, add_scaled, leaky_relu};
pub use norm::{add_instance_norm, instance_norm};
pub use pool::{add_avg_pool3d, add_max_pool3d, avg_pool3d, max_pool3d};
pub use upsample::upsample2;
