//! The seam between the operations and what computes them.
//!
//! An operation is written in terms of [`Kernels`]. Each of their methods is, unless somebody has
//! written a faster one, a composition of stock Burn operations, and its gradients are those that
//! Burn's autodiff finds for it: that is [`Stock`], which serves every device, and which the tests
//! compare the others with. `Cpu` has kernels for `f32` on the CPU, `Gpu` for `f32` on GPUs, in
//! builds that have any. Kernels for something else are one more `impl` with as many methods as
//! there are kernels, and one more arm in [`kernels_of`].

mod cpu;
#[cfg(feature = "cube")]
mod cube;
mod flex;
#[cfg(feature = "cube")]
mod gpu;
pub(crate) mod tape;

use std::{
    array,
    fmt::Debug,
    sync::{Mutex, PoisonError},
};

use burn::{
    backend::{DispatchTensorKind, TensorMetadata},
    tensor::{DType, Gradients, Tensor},
};

use crate::{
    AdamStep, AdamUpdate, ClassLoss, ConvSpec, DepthwiseSpec, PoolSpec, composition, map_indices,
};

/// What operations compute with.
///
/// Tensors are `[batch, channels, depth, height, width]`, all on one device, and not on a tape.
/// What a method without a comment computes is said by the function of the same name in
/// [`composition`]. `..._gradients` are those of its inputs, as far as they are wanted, given that
/// of the result, `g`.
///
/// Where there is a `sum`, the result is added to it, times `z`; without a `sum` it is the result
/// times `z`; without `z` that is 1. A `sum` that nothing else refers to may give its memory to the
/// result.
///
/// # Panics
/// All methods, if shapes do not fit together.
pub trait Kernels: Debug + Send + Sync {
    /// See [`composition::conv3d`].
    fn conv3d(&self, x: &Tensor<5>, weight: &Tensor<5>, spec: ConvSpec) -> Tensor<5> {
        composition::conv3d(x.clone(), weight.clone(), spec)
    }

    /// Gradients of [`Kernels::conv3d`]: of `x` and `weight`.
    fn conv3d_gradients(
        &self,
        g: &Tensor<5>,
        [x, weight]: [&Tensor<5>; 2],
        spec: ConvSpec,
        wanted: [bool; 2],
    ) -> [Option<Tensor<5>>; 2] {
        differentiate(g, [x, weight], wanted, |[x, w]| composition::conv3d(x, w, spec))
    }

    /// See [`composition::conv_transpose3d`].
    fn conv_transpose3d(&self, x: &Tensor<5>, weight: &Tensor<5>, spec: ConvSpec) -> Tensor<5> {
        composition::conv_transpose3d(x.clone(), weight.clone(), spec)
    }

    /// Gradients of [`Kernels::conv_transpose3d`]: of `x` and `weight`.
    fn conv_transpose3d_gradients(
        &self,
        g: &Tensor<5>,
        [x, weight]: [&Tensor<5>; 2],
        spec: ConvSpec,
        wanted: [bool; 2],
    ) -> [Option<Tensor<5>>; 2] {
        differentiate(g, [x, weight], wanted, |[x, w]| composition::conv_transpose3d(x, w, spec))
    }

    /// See [`composition::depthwise3d`].
    fn depthwise3d(&self, x: &Tensor<5>, weight: &Tensor<5>, spec: DepthwiseSpec) -> Tensor<5> {
        composition::depthwise3d(x.clone(), weight.clone(), spec)
    }

    /// Gradients of [`Kernels::depthwise3d`]: of `x` and `weight`.
    fn depthwise3d_gradients(
        &self,
        g: &Tensor<5>,
        [x, weight]: [&Tensor<5>; 2],
        spec: DepthwiseSpec,
        wanted: [bool; 2],
    ) -> [Option<Tensor<5>>; 2] {
        differentiate(g, [x, weight], wanted, |[x, w]| composition::depthwise3d(x, w, spec))
    }

    /// `sum + z · instance_norm(x)`, and what the gradients need to know of `x`, in whatever form
    /// these kernels like.
    fn instance_norm(
        &self,
        sum: Option<Tensor<5>>,
        [x, gamma, beta]: [&Tensor<5>; 3],
        z: Option<&Tensor<1>>,
    ) -> (Tensor<5>, Option<Tensor<5>>) {
        let y = composition::instance_norm(x.clone(), gamma.clone(), beta.clone());
        (self.add_scaled(sum, y, z), None)
    }

    /// Gradients of [`Kernels::instance_norm`]: of `x`, `gamma`, `beta` and `z`. `statistics` are
    /// what it returned.
    fn instance_norm_gradients(
        &self,
        g: &Tensor<5>,
        [x, gamma, beta]: [&Tensor<5>; 3],
        z: Option<&Tensor<1>>,
        _statistics: Option<&Tensor<5>>,
        [of_x, of_gamma, of_beta, of_z]: [bool; 4],
    ) -> ([Option<Tensor<5>>; 3], Option<Tensor<1>>) {
        let z = factor(z, g);
        let wanted = [of_x, of_gamma, of_beta, of_z];
        let norm =
            |[x, gamma, beta, z]: [Tensor<5>; 4]| composition::instance_norm(x, gamma, beta) * z;
        let [x, gamma, beta, z] = differentiate(g, [x, gamma, beta, &z], wanted, norm);
        ([x, gamma, beta], z.map(|z| z.reshape([1])))
    }

    /// `sum + z · max_pool3d(x)`.
    fn max_pool3d(
        &self,
        sum: Option<Tensor<5>>,
        x: &Tensor<5>,
        spec: PoolSpec,
        z: Option<&Tensor<1>>,
    ) -> Tensor<5> {
        self.add_scaled(sum, composition::max_pool3d(x.clone(), spec), z)
    }

    /// Gradients of [`Kernels::max_pool3d`]: of `x` and `z`.
    fn max_pool3d_gradients(
        &self,
        g: &Tensor<5>,
        x: &Tensor<5>,
        spec: PoolSpec,
        z: Option<&Tensor<1>>,
        wanted: [bool; 2],
    ) -> (Option<Tensor<5>>, Option<Tensor<1>>) {
        let z = factor(z, g);
        let pool = |[x, z]: [Tensor<5>; 2]| composition::max_pool3d(x, spec) * z;
        let [x, z] = differentiate(g, [x, &z], wanted, pool);
        (x, z.map(|z| z.reshape([1])))
    }

    /// `sum + z · avg_pool3d(x)`.
    fn avg_pool3d(
        &self,
        sum: Option<Tensor<5>>,
        x: &Tensor<5>,
        spec: PoolSpec,
        z: Option<&Tensor<1>>,
    ) -> Tensor<5> {
        self.add_scaled(sum, composition::avg_pool3d(x.clone(), spec), z)
    }

    /// Gradients of [`Kernels::avg_pool3d`]: of `x`, whose shape is `shape`, and `z`. `x` itself
    /// may be missing unless that of `z` is wanted.
    fn avg_pool3d_gradients(
        &self,
        g: &Tensor<5>,
        (shape, x): ([usize; 5], Option<&Tensor<5>>),
        spec: PoolSpec,
        z: Option<&Tensor<1>>,
        wanted: [bool; 2],
    ) -> (Option<Tensor<5>>, Option<Tensor<1>>) {
        let z = factor(z, g);
        let pool = |[x, z]: [Tensor<5>; 2]| composition::avg_pool3d(x, spec) * z;
        // The gradient of a linear operation is the same wherever it is taken.
        let anywhere = || Tensor::zeros(shape, (&g.device(), g.dtype()));
        let x = x.cloned().unwrap_or_else(anywhere);
        let [x, z] = differentiate(g, [&x, &z], wanted, pool);
        (x, z.map(|z| z.reshape([1])))
    }

    /// See [`composition::leaky_relu`].
    fn leaky_relu(&self, x: &Tensor<5>, slope: f32) -> Tensor<5> {
        composition::leaky_relu(x.clone(), slope)
    }

    /// Gradient of [`Kernels::leaky_relu`].
    fn leaky_relu_gradient(&self, g: &Tensor<5>, x: &Tensor<5>, slope: f32) -> Tensor<5> {
        let [by_x] = differentiate(g, [x], [true], |[x]| composition::leaky_relu(x, slope));
        by_x.unwrap_or_else(|| g.zeros_like())
    }

    /// See [`composition::upsample`].
    fn upsample(&self, x: &Tensor<5>, factor: [usize; 3]) -> Tensor<5> {
        composition::upsample(x.clone(), factor)
    }

    /// Gradient of [`Kernels::upsample`].
    fn upsample_gradient(&self, g: &Tensor<5>, factor: [usize; 3]) -> Tensor<5> {
        let ([batch, channels, d, h, w], [fd, fh, fw]) = (g.dims(), factor);
        let shape = [batch, channels, d / fd, h / fh, w / fw];
        let anywhere = Tensor::zeros(shape, (&g.device(), g.dtype()));
        let [by_x] = differentiate(g, [&anywhere], [true], |[x]| composition::upsample(x, factor));
        by_x.unwrap_or(anywhere)
    }

    /// The channels of tensors one after the other.
    fn concat(&self, parts: &[Tensor<5>]) -> Tensor<5> {
        Tensor::cat(parts.to_vec(), 1)
    }

    /// `sum + z · y`. `y` may give its memory to the result as well.
    fn add_scaled(&self, sum: Option<Tensor<5>>, y: Tensor<5>, z: Option<&Tensor<1>>) -> Tensor<5> {
        composition::add_scaled(sum, y, z.cloned())
    }

    /// The sum of the products of the elements, `[1]`.
    fn dot(&self, a: &Tensor<5>, b: &Tensor<5>) -> Tensor<1> {
        (a.clone() * b.clone()).sum()
    }

    /// Kernels that make the whole sum of a node at once, where these have such.
    fn whole_sums(&self) -> Option<&dyn WholeSums> {
        None
    }

    /// `x` in the layout that these kernels read fastest. What several of them read is put into it
    /// once.
    fn laid_out(&self, x: Tensor<5>) -> Tensor<5> {
        x
    }

    /// See [`composition::adam`]. The tensors may give their memory to the results.
    fn adam(
        &self,
        p: Tensor<5>,
        g: Tensor<5>,
        m: Tensor<5>,
        v: Tensor<5>,
        step: &AdamStep,
    ) -> (Tensor<5>, Tensor<5>, Tensor<5>) {
        composition::adam(p, g, m, v, step)
    }

    /// [`Kernels::adam`] of many tensors, their gradients times `scale` first.
    fn adam_all(
        &self,
        updates: Vec<AdamUpdate>,
        scale: Option<f64>,
    ) -> Vec<(Tensor<5>, Tensor<5>, Tensor<5>)> {
        // Many small tensors: shared out among the threads one by one, at about a nanosecond an
        // element and some microseconds each.
        let nanoseconds = elements(updates.iter().map(|update| &update.g)) + 5000 * updates.len();
        let updates: Vec<_> = updates.into_iter().map(|update| Mutex::new(Some(update))).collect();
        let updated = map_indices(updates.len(), nanoseconds, |i| {
            let update = updates[i].lock().unwrap_or_else(PoisonError::into_inner).take();
            update.map(|AdamUpdate { p, g, m, v, step }| {
                let g = match scale {
                    Some(scale) => g.mul_scalar(scale),
                    None => g,
                };
                self.adam(p, g, m, v, &step)
            })
        });
        updated.into_iter().flatten().collect()
    }

    /// See [`class_loss`](crate::class_loss).
    fn class_loss(
        &self,
        _logits: &Tensor<5>,
        _classes: &[u8],
        _loss: &ClassLoss,
    ) -> Option<(Tensor<5>, Tensor<1>)> {
        None
    }

    /// See [`most_bytes`](crate::most_bytes); of the device of `x`.
    fn most_bytes(&self, _x: &Tensor<5>) -> Option<u64> {
        None
    }

    /// The sum of the squares of all elements.
    fn squared_norm(&self, tensors: &[Tensor<5>]) -> f64 {
        map_indices(tensors.len(), elements(tensors.iter()), |i| squares(&tensors[i])).iter().sum()
    }
}

/// # Panics
/// If weights shaped `ws` do not have the first two extents, `called` so, and the kernel that an
/// input shaped `xs` needs.
fn check_weights(
    ws: [usize; 5],
    called: &str,
    [first, second]: [usize; 2],
    [kd, kh, kw]: [usize; 3],
    xs: [usize; 5],
) {
    let expected = [first, second, kd, kh, kw];
    assert_eq!(ws, expected, "weights [{called}, kd, kh, kw] for an input {xs:?}");
}

/// How many numbers there are in `tensors`.
fn elements<'a>(tensors: impl Iterator<Item = &'a Tensor<5>>) -> usize {
    tensors.map(|tensor| tensor.dims().iter().product::<usize>()).sum()
}

/// Σ x² in f64, in a fixed order: eight sums, so that additions need not wait for each other.
fn squares(x: &Tensor<5>) -> f64 {
    let data = x.to_data();
    let values = data.as_slice::<f32>().unwrap_or_else(|e| panic!("gradients are f32: {e:?}"));
    let (groups, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for group in groups {
        for (sum, &v) in sums.iter_mut().zip(group) {
            *sum += f64::from(v) * f64::from(v);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>()
}

/// Kernels that make the whole sum of a node at once, where every launch counts.
pub trait WholeSums: Debug + Send + Sync {
    /// `Σ z · summand`, without a weight 1, and what the gradients of the norms among them need to
    /// know, if there are any.
    fn sum(&self, terms: Vec<(Summand, Option<Tensor<1>>)>) -> (Tensor<5>, Option<Tensor<5>>);

    /// The gradients of all norms of a sum, given that of the sum, `g`, and what [`WholeSums::sum`]
    /// returned for them.
    fn norm_gradients(
        &self,
        g: &Tensor<5>,
        norms: &[NormTerm],
        moments: &Tensor<5>,
    ) -> Vec<NormGradients>;

    /// The sum of tensors of one shape, of which there is one at least.
    fn added(&self, terms: Vec<Tensor<5>>) -> Tensor<5>;

    /// Runs `f`, and launches what its kernels do when it ends, or when one of these kernels reads
    /// it: what is alike goes out together. Until then only these kernels can use what they return.
    fn together(&self, f: &mut dyn FnMut());
}

/// What a term adds to a sum, but for its weight.
#[derive(Clone, Debug)]
pub enum Summand {
    /// A volume as it is.
    Plain(Tensor<5>),
    /// The instance norm of `x`, with `gamma` and `beta`.
    Norm(Box<[Tensor<5>; 3]>),
    /// The maximum over windows.
    MaxPool(Tensor<5>, PoolSpec),
    /// The mean over windows.
    AvgPool(Tensor<5>, PoolSpec),
}

/// A norm of a sum, as its backward pass sees it.
#[derive(Clone, Copy, Debug)]
pub struct NormTerm<'a> {
    /// `x`, `gamma` and `beta`.
    pub operands: [&'a Tensor<5>; 3],
    /// The weight of the term, if it has one.
    pub z: Option<&'a Tensor<1>>,
}

/// The gradients of `x`, `gamma` and `beta` of a norm, and of the weight of its term.
pub type NormGradients = ([Tensor<5>; 3], Tensor<1>);

/// Compositions of stock Burn operations, for every device without kernels of its own.
#[derive(Debug)]
pub struct Stock;

impl Kernels for Stock {}

/// The kernels for a tensor of the device and the element type of `x`.
pub(crate) fn kernels_of(x: &Tensor<5>) -> &'static dyn Kernels {
    // Asking the tensor for its device would allocate one, and this is asked for every node of
    // every step.
    let x = x.clone().into_dispatch();
    match tape::untracked(&x.kind) {
        DispatchTensorKind::Flex(x) if x.dtype() == DType::F32 => &cpu::Cpu,
        #[cfg(feature = "cube")]
        DispatchTensorKind::Cube(x) if x.dtype() == DType::F32 => &gpu::Gpu,
        _ => &Stock,
    }
}

/// The weight of a term as a factor for tensors like `g`.
fn factor(z: Option<&Tensor<1>>, g: &Tensor<5>) -> Tensor<5> {
    match z {
        Some(z) => z.clone().reshape([1; 5]),
        None => Tensor::ones([1; 5], (&g.device(), g.dtype())),
    }
}

/// The gradients of `f`'s inputs that are wanted, given that of its result, by Burn's autodiff.
fn differentiate<const N: usize>(
    g: &Tensor<5>,
    inputs: [&Tensor<5>; N],
    wanted: [bool; N],
    f: impl FnOnce([Tensor<5>; N]) -> Tensor<5>,
) -> [Option<Tensor<5>>; N] {
    if wanted == [false; N] {
        return [const { None }; N];
    }
    let inputs = array::from_fn(|i| on_tape(inputs[i], wanted[i]));
    let grads = undo(f(inputs.clone()), g);
    inputs.map(|input| input.grad(&grads))
}

/// A leaf of a tape of its own, or a constant.
pub(crate) fn on_tape<const D: usize>(tensor: &Tensor<D>, is_leaf: bool) -> Tensor<D> {
    let tensor = Tensor::from_inner(tensor.clone());
    if is_leaf { tensor.require_grad() } else { tensor }
}

/// Runs the tape of `y` backwards from its gradient `g`.
pub(crate) fn undo(y: Tensor<5>, g: &Tensor<5>) -> Gradients {
    (y * Tensor::from_inner(g.clone())).sum().backward()
}
