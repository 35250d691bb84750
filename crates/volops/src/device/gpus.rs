//! The GPUs of this machine.

#[cfg(any(feature = "metal", feature = "vulkan", feature = "wgpu"))]
use burn::tensor::DeviceKind;
use burn::tensor::{Device, DeviceType};

/// The GPUs of a kind; none if it is not compiled in.
pub fn found(kind: &str) -> Option<Vec<Device>> {
    let kind = match kind {
        #[cfg(feature = "cuda")]
        "cuda" => DeviceType::Cuda,
        #[cfg(feature = "rocm")]
        "rocm" => DeviceType::Rocm,
        #[cfg(feature = "metal")]
        "metal" => DeviceType::Metal,
        #[cfg(feature = "vulkan")]
        "vulkan" => DeviceType::Vulkan,
        #[cfg(feature = "wgpu")]
        "wgpu" => DeviceType::Wgpu,
        #[cfg(feature = "gpu")]
        "gpu" => DeviceType::Wgpu,
        _ => return None,
    };
    Some(Device::enumerate(kind).iter().cloned().collect())
}

/// The one that the driver would take, where it has a say in it.
pub fn preferred(kind: &str) -> Option<Device> {
    match kind {
        #[cfg(feature = "metal")]
        "metal" => Some(Device::metal(DeviceKind::DefaultDevice)),
        #[cfg(feature = "vulkan")]
        "vulkan" => Some(Device::vulkan(DeviceKind::DefaultDevice)),
        #[cfg(feature = "wgpu")]
        "gpu" | "wgpu" => Some(Device::wgpu(DeviceKind::DefaultDevice)),
        _ => None,
    }
}

/// What its driver calls it.
pub fn description(device: &Device) -> String {
    device.identity().map_or_else(|| "unknown".into(), |identity| identity.name)
}
