//! What the operations leave on the tape of the CPU and what becomes of it, and whose memory they
//! take.

use std::array;

use crate::support::{assert_close, random};
use burn::{
    backend::Flex,
    tensor::{Device, Tensor, TensorData, Tolerance},
};
use volops::{
    AvgPool3d, Conv3d, ConvSpec, ConvTranspose3d, DepthwiseSpec, MaxPool3d, Normed, PoolSpec, Term,
};

/// As between two levels of a network.
const TRANSPOSED: ConvSpec = ConvSpec { kernel: [3; 3], stride: [2; 3], slope: None };

const SPEC: ConvSpec = ConvSpec { kernel: [3; 3], stride: [1; 3], slope: Some(0.01) };
const DEPTHWISE: DepthwiseSpec =
    DepthwiseSpec { kernel: [3; 3], dilation: 2, stride: [1; 3], slope: Some(0.01) };

/// x, another tensor of its shape, gamma, beta, z, and the weights of the convolutions.
const SHAPES: [[usize; 5]; 8] = [
    [2, 3, 4, 6, 5],
    [2, 3, 4, 6, 5],
    [1, 3, 1, 1, 1],
    [1, 3, 1, 1, 1],
    [1; 5],
    [3, 3, 3, 3, 3],
    [3, 1, 3, 3, 3],
    [3, 3, 1, 1, 1],
];

/// Whose gradients are wanted, a bit each: all, none of the weights, only the weights, and single
/// ones.
const TRACKED: [usize; 11] = [0xff, 0x13, 0xe0, 1, 2, 4, 8, 16, 32, 64, 128];

/// The result of `f` for tensors of [`SHAPES`], and the gradients of those that are `tracked`.
fn with_gradients(
    tracked: usize,
    f: impl Fn([Tensor<5>; 8]) -> Tensor<5>,
) -> (TensorData, [Option<TensorData>; 8]) {
    let device = Device::flex().autodiff();
    let inputs: [Tensor<5>; 8] = array::from_fn(|i| {
        let input = random(SHAPES[i], i, &device);
        if tracked >> i & 1 > 0 { input.require_grad() } else { input }
    });
    let y = f(inputs.clone());
    // Something is tracked in any case.
    let anchor = Tensor::<1>::zeros([1], &device).require_grad();
    let grads = ((y.clone() * random(y.dims(), 9, &device)).sum() + anchor).backward();
    let grads = inputs.map(|input| input.grad(&grads).map(Tensor::into_data));
    (y.into_data(), grads)
}

#[test]
fn a_sum_takes_over_the_memory_of_its_accumulator() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let shape = [1, 2, 3, 4, 5];
        let acc = Tensor::<5>::ones(shape, &device);
        let before = address(&acc);
        let sum = volops::add_scaled(
            Some(acc),
            Tensor::ones(shape, &device),
            Some(Tensor::from_data([2.0], &device)),
        );
        assert_eq!(address(&sum), before);
        // Or of an unweighted term, if the accumulator is still in use.
        let acc = Tensor::<5>::ones(shape, &device);
        assert_eq!(address(&volops::add_scaled(Some(acc.clone()), sum, None)), before);
        assert_eq!(acc.into_data(), Tensor::<5>::ones(shape, &device).into_data());
    }
}

#[test]
fn a_sum_leaves_an_accumulator_alone_that_something_else_refers_to() {
    let device = Device::flex();
    let wide = Tensor::<5>::ones([1, 4, 2, 2, 2], &device);
    // The lower half of a larger tensor, which is still in use.
    let acc = wide.clone().narrow(1, 2, 2);
    let sum = volops::add_scaled(Some(acc), Tensor::ones([1, 2, 2, 2, 2], &device), None);
    assert_close("add_scaled", wide, Tensor::ones([1, 4, 2, 2, 2], &device), 0.0);
    assert_close("add_scaled", sum, Tensor::ones([1, 2, 2, 2, 2], &device) * 2.0, 0.0);
}

#[test]
fn a_sum_in_one_step_is_the_bits_of_one_step_for_each_term_whatever_gradients_are_wanted() {
    for (kind, starts, is_weighted) in
        (0..6).flat_map(|kind| [0, 1, 2, 3].map(|i| (kind, i & 1 > 0, i & 2 > 0)))
    {
        let sum = |together: bool, [x, other, gamma, beta, z, w, dw, pw]: [Tensor<5>; 8]| {
            let scales = [gamma, beta];
            let normed = |operation, x: Tensor<5>, weights: &[Tensor<5>]| {
                Term::new(operation, [&[x][..], weights, &scales].concat())
            };
            let term = |x: Tensor<5>| match kind {
                0 => normed(Normed::of(Conv3d(SPEC)), x, std::slice::from_ref(&w)),
                1 => normed(Normed::of(ConvTranspose3d(TRANSPOSED)), x, std::slice::from_ref(&w)),
                2 => normed(Normed::separable(DEPTHWISE), x, &[dw.clone(), pw.clone()]),
                3 => Term::new(MaxPool3d(PoolSpec::cube(1)), [x]),
                4 => Term::new(AvgPool3d(PoolSpec::cube(1)), [x]),
                _ => Term::identity(x),
            };
            let start =
                if kind == 1 { volops::upsample(other.clone(), [2; 3]) } else { other.clone() };
            let start = starts.then(|| Term::identity(start));
            let z = is_weighted.then(|| z.reshape([1]));
            let terms = start.into_iter().chain([Term { z, ..term(x) }, term(other)]);
            if together {
                volops::weighted_sum(terms.collect())
            } else {
                let add = |sum: Option<Tensor<5>>, term| {
                    let sum = sum.map(Term::identity).into_iter();
                    volops::weighted_sum(sum.chain([term]).collect())
                };
                terms.fold(None, |sum, term| Some(add(sum, term))).unwrap()
            }
        };
        let run = |together: bool, tracked: usize| with_gradients(tracked, |of| sum(together, of));
        for tracked in TRACKED {
            assert!(
                run(true, tracked) == run(false, tracked),
                "kind {kind}, {starts}, {is_weighted}, tracked {tracked:#b}"
            );
        }
    }
}

#[test]
fn a_convolution_with_its_norm_is_its_parts_whatever_gradients_are_wanted() {
    let pointwise = ConvSpec { kernel: [1; 3], stride: [1; 3], slope: None };
    for (kind, accumulates, is_weighted) in
        (0..3).flat_map(|kind| [0, 1, 2, 3].map(|i| (kind, i & 1 > 0, i & 2 > 0)))
    {
        let sum = |together: bool, [x, acc, gamma, beta, z, w, dw, pw]: [Tensor<5>; 8]| {
            let doubled =
                || if kind == 1 { volops::upsample(acc.clone(), [2; 3]) } else { acc.clone() };
            let acc = accumulates.then(doubled);
            let z = is_weighted.then(|| z.reshape([1]));
            if together {
                let (operation, weights) = match kind {
                    0 => (Normed::of(Conv3d(SPEC)), vec![w]),
                    1 => (Normed::of(ConvTranspose3d(TRANSPOSED)), vec![w]),
                    _ => (Normed::separable(DEPTHWISE), vec![dw, pw]),
                };
                let acc = acc.map(Term::identity).into_iter();
                let term = Term::new(operation, [vec![x], weights, vec![gamma, beta]].concat());
                volops::weighted_sum(acc.chain([Term { z, ..term }]).collect())
            } else {
                let y = match kind {
                    0 => volops::conv3d(x, w, SPEC),
                    1 => volops::conv_transpose3d(x, w, TRANSPOSED),
                    _ => volops::conv3d(volops::depthwise3d(x, dw, DEPTHWISE), pw, pointwise),
                };
                volops::add_scaled(acc, volops::instance_norm(y, gamma, beta), z)
            }
        };
        let run = |together: bool, tracked: usize| with_gradients(tracked, |of| sum(together, of));
        for tracked in TRACKED {
            let case = format!("kind {kind}, {accumulates}, {is_weighted}, tracked {tracked:#b}");
            let ((y, grads), (parts, grads_of_parts)) = (run(true, tracked), run(false, tracked));
            if !is_weighted {
                assert!(y == parts && grads == grads_of_parts, "{case}");
                continue;
            }
            // The weight goes into gamma and beta, and its gradient comes from theirs.
            y.assert_approx_eq::<f32>(&parts, Tolerance::relative(1e-4).set_absolute(1e-4));
            for (grad, of_parts) in grads.into_iter().zip(grads_of_parts) {
                assert_eq!(grad.is_some(), of_parts.is_some(), "{case}");
                if let (Some(grad), Some(of_parts)) = (grad, of_parts) {
                    grad.assert_approx_eq::<f32>(
                        &of_parts,
                        Tolerance::relative(1e-4).set_absolute(1e-4),
                    );
                }
            }
        }
    }
}

#[test]
fn the_gradients_of_any_number_of_readers_are_added_one_after_the_other() {
    let device = Device::flex().autodiff();
    let shape = [1, 2, 3, 5, 7];
    let [x, g] = [1, 2].map(|seed| random(shape, seed, &device));
    for readers in 1..=9 {
        let x = x.clone().require_grad();
        let y = volops::leaky_relu(x.clone(), 1.0);
        let weights: Vec<f32> = (1..=readers).map(|i| 1.0 / (2.0 + i as f32)).collect();
        let weighted = |z| Tensor::<1>::from_data([z], &device);
        let sum = weights
            .iter()
            .fold(None, |sum, &z| Some(volops::add_scaled(sum, y.clone(), Some(weighted(z)))));
        let grads = (sum.unwrap() * g.clone()).sum().backward();
        let values = |tensor: Tensor<5>| tensor.into_data().try_to_vec::<f32>().unwrap();
        // The last reader comes first.
        let expected: Vec<f32> = values(g.clone())
            .iter()
            .map(|g| weights.iter().rev().map(|z| z * g).reduce(|sum, term| sum + term).unwrap())
            .collect();
        assert_eq!(values(x.grad(&grads).unwrap()), expected, "{readers} readers");
    }
}

#[test]
fn a_tensor_alone_is_no_step_whatever_else_reads_it() {
    let device = Device::flex().autodiff();
    let shape = [1, 2, 3, 5, 7];
    let [x, g] = [1, 2].map(|seed| random(shape, seed, &device));
    let gradient = |is_summed: bool| {
        let x = x.clone().require_grad();
        let y = volops::leaky_relu(x.clone(), 1.0);
        let sum = [3.0, 5.0, 7.0, 11.0].into_iter().fold(None, |sum, z| {
            let alone = || volops::weighted_sum(vec![Term::identity(y.clone())]);
            let y = if is_summed && z == 11.0 { alone() } else { y.clone() };
            Some(volops::add_scaled(sum, y, Some(Tensor::from_data([1.0 / z], &device))))
        });
        x.grad(&(sum.unwrap() * g.clone()).sum().backward()).unwrap().into_data()
    };
    assert_eq!(gradient(true), gradient(false));
}

fn address(tensor: &Tensor<5>) -> *const f32 {
    let inner = if tensor.is_autodiff() { tensor.clone().inner() } else { tensor.clone() };
    inner.try_into_primitive::<Flex>().expect("a tensor on the CPU").storage::<f32>().as_ptr()
}
