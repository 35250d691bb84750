//! `scnas export`: a model for other programs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::Device;
use scnas::run::export::{Exported, Request, export};
use scnas::store::onnx::{OPSET, Onnx};
use serde_json::json;

use crate::output::Output;
use crate::run_options::patch;

/// Write a model for other programs, as an ONNX file
///
/// The file holds the network, from a preprocessed window to logits, and in its metadata, under the
/// key scnas, a JSON document of all else that prediction takes: spacing, orientation,
/// normalisation, window, overlap, mirroring, labels. Windows may have any size that the network
/// can halve, and come several at a time, unless --patch fixes one. Of several models there is no
/// file: export each.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas export runs/Task04_Hippocampus/race-fold0 --onnx net.onnx
  scnas export model.safetensors --onnx net.onnx --patch 40,56,40
  scnas export model.safetensors --onnx net.onnx --sample scan.nii.gz")]
pub struct ExportArgs {
    /// A model.safetensors, or the folder of a run that has one
    pub model: PathBuf,
    /// ONNX file to write
    #[arg(long, value_name = "FILE", value_parser = onnx)]
    pub onnx: PathBuf,
    /// For single windows of this size in voxels: depth,height,width [default: free]
    #[arg(long, value_name = "D,H,W", value_parser = patch)]
    pub patch: Option<[usize; 3]>,
    /// Image, in one file or one for each channel, of which a window and its logits are written too:
    /// into test_data_set_0 beside FILE, where ONNX's tools look for them
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    pub sample: Vec<PathBuf>,
}

/// A name that no model of this program has: one that is mistaken for the output would be lost.
fn onnx(name: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(name);
    let is_onnx = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx"));
    is_onnx.then_some(path).ok_or_else(|| "expected a name that ends in .onnx".into())
}

pub fn run(args: &ExportArgs, device: &Device, output: Output) -> Result<ExitCode> {
    let request = Request {
        model: args.model.clone(),
        out: args.onnx.clone(),
        patch: args.patch,
        sample: args.sample.clone(),
    };
    let Exported { onnx, card, sample } = export(&request, device)?;
    let Onnx { nodes, scalars, window: [d, h, w], bytes } = &onnx;
    let (size, step) = (card.size, card.plan.grid.step());
    let sizes = match args.patch {
        Some(_) => "of that size, one at a time".to_string(),
        None => format!("any number, of multiples of {}×{}×{} voxels", step[0], step[1], step[2]),
    };
    let text = format!(
        "{}: opset {OPSET}, {nodes} nodes, {scalars} weights, {:.1} MB\nimage: {} channel(s), windows of \
         {d}×{h}×{w} voxels ({sizes})\nlogits: {} outputs{}",
        args.onnx.display(),
        bytes.len() as f64 * 1e-6,
        size.channels,
        size.classes,
        sample.as_ref().map_or_else(String::new, |at| format!("\nsample: {}", at.display())),
    );
    output.result(text, || {
        json!({
            "onnx": args.onnx, "opset": OPSET, "nodes": nodes, "weights": scalars,
            "bytes": bytes.len(), "window": onnx.window, "fixed": args.patch.is_some(),
            "multiple_of": step, "channels": size.channels, "outputs": size.classes, "sample": sample,
        })
    })?;
    Ok(ExitCode::SUCCESS)
}
