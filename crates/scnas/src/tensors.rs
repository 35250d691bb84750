//! Named tensors in a safetensors file with one JSON document as metadata: the form of models and checkpoints.
//!
//! Files are written whole to a temporary file and renamed. Values are f32, little endian, row-major.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Key of the JSON document in the metadata.
const KEY: &str = "scnas";

/// Writes tensors and their document.
///
/// # Errors
/// When the file cannot be written; what was there before is then untouched.
pub fn write<'a>(path: &Path, document: &impl Serialize, tensors: impl Iterator<Item = (String, &'a Tensor<5>)>) -> Result<()> {
    let invalid = |found: String| Error::Invalid {
        path: path.into(),
        expected: "values that can be written".into(),
        found,
        remedy: "this is a bug: please report it".into(),
    };
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .map(|(name, t)| {
            let values = t.to_data().try_to_vec::<f32>().map_err(|e| invalid(format!("{name}: {e:?}")))?;
            Ok((name, t.dims().to_vec(), values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        })
        .collect::<Result<_>>()?;
    let views: Vec<(&str, TensorView)> = data
        .iter()
        .map(|(name, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| invalid(e.to_string()))?))
        })
        .collect::<Result<_>>()?;
    let document = serde_json::to_string(document).map_err(|e| invalid(e.to_string()))?;
    let bytes = serialize(views, Some(HashMap::from([(KEY.into(), document)]))).map_err(|e| invalid(e.to_string()))?;
    Ok(medvol::atomic_write(path, &bytes)?)
}

/// Reads tensors and their document; `what` names the kind of file in errors.
///
/// # Errors
/// When the file cannot be read or is not one written by [`write`].
pub fn read<D: DeserializeOwned>(path: &Path, what: &str, device: &Device) -> Result<(D, BTreeMap<String, Tensor<5>>)> {
    let invalid = |found: String| Error::Invalid {
        path: path.into(),
        expected: what.into(),
        found,
        remedy: "give a file that scnas wrote, or copy it again if it was damaged".into(),
    };
    let bytes = std::fs::read(path).map_err(|e| Error::file("read", path, e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| invalid(format!("not a safetensors file ({e})")))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| invalid(e.to_string()))?;
    let document =
        header.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or_else(|| invalid("a safetensors file of another program".into()))?;
    let document = serde_json::from_str(document).map_err(|e| invalid(format!("its description cannot be understood ({e})")))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let shape: [usize; 5] = view.shape().try_into().map_err(|_| invalid(format!("tensor {name} of shape {:?}", view.shape())))?;
        if view.dtype() != Dtype::F32 {
            return Err(invalid(format!("tensor {name} of type {:?}", view.dtype())));
        }
        let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        tensors.insert(name.to_string(), Tensor::from_data(TensorData::new(values, shape), device));
    }
    Ok((document, tensors))
}
