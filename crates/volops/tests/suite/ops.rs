//! Every operation equals the composition of stock Burn operations of the same name on the CPU: its
//! result, and the gradient of every input through Burn's autodiff.
//!
//! On the CPU that compares the kernels. The environment variable `VOLOPS_TEST_DEVICE` names
//! another device to put to the same test (see `docs/guide/gpus.md`); there the operations are the
//! compositions, and what is tested is the device.

use std::array;

use crate::support::{assert_close, devices, gradients, inputs, random, values};
use burn::tensor::{DType, Device, Tensor, TensorData};
use proptest::prelude::*;
use volops::{
    AdamStep, AvgPool3d, Concat, Conv3d, ConvSpec, ConvTranspose3d, Depthwise3d, DepthwiseSpec,
    Kept, Kernels, LeakyRelu, MaxPool3d, Normed, Operation, PoolSpec, Term, Upsample, composition,
};

/// The largest error allowed, relative to the largest element of the reference.
struct Tolerance {
    operation: &'static str,
    cpu: f32,
    other_devices: f32,
}

#[rustfmt::skip]
const TOLERANCES: [Tolerance; 12] = [
    Tolerance { operation: "conv3d",            cpu: 1e-5, other_devices: 1e-5 },
    Tolerance { operation: "conv_transpose3d",  cpu: 1e-5, other_devices: 1e-5 },
    Tolerance { operation: "depthwise3d",       cpu: 1e-5, other_devices: 1e-5 },
    Tolerance { operation: "max_pool3d",        cpu: 1e-6, other_devices: 1e-6 },
    Tolerance { operation: "avg_pool3d",        cpu: 1e-6, other_devices: 1e-6 },
    Tolerance { operation: "upsample",          cpu: 1e-6, other_devices: 1e-6 },
    Tolerance { operation: "concat",            cpu: 0.0,  other_devices: 0.0  },
    Tolerance { operation: "leaky_relu",        cpu: 1e-7, other_devices: 1e-6 },
    Tolerance { operation: "instance_norm",     cpu: 2e-5, other_devices: 2e-5 },
    Tolerance { operation: "weighted_sum",      cpu: 1e-4, other_devices: 5e-4 },
    Tolerance { operation: "add_scaled",        cpu: 1e-4, other_devices: 5e-4 },
    Tolerance { operation: "adam",              cpu: 1e-6, other_devices: 1e-6 },
];

fn tolerance(operation: &str, device: &Device) -> f32 {
    let row = TOLERANCES
        .iter()
        .find(|row| row.operation == operation)
        .expect("every operation has a tolerance");
    if *device == Device::flex() { row.cpu } else { row.other_devices }
}

/// As between two levels of a network.
const TRANSPOSED: ConvSpec = ConvSpec { kernel: [3; 3], stride: [2; 3], slope: Some(0.01) };

/// How far two runs of an operation on the same numbers may be apart: not at all on the CPU.
fn repeated(operation: &str, device: &Device) -> f32 {
    if *device == Device::flex() { 0.0 } else { tolerance(operation, device) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn conv3d_equals_its_composition(
        x in shapes(9), co in 1..6usize, kernel in kernels(), stride in strides(), slope in slopes(),
    ) {
        let weight = [co, x[1], kernel[0], kernel[1], kernel[2]];
        let spec = ConvSpec { kernel, stride, slope };
        check(
            "conv3d",
            [x, weight],
            |[x, w]| volops::conv3d(x, w, spec),
            |[x, w]| composition::conv3d(x, w, spec),
        );
    }

    #[test]
    fn conv_transpose3d_equals_its_composition(
        x in shapes(6), co in 1..6usize, kernel in kernels(), stride in strides(), slope in slopes(),
    ) {
        let spec = ConvSpec { kernel, stride, slope };
        check(
            "conv_transpose3d",
            [x, [x[1], co, kernel[0], kernel[1], kernel[2]]],
            |[x, w]| volops::conv_transpose3d(x, w, spec),
            |[x, w]| composition::conv_transpose3d(x, w, spec),
        );
    }

    #[test]
    fn depthwise3d_equals_its_composition(
        x in shapes(11), kernel in kernels(), dilation in 1..=4usize, stride in strides(), slope in slopes(),
    ) {
        let spec = DepthwiseSpec { kernel, dilation, stride, slope };
        check(
            "depthwise3d",
            [x, [x[1], 1, kernel[0], kernel[1], kernel[2]]],
            |[x, w]| volops::depthwise3d(x, w, spec),
            |[x, w]| composition::depthwise3d(x, w, spec),
        );
    }

    #[test]
    fn max_pool3d_equals_its_composition(x in shapes(11), spec in pools()) {
        check(
            "max_pool3d",
            [x],
            |[x]| volops::max_pool3d(x, spec),
            |[x]| composition::max_pool3d(x, spec),
        );
    }

    #[test]
    fn avg_pool3d_equals_its_composition(x in shapes(11), spec in pools()) {
        check(
            "avg_pool3d",
            [x],
            |[x]| volops::avg_pool3d(x, spec),
            |[x]| composition::avg_pool3d(x, spec),
        );
    }

    #[test]
    fn upsample_equals_its_composition(x in shapes(9), factor in strides()) {
        check(
            "upsample",
            [x],
            |[x]| volops::upsample(x, factor),
            |[x]| composition::upsample(x, factor),
        );
    }

    #[test]
    fn leaky_relu_equals_its_composition(x in shapes(9), slope in 0.0..1.0f32) {
        check(
            "leaky_relu",
            [x],
            |[x]| volops::leaky_relu(x, slope),
            |[x]| composition::leaky_relu(x, slope),
        );
    }

    #[test]
    fn instance_norm_equals_its_composition([n, c, d, h, w] in shapes(9)) {
        // Fewer voxels leave a variance so small that both are mostly rounding.
        let x = [n, c, d + 1, h + 1, w + 1];
        let scale = [1, c, 1, 1, 1];
        check(
            "instance_norm",
            [x, scale, scale],
            |[x, gamma, beta]| volops::instance_norm(x, gamma, beta),
            |[x, gamma, beta]| composition::instance_norm(x, gamma, beta),
        );
    }

    #[test]
    fn a_scaled_sum_equals_its_composition(x in shapes(9)) {
        let z = [1; 5];
        check(
            "add_scaled",
            [x, x, z],
            |[acc, y, z]| volops::add_scaled(Some(acc), y, Some(z.reshape([1]))),
            |[acc, y, z]| composition::add_scaled(Some(acc), y, Some(z.reshape([1]))),
        );
        check(
            "add_scaled",
            [x, z],
            |[y, z]| volops::add_scaled(None, y, Some(z.reshape([1]))),
            |[y, z]| composition::add_scaled(None, y, Some(z.reshape([1]))),
        );
        check(
            "add_scaled",
            [x, x],
            |[acc, y]| volops::add_scaled(Some(acc), y, None),
            |[acc, y]| composition::add_scaled(Some(acc), y, None),
        );
        check(
            "add_scaled",
            [x],
            |[y]| volops::add_scaled(None, y, None),
            |[y]| composition::add_scaled(None, y, None),
        );
    }

    #[test]
    fn a_weighted_sum_of_operations_equals_its_composition(
        [n, c, d, h, w] in shapes(6), kinds in prop::collection::vec((0..5usize, any::<bool>(), any::<bool>()), 1..14),
    ) {
        let x = [n, c, d + 1, h + 1, w + 1];
        let scale = [1, c, 1, 1, 1];
        let dense_spec = ConvSpec { kernel: [3; 3], stride: [1; 3], slope: Some(0.01) };
        let depthwise_spec = DepthwiseSpec { kernel: [3; 3], dilation: 2, stride: [1; 3], slope: Some(0.01) };
        let pointwise_spec = ConvSpec { kernel: [1; 3], stride: [1; 3], slope: None };
        // All inputs have a gradient.
        let kinds: Vec<_> = [(0, false, true), (1, true, true)].into_iter().chain(kinds).collect();
        let sum = |[x, other, dense, depthwise, pointwise, gamma, beta, z]: [Tensor<5>; 8]| {
            let term = |&(kind, of_other, is_weighted): &(usize, bool, bool)| {
                let x = if of_other { other.clone() } else { x.clone() };
                let term = match kind {
                    0 => Term::new(
                        Normed::of(Conv3d(dense_spec)),
                        [x, dense.clone(), gamma.clone(), beta.clone()],
                    ),
                    1 => Term::new(
                        Normed::separable(depthwise_spec),
                        [x, depthwise.clone(), pointwise.clone(), gamma.clone(), beta.clone()],
                    ),
                    2 => Term::new(MaxPool3d(PoolSpec::cube(1)), [x]),
                    3 => Term::new(AvgPool3d(PoolSpec::cube(1)), [x]),
                    _ => Term::identity(x),
                };
                Term { z: is_weighted.then(|| z.clone().reshape([1])), ..term }
            };
            volops::weighted_sum(kinds.iter().map(term).collect())
        };
        let slow = |[x, other, dense, depthwise, pointwise, gamma, beta, z]: [Tensor<5>; 8]| {
            let add = |sum, &(kind, of_other, is_weighted): &(usize, bool, bool)| {
                let x = if of_other { other.clone() } else { x.clone() };
                let norm = |y| composition::instance_norm(y, gamma.clone(), beta.clone());
                let y = match kind {
                    0 => norm(composition::conv3d(x, dense.clone(), dense_spec)),
                    1 => {
                        let y = composition::depthwise3d(x, depthwise.clone(), depthwise_spec);
                        norm(composition::conv3d(y, pointwise.clone(), pointwise_spec))
                    }
                    2 => composition::max_pool3d(x, PoolSpec::cube(1)),
                    3 => composition::avg_pool3d(x, PoolSpec::cube(1)),
                    _ => x,
                };
                let z = is_weighted.then(|| z.clone().reshape([1]));
                Some(composition::add_scaled(sum, y, z))
            };
            kinds.iter().fold(None, add).unwrap()
        };
        check(
            "weighted_sum",
            [x, x, [c, c, 3, 3, 3], [c, 1, 3, 3, 3], [c, c, 1, 1, 1], scale, scale, [1; 5]],
            sum,
            slow,
        );
    }

    #[test]
    fn every_operation_may_be_a_weighted_term([n, c, d, h, w] in shapes(5), kind in 0..7usize) {
        let [x, acc] = [[n, c, d, h, w], if kind < 3 { [n, c, d, h, w] } else { [n, c, 2 * d, 2 * h, 2 * w] }];
        let acc = if kind == 5 { [n, 2 * c, d, h, w] } else if kind == 6 { x } else { acc };
        let spec = ConvSpec { kernel: [3; 3], stride: [1; 3], slope: Some(0.01) };
        let depthwise = DepthwiseSpec { kernel: [3; 3], dilation: 1, stride: [1; 3], slope: None };
        let weight = [c, if kind == 1 { 1 } else { c }, 3, 3, 3];
        check(
            "weighted_sum",
            [acc, x, weight, [1; 5]],
            |[acc, x, weight, z]| {
                let both = [x.clone(), weight.clone()];
                let term = match kind {
                    0 => Term::new(Conv3d(spec), both),
                    1 => Term::new(Depthwise3d(depthwise), both),
                    2 => Term::new(LeakyRelu { slope: 0.1 }, [x.clone()]),
                    3 => Term::new(ConvTranspose3d(TRANSPOSED), both),
                    4 => Term::new(Upsample { factor: [2; 3] }, [x.clone()]),
                    5 => Term::new(Concat, [x.clone(), x.clone()]),
                    _ => Term::new(MinPool3d, [x.clone()]),
                };
                let term = Term { z: Some(z.reshape([1])), ..term };
                anchored(volops::weighted_sum(vec![Term::identity(acc), term]), x, weight)
            },
            |[acc, x, weight, z]| {
                let of = x.clone();
                let y = match kind {
                    0 => composition::conv3d(of, weight.clone(), spec),
                    1 => composition::depthwise3d(of, weight.clone(), depthwise),
                    2 => composition::leaky_relu(of, 0.1),
                    3 => composition::conv_transpose3d(of, weight.clone(), TRANSPOSED),
                    4 => composition::upsample(of, [2; 3]),
                    5 => Tensor::cat(vec![of.clone(), of], 1),
                    _ => composition::max_pool3d(of.neg(), PoolSpec::cube(1)).neg(),
                };
                let sum = composition::add_scaled(Some(acc), y, Some(z.reshape([1])));
                anchored(sum, x, weight)
            },
        );
    }

    #[test]
    fn concat_equals_the_stock_operation([n, c, d, h, w] in shapes(9), more in 0..3usize) {
        let parts = array::from_fn::<_, 4, _>(|i| [n, c + i * more, d, h, w]);
        check("concat", parts, volops::concat, |parts| Tensor::cat(parts.to_vec(), 1));
    }
}

/// The smallest value in a 3³ window, from stock operations only.
#[derive(Debug)]
struct MinPool3d;

impl Operation for MinPool3d {
    fn forward(
        &self,
        kernels: &dyn Kernels,
        sum: Option<Tensor<5>>,
        z: Option<&Tensor<1>>,
        inputs: Vec<Tensor<5>>,
        _: bool,
    ) -> (Tensor<5>, Kept) {
        let y = composition::max_pool3d(inputs[0].clone().neg(), PoolSpec::cube(1)).neg();
        (kernels.add_scaled(sum, y, z), Kept::new())
    }
}

/// `y`, and something of `x` and `weight`, so that both have a gradient whether `y` is of them or
/// not.
fn anchored(y: Tensor<5>, x: Tensor<5>, weight: Tensor<5>) -> Tensor<5> {
    y + (x.sum() + weight.sum()).reshape([1; 5])
}

#[test]
fn adam_is_the_textbook_loop() {
    let step = AdamStep {
        lr: 0.01,
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.1,
        bias1: 1.0 - 0.9f32.powi(3),
        bias2: 1.0 - 0.99f32.powi(3),
    };
    let shape = [3, 5, 2, 3, 1];
    let [p, g, m, v] = array::from_fn(|i| values(90, i));
    let v: Vec<f32> = v.into_iter().map(f32::abs).collect();
    let mut expected = [p.clone(), m.clone(), v.clone()];
    for (i, &g) in g.iter().enumerate() {
        let [p, m, v] = expected.each_mut().map(|values| &mut values[i]);
        *m = step.beta1 * *m + (1.0 - step.beta1) * g;
        *v = step.beta2 * *v + (1.0 - step.beta2) * g * g;
        *p -= step.lr * step.weight_decay * *p;
        *p -= step.lr * (*m / step.bias1) / ((*v / step.bias2).sqrt() + step.eps);
    }
    for device in devices() {
        let on_device = |values: &Vec<f32>| {
            Tensor::<5>::from_data(TensorData::new(values.clone(), shape), &device)
        };
        for update in [volops::adam, composition::adam] {
            let [p, g, m, v] = [&p, &g, &m, &v].map(on_device);
            let (p, m, v) = update(p, g, m, v, &step);
            for (found, expected) in [p, m, v].into_iter().zip(&expected) {
                assert_close(
                    &format!("adam on {device:?}"),
                    found,
                    on_device(expected),
                    tolerance("adam", &device),
                );
            }
        }
    }
}

#[test]
fn gradients_are_computed_for_tracked_inputs_only() {
    for device in devices() {
        let tolerance = repeated("conv3d", &device);
        let spec = ConvSpec { kernel: [3; 3], stride: [1; 3], slope: Some(0.01) };
        let [x, w] = inputs([[1, 2, 4, 5, 3], [3, 2, 3, 3, 3]], &device);
        let (_, both) = gradients(&[x.clone(), w.clone()], |[x, w]| volops::conv3d(x, w, spec));
        let backward = |y: Tensor<5>| {
            (y.clone() * Tensor::from_inner(random(y.dims(), 9, &device))).sum().backward()
        };
        for tracked in 0..2 {
            let mut inputs = [x.clone(), w.clone()].map(Tensor::from_inner);
            inputs[tracked] = inputs[tracked].clone().require_grad();
            let [x, w] = inputs.clone();
            let grads = backward(volops::conv3d(x, w, spec));
            let found = inputs.map(|input| input.grad(&grads));
            assert!(found[1 - tracked].is_none());
            assert_close(
                "conv3d",
                found[tracked].clone().expect("tracked"),
                both[tracked].clone(),
                tolerance,
            );
        }
        // A weight that lives on the plain device is a constant as well.
        let x = Tensor::from_inner(x).require_grad();
        let grads = backward(volops::conv3d(x.clone(), w, spec));
        assert_close("conv3d", x.grad(&grads).expect("tracked"), both[0].clone(), tolerance);
    }
}

#[test]
fn nothing_is_recorded_when_nothing_is_tracked() {
    for device in devices() {
        let [x, w] = inputs([[1, 2, 4, 5, 3], [2, 1, 3, 3, 3]], &device);
        let spec = DepthwiseSpec { kernel: [3; 3], dilation: 1, stride: [1; 3], slope: None };
        let y =
            volops::depthwise3d(Tensor::from_inner(x.clone()), Tensor::from_inner(w.clone()), spec);
        assert!(y.is_autodiff() && !y.is_require_grad());
        assert_close(
            "depthwise3d",
            y.inner(),
            volops::depthwise3d(x, w, spec),
            repeated("depthwise3d", &device),
        );
    }
}

#[test]
fn an_operation_sees_through_views() {
    for device in devices() {
        let tolerance = repeated("depthwise3d", &device);
        let x = random([2, 6, 5, 4, 3], 0, &device);
        // A slice of the channels, a transposed grid, every second plane.
        let views = [
            x.clone().narrow(1, 2, 3),
            x.clone().swap_dims(2, 4),
            x.clone().slice_dim(2, burn::tensor::s![0..5;2]),
        ];
        for view in views {
            let copy = Tensor::from_data(view.to_data(), &device);
            let spec =
                DepthwiseSpec { kernel: [3; 3], dilation: 2, stride: [1; 3], slope: Some(0.1) };
            let weight = random([view.dims()[1], 1, 3, 3, 3], 1, &device);
            let [of_view, of_copy] = [view, copy]
                .map(|x| gradients(&[x, weight.clone()], |[x, w]| volops::depthwise3d(x, w, spec)));
            assert_close("depthwise3d", of_view.0, of_copy.0, tolerance);
            for (of_view, of_copy) in of_view.1.into_iter().zip(of_copy.1) {
                assert_close("depthwise3d", of_view, of_copy, tolerance);
            }
        }
    }
}

#[test]
fn a_gradient_that_is_a_view_is_as_good_as_a_copy() {
    // The gradient of a concatenation's input is a slice of that of the whole, and that of a
    // transposed result is a transposed one.
    let f = |[x, w]: [Tensor<5>; 2]| {
        let spec = ConvSpec { kernel: [1; 3], stride: [1; 3], slope: None };
        let y = volops::conv3d(x.clone(), w, spec);
        let pool = volops::avg_pool3d(x.clone(), PoolSpec::cube(1)).swap_dims(2, 4);
        Tensor::cat(vec![volops::leaky_relu(x, 0.1).swap_dims(2, 4), y.swap_dims(2, 4), pool], 1)
    };
    let slow = |[x, w]: [Tensor<5>; 2]| {
        let spec = ConvSpec { kernel: [1; 3], stride: [1; 3], slope: None };
        let y = composition::conv3d(x.clone(), w, spec);
        let pool = composition::avg_pool3d(x.clone(), PoolSpec::cube(1)).swap_dims(2, 4);
        Tensor::cat(
            vec![composition::leaky_relu(x, 0.1).swap_dims(2, 4), y.swap_dims(2, 4), pool],
            1,
        )
    };
    check("conv3d", [[2, 3, 4, 5, 6], [2, 3, 1, 1, 1]], f, slow);
}

#[test]
fn the_gradient_of_a_tensor_is_the_sum_of_its_readers_whoever_made_it_and_whoever_they_are() {
    // One tensor is made by an operation of ours and one by Burn; both are read by operations of
    // ours and by Burn's.
    let f = |[x]: [Tensor<5>; 1]| {
        let read = |y: Tensor<5>| {
            let pooled = volops::add_scaled(
                Some(volops::max_pool3d(y.clone(), PoolSpec::cube(1))),
                volops::avg_pool3d(y.clone(), PoolSpec::cube(1)),
                None,
            );
            y.clone() * volops::add_scaled(Some(pooled), y, None)
        };
        read(volops::leaky_relu(x.clone(), 0.1)) + read(x * 2.0)
    };
    let slow = |[x]: [Tensor<5>; 1]| {
        let read = |y: Tensor<5>| {
            let pooled = composition::max_pool3d(y.clone(), PoolSpec::cube(1))
                + composition::avg_pool3d(y.clone(), PoolSpec::cube(1));
            y.clone() * (pooled + y)
        };
        read(composition::leaky_relu(x.clone(), 0.1)) + read(x * 2.0)
    };
    let shape = [1, 2, 3, 4, 5];
    check("avg_pool3d", [shape], f, slow);
    // Also after more backward passes than what is remembered of each would allow for.
    let inputs = inputs([shape], &Device::flex());
    let (_, [first]) = gradients(&inputs, f);
    for _ in 0..10_000 {
        let (_, [later]) = gradients(&inputs, f);
        assert_eq!(later.into_data(), first.to_data());
    }
}

#[test]
fn gradient_checkpointing_changes_nothing() {
    let run = |device: Device| {
        let on = |shape, seed| random(shape, seed, &device).require_grad();
        let [x, w, gamma, beta, z] =
            [[1, 2, 4, 6, 4], [2, 2, 3, 3, 3], [1, 2, 1, 1, 1], [1, 2, 1, 1, 1], [1; 5]]
                .map(|shape| on(shape, shape.iter().sum()));
        let spec = ConvSpec { kernel: [3; 3], stride: [1; 3], slope: Some(0.01) };
        // Everything between the two convolutions is made again in the backward pass, `sum` for two
        // of them.
        let inputs = [x.clone(), w.clone(), gamma.clone(), beta.clone()];
        let y = volops::weighted_sum(vec![Term::new(Normed::of(Conv3d(spec)), inputs)]);
        let sum = volops::add_scaled(Some(x.clone()), y.clone(), Some(z.clone().reshape([1])));
        let poolings = vec![
            Term::new(AvgPool3d(PoolSpec::cube(2)), [y.clone()]),
            Term::new(MaxPool3d(PoolSpec::cube(2)), [sum.clone()]),
        ];
        let pooled = volops::weighted_sum(poolings);
        let sum = volops::add_scaled(
            Some(volops::upsample(pooled, [2; 3])),
            volops::leaky_relu(sum, 0.1),
            None,
        );
        let y = volops::conv3d(sum, w.clone(), spec);
        let grads = (y.clone() * y).sum().backward();
        [x, w, gamma, beta, z].map(|input| input.grad(&grads).expect("tracked"))
    };
    for device in devices() {
        let kept = run(device.clone().autodiff());
        let recomputed = run(device.clone().autodiff().gradient_checkpointing());
        for (kept, recomputed) in kept.into_iter().zip(recomputed) {
            assert_close("conv3d", recomputed, kept, repeated("conv3d", &device));
        }
    }
}

#[test]
fn other_element_types_take_the_composition() {
    let double = |seed| random([1, 2, 4, 5, 3], seed, &Device::flex()).cast(DType::F64);
    let y =
        volops::add_scaled(Some(volops::max_pool3d(double(0), PoolSpec::cube(1))), double(1), None);
    assert_eq!(y.dtype(), DType::F64);
    assert_close(
        "add_scaled",
        y,
        composition::max_pool3d(double(0), PoolSpec::cube(1)) + double(1),
        0.0,
    );
}

#[test]
#[should_panic(expected = "weights [out, in, kd, kh, kw] for an input [1, 2, 4, 4, 4]")]
fn weights_that_do_not_fit_the_input_are_refused() {
    let spec = ConvSpec { kernel: [3; 3], stride: [1; 3], slope: None };
    let [x, w] = inputs([[1, 2, 4, 4, 4], [2, 3, 3, 3, 3]], &Device::flex());
    volops::conv3d(x, w, spec);
}

/// Compares result and gradients of an operation, on all devices to test, with those of its
/// composition on the CPU: by the kernels of each, and by the stock ones.
fn check<const N: usize>(
    name: &str,
    shapes: [[usize; 5]; N],
    operation: impl Fn([Tensor<5>; N]) -> Tensor<5>,
    composition: impl Fn([Tensor<5>; N]) -> Tensor<5>,
) {
    let (expected, expected_grads) = gradients(&inputs(shapes, &Device::flex()), composition);
    for device in devices() {
        let tolerance = tolerance(name, &device);
        let compare = |inputs: [Tensor<5>; N]| {
            let what = format!("{name} of {shapes:?} on {device:?} in {:?}", inputs[0].dtype());
            let (y, grads) = gradients(&inputs, &operation);
            assert_close(&what, y, expected.clone(), tolerance);
            for (i, (grad, expected)) in grads.into_iter().zip(&expected_grads).enumerate() {
                assert_close(&format!("gradient {i} of {what}"), grad, expected.clone(), tolerance);
            }
        };
        compare(inputs(shapes, &device));
        if device == Device::flex() {
            // There are no kernels for it.
            compare(inputs(shapes, &device).map(|input| input.cast(DType::F64)));
        }
    }
}

/// Batches, channels and grids up to `side`, odd ones and single voxels included.
fn shapes(side: usize) -> impl Strategy<Value = [usize; 5]> {
    (1..=2usize, 1..=5usize, 1..=side, 1..=side, 1..=side)
        .prop_map(|(n, c, d, h, w)| [n, c, d, h, w])
}

fn kernels() -> impl Strategy<Value = [usize; 3]> {
    prop_oneof![Just([3, 3, 3]), Just([1, 1, 1]), Just([1, 3, 3]), Just([3, 1, 1])]
}

/// Half of them the same along all axes.
fn strides() -> impl Strategy<Value = [usize; 3]> {
    prop_oneof![(1..=2usize).prop_map(|stride| [stride; 3]), prop::array::uniform3(1..=2usize)]
}

/// Poolings over cubes, and those whose axes differ.
fn pools() -> impl Strategy<Value = PoolSpec> {
    let windows =
        prop_oneof![Just([3; 3]), prop::array::uniform3(prop::sample::select(vec![1, 3usize])),];
    (windows, strides()).prop_map(|(window, stride)| PoolSpec { window, stride })
}

fn slopes() -> impl Strategy<Value = Option<f32>> {
    prop_oneof![Just(None), Just(Some(0.01))]
}
