//! What looks at a window of voxels: depthwise convolutions, pooling, upsampling.

use proptest::prelude::*;
use volops::kernel::Shape;
use volops::kernel::depthwise::{depthwise3d, depthwise3d_grad_input, depthwise3d_grad_weight};
use volops::kernel::pool::{
    PoolSpec, add_avg_pool3d, add_max_pool3d, avg_pool, avg_pool_grad, max_pool, max_pool_grad,
};
use volops::kernel::upsample::{upsample2, upsample2_grad};

use super::{at, close, indices, inner, numel, of_sum, shape, spec, strided, strides};
use crate::values::values;

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

fn windows() -> impl Strategy<Value = [usize; 3]> {
    prop_oneof![Just([3; 3]), prop::array::uniform3(prop::sample::select(vec![1usize, 3]))]
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
}
