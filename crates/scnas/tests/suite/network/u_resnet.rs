//! The U-ResNet against a slow reference, wired by hand from stock Burn operations; and as a model
//! of its own.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, activation::sigmoid};
use medvol::Target;
use scnas::learn::backprop::Backprop;
use scnas::learn::batch::Batch;
use scnas::learn::loss::Attached;
use scnas::network::architecture::Architecture;
use scnas::network::mixture::Mixture;
use scnas::network::size::Size;
use scnas::network::weights::{Pass, Tape, Weights};
use scnas::ranks::Alone;
use scnas::settings::Config;
use scnas::space::operation::SLOPE;
use scnas::store::model::{Card, Model};
use volops::ConvSpec;
use volops::composition as slow;

use crate::made_up;

use super::{
    BY_AXIS, CUBES, Grids, PATCH, SIZE, device, grid, largest_difference, loss, off_their_start,
    random_batch,
};

struct Reference(BTreeMap<String, Tensor<5>>, Grids);

impl Reference {
    fn w(&self, name: &str) -> Tensor<5> {
        self.0[name].clone()
    }

    fn norm(&self, name: &str, y: Tensor<5>) -> Tensor<5> {
        slow::instance_norm(y, self.w(&format!("{name}.gamma")), self.w(&format!("{name}.beta")))
    }

    fn conv(&self, name: &str, x: Tensor<5>, kernel: [usize; 3], stride: [usize; 3]) -> Tensor<5> {
        let spec = ConvSpec { kernel, stride, slope: (name != "stem").then_some(SLOPE) };
        self.norm(name, slow::conv3d(x, self.w(&format!("{name}.weight")), spec))
    }

    fn map(&self, name: &str, x: Tensor<5>) -> Tensor<5> {
        let spec = ConvSpec { kernel: [1; 3], stride: [1; 3], slope: Some(SLOPE) };
        slow::conv3d(x, self.w(&format!("{name}.weight")), spec) + self.w(&format!("{name}.bias"))
    }

    /// A convolution of a residual block.
    fn part(&self, name: &str, x: Tensor<5>, level: usize) -> Tensor<5> {
        self.conv(name, x, self.1.1[level], [1; 3])
    }

    fn two(&self, name: &str, x: Tensor<5>, level: usize) -> Tensor<5> {
        let y = self.part(&format!("{name}.conv0"), x.clone(), level);
        x + self.part(&format!("{name}.conv1"), y, level)
    }

    fn down(&self, level: usize, x: Tensor<5>) -> Tensor<5> {
        let name = format!("encoder.{level}");
        let (strides, kernels) = self.1;
        let x = self.conv(&format!("{name}.down"), x, kernels[level], strides[level - 1]);
        self.two(&name, x, level)
    }

    fn decode(&self, level: usize, skip: Tensor<5>, y: Tensor<5>) -> (Tensor<5>, Tensor<5>) {
        let name = format!("decoder.{level}");
        let (stride, kernel) = (self.1.0[level], self.1.1[level]);
        let signal = self.conv(&format!("{name}.gate.signal"), y.clone(), [1; 3], [1; 3]);
        let gate = sigmoid(self.map(
            &format!("{name}.gate.psi"),
            slow::upsample(signal, stride)
                + self.conv(&format!("{name}.gate.skip"), skip.clone(), [1; 3], [1; 3]),
        ));
        let spec = ConvSpec { kernel, stride, slope: Some(SLOPE) };
        let up = slow::conv_transpose3d(y, self.w(&format!("{name}.up.weight")), spec);
        let y = self.norm(&format!("{name}.up"), up) + skip * gate;
        let y = if level == 0 {
            self.two(&name, y, level)
        } else {
            y.clone() + self.part(&format!("{name}.conv0"), y, level)
        };
        (self.map(&format!("{name}.map"), y.clone()), y)
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let full = self.two("encoder.0", self.part("stem", x, 0), 0);
        let half = self.down(1, full.clone());
        let quarter = self.down(2, half.clone());
        let eighth = self.down(3, quarter.clone());
        let (map2, y) = self.decode(2, quarter, eighth);
        let (map1, y) = self.decode(1, half, y);
        let (map0, _) = self.decode(0, full, y);
        let [to_half, to_quarter, _] = self.1.0;
        map0 + slow::upsample(map1 + slow::upsample(map2, to_quarter), to_half)
    }
}

#[test]
fn the_u_resnet_agrees_with_the_reference_in_value_and_in_the_gradients_of_all_its_weights() {
    for grids in [CUBES, BY_AXIS] {
        agrees(grids);
    }
}

fn agrees(grids: Grids) {
    let network = Architecture::UResNet.build(Size { grid: grid(grids), ..SIZE });
    let mut weights = Weights::new(&device(), 4, network.layout());
    off_their_start(&mut weights, 0);
    let batch = random_batch();

    let pass = Pass::new(&weights, Tape::Off);
    let fast =
        network.forward(&pass, pass.input(batch.image.clone(), batch.shape), &Mixture::none());
    let leaves: BTreeMap<String, Tensor<5>> = weights
        .iter()
        .map(|(_, w)| (w.name.clone(), Tensor::from_inner(w.value.clone()).require_grad()))
        .collect();
    let taped = Pass::new(&weights, Tape::Weights);
    let slow =
        Reference(leaves.clone(), grids).forward(taped.input(batch.image.clone(), batch.shape));
    assert_eq!(fast.dims(), [1, SIZE.classes, PATCH[0], PATCH[1], PATCH[2]]);
    assert!(largest_difference(&fast, &slow.clone().inner()) < 2e-3);

    let mut slow_grads =
        Attached::new(loss(), &Target::Classes, slow, &batch.classes, None, &Alone)
            .scalar
            .backward();
    let gradients = |recompute| {
        let loss = loss();
        Backprop {
            network: network.as_ref(),
            weights: &weights,
            loss,
            target: &Target::Classes,
            lesson: None,
            supervision: None,
            recompute,
            ranks: &Alone,
        }
        .gradients(Tape::Weights, &batch, &Mixture::none())
    };
    let found = gradients(false);
    assert_eq!(found.weights.len(), leaves.len());
    for (id, g) in &found.weights {
        let name = weights.name(*id);
        let reference = leaves[name].grad_remove(&mut slow_grads).unwrap();
        let scale = reference.clone().abs().max().into_scalar::<f32>().max(1e-4);
        assert!(largest_difference(g, &reference) < 2e-2 * scale, "{name}");
    }
    // It has no cells to run again, and is asked to all the same.
    let again = gradients(true);
    assert!(found.weights.iter().all(|(id, g)| largest_difference(g, &again.weights[id]) == 0.0));
}

/// The slope of the loss along the gradient of all weights is its norm.
#[test]
fn gradients_of_other_networks_of_the_family_are_those_of_finite_differences() {
    for text in [
        r#"{"u": {"channels": [6, 10, 16, 20], "encoder": [1, 2, 3, 1], "gates": false}}"#,
        r#"{"u": {"channels": [8, 8, 8, 8], "block": "plain", "maps": false, "upsample": "trilinear"}}"#,
        r#"{"u": {"channels": [4, 8, 16, 32], "decoder": [3, 2, 1], "block": "separable"}}"#,
    ] {
        let architecture: Architecture = serde_json::from_str(text).unwrap();
        for grids in [CUBES, BY_AXIS] {
            let network = architecture.build(Size { grid: grid(grids), ..SIZE });
            let mut weights = Weights::new(&device(), 4, network.layout());
            off_their_start(&mut weights, 0);
            let batch = random_batch();
            let at = |weights: &Weights| {
                let (network, loss) = (network.as_ref(), loss());
                let target = &Target::Classes;
                Backprop {
                    network,
                    weights,
                    loss,
                    target,
                    lesson: None,
                    supervision: None,
                    recompute: false,
                    ranks: &Alone,
                }
                .gradients(Tape::Weights, &batch, &Mixture::none())
            };
            let found = at(&weights);
            assert_eq!(found.weights.len(), weights.count());
            let squares = found.weights.values().map(|g| g.clone().powi_scalar(2).sum());
            let norm = squares.map(|s| s.into_scalar::<f32>()).sum::<f32>().sqrt();
            let h = 0.01;
            let along = |sign: f32| {
                let mut moved = weights.clone();
                for (&id, g) in &found.weights {
                    let step = g.clone().mul_scalar(sign * h / norm);
                    moved.set(id, weights.value(id).clone() + step);
                }
                at(&moved).loss
            };
            let slope = (along(1.0) - along(-1.0)) / f64::from(2.0 * h);
            let norm = f64::from(norm);
            assert!((slope - norm).abs() < 0.05 * norm, "{text}: {slope} against {norm}");
        }
    }
}

#[test]
fn the_gradients_of_the_u_resnet_do_not_depend_on_the_number_of_threads() {
    let network = Architecture::UResNetHalf.build(SIZE);
    let weights = Weights::new(&device(), 4, network.layout());
    let gradients = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let backprop = Backprop {
            network: network.as_ref(),
            weights: &weights,
            loss: loss(),
            target: &Target::Classes,
            lesson: None,
            supervision: None,
            recompute: false,
            ranks: &Alone,
        };
        let found =
            pool.install(|| backprop.gradients(Tape::Weights, &random_batch(), &Mixture::none()));
        found
            .weights
            .into_values()
            .map(|g| g.into_data().try_to_vec::<f32>().unwrap())
            .collect::<Vec<_>>()
    };
    assert!(gradients(1) == gradients(2));
}

#[test]
fn a_written_u_resnet_is_read_back_and_scores_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let label = |value| medvol::Label { value, name: value.to_string() };
    let plan = made_up::plan(2, [0, 1, 2].map(label).to_vec(), PATCH);
    let predict = Config::load("default", None, &[]).unwrap().predict;
    for architecture in [Architecture::UResNet, Architecture::UResNetHalf] {
        let model = Model::new(
            Card::new(architecture.clone(), SIZE, plan.clone(), predict.clone()),
            &device(),
            7,
        );
        model.write(&path).unwrap();
        let again = Model::read(&path, &device()).unwrap();
        assert_eq!(again.card.architecture, architecture);
        let logits = |model: &Model| {
            let pass = Pass::new(&model.weights, Tape::Off);
            let Batch { image, shape, .. } = random_batch();
            model.network.forward(&pass, pass.input(image, shape), &model.mixture())
        };
        assert_eq!(largest_difference(&logits(&model), &logits(&again)), 0.0);
    }
}
