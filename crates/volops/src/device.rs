//! Choosing the device a run computes on by name.

use std::{error::Error, fmt};

use burn::tensor::Device;

/// Names of the GPU devices, which are also the Cargo features that compile them in.
const GPUS: [&str; 5] = ["cuda", "rocm", "metal", "vulkan", "wgpu"];

/// The device called `name`: `"cpu"`, or one of `"cuda"`, `"rocm"`, `"metal"`, `"vulkan"`, `"wgpu"`
/// when the feature of that name is compiled in, optionally followed by `":index"` (`"cuda:1"`;
/// without it, the driver's default).
///
/// The device has no autodiff yet: call `.autodiff()` on it to train.
///
/// # Errors
/// An unknown name, a GPU this build was made without, or an index that is not a number. Whether
/// the machine has such a GPU is only found out by the first tensor put on it.
pub fn device(name: &str) -> Result<Device, DeviceError> {
    let (kind, index) = match name.split_once(':') {
        None => (name, None),
        Some((kind, index)) if GPUS.contains(&kind) => match index.parse::<usize>() {
            Ok(index) => (kind, Some(index)),
            Err(_) => return Err(DeviceError::BadIndex { name: name.into() }),
        },
        Some(_) => return Err(DeviceError::Unknown { name: name.into() }),
    };
    // Only read by the arms below that are compiled in.
    let _ = index;
    match kind {
        "cpu" => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(index.unwrap_or(0))),
        #[cfg(feature = "rocm")]
        "rocm" => Ok(Device::rocm(index.unwrap_or(0))),
        #[cfg(feature = "metal")]
        "metal" => Ok(Device::metal(adapter(index))),
        #[cfg(feature = "vulkan")]
        "vulkan" => Ok(Device::vulkan(adapter(index))),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(adapter(index))),
        gpu if GPUS.contains(&gpu) => Err(DeviceError::NotCompiled { name: gpu.into() }),
        _ => Err(DeviceError::Unknown { name: name.into() }),
    }
}

#[cfg(any(feature = "metal", feature = "vulkan", feature = "wgpu"))]
fn adapter(index: Option<usize>) -> burn::tensor::DeviceKind {
    use burn::tensor::DeviceKind;
    index.map_or(DeviceKind::DefaultDevice, DeviceKind::DiscreteGpu)
}

/// Why [`device`] has no device of the name it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// No device is called so.
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The device exists, but this program was built without it.
    NotCompiled {
        /// The device, and the Cargo feature to build with.
        name: String,
    },
    /// What follows the colon is not the number of a GPU.
    BadIndex {
        /// What was asked for.
        name: String,
    },
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => {
                write!(
                    f,
                    "unknown device `{name}`: expected `cpu`, or one of {} with an optional \
                     `:index`",
                    GPUS.join(", ")
                )
            }
            Self::NotCompiled { name } => {
                write!(
                    f,
                    "device `{name}` is not part of this build: build with `--features {name}`, \
                     or use `cpu`"
                )
            }
            Self::BadIndex { name } => write!(
                f,
                "device `{name}`: expected the number of a GPU after the colon, as in `cuda:0`"
            ),
        }
    }
}

impl Error for DeviceError {}
