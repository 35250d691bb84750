//! A window and its logits, for those who run a network elsewhere to see whether it does the same.

use std::path::{Path, PathBuf};

use prost::Message as _;

use crate::error::{Error, Result};
use crate::network::weights::{Pass, Tape};
use crate::store::model::Model;
use crate::store::onnx::graph::{IMAGE, LOGITS};
use crate::store::onnx::proto::Tensor;

/// The folder in which ONNX's own tools look for samples, beside a file.
const FOLDER: &str = "test_data_set_0";

/// A window and its logits, each a tensor of ONNX.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    window: Vec<u8>,
    logits: Vec<u8>,
}

impl Sample {
    /// What a model says of a `window`, `[channels, depth, height, width]` with extents `patch`,
    /// flattened.
    ///
    /// # Errors
    /// When the device does not hand it out.
    pub fn of(model: &Model, window: Vec<f32>, patch: [usize; 3]) -> Result<Self> {
        let [d, h, w] = patch;
        let size = model.card.size;
        let shape = [1, size.channels, d, h, w];
        let pass = Pass::new(&model.weights, Tape::Off);
        let x = pass.input(window.clone(), shape);
        let logits = model.network.forward(&pass, x, &model.mixture());
        let logits = logits.into_data().try_into_vec::<f32>();
        let logits = logits.map_err(|source| Error::Values { what: "logits", source })?;
        let tensor = |name, channels, values: &[f32]| {
            Tensor::floats(name, &[1, channels, d, h, w], values).encode_to_vec()
        };
        Ok(Self {
            window: tensor(IMAGE, size.channels, &window),
            logits: tensor(LOGITS, size.classes, &logits),
        })
    }

    /// Writes `input_0.pb` and `output_0.pb` into a folder beside `file`, and says where that is.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, file: &Path) -> Result<PathBuf> {
        let folder = file.with_file_name(FOLDER);
        std::fs::create_dir_all(&folder).map_err(|e| Error::file("create", &folder, e))?;
        medvol::atomic_write(folder.join("input_0.pb"), &self.window)?;
        medvol::atomic_write(folder.join("output_0.pb"), &self.logits)?;
        Ok(folder)
    }
}
