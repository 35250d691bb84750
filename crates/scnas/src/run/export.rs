//! A model for other programs.

use std::path::PathBuf;

use burn::tensor::Device;
use medvol::Preprocessed;
use medvol::io::{self, Source};

use crate::error::{ExportFault, Result};
use crate::run::predict::model_files;
use crate::store::model::{Card, Model};
use crate::store::onnx::{Onnx, Sample};

/// What to write, and where.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// A model, or the folder of a run that has one.
    pub model: PathBuf,
    /// The ONNX file.
    pub out: PathBuf,
    /// Extents of the windows that it is for, (depth, height, width) in voxels, one at a time;
    /// `None`: any number of any size that the network's grids divide.
    pub patch: Option<[usize; 3]>,
    /// The files of an image, of whose middle a window and its logits are written too; none, if
    /// that is not wanted.
    pub sample: Vec<PathBuf>,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The file.
    pub onnx: Onnx,
    /// The model's description.
    pub card: Card,
    /// The folder of the sample.
    pub sample: Option<PathBuf>,
}

/// Writes a model as an ONNX file.
///
/// # Errors
/// Several models; one that cannot be read or written down; an image that does not fit it; files
/// that cannot be written.
pub fn export(request: &Request, device: &Device) -> Result<Exported> {
    let Request { model, out, patch, sample } = request;
    let files = model_files(model);
    let [file] = files.as_slice() else {
        return Err(ExportFault::SeveralModels { path: model.clone(), found: files.len() }.into());
    };
    let model = Model::read(file, device)?;
    let onnx = Onnx::of(&model, *patch)?;
    let sample = match sample.as_slice() {
        [] => None,
        image => Some(Sample::of(&model, middle(&model.card, image, onnx.window)?, onnx.window)?),
    };
    medvol::atomic_write(out, &onnx.bytes)?;
    let sample = sample.map(|sample| sample.write(out)).transpose()?;
    Ok(Exported { onnx, card: model.card, sample })
}

/// The window in the middle of an image, preprocessed for a model.
fn middle(card: &Card, image: &[PathBuf], window: [usize; 3]) -> Result<Vec<f32>> {
    let Card { plan, size, .. } = card;
    let source = |path: &PathBuf| Source::from(path.clone()).read_by(plan.geometry);
    let sources: Vec<Source> = image.iter().map(source).collect();
    let raw = io::open(&sources)?.checked(size.channels)?.raw()?;
    let name = image.first().map_or_else(String::new, |path| path.display().to_string());
    let image = Preprocessed::new(&name, &raw, plan.spacing, &plan.normalisation)?;
    let shape = image.geometry().grid_shape();
    let corner = [0, 1, 2].map(|axis| (shape[axis].saturating_sub(window[axis]) / 2) as isize);
    Ok(image.window(corner, window))
}
