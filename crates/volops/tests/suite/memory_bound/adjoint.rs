//! A gradient of what is linear is its adjoint: no loop is needed to say what it is.

use proptest::prelude::*;
use volops::kernel::Shape;
use volops::kernel::depthwise::{
    DepthwiseSpec, depthwise3d, depthwise3d_grad_input, depthwise3d_grad_weight,
};
use volops::kernel::elementwise::{leaky_relu, leaky_relu_grad};
use volops::kernel::pool::{
    PoolSpec, avg_pool, avg_pool_grad, avg_pool3d, avg_pool3d_grad, max_pool, max_pool_grad,
    max_pool3d, max_pool3d_grad,
};
use volops::kernel::upsample::{upsample, upsample_grad, upsample2, upsample2_grad};

use super::{inner, numel, spec, strided};
use crate::values::values;

/// The widths of the real grids, and those around the length of a vector.
fn wide_shape() -> impl Strategy<Value = Shape> {
    let width = prop_oneof![1 => 1usize..=35, 2 => prop::sample::select(vec![1usize, 3, 5, 7, 10, 20, 63, 64, 130])];
    (1usize..=2, 1usize..=3, 1usize..=12, 1usize..=30, width)
        .prop_map(|(b, c, d, h, w)| [b, c, d, h, w])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// `<f(x), g> = <x, f*(g)>`. Pooling by the maximum and LeakyReLU are linear as long as no
    /// winner or sign changes.
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
