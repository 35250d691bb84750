//! The kernels of [`crate::gpu`] for tensors of `f32` on a GPU.

mod whole_sums;

use burn::tensor::{Tensor, TensorData};

use super::{
    Kernels, NormTerm, WholeSums, check_weights,
    cube::{buffer, sum as sum_of, tensor},
};
use crate::{
    AdamStep, AdamUpdate, ClassLoss, ConvSpec, DepthwiseSpec, PoolSpec,
    gpu::{
        Buffer, Sum, concat,
        conv::{Gate, Operand, Order, correlate, grad_weight, spread},
        depthwise, elementwise, loss,
        many::{self, Parameters},
        pool::{Pooled, Pooling, pool, pool_gradients},
        reduce,
        sums::{self, Norm, Plain},
        upsample,
    },
    kernel::conv,
};

#[derive(Debug)]
pub(super) struct Gpu;

impl Kernels for Gpu {
    fn conv3d(&self, x: &Tensor<5>, weight: &Tensor<5>, spec: ConvSpec) -> Tensor<5> {
        let (xs, ws) = (x.dims(), weight.dims());
        let out = ws[0];
        check_weights(ws, "out, in", [out, xs[1]], spec.kernel, xs);
        let x = &read(x);
        let x = Operand { data: x, shape: xs, slope: spec.slope };
        let y = correlate(x, &read(weight), Order::Results, out, &spec, None);
        tensor(y, conv::out_shape(xs, out, &spec))
    }

    fn conv3d_gradients(
        &self,
        g: &Tensor<5>,
        [x, weight]: [&Tensor<5>; 2],
        spec: ConvSpec,
        [of_x, of_weight]: [bool; 2],
    ) -> [Option<Tensor<5>>; 2] {
        let (xs, ws) = (x.dims(), weight.dims());
        let (x, data) = (&read(x), &read(g));
        let g = Operand { data, shape: g.dims(), slope: None };
        let gate = spec.slope.map(|slope| Gate { x, slope });
        let fine = Operand { data: x, shape: xs, slope: spec.slope };
        [
            of_x.then(|| tensor(spread(g, &read(weight), xs, &spec, gate), xs)),
            of_weight.then(|| tensor(grad_weight(fine, g, &spec), ws)),
        ]
    }

    fn conv_transpose3d(&self, x: &Tensor<5>, weight: &Tensor<5>, spec: ConvSpec) -> Tensor<5> {
        let (xs, ws) = (x.dims(), weight.dims());
        let out = ws[1];
        check_weights(ws, "in, out", [xs[1], out], spec.kernel, xs);
        let ys = conv::out_shape_transpose(xs, out, &spec);
        let x = &read(x);
        let x = Operand { data: x, shape: xs, slope: spec.slope };
        tensor(spread(x, &read(weight), ys, &spec, None), ys)
    }

    fn conv_transpose3d_gradients(
        &self,
        g: &Tensor<5>,
        [x, weight]: [&Tensor<5>; 2],
        spec: ConvSpec,
        [of_x, of_weight]: [bool; 2],
    ) -> [Option<Tensor<5>>; 2] {
        let (xs, ws) = (x.dims(), weight.dims());
        let (x, data) = (&read(x), &read(g));
        let g = Operand { data, shape: g.dims(), slope: None };
        let gate = spec.slope.map(|slope| Gate { x, slope });
        let coarse = Operand { data: x, shape: xs, slope: spec.slope };
        let by_x = || correlate(g, &read(weight), Order::Results, xs[1], &spec, gate);
        [
            of_x.then(|| tensor(by_x(), xs)),
            of_weight.then(|| tensor(grad_weight(g, coarse, &spec), ws)),
        ]
    }

    fn depthwise3d(&self, x: &Tensor<5>, weight: &Tensor<5>, spec: DepthwiseSpec) -> Tensor<5> {
        let (xs, ws) = (x.dims(), weight.dims());
        check_weights(ws, "channels, 1", [xs[1], 1], spec.kernel, xs);
        tensor(depthwise::depthwise(&read(x), xs, &read(weight), spec), spec.out_shape(xs))
    }

    fn depthwise3d_gradients(
        &self,
        g: &Tensor<5>,
        [x, weight]: [&Tensor<5>; 2],
        spec: DepthwiseSpec,
        [of_x, of_weight]: [bool; 2],
    ) -> [Option<Tensor<5>>; 2] {
        let (xs, ws) = (x.dims(), weight.dims());
        let (g, x) = (read(g), read(x));
        let by_x = || depthwise::grad_input(&g, &x, xs, &read(weight), spec);
        let by_weight = || depthwise::grad_weight(&g, &x, xs, spec);
        [of_x.then(|| tensor(by_x(), xs)), of_weight.then(|| tensor(by_weight(), ws))]
    }

    fn instance_norm(
        &self,
        sum: Option<Tensor<5>>,
        [x, gamma, beta]: [&Tensor<5>; 3],
        z: Option<&Tensor<1>>,
    ) -> (Tensor<5>, Option<Tensor<5>>) {
        let xs = x.dims();
        let norm = norm_of([x, gamma, beta], z);
        let plain = sum.map(|sum| {
            assert_eq!(sum.dims(), xs, "a term has the shape of the sum");
            Plain { x: buffer(sum), z: None }
        });
        let (sum, moments) = sums::sum(&[norm], plain.as_slice(), xs);
        (tensor(sum, xs), moments.map(|moments| moments_of(moments, 1, xs)))
    }

    fn instance_norm_gradients(
        &self,
        g: &Tensor<5>,
        operands: [&Tensor<5>; 3],
        z: Option<&Tensor<1>>,
        statistics: Option<&Tensor<5>>,
        [of_x, of_gamma, of_beta, of_z]: [bool; 4],
    ) -> ([Option<Tensor<5>>; 3], Option<Tensor<1>>) {
        let moments = statistics.expect("what the forward pass returned");
        let found = self.norm_gradients(g, &[NormTerm { operands, z }], moments);
        let Some(([by_x, by_gamma, by_beta], by_z)) = found.into_iter().next() else {
            return ([None, None, None], None);
        };
        (
            [
                Some(by_x).filter(|_| of_x),
                Some(by_gamma).filter(|_| of_gamma),
                Some(by_beta).filter(|_| of_beta),
            ],
            Some(by_z).filter(|_| of_z),
        )
    }

    fn whole_sums(&self) -> Option<&dyn WholeSums> {
        Some(self)
    }

    fn max_pool3d(
        &self,
        sum: Option<Tensor<5>>,
        x: &Tensor<5>,
        spec: PoolSpec,
        z: Option<&Tensor<1>>,
    ) -> Tensor<5> {
        add_pooled(sum, x, spec, z, Pooling::Max)
    }

    fn max_pool3d_gradients(
        &self,
        g: &Tensor<5>,
        x: &Tensor<5>,
        spec: PoolSpec,
        z: Option<&Tensor<1>>,
        wanted: [bool; 2],
    ) -> (Option<Tensor<5>>, Option<Tensor<1>>) {
        gradients_of_pooled(g, (x.dims(), Some(x)), spec, z, wanted, Pooling::Max)
    }

    fn avg_pool3d(
        &self,
        sum: Option<Tensor<5>>,
        x: &Tensor<5>,
        spec: PoolSpec,
        z: Option<&Tensor<1>>,
    ) -> Tensor<5> {
        add_pooled(sum, x, spec, z, Pooling::Mean)
    }

    fn avg_pool3d_gradients(
        &self,
        g: &Tensor<5>,
        x: ([usize; 5], Option<&Tensor<5>>),
        spec: PoolSpec,
        z: Option<&Tensor<1>>,
        wanted: [bool; 2],
    ) -> (Option<Tensor<5>>, Option<Tensor<1>>) {
        gradients_of_pooled(g, x, spec, z, wanted, Pooling::Mean)
    }

    fn leaky_relu(&self, x: &Tensor<5>, slope: f32) -> Tensor<5> {
        tensor(elementwise::leaky_relu(&read(x), slope), x.dims())
    }

    fn leaky_relu_gradient(&self, g: &Tensor<5>, x: &Tensor<5>, slope: f32) -> Tensor<5> {
        tensor(elementwise::leaky_relu_gradient(&read(g), &read(x), slope), x.dims())
    }

    fn upsample(&self, x: &Tensor<5>, factor: [usize; 3]) -> Tensor<5> {
        let (xs @ [batch, channels, d, h, w], [fd, fh, fw]) = (x.dims(), factor);
        let ys = [batch, channels, fd * d, fh * h, fw * w];
        tensor(upsample::upsample(&read(x), xs, factor), ys)
    }

    fn upsample_gradient(&self, g: &Tensor<5>, factor: [usize; 3]) -> Tensor<5> {
        let ([batch, channels, d, h, w], [fd, fh, fw]) = (g.dims(), factor);
        let xs = [batch, channels, d / fd, h / fh, w / fw];
        tensor(upsample::upsample_gradient(&read(g), xs, factor), xs)
    }

    fn concat(&self, parts: &[Tensor<5>]) -> Tensor<5> {
        let [batch, _, d, h, w] = parts[0].dims();
        let parts = parts.iter().map(|part| {
            let shape @ [_, channels, ..] = part.dims();
            let expected = [batch, channels, d, h, w];
            assert_eq!(shape, expected, "concatenated tensors differ in channels only");
            (read(part), channels)
        });
        let parts: Vec<_> = parts.collect();
        let channels = parts.iter().map(|(_, channels)| channels).sum();
        tensor(concat::concat(&parts, batch, d * h * w), [batch, channels, d, h, w])
    }

    fn add_scaled(&self, sum: Option<Tensor<5>>, y: Tensor<5>, z: Option<&Tensor<1>>) -> Tensor<5> {
        let shape = y.dims();
        let result = match (sum_of(sum, shape), weight(z)) {
            (Sum::None, None) => return y,
            (Sum::None, Some(z)) => elementwise::scaled(&buffer(y), &z),
            (Sum::Other(sum), None) => {
                let y = buffer(y);
                // Either may give its memory: the sum is the same bits in both orders.
                let (sum, y) =
                    if y.is_unique() { (Sum::InPlace(y), sum) } else { (Sum::Other(sum), y) };
                elementwise::add_scaled(sum, &y, None)
            }
            (sum, z) => elementwise::add_scaled(sum, &buffer(y), z.as_ref()),
        };
        tensor(result, shape)
    }

    fn dot(&self, a: &Tensor<5>, b: &Tensor<5>) -> Tensor<1> {
        tensor(reduce::dot(&read(a), &read(b)), [1])
    }

    fn laid_out(&self, x: Tensor<5>) -> Tensor<5> {
        let shape = x.dims();
        tensor(buffer(x), shape)
    }

    fn adam(
        &self,
        p: Tensor<5>,
        g: Tensor<5>,
        m: Tensor<5>,
        v: Tensor<5>,
        step: &AdamStep,
    ) -> (Tensor<5>, Tensor<5>, Tensor<5>) {
        let updated = self.adam_all(vec![AdamUpdate { p, g, m, v, step: *step }], None);
        updated.into_iter().next().expect("as many results as updates")
    }

    fn adam_all(
        &self,
        updates: Vec<AdamUpdate>,
        scale: Option<f64>,
    ) -> Vec<(Tensor<5>, Tensor<5>, Tensor<5>)> {
        let shapes: Vec<[usize; 5]> = updates.iter().map(|update| update.p.dims()).collect();
        let parts = updates.into_iter().map(|AdamUpdate { p, g, m, v, step }| {
            let shape = p.dims();
            for (name, other) in [("gradient", &g), ("first moment", &m), ("second moment", &v)] {
                assert_eq!(other.dims(), shape, "the {name} has the shape of the parameters");
            }
            let [p, m, v] = [p, m, v].map(|tensor| buffer(tensor).overwritable());
            Parameters { p, m, v, g: buffer(g), step }
        });
        let parts: Vec<Parameters> = parts.collect();
        many::adam(&parts, scale.map_or(1.0, |scale| scale as f32));
        let updated = parts.into_iter().zip(shapes).map(|(Parameters { p, m, v, .. }, shape)| {
            (tensor(p, shape), tensor(m, shape), tensor(v, shape))
        });
        updated.collect()
    }

    fn class_loss(
        &self,
        logits: &Tensor<5>,
        classes: &[u8],
        loss: &ClassLoss,
    ) -> Option<(Tensor<5>, Tensor<1>)> {
        let shape @ [batch, outputs, d, h, w] = logits.dims();
        if outputs > loss::MOST_OUTPUTS {
            return None;
        }
        let voxels = batch * d * h * w;
        assert_eq!(classes.len(), voxels, "as many classes as there are voxels");
        let classes = TensorData::new(classes.iter().map(|&c| f32::from(c)).collect(), [voxels]);
        let classes = buffer(Tensor::<1>::from_data(classes, &logits.device()));
        let (gradient, value) = loss::class_loss(&read(logits), shape, &classes, loss);
        Some((tensor(gradient, shape), tensor(value, [1])))
    }

    fn most_bytes(&self, x: &Tensor<5>) -> Option<u64> {
        Some(read(x).most_bytes())
    }

    fn squared_norm(&self, tensors: &[Tensor<5>]) -> f64 {
        let parts: Vec<Buffer> = tensors.iter().map(read).collect();
        f64::from(tensor::<1>(many::squared_norm(&parts), [1]).into_scalar::<f32>())
    }
}

fn norm_of([x, gamma, beta]: [&Tensor<5>; 3], z: Option<&Tensor<1>>) -> Norm {
    let xs = x.dims();
    for (name, scale) in [("gamma", gamma), ("beta", beta)] {
        let found = scale.dims();
        assert_eq!(found, [1, xs[1], 1, 1, 1], "{name} [1, channels, 1, 1, 1] for an input {xs:?}");
    }
    Norm { x: read(x), gamma: read(gamma), beta: read(beta), z: weight(z) }
}

/// Moments of norms as a tensor.
fn moments_of(moments: Buffer, norms: usize, xs: [usize; 5]) -> Tensor<5> {
    tensor(moments, [norms, xs[0], xs[1], 2, 1])
}

/// The elements of a tensor.
fn read(x: &Tensor<5>) -> Buffer {
    buffer(x.clone())
}

/// The weight of a term. It stays on the device.
fn weight(z: Option<&Tensor<1>>) -> Option<Buffer> {
    z.map(|z| {
        assert_eq!(z.dims(), [1], "the weight of a term is one number");
        buffer(z.clone())
    })
}

fn pooled(x: &Tensor<5>, z: Option<&Tensor<1>>, pooling: Pooling) -> Pooled {
    Pooled { x: read(x), z: weight(z), pooling }
}

fn add_pooled(
    sum: Option<Tensor<5>>,
    x: &Tensor<5>,
    spec: PoolSpec,
    z: Option<&Tensor<1>>,
    pooling: Pooling,
) -> Tensor<5> {
    let (xs, ys) = (x.dims(), spec.out_shape(x.dims()));
    tensor(pool(sum_of(sum, ys), &[pooled(x, z, pooling)], xs, spec), ys)
}

fn gradients_of_pooled(
    g: &Tensor<5>,
    (xs, x): ([usize; 5], Option<&Tensor<5>>),
    spec: PoolSpec,
    z: Option<&Tensor<1>>,
    [of_x, of_z]: [bool; 2],
    pooling: Pooling,
) -> (Option<Tensor<5>>, Option<Tensor<1>>) {
    let (x, z) = (x.map(read), weight(z));
    let (by_x, by_z) = pool_gradients(&read(g), x.as_ref(), xs, spec, z.as_ref(), pooling, of_z);
    (of_x.then(|| tensor(by_x, xs)), by_z.map(|by_z| tensor(by_z, [1])))
}
