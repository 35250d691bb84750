//! The operations: one file each, with the public function, the type that a node takes, its forward
//! and its backward pass in terms of [`Kernels`](crate::Kernels).

mod adam;
mod avg_pool3d;
mod class_loss;
mod concat;
mod conv3d;
mod conv_transpose3d;
mod depthwise3d;
mod filter;
mod identity;
mod leaky_relu;
mod max_pool3d;
mod normed;
mod upsample;

pub use adam::{AdamUpdate, adam, adam_all, squared_norm};
pub use avg_pool3d::{AvgPool3d, avg_pool3d};
pub use class_loss::{ClassLoss, class_loss};
pub use concat::{Concat, concat};
pub use conv_transpose3d::{ConvTranspose3d, conv_transpose3d};
pub use conv3d::{Conv3d, conv3d};
pub use depthwise3d::{Depthwise3d, depthwise3d};
pub use filter::Filter;
pub use identity::Identity;
pub use leaky_relu::{LeakyRelu, leaky_relu};
pub use max_pool3d::{MaxPool3d, max_pool3d};
pub use normed::{Normed, instance_norm};
pub use upsample::{Upsample, upsample};
