//! Laws of the dense convolution kernels: equality with a plain loop in f64, adjointness,
//! independence of the thread count.

use proptest::prelude::*;
use volops::kernel::conv::grad_weight::{conv_transpose3d_grad_weight, conv3d_grad_weight};
use volops::kernel::conv::{
    ConvSpec, conv_transpose3d, conv_transpose3d_grad_input, conv3d, conv3d_grad_input, out_shape,
    out_shape_transpose,
};
use volops::kernel::{Shape, numel};

use crate::values::values;

fn leaky(x: f32, slope: Option<f32>) -> f64 {
    let x = f64::from(x);
    slope.map_or(x, |s| if x > 0.0 { x } else { f64::from(s) * x })
}

/// Calls `visit(output index, input index, weight index)` for every product of a convolution.
fn each_product(xs: Shape, co: usize, spec: &ConvSpec, mut visit: impl FnMut(usize, usize, usize)) {
    let ys = out_shape(xs, co, spec);
    let [kd, kh, kw] = spec.kernel;
    let source = |p: usize, stride: usize, t: usize, k: usize, n: usize| {
        (p * stride + t).checked_sub(k / 2).filter(|&i| i < n)
    };
    for (b, o, i) in
        (0..xs[0]).flat_map(|b| (0..co).flat_map(move |o| (0..xs[1]).map(move |i| (b, o, i))))
    {
        for (d, h, w) in (0..ys[2])
            .flat_map(|d| (0..ys[3]).flat_map(move |h| (0..ys[4]).map(move |w| (d, h, w))))
        {
            let y = (((b * co + o) * ys[2] + d) * ys[3] + h) * ys[4] + w;
            for t in 0..kd * kh * kw {
                let at = (
                    source(d, spec.stride[0], t / (kh * kw), kd, xs[2]),
                    source(h, spec.stride[1], t / kw % kh, kh, xs[3]),
                    source(w, spec.stride[2], t % kw, kw, xs[4]),
                );
                if let (Some(sd), Some(sh), Some(sw)) = at {
                    let x = (((b * xs[1] + i) * xs[2] + sd) * xs[3] + sh) * xs[4] + sw;
                    visit(y, x, (o * xs[1] + i) * kd * kh * kw + t);
                }
            }
        }
    }
}

/// Largest difference, relative to the largest magnitude expected.
fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1.0, |m: f64, e| m.max(e.abs()));
    found.iter().zip(expected).fold(0.0, |m: f64, (&f, e)| {
        let difference = (f64::from(f) - e).abs();
        if difference.is_nan() { f64::INFINITY } else { m.max(difference) }
    }) / scale
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

const TOLERANCE: f64 = 2e-5;

fn check_convolution(xs: Shape, co: usize, spec: ConvSpec) {
    let ys = out_shape(xs, co, &spec);
    let taps: usize = spec.kernel.iter().product();
    let (x, w, g) = (values(numel(xs), 1), values(co * xs[1] * taps, 2), values(numel(ys), 3));
    let (mut y, mut dx, mut dw) = (vec![0.0; g.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
    each_product(xs, co, &spec, |iy, ix, iw| {
        let (gy, wv) = (f64::from(g[iy]), f64::from(w[iw]));
        y[iy] += leaky(x[ix], spec.slope) * wv;
        dx[ix] +=
            gy * wv * spec.slope.map_or(1.0, |s| if x[ix] > 0.0 { 1.0 } else { f64::from(s) });
        dw[iw] += gy * leaky(x[ix], spec.slope);
    });
    let what = format!("{xs:?} -> {co}, {spec:?}");
    assert!(error(&conv3d(&x, xs, &w, co, spec), &y) < TOLERANCE, "forward of {what}");
    assert!(
        error(&conv3d_grad_input(&g, &w, &x, xs, co, spec), &dx) < TOLERANCE,
        "input gradient of {what}"
    );
    assert!(
        error(&conv3d_grad_weight(&x, xs, &g, co, spec), &dw) < TOLERANCE,
        "weight gradient of {what}"
    );
}

/// The transposed convolution is the adjoint of the convolution from its output's shape to its
/// input's, but that the activation is its own input's.
fn check_transposed(xs: Shape, co: usize, spec: ConvSpec) {
    let (ys, slope) = (out_shape_transpose(xs, co, &spec), spec.slope);
    let taps: usize = spec.kernel.iter().product();
    let (x, w, g) = (values(numel(xs), 4), values(co * xs[1] * taps, 5), values(numel(ys), 6));
    let (mut y, mut dx, mut dw) = (vec![0.0; g.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
    each_product(ys, xs[1], &spec, |ix, iy, iw| {
        let (gy, wv) = (f64::from(g[iy]), f64::from(w[iw]));
        y[iy] += leaky(x[ix], slope) * wv;
        dx[ix] += gy * wv * slope.map_or(1.0, |s| if x[ix] > 0.0 { 1.0 } else { f64::from(s) });
        dw[iw] += gy * leaky(x[ix], slope);
    });
    let what = format!("the transposed {xs:?} -> {co}, {spec:?}");
    assert!(error(&conv_transpose3d(&x, xs, &w, co, spec), &y) < TOLERANCE, "forward of {what}");
    assert!(
        error(&conv_transpose3d_grad_input(&g, &w, &x, xs, co, spec), &dx) < TOLERANCE,
        "input gradient of {what}"
    );
    assert!(
        error(&conv_transpose3d_grad_weight(&x, xs, &g, co, spec), &dw) < TOLERANCE,
        "weight gradient of {what}"
    );
}

fn spec(kernel: [usize; 3], stride: usize, slope: Option<f32>) -> ConvSpec {
    ConvSpec { kernel, stride: [stride; 3], slope }
}

/// Half of them the same along all axes.
fn strides() -> impl Strategy<Value = [usize; 3]> {
    prop_oneof![(1usize..3).prop_map(|stride| [stride; 3]), prop::array::uniform3(1usize..3)]
}

/// Kernels of the operation table.
fn kernels() -> impl Strategy<Value = [usize; 3]> {
    prop_oneof![Just([1, 1, 1]), Just([3, 3, 3]), Just([1, 3, 3]), Just([3, 1, 1]), Just([3, 1, 3])]
}

fn extents() -> impl Strategy<Value = [usize; 3]> {
    (1usize..9, 1usize..9, prop_oneof![1usize..12, Just(20), Just(33)])
        .prop_map(|(d, h, w)| [d, h, w])
}

fn slopes() -> impl Strategy<Value = Option<f32>> {
    prop_oneof![Just(None), Just(Some(0.01)), Just(Some(0.0))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_convolution_and_its_gradients_equal_plain_loops(
        batch in 1usize..3, ci in 1usize..12, co in 1usize..20, [d, h, w] in extents(),
        kernel in kernels(), stride in strides(), slope in slopes(),
    ) {
        check_convolution([batch, ci, d, h, w], co, ConvSpec { kernel, stride, slope });
    }

    #[test]
    fn a_transposed_convolution_and_its_gradients_equal_plain_loops(
        batch in 1usize..3, ci in 1usize..12, co in 1usize..12, [d, h, w] in extents(),
        kernel in kernels(), stride in strides(), slope in slopes(),
    ) {
        check_transposed([batch, ci, d, h, w / 2 + 1], co, ConvSpec { kernel, stride, slope });
    }

    #[test]
    fn the_input_gradient_is_the_adjoint_of_the_convolution(
        ci in 1usize..10, co in 1usize..10, [d, h, w] in extents(), kernel in kernels(), stride in strides(),
    ) {
        let (xs, spec) = ([1, ci, d, h, w], ConvSpec { kernel, stride, slope: None });
        let taps: usize = kernel.iter().product();
        let (x, weight) = (values(numel(xs), 7), values(co * ci * taps, 8));
        let g = values(numel(out_shape(xs, co, &spec)), 9);
        let forward = dot(&conv3d(&x, xs, &weight, co, spec), &g);
        let scale = (numel(xs) as f64).sqrt() * 10.0;
        let by_input = dot(&x, &conv3d_grad_input(&g, &weight, &x, xs, co, spec));
        let by_weight = dot(&weight, &conv3d_grad_weight(&x, xs, &g, co, spec));
        prop_assert!((forward - by_input).abs() < TOLERANCE * scale, "{forward} {by_input}");
        prop_assert!((forward - by_weight).abs() < TOLERANCE * scale, "{forward} {by_weight}");
    }
}

#[test]
fn widths_and_channel_counts_of_real_networks_are_exact() {
    for (xs, co) in [
        ([1, 4, 6, 20, 40], 4),
        ([1, 18, 3, 4, 63], 5),
        ([1, 3, 3, 5, 64], 32),
        ([1, 1, 2, 3, 130], 3),
        ([1, 32, 5, 7, 5], 32),
        ([2, 16, 10, 14, 10], 16),
        ([1, 300, 2, 3, 7], 5),
        ([1, 5, 3, 2, 3], 300),
        ([1, 32, 40, 20, 12], 4),
    ] {
        for kernel in [[1, 1, 1], [3, 3, 3]] {
            for stride in [1, 2] {
                check_convolution(xs, co, spec(kernel, stride, Some(0.01)));
            }
        }
        if xs[1] < 300 {
            let xs = [xs[0], xs[1], xs[2].min(10), xs[3].min(10), xs[4]];
            check_transposed(xs, co, spec([3; 3], 2, Some(0.01)));
        }
    }
}

#[test]
fn volumes_longer_than_a_tile_are_exact() {
    check_convolution([1, 2, 9, 150, 130], 3, spec([3, 3, 3], 1, Some(0.01)));
    check_convolution([1, 1, 2, 2, 80_000], 2, spec([3, 3, 3], 1, None));
    check_convolution([1, 1, 2, 2, 90_001], 2, spec([3, 3, 3], 2, None));
    check_convolution([2, 3, 31, 57, 63], 2, spec([1, 1, 1], 1, Some(0.01)));
    check_convolution([1, 4, 37, 41, 33], 2, spec([3, 3, 3], 2, None));
}

#[test]
fn an_empty_batch_gives_empty_outputs_and_a_zero_weight_gradient() {
    let spec = spec([3, 3, 3], 1, None);
    let xs = [0, 2, 3, 3, 3];
    let w = values(2 * 27, 1);
    assert!(conv3d(&[], xs, &w, 1, spec).is_empty());
    assert!(conv3d_grad_input(&[], &w, &[], xs, 1, spec).is_empty());
    assert_eq!(conv3d_grad_weight(&[], xs, &[], 1, spec), vec![0.0; 2 * 27]);
}

#[test]
fn a_nan_or_infinity_in_one_call_does_not_leak_into_the_next() {
    let spec = spec([3, 3, 3], 1, Some(0.01));
    let (big, small) = ([1, 4, 8, 9, 10], [1, 4, 5, 7, 5]);
    let poison = vec![f32::NAN; numel(big)];
    let (w, x, g) = (values(16 * 27, 1), values(numel(small), 2), values(numel(small), 3));
    let clean = (conv3d(&x, small, &w, 4, spec), conv3d_grad_weight(&x, small, &g, 4, spec));
    assert!(conv3d(&poison, big, &w, 4, spec).iter().all(|v| v.is_nan()));
    assert!(conv3d_grad_weight(&poison, big, &poison, 4, spec).iter().all(|v| v.is_nan()));
    assert_eq!(clean, (conv3d(&x, small, &w, 4, spec), conv3d_grad_weight(&x, small, &g, 4, spec)));
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let run = |threads: usize| {
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        pool.install(|| {
            let mut all = Vec::new();
            for (xs, co, kernel, stride) in [
                ([2, 8, 20, 28, 20], 8, [3, 3, 3], 1),
                ([1, 16, 20, 15, 33], 24, [3, 3, 3], 2),
                ([1, 32, 5, 7, 5], 32, [3, 3, 3], 1),
                ([1, 16, 20, 28, 20], 12, [1, 1, 1], 1),
                ([1, 16, 10, 28, 33], 12, [1, 3, 3], 2),
            ] {
                let spec = spec(kernel, stride, Some(0.01));
                let taps: usize = kernel.iter().product();
                let (x, w) = (values(numel(xs), 1), values(co * xs[1] * taps, 2));
                let g = values(numel(out_shape(xs, co, &spec)), 3);
                all.extend(conv3d(&x, xs, &w, co, spec));
                all.extend(conv3d_grad_input(&g, &w, &x, xs, co, spec));
                all.extend(conv3d_grad_weight(&x, xs, &g, co, spec));
            }
            let xs = [1, 16, 10, 14, 10];
            let (x, w) = (values(numel(xs), 1), values(16 * 8 * 27, 2));
            let spec = spec([3; 3], 2, Some(0.01));
            let g = values(numel(out_shape_transpose(xs, 8, &spec)), 3);
            all.extend(conv_transpose3d(&x, xs, &w, 8, spec));
            all.extend(conv_transpose3d_grad_input(&g, &w, &x, xs, 8, spec));
            all.extend(conv_transpose3d_grad_weight(&x, xs, &g, 8, spec));
            all.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}
