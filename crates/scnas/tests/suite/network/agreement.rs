//! A search network against the reference, in value and gradients.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use medvol::Target;
use scnas::learn::loss::Attached;
use scnas::learn::relaxation::Relaxation;
use scnas::network::cells::Network;
use scnas::network::size::Size;
use scnas::network::weights::{Pass, Tape, Weights};
use scnas::random::{Stream, rng};
use scnas::ranks::Alone;
use scnas::space::topology::{DecoderOrder, Share, Space, Upsample};

use super::reference::Reference;
use super::{
    BY_AXIS, CUBES, PATCH, SIZE, device, grid, largest_difference, loss, off_their_start,
    random_alpha, random_classes, random_values,
};

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
        off_their_start(&mut weights, seed);
        let sample =
            random_alpha(&space, seed).sample(relaxation, 1.0, &mut rng(seed, Stream::Sampling, 0));
        let mixture = sample.mixture(&device(), true);

        let pass = Pass::new(&weights, Tape::Weights);
        let shape = [1, SIZE.channels, PATCH[0], PATCH[1], PATCH[2]];
        let x = pass.input(random_values(shape.iter().product(), seed), shape);
        let target = random_classes(seed + 9);
        let fast = network.forward(&pass, x.clone(), &mixture);
        let mut fast_grads =
            Attached::new(loss(), &Target::Classes, fast.clone(), &target, None, &Alone)
                .scalar
                .backward();

        let leaves: BTreeMap<String, Tensor<5>> = weights
            .iter()
            .map(|(_, w)| (w.name.clone(), Tensor::from_inner(w.value.clone()).require_grad()))
            .collect();
        let reference = Reference { space: &space, grids, weights: leaves.clone() };
        let slow_mixture = sample.mixture(&device(), true);
        let slow = reference.forward(x, &slow_mixture);
        let mut slow_grads =
            Attached::new(loss(), &Target::Classes, slow.clone(), &target, None, &Alone)
                .scalar
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
