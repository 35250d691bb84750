//! The depthwise, pooling, norm, upsampling and elementwise kernels against slow, plain loops, over
//! random shapes.

macro_rules! prop_close {
    ($a:expr, $b:expr, $tolerance:expr) => {
        let result = close(&$a, &$b, $tolerance);
        prop_assert!(result.is_ok(), "{}: {}", stringify!($a), result.unwrap_err());
    };
}

mod adjoint;
mod elementwise;
mod norm;
mod threads;
mod windows;

use proptest::prelude::*;
use volops::kernel::Shape;
use volops::kernel::depthwise::DepthwiseSpec;

fn numel(shape: Shape) -> usize {
    shape.iter().product()
}

fn strided([b, c, d, h, w]: Shape, [sd, sh, sw]: [usize; 3]) -> Shape {
    [b, c, d.div_ceil(sd), h.div_ceil(sh), w.div_ceil(sw)]
}

/// Row-major index.
fn at([_, c, d, h, w]: Shape, [ib, ic, id, ih, iw]: Shape) -> usize {
    (((ib * c + ic) * d + id) * h + ih) * w + iw
}

fn indices([b, c, d, h, w]: Shape) -> impl Iterator<Item = Shape> {
    let volume = move |ib, ic| {
        (0..d).flat_map(move |id| {
            (0..h).flat_map(move |ih| (0..w).map(move |iw| [ib, ic, id, ih, iw]))
        })
    };
    (0..b).flat_map(move |ib| (0..c).flat_map(move |ic| volume(ib, ic)))
}

/// Tolerance for a sum of `terms` numbers around 1, which may cancel: its rounding errors do not
/// shrink with it.
fn of_sum(terms: usize) -> f32 {
    1e-5 + 1e-6 * (terms as f32).sqrt()
}

/// Whether `a` and `b` agree to `tolerance` of the largest value.
fn close(a: &[f32], b: &[f32], tolerance: f32) -> Result<(), String> {
    if a.len() != b.len() {
        return Err(format!("{} elements, expected {}", a.len(), b.len()));
    }
    let scale = b.iter().fold(1.0f32, |m, v| m.max(v.abs()));
    match a.iter().zip(b).position(|(a, b)| (a - b).abs() > tolerance * scale || a.is_nan()) {
        Some(i) => Err(format!("element {i}: {} instead of {}", a[i], b[i])),
        None => Ok(()),
    }
}

fn axis() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1usize..=11, 1 => Just(20usize), 1 => 21usize..=33]
}

fn shape() -> impl Strategy<Value = Shape> {
    let long =
        (1usize..=2, 1usize..=2, 0usize..3, prop_oneof![Just(63usize), Just(130)], 1usize..=7)
            .prop_map(|(b, c, axis, n, m)| {
                let mut shape = [b, c, m, m, m];
                shape[2 + axis] = n;
                shape
            });
    let short = (1usize..=3, 1usize..=5, axis(), axis(), axis())
        .prop_map(|(b, c, d, h, w)| [b, c, d, h, w]);
    prop_oneof![4 => short, 1 => long]
}

/// Half of them the same along all axes.
fn strides() -> impl Strategy<Value = [usize; 3]> {
    prop_oneof![(1usize..=2).prop_map(|stride| [stride; 3]), prop::array::uniform3(1usize..=2)]
}

fn spec() -> impl Strategy<Value = DepthwiseSpec> {
    let kernel = prop_oneof![
        4 => Just([3, 3, 3]),
        1 => Just([1, 3, 3]),
        1 => Just([3, 1, 1]),
        1 => Just([3, 3, 1]),
        1 => Just([1, 1, 1]),
        1 => Just([1, 1, 5]),
        1 => Just([5, 3, 7]),
    ];
    (kernel, 1usize..=4, strides(), prop_oneof![Just(None), Just(Some(0.01f32))]).prop_map(
        |(kernel, dilation, stride, slope)| DepthwiseSpec { kernel, dilation, stride, slope },
    )
}

fn inner(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}
