//! Predictions of whole images: in strips or at once, with several models, stopped.

mod made_up;

use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError, RwLock, RwLockReadGuard};

use medvol::components::{Connectivity, components, keep_largest_component};
use medvol::io::Grid;
use medvol::{Affine, Image, Label, RawImage, Region, Target};
use ndarray::{Array3, Array4, Axis};
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

/// The memory in use is that of all tests here: who counts on it runs alone.
static MEMORY: RwLock<()> = RwLock::new(());

fn beside_others() -> RwLockReadGuard<'static, ()> {
    MEMORY.read().unwrap_or_else(PoisonError::into_inner)
}

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
    let label = |value| Label { value: 10 * value, name: format!("organ {value}") };
    let labels = (0..CLASSES as u16).map(label).collect();
    let plan = made_up::plan(1, labels, [8, 16, 16]);
    let predict = Config::load("default", None, &[]).unwrap().predict;
    let architecture = Architecture::Cells(Genotype::random(&Space::paper(), 4));
    let size = Size::isotropic(1, CLASSES, 4);
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
    let _alone = MEMORY.write().unwrap_or_else(PoisonError::into_inner);
    let model = model(1);
    let image = image([20, 24, 160]);
    let whole = predicted(slice::from_ref(&model), options(&model, true), &image);
    let grid = Grid { channels: 1, shape: image.shape(), affine: image.affine };
    let within = |mebibytes: u64| {
        let options = Options { memory: Some(mebibytes << 20), ..options(&model, true) };
        let predictor = ImagePredictor::new(slice::from_ref(&model), options).unwrap();
        predictor.measure_window().unwrap();
        predictor
    };
    // The most that is foreseen to be too little. Where the system does not tell what is in use,
    // nothing is known to be too much.
    let mut too_little = memory::in_use().unwrap_or(0) >> 20;
    let mut enough = too_little + 2048;
    while enough - too_little > 1 {
        let middle = too_little.midpoint(enough);
        let foreseen = within(middle).foresee("noise", &grid, image.bytes());
        if foreseen.is_ok() { enough = middle } else { too_little = middle }
    }
    let (mut refused, mut foreseen) = (0, 0);
    for mebibytes in too_little.. {
        let listener = Listener::patient();
        let predictor = within(mebibytes);
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
    let _beside = beside_others();
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
    let _beside = beside_others();
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
    let _beside = beside_others();
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

/// A model of regions, each of which holds the next, with weights as they were drawn.
fn model_of_regions(seed: u64) -> Model {
    let Model { mut card, .. } = model(1);
    card.plan.labels.truncate(4);
    let region = |name: &str, classes: &[u8]| Region {
        name: name.into(),
        classes: classes.to_vec(),
        written: classes[0],
    };
    card.plan.target = Target::Regions(vec![
        region("whole", &[1, 2, 3]),
        region("core", &[2, 3]),
        region("enhancing", &[3]),
    ]);
    card.plan.ignore = Some(40);
    card.size = card.plan.size(4);
    assert_eq!(card.size.classes, 3);
    Model::new(card, &scnas::device("cpu").unwrap(), seed)
}

/// Of models as they were drawn, the first that predicts two regions of the image in several pieces
/// each.
static IN_PIECES: LazyLock<u64> = LazyLock::new(|| {
    let varied = (0..100).find(|seed| {
        let model = model_of_regions(*seed);
        let one = slice::from_ref(&model);
        let classes = predicted(one, options(&model, false), &image([9, 30, 30])).classes;
        let in_pieces = |least: &u8| {
            let mask = classes.mapv(|class| class >= *least);
            components(mask.view(), Connectivity::Faces).sizes.len() > 1
        };
        (1..4).filter(in_pieces).count() > 1
    });
    varied.unwrap()
});

#[test]
fn a_voxel_of_regions_is_written_as_the_last_one_that_is_more_likely_than_not() {
    let _beside = beside_others();
    let (model, image) = (model_of_regions(*IN_PIECES), image([9, 30, 30]));
    let Prediction { classes, probabilities, affine } =
        predicted(slice::from_ref(&model), options(&model, true), &image);
    let probabilities = probabilities.unwrap().voxels;
    assert_eq!(probabilities.dim(), (3, 9, 30, 30));
    let expected = Array3::from_shape_fn(classes.dim(), |(k, j, i)| {
        (0..3).rfind(|&n| probabilities[[n, k, j, i]] > 0.5).map_or(0, |n| n as u8 + 1)
    });
    assert_eq!(classes, expected);
    // No voxel has to be in one region: they do not share out what is certain.
    let sums = probabilities.sum_axis(Axis(0));
    assert!(sums.iter().any(|sum| (sum - 1.0).abs() > 0.1));
    let prediction = Prediction { classes, probabilities: None, affine };
    let values = prediction.labels(&model.card.plan.labels).voxels;
    assert!(values.iter().all(|value| [0, 10, 20, 30].contains(value)));

    // Read back, it says the same.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model.write(&path).unwrap();
    let read = Model::read(&path, &scnas::device("cpu").unwrap()).unwrap();
    assert_eq!(read.card, model.card);
    let again = predicted(slice::from_ref(&read), options(&read, false), &image);
    assert_eq!(again.classes, prediction.classes);
}

#[test]
fn the_largest_component_of_a_region_is_that_of_all_its_voxels_and_the_rest_stay_in_those_around_it()
 {
    let _beside = beside_others();
    let (model, image) = (model_of_regions(*IN_PIECES), image([9, 30, 30]));
    let keeping = |name: &str| {
        let mut options = options(&model, false);
        options.settings.largest_component = vec![LabelKey::Name(name.into())];
        predicted(slice::from_ref(&model), options, &image).classes
    };
    let before = predicted(slice::from_ref(&model), options(&model, false), &image).classes;
    let mut changed = 0;
    for (name, least, left) in [("whole", 1, 0), ("core", 2, 1), ("enhancing", 3, 2)] {
        let after = keeping(name);
        changed += usize::from(after != before);
        assert_eq!(after, keeping(&format!("{}", 10 * least)));
        let mut mask = before.mapv(|class| u8::from(class >= least));
        keep_largest_component(&mut mask, 1, Connectivity::Faces);
        for ((&before, &after), &kept) in before.iter().zip(&after).zip(&mask) {
            let expected = if kept == 1 || before < least { before } else { left };
            assert_eq!(after, expected, "{name}");
        }
    }
    assert!(changed > 1);
}

#[test]
fn models_of_regions_and_of_classes_are_not_averaged() {
    let _beside = beside_others();
    let models = [model_of_regions(1), model_of_regions(2)];
    let image = image([9, 20, 30]);
    let alone = [0, 1].map(|n: usize| {
        let one = slice::from_ref(&models[n]);
        predicted(one, options(&one[0], true), &image).probabilities.unwrap().voxels
    });
    let both = predicted(&models, options(&models[0], true), &image);
    let mean = (&alone[0] + &alone[1]) / 2.0;
    let both = both.probabilities.unwrap().voxels;
    assert!(both.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-5));

    let Model { mut card, .. } = model_of_regions(1);
    card.plan.target = Target::Classes;
    card.size = card.plan.size(4);
    let of_classes = Model::new(card, &scnas::device("cpu").unwrap(), 1);
    let mixed = [model_of_regions(1), of_classes];
    let refusal = ImagePredictor::new(&mixed, options(&mixed[0], false)).unwrap_err().to_string();
    assert!(refusal.contains("enhancing"), "{refusal}");
}

#[test]
fn a_prediction_stops_between_two_windows() {
    let _beside = beside_others();
    let model = model(1);
    let listener = Listener::stopping_after(3);
    let predictor = ImagePredictor::new(slice::from_ref(&model), options(&model, false)).unwrap();
    let stopped = predictor.predict("noise", &image([20, 40, 40]), &listener);
    assert!(matches!(stopped, Err(Error::Stopped)));
    assert_eq!(listener.steps.into_inner(), 3);
}
