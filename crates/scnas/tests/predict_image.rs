//! Predictions of whole images: in strips or at once, with several models, stopped.

use std::slice;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use medvol::components::{Connectivity, keep_largest_component};
use medvol::io::Grid;
use medvol::{Affine, Image, Label, RawImage};
use ndarray::Array4;
use scnas::data::plan::Plan;
use scnas::error::{Error, Purpose};
use scnas::memory;
use scnas::message::Message;
use scnas::network::architecture::Architecture;
use scnas::network::size::Size;
use scnas::observer::Observer;
use scnas::predict::image::{ImagePredictor, Options, Prediction};
use scnas::settings::{Config, LabelKey};
use scnas::space::genotype::Genotype;
use scnas::space::topology::Space;
use scnas::store::model::{Card, Model};

const CLASSES: usize = 12;

/// Remembers what it hears, and asks to stop after some looks.
struct Listener {
    looks: AtomicUsize,
    steps: AtomicUsize,
    messages: Mutex<Vec<String>>,
}

impl Listener {
    fn patient() -> Self {
        Self::stopping_after(usize::MAX)
    }

    fn stopping_after(looks: usize) -> Self {
        Self {
            looks: AtomicUsize::new(looks),
            steps: AtomicUsize::new(0),
            messages: Mutex::default(),
        }
    }
}

impl Observer for Listener {
    fn advance(&self, done: usize) {
        self.steps.fetch_max(done, Ordering::Relaxed);
    }
    fn message(&self, message: &Message) {
        self.messages.lock().unwrap().push(message.to_string());
    }
    fn stop(&self) -> bool {
        self.looks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_err()
    }
}

/// A model with weights as they were drawn.
fn model(seed: u64) -> Model {
    let plan = Plan {
        dataset: "made up".into(),
        channels: vec!["a".into()],
        labels: (0..CLASSES as u16)
            .map(|value| Label { value: 10 * value, name: format!("organ {value}") })
            .collect(),
        spacing: [1.0; 3],
        patch: [8, 16, 16],
        normalisation: vec![],
        folds: vec![vec!["x".into()], vec!["y".into()]],
        fold: 0,
        training: None,
    };
    let predict = Config::load("default", None, &[]).unwrap().predict;
    let architecture = Architecture::Cells(Genotype::random(&Space::paper(), 4));
    let size = Size { channels: 1, classes: CLASSES, width: 4 };
    Model::new(Card::new(architecture, size, plan, predict), &scnas::device("cpu").unwrap(), seed)
}

/// Noise, at another spacing than the models'.
fn image(shape: [usize; 3]) -> RawImage {
    let voxels = Array4::from_shape_fn((1, shape[0], shape[1], shape[2]), |(_, k, j, i)| {
        ((k * 37 + j * 11 + i * i) % 29) as f32 + 1.0
    });
    Image { voxels, affine: Affine::from_spacing([1.0, 1.3, 0.9]) }.into()
}

fn options(model: &Model, probabilities: bool) -> Options {
    Options { probabilities, memory: None, ..Options::of(model) }
}

fn predicted(models: &[Model], options: Options, image: &RawImage) -> Prediction {
    ImagePredictor::new(models, options)
        .unwrap()
        .predict("noise", image, &Listener::patient())
        .unwrap()
}

#[test]
fn as_little_memory_as_is_accepted_gives_the_bits_of_unlimited_memory() {
    let model = model(1);
    let image = image([20, 40, 400]);
    let whole = predicted(slice::from_ref(&model), options(&model, true), &image);
    let grid = Grid { channels: 1, shape: image.shape(), affine: image.affine };
    let (mut refused, mut foreseen) = (0, 0);
    // Where the system does not tell what is in use, nothing is known to be too much.
    let mut limit = memory::in_use().unwrap_or(0);
    loop {
        let listener = Listener::patient();
        let options = Options { memory: Some(limit), ..options(&model, true) };
        let predictor = ImagePredictor::new(slice::from_ref(&model), options).unwrap();
        predictor.measure_window().unwrap();
        let before = predictor.foresee("noise", &grid, image.bytes());
        match predictor.predict("noise", &image, &listener) {
            Err(Error::Memory { purpose: Purpose::Image { name, .. }, .. }) => {
                assert_eq!(name, "noise");
                (refused, foreseen) = (refused + 1, foreseen + usize::from(before.is_err()));
            }
            Err(other) => panic!("{other}"),
            Ok(strips) => {
                // Nothing that can be predicted is foreseen to fail, and hardly anything else fails.
                before.unwrap();
                assert!(foreseen + 2 >= refused, "{foreseen} of {refused}");
                let messages = listener.messages.into_inner().unwrap();
                assert!(
                    messages.iter().any(|text| text.contains("strips"))
                        || cfg!(not(target_os = "linux")),
                    "{messages:?}"
                );
                assert_eq!(strips.classes, whole.classes);
                let bits = |prediction: &Prediction| {
                    prediction.probabilities.as_ref().unwrap().voxels.mapv(f32::to_bits)
                };
                assert_eq!(bits(&strips), bits(&whole));
                break;
            }
        }
        limit += 1 << 20;
    }
    let image_alone = ImagePredictor::new(
        slice::from_ref(&model),
        Options { memory: Some(1000), ..options(&model, false) },
    )
    .unwrap();
    let refusal = image_alone.check("noise", image.shape(), image.bytes());
    assert!(refusal.is_err() || cfg!(not(target_os = "linux")));
}

#[test]
fn several_models_give_the_mean_of_their_probabilities() {
    let image = image([9, 20, 30]);
    let alone = [1, 2].map(|seed| {
        predicted(&[model(seed)], options(&model(seed), true), &image).probabilities.unwrap().voxels
    });
    let together = |seeds: &[u64]| {
        let models: Vec<Model> = seeds.iter().map(|&seed| model(seed)).collect();
        predicted(&models, options(&models[0], true), &image).probabilities.unwrap().voxels
    };
    assert_eq!(together(&[1, 1]), alone[0]);
    let mean = (&alone[0] + &alone[1]) / 2.0;
    let difference =
        together(&[1, 2]).iter().zip(&mean).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 1e-5, "{difference}");
    assert!(alone[0].iter().zip(&mean).any(|(a, b)| (a - b).abs() > 1e-3));
}

#[test]
fn models_that_do_not_fit_together_are_refused_with_what_differs() {
    let changed = |change: &dyn Fn(&mut Plan)| {
        let mut other = model(2);
        change(&mut other.card.plan);
        let models = [model(1), other];
        ImagePredictor::new(&models, options(&models[0], false)).unwrap_err().to_string()
    };
    for (refusal, named) in [
        (changed(&|plan| plan.labels[3].name = "heart".into()), "heart"),
        (changed(&|plan| plan.spacing[1] = 2.5), "2.5"),
        (changed(&|plan| plan.patch[2] = 24), "24"),
    ] {
        assert!(refusal.contains("models of the same") && refusal.contains(named), "{refusal}");
    }
    assert!(ImagePredictor::new(&[], options(&model(1), false)).is_err());
}

#[test]
fn of_the_labels_asked_for_only_the_largest_component_is_left() {
    let (model, image) = (model(1), image([9, 30, 30]));
    let keeping = |keys: Vec<LabelKey>| {
        let mut options = options(&model, false);
        options.settings.largest_component = keys;
        options
    };
    let mut expected = predicted(slice::from_ref(&model), keeping(vec![]), &image).classes;
    let before = expected.clone();
    let counts = |classes: &ndarray::Array3<u8>| {
        (0..CLASSES as u8).map(|class| classes.iter().filter(|c| **c == class).count()).collect()
    };
    let counts: Vec<usize> = counts(&before);
    // The two most common foreground classes of a network that was never trained.
    let mut classes: Vec<u8> = (1..CLASSES as u8).collect();
    classes.sort_by_key(|&class| std::cmp::Reverse(counts[usize::from(class)]));
    classes[..2]
        .iter()
        .for_each(|&class| keep_largest_component(&mut expected, class, Connectivity::Faces));
    assert_ne!(expected, before);
    let keys = vec![
        LabelKey::Name(format!("organ {}", classes[0])),
        LabelKey::Value(10 * u16::from(classes[1])),
    ];
    assert_eq!(predicted(slice::from_ref(&model), keeping(keys), &image).classes, expected);

    for (key, named) in [
        (LabelKey::Name("lung".into()), "lung"),
        (LabelKey::Value(0), "0"),
        (LabelKey::Name("5".into()), "5"),
    ] {
        let refusal = ImagePredictor::new(slice::from_ref(&model), keeping(vec![key]))
            .unwrap_err()
            .to_string();
        assert!(
            refusal.contains("predict.largest_component")
                && refusal.contains(named)
                && refusal.contains("organ 1 (10)"),
            "{refusal}"
        );
    }
}

#[test]
fn a_prediction_stops_between_two_windows() {
    let model = model(1);
    let listener = Listener::stopping_after(3);
    let predictor = ImagePredictor::new(slice::from_ref(&model), options(&model, false)).unwrap();
    let stopped = predictor.predict("noise", &image([20, 40, 40]), &listener);
    assert!(matches!(stopped, Err(Error::Stopped)));
    assert_eq!(listener.steps.into_inner(), 3);
}
