//! Tests of operations and kernels, as one program: it links once.

mod support;
mod values;

mod bits;
mod device;
mod gpu;
mod kernel_conv;
mod machine;
mod memory_bound;
mod ops;
mod pytorch;
mod tape;
mod threads;
mod view;
mod winograd;
