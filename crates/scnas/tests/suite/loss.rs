//! The loss of classes and of regions, with and without ignored voxels: against an independent
//! program, finite differences, and laws.

use medvol::{ClassMap, Region, Target};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use scnas::learn::loss::{Loss, LossTerms};
use serde::Deserialize;

const LOSSES: [&str; 3] = ["dice", "cross-entropy", "dice-cross-entropy"];
const IGNORED: u8 = ClassMap::IGNORED;

/// Regions of classes, each written as its first.
fn regions(sets: &[Vec<u8>]) -> Target {
    let region =
        |set: &Vec<u8>| Region { name: String::new(), classes: set.clone(), written: set[0] };
    Target::Regions(sets.iter().map(region).collect())
}

/// Regions that hold each other, overlap, and one apart; of five classes.
fn targets() -> [Target; 2] {
    [Target::Classes, regions(&[vec![1, 2, 3], vec![2, 3], vec![3, 4], vec![4]])]
}

fn terms(loss: &str) -> LossTerms {
    loss.parse().unwrap()
}

/// Logits of five classes or four regions, and classes of which some are ignored.
fn random(seed: u64, target: &Target, batch: usize, voxels: usize) -> (Vec<f32>, Vec<u8>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let logits =
        (0..batch * target.outputs(5) * voxels).map(|_| rng.random_range(-2.0..2.0)).collect();
    let class = |_| if rng.random_bool(0.3) { IGNORED } else { rng.random_range(0..5) };
    (logits, (0..batch * voxels).map(class).collect())
}

fn loss(loss: &str, target: &Target, logits: &[f32], classes: &[u8], batch: usize) -> Loss {
    Loss::new(terms(loss), target, logits, classes, batch, target.outputs(5))
}

#[derive(Deserialize)]
struct Fixture {
    loss: String,
    regions: Option<Vec<Vec<u8>>>,
    batch: usize,
    logits: Vec<f32>,
    classes: Vec<u8>,
    value: f64,
    gradient: Vec<f64>,
}

#[test]
fn values_and_gradients_are_those_of_an_independent_program() {
    let fixtures: Vec<Fixture> =
        serde_json::from_str(include_str!("../fixtures/loss.json")).unwrap();
    assert_eq!(fixtures.len(), 12);
    for f in fixtures {
        let target = f.regions.as_deref().map_or(Target::Classes, regions);
        let found = loss(&f.loss, &target, &f.logits, &f.classes, f.batch);
        assert!((found.value - f.value).abs() < 1e-6, "{}: {} {}", f.loss, found.value, f.value);
        for (i, (found, expected)) in found.gradient.iter().zip(&f.gradient).enumerate() {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-7,
                "{} {i}: {found} {expected}",
                f.loss
            );
        }
    }
}

#[test]
fn the_gradient_is_that_of_finite_differences() {
    for target in targets() {
        let (logits, classes) = random(1, &target, 2, 13);
        for name in LOSSES {
            let gradient = loss(name, &target, &logits, &classes, 2).gradient;
            for i in 0..logits.len() {
                let at = |h: f32| {
                    let mut moved = logits.clone();
                    moved[i] += h;
                    loss(name, &target, &moved, &classes, 2).value
                };
                let numeric = (at(1e-2) - at(-1e-2)) / 2e-2;
                assert!((f64::from(gradient[i]) - numeric).abs() < 2e-5, "{target:?} {name} {i}");
            }
        }
    }
}

#[test]
fn whatever_is_said_of_ignored_voxels_changes_neither_loss_nor_gradient_which_is_zero_there() {
    for target in targets() {
        let (voxels, outputs) = (5000, target.outputs(5));
        let (logits, classes) = random(2, &target, 2, voxels);
        let is_ignored =
            |i: usize| classes[i / (outputs * voxels) * voxels + i % voxels] == IGNORED;
        for anything in [1e30, -1e30, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.3] {
            let mut other = logits.clone();
            for (i, s) in other.iter_mut().enumerate().filter(|(i, _)| is_ignored(*i)) {
                *s = if i % 3 == 0 { anything } else { -anything };
            }
            for name in LOSSES {
                let (before, after) = (
                    loss(name, &target, &logits, &classes, 2),
                    loss(name, &target, &other, &classes, 2),
                );
                assert_eq!(before.value.to_bits(), after.value.to_bits(), "{name} {anything}");
                assert_eq!(before.gradient, after.gradient, "{name} {anything}");
                let at_ignored = after.gradient.iter().enumerate().filter(|(i, _)| is_ignored(*i));
                assert!(at_ignored.clone().count() > 0);
                assert!(at_ignored.clone().all(|(_, g)| *g == 0.0), "{name}");
            }
        }
    }
}

#[test]
fn an_ignored_voxel_is_as_one_that_is_not_there() {
    for target in targets() {
        let (voxels, outputs) = (300, target.outputs(5));
        let (logits, classes) = random(3, &target, 1, voxels);
        let known: Vec<usize> = (0..voxels).filter(|&v| classes[v] != IGNORED).collect();
        let cut: Vec<f32> = (0..outputs)
            .flat_map(|c| known.iter().map(move |&v| (c, v)))
            .map(|(c, v)| logits[c * voxels + v])
            .collect();
        let of_cut: Vec<u8> = known.iter().map(|&v| classes[v]).collect();
        for name in LOSSES {
            let whole = loss(name, &target, &logits, &classes, 1);
            let without = loss(name, &target, &cut, &of_cut, 1);
            assert!((whole.value - without.value).abs() < 1e-9, "{name}");
            for (c, row) in without.gradient.chunks(known.len()).enumerate() {
                for (g, v) in row.iter().zip(&known) {
                    assert!((g - whole.gradient[c * voxels + v]).abs() < 1e-9, "{name}");
                }
            }
        }
    }
}

#[test]
fn of_nothing_but_ignored_voxels_nothing_is_learnt() {
    for target in targets() {
        let (logits, _) = random(4, &target, 1, 40);
        for name in LOSSES {
            let found = loss(name, &target, &logits, &[IGNORED; 40], 1);
            assert_eq!(found.value, 0.0, "{target:?} {name}");
            assert!(found.gradient.iter().all(|&g| g == 0.0), "{target:?} {name}");
        }
    }
}

#[test]
fn a_region_absent_from_the_batch_has_no_part_in_dice_and_is_taught_to_be_absent_by_cross_entropy()
{
    let target = regions(&[vec![1, 2], vec![2]]);
    let logits: Vec<f32> = (0..20).map(|i| (i % 7) as f32 / 3.0 - 1.0).collect();
    let classes = [0, 1, 1, 0, 0, 1, 0, 0, 0, 1];
    let of_absent = |name: &str| {
        let found = Loss::new(terms(name), &target, &logits, &classes, 1, 2);
        found.gradient[10..].to_vec()
    };
    assert!(of_absent("dice").iter().all(|&g| g == 0.0));
    assert!(of_absent("cross-entropy").iter().all(|&g| g > 0.0));
}

#[test]
fn regions_are_judged_by_the_right_logits_alone() {
    let [_, target] = targets();
    let (_, classes) = random(5, &target, 1, 200);
    let Target::Regions(all) = &target else { unreachable!() };
    let said = |sure: f32| -> Vec<f32> {
        let holds = |r: &Region, class: u8| class != IGNORED && r.holds(class);
        all.iter()
            .flat_map(|r| classes.iter().map(move |&c| if holds(r, c) { sure } else { -sure }))
            .collect()
    };
    assert!(loss(LOSSES[2], &target, &said(20.0), &classes, 1).value < 1e-4);
    assert!(loss(LOSSES[0], &target, &said(-20.0), &classes, 1).value > 0.99);
}

#[test]
fn however_sure_regions_are_no_gradient_is_near_the_end_of_the_range_of_f32() {
    let [_, target] = targets();
    let (logits, classes) = random(6, &target, 1, 5000);
    for name in LOSSES {
        for factor in (0..=8).map(|power| 10.0_f32.powi(power)) {
            let logits: Vec<f32> = logits.iter().map(|s| s * factor).collect();
            let found = loss(name, &target, &logits, &classes, 1);
            assert!(found.value.is_finite());
            assert!(
                found.gradient.iter().all(|&g| g == 0.0 || g.abs() >= 1e-18),
                "{name} {factor}"
            );
        }
    }
}

#[test]
fn the_loss_of_regions_is_the_same_for_any_number_of_threads() {
    let [_, target] = targets();
    let (logits, classes) = random(7, &target, 2, 10_000);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| loss(LOSSES[2], &target, &logits, &classes, 2))
    };
    let (one, three) = (run(1), run(3));
    assert_eq!(one.value.to_bits(), three.value.to_bits());
    assert_eq!(one.gradient, three.gradient);
}
