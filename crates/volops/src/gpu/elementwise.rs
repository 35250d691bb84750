//! LeakyReLU and scaled sums.

use cubecl::prelude::*;

use super::{Buffer, Sum, UNITS, buffer::optional, cubes, item, summed, weight_of};

/// `x` where positive, `slope · x` elsewhere.
pub fn leaky_relu(x: &Buffer, slope: f32) -> Buffer {
    leaky_relu_gradient(x, x, slope)
}

/// The gradient of [`leaky_relu`]: `g` where `x` was positive, `slope · g` elsewhere.
pub fn leaky_relu_gradient(g: &Buffer, x: &Buffer, slope: f32) -> Buffer {
    let out = x.empty(x.len());
    // SAFETY: the kernel stays within `x.len()` elements.
    unsafe {
        leaky_relu_kernel::launch_unchecked(
            x.client(),
            cubes(x.len(), UNITS, 1),
            CubeDim::new_1d(UNITS),
            g.arg(),
            x.arg(),
            out.arg(),
            x.len(),
            slope,
        );
    }
    out
}

#[cube(launch_unchecked)]
fn leaky_relu_kernel(g: &[f32], x: &[f32], out: &mut [f32], len: usize, slope: f32) {
    let at = item();
    if at >= len {
        terminate!();
    }
    out[at] = select(x[at] > 0.0, g[at], g[at] * slope);
}

/// `sum + z · y`.
pub fn add_scaled(sum: Sum, y: &Buffer, z: Option<&Buffer>) -> Buffer {
    let out = sum.out(y, y.len());
    // SAFETY: the kernel stays within `y.len()` elements.
    unsafe {
        add_scaled_kernel::launch_unchecked(
            y.client(),
            cubes(y.len(), UNITS, 1),
            CubeDim::new_1d(UNITS),
            y.arg(),
            optional(z),
            optional(sum.other()),
            out.arg(),
            y.len(),
            sum.is_in_place(),
        );
    }
    out
}

#[cube(launch_unchecked)]
fn add_scaled_kernel(
    y: &[f32],
    z: ComptimeOption<&[f32]>,
    sum: ComptimeOption<&[f32]>,
    out: &mut [f32],
    len: usize,
    #[comptime] in_place: bool,
) {
    let at = item();
    if at >= len {
        terminate!();
    }
    let before = summed(sum, out, at, in_place);
    out[at] = before + weight_of(z) * y[at];
}
