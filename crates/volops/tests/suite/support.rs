//! What the suite of operations computes with: the devices, the numbers, and the comparison of what
//! came out.

use std::{array, sync::OnceLock};

use burn::tensor::{Device, Tensor, TensorData};

/// Names the device the operations are tested on besides the CPU, as `volops::device` does.
const VARIABLE: &str = "VOLOPS_TEST_DEVICE";

/// The devices to test on: the CPU, and the one that `VOLOPS_TEST_DEVICE` names.
///
/// # Panics
/// If there is no such device, or it is not part of this build.
pub fn devices() -> impl Iterator<Item = Device> {
    static NAMED: OnceLock<Option<Device>> = OnceLock::new();
    let find = || {
        let name = std::env::var(VARIABLE).ok()?;
        Some(volops::device(&name).unwrap_or_else(|error| panic!("{VARIABLE}: {error}")))
    };
    [Device::flex()].into_iter().chain(NAMED.get_or_init(find).clone())
}

/// The result of `f`, and the gradient of a random linear function of it for every input.
pub fn gradients<const N: usize>(
    inputs: &[Tensor<5>; N],
    f: impl Fn([Tensor<5>; N]) -> Tensor<5>,
) -> (Tensor<5>, [Tensor<5>; N]) {
    let device = inputs[0].device();
    let inputs = inputs.each_ref().map(|input| Tensor::from_inner(input.clone()).require_grad());
    let y = f(inputs.clone());
    let g = Tensor::from_inner(random(y.dims(), 9, &device).cast(y.dtype()));
    let grads = (y.clone() * g).sum().backward();
    (y.inner(), inputs.map(|input| input.grad(&grads).expect("every input is tracked")))
}

/// Compares two tensors, wherever they are. The error is relative to the largest element expected,
/// and printed.
pub fn assert_close(what: &str, found: Tensor<5>, expected: Tensor<5>, tolerance: f32) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let [found, expected] =
        [found, expected].map(|tensor| tensor.into_data().iter::<f64>().collect::<Vec<_>>());
    let largest = expected.iter().fold(0.0, |largest, e| e.abs().max(largest));
    // The gradient of a single number is a sum over all voxels, of which chance may leave little.
    let least = if expected.len() == 1 { 1.0 } else { 0.1 };
    // A NaN is the largest of errors.
    let error = found
        .iter()
        .zip(&expected)
        .map(|(f, e)| (f - e).abs())
        .max_by(f64::total_cmp)
        .unwrap_or(0.0)
        / largest.max(least);
    println!("error {error:.1e}: {what}");
    assert!(
        error <= f64::from(tolerance),
        "{what}: error {error:.1e}, allowed are {tolerance:.1e}"
    );
}

/// Tensors of these shapes, scattered differently.
pub fn inputs<const N: usize>(shapes: [[usize; 5]; N], device: &Device) -> [Tensor<5>; N] {
    array::from_fn(|i| random(shapes[i], i, device))
}

pub fn random(shape: [usize; 5], seed: usize, device: &Device) -> Tensor<5> {
    Tensor::from_data(TensorData::new(values(shape.iter().product(), seed), shape), device)
}

/// `n` scattered numbers in (-1, 1), all different (a maximum is in one place) and none of them 0
/// (where LeakyReLU has a kink).
pub fn values(n: usize, seed: usize) -> Vec<f32> {
    const BITS: u32 = 20;
    const MASK: u32 = (1 << BITS) - 1;
    (0..n as u32)
        .map(|i| {
            // Every line is a bijection of the numbers of that many bits.
            let mut k = (i + 7919 * seed as u32) & MASK;
            k = k.wrapping_mul(0x9E375) & MASK;
            k ^= k >> 9;
            k = k.wrapping_mul(0xB5297) & MASK;
            k ^= k >> 7;
            (2 * k + 1) as f32 / (1 << BITS) as f32 - 1.0
        })
        .collect()
}
