//! 3-D tensor operations for Burn: convolution, depthwise convolution, pooling, instance norm, ×2
//! resampling, and the few elementwise operations a network on volumes spends its time in.
//!
//! Every operation is a function on `Tensor<5>`, shaped `[batch, channels, depth, height, width]`.
//! What it does depends on the tensor's device, at run time:
//!
//! - on the CPU (`Flex`) it calls the kernels in [`kernel`], with a hand-written backward pass on
//!   an autodiff device;
//! - elsewhere (CUDA, ROCm, Metal, Vulkan, wgpu), and for any other element type than `f32`, it is
//!   the [`composition`] of stock Burn operations of the same name, which is also the reference the
//!   kernels are tested against.
//!
//! The backward pass keeps references to the inputs it reads and computes the gradients of tracked
//! inputs only. On a device with Burn's gradient checkpointing everything but the convolutions, and
//! what is recorded with them, is recomputed instead of kept.
//!
//! | file | holds |
//! |---|---|
//! | `kernel/` | the CPU kernels, on plain slices: no tensors, no autodiff |
//! | `ops/` | the operations, one file a family: the public function, its forward and its backward in terms of the kernels |
//! | `ops/weighted_sum.rs` | a node of a cell, all its operations one step of the tape |
//! | `ops/extension.rs` | how they are plugged into Burn |
//! | `composition.rs` | the same operations from stock Burn ones |
//! | `device.rs` | devices by name |
//! | `memory.rs` | the allocator to use with them |
//! | `machine.rs` | what the machine can do at most, to judge the kernels by |

#![warn(clippy::undocumented_unsafe_blocks)]

mod backend;
pub mod composition;
mod device;
pub mod kernel;
pub mod machine;
pub mod memory;
mod node;
mod ops;

pub use backend::{Kernels, Stock};
pub use device::{DeviceError, device};
pub use kernel::{
    conv::ConvSpec, depthwise::DepthwiseSpec, elementwise::AdamStep, parallel::map_indices,
};
pub use node::{Input, Kept, Operation, Term, Undone, add_scaled, weighted_sum};
pub use ops::*;
