//! Depthwise 3³ convolutions with dilation 2 and LeakyReLU.

use volops_benches::kernel::depthwise::{
    DepthwiseSpec, depthwise3d, depthwise3d_grad_input, depthwise3d_grad_weight,
};
use volops_benches::kernel::numel;
use volops_benches::{SHAPES, Work, family, tensor};

fn main() {
    family("depthwise", |family| {
        for (xs, stride) in SHAPES.into_iter().flat_map(|xs| [(xs, 1), (xs, 2)]) {
            let spec = DepthwiseSpec {
                kernel: [3; 3],
                dilation: 2,
                stride: [stride; 3],
                slope: Some(0.01),
            };
            let name = if stride == 1 { "3^3".to_string() } else { format!("3^3 stride {stride}") };
            let ys = spec.out_shape(xs);
            let (x, w, g) = (tensor(xs), tensor([xs[1], 1, 3, 3, 3]), tensor(ys));
            let operations = 2 * 27 * numel(ys);
            let floats = numel(xs) + numel(ys);
            let work = Work::new(operations, floats);
            // The LeakyReLU's derivative reads x too.
            let work_input = Work::new(operations, floats + numel(xs));
            family.bench(&name, xs, work, || depthwise3d(&x, xs, &w, spec));
            family.bench(&format!("{name} grad input"), xs, work_input, || {
                depthwise3d_grad_input(&g, &w, &x, xs, spec)
            });
            family.bench(&format!("{name} grad weight"), xs, work, || {
                depthwise3d_grad_weight(&x, xs, &g, spec)
            });
        }
    });
}
