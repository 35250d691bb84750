//! Trilinear upsampling by 2, to the shapes of the list.

use volops_benches::kernel::numel;
use volops_benches::kernel::upsample::{upsample2, upsample2_grad};
use volops_benches::{SHAPES, Work, family, tensor};

fn main() {
    family("resampling", |family| {
        for [batch, channels, d, h, w] in SHAPES {
            let xs = [batch, channels, d / 2, h / 2, w / 2];
            let ys = [batch, channels, 2 * xs[2], 2 * xs[3], 2 * xs[4]];
            let (x, g) = (tensor(xs), tensor(ys));
            let work = Work::new(0, numel(xs) + numel(ys));
            family.bench("upsample", xs, work, || upsample2(&x, xs));
            family.bench("upsample grad", xs, work, || upsample2_grad(&g, xs));
        }
    });
}
