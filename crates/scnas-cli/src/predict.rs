//! `scnas predict`: label maps of images, on the images' own grids.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use medvol::io::{Reading, Source};
use medvol::stitch::Blend;
use scnas::Device;
use scnas::run::predict::{Job, Predicted, Request, predict};
use scnas::settings::Bytes;
use serde_json::{Value, json};

use crate::interrupt;
use crate::output::{Output, note, silence};
use crate::progress::Progress;
use crate::ranks::together;
use crate::run_options::reading;
use crate::said::said;

/// Segment images with a model
///
/// Reads images and a model.safetensors; needs nothing else of the run. Writes for each image a
/// label map of its name on the image's own grid, in its format (NIfTI: .nii.gz; DICOM: a
/// segmentation), with what its header says of space. Predictions written before are replaced;
/// images and label maps of data sets never are. An image that cannot be predicted is reported and
/// the others are done; the exit code is then 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas predict scan.nii.gz --model runs/Task04_Hippocampus/race-fold0 --out scan_labels.nii.gz
  scnas predict DATA/Task04_Hippocampus --model model.safetensors --out predictions
  scnas predict folder_of_scans --model model.safetensors --out predictions --probabilities
  scnas predict large.nii.gz --model model.safetensors --out labels.nii.gz --memory 1GiB
  scnas predict folder_of_scans --model runs/cv --out predictions
  scnas predict folder_of_scans --model cv/fold-0 --model cv/fold-1 --out predictions \
                        --largest-component liver")]
pub struct PredictArgs {
    /// Images (NIfTI, NRRD, MetaImage, folders of DICOM slices), folders of images, or data sets
    /// (their test images). Channels in files of their own are joined where all files are named as
    /// nnU-Net does: CASE_0000.nii.gz, CASE_0001.nii.gz, …
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// A model.safetensors, a run folder that holds one, or the folder of a cross-validation for
    /// the mean of its folds' models; several times for the mean of several (the settings are
    /// then the first one's)
    #[arg(long, short, required = true, value_name = "FILE")]
    pub model: Vec<PathBuf>,
    /// Folder for the label maps; for a single image also a file name, whose ending says
    /// the format (.nii.gz, .nrrd, .seg.nrrd, .mha, …)
    #[arg(long, short, value_name = "DIR|FILE")]
    pub out: PathBuf,
    /// Of data sets, predict the training images too
    #[arg(long)]
    pub training: bool,
    /// Also write <name>_probabilities, in the same format, the classes or regions as channels
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
    /// Keep only the largest connected component of these labels or regions (names or values)
    /// [default: the model's, usually none; with a cross-validation's folder those that it helps
    /// there]
    #[arg(long, value_name = "LABEL,...", value_delimiter = ',')]
    pub largest_component: Option<Vec<String>>,
    /// What counts where a NIfTI header contradicts itself [default: the model's, usually what
    /// agrees with pixdim]
    #[arg(long, value_name = "sform|qform|pixdim", value_parser = reading)]
    pub geometry: Option<Reading>,
    /// The most memory to use, such as 1GiB or 800MB; less takes longer [default: what the machine
    /// allows]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Bytes>,
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

pub fn run(args: &PredictArgs, device: &Device, output: Output) -> Result<ExitCode> {
    interrupt::listen()?;
    let request = Request {
        inputs: args.inputs.clone(),
        models: args.model.clone(),
        out: args.out.clone(),
        training: args.training,
        probabilities: args.probabilities,
        overlap: args.overlap,
        blend: args.blend.map(|blend| match blend {
            BlendName::Gaussian => Blend::Gaussian,
            BlendName::Uniform => Blend::Uniform,
        }),
        flips: args.flips,
        largest_component: args.largest_component.clone(),
        reading: args.geometry,
        memory: args.memory.map(|Bytes(most)| most),
    };
    let predicted = together(|ranks| {
        let progress = Progress::new(output);
        // Each speaks of its own images.
        silence(false);
        Ok(predict(&request, device, ranks, &progress)?)
    })?;
    let Some(predicted) = predicted else { return Ok(ExitCode::SUCCESS) };
    let Predicted { written, failures, total, stopped } = &predicted;
    let lines: Vec<String> =
        written.iter().map(|(job, _)| job.labels.display().to_string()).collect();
    output.result(lines.join("\n"), || {
        let written = written.iter().map(|(job, s)| described(job, "seconds", json!(s)));
        let failures = failures.iter().map(|(job, e)| described(job, "error", json!(said(e))));
        json!({
            "predictions": written.collect::<Vec<_>>(), "failures": failures.collect::<Vec<_>>(),
        })
    })?;
    if *stopped {
        note(format_args!("stopped by request after {} of {total} images", written.len()));
        return Ok(ExitCode::from(interrupt::exit_code()));
    }
    predicted.all()?;
    Ok(ExitCode::SUCCESS)
}

fn described(job: &Job, key: &str, value: Value) -> Value {
    let paths: Vec<&Path> = job.inputs.iter().map(Source::path).collect();
    let input = if let [path] = paths.as_slice() { json!(path) } else { json!(paths) };
    json!({ "case": job.name, "input": input, "labels": job.labels, "probabilities": job.probabilities, key: value })
}
