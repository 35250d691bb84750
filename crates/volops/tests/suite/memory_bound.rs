//! The depthwise, pooling, norm, upsampling and elementwise kernels against slow, plain loops, over
//! random shapes.

use proptest::prelude::*;
use volops::kernel::Shape;
use volops::kernel::depthwise::{
    DepthwiseSpec, depthwise3d, depthwise3d_grad_input, depthwise3d_grad_weight,
};
use volops::kernel::elementwise::{
    AdamStep, adam, add_scaled, dot, leaky_relu, leaky_relu_grad, scaled,
};
use volops::kernel::norm::{instance_norm, instance_norm_grad};
use volops::kernel::pool::{
    PoolSpec, add_avg_pool3d, add_max_pool3d, avg_pool, avg_pool_grad, avg_pool3d, avg_pool3d_grad,
    max_pool, max_pool_grad, max_pool3d, max_pool3d_grad,
};
use volops::kernel::upsample::{upsample, upsample_grad, upsample2, upsample2_grad};

use crate::values::values;

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

/// The inputs under the window of output `o` that are inside the volume, in scan order, with the
/// index of the tap.
fn window(
    xs: Shape,
    o: Shape,
    kernel: [usize; 3],
    dilation: usize,
    stride: [usize; 3],
) -> impl Iterator<Item = (usize, usize)> {
    let place = move |axis: usize, k: usize| {
        (o[axis + 2] * stride[axis] + k * dilation)
            .checked_sub(dilation * (kernel[axis] - 1) / 2)
            .filter(|&i| i < xs[axis + 2])
    };
    let [kd, kh, kw] = kernel;
    (0..kd * kh * kw).filter_map(move |tap| {
        let (d, h, w) = (place(0, tap / (kh * kw))?, place(1, tap / kw % kh)?, place(2, tap % kw)?);
        Some((tap, at(xs, [o[0], o[1], d, h, w])))
    })
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

macro_rules! prop_close {
    ($a:expr, $b:expr, $tolerance:expr) => {
        let result = close(&$a, &$b, $tolerance);
        prop_assert!(result.is_ok(), "{}: {}", stringify!($a), result.unwrap_err());
    };
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

/// The widths of the real grids, and those around the length of a vector.
fn wide_shape() -> impl Strategy<Value = Shape> {
    let width = prop_oneof![1 => 1usize..=35, 2 => prop::sample::select(vec![1usize, 3, 5, 7, 10, 20, 63, 64, 130])];
    (1usize..=2, 1usize..=3, 1usize..=12, 1usize..=30, width)
        .prop_map(|(b, c, d, h, w)| [b, c, d, h, w])
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

fn windows() -> impl Strategy<Value = [usize; 3]> {
    prop_oneof![Just([3; 3]), prop::array::uniform3(prop::sample::select(vec![1usize, 3]))]
}

fn inner(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn leak(v: f32, slope: Option<f32>) -> f32 {
    if v > 0.0 { v } else { v * slope.unwrap_or(1.0) }
}

/// `acc += z * pool(x)`.
type AddPooled = fn(&mut [f32], &[f32], Shape, usize, f32);

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn depthwise_and_its_gradients_equal_the_plain_loops(xs in shape(), spec in spec(), seed: u64) {
        let taps: usize = spec.kernel.iter().product();
        let os = strided(xs, spec.stride);
        let (x, w, g) = (values(numel(xs), seed), values(xs[1] * taps, !seed), values(numel(os), seed ^ 7));
        let mut y = vec![0.0; numel(os)];
        let mut gx = vec![0.0; numel(xs)];
        let mut gw = vec![0.0f64; w.len()];
        for o in indices(os) {
            let i = at(os, o);
            for (tap, j) in window(xs, o, spec.kernel, spec.dilation, spec.stride) {
                let k = o[1] * taps + tap;
                y[i] += w[k] * leak(x[j], spec.slope);
                gx[j] += w[k] * g[i] * if x[j] > 0.0 { 1.0 } else { spec.slope.unwrap_or(1.0) };
                gw[k] += f64::from(leak(x[j], spec.slope)) * f64::from(g[i]);
            }
        }
        let gw: Vec<f32> = gw.iter().map(|&v| v as f32).collect();
        prop_close!(depthwise3d(&x, xs, &w, spec), y, 1e-5);
        prop_close!(depthwise3d_grad_input(&g, &w, &x, xs, spec), gx, 1e-5);
        prop_close!(depthwise3d_grad_weight(&x, xs, &g, spec), gw, of_sum(numel(os)));
    }

    #[test]
    fn pooling_and_its_gradients_equal_the_plain_loops(
        xs in shape(), window in windows(), stride in strides(), levels in prop_oneof![Just(3.0f32), Just(1e6)], seed: u64,
    ) {
        let spec = PoolSpec { window, stride };
        let os = strided(xs, stride);
        // Few distinct values make ties, which must go to the first maximum.
        let x: Vec<f32> = values(numel(xs), seed).iter().map(|v| (v * levels).round() - levels).collect();
        let g = values(numel(os), !seed);
        let (mut max, mut avg) = (vec![0.0; numel(os)], vec![0.0; numel(os)]);
        let (mut gmax, mut gavg) = (vec![0.0; numel(xs)], vec![0.0; numel(xs)]);
        for o in indices(os) {
            let i = at(os, o);
            let members: Vec<usize> = self::window(xs, o, window, 1, stride).map(|(_, j)| j).collect();
            let first = members.iter().copied().reduce(|best, j| if x[j] > x[best] { j } else { best }).unwrap();
            max[i] = x[first];
            gmax[first] += g[i];
            for &j in &members {
                avg[i] += x[j] / members.len() as f32;
                gavg[j] += g[i] / members.len() as f32;
            }
        }
        prop_assert_eq!(max_pool(&x, xs, spec), max);
        prop_close!(max_pool_grad(&g, &x, xs, spec, 1.0, false).0, gmax, 1e-5);
        prop_close!(avg_pool(&x, xs, spec), avg, 1e-5);
        prop_close!(avg_pool_grad(&g, xs, spec, 1.0, None).0, gavg, 1e-5);

        // As a term of a sum.
        let z = -0.3;
        let terms = [
            (max_pool(&x, xs, spec), add_max_pool3d as AddPooled, gmax, max_pool_grad(&g, &x, xs, spec, z, true)),
            (avg_pool(&x, xs, spec), add_avg_pool3d as AddPooled, gavg, avg_pool_grad(&g, xs, spec, z, Some(&x))),
        ];
        for (y, add, by_x, (weighted_by_x, by_z)) in terms {
            let mut sum = g.clone();
            if let Some(stride) = spec.as_cube() {
                add(&mut sum, &x, xs, stride, z);
                prop_assert_eq!(sum, g.iter().zip(&y).map(|(g, y)| g + z * y).collect::<Vec<f32>>());
            }
            prop_close!(weighted_by_x, by_x.iter().map(|by_x| z * by_x).collect::<Vec<f32>>(), 1e-5);
            let terms = numel(xs) as f64;
            prop_assert!((f64::from(by_z) - inner(&y, &g)).abs() < 1e-6 * f64::from(levels) * terms, "{by_z}");
        }
    }

    /// `<f(x), g> = <x, f*(g)>`. Pooling by the maximum and LeakyReLU are linear as long as no winner or sign changes.
    #[test]
    fn every_backward_is_the_adjoint_of_its_forward(xs in wide_shape(), spec in spec(), seed: u64) {
        let spec = DepthwiseSpec { slope: None, ..spec };
        let (small, large) = (strided(xs, spec.stride), [xs[0], xs[1], spec.stride[0] * xs[2], spec.stride[1] * xs[3], spec.stride[2] * xs[4]]);
        let pool = PoolSpec { window: spec.kernel.map(|k| k.min(3)), stride: spec.stride };
        let w = values(xs[1] * spec.kernel.iter().product::<usize>(), !seed);
        let x = values(numel(xs), seed);
        let [g, g_same, g_large] = [small, xs, large].map(|shape| values(numel(shape), seed ^ 7));
        let pairs = [
            ("depthwise", inner(&depthwise3d(&x, xs, &w, spec), &g), inner(&x, &depthwise3d_grad_input(&g, &w, &x, xs, spec))),
            ("weights", inner(&depthwise3d(&x, xs, &w, spec), &g), inner(&w, &depthwise3d_grad_weight(&x, xs, &g, spec))),
            ("maximum", inner(&max_pool(&x, xs, pool), &g), inner(&x, &max_pool_grad(&g, &x, xs, pool, 1.0, false).0)),
            ("average", inner(&avg_pool(&x, xs, pool), &g), inner(&x, &avg_pool_grad(&g, xs, pool, 1.0, None).0)),
            ("upsampling", inner(&upsample(&x, xs, spec.stride), &g_large), inner(&x, &upsample_grad(&g_large, xs, spec.stride))),
            ("leaky", inner(&leaky_relu(&x, 0.1), &g_same), inner(&x, &leaky_relu_grad(&g_same, &x, 0.1))),
        ];
        for (name, a, b) in pairs {
            prop_assert!((a - b).abs() < 1e-5 * (numel(large) as f64).sqrt(), "{name}: {a} and {b}");
        }
    }

    #[test]
    fn instance_norm_and_its_gradients_equal_the_plain_loops_in_double_precision(
        xs in shape(), offset in prop_oneof![Just(0.0f32), Just(-3.0), Just(100.0)], seed: u64,
    ) {
        let (n, c) = (xs[2..].iter().product::<usize>(), xs[1]);
        let x: Vec<f32> = values(numel(xs), seed).iter().map(|v| v + offset).collect();
        let (g, gamma, beta) = (values(numel(xs), !seed), values(c, seed ^ 3), values(c, seed ^ 5));
        let (mut y, mut gx, mut ggamma, mut gbeta) = (vec![], vec![], vec![0.0f64; c], vec![0.0f64; c]);
        for (i, (x, g)) in x.chunks(n).zip(g.chunks(n)).enumerate() {
            let mean_of = |f: &dyn Fn(usize) -> f64| (0..n).map(f).sum::<f64>() / n as f64;
            let mean = mean_of(&|j| f64::from(x[j]));
            let deviation = (mean_of(&|j| (f64::from(x[j]) - mean).powi(2)) + 1e-5).sqrt();
            // The gradient of a few voxels that chance made nearly equal is the small rest of terms many times as large.
            prop_assume!(n == 1 || deviation > 0.1);
            let normal = |j: usize| (f64::from(x[j]) - mean) / deviation;
            let (mean_g, mean_gn) = (mean_of(&|j| f64::from(g[j])), mean_of(&|j| f64::from(g[j]) * normal(j)));
            let (scale, shift) = (f64::from(gamma[i % c]), f64::from(beta[i % c]));
            y.extend((0..n).map(|j| (normal(j) * scale + shift) as f32));
            gx.extend((0..n).map(|j| (scale / deviation * (f64::from(g[j]) - mean_g - normal(j) * mean_gn)) as f32));
            ggamma[i % c] += mean_gn * n as f64;
            gbeta[i % c] += mean_g * n as f64;
        }
        let tolerance = 1e-5 * (1.0 + offset.abs());
        let (found, moments) = instance_norm(&x, xs, &gamma, &beta);
        prop_close!(found, y, tolerance);
        let (found_gx, found_ggamma, found_gbeta) = instance_norm_grad(&g, &x, xs, &gamma, &moments);
        // The gradient of one voxel is 0: the rest of terms as large as 1 / sqrt(1e-5).
        let terms = if n == 1 { 1e-5f32.sqrt().recip() } else { 1.0 };
        prop_close!(found_gx, gx, tolerance * terms);
        prop_close!(found_ggamma, ggamma.iter().map(|&v| v as f32).collect::<Vec<_>>(), tolerance * of_sum(numel(xs)) / 1e-5);
        prop_close!(found_gbeta, gbeta.iter().map(|&v| v as f32).collect::<Vec<_>>(), of_sum(numel(xs)));
    }

    #[test]
    fn upsampling_equals_the_plain_loops_and_its_gradient_is_the_transpose(xs in shape(), seed: u64) {
        let os = [xs[0], xs[1], 2 * xs[2], 2 * xs[3], 2 * xs[4]];
        let (x, g) = (values(numel(xs), seed), values(numel(os), !seed));
        // Output i looks at position (i + 1/2) / 2 - 1/2 of the input.
        let corners = |axis: usize, i: usize| {
            let position = ((i as f32 + 0.5) / 2.0 - 0.5).max(0.0);
            let low = position as usize;
            [(low, 1.0 - position.fract()), ((low + 1).min(xs[axis] - 1), position.fract())]
        };
        let (mut y, mut gx) = (vec![0.0; numel(os)], vec![0.0; numel(xs)]);
        for o in indices(os) {
            for (d, wd) in corners(2, o[2]) {
                for (h, wh) in corners(3, o[3]) {
                    for (w, ww) in corners(4, o[4]) {
                        let (i, j) = (at(os, o), at(xs, [o[0], o[1], d, h, w]));
                        y[i] += wd * wh * ww * x[j];
                        gx[j] += wd * wh * ww * g[i];
                    }
                }
            }
        }
        prop_close!(upsample2(&x, xs), y, 1e-5);
        prop_close!(upsample2_grad(&g, xs), gx, 1e-5);
    }

    #[test]
    fn elementwise_kernels_equal_the_plain_loops(n in prop_oneof![0usize..=70, 65_500usize..=66_000], seed: u64) {
        let (x, g) = (values(n, seed), values(n, !seed));
        let each = |f: &dyn Fn(f32, f32) -> f32| -> Vec<f32> { x.iter().zip(&g).map(|(&x, &g)| f(x, g)).collect() };
        prop_assert_eq!(leaky_relu(&x, 0.1), each(&|x, _| if x > 0.0 { x } else { 0.1 * x }));
        prop_assert_eq!(leaky_relu_grad(&g, &x, 0.1), each(&|x, g| if x > 0.0 { g } else { 0.1 * g }));
        prop_assert_eq!(scaled(&x, 0.3), each(&|x, _| 0.3 * x));
        let mut acc = g.clone();
        add_scaled(&mut acc, &x, 0.3);
        prop_close!(acc, each(&|x, g| g + 0.3 * x), 1e-6);
        let exact: f64 = x.iter().zip(&g).map(|(&x, &g)| f64::from(x) * f64::from(g)).sum();
        prop_assert!((f64::from(dot(&x, &g)) - exact).abs() <= 1e-6 * exact.abs().max(1.0));
    }

    #[test]
    fn adam_equals_the_textbook_step_by_step(n in 1usize..=70, decay in prop_oneof![Just(0.0f32), Just(0.1)], seed: u64) {
        let (beta1, beta2, lr, eps) = (0.9f64, 0.99f64, 0.01f64, 1e-8f64);
        let mut p = values(n, seed);
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        let mut expected: Vec<[f64; 3]> = p.iter().map(|&p| [f64::from(p), 0.0, 0.0]).collect();
        for t in 1..=4 {
            let g = values(n, seed ^ t);
            let (bias1, bias2) = (1.0 - beta1.powi(t as i32), 1.0 - beta2.powi(t as i32));
            for ([p, m, v], &g) in expected.iter_mut().zip(&g) {
                let g = f64::from(g);
                *p -= lr * f64::from(decay) * *p;
                *m = beta1 * *m + (1.0 - beta1) * g;
                *v = beta2 * *v + (1.0 - beta2) * g * g;
                *p -= lr * (*m / bias1) / ((*v / bias2).sqrt() + eps);
            }
            adam(&mut p, &g, &mut m, &mut v, &AdamStep {
                lr: lr as f32,
                beta1: beta1 as f32,
                beta2: beta2 as f32,
                eps: eps as f32,
                weight_decay: decay,
                bias1: bias1 as f32,
                bias2: bias2 as f32,
            });
        }
        prop_close!(p, expected.iter().map(|e| e[0] as f32).collect::<Vec<_>>(), 1e-4);
    }
}

#[test]
fn adams_running_means_never_leave_the_normal_range_of_f32() {
    // Gradients of every size, then none: the means of those that were there fade away.
    let sizes: Vec<f32> = (-45..=-5).map(|power| 10.0_f32.powi(power)).collect();
    let (none, n) = (vec![0.0; sizes.len()], sizes.len());
    let (mut p, mut m, mut v) = (vec![1.0; n], vec![0.0; n], vec![0.0; n]);
    let step = AdamStep {
        lr: 0.01,
        beta1: 0.5,
        beta2: 0.5,
        eps: 1e-8,
        weight_decay: 0.0,
        bias1: 1.0,
        bias2: 1.0,
    };
    for t in 0..200 {
        adam(&mut p, if t < 3 { &sizes } else { &none }, &mut m, &mut v, &step);
        assert!(m.iter().chain(&v).all(|x| !x.is_subnormal()), "step {t}: {m:?} {v:?}");
    }
    assert!([m, v].concat().iter().all(|&x| x == 0.0), "means of gradients that have long ceased");
    assert!(p[n - 1] < 0.99 && p[0] == 1.0, "{p:?}");
}

/// `<f(x), y> = <x, f*(y)>` at the sizes the kernels are made for, where the plain loops are too
/// slow.
#[test]
fn linear_kernels_and_their_gradients_are_adjoint_at_full_size() {
    let check = |name: &str, a: f64, b: f64, terms: usize| {
        assert!((a - b).abs() < 1e-5 * (terms as f64).sqrt(), "{name}: {a} and {b}");
    };
    for xs in [[1, 4, 40, 56, 40], [2, 3, 21, 63, 33], [1, 32, 5, 7, 5]] {
        let x = values(numel(xs), 1);
        for stride in [1, 2] {
            let os = strided(xs, [stride; 3]);
            let g = values(numel(os), 2);
            for dilation in 1..=4 {
                let spec =
                    DepthwiseSpec { kernel: [3; 3], dilation, stride: [stride; 3], slope: None };
                let w = values(xs[1] * 27, 3);
                let forward = inner(&depthwise3d(&x, xs, &w, spec), &g);
                check(
                    "depthwise",
                    forward,
                    inner(&x, &depthwise3d_grad_input(&g, &w, &x, xs, spec)),
                    numel(xs),
                );
                check(
                    "weights",
                    forward,
                    inner(&w, &depthwise3d_grad_weight(&x, xs, &g, spec)),
                    numel(xs),
                );
            }
            let forward = inner(&avg_pool3d(&x, xs, stride), &g);
            check(
                "average",
                forward,
                inner(&x, &avg_pool3d_grad(&g, xs, stride, 1.0, None).0),
                numel(xs),
            );
            // The maximum is linear as long as no winner changes.
            let forward = inner(&max_pool3d(&x, xs, stride), &g);
            check(
                "maximum",
                forward,
                inner(&x, &max_pool3d_grad(&g, &x, xs, stride, 1.0, false).0),
                numel(xs),
            );
        }
        let g = values(8 * numel(xs), 2);
        check(
            "upsampling",
            inner(&upsample2(&x, xs), &g),
            inner(&x, &upsample2_grad(&g, xs)),
            numel(xs),
        );
    }
}

#[test]
fn instance_norm_gradient_equals_finite_differences() {
    let xs = [2, 2, 3, 2, 3];
    let (x, g, gamma, beta) =
        (values(numel(xs), 1), values(numel(xs), 2), vec![0.7, -1.3], vec![0.2, 0.4]);
    let loss = |x: &[f32], gamma: &[f32], beta: &[f32]| {
        f64::from(dot(&instance_norm(x, xs, gamma, beta).0, &g))
    };
    let step = 1e-2;
    let slope = |of: &dyn Fn(&[f32]) -> f64, p: &[f32], i: usize| {
        let moved = |by: f32| {
            let mut p = p.to_vec();
            p[i] += by;
            of(&p)
        };
        ((moved(step) - moved(-step)) / (2.0 * f64::from(step))) as f32
    };
    let slopes = |of: &dyn Fn(&[f32]) -> f64, p: &[f32]| {
        (0..p.len()).map(|i| slope(of, p, i)).collect::<Vec<_>>()
    };
    let (_, moments) = instance_norm(&x, xs, &gamma, &beta);
    let (gx, ggamma, gbeta) = instance_norm_grad(&g, &x, xs, &gamma, &moments);
    close(&gx, &slopes(&|x| loss(x, &gamma, &beta), &x), 2e-3).unwrap();
    close(&ggamma, &slopes(&|gamma| loss(&x, gamma, &beta), &gamma), 2e-3).unwrap();
    close(&gbeta, &slopes(&|beta| loss(&x, &gamma, beta), &beta), 2e-3).unwrap();
}

#[test]
fn instance_norm_of_a_constant_channel_is_beta() {
    for (xs, value) in [([1, 1, 1, 1, 1], 3.0), ([1, 1, 9, 20, 30], -1234.567)] {
        let x = vec![value; numel(xs)];
        close(&instance_norm(&x, xs, &[2.0], &[0.5]).0, &vec![0.5; numel(xs)], 1e-3).unwrap();
    }
}

#[test]
fn instance_norm_keeps_its_precision_far_from_zero() {
    let xs = [1, 1, 20, 30, 40];
    // Multiples of 1/16 around 10^5 are exact in f32, and so are they around 0: the offset must not
    // change anything.
    let near: Vec<f32> = values(numel(xs), 1).iter().map(|v| (v * 64.0).round() / 16.0).collect();
    let far: Vec<f32> = near.iter().map(|v| v + 100_000.0).collect();
    let norm = |x: &[f32]| instance_norm(x, xs, &[1.0], &[0.0]).0;
    close(&norm(&far), &norm(&near), 5e-3).unwrap();
    let spread: f64 =
        norm(&far).iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / numel(xs) as f64;
    assert!((spread - 1.0).abs() < 1e-4, "variance {spread}");
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize, xs: Shape| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let x = values(numel(xs), 1);
            let mut all = vec![];
            for stride in [1, 2] {
                let g = values(numel(strided(xs, [stride; 3])), 2);
                for dilation in [1, 4] {
                    let (stride, slope) = ([stride; 3], Some(0.01));
                    let spec = DepthwiseSpec { kernel: [3; 3], dilation, stride, slope };
                    let w = values(xs[1] * 27, 3);
                    all.push(depthwise3d(&x, xs, &w, spec));
                    all.push(depthwise3d_grad_input(&g, &w, &x, xs, spec));
                    all.push(depthwise3d_grad_weight(&x, xs, &g, spec));
                }
                all.push(max_pool3d(&x, xs, stride));
                all.push(max_pool3d_grad(&g, &x, xs, stride, 1.0, false).0);
                all.push(avg_pool3d(&x, xs, stride));
                all.push(avg_pool3d_grad(&g, xs, stride, 1.0, None).0);
            }
            let (g, gamma) = (values(numel(xs), 4), values(xs[1], 5));
            let (y, moments) = instance_norm(&x, xs, &gamma, &gamma);
            all.push(y);
            let (gx, ggamma, gbeta) = instance_norm_grad(&g, &x, xs, &gamma, &moments);
            all.extend([gx, ggamma, gbeta]);
            let up = upsample2(&x, xs);
            all.push(upsample2_grad(&up, xs));
            all.push(up);
            all.push(leaky_relu(&x, 0.01));
            all.push(leaky_relu_grad(&g, &x, 0.01));
            all.push(scaled(&x, 0.3));
            all.push(vec![dot(&x, &g)]);
            let (mut p, mut m, mut v) = (x.clone(), g.clone(), leaky_relu(&g, 0.0));
            add_scaled(&mut p, &g, 0.7);
            let step = AdamStep {
                lr: 0.1,
                beta1: 0.9,
                beta2: 0.99,
                eps: 1e-8,
                weight_decay: 0.1,
                bias1: 0.1,
                bias2: 0.01,
            };
            adam(&mut p, &x, &mut m, &mut v, &step);
            all.extend([p, m, v]);
            all.into_iter()
                .map(|t| t.into_iter().map(f32::to_bits).collect::<Vec<_>>())
                .collect::<Vec<_>>()
        })
    };
    for xs in [[1, 1, 70, 40, 33], [1, 3, 40, 21, 20], [2, 5, 9, 14, 10]] {
        let serial = run(1, xs);
        for threads in [2, 3] {
            for (i, (a, b)) in serial.iter().zip(&run(threads, xs)).enumerate() {
                assert!(a == b, "result {i} of {xs:?} with {threads} threads");
            }
        }
    }
}
