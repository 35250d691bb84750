//! What a run leaves on disk: its folder, checkpoints, models, these also for other programs; and
//! architectures found there.

pub mod checkpoint;
pub mod events;
pub mod lock;
pub mod model;
pub mod named;
pub mod onnx;
pub mod run_folder;
pub mod tensors;
