//! Instance norm: alone, added to a sum as a cell's node does, and its gradient.

use volops_benches::kernel::norm::{add_instance_norm, instance_norm, instance_norm_grad};
use volops_benches::kernel::numel;
use volops_benches::{SHAPES, Work, family, tensor};

fn main() {
    family("norm", |family| {
        for xs in SHAPES {
            let per_channel = [1, xs[1], 1, 1, 1];
            let (x, g, gamma, beta) =
                (tensor(xs), tensor(xs), tensor(per_channel), tensor(per_channel));
            let (mut sum, moments) = instance_norm(&x, xs, &gamma, &beta);
            // A volume is read once for its moments and is in a cache then.
            let tensors = |n: usize| Work::new(0, n * numel(xs));
            family.bench("instance norm", xs, tensors(2), || instance_norm(&x, xs, &gamma, &beta));
            family.bench(
                "add instance norm",
                xs,
                Work { held: 2 * numel(xs), ..tensors(3) },
                || add_instance_norm(&mut sum, &x, xs, &gamma, &beta),
            );
            family.bench("instance norm grad", xs, tensors(3), || {
                instance_norm_grad(&g, &x, xs, &gamma, &moments)
            });
        }
    });
}
