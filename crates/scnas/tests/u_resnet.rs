//! The U-ResNet against a slow reference, wired by hand from stock Burn operations; and as a model
//! of its own.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData, activation::sigmoid};
use medvol::Target;
use rand::RngExt as _;
use scnas::data::plan::Plan;
use scnas::learn::backprop::Backprop;
use scnas::learn::batch::Batch;
use scnas::learn::loss::{Loss, LossTerms};
use scnas::network::architecture::Architecture;
use scnas::network::mixture::Mixture;
use scnas::network::size::Size;
use scnas::network::weights::{Pass, Tape, Weights};
use scnas::random::{Stream, rng};
use scnas::settings::Config;
use scnas::space::operation::SLOPE;
use scnas::store::model::{Card, Model};
use volops::ConvSpec;
use volops::composition as slow;

const SIZE: Size = Size { channels: 2, classes: 3, width: 8 };
const PATCH: [usize; 3] = [16, 24, 16];

struct Reference(BTreeMap<String, Tensor<5>>);

impl Reference {
    fn w(&self, name: &str) -> Tensor<5> {
        self.0[name].clone()
    }

    fn norm(&self, name: &str, y: Tensor<5>) -> Tensor<5> {
        slow::instance_norm(y, self.w(&format!("{name}.gamma")), self.w(&format!("{name}.beta")))
    }

    fn conv(&self, name: &str, x: Tensor<5>, kernel: usize, stride: usize) -> Tensor<5> {
        let spec =
            ConvSpec { kernel: [kernel; 3], stride, slope: (name != "stem").then_some(SLOPE) };
        self.norm(name, slow::conv3d(x, self.w(&format!("{name}.weight")), spec))
    }

    fn map(&self, name: &str, x: Tensor<5>) -> Tensor<5> {
        let spec = ConvSpec { kernel: [1; 3], stride: 1, slope: Some(SLOPE) };
        slow::conv3d(x, self.w(&format!("{name}.weight")), spec) + self.w(&format!("{name}.bias"))
    }

    fn two(&self, name: &str, x: Tensor<5>) -> Tensor<5> {
        x.clone()
            + self.conv(
                &format!("{name}.conv1"),
                self.conv(&format!("{name}.conv0"), x, 3, 1),
                3,
                1,
            )
    }

    fn decode(&self, level: usize, skip: Tensor<5>, y: Tensor<5>) -> (Tensor<5>, Tensor<5>) {
        let name = format!("decoder.{level}");
        let signal = slow::upsample2(self.conv(&format!("{name}.gate.signal"), y.clone(), 1, 1));
        let gate = sigmoid(self.map(
            &format!("{name}.gate.psi"),
            signal + self.conv(&format!("{name}.gate.skip"), skip.clone(), 1, 1),
        ));
        let up = slow::conv_transpose3d(y, self.w(&format!("{name}.up.weight")), Some(SLOPE));
        let y = self.norm(&format!("{name}.up"), up) + skip * gate;
        let y = if level == 0 {
            self.two(&name, y)
        } else {
            y.clone() + self.conv(&format!("{name}.conv0"), y, 3, 1)
        };
        (self.map(&format!("{name}.map"), y.clone()), y)
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let full = self.two("encoder.0", self.conv("stem", x, 3, 1));
        let half = self.two("encoder.1", self.conv("encoder.1.down", full.clone(), 3, 2));
        let quarter = self.two("encoder.2", self.conv("encoder.2.down", half.clone(), 3, 2));
        let eighth = self.two("encoder.3", self.conv("encoder.3.down", quarter.clone(), 3, 2));
        let (map2, y) = self.decode(2, quarter, eighth);
        let (map1, y) = self.decode(1, half, y);
        let (map0, _) = self.decode(0, full, y);
        map0 + slow::upsample2(map1 + slow::upsample2(map2))
    }
}

fn loss(terms: &str) -> LossTerms {
    terms.parse().unwrap()
}

fn device() -> Device {
    volops::device("cpu").unwrap()
}

fn random_values(len: usize, seed: u64) -> Vec<f32> {
    let mut r = rng(seed, Stream::WeightPatches, 0);
    (0..len).map(|_| r.random_range(-1.0..1.0)).collect()
}

fn batch() -> Batch {
    let shape = [1, SIZE.channels, PATCH[0], PATCH[1], PATCH[2]];
    let classes =
        random_values(PATCH.iter().product(), 9).iter().map(|v| ((v + 1.0) * 1.49) as u8).collect();
    Batch { image: random_values(shape.iter().product(), 1), shape, classes }
}

/// Norms and biases start at 1 and 0, where mistakes in them do not show.
fn off_their_start(weights: &mut Weights) {
    let ids: Vec<_> =
        weights.iter().filter(|(_, w)| !w.name.ends_with("weight")).map(|(id, _)| id).collect();
    for (i, id) in ids.into_iter().enumerate() {
        let shape = weights.value(id).dims();
        let values =
            random_values(shape[1], i as u64).iter().map(|v| 1.0 + 0.3 * v).collect::<Vec<f32>>();
        weights.set(id, Tensor::from_data(TensorData::new(values, shape), &device()));
    }
}

fn largest_difference(a: &Tensor<5>, b: &Tensor<5>) -> f32 {
    (a.clone() - b.clone()).abs().max().into_scalar::<f32>()
}

#[test]
fn the_u_resnet_agrees_with_the_reference_in_value_and_in_the_gradients_of_all_its_weights() {
    let network = Architecture::UResNet.build(SIZE);
    let mut weights = Weights::new(&device(), 4, network.layout());
    off_their_start(&mut weights);
    let batch = batch();

    let pass = Pass::new(&weights, Tape::Off);
    let fast =
        network.forward(&pass, pass.input(batch.image.clone(), batch.shape), &Mixture::none());
    let leaves: BTreeMap<String, Tensor<5>> = weights
        .iter()
        .map(|(_, w)| (w.name.clone(), Tensor::from_inner(w.value.clone()).require_grad()))
        .collect();
    let taped = Pass::new(&weights, Tape::Weights);
    let slow = Reference(leaves.clone()).forward(taped.input(batch.image.clone(), batch.shape));
    assert_eq!(fast.dims(), [1, SIZE.classes, PATCH[0], PATCH[1], PATCH[2]]);
    assert!(largest_difference(&fast, &slow.clone().inner()) < 2e-3);

    let mut slow_grads =
        Loss::of_tensor(loss("dice-cross-entropy"), &Target::Classes, &slow, &batch.classes)
            .attach(slow)
            .backward();
    let gradients = |recompute| {
        let loss = loss("dice-cross-entropy");
        Backprop {
            network: network.as_ref(),
            weights: &weights,
            loss,
            target: &Target::Classes,
            supervision: None,
            recompute,
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

#[test]
fn the_gradients_of_the_u_resnet_do_not_depend_on_the_number_of_threads() {
    let network = Architecture::UResNetHalf.build(SIZE);
    let weights = Weights::new(&device(), 4, network.layout());
    let gradients = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let backprop = Backprop {
            network: network.as_ref(),
            weights: &weights,
            loss: loss("dice"),
            target: &Target::Classes,
            supervision: None,
            recompute: false,
        };
        let found = pool.install(|| backprop.gradients(Tape::Weights, &batch(), &Mixture::none()));
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
    let plan = Plan {
        dataset: "made up".into(),
        channels: vec!["a".into(), "b".into()],
        labels: [0, 1, 2].map(label).to_vec(),
        target: Target::Classes,
        ignore: None,
        spacing: [1.0; 3],
        patch: PATCH,
        normalisation: vec![],
        folds: vec![vec!["x".into()], vec!["y".into()]],
        fold: 0,
        training: None,
    };
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
            let Batch { image, shape, .. } = batch();
            model.network.forward(&pass, pass.input(image, shape), &model.mixture())
        };
        assert_eq!(largest_difference(&logits(&model), &logits(&again)), 0.0);
    }
}
