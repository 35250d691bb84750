//! `scnas predict`: label maps of images, on the images' own grids.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use medvol::Dataset;
use medvol::io::{self, Source};
use medvol::stitch::Blend;
use scnas::Device;
use scnas::memory;
use scnas::predict::image::{ImagePredictor, Options};
use scnas::run::pipeline::{Observer, Within};
use scnas::settings::config::LabelKey;
use scnas::store::model::{Card, Model};
use serde_json::{Value, json};

use crate::files::{Protected, case_name, files_of, images_in, join_channels, refuse_same_names};
use crate::finished::{Finished, Results, complete_folds};
use crate::interrupt;
use crate::output::{Output, chain, note, warn};
use crate::progress::Progress;

/// Segment images with a model
///
/// Reads NIfTI images and a model.safetensors; needs nothing else of the run. Writes for each image
/// a label map <name>.nii.gz on the image's own grid, with its affine. Predictions written before
/// are replaced; images and label maps of data sets never are. An image that cannot be predicted is
/// reported and the others are done; the exit code is then 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas predict scan.nii.gz --model runs/Task04_Hippocampus/search-fold0 --out scan_labels.nii.gz
  scnas predict DATA/Task04_Hippocampus --model model.safetensors --out predictions
  scnas predict folder_of_scans --model model.safetensors --out predictions --probabilities
  scnas predict large.nii.gz --model model.safetensors --out labels.nii.gz --memory 1GiB
  scnas predict folder_of_scans --model runs/cv --out predictions
  scnas predict folder_of_scans --model cv/fold-0 --model cv/fold-1 --out predictions \
                        --largest-component liver")]
pub struct PredictArgs {
    /// Images (.nii, .nii.gz), folders of images, or data sets (their test images). Channels in
    /// files of their own are joined where all files are named as nnU-Net does:
    /// CASE_0000.nii.gz, CASE_0001.nii.gz, …
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// A model.safetensors, a run folder that holds one, or the folder of a cross-validation for
    /// the mean of its folds' models; several times for the mean of several (the settings are
    /// then the first one's)
    #[arg(long, short, required = true, value_name = "FILE")]
    pub model: Vec<PathBuf>,
    /// Folder for the label maps; for a single image also a file name ending in .nii or .nii.gz
    #[arg(long, short, value_name = "DIR|FILE")]
    pub out: PathBuf,
    /// Of data sets, predict the training images too
    #[arg(long)]
    pub training: bool,
    /// Also write <name>_probabilities.nii.gz, the classes as channels
    #[arg(long)]
    pub probabilities: bool,
    /// Overlap of neighbouring windows, 0 to less than 1 [default: the model's, usually 0.5]
    #[arg(long, value_name = "X", value_parser = overlap)]
    pub overlap: Option<f64>,
    /// Weights inside a window [default: the model's]
    #[arg(long, value_enum)]
    pub blend: Option<BlendName>,
    /// Mean over the mirrorings of each window along the axes that training mirrored along: two to
    /// eight times the work [default: the model's]
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub flips: Option<bool>,
    /// Keep only the largest connected component of these labels (names or values) [default: the
    /// model's, usually none; with a cross-validation's folder those that it helps there]
    #[arg(long, value_name = "LABEL,...", value_delimiter = ',')]
    pub largest_component: Option<Vec<String>>,
    /// The most memory to use, such as 1GiB or 800MB; less takes longer [default: what the machine
    /// allows]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum BlendName {
    Gaussian,
    Uniform,
}

fn overlap(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|x| (0.0..1.0).contains(x))
        .ok_or_else(|| "expected a number from 0 to less than 1".into())
}

/// A number of bytes, with a unit or without.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let bytes = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => f64::NAN,
    };
    let bytes = number.parse::<f64>().map_or(f64::NAN, |number| number * bytes);
    if bytes >= 1.0 { Ok(bytes as u64) } else { Err("expected a size like 1GiB or 800MB".into()) }
}

/// What to predict and where to put it.
pub struct Job {
    name: String,
    /// Its image, or the channels of it.
    inputs: Vec<Source>,
    labels: PathBuf,
    probabilities: Option<PathBuf>,
}

/// What became of the jobs.
pub struct Outcome {
    /// Done, with the seconds each took.
    written: Vec<(Job, f64)>,
    /// Not done, with the reasons.
    failures: Vec<(Job, String)>,
    total: usize,
    stopped: bool,
}

impl Outcome {
    /// The exit code, or an error that names the first failure.
    pub fn exit(&self) -> Result<ExitCode> {
        if self.stopped {
            note(format_args!(
                "stopped by request after {} of {} images",
                self.written.len(),
                self.total
            ));
            return Ok(ExitCode::from(interrupt::exit_code()));
        }
        match self.failures.first() {
            Some((_, reason)) => bail!(
                "{} of {} images could not be predicted: {reason}",
                self.failures.len(),
                self.total
            ),
            None => Ok(ExitCode::SUCCESS),
        }
    }
}

pub fn run(args: &PredictArgs, device: &Device, output: Output) -> Result<ExitCode> {
    interrupt::listen()?;
    volops::memory::keep_pages();
    let outcome = predict_all(args, device, output)?;
    let lines: Vec<String> =
        outcome.written.iter().map(|(job, _)| job.labels.display().to_string()).collect();
    output.result(lines.join("\n"), || {
        let written = outcome.written.iter().map(|(job, seconds)| described(job, "seconds", json!(seconds)));
        let failures = outcome.failures.iter().map(|(job, reason)| described(job, "error", json!(reason)));
        json!({ "predictions": written.collect::<Vec<_>>(), "failures": failures.collect::<Vec<_>>() })
    })?;
    outcome.exit()
}

/// Predicts all that can be predicted.
pub fn predict_all(args: &PredictArgs, device: &Device, output: Output) -> Result<Outcome> {
    let files: Vec<PathBuf> = args.model.iter().flat_map(|path| model_files(path)).collect();
    let models: Vec<Model> =
        files.iter().map(|path| Model::read(path, device)).collect::<Result<_, _>>()?;
    let card = &models.first().context("no model is given; name one with --model")?.card;
    let jobs = plan_jobs(args, card.size.channels)?;
    let mut settings = card.predict.clone();
    settings.overlap = args.overlap.unwrap_or(settings.overlap);
    settings.flips = args.flips.unwrap_or(settings.flips);
    settings.blend = match args.blend {
        None => settings.blend,
        Some(BlendName::Gaussian) => Blend::Gaussian,
        Some(BlendName::Uniform) => Blend::Uniform,
    };
    match &args.largest_component {
        Some(labels) => {
            settings.largest_component = labels.iter().cloned().map(LabelKey::Name).collect()
        }
        None => settings
            .largest_component
            .extend(cleaned_classes(&args.model)?.into_iter().map(LabelKey::Name)),
    }
    let options = Options {
        settings,
        probabilities: args.probabilities,
        memory: args.memory.or_else(memory::allowed),
    };
    let predictor = ImagePredictor::new(&models, options)?;

    let total = jobs.len();
    let (jobs, mut failures): (Vec<Job>, Vec<(Job, String)>) = check_headers(jobs, card);
    if jobs.is_empty() {
        bail!("{}", failures.into_iter().map(|(_, reason)| reason).collect::<Vec<_>>().join("; "));
    }
    failures.iter().for_each(|(_, reason)| warn(format_args!("left out: {reason}")));

    make_folder(args)?;
    let progress = Progress::new(output);
    // Of one image the windows are the steps that can be watched, of several the images.
    let within = Within(&progress);
    let (images, windows): (&dyn Observer, &dyn Observer) =
        if jobs.len() == 1 { (&within, &progress) } else { (&progress, &within) };
    images.begin("predicting", 0, jobs.len());
    let mut written = Vec::new();
    let mut stopped = false;
    for (done, job) in jobs.into_iter().enumerate() {
        let start = Instant::now();
        match predict_one(&predictor, card, &job, windows) {
            Ok(()) => written.push((job, start.elapsed().as_secs_f64())),
            Err(_) if interrupt::requested() => {
                stopped = true;
                break;
            }
            Err(error) => {
                progress.message(&format!("warning: {}", chain(&error)));
                failures.push((job, chain(&error)));
            }
        }
        images.advance(done + 1);
    }
    Ok(Outcome { written, failures, total, stopped })
}

fn described(job: &Job, key: &str, value: Value) -> Value {
    let paths: Vec<&Path> = job.inputs.iter().map(Source::path).collect();
    let input = if let [path] = paths.as_slice() { json!(path) } else { json!(paths) };
    json!({ "case": job.name, "input": input, "labels": job.labels, "probabilities": job.probabilities, key: value })
}

/// The model in a folder, or those of the complete folds of a cross-validation; a file is itself.
fn model_files(path: &Path) -> Vec<PathBuf> {
    let model =
        |path: &Path| if path.is_dir() { path.join("model.safetensors") } else { path.into() };
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
        classes
            .extend(all.clean_up.into_iter().filter(|class| class.helps).map(|class| class.class));
    }
    Ok(classes)
}

/// Everything about names and places, checked before any work.
fn plan_jobs(args: &PredictArgs, channels: usize) -> Result<Vec<Job>> {
    let mut files = Vec::new();
    let mut single_files = Vec::new();
    let mut protected = Protected::default();
    for input in &args.inputs {
        let found = if Dataset::is_at(input) {
            let dataset = Dataset::open(input)?;
            protected.add(files_of(&dataset));
            let training = dataset.cases.iter().filter(|_| args.training);
            dataset
                .test
                .iter()
                .chain(training)
                .map(|case| (case.name.clone(), case.images.clone()))
                .collect()
        } else if input.is_dir() {
            join_channels(images_in(input)?, channels)
        } else if let Some(name) = case_name(input) {
            std::fs::metadata(input).with_context(|| format!("cannot read {}", input.display()))?;
            single_files.push((name, input.clone()));
            continue;
        } else {
            bail!(
                "{}: expected an image (.nii or .nii.gz), a folder of images or a data set",
                input.display()
            );
        };
        if found.is_empty() {
            let remedy = if args.training {
                ""
            } else {
                "; --training predicts a data set's training images"
            };
            bail!("{}: no images to predict found there{remedy}", input.display());
        }
        files.extend(found);
    }
    files.extend(join_channels(single_files, channels));
    refuse_same_names(files.iter().map(|(name, paths)| (name.as_str(), paths[0].path())))?;
    protected.add(files.iter().flat_map(|(_, sources)| sources).map(Source::path));

    let single = case_name(&args.out).is_some();
    if single && files.len() > 1 {
        bail!(
            "{}: one file for {} images; give a folder as --out",
            args.out.display(),
            files.len()
        );
    }
    if !single && args.out.exists() && !args.out.is_dir() {
        bail!(
            "{}: expected a folder, or a file name ending in .nii or .nii.gz, as --out",
            args.out.display()
        );
    }
    let folder = if single { args.out.parent().unwrap_or(Path::new("")) } else { &args.out };
    protected.add_data_set_around(if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    });
    let mut jobs = Vec::new();
    for (name, inputs) in files {
        let labels = if single { args.out.clone() } else { folder.join(format!("{name}.nii.gz")) };
        let stem = case_name(&labels).unwrap_or_else(|| name.clone());
        let probabilities =
            args.probabilities.then(|| folder.join(format!("{stem}_probabilities.nii.gz")));
        protected.check(&labels)?;
        probabilities.iter().try_for_each(|path| protected.check(path))?;
        jobs.push(Job { name, inputs, labels, probabilities });
    }
    Ok(jobs)
}

/// Splits off the jobs whose header says that they cannot be done.
fn check_headers(jobs: Vec<Job>, card: &Card) -> (Vec<Job>, Vec<(Job, String)>) {
    let channels = card.size.channels;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for job in jobs {
        match io::open(&job.inputs).map(|opened| opened.grid()) {
            Ok(grid) if grid.channels == channels => good.push(job),
            Ok(grid) => {
                let reason = format!(
                    "{}: the model expects {channels} channel(s), found {}; give images like \
                     those it was trained on ({})",
                    job.inputs[0],
                    grid.channels,
                    card.plan.channels.join(", ")
                );
                bad.push((job, reason));
            }
            Err(error) => bad.push((job, error.to_string())),
        }
    }
    (good, bad)
}

fn make_folder(args: &PredictArgs) -> Result<()> {
    let folder =
        if case_name(&args.out).is_some() { args.out.parent() } else { Some(args.out.as_path()) };
    let Some(folder) = folder.filter(|f| !f.as_os_str().is_empty()) else { return Ok(()) };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

fn predict_one(
    predictor: &ImagePredictor,
    card: &Card,
    job: &Job,
    observer: &dyn Observer,
) -> Result<()> {
    let opened = io::open(&job.inputs)?.checked(card.size.channels)?;
    predictor.check(&job.name, opened.grid().shape, opened.raw_bytes())?;
    let image = opened.raw()?;
    let prediction = predictor.predict(&job.name, &image, observer)?;
    drop(image);
    if let (Some(path), Some(probabilities)) = (&job.probabilities, &prediction.probabilities) {
        io::create(path)?.image(probabilities)?;
    }
    let labels = &card.plan.labels;
    Ok(io::create(&job.labels)?.classes(&prediction.classes, labels, prediction.affine)?)
}
