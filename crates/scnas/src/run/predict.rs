//! Label maps of many images: which images, which models, where the results go, and one bad image
//! does not end the work on the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use medvol::can_write_in;
use medvol::check::look;
use medvol::io;

use crate::data::files::case_name;
use crate::error::{Error, Result};
use crate::memory;
use crate::message::Message;
use crate::observer::{Observer, Silent, Within};
use crate::predict::image::{ImagePredictor, Options};
use crate::ranks::Ranks;
use crate::report::finished::{Finished, Results, complete_networks};
pub use crate::run::images::{Job, Request};
use crate::run::images::{check_headers, compare_channels, plan_jobs, say_what_is_passed_over};
use crate::settings::{LabelKey, PredictConfig};
use crate::store::model::{Card, MODEL, Model};

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

/// Predicts all that can be predicted. Ranks take the images in turn, and all hear what became of
/// each.
///
/// # Errors
/// Anything wrong with models, names and places, before any work; [`Error::AllFailed`] where no
/// image is fit to be predicted.
pub fn predict(
    request: &Request,
    device: &Device,
    ranks: &dyn Ranks,
    observer: &dyn Observer,
) -> Result<Predicted> {
    let files = request.models.iter().flat_map(|path| model_files(path));
    let models = files.map(|path| Model::read(&path, device)).collect::<Result<Vec<Model>>>()?;
    let Some(Model { card, .. }) = models.first() else {
        return Err(Error::NoModel);
    };
    let (mut jobs, mut failures) = plan_jobs(request, card.size.channels)?;
    // What is true of all images is said once.
    let once: &dyn Observer = if ranks.is_first() { observer } else { &Silent };
    compare_channels(&request.inputs, card, once)?;
    let reading = request.reading.or(card.plan.geometry);
    for source in jobs.iter_mut().flat_map(|job| &mut job.inputs) {
        *source = source.clone().read_by(reading);
    }
    say_what_is_passed_over(&request.inputs, once);
    let options = Options {
        settings: settings(request, card)?,
        probabilities: request.probabilities,
        memory: request.memory.or_else(memory::allowed),
    };
    let predictor = ImagePredictor::new(&models, options)?;

    let total = jobs.len() + failures.len();
    let (jobs, unfit) = check_headers(jobs, card);
    failures.extend(unfit);
    if jobs.is_empty() {
        let errors = failures.into_iter().map(|(_, error)| error).collect();
        return Err(Error::AllFailed { errors });
    }
    failures.iter().for_each(|(_, error)| once.failed(error));

    // Nothing is written where others still look for images.
    ranks.wait();
    make_folder(&request.out)?;
    // Of one image the windows are the steps that can be watched, of several the images.
    let within = Within(observer);
    let (images, windows): (&dyn Observer, &dyn Observer) =
        if jobs.len() == 1 { (&within, observer) } else { (observer, &within) };
    let own: Vec<usize> = (ranks.rank()..jobs.len()).step_by(ranks.count()).collect();
    images.begin("predicting", 0, own.len());
    let (mut outcomes, mut stopped) = (BTreeMap::new(), false);
    for (done, number) in own.into_iter().enumerate() {
        let start = Instant::now();
        let outcome = match predict_one(&predictor, card, &jobs[number], windows) {
            Ok(()) => Ok(start.elapsed().as_secs_f64()),
            Err(_) if observer.stop() => {
                stopped = true;
                break;
            }
            Err(error) => {
                once.failed(&error);
                Err(error)
            }
        };
        outcomes.insert(number, outcome);
        images.advance(done + 1);
    }
    stopped = ranks.any(stopped);
    add_others(&mut outcomes, ranks, once)?;
    let mut written = Vec::new();
    for (number, job) in jobs.into_iter().enumerate() {
        match outcomes.remove(&number) {
            Some(Ok(seconds)) => written.push((job, seconds)),
            Some(Err(error)) => failures.push((job, error)),
            None => {}
        }
    }
    Ok(Predicted { written, failures, total, stopped })
}

/// Adds what became of the images of other ranks, by their numbers.
fn add_others(
    outcomes: &mut BTreeMap<usize, Result<f64>>,
    ranks: &dyn Ranks,
    observer: &dyn Observer,
) -> Result<()> {
    if ranks.is_alone() {
        return Ok(());
    }
    let text = |outcome: &Result<f64>| outcome.as_ref().copied().map_err(Error::to_string);
    let own: Vec<(usize, Result<f64, String>)> =
        outcomes.iter().map(|(&number, outcome)| (number, text(outcome))).collect();
    for (number, outcome) in ranks.tell(&own)?.into_iter().flatten() {
        outcomes.entry(number).or_insert_with(|| {
            outcome.map_err(Error::OnAnotherRank).inspect_err(|error| observer.failed(error))
        });
    }
    Ok(())
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

/// The model in a folder, or those of the complete folds of a cross-validation, of all its seeds; a
/// file is itself.
pub fn model_files(path: &Path) -> Vec<PathBuf> {
    let model = |path: &Path| if path.is_dir() { path.join(MODEL) } else { path.into() };
    match complete_networks(path) {
        folds if folds.is_empty() => vec![model(path)],
        folds => folds.iter().map(|fold| model(fold)).collect(),
    }
}

/// The classes that cross-validations among `folders` say are better off with only their largest
/// component.
fn cleaned_classes(folders: &[PathBuf]) -> Result<BTreeSet<String>> {
    let mut classes = BTreeSet::new();
    for folder in folders.iter().filter(|folder| !complete_networks(folder).is_empty()) {
        let clean_up = match Finished::read(folder)?.results {
            Results::Folds(all) => all.clean_up,
            Results::Seeds(all) => all.clean_up,
            _ => continue,
        };
        let helped = clean_up.into_iter().filter(|class| class.helps);
        classes.extend(helped.map(|class| class.class));
    }
    Ok(classes)
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
    for finding in look(&job.inputs, &header, &image, card.plan.familiar()) {
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
