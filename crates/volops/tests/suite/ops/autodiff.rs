//! What autodiff makes of the operations: which inputs have a gradient, and which do not.

use burn::tensor::{Device, Tensor};
use volops::{
    AvgPool3d, Conv3d, ConvSpec, DepthwiseSpec, MaxPool3d, Normed, PoolSpec, Term, composition,
};

use super::{check, repeated};
use crate::support::{assert_close, devices, gradients, inputs, random};

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
