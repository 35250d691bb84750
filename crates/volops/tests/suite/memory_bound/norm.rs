//! Instance norm.

use proptest::prelude::*;
use volops::kernel::elementwise::dot;
use volops::kernel::norm::{instance_norm, instance_norm_grad};

use super::{close, numel, of_sum, shape};
use crate::values::values;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

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
            // The gradient of a few voxels that chance made nearly equal is the small rest of terms
            // many times as large.
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
