//! What looks at one element at a time.

use proptest::prelude::*;
use volops::kernel::elementwise::{
    AdamStep, adam, add_scaled, dot, leaky_relu, leaky_relu_grad, scaled,
};

use super::close;
use crate::values::values;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

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
