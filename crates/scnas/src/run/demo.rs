//! The whole way on a made-up task, in minutes: data, search, training, prediction, scores.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use medvol::io;
use medvol::phantom::{PhantomTask, phantom, write_task};

use crate::data::cohort::Cohort;
use crate::data::plan::Plan;
use crate::error::{Error, Result};
use crate::message::Message;
use crate::observer::Observer;
use crate::ranks::Alone;
use crate::report::evaluation::TOLERANCE_MM;
use crate::report::scoring::{Scored, Scoring, evaluate};
use crate::run::predict::{Request, predict};
use crate::run::setup::Job;
use crate::settings::Config;

/// Settings small enough for minutes on two cores.
const SETTINGS: [&str; 8] = [
    "search.strategy=bi-level",
    "network.width=8",
    "data.spacing=[1.0, 1.0, 1.0]",
    "data.patch=[40, 40, 40]",
    "search.warmup_epochs=2",
    "train.epochs=40",
    "train.patches=1",
    "train.validate_every=10",
];

/// Where a demo's parts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// The made-up data set.
    pub data: PathBuf,
    /// The run.
    pub run: PathBuf,
    /// Label maps of the test images.
    pub predictions: PathBuf,
    /// What is true of the test images.
    pub truth: PathBuf,
}

impl Folders {
    /// Those in the folder of a demo.
    pub fn of(demo: &Path) -> Self {
        let [data, run, predictions, truth] =
            ["data", "run", "predictions", "truth"].map(|name| demo.join(name));
        Self { data, run, predictions, truth }
    }
}

/// Makes up a data set, searches and trains on it, predicts its test images and scores them against
/// the truth; what is there already is gone on with.
///
/// # Errors
/// Files that cannot be written; those of a search; [`Error::Stopped`].
pub fn demo(folders: &Folders, device: &Device, observer: &dyn Observer) -> Result<Scored> {
    let Folders { data, run, predictions, truth } = folders;
    let task = PhantomTask { test_cases: 6, ..PhantomTask::default() };
    if !data.join("dataset.json").exists() {
        observer.message(&Message::MakingUp {
            labelled: task.cases,
            test: task.test_cases,
            folder: data.clone(),
        });
        write_task(data, &task)?;
    }
    let config = Config::load("default", None, &SETTINGS.map(String::from))?;
    let cohort = Cohort::open(data)?;
    write_truth(&task, &cohort, truth)?;
    let plan = Plan::new(&cohort, &config)?;
    let job = Job {
        cohort: &cohort,
        plan,
        folder: run.clone(),
        beside: run.clone(),
        config,
        device: device.clone(),
        check: None,
        ranks: &Alone,
    };
    job.search(observer)?;

    let request = Request {
        inputs: vec![data.clone()],
        models: vec![run.clone()],
        out: predictions.clone(),
        ..Request::default()
    };
    predict(&request, device, &Alone, observer)?.all()?;
    let scoring = Scoring {
        predictions: predictions.clone(),
        references: Some(truth.clone()),
        data: Some(data.clone()),
        reading: None,
        tolerance_mm: TOLERANCE_MM,
    };
    evaluate(&scoring, observer)
}

/// The labels of the task's test images, which it does not hold.
fn write_truth(task: &PhantomTask, cohort: &Cohort, truth: &Path) -> Result<()> {
    std::fs::create_dir_all(truth).map_err(|e| Error::file("create", truth, e))?;
    for (number, case) in cohort.dataset.test.iter().enumerate() {
        let (_, labels) = phantom(task.seed, (task.cases + number) as u64, task.coarseness);
        let file = format!("{}{}", case.name, io::default_ending());
        io::create(truth.join(file))?.labels(&labels)?;
    }
    Ok(())
}
