//! The GPUs of a build without GPUs.

use burn::tensor::Device;

/// None is compiled in.
pub fn found(_: &str) -> Option<Vec<Device>> {
    None
}

/// There is none to prefer.
pub fn preferred(_: &str) -> Option<Device> {
    None
}

/// What a GPU is called; there is none.
pub fn description(_: &Device) -> String {
    String::new()
}
