//! Label maps of many images: which images, which models, where the results go, and one bad image
//! does not end the work on the others.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use medvol::check::look;
use medvol::io::{self, Reading, Source};
use medvol::stitch::Blend;
use medvol::{Dataset, can_write_in};

use crate::data::files::{
    Protected, case_name, folder_name, images_in, is_of_no_folder, join_channels, others_in,
    refuse_odd_name, refuse_same_names,
};
use crate::error::{Error, Place, Result};
use crate::memory;
use crate::message::{Doubt, Message};
use crate::observer::{Observer, Within};
use crate::predict::image::{ImagePredictor, Options};
use crate::report::finished::{Finished, Results, complete_folds};
use crate::settings::{LabelKey, PredictConfig};
use crate::store::model::{Card, MODEL, Model};

/// What to predict, and how.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Images, folders of images, or data sets (their test images).
    pub inputs: Vec<PathBuf>,
    /// Models, run folders that hold one, or folders of cross-validations (the models of their
    /// complete folds). Of several the mean is predicted, with the settings of the first.
    pub models: Vec<PathBuf>,
    /// Folder for the label maps; for a single image also a file.
    pub out: PathBuf,
    /// Of data sets, predict the training images too.
    pub training: bool,
    /// Write class probabilities too.
    pub probabilities: bool,
    /// Overlap of neighbouring windows, 0 to less than 1; `None`: the model's.
    pub overlap: Option<f64>,
    /// Weights inside a window; `None`: the model's.
    pub blend: Option<Blend>,
    /// Test-time augmentation; `None`: the model's.
    pub flips: Option<bool>,
    /// Labels, by name or value, of which only the largest component is kept; `None`: the model's,
    /// and those that the cross-validations among `models` say are better for it.
    pub largest_component: Option<Vec<String>>,
    /// How headers are read that contradict themselves; `None`: as those the (first) model was
    /// trained on.
    pub reading: Option<Reading>,
    /// The most bytes to use; `None`: what the machine allows.
    pub memory: Option<u64>,
}

/// An image to predict, and where the results go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Its file, or those of its channels.
    pub inputs: Vec<Source>,
    /// The label map to write.
    pub labels: PathBuf,
    /// The class probabilities to write, if they are wanted.
    pub probabilities: Option<PathBuf>,
}

/// What became of the images.
#[derive(Debug)]
pub struct Predicted {
    /// Done, with the seconds each took.
    pub written: Vec<(Job, f64)>,
    /// Not done, and why.
    pub failures: Vec<(Job, Error)>,
    /// Images in all.
    pub total: usize,
    /// Whether the work was stopped on request.
    pub stopped: bool,
}

impl Predicted {
    /// All images, or what kept the first from being done.
    ///
    /// # Errors
    /// [`Error::Stopped`], [`Error::SomeFailed`].
    pub fn all(mut self) -> Result<Vec<(Job, f64)>> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        let failed = self.failures.len();
        if failed == 0 {
            return Ok(self.written);
        }
        let (_, first) = self.failures.swap_remove(0);
        let (what, of) = ("images could not be predicted", self.total);
        Err(Error::SomeFailed { what, failed, of, first: Box::new(first) })
    }
}

/// Predicts all that can be predicted.
///
/// # Errors
/// Anything wrong with models, names and places, before any work; [`Error::AllFailed`] where no
/// image is fit to be predicted.
pub fn predict(request: &Request, device: &Device, observer: &dyn Observer) -> Result<Predicted> {
    let files = request.models.iter().flat_map(|path| model_files(path));
    let models = files.map(|path| Model::read(&path, device)).collect::<Result<Vec<Model>>>()?;
    let Some(Model { card, .. }) = models.first() else {
        return Err(Error::NoModel);
    };
    let mut jobs = plan_jobs(request, card.size.channels)?;
    compare_channels(&request.inputs, card, observer)?;
    let reading = request.reading.or(card.plan.geometry);
    for source in jobs.iter_mut().flat_map(|job| &mut job.inputs) {
        *source = source.clone().read_by(reading);
    }
    say_what_is_passed_over(&request.inputs, observer);
    let options = Options {
        settings: settings(request, card)?,
        probabilities: request.probabilities,
        memory: request.memory.or_else(memory::allowed),
    };
    let predictor = ImagePredictor::new(&models, options)?;

    let total = jobs.len();
    let (jobs, mut failures) = check_headers(jobs, card);
    if jobs.is_empty() {
        let errors = failures.into_iter().map(|(_, error)| error).collect();
        return Err(Error::AllFailed { errors });
    }
    failures.iter().for_each(|(_, error)| observer.failed(error));

    make_folder(&request.out)?;
    // Of one image the windows are the steps that can be watched, of several the images.
    let within = Within(observer);
    let (images, windows): (&dyn Observer, &dyn Observer) =
        if jobs.len() == 1 { (&within, observer) } else { (observer, &within) };
    images.begin("predicting", 0, jobs.len());
    let (mut written, mut stopped) = (Vec::new(), false);
    for (done, job) in jobs.into_iter().enumerate() {
        let start = Instant::now();
        match predict_one(&predictor, card, &job, windows) {
            Ok(()) => written.push((job, start.elapsed().as_secs_f64())),
            Err(_) if observer.stop() => {
                stopped = true;
                break;
            }
            Err(error) => {
                observer.failed(&error);
                failures.push((job, error));
            }
        }
        images.advance(done + 1);
    }
    Ok(Predicted { written, failures, total, stopped })
}

/// The first model's settings, changed as the request says.
fn settings(request: &Request, card: &Card) -> Result<PredictConfig> {
    let mut settings = card.predict.clone();
    settings.overlap = request.overlap.unwrap_or(settings.overlap);
    settings.flips = request.flips.unwrap_or(settings.flips);
    settings.blend = request.blend.unwrap_or(settings.blend);
    match &request.largest_component {
        Some(labels) => {
            settings.largest_component = labels.iter().cloned().map(LabelKey::Name).collect();
        }
        None => {
            let cleaned = cleaned_classes(&request.models)?;
            settings.largest_component.extend(cleaned.into_iter().map(LabelKey::Name));
        }
    }
    Ok(settings)
}

/// The model in a folder, or those of the complete folds of a cross-validation; a file is itself.
pub fn model_files(path: &Path) -> Vec<PathBuf> {
    let model = |path: &Path| if path.is_dir() { path.join(MODEL) } else { path.into() };
    match complete_folds(path) {
        folds if folds.is_empty() => vec![model(path)],
        folds => folds.iter().map(|fold| model(fold)).collect(),
    }
}

/// The classes that cross-validations among `folders` say are better off with only their largest
/// component.
fn cleaned_classes(folders: &[PathBuf]) -> Result<BTreeSet<String>> {
    let mut classes = BTreeSet::new();
    for folder in folders.iter().filter(|folder| !complete_folds(folder).is_empty()) {
        let Results::Folds(all) = Finished::read(folder)?.results else { continue };
        let helped = all.clean_up.into_iter().filter(|class| class.helps);
        classes.extend(helped.map(|class| class.class));
    }
    Ok(classes)
}

/// Everything about names and places, checked before any work.
fn plan_jobs(request: &Request, channels: usize) -> Result<Vec<Job>> {
    let Request { out, training, .. } = request;
    let mut files = Vec::new();
    let mut single_files = Vec::new();
    let mut protected = Protected::default();
    for input in &request.inputs {
        let found = if Dataset::is_at(input) {
            let dataset = Dataset::open(input)?;
            protected.add_data_set(&dataset);
            let training = dataset.cases.iter().filter(|_| *training);
            let cases = dataset.test.iter().chain(training);
            cases.map(|case| (case.name.clone(), case.images.clone())).collect()
        } else if let Some(name) = folder_name(input) {
            protected.add_folder(input);
            single_files.push((name, input.clone()));
            continue;
        } else if input.is_dir() {
            protected.add_folder(input);
            join_channels(images_in(input)?, channels)
        } else if let Some(name) = case_name(input) {
            std::fs::metadata(input).map_err(|e| Error::file("read", input, e))?;
            single_files.push((name, input.clone()));
            continue;
        } else {
            return Err(Error::place(input, Place::NoImage));
        };
        if found.is_empty() {
            return Err(Error::place(input, Place::NoImages { training: *training }));
        }
        files.extend(found);
    }
    files.extend(join_channels(single_files, channels));
    refuse_same_names(files.iter().map(|(name, paths)| (name.as_str(), paths[0].path())))?;
    protected.add(files.iter().flat_map(|(_, sources)| sources).map(Source::path));

    let single = case_name(out).is_some();
    if single && files.len() > 1 {
        return Err(Error::place(out, Place::OneFile { images: files.len() }));
    }
    if !single && (is_of_no_folder(out) || out.exists()) && !out.is_dir() {
        return Err(Error::place(out, Place::NoFolder));
    }
    let folder = if single { out.parent().unwrap_or(Path::new("")) } else { out };
    let there = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    protected.add_data_set_around(there);
    let mut jobs = Vec::new();
    for (name, inputs) in files {
        let (ending, images) = (io::ending_like(&inputs[0]), io::image_ending_like(&inputs[0]));
        let labels = if single { out.clone() } else { folder.join(format!("{name}{ending}")) };
        let stem = case_name(&labels).unwrap_or_else(|| name.clone());
        let probabilities =
            request.probabilities.then(|| folder.join(format!("{stem}_probabilities{images}")));
        protected.check(&labels)?;
        probabilities.iter().try_for_each(|path| protected.check(path))?;
        jobs.push(Job { name, inputs, labels, probabilities });
    }
    protected.check_folder(there)?;
    Ok(jobs)
}

/// Compares the channels of data sets with the model's: in another order all would be wrong.
fn compare_channels(inputs: &[PathBuf], card: &Card, observer: &dyn Observer) -> Result<()> {
    let lower = |names: &[String]| names.iter().map(|n| n.to_lowercase()).collect::<Vec<_>>();
    let sorted = |names: &[String]| {
        let mut names = lower(names);
        names.sort();
        names
    };
    let expected = &card.plan.channels;
    for data in inputs.iter().filter(|input| Dataset::is_at(input)) {
        let found = Dataset::open(data)?.channels;
        if found.len() != expected.len() || lower(&found) == lower(expected) {
            continue;
        }
        let (data, expected) = (data.clone(), expected.clone());
        if sorted(&found) == sorted(&expected) {
            return Err(Error::place(&data, Place::ChannelOrder { expected, found }));
        }
        observer.message(&Message::Doubt(Doubt::OtherChannels { data, expected, found }));
    }
    Ok(())
}

/// Splits off the jobs whose header says that they cannot be done.
fn check_headers(jobs: Vec<Job>, card: &Card) -> (Vec<Job>, Vec<(Job, Error)>) {
    let expected = card.size.channels;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for job in jobs {
        let named = job.inputs.iter().try_for_each(|source| refuse_odd_name(source.path()));
        if let Err(error) = named {
            bad.push((job, error));
            continue;
        }
        match io::open(&job.inputs).and_then(|opened| opened.checked(expected)) {
            Ok(_) => good.push(job),
            Err(medvol::Error::ChannelCount { path, expected, found }) => {
                let names = card.plan.channels.clone();
                let problem = Place::Channels { expected, found, names };
                bad.push((job, Error::place(&path, problem)));
            }
            Err(error) => bad.push((job, error.into())),
        }
    }
    (good, bad)
}

/// Names what lies in folders and is no image: files by their names, and folders. The files of a
/// folder that is one image are its slices, whatever their names.
fn say_what_is_passed_over(inputs: &[PathBuf], observer: &dyn Observer) {
    let of_images =
        |input: &&PathBuf| input.is_dir() && !Dataset::is_at(input) && folder_name(input).is_none();
    for folder in inputs.iter().filter(of_images) {
        let files = others_in(folder);
        if !files.is_empty() {
            observer.message(&Message::NoImages { files });
        }
    }
}

fn make_folder(out: &Path) -> Result<()> {
    let folder = if case_name(out).is_some() { out.parent() } else { Some(out) };
    let folder = folder.filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| Error::file("create", folder, e))?;
    Ok(can_write_in(folder)?)
}

fn predict_one(
    predictor: &ImagePredictor,
    card: &Card,
    job: &Job,
    observer: &dyn Observer,
) -> Result<()> {
    let opened = io::open(&job.inputs)?.checked(card.size.channels)?;
    let (header, labels) = (opened.header().clone(), &card.plan.labels);
    predictor.check(&job.name, header.grid.shape, opened.raw_bytes())?;
    let afterwards = opened.afterwards();
    let image = opened.raw()?;
    for (source, remark) in afterwards.remarks() {
        observer.message(&Message::Header { file: source.path().into(), remark });
    }
    for finding in look(&job.inputs, &header, &image, card.plan.spacing, &card.plan.normalisation) {
        observer.message(&Message::Doubtful(finding));
    }
    let prediction = predictor.predict(&job.name, &image, observer)?;
    drop(image);
    if let (Some(path), Some(probabilities)) = (&job.probabilities, &prediction.probabilities) {
        io::create(path)?.like(&header).image(probabilities)?;
    }
    let file = io::create(&job.labels)?;
    Ok(file.like(&header).classes(&prediction.classes, labels, prediction.affine)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);

    impl Observer for Warnings {
        fn message(&self, message: &Message) {
            assert!(message.is_warning());
            self.0.lock().unwrap().push(message.to_string());
        }
    }

    #[test]
    fn files_that_are_no_images_are_named_and_the_slices_of_a_series_are_not_among_them() {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../medvol/tests/fixtures/dicom");
        let series = Path::new(fixtures).join("explicit");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("notes.txt"), "").unwrap();
        let warnings = Warnings::default();
        say_what_is_passed_over(&[series, folder.path().into()], &warnings);
        let said = warnings.0.into_inner().unwrap();
        assert!(said.len() == 1 && said[0].contains("notes.txt"), "{said:?}");
    }
}
