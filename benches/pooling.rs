//! Maximum and average pooling over 3³ windows.

use volops_benches::kernel::numel;
use volops_benches::kernel::pool::{avg_pool3d, avg_pool3d_grad, max_pool3d, max_pool3d_grad};
use volops_benches::{SHAPES, Work, family, tensor};

fn main() {
    family("pooling", |family| {
        for (xs, stride) in SHAPES.into_iter().flat_map(|xs| [(xs, 1), (xs, 2)]) {
            let name = |operation: &str| {
                if stride == 1 {
                    operation.to_string()
                } else {
                    format!("{operation} stride {stride}")
                }
            };
            let [batch, channels, d, h, w] = xs;
            let ys = [batch, channels, d.div_ceil(stride), h.div_ceil(stride), w.div_ceil(stride)];
            let (x, g) = (tensor(xs), tensor(ys));
            let work = Work::new(0, numel(xs) + numel(ys));
            // Where the maximum was is found again in x.
            let work_max_grad = Work::new(0, 2 * numel(xs) + numel(ys));
            family.bench(&name("maximum"), xs, work, || max_pool3d(&x, xs, stride));
            family.bench(&name("maximum grad"), xs, work_max_grad, || {
                max_pool3d_grad(&g, &x, xs, stride, 1.0, false).0
            });
            family.bench(&name("average"), xs, work, || avg_pool3d(&x, xs, stride));
            family.bench(&name("average grad"), xs, work, || {
                avg_pool3d_grad(&g, xs, stride, 1.0, None).0
            });
        }
    });
}
