pub mod checkpoint;
pub mod model;
pub mod run_folder;
pub mod tensors;
