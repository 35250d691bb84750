//! Gradients against finite differences, and those of cells that run again against those of cells
//! that are kept.

use medvol::Target;
use scnas::learn::backprop::{Backprop, LossGradients};
use scnas::learn::deep_supervision::DeepSupervision;
use scnas::learn::loss::Attached;
use scnas::learn::relaxation::{Alpha, Relaxation, Sample};
use scnas::network::cells::Network;
use scnas::network::mixture::Mixture;
use scnas::network::size::Size;
use scnas::network::weights::{Tape, Weights};
use scnas::random::{Stream, rng};
use scnas::ranks::Alone;
use scnas::space::genotype::Genotype;
use scnas::space::topology::{DecoderOrder, Space};

use super::{
    BY_AXIS, SIZE, device, forward, grid, largest_difference, loss, random_alpha, random_batch,
    random_classes, supernet,
};

#[test]
fn the_gradient_of_alpha_through_the_network_is_that_of_finite_differences() {
    let space = Space::paper();
    let (network, weights) = supernet(&space);
    let alpha = random_alpha(&space, 6);
    let target = random_classes(2);
    for relaxation in [Relaxation::Scnas, Relaxation::Full, Relaxation::Proxyless] {
        let draw = |alpha: &Alpha| -> Sample {
            alpha.sample(relaxation, 1.0, &mut rng(8, Stream::Sampling, 1))
        };
        let loss = |alpha: &Alpha, tape| {
            let sample = draw(alpha);
            let mixture = sample.mixture(&device(), tape == Tape::Architecture);
            let logits = forward(&network, &weights, &mixture, tape);
            let loss = Attached::new(loss(), &Target::Classes, logits, &target, None, &Alone);
            (sample, mixture, loss)
        };
        let (sample, mixture, value) = loss(&alpha, Tape::Architecture);
        let gradient = sample.gradient(
            &mixture.take_gradients(&mut value.scalar.backward()),
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
            loss(&moved, Tape::Weights).2.value.read()
        };
        let slope = (along(1.0) - along(-1.0)) / (2.0 * h);
        assert!((slope - norm).abs() < 0.05 * norm, "{relaxation:?}: {slope} against {norm}");
    }
}

/// How gradients of the loss of classes are taken.
fn backprop<'a>(
    network: &'a Network,
    weights: &'a Weights,
    supervision: Option<&'a DeepSupervision>,
    recompute: bool,
) -> Backprop<'a> {
    let (loss, target, lesson) = (loss(), &Target::Classes, None);
    Backprop { network, weights, loss, target, lesson, supervision, recompute, ranks: &Alone }
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
            backprop(&network, weights, Some(&supervision), false).gradients(
                Tape::Weights,
                &batch,
                &mixture,
            )
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
                backprop(&network, weights, supervision, recompute).gradients(
                    Tape::Weights,
                    &batch,
                    &mixture,
                )
            });
        }
    }
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
                backprop(&network, &weights, supervision, recompute)
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
