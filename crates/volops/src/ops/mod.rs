//! The operations as they run on the CPU: one file a family, each with the public function on tensors, the forward and the
//! backward pass in terms of [`crate::kernel`].

mod concat;
mod conv;
mod depthwise;
mod elementwise;
mod extension;
mod flex;
mod norm;
mod pool;
mod upsample;

pub use concat::concat;
pub use conv::{conv_transpose3d, conv3d};
pub use depthwise::depthwise3d;
pub use elementwise::{adam, add_scaled, leaky_relu};
pub use norm::{add_instance_norm, instance_norm};
pub use pool::{avg_pool3d, max_pool3d};
pub use upsample::upsample2;
