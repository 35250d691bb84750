//! Every operation equals the composition of stock Burn operations of the same name on the CPU: its
//! result, and the gradient of every input through Burn's autodiff.
//!
//! That compares the kernels of the CPU, and those of a GPU where the environment variable
//! `VOLOPS_TEST_DEVICE` names one to put to the same test (see `docs/guide/gpus.md`).

mod autodiff;
mod each;
mod sums;

use burn::tensor::{DType, Device, Tensor};
use proptest::prelude::*;

use crate::support::{assert_close, devices, gradients, inputs};

/// The largest error allowed, relative to the largest element of the reference.
struct Tolerance {
    operation: &'static str,
    cpu: f32,
    other_devices: f32,
}

#[rustfmt::skip]
const TOLERANCES: [Tolerance; 12] = [
    Tolerance { operation: "conv3d",            cpu: 1e-5, other_devices: 1e-5 },
    Tolerance { operation: "conv_transpose3d",  cpu: 1e-5, other_devices: 1e-5 },
    Tolerance { operation: "depthwise3d",       cpu: 1e-5, other_devices: 1e-5 },
    Tolerance { operation: "max_pool3d",        cpu: 1e-6, other_devices: 1e-6 },
    Tolerance { operation: "avg_pool3d",        cpu: 1e-6, other_devices: 1e-6 },
    Tolerance { operation: "upsample",          cpu: 1e-6, other_devices: 1e-6 },
    Tolerance { operation: "concat",            cpu: 0.0,  other_devices: 0.0  },
    Tolerance { operation: "leaky_relu",        cpu: 1e-7, other_devices: 1e-6 },
    Tolerance { operation: "instance_norm",     cpu: 2e-5, other_devices: 2e-5 },
    Tolerance { operation: "weighted_sum",      cpu: 1e-4, other_devices: 5e-4 },
    Tolerance { operation: "add_scaled",        cpu: 1e-4, other_devices: 5e-4 },
    Tolerance { operation: "adam",              cpu: 1e-6, other_devices: 1e-6 },
];

fn tolerance(operation: &str, device: &Device) -> f32 {
    let row = TOLERANCES
        .iter()
        .find(|row| row.operation == operation)
        .expect("every operation has a tolerance");
    if *device == Device::flex() { row.cpu } else { row.other_devices }
}

/// How far two runs of an operation on the same numbers may be apart: not at all on the CPU.
fn repeated(operation: &str, device: &Device) -> f32 {
    if *device == Device::flex() { 0.0 } else { tolerance(operation, device) }
}

/// Compares result and gradients of an operation, on all devices to test, with those of its
/// composition on the CPU: by the kernels of each, and by the stock ones.
fn check<const N: usize>(
    name: &str,
    shapes: [[usize; 5]; N],
    operation: impl Fn([Tensor<5>; N]) -> Tensor<5>,
    composition: impl Fn([Tensor<5>; N]) -> Tensor<5>,
) {
    let (expected, expected_grads) = gradients(&inputs(shapes, &Device::flex()), composition);
    for device in devices() {
        let tolerance = tolerance(name, &device);
        let compare = |inputs: [Tensor<5>; N]| {
            let what = format!("{name} of {shapes:?} on {device:?} in {:?}", inputs[0].dtype());
            let (y, grads) = gradients(&inputs, &operation);
            assert_close(&what, y, expected.clone(), tolerance);
            for (i, (grad, expected)) in grads.into_iter().zip(&expected_grads).enumerate() {
                assert_close(&format!("gradient {i} of {what}"), grad, expected.clone(), tolerance);
            }
        };
        compare(inputs(shapes, &device));
        if device == Device::flex() {
            // There are no kernels for it.
            compare(inputs(shapes, &device).map(|input| input.cast(DType::F64)));
        }
    }
}

/// Batches, channels and grids up to `side`, odd ones and single voxels included.
fn shapes(side: usize) -> impl Strategy<Value = [usize; 5]> {
    (1..=2usize, 1..=5usize, 1..=side, 1..=side, 1..=side)
        .prop_map(|(n, c, d, h, w)| [n, c, d, h, w])
}
