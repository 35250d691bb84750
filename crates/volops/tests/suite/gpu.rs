//! What holds on every device, and matters on a GPU: many tensors at once, equal bits, few launches.

use burn::tensor::{Device, Tensor};
use volops::{
    AdamStep, AdamUpdate, AvgPool3d, ClassLoss, Conv3d, ConvSpec, DepthwiseSpec, Kept, Kernels,
    MaxPool3d, Normed, Operation, PoolSpec, Term, Work, class_loss, count_work, weighted_sum,
};

use crate::support::{assert_close, devices, gradients, inputs, random};

const STEP: AdamStep = AdamStep {
    lr: 0.01,
    beta1: 0.9,
    beta2: 0.99,
    eps: 1e-8,
    weight_decay: 0.1,
    bias1: 0.5,
    bias2: 0.5,
};

/// A node with every kind of term, two of each.
fn node([x, dense, depthwise, pointwise, gamma, beta, z]: [Tensor<5>; 7]) -> Tensor<5> {
    let spec = ConvSpec { kernel: [3; 3], stride: [1; 3], slope: Some(0.01) };
    let dilated = DepthwiseSpec { kernel: [3; 3], dilation: 2, stride: [1; 3], slope: Some(0.01) };
    let z = z.reshape([1]);
    let terms = || {
        vec![
            Term::new(
                Normed::of(Conv3d(spec)),
                [x.clone(), dense.clone(), gamma.clone(), beta.clone()],
            ),
            Term::new(
                Normed::separable(dilated),
                [x.clone(), depthwise.clone(), pointwise.clone(), gamma.clone(), beta.clone()],
            ),
            Term::new(MaxPool3d(PoolSpec::cube(1)), [x.clone()]),
            Term::new(AvgPool3d(PoolSpec::cube(1)), [x.clone()]),
            Term::identity(x.clone()),
        ]
    };
    let weighted = |term| Term { z: Some(z.clone()), ..term };
    weighted_sum(terms().into_iter().chain(terms()).map(weighted).collect())
}

fn of_node(device: &Device) -> [Tensor<5>; 7] {
    let scale = [1, 8, 1, 1, 1];
    let shapes = [
        [2, 8, 9, 10, 11],
        [8, 8, 3, 3, 3],
        [8, 1, 3, 3, 3],
        [8, 8, 1, 1, 1],
        scale,
        scale,
        [1; 5],
    ];
    inputs(shapes, device)
}

#[test]
fn a_device_gives_the_same_bits_twice() {
    for device in devices() {
        let inputs = of_node(&device);
        let (y, of) = gradients(&inputs, node);
        let (again, of_again) = gradients(&inputs, node);
        assert_eq!(y.into_data(), again.into_data());
        for (of, of_again) in of.into_iter().zip(of_again) {
            assert_eq!(of.into_data(), of_again.into_data());
        }
    }
}

#[test]
fn a_node_has_the_gradients_that_it_has_on_the_cpu() {
    let (y, of) = gradients(&of_node(&Device::flex()), node);
    for device in devices() {
        let (found, of_found) = gradients(&of_node(&device), node);
        assert_close("a node", found, y.clone(), 1e-5);
        for (found, expected) in of_found.into_iter().zip(&of) {
            assert_close("its gradients", found, expected.clone(), 2e-4);
        }
    }
}

#[test]
fn many_updates_together_are_what_each_is_alone() {
    let shapes: Vec<[usize; 5]> = (1..40).map(|i| [i % 5 + 1, i, 1, i % 3 + 1, 1]).collect();
    for device in devices() {
        let of = |shape, seed| random(shape, seed, &device);
        let update = |&shape: &[usize; 5]| AdamUpdate {
            p: of(shape, 0),
            g: of(shape, 1),
            m: of(shape, 2),
            v: of(shape, 3).abs(),
            // Weights that were updated more or less often.
            step: AdamStep { bias1: 1.0 / shape[1] as f32, ..STEP },
        };
        let together = volops::adam_all(shapes.iter().map(update).collect(), Some(0.5));
        for (shape, (p, m, v)) in shapes.iter().zip(together) {
            let AdamUpdate { p: before, g, m: mean, v: square, step } = update(shape);
            let (expected, mean, square) =
                volops::adam(before, g.mul_scalar(0.5), mean, square, &step);
            assert_close("parameters", p, expected, 1e-6);
            assert_close("first moment", m, mean, 1e-6);
            assert_close("second moment", v, square, 1e-6);
        }
    }
}

#[test]
fn the_norm_of_many_tensors_is_that_of_all_their_elements() {
    for device in devices() {
        let tensors: Vec<_> =
            (0..37).map(|i| random([1, i % 4 + 1, 7, 11, 13 * (i % 2) + 1], i, &device)).collect();
        let expected: f64 = tensors
            .iter()
            .flat_map(|tensor| tensor.to_data().iter::<f64>().collect::<Vec<_>>())
            .map(|x| x * x)
            .sum();
        let found = volops::squared_norm(&tensors);
        assert!((found / expected - 1.0).abs() < 1e-5, "{found} for {expected}");
    }
    assert_eq!(volops::squared_norm(&[]), 0.0);
}

/// The definition of a loss, of logits `[batch, outputs, voxels]`.
fn loss_of(logits: &[f64], outputs: usize, classes: &[u8], loss: &ClassLoss) -> f64 {
    let voxels = logits.len() / outputs / BATCH;
    let (mut dice, mut surprise, mut known) = (vec![[0.0; 3]; outputs], 0.0, 0.0);
    for (at, &class) in
        classes.iter().enumerate().filter(|(_, class)| usize::from(**class) < outputs)
    {
        let logit = |c: usize| logits[(at / voxels * outputs + c) * voxels + at % voxels];
        let sum: f64 = (0..outputs).map(|c| logit(c).exp()).sum();
        surprise += sum.ln() - logit(class.into());
        known += 1.0;
        for (c, [both, said, is]) in dice.iter_mut().enumerate() {
            let (p, t) = (logit(c).exp() / sum, f64::from(u8::from(c == usize::from(class))));
            (*both, *said, *is) = (*both + p * t, *said + p, *is + t);
        }
    }
    let smooth = f64::from(loss.smooth);
    let scored: Vec<f64> = dice[1..]
        .iter()
        .filter(|[.., is]| *is > 0.0)
        .map(|[both, said, is]| 1.0 - (2.0 * both + smooth) / (said + is + smooth))
        .collect();
    let dice = scored.iter().sum::<f64>() / scored.len().max(1) as f64;
    f64::from(loss.dice) * dice + f64::from(loss.cross_entropy) * surprise / known
}

const BATCH: usize = 2;

#[test]
fn a_loss_on_a_device_is_its_definition_and_the_gradient_that_of_finite_differences() {
    const OUTPUTS: usize = 4;
    let shape = [BATCH, OUTPUTS, 3, 4, 5];
    // Of four classes one does not occur, and some voxels are ignored.
    let classes: Vec<u8> =
        (0..120_u32).map(|i| [0, 1, 3, 255, 3, 0, 1][i as usize * 5 % 7]).collect();
    for device in devices() {
        for (dice, cross_entropy) in [(1.0, 0.0), (0.0, 1.0), (0.7, 1.3)] {
            let loss = ClassLoss { dice, cross_entropy, smooth: 1e-5, least: 1e-18 };
            let logits = random(shape, 1, &device);
            let Some((gradient, value)) = class_loss(&logits, &classes, &loss) else {
                assert_eq!(device, Device::flex());
                continue;
            };
            let mut logits: Vec<f64> = logits.into_data().iter().collect();
            let mut at = |i: usize, more: f64| {
                logits[i] += more;
                let value = loss_of(&logits, OUTPUTS, &classes, &loss);
                logits[i] -= more;
                value
            };
            let value = f64::from(value.into_scalar::<f32>());
            assert!((value - at(0, 0.0)).abs() < 1e-6, "{value} for {}", at(0, 0.0));
            for (i, found) in gradient.into_data().iter::<f64>().enumerate() {
                let expected = (at(i, 1e-4) - at(i, -1e-4)) / 2e-4;
                assert!((found - expected).abs() < 1e-7, "{i}: {found} for {expected}");
            }
        }
    }
}

#[test]
fn the_loss_of_many_voxels_is_its_definition_too() {
    let shape = [BATCH, 3, 40, 44, 40];
    let voxels = shape[2..].iter().product::<usize>();
    let classes: Vec<u8> = (0..BATCH * voxels).map(|i| (i / 7 % 5 % 3) as u8).collect();
    let loss = ClassLoss { dice: 1.0, cross_entropy: 1.0, smooth: 1e-5, least: 1e-18 };
    for device in devices().filter(|device| *device != Device::flex()) {
        let logits = random(shape, 2, &device);
        let (_, value) = class_loss(&logits, &classes, &loss).expect("kernels of a GPU");
        let logits: Vec<f64> = logits.into_data().iter().collect();
        let (found, expected) =
            (f64::from(value.into_scalar::<f32>()), loss_of(&logits, 3, &classes, &loss));
        assert!((found / expected - 1.0).abs() < 1e-6, "{found} for {expected}");
    }
}

/// Launches of `f`, after one that compiles its kernels.
fn launches(f: impl Fn() -> Tensor<5>) -> Work {
    drop(f());
    let (y, work) = count_work(f);
    drop(y);
    println!("{:?}", work.launches);
    work
}

#[test]
fn what_is_alike_in_a_node_goes_out_together() {
    for device in devices().filter(|device| *device != Device::flex()) {
        let inputs = of_node(&device);
        let forward = launches(|| node(inputs.clone()));
        // The dense convolutions, depthwise ones, pointwise ones, poolings, and of the norms the
        // factors, which small volumes get with their statistics, and the sum.
        assert_eq!(forward.total(), 6, "{:?}", forward.launches);
        let once = ["CorrelateKernel", "FactorsKernel", "SumKernel"];
        let found = once.map(|name| forward.launches.get(name).copied());
        assert_eq!(found, [Some(2), Some(1), Some(1)], "{:?}", forward.launches);
        let both = launches(|| gradients(&inputs, node).0);
        let backward = both.total() - forward.total();
        assert!(backward <= 40, "{backward}: {:?}", both.launches);
    }
}

/// Some terms halve the grid, others read what is halved already; dilations differ.
fn halving_node([x, small, dense, depthwise, pointwise, gamma, beta]: [Tensor<5>; 7]) -> Tensor<5> {
    let dense_spec = |stride| ConvSpec { kernel: [3; 3], stride: [stride; 3], slope: Some(0.01) };
    let term = |i: usize| {
        let (stride, x) = if i.is_multiple_of(2) { (2, x.clone()) } else { (1, small.clone()) };
        let norm = [gamma.clone(), beta.clone()];
        match i / 2 % 4 {
            0 => Term::new(
                Normed::of(Conv3d(dense_spec(stride))),
                [&[x, dense.clone()][..], &norm].concat(),
            ),
            1 => {
                let dilation = i / 8 + 1;
                let spec = DepthwiseSpec {
                    kernel: [3; 3],
                    dilation,
                    stride: [stride; 3],
                    slope: Some(0.01),
                };
                let weights = [x, depthwise.clone(), pointwise.clone()];
                Term::new(Normed::separable(spec), [&weights[..], &norm].concat())
            }
            2 => Term::new(MaxPool3d(PoolSpec::cube(stride)), [x]),
            _ => Term::new(AvgPool3d(PoolSpec::cube(stride)), [x]),
        }
    };
    weighted_sum((0..28).map(term).collect())
}

#[test]
fn a_node_that_halves_the_grid_has_the_gradients_that_it_has_on_the_cpu() {
    let scale = [1, 6, 1, 1, 1];
    let shapes = [
        [2, 6, 9, 10, 7],
        [2, 6, 5, 5, 4],
        [6, 6, 3, 3, 3],
        [6, 1, 3, 3, 3],
        [6, 6, 1, 1, 1],
        scale,
        scale,
    ];
    let (y, of) = gradients(&inputs(shapes, &Device::flex()), halving_node);
    for device in devices() {
        let (found, of_found) = gradients(&inputs(shapes, &device), halving_node);
        assert_close("a node that halves", found, y.clone(), 1e-5);
        for (found, expected) in of_found.into_iter().zip(&of) {
            assert_close("its gradients", found, expected.clone(), 2e-4);
        }
    }
}

#[test]
fn many_readers_of_a_tensor_and_of_a_weight_add_to_its_gradient() {
    let readers = |[x, z]: [Tensor<5>; 2]| {
        let z = z.reshape([1]);
        let read = |y: Tensor<5>, by: Tensor<5>| {
            let terms = vec![
                Term::identity(y.clone()),
                Term {
                    z: Some(z.clone()),
                    ..Term::new(AvgPool3d(PoolSpec::cube(1)), [by.clone()])
                },
                Term { z: Some(z.clone()), ..Term::identity(by) },
            ];
            weighted_sum(terms)
        };
        let sum = (0..3).fold(x.clone(), |y, _| read(y, x.clone()));
        // More than are added up at a time.
        let many: [Tensor<5>; 28] =
            std::array::from_fn(|i| if i % 3 == 0 { sum.clone() } else { x.clone() });
        volops::concat(many)
    };
    let shapes = [[2, 2, 3, 4, 5], [1; 5]];
    let (y, of) = gradients(&inputs(shapes, &Device::flex()), readers);
    for device in devices() {
        let (found, of_found) = gradients(&inputs(shapes, &device), readers);
        assert_close("readers", found, y.clone(), 1e-5);
        for (found, expected) in of_found.into_iter().zip(&of) {
            assert_close("their gradients", found, expected.clone(), 1e-5);
        }
    }
}

/// Uses the result of a kernel of a GPU in an operation of Burn, and says nothing of it.
#[derive(Debug)]
struct Waves;

impl Operation for Waves {
    fn forward(
        &self,
        kernels: &dyn Kernels,
        sum: Option<Tensor<5>>,
        z: Option<&Tensor<1>>,
        inputs: Vec<Tensor<5>>,
        _: bool,
    ) -> (Tensor<5>, Kept) {
        let spec = DepthwiseSpec { kernel: [3; 3], dilation: 1, stride: [1; 3], slope: None };
        let y = kernels.depthwise3d(&inputs[0], &inputs[1], spec).sin();
        (kernels.add_scaled(sum, y, z), Kept::new())
    }
}

#[test]
fn an_operation_may_do_with_the_result_of_a_kernel_what_it_likes() {
    let both = |[x, w]: [Tensor<5>; 2]| {
        weighted_sum(vec![
            Term::new(Waves, [x.clone(), w.clone()]),
            Term::new(AvgPool3d(PoolSpec::cube(1)), [x.clone()]),
            Term::new(Waves, [x, w]),
        ])
    };
    let shapes = [[2, 4, 6, 5, 7], [4, 1, 3, 3, 3]];
    let (y, of) = gradients(&inputs(shapes, &Device::flex()), both);
    for device in devices() {
        let (found, of_found) = gradients(&inputs(shapes, &device), both);
        assert_close("waves", found, y.clone(), 1e-5);
        for (found, expected) in of_found.into_iter().zip(&of) {
            assert_close("their gradients", found, expected.clone(), 1e-5);
        }
    }
}
