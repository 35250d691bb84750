//! Dense and transposed convolutions with LeakyReLU, as many channels out as in.

use volops_benches::kernel::conv::{
    ConvSpec, conv_transpose3d, conv_transpose3d_grad_input, conv3d, conv3d_grad_input, out_shape,
    out_shape_transpose,
};
use volops_benches::kernel::conv::grad_weight::{conv_transpose3d_grad_weight, conv3d_grad_weight};
use volops_benches::kernel::{Shape, numel};
use volops_benches::{Family, SHAPES, Work, family, tensor};

const SLOPE: Option<f32> = Some(0.01);

fn main() {
    family("convolution", |family| {
        for shape in SHAPES {
            dense(family, "3^3", shape, ConvSpec { kernel: [3; 3], stride: [1; 3], slope: SLOPE });
            dense(
                family,
                "3^3 stride 2",
                shape,
                ConvSpec { kernel: [3; 3], stride: [2; 3], slope: SLOPE },
            );
            dense(family, "1^3", shape, ConvSpec { kernel: [1; 3], stride: [1; 3], slope: SLOPE });
            transposed(family, shape);
        }
    });
}

fn dense(family: &mut Family, name: &str, xs: Shape, spec: ConvSpec) {
    let channels = xs[1];
    let [kd, kh, kw] = spec.kernel;
    let ws = [channels, channels, kd, kh, kw];
    let ys = out_shape(xs, channels, &spec);
    let (x, w, g) = (tensor(xs), tensor(ws), tensor(ys));
    let operations = 2 * numel(ws) * numel(ys) / channels;
    let floats = numel(xs) + numel(ws) + numel(ys);
    let work = Work::new(operations, floats);
    // The LeakyReLU's derivative reads x too.
    let work_input = Work::new(operations, floats + numel(xs));
    family.bench(name, xs, work, || conv3d(&x, xs, &w, channels, spec));
    family.bench(&format!("{name} grad input"), xs, work_input, || {
        conv3d_grad_input(&g, &w, &x, xs, channels, spec)
    });
    family.bench(&format!("{name} grad weight"), xs, work, || {
        conv3d_grad_weight(&x, xs, &g, channels, spec)
    });
}

/// To `ys`, from half of it.
fn transposed(family: &mut Family, [batch, channels, d, h, w]: Shape) {
    let xs = [batch, channels, d / 2, h / 2, w / 2];
    let ws = [channels, channels, 3, 3, 3];
    let spec = ConvSpec { kernel: [3; 3], stride: [2; 3], slope: SLOPE };
    let ys = out_shape_transpose(xs, channels, &spec);
    let (x, w, g) = (tensor(xs), tensor(ws), tensor(ys));
    let operations = 2 * numel(ws) * numel(xs) / channels;
    let floats = numel(xs) + numel(ws) + numel(ys);
    let work = Work::new(operations, floats);
    let work_input = Work::new(operations, floats + numel(xs));
    family.bench("transposed", xs, work, || conv_transpose3d(&x, xs, &w, channels, spec));
    family.bench("transposed grad input", xs, work_input, || {
        conv_transpose3d_grad_input(&g, &w, &x, xs, channels, spec)
    });
    family.bench("transposed grad weight", xs, work, || {
        conv_transpose3d_grad_weight(&x, xs, &g, channels, spec)
    });
}
