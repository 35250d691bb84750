//! The same bits for any number of threads.

use volops::kernel::Shape;
use volops::kernel::depthwise::{
    DepthwiseSpec, depthwise3d, depthwise3d_grad_input, depthwise3d_grad_weight,
};
use volops::kernel::elementwise::{
    AdamStep, adam, add_scaled, dot, leaky_relu, leaky_relu_grad, scaled,
};
use volops::kernel::norm::{instance_norm, instance_norm_grad};
use volops::kernel::pool::{avg_pool3d, avg_pool3d_grad, max_pool3d, max_pool3d_grad};
use volops::kernel::upsample::{upsample2, upsample2_grad};

use super::{numel, strided};
use crate::values::values;

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
