//! Choosing the device a run computes on by name.

#[cfg(feature = "cube")]
mod gpus;
#[cfg(not(feature = "cube"))]
#[path = "no_gpus.rs"]
mod gpus;

use std::{error::Error, fmt};

use burn::tensor::{Device, Tensor};

use crate::backend::kernels_of;

/// Names of the GPU devices, which are also the Cargo features that compile them in.
const GPUS: [&str; 6] = ["gpu", "cuda", "rocm", "metal", "vulkan", "wgpu"];

/// The device called `name`: `"cpu"`, or one of `"gpu"`, `"cuda"`, `"rocm"`, `"metal"`, `"vulkan"`,
/// `"wgpu"` when the feature of that name is compiled in, optionally followed by `":index"`
/// (`"gpu:1"`; without it, the driver's default). `"gpu"` is `"wgpu"` by another name.
///
/// The device has no autodiff yet: call `.autodiff()` on it to train.
///
/// # Errors
/// An unknown name, a GPU this build was made without or this machine does not have, or an index
/// that is not a number.
pub fn device(name: &str) -> Result<Device, DeviceError> {
    let (kind, index) = match name.split_once(':') {
        None => (name, None),
        Some((kind, index)) if GPUS.contains(&kind) => match index.parse::<usize>() {
            Ok(index) => (kind, Some(index)),
            Err(_) => return Err(DeviceError::BadIndex { name: name.into() }),
        },
        Some(_) => return Err(DeviceError::Unknown { name: name.into() }),
    };
    if kind == "cpu" {
        return Ok(Device::flex());
    }
    if !GPUS.contains(&kind) {
        return Err(DeviceError::Unknown { name: name.into() });
    }
    let Some(found) = gpus::found(kind) else {
        return Err(DeviceError::NotCompiled { name: kind.into() });
    };
    let missing = || DeviceError::Missing { name: name.into(), found: found.len() };
    match index {
        Some(index) => found.get(index).cloned().ok_or_else(missing),
        None if found.is_empty() => Err(missing()),
        None => Ok(gpus::preferred(kind).unwrap_or_else(|| found[0].clone())),
    }
}

/// A device that [`device`] knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What to call it.
    pub name: String,
    /// What it is, as its driver says.
    pub description: String,
}

/// The devices of this machine that this build can compute on. It opens all of them.
pub fn devices() -> Vec<Listed> {
    let cpu = Listed { name: "cpu".into(), description: "kernels of its own".into() };
    let gpus = GPUS.iter().flat_map(|kind| {
        let found = gpus::found(kind).unwrap_or_default().into_iter().enumerate();
        found.map(move |(i, device)| Listed {
            name: format!("{kind}:{i}"),
            description: gpus::description(&device),
        })
    });
    [cpu].into_iter().chain(gpus).collect()
}

/// Bytes of the largest tensor that kernels can work on, of a GPU; of the CPU there is no such limit.
pub fn most_bytes(device: &Device) -> Option<u64> {
    let x = Tensor::zeros([1; 5], device);
    kernels_of(&x).most_bytes(&x)
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
    /// This machine has no such device.
    Missing {
        /// What was asked for.
        name: String,
        /// How many of its kind there are.
        found: usize,
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
            Self::Missing { name, found: 0 } => write!(
                f,
                "device `{name}`: no GPU was found: install the driver of the GPU, or use `cpu`"
            ),
            Self::Missing { name, found } => write!(
                f,
                "device `{name}`: expected a number below {found}, the GPUs that were found"
            ),
            Self::BadIndex { name } => write!(
                f,
                "device `{name}`: expected the number of a GPU after the colon, as in `cuda:0`"
            ),
        }
    }
}

impl Error for DeviceError {}
