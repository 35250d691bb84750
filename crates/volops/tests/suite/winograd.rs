//! Laws of the dense 3x3x3 convolution of stride 1 where it is large enough for Winograd's minimal
//! filtering: equality with a plain sum in f64, adjointness, independence of the thread count.

use proptest::prelude::*;
use volops::kernel::conv::grad_weight::conv3d_grad_weight;
use volops::kernel::conv::winograd::worth_for_weights;
use volops::kernel::conv::{ConvSpec, conv3d, conv3d_grad_input};
use volops::kernel::{Shape, numel};

/// Normally distributed values.
fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    (0..len)
        .map(|_| {
            ((-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()) as f32
        })
        .collect()
}

fn spec(slope: Option<f32>) -> ConvSpec {
    ConvSpec { kernel: [3; 3], stride: [1; 3], slope }
}

/// `x`, or `slope * x` where it is not positive.
fn leaky(x: f32, slope: Option<f32>) -> f64 {
    f64::from(x) * derivative(x, slope)
}

fn derivative(x: f32, slope: Option<f32>) -> f64 {
    slope.map_or(1.0, |s| if x > 0.0 { 1.0 } else { f64::from(s) })
}

/// The elements of a convolution's result at every `step`-th index, in f64; `weight(out channel,
/// channel, tap)`.
fn reference(
    x: &[f64],
    xs: Shape,
    out_channels: usize,
    step: usize,
    weight: impl Fn(usize, usize, usize) -> f32,
) -> Vec<(usize, f64)> {
    let [batch, channels, depth, height, width] = xs;
    let volume = depth * height * width;
    let element = |i: usize| {
        let (b, o, p) = (i / volume / out_channels, i / volume % out_channels, i % volume);
        let (d, h, w) = (p / (height * width), p / width % height, p % width);
        let mut sum = 0.0;
        for t in 0..27 {
            let (d, h, w) = (d + t / 9, h + t / 3 % 3, w + t % 3);
            if (1..=depth).contains(&d) && (1..=height).contains(&h) && (1..=width).contains(&w) {
                let at = ((d - 1) * height + h - 1) * width + w - 1;
                sum += (0..channels)
                    .map(|c| x[(b * channels + c) * volume + at] * f64::from(weight(o, c, t)))
                    .sum::<f64>();
            }
        }
        (i, sum)
    };
    (0..batch * out_channels * volume).step_by(step).map(element).collect()
}

/// The elements of the gradient with respect to the weights that have the given indices, in f64.
fn weight_reference(
    x: &[f64],
    g: &[f64],
    xs: Shape,
    out_channels: usize,
    indices: impl Iterator<Item = usize>,
) -> Vec<(usize, f64)> {
    let [batch, channels, depth, height, width] = xs;
    let volume = depth * height * width;
    let element = |i: usize| {
        let (o, c, t) = (i / 27 / channels, i / 27 % channels, i % 27);
        let mut sum = 0.0;
        for b in 0..batch {
            let (x, g) = (
                &x[(b * channels + c) * volume..][..volume],
                &g[(b * out_channels + o) * volume..][..volume],
            );
            for (p, g) in g.iter().enumerate() {
                let (d, h, w) = (
                    p / (height * width) + t / 9,
                    p / width % height + t / 3 % 3,
                    p % width + t % 3,
                );
                if (1..=depth).contains(&d) && (1..=height).contains(&h) && (1..=width).contains(&w)
                {
                    sum += g * x[((d - 1) * height + h - 1) * width + w - 1];
                }
            }
        }
        (i, sum)
    };
    indices.map(element).collect()
}

/// Largest and root mean square difference, relative to the root mean square of the expected.
fn errors(found: &[f32], expected: &[(usize, f64)]) -> (f64, f64) {
    let rms = |squares: &mut dyn Iterator<Item = f64>| {
        (squares.sum::<f64>() / expected.len() as f64).sqrt()
    };
    let scale = rms(&mut expected.iter().map(|(_, e)| e * e));
    let differences: Vec<f64> =
        expected.iter().map(|&(i, e)| (f64::from(found[i]) - e).abs()).collect();
    assert!(differences.iter().all(|d| d.is_finite()));
    (
        differences.iter().copied().fold(0.0, f64::max) / scale,
        rms(&mut differences.iter().map(|d| d * d)) / scale,
    )
}

/// Bounds on the rounding errors of a convolution: twice those of a direct one in f32 with 128
/// channels.
const LARGEST: f64 = 2e-5;
const MEAN_SQUARE: f64 = 2e-6;

/// A weight gradient sums over positions, which without vectors all go to one sum: there it is
/// twice as inexact.
const WEIGHT_LARGEST: f64 = 4e-5;
const WEIGHT_MEAN_SQUARE: f64 = 4e-6;

fn check(xs: Shape, out_channels: usize, slope: Option<f32>, step: usize) {
    assert!(
        worth_for_weights(xs, out_channels, &spec(slope)),
        "{xs:?} -> {out_channels} must be large enough"
    );
    check_sums(xs, out_channels, slope, step);
}

fn check_sums(xs: Shape, out_channels: usize, slope: Option<f32>, step: usize) {
    let spec = spec(slope);
    let what = format!("{xs:?} -> {out_channels}, slope {slope:?}");
    let channels = xs[1];
    let ys = [xs[0], out_channels, xs[2], xs[3], xs[4]];
    let (x, w, g) =
        (values(numel(xs), 1), values(out_channels * channels * 27, 2), values(numel(ys), 3));

    let activated: Vec<f64> = x.iter().map(|&x| leaky(x, slope)).collect();
    let expected =
        reference(&activated, xs, out_channels, step, |o, c, t| w[(o * channels + c) * 27 + t]);
    let (largest, mean) = errors(&conv3d(&x, xs, &w, out_channels, spec), &expected);
    assert!(largest < LARGEST && mean < MEAN_SQUARE, "forward of {what}: {largest:e}, {mean:e}");

    let gradient: Vec<f64> = g.iter().map(|&g| f64::from(g)).collect();
    let mut expected =
        reference(&gradient, ys, channels, step, |o, c, t| w[(c * channels + o) * 27 + 26 - t]);
    expected.iter_mut().for_each(|(i, e)| *e *= derivative(x[*i], slope));
    let (largest, mean) = errors(&conv3d_grad_input(&g, &w, &x, xs, out_channels, spec), &expected);
    assert!(
        largest < LARGEST && mean < MEAN_SQUARE,
        "input gradient of {what}: {largest:e}, {mean:e}"
    );

    let weights = w.len();
    let expected = weight_reference(
        &activated,
        &gradient,
        xs,
        out_channels,
        (0..weights).step_by(weights.div_ceil(60) | 1),
    );
    let (largest, mean) = errors(&conv3d_grad_weight(&x, xs, &g, out_channels, spec), &expected);
    assert!(
        largest < WEIGHT_LARGEST && mean < WEIGHT_MEAN_SQUARE,
        "weight gradient of {what}: {largest:e}, {mean:e}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_convolution_and_its_gradients_are_the_sums_they_stand_for(
        batch in 1..3usize,
        channels in 4..24usize,
        out_channels in 4..24usize,
        extent in prop::array::uniform3(2..20usize),
        leaky in any::<bool>(),
    ) {
        let xs = [batch, channels, extent[0], extent[1], extent[2]];
        prop_assume!(worth_for_weights(xs, out_channels, &spec(None)));
        check(xs, out_channels, leaky.then_some(0.01), 7);
    }
}

#[test]
fn the_weights_of_four_channels_get_the_right_gradient() {
    // By Winograd filtering or not, as the instruction set has registers.
    check_sums([1, 4, 24, 20, 19], 4, Some(0.01), 5);
}

#[test]
fn thin_and_long_volumes_are_convolved_right() {
    for extent in [[2, 2, 300], [2, 130, 2], [150, 2, 3], [2, 16, 17], [5, 7, 15], [3, 43, 4]] {
        check([1, 16, extent[0], extent[1], extent[2]], 16, Some(0.2), 5);
    }
}

#[test]
fn many_channels_and_volumes_of_many_boxes_are_convolved_right() {
    check([1, 8, 33, 47, 61], 9, Some(0.01), 997);
    check([2, 65, 17, 18, 19], 70, None, 997);
    check([1, 128, 9, 10, 11], 136, Some(0.01), 499);
    check([1, 257, 8, 8, 8], 40, None, 499);
}

#[test]
fn what_is_not_finite_does_not_leak_into_the_next_call() {
    let (xs, out_channels) = ([1, 16, 11, 12, 13], 16);
    let (x, w, g) = (values(numel(xs), 1), values(out_channels * 16 * 27, 2), values(numel(xs), 3));
    let all = |x: &[f32]| {
        let y = conv3d(x, xs, &w, out_channels, spec(None));
        let dx = conv3d_grad_input(&g, &w, x, xs, out_channels, spec(None));
        [y, dx, conv3d_grad_weight(x, xs, &g, out_channels, spec(None))]
    };
    let before = all(&x);
    let [y, ..] = all(&vec![f32::NAN; x.len()]);
    assert!(y.iter().all(|y| y.is_nan()));
    assert!(before == all(&x));
}

#[test]
fn the_gradients_of_an_empty_batch_are_zero() {
    let xs = [0, 16, 11, 12, 13];
    assert!(conv3d(&[], xs, &vec![1.0; 16 * 16 * 27], 16, spec(None)).is_empty());
    assert_eq!(conv3d_grad_weight(&[], xs, &[], 16, spec(None)), vec![0.0; 16 * 16 * 27]);
}

#[test]
fn the_input_gradient_is_the_adjoint_of_the_convolution() {
    let (xs, out_channels) = ([2, 12, 9, 11, 13], 20);
    let ys = [2, out_channels, 9, 11, 13];
    let (x, w, g) = (values(numel(xs), 1), values(out_channels * 12 * 27, 2), values(numel(ys), 3));
    let y = conv3d(&x, xs, &w, out_channels, spec(None));
    let dx = conv3d_grad_input(&g, &w, &x, xs, out_channels, spec(None));
    let dot = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    let norm = |a: &[f32]| dot(a, a).sqrt();
    let difference = (dot(&y, &g) - dot(&x, &dx)).abs();
    assert!(difference < 1e-6 * norm(&y) * norm(&g), "{difference}");
}

#[test]
fn results_are_the_same_bits_for_any_number_of_threads() {
    for (xs, out_channels) in
        [([1, 16, 10, 14, 10], 24), ([2, 8, 20, 28, 20], 8), ([1, 64, 8, 8, 9], 40)]
    {
        let (x, w) = (values(numel(xs), 1), values(out_channels * xs[1] * 27, 2));
        let g = values(numel(xs) / xs[1] * out_channels, 3);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let y = conv3d(&x, xs, &w, out_channels, spec(Some(0.01)));
                let dx = conv3d_grad_input(&g, &w, &x, xs, out_channels, spec(Some(0.01)));
                let dw = conv3d_grad_weight(&x, xs, &g, out_channels, spec(Some(0.01)));
                [y, dx, dw].map(|v| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
            })
        };
        let one = on(1);
        for threads in [2, 3, 5] {
            assert!(one == on(threads), "{xs:?} -> {out_channels} on {threads} threads");
        }
    }
}
