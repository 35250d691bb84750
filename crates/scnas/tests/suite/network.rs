//! The network against a slow reference: wired by hand from a table, every operation a composition
//! of stock Burn ones.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use medvol::Target;
use medvol::augment::flip;
use medvol::stitch::Blend;
use rand::RngExt as _;
use scnas::learn::backprop::{Backprop, LossGradients};
use scnas::learn::batch::Batch;
use scnas::learn::deep_supervision::DeepSupervision;
use scnas::learn::loss::{Loss, LossTerms};
use scnas::learn::relaxation::{Alpha, Relaxation, Sample};
use scnas::network::cells::Network;
use scnas::network::mixture::{Entry, Mixture};
use scnas::network::size::Size;
use scnas::network::weights::{Pass, Tape, Weights};
use scnas::predict::windows::Predictor;
use scnas::random::{Stream, rng};
use scnas::settings::PredictConfig;
use scnas::space::genotype::Genotype;
use scnas::space::grid::Grid;
use scnas::space::operation::{Kind, SLOPE};
use scnas::space::topology::{CELLS, DecoderOrder, Share, Space, Upsample};
use volops::composition as slow;
use volops::{ConvSpec, DepthwiseSpec, PoolSpec};

const SIZE: Size = Size::isotropic(2, 3, 8);
const PATCH: [usize; 3] = [16, 24, 16];

/// Per cell: letter, level, index of older and newer input, index of the encoder output added to
/// its own. Index 0 is the stem, cell n is n + 1.
type Wiring = [(char, usize, usize, usize, Option<usize>); CELLS];

const NORMAL_FIRST: Wiring = [
    ('R', 1, 0, 0, None),
    ('N', 1, 0, 1, None),
    ('R', 2, 1, 2, None),
    ('N', 2, 2, 3, None),
    ('R', 3, 3, 4, None),
    ('N', 3, 4, 5, None),
    ('D', 3, 5, 6, None),
    ('E', 2, 6, 7, Some(4)),
    ('D', 2, 7, 8, None),
    ('E', 1, 8, 9, Some(2)),
    ('D', 1, 9, 10, None),
    ('E', 0, 10, 11, Some(0)),
];

const EXPANSION_FIRST: Wiring = [
    ('R', 1, 0, 0, None),
    ('N', 1, 0, 1, None),
    ('R', 2, 1, 2, None),
    ('N', 2, 2, 3, None),
    ('R', 3, 3, 4, None),
    ('N', 3, 4, 5, None),
    ('E', 2, 5, 6, Some(4)),
    ('D', 2, 6, 7, None),
    ('E', 1, 7, 8, Some(2)),
    ('D', 1, 8, 9, None),
    ('E', 0, 9, 10, Some(0)),
    ('D', 0, 10, 11, None),
];

/// Strides to levels 1, 2, 3, and extents of kernels at levels 0 to 3.
type Grids = ([[usize; 3]; 3], [[usize; 3]; 4]);

const CUBES: Grids = ([[2; 3]; 3], [[3; 3]; 4]);
const BY_AXIS: Grids =
    ([[1, 2, 2], [2, 2, 2], [2, 1, 2]], [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]]);

fn grid((strides, kernels): Grids) -> Grid {
    serde_json::from_value(serde_json::json!({ "strides": strides, "kernels": kernels })).unwrap()
}

struct Reference<'a> {
    space: &'a Space,
    grids: Grids,
    weights: BTreeMap<String, Tensor<5>>,
}

impl Reference<'_> {
    fn w(&self, name: String) -> Tensor<5> {
        self.weights[&name].clone()
    }

    fn norm(&self, name: &str, x: Tensor<5>) -> Tensor<5> {
        slow::instance_norm(x, self.w(format!("{name}.gamma")), self.w(format!("{name}.beta")))
    }

    fn conv(
        &self,
        name: &str,
        x: Tensor<5>,
        kernel: [usize; 3],
        stride: [usize; 3],
        slope: Option<f32>,
    ) -> Tensor<5> {
        self.norm(
            name,
            slow::conv3d(x, self.w(format!("{name}.weight")), ConvSpec { kernel, stride, slope }),
        )
    }

    /// What is left of a kernel at a level.
    fn flat(&self, level: usize, kernel: [usize; 3]) -> [usize; 3] {
        [0, 1, 2].map(|axis| kernel[axis].min(self.grids.1[level][axis]))
    }

    fn edge(
        &self,
        name: &str,
        kind: Kind,
        x: Tensor<5>,
        (level, halves): (usize, bool),
    ) -> Option<Tensor<5>> {
        let stride = if halves { self.grids.0[level - 1] } else { [1; 3] };
        let pool = PoolSpec { window: self.flat(level, [3; 3]), stride };
        Some(match kind {
            Kind::Zero => return None,
            Kind::Identity if !halves => x,
            Kind::Identity => self.conv(name, x, [1; 3], stride, Some(SLOPE)),
            Kind::MaxPool => slow::max_pool3d(x, pool),
            Kind::AveragePool => slow::avg_pool3d(x, pool),
            Kind::Conv { kernel } => {
                self.conv(name, x, self.flat(level, kernel), stride, Some(SLOPE))
            }
            Kind::Depthwise { kernel, dilation } => {
                let kernel = self.flat(level, kernel);
                let spec = DepthwiseSpec { kernel, dilation, stride, slope: Some(SLOPE) };
                let y = slow::depthwise3d(x, self.w(format!("{name}.depthwise")), spec);
                let pointwise = ConvSpec { kernel: [1; 3], stride: [1; 3], slope: None };
                self.norm(name, slow::conv3d(y, self.w(format!("{name}.pointwise")), pointwise))
            }
        })
    }

    fn input(&self, name: &str, x: Tensor<5>, level: usize, target: usize) -> Tensor<5> {
        match (level as isize - target as isize, self.space.upsample) {
            (1, Upsample::Transposed) => {
                let (kernel, stride) = (self.flat(target, [3; 3]), self.grids.0[target]);
                let spec = ConvSpec { kernel, stride, slope: Some(SLOPE) };
                let weight = self.w(format!("{name}.weight"));
                self.norm(name, slow::conv_transpose3d(x, weight, spec))
            }
            (1, Upsample::Trilinear) => {
                let y = self.conv(name, x, [1; 3], [1; 3], Some(SLOPE));
                slow::upsample(y, self.grids.0[target])
            }
            (0, _) => self.conv(name, x, [1; 3], [1; 3], Some(SLOPE)),
            (-1, _) => self.conv(name, x, [1; 3], self.grids.0[level], Some(SLOPE)),
            (d, _) => panic!("inputs are at most one level away, found {d}"),
        }
    }

    fn forward(&self, x: Tensor<5>, mixture: &Mixture) -> Tensor<5> {
        let wiring = match self.space.decoder_order {
            DecoderOrder::NormalFirst => NORMAL_FIRST,
            DecoderOrder::ExpansionFirst => EXPANSION_FIRST,
        };
        let mut outputs = vec![(self.conv("stem", x, self.flat(0, [3; 3]), [1; 3], None), 0)];
        for (index, (letter, level, older, newer, skip)) in wiring.into_iter().enumerate() {
            let arch = match self.space.share {
                Share::Type => "RNDE".find(letter).unwrap(),
                Share::Cell => index,
            };
            let target = if letter == 'R' { level - 1 } else { level };
            let mut nodes: Vec<Tensor<5>> = [older, newer]
                .iter()
                .enumerate()
                .map(|(i, &o)| {
                    let (x, l) = outputs[o].clone();
                    self.input(&format!("cells.{index:02}.input{i}"), x, l, target)
                })
                .collect();
            let [batch, channels, ..] = nodes[0].dims();
            let [d, h, w] = [0, 1, 2].map(|axis| {
                let strides = self.grids.0[..level].iter();
                strides.fold(PATCH[axis], |extent, stride| extent / stride[axis])
            });
            let mut edge = 0;
            for _ in 0..4 {
                let mut sum = Tensor::zeros([batch, channels, d, h, w], &nodes[0].device());
                for (source, x) in nodes.clone().into_iter().enumerate() {
                    let place = (level, letter == 'R' && source < 2);
                    for Entry { operation, z } in &mixture.architecture(arch)[edge] {
                        let operation = self.space.operations.get(*operation);
                        let name = format!("cells.{index:02}.edge{edge:02}.{operation}");
                        if let Some(y) = self.edge(&name, operation.kind, x.clone(), place) {
                            sum = sum + slow::add_scaled(None, y, z.clone());
                        }
                    }
                    edge += 1;
                }
                nodes.push(sum);
            }
            let mut y = Tensor::cat(nodes.split_off(2), 1);
            if self.space.residual {
                let (x, from) = outputs[newer].clone();
                y = y + self.shortcut(&format!("cells.{index:02}.shortcut"), x, from, level);
            }
            if let Some(skip) = skip {
                y = y + outputs[skip].0.clone();
            }
            outputs.push((y, level));
        }
        let logits = self.map("out", outputs[12].0.clone());
        if !self.space.maps {
            return logits;
        }
        // The last outputs of the decoder at 1/4 and 1/2 of the size.
        let [quarter, half] = match self.space.decoder_order {
            DecoderOrder::NormalFirst => [9, 11],
            DecoderOrder::ExpansionFirst => [8, 10],
        };
        let quarter = self.map("map.2", outputs[quarter].0.clone());
        let half = self.map("map.1", outputs[half].0.clone());
        let [to_half, to_quarter, _] = self.grids.0;
        logits + slow::upsample(half + slow::upsample(quarter, to_quarter), to_half)
    }

    fn map(&self, name: &str, x: Tensor<5>) -> Tensor<5> {
        let spec = ConvSpec { kernel: [1; 3], stride: [1; 3], slope: Some(SLOPE) };
        slow::conv3d(x, self.w(format!("{name}.weight")), spec) + self.w(format!("{name}.bias"))
    }

    fn shortcut(&self, name: &str, x: Tensor<5>, from: usize, to: usize) -> Tensor<5> {
        match to as isize - from as isize {
            0 => x,
            1 => self.conv(name, x, [1; 3], self.grids.0[from], Some(SLOPE)),
            _ => {
                let y = self.conv(name, x, [1; 3], [1; 3], Some(SLOPE));
                slow::upsample(y, self.grids.0[to])
            }
        }
    }
}

fn loss() -> LossTerms {
    "dice-cross-entropy".parse().unwrap()
}

fn device() -> Device {
    volops::device("cpu").unwrap()
}

fn random_values(len: usize, seed: u64) -> Vec<f32> {
    let mut r = rng(seed, Stream::WeightPatches, 0);
    (0..len).map(|_| r.random_range(-1.0..1.0)).collect()
}

fn random_alpha(space: &Space, seed: u64) -> Alpha {
    let mut alpha = Alpha::new(space, seed);
    let mut r = rng(seed, Stream::Alpha, 1);
    alpha.values_mut().for_each(|a| *a = r.random_range(-1.0..1.0));
    alpha
}

fn norms_off_their_start(weights: &mut Weights, seed: u64) {
    let ids: Vec<_> = weights
        .iter()
        .filter(|(_, w)| w.name.ends_with("gamma") || w.name.ends_with("beta"))
        .map(|(id, _)| id)
        .collect();
    for (i, id) in ids.into_iter().enumerate() {
        let shape = weights.value(id).dims();
        let values = random_values(shape[1], seed + i as u64)
            .iter()
            .map(|v| 1.0 + 0.3 * v)
            .collect::<Vec<f32>>();
        weights.set(id, Tensor::from_data(burn::tensor::TensorData::new(values, shape), &device()));
    }
}

fn largest_difference(a: &Tensor<5>, b: &Tensor<5>) -> f32 {
    (a.clone() - b.clone()).abs().max().into_scalar::<f32>()
}

#[test]
fn every_relaxation_order_upsampling_sharing_and_grid_agrees_with_the_reference_in_value_and_gradients()
 {
    let cases = [
        (Relaxation::Scnas, DecoderOrder::NormalFirst, Upsample::Transposed, Share::Type),
        (Relaxation::Full, DecoderOrder::NormalFirst, Upsample::Trilinear, Share::Type),
        (Relaxation::Proxyless, DecoderOrder::ExpansionFirst, Upsample::Transposed, Share::Cell),
        (Relaxation::Scnas, DecoderOrder::ExpansionFirst, Upsample::Trilinear, Share::Cell),
    ];
    for (seed, (relaxation, decoder_order, upsample, share)) in cases.into_iter().enumerate() {
        // Each wiring with both orders and with both upsamplings.
        let (residual, maps) = ([1, 3].contains(&seed), [0, 3].contains(&seed));
        let grids = if seed < 2 { CUBES } else { BY_AXIS };
        let seed = seed as u64;
        let space = Space { decoder_order, upsample, share, residual, maps, ..Space::paper() };
        let network = Network::supernet(&space, Size { grid: grid(grids), ..SIZE });
        let mut weights = Weights::new(&device(), seed, network.layout());
        norms_off_their_start(&mut weights, seed);
        let sample =
            random_alpha(&space, seed).sample(relaxation, 1.0, &mut rng(seed, Stream::Sampling, 0));
        let mixture = sample.mixture(&device(), true);

        let pass = Pass::new(&weights, Tape::Weights);
        let shape = [1, SIZE.channels, PATCH[0], PATCH[1], PATCH[2]];
        let x = pass.input(random_values(shape.iter().product(), seed), shape);
        let target: Vec<u8> = random_values(PATCH.iter().product(), seed + 9)
            .iter()
            .map(|v| ((v + 1.0) * 1.49) as u8)
            .collect();
        let fast = network.forward(&pass, x.clone(), &mixture);
        let mut fast_grads = Loss::of_tensor(loss(), &Target::Classes, &fast, &target, None)
            .attach(fast.clone())
            .backward();

        let leaves: BTreeMap<String, Tensor<5>> = weights
            .iter()
            .map(|(_, w)| (w.name.clone(), Tensor::from_inner(w.value.clone()).require_grad()))
            .collect();
        let reference = Reference { space: &space, grids, weights: leaves.clone() };
        let slow_mixture = sample.mixture(&device(), true);
        let slow = reference.forward(x, &slow_mixture);
        let mut slow_grads = Loss::of_tensor(loss(), &Target::Classes, &slow, &target, None)
            .attach(slow.clone())
            .backward();
        assert!(
            largest_difference(&fast.inner(), &slow.inner()) < 2e-3,
            "{relaxation:?} {decoder_order:?} {upsample:?}"
        );

        let operations = space.operations.len();
        let fast_alpha = sample.gradient(&mixture.take_gradients(&mut fast_grads), operations);
        let slow_alpha = sample.gradient(&slow_mixture.take_gradients(&mut slow_grads), operations);
        let scale = slow_alpha.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
        assert!(scale > 0.0);
        for (a, b) in fast_alpha.iter().zip(&slow_alpha) {
            assert!((a - b).abs() < 2e-3 * scale, "{relaxation:?}: dL/dα {a} against {b}");
        }
        let touched = pass.into_leaves();
        assert!(!touched.is_empty());
        for (id, leaf) in touched {
            let name = weights.name(id);
            let (a, b) =
                (leaf.grad_remove(&mut fast_grads), leaves[name].grad_remove(&mut slow_grads));
            let (Some(a), Some(b)) = (a, b) else { panic!("{name}: a gradient is missing") };
            let scale = b.clone().abs().max().into_scalar::<f32>().max(1e-4);
            assert!(largest_difference(&a, &b) < 2e-2 * scale, "{relaxation:?}: {name}");
        }
        assert!(
            leaves.values().all(|leaf| leaf.grad_remove(&mut slow_grads).is_none()),
            "the reference ran something else too"
        );
    }
}

fn supernet(space: &Space) -> (Network, Weights) {
    let network = Network::supernet(space, SIZE);
    let weights = Weights::new(&device(), 3, network.layout());
    (network, weights)
}

fn forward(network: &Network, weights: &Weights, mixture: &Mixture, tape: Tape) -> Tensor<5> {
    let shape = [1, SIZE.channels, PATCH[0], PATCH[1], PATCH[2]];
    let pass = Pass::new(weights, tape);
    let x = pass.input(random_values(shape.iter().product(), 1), shape);
    network.forward(&pass, x, mixture)
}

#[test]
fn only_the_sampled_operations_run() {
    let space = Space::paper();
    let (network, weights) = supernet(&space);
    let alpha = random_alpha(&space, 5);
    for tau in [5.0, 0.05] {
        let sample = alpha.sample(Relaxation::Scnas, tau, &mut rng(7, Stream::Sampling, 0));
        let zero = space.operations.index_of("zero").unwrap();
        let expected: usize = space
            .cells()
            .iter()
            .flat_map(|place| &sample.edges()[place.arch])
            .map(|edge| edge.active().iter().filter(|&&(op, _)| op != zero).count())
            .sum();
        let before = network.operations_run();
        forward(&network, &weights, &sample.mixture(&device(), false), Tape::Weights);
        assert_eq!(network.operations_run() - before, expected as u64);
        assert!(expected <= 2 * 14 * 12);
    }
}

#[test]
fn drop_path_weighs_every_operation_with_one_on_average_and_lets_identities_be() {
    let space = Space::paper();
    let identity = space.operations.index_of("identity").unwrap();
    let genotype = (0..)
        .map(|seed| Genotype::random(&space, seed))
        .find(|g| g.choices[0].contains(&identity))
        .unwrap();
    let draws = 1000;
    let mixtures: Vec<Mixture> = (0..draws)
        .map(|step| {
            Mixture::dropped(&genotype, 0.2, &device(), &mut rng(0, Stream::DropPath, step))
        })
        .collect();
    for arch in 0..space.architectures() {
        for (edge, &op) in genotype.choices[arch].iter().enumerate() {
            let of_edge = || mixtures.iter().map(|mixture| &mixture.architecture(arch)[edge]);
            assert!(of_edge().flatten().all(|entry| entry.operation == op));
            if op == identity {
                assert!(of_edge().all(|entries| entries.len() == 1 && entries[0].z.is_none()));
                continue;
            }
            let z = |entry: &Entry| entry.z.clone().unwrap().into_scalar::<f32>();
            // Of a standard error of a half in the square root of the number of draws.
            let mean = of_edge().flatten().map(z).sum::<f32>() / draws as f32;
            assert!((mean - 1.0).abs() < 5.0 * 0.5 / (draws as f32).sqrt(), "{mean}");
        }
    }
}

#[test]
#[should_panic(expected = "is not in here")]
fn a_fixed_network_refuses_to_run_operations_it_was_built_without() {
    let space = Space::paper();
    let [conv, pool] = ["conv3", "max3"].map(|op| Genotype::uniform(&space, op).unwrap());
    let network = Network::fixed(&conv, SIZE);
    let weights = Weights::new(&device(), 3, network.layout());
    forward(&network, &weights, &Mixture::of(&pool), Tape::Off);
}

#[test]
fn a_fixed_network_with_inherited_weights_is_the_search_network_with_that_architecture() {
    let space = Space::paper();
    let (network, weights) = supernet(&space);
    let genotype = Genotype::random(&space, 4);
    let mixture = Mixture::of(&genotype);
    let fixed = Network::fixed(&genotype, SIZE);
    let mut own = Weights::new(&device(), 99, fixed.layout());
    assert!(own.inherit(&weights).is_empty());
    let (a, b) = (
        forward(&network, &weights, &mixture, Tape::Off),
        forward(&fixed, &own, &mixture, Tape::Off),
    );
    assert_eq!(largest_difference(&a, &b), 0.0);
}

#[test]
fn the_gradient_of_alpha_through_the_network_is_that_of_finite_differences() {
    let space = Space::paper();
    let (network, weights) = supernet(&space);
    let alpha = random_alpha(&space, 6);
    let target: Vec<u8> =
        random_values(PATCH.iter().product(), 2).iter().map(|v| ((v + 1.0) * 1.49) as u8).collect();
    for relaxation in [Relaxation::Scnas, Relaxation::Full, Relaxation::Proxyless] {
        let draw = |alpha: &Alpha| -> Sample {
            alpha.sample(relaxation, 1.0, &mut rng(8, Stream::Sampling, 1))
        };
        let loss = |alpha: &Alpha, tape| {
            let sample = draw(alpha);
            let mixture = sample.mixture(&device(), tape == Tape::Architecture);
            let logits = forward(&network, &weights, &mixture, tape);
            let loss = Loss::of_tensor(loss(), &Target::Classes, &logits, &target, None);
            (sample, mixture, logits, loss)
        };
        let (sample, mixture, logits, value) = loss(&alpha, Tape::Architecture);
        let gradient = sample.gradient(
            &mixture.take_gradients(&mut value.attach(logits).backward()),
            space.operations.len(),
        );
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        // Along the gradient itself the slope is its norm.
        let h = 0.02;
        let along = |sign: f64| {
            let mut moved = alpha.clone();
            moved.values_mut().zip(&gradient).for_each(|(a, g)| *a += sign * h * g / norm);
            assert!(
                same_operations(&draw(&moved), &sample),
                "the step must not change what is drawn"
            );
            loss(&moved, Tape::Weights).3.value
        };
        let slope = (along(1.0) - along(-1.0)) / (2.0 * h);
        assert!((slope - norm).abs() < 0.05 * norm, "{relaxation:?}: {slope} against {norm}");
    }
}

fn random_batch() -> Batch {
    let shape = [1, SIZE.channels, PATCH[0], PATCH[1], PATCH[2]];
    let image = random_values(shape.iter().product(), 3);
    let classes =
        random_values(PATCH.iter().product(), 4).iter().map(|v| ((v + 1.0) * 1.49) as u8).collect();
    Batch { image, classes, shape }
}

/// The slope of the loss along the gradient of the weights that are `moved` is its norm.
fn assert_gradient(
    weights: &Weights,
    moved: impl Fn(&str) -> bool,
    at: impl Fn(&Weights) -> LossGradients,
) {
    let found = at(weights);
    let own: Vec<_> = weights.iter().filter(|(_, w)| moved(&w.name)).map(|(id, _)| id).collect();
    let norm = own
        .iter()
        .map(|id| found.weights[id].clone().powi_scalar(2).sum().into_scalar::<f32>())
        .sum::<f32>()
        .sqrt();
    let h = 0.02;
    let along = |sign: f32| {
        let mut moved = weights.clone();
        for &id in &own {
            moved.set(
                id,
                weights.value(id).clone() + found.weights[&id].clone().mul_scalar(sign * h / norm),
            );
        }
        at(&moved).loss
    };
    let slope = (along(1.0) - along(-1.0)) / f64::from(2.0 * h);
    let norm = f64::from(norm);
    assert!(norm > 0.0 && (slope - norm).abs() < 0.02 * norm, "{slope} against {norm}");
}

#[test]
fn the_gradient_under_deep_supervision_is_that_of_finite_differences_and_reaches_all_its_weights() {
    let genotype = Genotype::random(&Space::paper(), 4);
    let mixture = Mixture::of(&genotype);
    let network = Network::fixed(&genotype, SIZE);
    let mut weights = Weights::new(&device(), 3, network.layout());
    let supervision = DeepSupervision::new(&network, SIZE, &mut weights);
    let batch = random_batch();
    assert_eq!(weights.iter().filter(|(_, w)| w.name.starts_with("supervision")).count(), 4);
    // The weights that only the additional outputs use.
    assert_gradient(
        &weights,
        |name| name.starts_with("supervision"),
        |weights| {
            let (loss, supervision, target) = (loss(), Some(&supervision), &Target::Classes);
            Backprop {
                network: &network,
                weights,
                loss,
                target,
                lesson: None,
                supervision,
                recompute: false,
            }
            .gradients(Tape::Weights, &batch, &mixture)
        },
    );
}

#[test]
fn gradients_of_shortcuts_and_class_maps_are_those_of_finite_differences_however_they_are_taken() {
    let space = Space { residual: true, maps: true, ..Space::paper() };
    let genotype = Genotype::random(&space, 4);
    let mixture = Mixture::of(&genotype);
    let size = Size { grid: grid(BY_AXIS), ..SIZE };
    let network = Network::fixed(&genotype, size);
    let mut weights = Weights::new(&device(), 3, network.layout());
    let supervision = DeepSupervision::new(&network, size, &mut weights);
    let batch = random_batch();
    for (part, count) in [("shortcut", 3 * 6), ("map.", 4)] {
        let is_of = |name: &str| name.contains(part);
        assert_eq!(weights.iter().filter(|(_, w)| is_of(&w.name)).count(), count);
        for (supervision, recompute) in [(None, false), (None, true), (Some(&supervision), true)] {
            assert_gradient(&weights, is_of, |weights| {
                let (loss, target) = (loss(), &Target::Classes);
                Backprop {
                    network: &network,
                    weights,
                    loss,
                    target,
                    lesson: None,
                    supervision,
                    recompute,
                }
                .gradients(Tape::Weights, &batch, &mixture)
            });
        }
    }
}

#[test]
fn class_maps_that_are_added_up_start_small_and_a_single_one_does_not() {
    let spread = |maps: bool| {
        let genotype = Genotype::random(&Space { maps, ..Space::paper() }, 4);
        let network = Network::fixed(&genotype, Size { width: 64, ..SIZE });
        let weights = Weights::new(&device(), 3, network.layout());
        let (_, map) = weights.iter().find(|(_, w)| w.name == "out.weight").unwrap();
        map.value.clone().powi_scalar(2).mean().sqrt().into_scalar::<f32>()
    };
    assert!((5.0 * spread(true) - spread(false)).abs() < 1e-3 * spread(false));
}

#[test]
fn a_prediction_with_flips_of_a_mirrored_image_is_the_mirrored_prediction_and_one_without_is_not() {
    let genotype = Genotype::random(&Space::paper(), 4);
    let mixture = Mixture::of(&genotype);
    let network = Network::fixed(&genotype, SIZE);
    let weights = Weights::new(&device(), 3, network.layout());
    let difference = |flips, mirror| {
        let settings =
            PredictConfig { overlap: 0.5, blend: Blend::Uniform, flips, largest_component: vec![] };
        let predictor = Predictor {
            network: &network,
            weights: &weights,
            mixture: &mixture,
            patch: PATCH,
            classes: SIZE.classes,
            target: &Target::Classes,
            settings,
            mirror,
        };
        let mut image = random_values(SIZE.channels * PATCH.iter().product::<usize>(), 5);
        let mut straight = predictor.score(image.clone()).unwrap();
        flip(&mut image, PATCH, [true, false, true]);
        flip(&mut straight, PATCH, [true, false, true]);
        let mirrored = predictor.score(image).unwrap();
        straight.iter().zip(&mirrored).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(difference(true, [true; 3]) < 1e-4);
    assert!(difference(true, [true, false, true]) < 1e-4);
    assert!(difference(false, [true; 3]) > 1e-2);
    // Along an axis that must not be mirrored, an image and its mirror image stay apart.
    assert!(difference(true, [true, true, false]) > 1e-2);
}

#[test]
fn running_cells_again_gives_the_gradients_of_keeping_what_they_computed() {
    for (seed, decoder_order) in
        [DecoderOrder::NormalFirst, DecoderOrder::ExpansionFirst].into_iter().enumerate()
    {
        let maps = decoder_order == DecoderOrder::ExpansionFirst;
        let space = Space { decoder_order, residual: true, maps, ..Space::paper() };
        let (network, mut weights) = supernet(&space);
        let supervision = DeepSupervision::new(&network, SIZE, &mut weights);
        let sample = random_alpha(&space, 8).sample(
            Relaxation::Scnas,
            1.0,
            &mut rng(seed as u64, Stream::Sampling, 2),
        );
        let batch = random_batch();
        for (tape, supervision) in
            [(Tape::Weights, None), (Tape::Architecture, None), (Tape::Weights, Some(&supervision))]
        {
            let mixture = sample.mixture(&device(), tape == Tape::Architecture);
            let with = |recompute| {
                let loss = loss();
                let (weights, target) = (&weights, &Target::Classes);
                Backprop {
                    network: &network,
                    weights,
                    loss,
                    target,
                    lesson: None,
                    supervision,
                    recompute,
                }
                .gradients(tape, &batch, &mixture)
            };
            let (kept, again) = (with(false), with(true));
            assert!((kept.loss - again.loss).abs() < 1e-12);
            assert!(kept.weights.keys().eq(again.weights.keys()));
            assert_eq!(kept.weights.is_empty(), tape == Tape::Architecture);
            for (id, g) in &kept.weights {
                let scale = g.clone().abs().max().into_scalar::<f32>().max(1e-4);
                assert!(
                    largest_difference(g, &again.weights[id]) < 1e-3 * scale,
                    "{}",
                    weights.name(*id)
                );
            }
            let z = |found: &LossGradients| -> Vec<f64> {
                found.mixture.edges().flatten().map(|entry| entry.by_z).collect()
            };
            let (kept, again) = (z(&kept), z(&again));
            let scale = kept.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
            assert_eq!(scale > 0.0, tape == Tape::Architecture);
            assert!(kept.iter().zip(&again).all(|(a, b)| (a - b).abs() <= 1e-4 * scale));
        }
    }
}

fn same_operations(a: &Sample, b: &Sample) -> bool {
    let ops = |s: &Sample| -> Vec<Vec<usize>> {
        s.edges().iter().map(|e| e.active().iter().map(|&(op, _)| op).collect()).collect()
    };
    ops(a) == ops(b)
}
