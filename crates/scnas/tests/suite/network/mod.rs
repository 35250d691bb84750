//! Networks against slow references, wired by hand, every operation a composition of stock Burn
//! ones; their gradients against finite differences.

mod agreement;
mod gradients;
mod reference;
mod running;
mod u_resnet;

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt as _;
use scnas::learn::batch::Batch;
use scnas::learn::loss::LossTerms;
use scnas::learn::relaxation::Alpha;
use scnas::network::cells::Network;
use scnas::network::mixture::Mixture;
use scnas::network::size::Size;
use scnas::network::weights::{Pass, Tape, Weights};
use scnas::random::{Stream, rng};
use scnas::space::grid::Grid;
use scnas::space::topology::Space;

const SIZE: Size = Size::isotropic(2, 3, 8);
const PATCH: [usize; 3] = [16, 24, 16];

/// Strides to levels 1, 2, 3, and extents of kernels at levels 0 to 3.
type Grids = ([[usize; 3]; 3], [[usize; 3]; 4]);

const CUBES: Grids = ([[2; 3]; 3], [[3; 3]; 4]);
const BY_AXIS: Grids =
    ([[1, 2, 2], [2, 2, 2], [2, 1, 2]], [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]]);

fn grid((strides, kernels): Grids) -> Grid {
    serde_json::from_value(serde_json::json!({ "strides": strides, "kernels": kernels })).unwrap()
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

/// Norms and biases start at 1 and 0, where mistakes in them do not show.
fn off_their_start(weights: &mut Weights, seed: u64) {
    let is_scale = |name: &str| ["gamma", "beta", "bias"].iter().any(|end| name.ends_with(end));
    let ids: Vec<_> = weights.iter().filter(|(_, w)| is_scale(&w.name)).map(|(id, _)| id).collect();
    for (i, id) in ids.into_iter().enumerate() {
        let shape = weights.value(id).dims();
        let values = random_values(shape[1], seed + i as u64);
        let values = values.iter().map(|v| 1.0 + 0.3 * v).collect::<Vec<f32>>();
        weights.set(id, Tensor::from_data(TensorData::new(values, shape), &device()));
    }
}

fn largest_difference(a: &Tensor<5>, b: &Tensor<5>) -> f32 {
    (a.clone() - b.clone()).abs().max().into_scalar::<f32>()
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

/// Classes of the voxels of a patch.
fn random_classes(seed: u64) -> Vec<u8> {
    random_values(PATCH.iter().product(), seed).iter().map(|v| ((v + 1.0) * 1.49) as u8).collect()
}

fn random_batch() -> Batch {
    let shape = [1, SIZE.channels, PATCH[0], PATCH[1], PATCH[2]];
    Batch { image: random_values(shape.iter().product(), 3), classes: random_classes(4), shape }
}
