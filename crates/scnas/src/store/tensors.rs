//! Named tensors in a safetensors file with one JSON document as metadata: the form of models and
//! checkpoints.
//!
//! Files are written whole to a temporary file and renamed. Values are f32, little endian,
//! row-major. The metadata hold a CRC-32 of the whole file, taken with zeros in the place of its
//! own eight digits: a file that a disk or a copy damaged is never used.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Found, Result};

/// Key of the JSON document in the metadata.
const KEY: &str = "scnas";

/// What stands under that key. One key only: those of a map have no fixed order in the file.
#[derive(Serialize, Deserialize)]
struct Sealed<D> {
    crc32: String,
    document: D,
}

/// What stands before the checksum in the file, and in its place while it is computed.
const BEFORE_CRC: &[u8] = br#""scnas":"{\"crc32\":\""#;
const NO_CRC: &str = "00000000";

/// Bytes of a file with tensors and their document; `path` is for errors.
///
/// # Errors
/// When a value cannot be written, which is a bug.
pub fn encode<'a>(
    path: &Path,
    document: &impl Serialize,
    tensors: impl Iterator<Item = (String, &'a Tensor<5>)>,
) -> Result<Vec<u8>> {
    let invalid = |found: Found| {
        let expected = "values that can be written";
        Error::invalid(path, expected, found, "this is a bug: please report it")
    };
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .map(|(name, t)| {
            let values = match t.to_data().try_to_vec::<f32>() {
                Ok(values) => values,
                Err(source) => return Err(invalid(Found::Values { name, source })),
            };
            Ok((name, t.dims().to_vec(), values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        })
        .collect::<Result<_>>()?;
    let views: Vec<(&str, TensorView)> = data
        .iter()
        .map(|(name, shape, bytes)| {
            Ok((
                name.as_str(),
                TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| invalid(e.into()))?,
            ))
        })
        .collect::<Result<_>>()?;
    let sealed = serde_json::to_string(&Sealed { crc32: NO_CRC.into(), document })?;
    let mut bytes = serialize(views, Some(HashMap::from([(KEY.into(), sealed)])))
        .map_err(|e| invalid(e.into()))?;
    let crc = format!("{:08x}", crc32fast::hash(&bytes));
    let place = crc_place(&bytes).ok_or_else(|| invalid(Found::NoChecksum))?;
    bytes[place].copy_from_slice(crc.as_bytes());
    Ok(bytes)
}

/// Where the digits of the checksum stand. Nothing in the document looks so: its own quotation
/// marks have backslashes before them.
fn crc_place(bytes: &[u8]) -> Option<Range<usize>> {
    let start =
        bytes.windows(BEFORE_CRC.len()).position(|window| window == BEFORE_CRC)? + BEFORE_CRC.len();
    (start + NO_CRC.len() <= bytes.len()).then_some(start..start + NO_CRC.len())
}

/// Whether a file's bytes are those that were written; consumes the digits of the checksum. `None`
/// without a checksum.
fn intact(bytes: &mut [u8]) -> Option<bool> {
    let digits = crc_place(bytes).and_then(|place| bytes.get_mut(place))?;
    let written = digits.to_vec();
    digits.copy_from_slice(NO_CRC.as_bytes());
    Some(written == format!("{:08x}", crc32fast::hash(bytes)).into_bytes())
}

/// Reads tensors and their document; `what` names the kind of file in errors.
///
/// # Errors
/// When the file cannot be read, is damaged, or is not one made by [`encode`].
pub fn read<D: DeserializeOwned>(
    path: &Path,
    what: &'static str,
    device: &Device,
) -> Result<(D, BTreeMap<String, Tensor<5>>)> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        medvol::open_file(path)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    decode(path, read().map_err(|e| Error::file("read", path, e))?, what, device)
}

/// The tensors and their document in the bytes of a file.
fn decode<D: DeserializeOwned>(
    path: &Path,
    mut bytes: Vec<u8>,
    what: &'static str,
    device: &Device,
) -> Result<(D, BTreeMap<String, Tensor<5>>)> {
    let invalid = |found: Found| {
        let remedy = "give a file that scnas wrote, or copy it again if it was damaged";
        Error::invalid(path, what, found, remedy)
    };
    let intact = intact(&mut bytes);
    let file = SafeTensors::deserialize(&bytes).map_err(|e| invalid(e.into()))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| invalid(e.into()))?;
    let document = header
        .metadata()
        .as_ref()
        .and_then(|m| m.get(KEY))
        .ok_or_else(|| invalid(Found::AnotherProgram))?;
    match intact {
        Some(true) => {}
        Some(false) => return Err(invalid(Found::Damaged)),
        None => return Err(invalid(Found::NoChecksum)),
    }
    let Sealed { document, .. } =
        serde_json::from_str(document).map_err(|e| invalid(Found::Description(e)))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let shape: [usize; 5] = view.shape().try_into().map_err(|_| {
            invalid(Found::Shape { name: name.into(), shape: view.shape().into(), expected: None })
        })?;
        if view.dtype() != Dtype::F32 {
            return Err(invalid(Found::Type { name: name.into(), dtype: view.dtype() }));
        }
        let values: Vec<f32> =
            view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        tensors.insert(name.to_string(), Tensor::from_data(TensorData::new(values, shape), device));
    }
    Ok((document, tensors))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Decoded = (String, BTreeMap<String, Tensor<5>>);

    fn decoded(bytes: Vec<u8>) -> Result<Decoded> {
        decode(Path::new("x"), bytes, "a test's file", &Device::default())
    }

    fn file() -> Vec<u8> {
        let tensor = Tensor::<5>::from_data(
            TensorData::new(vec![1.0_f32, -2.5, 3.25], [1, 3, 1, 1, 1]),
            &Device::default(),
        );
        encode(
            Path::new("x"),
            &"a document that says \"crc32\":\"1\"",
            [("w".to_string(), &tensor)].into_iter(),
        )
        .unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (document, tensors) = decoded(file()).unwrap();
        assert!(document.contains("crc32"));
        assert_eq!(tensors["w"].to_data().try_to_vec::<f32>().unwrap(), [1.0, -2.5, 3.25]);
    }

    #[test]
    fn a_file_without_a_checksum_is_not_called_damaged() {
        let bytes = serialize(
            Vec::<(&str, TensorView)>::new(),
            Some(HashMap::from([(KEY.to_string(), "{}".to_string())])),
        )
        .unwrap();
        let error = decoded(bytes).unwrap_err().to_string();
        assert!(
            error.contains("without a checksum") && !error.contains("a damaged one"),
            "{error}"
        );
    }

    #[test]
    fn no_damaged_bit_and_no_lost_end_goes_unnoticed() {
        let whole = file();
        for bit in 0..8 * whole.len() {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decoded(damaged).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(decoded(whole[..length].to_vec()).is_err(), "{length} bytes");
        }
    }
}
