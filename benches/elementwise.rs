//! Operations on one element at a time, concatenation, and the Adam step.

use volops_benches::kernel::concat::concat;
use volops_benches::kernel::elementwise::{
    AdamStep, adam, add_scaled, dot, leaky_relu, leaky_relu_grad, scaled,
};
use volops_benches::kernel::numel;
use volops_benches::{SHAPES, Work, family, tensor};

fn main() {
    family("elementwise", |family| {
        for xs in SHAPES {
            let (x, g) = (tensor(xs), tensor(xs));
            let [mut sum, mut parameters, mut mean, mut square] =
                std::array::from_fn(|_| vec![0.0; numel(xs)]);
            let step = AdamStep {
                lr: 1e-3,
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay: 0.0,
                bias1: 0.1,
                bias2: 0.001,
            };
            let tensors = |n: usize| Work::new(0, n * numel(xs));
            family.bench("leaky relu", xs, tensors(2), || leaky_relu(&x, 0.01));
            family.bench("leaky relu grad", xs, tensors(3), || leaky_relu_grad(&g, &x, 0.01));
            family.bench("scaled", xs, tensors(2), || scaled(&x, 0.5));
            family.bench("add scaled", xs, Work { held: 2 * numel(xs), ..tensors(3) }, || {
                add_scaled(&mut sum, &x, 0.5)
            });
            family.bench("dot", xs, tensors(2), || dot(&x, &g));
            family.bench("adam", xs, Work { held: 4 * numel(xs), ..tensors(7) }, || {
                adam(&mut parameters, &g, &mut mean, &mut square, &step)
            });
            let quarters: Vec<&[f32]> = x.chunks(x.len() / 4).collect();
            family.bench("concat of 4", xs, tensors(2), || concat(&quarters, 1));
        }
    });
}
