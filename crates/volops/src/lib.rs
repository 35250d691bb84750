//! 3-D tensor operations for Burn: convolution, depthwise convolution, pooling, instance norm, ×2
//! resampling, and the few elementwise operations a network on volumes spends its time in.
//!
//! Every operation is a function on `Tensor<5>`, shaped `[batch, channels, depth, height, width]`,
//! and a type that is a term of a node, a [`weighted_sum`], which is one step of the tape.
//!
//! What it computes with depends on the tensor's device and element type, at run time:
//!
//! - for `f32` on the CPU (`Flex`) it is the kernels in [`kernel`], gradients included;
//! - for `f32` on a GPU (CUDA, ROCm, Metal, Vulkan, wgpu) it is those in `gpu`, gradients included;
//! - for other element types it is the [`composition`] of stock Burn operations of the same name,
//!   which is also the reference the kernels are tested against, and what Burn's autodiff finds for
//!   its gradients.
//!
//! The backward pass keeps references to the inputs it reads and computes the gradients of tracked
//! inputs only. On a device with Burn's gradient checkpointing everything but the convolutions, and
//! what is recorded with them, is recomputed instead of kept.
//!
//! | file | holds |
//! |---|---|
//! | `ops/` | the operations, one file each: function, type, forward and backward pass |
//! | `node/` | what an [`Operation`] is, and the node that adds them up |
//! | `step.rs` | the steps that operations are written down in for other programs |
//! | `backend/mod.rs` | [`Kernels`], the seam: what operations compute with |
//! | `backend/cpu.rs` | `Kernels` for `f32` on the CPU |
//! | `backend/gpu/` | `Kernels` for `f32` on GPUs |
//! | `backend/tape.rs` | how a node is plugged into Burn's autodiff |
//! | `kernel/` | the CPU kernels, on plain slices: no tensors, no autodiff |
//! | `gpu/` | the GPU kernels, on plain buffers |
//! | `work.rs` | what GPUs are told to do, counted |
//! | `composition.rs` | the operations from stock Burn ones |
//! | `device/` | devices by name |
//! | `memory.rs` | the allocator to use with them |
//! | `machine.rs` | what the machine can do at most, to judge the kernels by |
//!
//! A new operation of a node is a file in `ops/` with an [`Operation`], from stock Burn operations
//! at first. A faster one is a method of [`Kernels`], its default the composition, and its override
//! in `backend/cpu.rs` with a kernel in `kernel/`, or in `backend/gpu/` with one in `gpu/`.

mod backend;
pub mod composition;
mod device;
#[cfg(feature = "cube")]
mod gpu;
pub mod kernel;
pub mod machine;
pub mod memory;
mod node;
mod ops;
mod step;
mod work;

pub use backend::{Kernels, NormGradients, NormTerm, Stock, Summand, WholeSums};
pub use device::{DeviceError, Listed, device, devices, most_bytes};
pub use kernel::{
    conv::ConvSpec, depthwise::DepthwiseSpec, elementwise::AdamStep, parallel::map_indices,
    pool::PoolSpec,
};
pub use node::{Input, Kept, Operation, Term, Undone, add_scaled, weighted_sum};
pub use ops::*;
pub use step::Step;
pub use work::{Work, count_work};
