//! `scnas demo`: the whole way on a made-up task, in minutes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Args;
use medvol::phantom::{PhantomTask, phantom, write_task};
use medvol::{Dataset, io};
use scnas::Device;
use scnas::report::evaluation::TOLERANCE_MM;
use scnas::run::pipeline::Observer as _;
use scnas::settings::config::Config;

use crate::evaluate::{self, EvaluateArgs};
use crate::interrupt;
use crate::output::{Output, note};
use crate::predict::{PredictArgs, predict_all};
use crate::progress::{Progress, clock};
use crate::search::find;

/// Settings small enough for minutes on two cores.
const SETTINGS: [&str; 6] = [
    "network.width=8",
    "data.spacing=[1.0, 1.0, 1.0]",
    "data.patch=[40, 40, 40]",
    "search.warmup_epochs=2",
    "train.epochs=40",
    "train.validate_every=10",
];

/// Do everything once, small: make a data set, search, train, predict, evaluate
///
/// Writes a folder with a made-up task of 3-D images in the MSD layout (an organ and a nodule in
/// noise, with uneven brightness and oblique grids), searches and trains a small network on it,
/// predicts the test images and scores them against the truth. A demo that was stopped goes on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  scnas demo --out demo-run")]
pub struct DemoArgs {
    /// Folder to write
    #[arg(long, default_value = "runs/demo", value_name = "DIR")]
    pub out: PathBuf,
}

pub fn run(args: &DemoArgs, device: &Device, output: Output) -> Result<ExitCode> {
    interrupt::listen()?;
    let start = Instant::now();
    let [data, run, predictions, truth] =
        ["data", "run", "predictions", "truth"].map(|name| args.out.join(name));
    let task = PhantomTask { test_cases: 6, ..PhantomTask::default() };
    let config = Config::load("default", None, &SETTINGS.map(String::from))?;

    let progress = Progress::new(output);
    if !data.join("dataset.json").exists() {
        progress.message(&format!(
            "writing {} labelled and {} test images to {}",
            task.cases,
            task.test_cases,
            data.display()
        ));
        write_task(&data, &task)?;
    }
    write_truth(&task, &data, &truth)?;
    find(&data, &run, config, device, &progress)?;
    drop(progress);

    let predict = PredictArgs {
        inputs: vec![data.clone()],
        model: vec![run.clone()],
        out: predictions.clone(),
        training: false,
        probabilities: false,
        overlap: None,
        blend: None,
        flips: None,
        largest_component: None,
        memory: None,
    };
    let code = predict_all(&predict, device, output)?.exit()?;
    if code != ExitCode::SUCCESS {
        return Ok(code);
    }
    let evaluate = EvaluateArgs {
        predictions: predictions.clone(),
        references: Some(truth.clone()),
        data: Some(data.clone()),
        tolerance: TOLERANCE_MM,
        csv: None,
    };
    let code = evaluate::run(&evaluate, output)?;
    if !output.quiet {
        note(next_steps(&data, &run, &predictions));
        note(format_args!("the demo took {} (min:s)", clock(start.elapsed())));
    }
    Ok(code)
}

/// The labels of the task's test images, which it does not hold.
fn write_truth(task: &PhantomTask, data: &Path, truth: &Path) -> Result<()> {
    std::fs::create_dir_all(truth).with_context(|| format!("cannot create {}", truth.display()))?;
    for (number, case) in Dataset::open(data)?.test.iter().enumerate() {
        let (_, labels) = phantom(task.seed, (task.cases + number) as u64, task.coarseness);
        let file = format!("{}{}", case.name, io::default_ending());
        io::create(truth.join(file))?.labels(&labels)?;
    }
    Ok(())
}

fn next_steps(data: &Path, run: &Path, predictions: &Path) -> String {
    let (data, run, predictions) = (data.display(), run.display(), predictions.display());
    format!(
        "\nImages are in {data}, their label maps in {predictions}: any NIfTI viewer shows one \
         over the other. Try next:\n  scnas show {run} --svg cells.svg           the architecture \
         that was found\n  scnas train {data} --from {run} --init inherit    its weights as the \
         search left them\n  scnas search YOUR_DATA                     the same on your own data \
         set"
    )
}
