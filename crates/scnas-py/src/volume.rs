//! Volumes as numpy arrays, `[x, y, z]` or `[channels, x, y, z]`, and as files.

use std::path::PathBuf;

use medvol::io::{self, Source};
use medvol::{Affine, Image, LabelMap};
use ndarray::{Array, ArrayView, Axis, Dimension, Ix3, Ix4};
use numpy::{Element, IntoPyArray as _, PyReadonlyArray2, PyReadonlyArrayDyn};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::failure::raised_by_file;
use crate::watch::Watch;

/// An image of an array of any numbers.
pub fn image(array: &Bound<'_, PyAny>, affine: &Bound<'_, PyAny>) -> PyResult<Image> {
    let array = as_type::<f32>(array, "float32")?;
    let view = array.as_array();
    let view = match view.ndim() {
        3 => view.insert_axis(Axis(0)),
        _ => view,
    };
    let shape = view.shape().to_vec();
    let view: ArrayView<f32, Ix4> = view.into_dimensionality().map_err(|_| {
        let text =
            format!("an array of shape {shape:?}: expected [x, y, z] or [channels, x, y, z]");
        PyValueError::new_err(text)
    })?;
    if view.is_empty() {
        return Err(PyValueError::new_err(format!("an array of shape {shape:?} has no voxels")));
    }
    // A copy in any case: an image owns its voxels. That of nibabel is in their order already.
    let voxels = view.permuted_axes([0, 3, 2, 1]).as_standard_layout().into_owned();
    let image = Image { voxels, affine: matrix(affine)? };
    match image.first_non_finite() {
        None => Ok(image),
        Some(([channel, k, j, i], value)) => {
            let text = format!(
                "voxel {:?} (channel, x, y, z) is {value} as a number of 32 bits; replace voxels \
                 that are not finite, for example by 0",
                [channel, i, j, k]
            );
            Err(PyValueError::new_err(text))
        }
    }
}

/// A label map of an array of whole numbers.
fn labels(array: &Bound<'_, PyAny>, affine: &Bound<'_, PyAny>) -> PyResult<LabelMap> {
    let (least, most): (i64, i64) = (
        array.call_method0("min")?.call_method0("__int__")?.extract()?,
        array.call_method0("max")?.call_method0("__int__")?.extract()?,
    );
    if least < 0 || most > i64::from(u16::MAX) {
        let text = format!("labels from {least} to {most}: expected 0 to {}", u16::MAX);
        return Err(PyValueError::new_err(text));
    }
    let array = as_type::<u16>(array, "uint16")?;
    let shape = array.as_array().shape().to_vec();
    let view: ArrayView<u16, Ix3> = array.as_array().into_dimensionality().map_err(|_| {
        PyValueError::new_err(format!("labels of shape {shape:?}: expected [x, y, z]"))
    })?;
    let voxels = view.reversed_axes().as_standard_layout().into_owned();
    Ok(LabelMap { voxels, affine: matrix(affine)? })
}

/// `[…, depth, height, width]` as Python's `[…, x, y, z]`, without a copy.
pub fn to_numpy<'py, T: Element, D: Dimension>(
    py: Python<'py>,
    voxels: Array<T, D>,
) -> Bound<'py, PyAny> {
    let mut voxels = voxels.into_dyn();
    let last = voxels.ndim() - 1;
    voxels.swap_axes(last, last - 2);
    if last == 3 && voxels.shape()[0] == 1 {
        voxels = voxels.index_axis_move(Axis(0), 0);
    }
    voxels.into_pyarray(py).into_any()
}

/// Reads an image, or with `labels` a label map, and its affine.
#[pyfunction]
#[pyo3(signature = (path, *, labels = false))]
pub fn read(py: Python<'_>, path: PathBuf, labels: bool) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
    let (voxels, affine) = if labels {
        let map = Watch::default().wait(py, |_| Ok(Source::from(path).open()?.labels()?))?;
        (to_numpy(py, map.voxels), map.affine)
    } else {
        let image = Watch::default().wait(py, |_| Ok(Source::from(path).open()?.image()?))?;
        (to_numpy(py, image.voxels), image.affine)
    };
    let affine = ndarray::arr2(&affine.0).into_pyarray(py).into_any();
    Ok((voxels.unbind(), affine.unbind()))
}

/// Writes an array in the format of the path's ending: one of whole numbers or booleans as a label
/// map, another as an image. What `like` says of space is carried over word by word.
#[pyfunction]
#[pyo3(signature = (path, array, affine, *, like = None))]
pub fn write(
    path: PathBuf,
    array: &Bound<'_, PyAny>,
    affine: &Bound<'_, PyAny>,
    like: Option<PathBuf>,
) -> PyResult<()> {
    let kind: String = array.getattr("dtype")?.getattr("kind")?.extract()?;
    let header = like.map(|path| Source::from(path).open().map(|opened| opened.header().clone()));
    let header = header.transpose().map_err(raised_by_file)?;
    let file = io::create(path).map_err(raised_by_file)?;
    let file = match &header {
        Some(header) => file.like(header),
        None => file,
    };
    let written = match kind.as_str() {
        "u" | "i" | "b" => file.labels(&labels(array, affine)?),
        _ => file.image(&image(array, affine)?),
    };
    written.map_err(raised_by_file)
}

/// An array with its numbers as `T`, which numpy calls `name`.
fn as_type<'py, T: Element>(
    array: &Bound<'py, PyAny>,
    name: &str,
) -> PyResult<PyReadonlyArrayDyn<'py, T>> {
    let numpy = array.py().import("numpy")?;
    numpy.call_method1("asarray", (array, name))?.extract()
}

/// An affine of four rows of four numbers.
fn matrix(affine: &Bound<'_, PyAny>) -> PyResult<Affine> {
    let numpy = affine.py().import("numpy")?;
    let array: PyReadonlyArray2<'_, f64> =
        numpy.call_method1("asarray", (affine, "float64"))?.extract()?;
    let view = array.as_array();
    let mut rows = [[0.0; 4]; 4];
    if view.dim() != (4, 4) {
        let text = format!("an affine of shape {:?}: expected [4, 4]", view.dim());
        return Err(PyValueError::new_err(text));
    }
    view.indexed_iter().for_each(|((row, column), &value)| rows[row][column] = value);
    let affine = Affine(rows);
    match affine.is_invertible() {
        true => Ok(affine),
        false => Err(PyValueError::new_err(format!("the affine {rows:?} is singular"))),
    }
}
