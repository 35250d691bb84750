//! The kernels of [`crate::kernel`] for tensors of `f32` on the CPU.

use burn::{backend::Flex, tensor::Tensor};

use super::{
    Kernels, check_weights,
    flex::{Values, contiguous, flex, overwritable, tensor},
};
use crate::{
    AdamStep, ConvSpec, DepthwiseSpec, PoolSpec,
    kernel::{
        concat,
        conv::{self, grad_weight},
        depthwise, elementwise,
        norm::{self, Moments},
        pool, upsample,
    },
};

#[derive(Debug)]
pub(super) struct Cpu;

impl Kernels for Cpu {
    fn conv3d(&self, x: &Tensor<5>, weight: &Tensor<5>, spec: ConvSpec) -> Tensor<5> {
        let (xs, ws) = (x.dims(), weight.dims());
        let out = ws[0];
        check_weights(ws, "out, in", [out, xs[1]], spec.kernel, xs);
        let y = conv::conv3d(&Values::of(x), xs, &Values::of(weight), out, spec);
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
        let (g, x) = (Values::of(g), Values::of(x));
        let by_x = || conv::conv3d_grad_input(&g, &Values::of(weight), &x, xs, ws[0], spec);
        let by_weight = || grad_weight::conv3d_grad_weight(&x, xs, &g, ws[0], spec);
        [of_x.then(|| tensor(by_x(), xs)), of_weight.then(|| tensor(by_weight(), ws))]
    }

    fn conv_transpose3d(&self, x: &Tensor<5>, weight: &Tensor<5>, spec: ConvSpec) -> Tensor<5> {
        let (xs, ws) = (x.dims(), weight.dims());
        let out = ws[1];
        check_weights(ws, "in, out", [xs[1], out], spec.kernel, xs);
        let y = conv::conv_transpose3d(&Values::of(x), xs, &Values::of(weight), out, spec);
        tensor(y, conv::out_shape_transpose(xs, out, &spec))
    }

    fn conv_transpose3d_gradients(
        &self,
        g: &Tensor<5>,
        [x, weight]: [&Tensor<5>; 2],
        spec: ConvSpec,
        [of_x, of_weight]: [bool; 2],
    ) -> [Option<Tensor<5>>; 2] {
        let (xs, ws) = (x.dims(), weight.dims());
        let (g, x) = (Values::of(g), Values::of(x));
        let by_x =
            || conv::conv_transpose3d_grad_input(&g, &Values::of(weight), &x, xs, ws[1], spec);
        let by_weight = || grad_weight::conv_transpose3d_grad_weight(&x, xs, &g, ws[1], spec);
        [of_x.then(|| tensor(by_x(), xs)), of_weight.then(|| tensor(by_weight(), ws))]
    }

    fn depthwise3d(&self, x: &Tensor<5>, weight: &Tensor<5>, spec: DepthwiseSpec) -> Tensor<5> {
        let (xs, ws) = (x.dims(), weight.dims());
        check_weights(ws, "channels, 1", [xs[1], 1], spec.kernel, xs);
        let y = depthwise::depthwise3d(&Values::of(x), xs, &Values::of(weight), spec);
        tensor(y, spec.out_shape(xs))
    }

    fn depthwise3d_gradients(
        &self,
        g: &Tensor<5>,
        [x, weight]: [&Tensor<5>; 2],
        spec: DepthwiseSpec,
        [of_x, of_weight]: [bool; 2],
    ) -> [Option<Tensor<5>>; 2] {
        let (xs, ws) = (x.dims(), weight.dims());
        let (g, x) = (Values::of(g), Values::of(x));
        let by_x = || depthwise::depthwise3d_grad_input(&g, &Values::of(weight), &x, xs, spec);
        let by_weight = || depthwise::depthwise3d_grad_weight(&x, xs, &g, spec);
        [of_x.then(|| tensor(by_x(), xs)), of_weight.then(|| tensor(by_weight(), ws))]
    }

    /// The normalised volume is never in memory: it is added to the sum as it is made.
    fn instance_norm(
        &self,
        sum: Option<Tensor<5>>,
        [x, gamma, beta]: [&Tensor<5>; 3],
        z: Option<&Tensor<1>>,
    ) -> (Tensor<5>, Option<Tensor<5>>) {
        let xs = x.dims();
        for (name, scale) in [("gamma", gamma), ("beta", beta)] {
            let found = scale.dims();
            assert_eq!(
                found,
                [1, xs[1], 1, 1, 1],
                "{name} [1, channels, 1, 1, 1] for an input {xs:?}"
            );
        }
        let (x, z) = (Values::of(x), number(z));
        let [gamma, beta] = [gamma, beta].map(|scale| times(&Values::of(scale), z));
        let (sum, moments) = match sum {
            Some(sum) => {
                assert_eq!(sum.dims(), xs, "a term has the shape of the sum");
                let mut sum = overwritable(sum);
                let moments = norm::add_instance_norm(sum.storage_mut(), &x, xs, &gamma, &beta);
                (Tensor::from_primitive::<Flex>(sum), moments)
            }
            None => {
                let (y, moments) = norm::instance_norm(&x, xs, &gamma, &beta);
                (tensor(y, xs), moments)
            }
        };
        let statistics: Vec<f64> = moments.into_iter().flat_map(<[f64; 3]>::from).collect();
        (sum, Some(tensor(statistics, [xs[0], xs[1], 3, 1, 1])))
    }

    /// One pass over the volume makes all of them.
    fn instance_norm_gradients(
        &self,
        g: &Tensor<5>,
        [x, gamma, beta]: [&Tensor<5>; 3],
        z: Option<&Tensor<1>>,
        statistics: Option<&Tensor<5>>,
        [of_x, of_gamma, of_beta, of_z]: [bool; 4],
    ) -> ([Option<Tensor<5>>; 3], Option<Tensor<1>>) {
        let (xs, factor) = (x.dims(), number(z));
        let statistics = statistics.map(|tensor| flex(tensor.clone()));
        let moments = statistics.as_ref().map_or(&[][..], |tensor| tensor.storage::<f64>());
        let moments: Vec<Moments> = moments.as_chunks().0.iter().map(|&m| m.into()).collect();
        let [gamma, beta] = [gamma, beta].map(Values::of);
        let (by_x, by_gamma, by_beta) = norm::instance_norm_grad(
            &Values::of(g),
            &Values::of(x),
            xs,
            &times(&gamma, factor),
            &moments,
        );
        let products = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
        };
        let by_z = products(&gamma, &by_gamma) + products(&beta, &by_beta);
        let scale = |by: &[f32]| tensor(times(by, factor), [1, xs[1], 1, 1, 1]);
        (
            [
                of_x.then(|| tensor(by_x, xs)),
                of_gamma.then(|| scale(&by_gamma)),
                of_beta.then(|| scale(&by_beta)),
            ],
            of_z.then(|| tensor(vec![by_z as f32], [1])),
        )
    }

    /// What is pooled is added to the sum as it is made.
    fn max_pool3d(
        &self,
        sum: Option<Tensor<5>>,
        x: &Tensor<5>,
        spec: PoolSpec,
        z: Option<&Tensor<1>>,
    ) -> Tensor<5> {
        add_pooled(sum, x, spec, number(z), pool::max_pool, pool::add_max_pool3d)
    }

    fn max_pool3d_gradients(
        &self,
        g: &Tensor<5>,
        x: &Tensor<5>,
        spec: PoolSpec,
        z: Option<&Tensor<1>>,
        [of_x, of_z]: [bool; 2],
    ) -> (Option<Tensor<5>>, Option<Tensor<1>>) {
        let (xs, z) = (x.dims(), pooling_factor(z, of_x));
        let (by_x, by_z) = pool::max_pool_grad(&Values::of(g), &Values::of(x), xs, spec, z, of_z);
        (of_x.then(|| tensor(by_x, xs)), of_z.then(|| tensor(vec![by_z], [1])))
    }

    /// What is pooled is added to the sum as it is made.
    fn avg_pool3d(
        &self,
        sum: Option<Tensor<5>>,
        x: &Tensor<5>,
        spec: PoolSpec,
        z: Option<&Tensor<1>>,
    ) -> Tensor<5> {
        add_pooled(sum, x, spec, number(z), pool::avg_pool, pool::add_avg_pool3d)
    }

    fn avg_pool3d_gradients(
        &self,
        g: &Tensor<5>,
        (xs, x): ([usize; 5], Option<&Tensor<5>>),
        spec: PoolSpec,
        z: Option<&Tensor<1>>,
        [of_x, of_z]: [bool; 2],
    ) -> (Option<Tensor<5>>, Option<Tensor<1>>) {
        let x = x.filter(|_| of_z).map(Values::of);
        let z = pooling_factor(z, of_x);
        let (by_x, by_z) = pool::avg_pool_grad(&Values::of(g), xs, spec, z, x.as_deref());
        (of_x.then(|| tensor(by_x, xs)), of_z.then(|| tensor(vec![by_z], [1])))
    }

    fn leaky_relu(&self, x: &Tensor<5>, slope: f32) -> Tensor<5> {
        tensor(elementwise::leaky_relu(&Values::of(x), slope), x.dims())
    }

    fn leaky_relu_gradient(&self, g: &Tensor<5>, x: &Tensor<5>, slope: f32) -> Tensor<5> {
        tensor(elementwise::leaky_relu_grad(&Values::of(g), &Values::of(x), slope), x.dims())
    }

    fn upsample(&self, x: &Tensor<5>, factor: [usize; 3]) -> Tensor<5> {
        let (xs @ [batch, channels, d, h, w], [fd, fh, fw]) = (x.dims(), factor);
        let ys = [batch, channels, fd * d, fh * h, fw * w];
        tensor(upsample::upsample(&Values::of(x), xs, factor), ys)
    }

    fn upsample_gradient(&self, g: &Tensor<5>, factor: [usize; 3]) -> Tensor<5> {
        let ([batch, channels, d, h, w], [fd, fh, fw]) = (g.dims(), factor);
        let xs = [batch, channels, d / fd, h / fh, w / fw];
        tensor(upsample::upsample_grad(&Values::of(g), xs, factor), xs)
    }

    fn concat(&self, parts: &[Tensor<5>]) -> Tensor<5> {
        let [batch, _, d, h, w] = parts[0].dims();
        let channels = parts.iter().map(|part| {
            let shape @ [_, channels, ..] = part.dims();
            let expected = [batch, channels, d, h, w];
            assert_eq!(shape, expected, "concatenated tensors differ in channels only");
            channels
        });
        let shape = [batch, channels.sum(), d, h, w];
        let parts: Vec<Values> = parts.iter().map(Values::of).collect();
        let parts: Vec<&[f32]> = parts.iter().map(|part| &**part).collect();
        tensor(concat::concat(&parts, batch), shape)
    }

    fn add_scaled(&self, sum: Option<Tensor<5>>, y: Tensor<5>, z: Option<&Tensor<1>>) -> Tensor<5> {
        let Some(sum) = sum else {
            let Some(z) = z else { return y };
            return tensor(elementwise::scaled(&Values::of(&y), number(Some(z))), y.dims());
        };
        assert_eq!(y.dims(), sum.dims(), "a term has the shape of the sum");
        // Without a weight either may give its memory: the sum is the same bits in both orders.
        let (sum, y) = match (flex(sum), z) {
            (sum, None) if !sum.is_unique() => (y, Tensor::from_primitive::<Flex>(sum)),
            (sum, _) => (Tensor::from_primitive::<Flex>(sum), y),
        };
        let mut sum = overwritable(sum);
        elementwise::add_scaled(sum.storage_mut(), &Values::of(&y), number(z));
        Tensor::from_primitive::<Flex>(sum)
    }

    fn dot(&self, a: &Tensor<5>, b: &Tensor<5>) -> Tensor<1> {
        tensor(vec![elementwise::dot(&Values::of(a), &Values::of(b))], [1])
    }

    fn laid_out(&self, x: Tensor<5>) -> Tensor<5> {
        Tensor::from_primitive::<Flex>(contiguous(flex(x)))
    }

    fn adam(
        &self,
        p: Tensor<5>,
        g: Tensor<5>,
        m: Tensor<5>,
        v: Tensor<5>,
        step: &AdamStep,
    ) -> (Tensor<5>, Tensor<5>, Tensor<5>) {
        for (name, other) in [("gradient", &g), ("first moment", &m), ("second moment", &v)] {
            assert_eq!(other.dims(), p.dims(), "the {name} has the shape of the parameters");
        }
        let [mut p, mut m, mut v] = [p, m, v].map(overwritable);
        elementwise::adam(p.storage_mut(), &Values::of(&g), m.storage_mut(), v.storage_mut(), step);
        let [p, m, v] = [p, m, v].map(Tensor::from_primitive::<Flex>);
        (p, m, v)
    }
}

/// The weight of a term.
fn number(z: Option<&Tensor<1>>) -> f32 {
    z.map_or(1.0, |z| {
        assert_eq!(z.dims(), [1], "the weight of a term is one number");
        Values::of(z)[0]
    })
}

/// The weight in the gradients of a pooling, whose kernels apply it to the gradient of `x`: none if
/// only that of the weight itself is wanted.
fn pooling_factor(z: Option<&Tensor<1>>, of_x: bool) -> f32 {
    if of_x { number(z) } else { 1.0 }
}

fn times(scale: &[f32], z: f32) -> Vec<f32> {
    scale.iter().map(|s| z * s).collect()
}

/// `sum + z·pool(x)`, in place if nothing else refers to `sum`. `add_cube` adds what is pooled over
/// cubes as it is made.
fn add_pooled(
    sum: Option<Tensor<5>>,
    x: &Tensor<5>,
    spec: PoolSpec,
    z: f32,
    pool: impl Fn(&[f32], [usize; 5], PoolSpec) -> Vec<f32>,
    add_cube: impl Fn(&mut [f32], &[f32], [usize; 5], usize, f32),
) -> Tensor<5> {
    let xs = x.dims();
    let ys = spec.out_shape(xs);
    let x = Values::of(x);
    let Some(sum) = sum else {
        let y = pool(&x, xs, spec);
        return tensor(if z == 1.0 { y } else { elementwise::scaled(&y, z) }, ys);
    };
    assert_eq!(sum.dims(), ys, "a term has the shape of the sum");
    let mut sum = overwritable(sum);
    match spec.as_cube() {
        Some(stride) => add_cube(sum.storage_mut(), &x, xs, stride, z),
        None => elementwise::add_scaled(sum.storage_mut(), &pool(&x, xs, spec), z),
    }
    Tensor::from_primitive::<Flex>(sum)
}
