//! What runs of a network, and what does not.

use medvol::Target;
use medvol::augment::flip;
use medvol::stitch::Blend;
use scnas::learn::relaxation::Relaxation;
use scnas::network::cells::Network;
use scnas::network::mixture::{Entry, Mixture};
use scnas::network::size::Size;
use scnas::network::weights::{Tape, Weights};
use scnas::predict::windows::Predictor;
use scnas::random::{Stream, rng};
use scnas::settings::PredictConfig;
use scnas::space::genotype::Genotype;
use scnas::space::topology::Space;

use super::{
    PATCH, SIZE, device, forward, largest_difference, random_alpha, random_values, supernet,
};

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
